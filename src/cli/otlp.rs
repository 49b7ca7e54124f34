//! The log to a collector, by OTLP over HTTP with protobuf (cargo feature `otlp`). Records are gathered and sent by a thread of
//! their own; when the collector does not keep up they are dropped, and nothing waits for them.

use crate::config::OtlpConfig;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{LogExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use std::fmt;
use std::pin::Pin;
use std::time::Duration;
use ureq::Agent;

/// Longest answer of a collector that is read, in bytes.
const ANSWER_BYTES: u64 = 64 * 1024;
/// Time for the last records when the process ends.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// What turns events into records.
pub(super) type Bridge = OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>;

/// Sends what was logged last when it is dropped.
#[derive(Debug)]
pub struct Export(SdkLoggerProvider);

impl Drop for Export {
    fn drop(&mut self) {
        // There is no log any more that could be told.
        let _ = self.0.shutdown_with_timeout(LAST_RECORDS);
    }
}

/// The way to the collector of the settings; None: there is none.
///
/// # Errors
/// Its address is none.
pub(super) fn start(config: &OtlpConfig) -> Result<Option<(Bridge, Export)>, String> {
    if config.logs_endpoint.is_empty() {
        return Ok(None);
    }
    if !config.logs_endpoint.starts_with("http://") {
        return Err("otlp.logs_endpoint: expected an address such as \"http://localhost:4318/v1/logs\"".to_owned());
    }
    let agent =
        Agent::config_builder().timeout_global(Some(config.timeout)).max_redirects(0).http_status_as_error(false);
    let exporter = LogExporter::builder()
        .with_http()
        .with_http_client(Client(Agent::new_with_config(agent.build())))
        .with_endpoint(&config.logs_endpoint)
        .with_timeout(config.timeout)
        .build()
        .map_err(|error| format!("otlp.logs_endpoint: {error}"))?;
    let resource = Resource::builder_empty().with_service_name(config.service_name.clone()).build();
    let provider = SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
    Ok(Some((OpenTelemetryTracingBridge::new(&provider), Export(provider))))
}

/// Requests, on the exporter's own thread.
struct Client(Agent);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl HttpClient for Client {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let (head, mut body) = self.0.run(request.map(|body| body.to_vec()))?.into_parts();
            let body = body.with_config().limit(ANSWER_BYTES).read_to_vec()?;
            Ok(Response::from_parts(head, body.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn events_reach_the_collector() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/logs", listener.local_addr().unwrap());
        let collector = std::thread::spawn(move || {
            let mut stream = BufReader::new(listener.accept().unwrap().0);
            let (mut head, mut length) = (String::new(), 0);
            while stream.read_line(&mut head).unwrap() > 2 {
                let last = head.lines().last().unwrap().to_lowercase();
                length = last.strip_prefix("content-length:").map_or(length, |value| value.trim().parse().unwrap());
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            write!(stream.get_mut(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            (head, body)
        });
        let config =
            OtlpConfig { logs_endpoint: endpoint, service_name: "meadow".to_owned(), timeout: Duration::from_secs(10) };
        let (bridge, export) = start(&config).unwrap().unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(bridge), || {
            tracing::warn!(vhost = "grove", "a hedgehog passed");
        });
        drop(export);
        let (head, body) = collector.join().unwrap();
        assert!(head.starts_with("POST /v1/logs HTTP/1.1\r\n") && head.contains("application/x-protobuf"), "{head}");
        for part in ["meadow", "a hedgehog passed", "vhost", "grove", "WARN"] {
            assert!(body.windows(part.len()).any(|window| window == part.as_bytes()), "{part}");
        }
    }

    #[test]
    fn without_an_address_there_is_no_export_and_only_http_is_one() {
        let config = |endpoint: &str| OtlpConfig {
            logs_endpoint: endpoint.to_owned(),
            service_name: String::new(),
            timeout: Duration::from_secs(1),
        };
        assert!(start(&config("")).unwrap().is_none());
        let refused = start(&config("https://x")).map(|_| ()).unwrap_err();
        assert!(refused.contains("otlp.logs_endpoint"), "{refused}");
    }
}
