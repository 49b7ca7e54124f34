//! The log and traces to a collector, by OTLP over HTTP with protobuf (cargo feature `otlp`). Records and spans are gathered and sent by
//! threads of their own; when the collector does not keep up they are dropped, and nothing waits for them.

use crate::auth::outside::Outside;
use crate::config::OtlpConfig;
use crate::span::{Attribute, Span, Spans};
use crate::tls;
use opentelemetry::trace::{
    Event, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{LogExporter, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use std::fmt;
use std::pin::Pin;
use std::time::{Duration, UNIX_EPOCH};
use ureq::Agent;

/// Longest answer of a collector that is read, in bytes.
const ANSWER_BYTES: u64 = 64 * 1024;
/// Time for the last records, and for the last spans, when the process ends.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// What turns events into records.
pub(super) type Bridge = OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>;

/// Sends what was logged and traced last when it is dropped.
#[derive(Debug, Default)]
pub struct Export {
    logs: Option<SdkLoggerProvider>,
    traces: Option<SdkTracerProvider>,
}

impl Drop for Export {
    fn drop(&mut self) {
        // There is no log any more that could be told.
        let _ = self.traces.take().map(|traces| traces.shutdown_with_timeout(LAST_RECORDS));
        let _ = self.logs.take().map(|logs| logs.shutdown_with_timeout(LAST_RECORDS));
    }
}

/// The ways to the collectors of the settings: what is given the log, what sends the last of it, who is told of spans.
///
/// # Errors
/// An address is none, or the certificates cannot be read.
pub(super) fn start(config: &OtlpConfig) -> Result<(Option<Bridge>, Export, Spans), String> {
    let mut export = Export::default();
    let (mut bridge, mut spans) = (None, Spans::default());
    let resource = || Resource::builder_empty().with_service_name(config.service_name.clone()).build();
    if let Some(client) = client(config, "logs_endpoint", &config.logs_endpoint)? {
        let exporter = LogExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(&config.logs_endpoint)
            .with_timeout(config.timeout)
            .build()
            .map_err(|error| format!("otlp.logs_endpoint: {error}"))?;
        let provider = SdkLoggerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
        bridge = Some(OpenTelemetryTracingBridge::new(&provider));
        export.logs = Some(provider);
    }
    if let Some(client) = client(config, "traces_endpoint", &config.traces_endpoint)? {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(&config.traces_endpoint)
            .with_timeout(config.timeout)
            .build()
            .map_err(|error| format!("otlp.traces_endpoint: {error}"))?;
        let provider = SdkTracerProvider::builder().with_resource(resource()).with_batch_exporter(exporter).build();
        let tracer = provider.tracer("warren");
        spans = Spans::new(move |span| record(&tracer, span));
        export.traces = Some(provider);
    }
    Ok((bridge, export, spans))
}

/// What makes requests to a collector; None: there is none.
fn client(config: &OtlpConfig, key: &str, endpoint: &str) -> Result<Option<Client>, String> {
    if endpoint.is_empty() {
        return Ok(None);
    }
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        return Err(format!("otlp.{key}: expected an address such as \"http://localhost:4318/v1/logs\""));
    }
    tls::install();
    let outside = Outside::new(config.timeout, config.authorities.as_deref());
    Ok(Some(Client(outside.map_err(|error| format!("otlp.authorities: {error}"))?.agent().clone())))
}

/// Hands a span over to the thread that sends them.
fn record(tracer: &SdkTracer, span: Span) {
    let begun = UNIX_EPOCH + Duration::from_millis(span.begun_ms);
    let attribute = |(key, attribute)| match attribute {
        Attribute::Text(text) => KeyValue::new(key, text),
        Attribute::Number(number) => KeyValue::new(key, Value::I64(i64::try_from(number).unwrap_or(i64::MAX))),
    };
    let events = span.events.into_iter().map(|(after, name)| Event::new(name, begun + after, Vec::new(), 0));
    let builder = SpanBuilder::from_name(span.name)
        .with_kind(if span.serves { SpanKind::Server } else { SpanKind::Internal })
        .with_start_time(begun)
        .with_attributes(span.attributes.into_iter().map(attribute))
        .with_events(events.collect());
    let parent = span.parent.as_deref().and_then(parent);
    let context = parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
    let mut recorded = tracer.build_with_context(builder, &context);
    if let Some(error) = span.error {
        recorded.set_status(Status::error(error));
    }
    recorded.end_with_timestamp(begun + span.took);
}

/// Reads `traceparent`: version, trace, span and flags.
fn parent(header: &str) -> Option<SpanContext> {
    let mut parts = header.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 || flags.len() != 2 {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default())).filter(SpanContext::is_valid)
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
    use crate::clock::Now;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::JoinHandle;
    use tracing_subscriber::layer::SubscriberExt;

    /// A collector that takes one request: its address below `path`, and what it will have got.
    fn collector(path: &str) -> (String, JoinHandle<(String, Vec<u8>)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}{path}", listener.local_addr().unwrap());
        (endpoint, std::thread::spawn(move || take(listener.accept().unwrap().0)))
    }

    /// A request, once all of it is there: its head and its body.
    fn whole(bytes: &[u8]) -> Option<(String, Vec<u8>)> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let length = lines.find(|(key, _)| key.eq_ignore_ascii_case("content-length")).unwrap().1;
        let body = bytes[end..].to_vec();
        (body.len() == length.trim().parse::<usize>().unwrap()).then_some((head, body))
    }

    const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    fn take(mut stream: std::net::TcpStream) -> (String, Vec<u8>) {
        let (mut bytes, mut some) = (Vec::new(), [0; 4096]);
        loop {
            let length = stream.read(&mut some).unwrap();
            bytes.extend_from_slice(&some[..length]);
            if let Some(request) = whole(&bytes) {
                stream.write_all(TAKEN).unwrap();
                return request;
            }
        }
    }

    /// The same with TLS.
    async fn take_secure(listener: tokio::net::TcpListener, server: tls::Server) -> (String, Vec<u8>) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = server.accept(listener.accept().await.unwrap().0).await.unwrap();
        let (mut bytes, mut some) = (Vec::new(), [0; 4096]);
        loop {
            let length = stream.read(&mut some).await.unwrap();
            bytes.extend_from_slice(&some[..length]);
            if let Some(request) = whole(&bytes) {
                stream.write_all(TAKEN).await.unwrap();
                stream.flush().await.unwrap();
                return request;
            }
        }
    }

    fn config(logs: &str, traces: &str) -> OtlpConfig {
        OtlpConfig {
            logs_endpoint: logs.to_owned(),
            traces_endpoint: traces.to_owned(),
            authorities: None,
            service_name: "meadow".to_owned(),
            timeout: Duration::from_secs(10),
        }
    }

    /// A field of a protobuf message.
    #[derive(Debug)]
    enum Field<'b> {
        Number(u64),
        Bytes(&'b [u8]),
    }

    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(byte & 127) << shift;
            if byte & 128 == 0 {
                break;
            }
        }
        value
    }

    fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let length = match tag & 7 {
                0 => {
                    found.push((tag >> 3, Field::Number(varint(&mut bytes))));
                    continue;
                }
                1 => 8,
                2 => varint(&mut bytes) as usize,
                5 => 4,
                other => panic!("wire type {other}"),
            };
            let (value, rest) = bytes.split_at(length);
            bytes = rest;
            let number = |value: &[u8]| value.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
            found.push((tag >> 3, if tag & 7 == 2 { Field::Bytes(value) } else { Field::Number(number(value)) }));
        }
        found
    }

    /// What lies at a path of field numbers.
    fn at<'b>(bytes: &'b [u8], path: &[u64]) -> Vec<&'b [u8]> {
        let Some((first, rest)) = path.split_first() else { return vec![bytes] };
        let inner = fields(bytes).into_iter().filter_map(|(number, field)| match field {
            Field::Bytes(value) if number == *first => Some(at(value, rest)),
            _ => None,
        });
        inner.flatten().collect()
    }

    fn number(bytes: &[u8], field: u64) -> Option<u64> {
        fields(bytes).into_iter().find_map(|(number, value)| match value {
            Field::Number(value) if number == field => Some(value),
            _ => None,
        })
    }

    #[test]
    fn events_reach_the_collector() {
        let (endpoint, collector) = collector("/v1/logs");
        let (bridge, export, spans) = start(&config(&endpoint, "")).unwrap();
        assert!(spans.begin("nothing", false, Now::read()).is_none());
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

    /// Sends two spans, and looks at what arrives.
    fn send_spans(config: &OtlpConfig, collector: JoinHandle<(String, Vec<u8>)>) {
        let (bridge, export, spans) = start(config).unwrap();
        assert!(bridge.is_none());
        let begun = Now::read();
        let after = |ms| Now { monotonic: begun.monotonic + Duration::from_millis(ms), wall_ms: begun.wall_ms + ms };
        let mut walk = spans.begin("walk", true, begun).unwrap();
        walk.know("vhost", "grove");
        walk.know("metres", 300);
        walk.note("opened", after(5));
        walk.asked_by("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01");
        walk.fail("rain");
        spans.end(Some(walk), after(20));
        let rest = spans.begin("rest", false, begun);
        spans.end(rest, after(1));
        drop(export);
        let (head, body) = collector.join().unwrap();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n") && head.contains("application/x-protobuf"), "{head}");
        // ExportTraceServiceRequest: resource_spans 1: resource 1: attributes 1: value 2: string 1; scope_spans 2: spans 2.
        assert_eq!(at(&body, &[1, 1, 1, 2, 1]), [b"meadow"]);
        let found = at(&body, &[1, 2, 2]);
        let text = |span: &'static [u64], of: &[u8]| {
            at(of, span).into_iter().map(|text| String::from_utf8(text.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        let (walk, rest) = (found[0], found[1]);
        assert_eq!((found.len(), text(&[5], walk), text(&[5], rest)), (2, vec!["walk".into()], vec!["rest".into()]));
        assert_eq!(at(walk, &[1]), [[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef].repeat(2)], "the client's trace");
        assert_eq!(at(walk, &[4]), [[0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]], "its span is the parent");
        assert!(at(rest, &[4]).iter().all(|parent| parent.is_empty()));
        assert_eq!((number(walk, 6), number(rest, 6)), (Some(2), Some(1)), "server, internal");
        let time = |ms: u64| Some((begun.wall_ms + ms) * 1_000_000);
        assert_eq!((number(walk, 7), number(walk, 8), number(rest, 8)), (time(0), time(20), time(1)));
        assert_eq!(
            (text(&[9, 1], walk), text(&[9, 2, 1], walk)),
            (vec!["vhost".into(), "metres".into()], vec!["grove".into()])
        );
        assert_eq!((text(&[11, 2], walk), number(at(walk, &[11])[0], 1)), (vec!["opened".into()], time(5)));
        assert_eq!((text(&[15, 2], walk), number(at(walk, &[15])[0], 3)), (vec!["rain".into()], Some(2)), "an error");
    }

    #[test]
    fn spans_reach_the_collector() {
        let (endpoint, collector) = collector("/v1/traces");
        send_spans(&config("", &endpoint), collector);
    }

    #[test]
    fn spans_reach_a_collector_with_a_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let write = |name: &str, text: String| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let certificate = write("cert.pem", made.cert.pem());
        let server = tls::Server::load(tls::Settings {
            certificate: certificate.clone(),
            key: write("key.pem", made.signing_key.serialize_pem()),
            key_password: tls::KeyPassword::default(),
            authorities: None,
            clients: tls::ClientCertificates::Ignored,
            versions: vec![tls::Version::V12, tls::Version::V13],
            login_from: tls::LoginFrom::DistinguishedName,
        });
        let (server, runtime) = (server.unwrap(), tokio::runtime::Runtime::new().unwrap());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("https://localhost:{}/v1/traces", listener.local_addr().unwrap().port());
        let collector = std::thread::spawn(move || runtime.block_on(take_secure(listener, server)));
        send_spans(&OtlpConfig { authorities: Some(certificate), ..config("", &endpoint) }, collector);
    }

    #[test]
    fn whose_child_a_span_is() {
        let good = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
        assert!(parent(good).is_some_and(|parent| parent.is_remote() && parent.is_sampled()));
        for wrong in
            ["", "00", "00-0-0-01", &good.replace('a', "z"), "00-00000000000000000000000000000000-0123456789abcdef-01"]
        {
            assert!(parent(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn without_an_address_there_is_no_export() {
        let (bridge, export, spans) = start(&config("", "")).unwrap();
        assert!(bridge.is_none() && export.logs.is_none() && export.traces.is_none());
        assert!(spans.begin("nothing", false, Now::read()).is_none());
        for (logs, traces, key) in [("ftp://x", "", "otlp.logs_endpoint"), ("", "x:4318", "otlp.traces_endpoint")] {
            let refused = start(&config(logs, traces)).map(|_| ()).unwrap_err();
            assert!(refused.contains(key), "{refused}");
        }
        let missing = OtlpConfig { authorities: Some("/none.pem".into()), ..config("https://localhost:1/v1/logs", "") };
        assert!(start(&missing).map(|_| ()).unwrap_err().contains("otlp.authorities"));
    }
}
