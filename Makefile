# Everything there is to do with the project. `make run` and `make test` install what they miss.

N ?= 200
T ?= 600
PREFIX ?= /usr/local
DESTDIR ?=
ARGS ?=
BENCH = $(if $(FULL),--full) $(if $(ONLY),--only '$(ONLY)') $(if $(ROUNDS),--rounds $(ROUNDS))

# Outside the checkout, so that every checkout shares one build of RocksDB.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/warren/target
WARREN := $(CARGO_TARGET_DIR)/release/warren

# Asked again for each recipe: `needs` may just have installed ccache. A compiler of the caller's choice is kept.
CCACHE = $(shell command -v ccache 2>/dev/null)
COMPILERS = $(if $(CCACHE),$(if $(filter default undefined,$(origin CC)),CC="ccache gcc") $(if $(filter default undefined,$(origin CXX)),CXX="ccache g++"))
CARGO = $(COMPILERS) cargo

TOOLS := rabbitmqctl rabbitmq-diagnostics rabbitmq-queues rabbitmq-streams rabbitmq-upgrade rabbitmq-plugins

.PHONY: help install uninstall build run test lint interop tools suites crash model fuzz bench bench-peers bench-parts portable clean needs needs-lint

help:
	@echo 'make run [ARGS="..."]  build, and serve on 127.0.0.1:5672 with ./data'
	@echo 'make build             the release build: $(WARREN)'
	@echo 'make install           the program, RabbitMQ'\''s tool names for it, a systemd unit [PREFIX=$(PREFIX)] [DESTDIR=]'
	@echo 'make test              format, lints, tests, and the interop clients whose toolchain is present'
	@echo 'make interop           install every interop client, and run them all'
	@echo 'make tools             rabbitmqadmin, Terraform'\''s client, Flower, Prometheus, RabbitMQ itself: with the management API'
	@echo 'make suites            the broker tests of client libraries, and PerfTest, unmodified'
	@echo 'make crash [N=200]     kill -9 under load, N times, and check that nothing confirmed is lost'
	@echo 'make model [N=10000000] N random commands for the queue machine and a naive queue [SEED=1]'
	@echo 'make fuzz [T=600]      fuzz the decoder and the connection machine, T seconds'
	@echo 'make bench [FULL=1]    the speed table: goals and results, in 3 minutes [in 40, ONLY=text: rows with it]'
	@echo 'make bench-peers       the same loads beside the brokers that are installed [ROUNDS=2, FULL=1]'
	@echo 'make bench-parts       benchmarks of the parts of the hot path'
	@echo 'make portable          a build for x86-64 CPUs without AVX2'
	@echo 'make clean             remove the build'

build: needs
	$(CARGO) build --release

run: build
	exec $(WARREN) serve --data-dir ./data $(ARGS)

# What was built: as root `make install` builds nothing, so that the build is not root's.
install:
	@[ -x $(WARREN) ] || { echo 'warren: `make build` first' >&2; exit 1; }
	install -D -m 0755 $(WARREN) $(DESTDIR)$(PREFIX)/bin/warren
	@for tool in $(TOOLS); do ln -sf warren $(DESTDIR)$(PREFIX)/bin/$$tool; done
	install -D -m 0644 config/warren.toml $(DESTDIR)$(PREFIX)/share/doc/warren/warren.toml
	install -D -m 0644 config/rabbitmq.conf $(DESTDIR)$(PREFIX)/share/doc/warren/rabbitmq.conf
	install -d $(DESTDIR)/etc/systemd/system
	sed 's|@BINDIR@|$(PREFIX)/bin|' packaging/warren.service > $(DESTDIR)/etc/systemd/system/warren.service
	@echo 'For the service: useradd --system --home-dir /var/lib/warren warren; systemctl enable --now warren'

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/warren $(TOOLS:%=$(DESTDIR)$(PREFIX)/bin/%) $(DESTDIR)/etc/systemd/system/warren.service
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/warren

test: lint
	$(CARGO) test --release
	interop/run

lint: needs needs-lint
	cargo fmt --check
	$(CARGO) clippy --release --all-targets -- -D warnings
	@if command -v systemd-analyze >/dev/null; then \
		dir=$$(mktemp -d); sed 's|@BINDIR@/warren|/bin/true|' packaging/warren.service > $$dir/warren.service; \
		systemd-analyze verify $$dir/warren.service; status=$$?; rm -r $$dir; exit $$status; \
	fi

interop: build
	interop/run

tools: build
	interop/tools/run

suites: build
	interop/suites/run

crash: needs
	WARREN_CRASH_CYCLES=$(N) $(CARGO) test --release --test durability what_was_confirmed_survives_kill -- --nocapture

model: needs
	WARREN_MODEL_COMMANDS=$(if $(filter command environment,$(firstword $(origin N))),$(N),10000000) \
		$(if $(SEED),WARREN_MODEL_SEED=$(SEED)) $(CARGO) test --release --test model -- --nocapture

fuzz: needs
	WARREN_FUZZ_SECONDS=$(T) $(CARGO) test --release --test fuzz -- --nocapture

bench: needs
	$(CARGO) bench --bench table -- goals $(BENCH)

bench-peers: needs
	$(CARGO) bench --bench table -- peers $(BENCH)

bench-parts: needs
	$(CARGO) bench --bench hot_path

portable: export RUSTFLAGS = -C target-cpu=x86-64
portable: needs
	$(CARGO) build --release --target-dir $(CARGO_TARGET_DIR)/portable
	@echo 'built $(CARGO_TARGET_DIR)/portable/release/warren'

clean:
	cargo clean

# What the build needs. RocksDB is C++ and its bindings are made with libclang; ccache only saves time.
needs:
	@have() { command -v "$$1" >/dev/null 2>&1; }; \
	have cargo || { echo 'warren: cargo is missing: install Rust 1.95 or later from https://rustup.rs' >&2; exit 1; }; \
	must=; wish=; \
	have g++ || must="$$must g++"; \
	[ -n "$$LIBCLANG_PATH" ] || ls /usr/lib/llvm*/lib/libclang.so* /usr/lib*/libclang.so* /usr/lib/*-linux-gnu/libclang.so* 2>/dev/null \
		| grep -q . || must="$$must libclang-dev"; \
	have pkg-config || wish="$$wish pkg-config"; \
	have ccache || wish="$$wish ccache"; \
	[ -n "$$must$$wish" ] || exit 0; \
	root=; [ "$$(id -u)" = 0 ] || root=sudo; \
	if have apt-get && { [ -z "$$root" ] || have sudo; }; then \
		echo "warren: installing$$must$$wish"; \
		install() { $$root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$must $$wish; }; \
		install >/dev/null 2>&1 || { $$root apt-get update && install; } || \
			{ [ -z "$$must" ] || { echo "warren: could not install$$must" >&2; exit 1; }; }; \
	elif [ -n "$$must" ]; then \
		echo "warren: missing$$must (names of Debian packages): install them, then try again" >&2; exit 1; \
	else \
		echo "warren: going on without$$wish"; \
	fi

needs-lint: needs
	@for part in clippy fmt; do \
		cargo $$part --version >/dev/null 2>&1 && continue; \
		component=$$part; [ $$part = fmt ] && component=rustfmt; \
		rustup component add $$component || \
			{ echo "warren: cargo $$part is missing: rustup component add $$component" >&2; exit 1; }; \
	done
