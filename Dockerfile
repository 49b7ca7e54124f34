# Build: docker build -t warren .      Run: docker run -p 5672:5672 -v warren:/var/lib/warren warren
FROM rust:1.95-bookworm AS build
# Debian's newest fixes are wanted, not the versions of some day.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends g++ libclang-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY src src
COPY benches benches
# Any x86-64 machine may run the image.
ENV RUSTFLAGS="-C target-cpu=x86-64"
RUN cargo build --release --locked --target-dir /target \
 && strip -s /target/release/warren -o /warren

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates libstdc++6 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 999 warren \
 && useradd --system --uid 999 --gid warren --home-dir /var/lib/warren --shell /usr/sbin/nologin warren \
 && install -d -o warren -g warren -m 0700 /var/lib/warren
COPY --from=build /warren /usr/bin/warren
RUN for name in rabbitmqctl rabbitmq-diagnostics rabbitmq-queues rabbitmq-streams rabbitmq-upgrade rabbitmq-plugins; do \
      ln -s warren "/usr/bin/$name"; \
    done
# The user warren, by number: Kubernetes can tell that it is not root.
USER 999:999
# RabbitMQ's files where its image has them; the broker is for other machines here, guest still is not.
ENV WARREN_DATA_DIR=/var/lib/warren \
    RABBITMQ_CONFIG_FILE=/etc/rabbitmq/rabbitmq.conf \
    RABBITMQ_CONFIG_FILES=/etc/rabbitmq/conf.d \
    RABBITMQ_NODE_PORT=5672
VOLUME /var/lib/warren
EXPOSE 5671 5672 15672 15692
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["rabbitmq-diagnostics", "-q", "ping"]
ENTRYPOINT ["/usr/bin/warren"]
CMD ["serve"]
