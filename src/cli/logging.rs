//! The log: `tracing` events on standard error, as text or JSON.

use crate::config::{Config, LogConfig, LogFormat, LogLevel};
use crate::span::Spans;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use tracing::Subscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
#[cfg(any(test, not(feature = "otlp")))]
use tracing_subscriber::layer::Identity;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::{Layer, Registry, reload};

/// What changes the level of the process's log.
type Dial = reload::Handle<LevelFilter, Registry>;
/// Events that the level lets through.
type Filtered = Layered<reload::Layer<LevelFilter, Registry>, Registry>;

static DIAL: OnceLock<Dial> = OnceLock::new();

/// What keeps sending the log elsewhere: drop it last of all.
#[cfg(feature = "otlp")]
pub type Export = super::otlp::Export;
/// The same in a build that sends it nowhere.
#[cfg(not(feature = "otlp"))]
#[derive(Debug)]
pub struct Export;

/// Sends the process's events to standard error, in color when that is a terminal, and where else the settings say. Returns who
/// collects traces, too.
///
/// # Errors
/// When the process has a subscriber already, or the settings name a place that is none.
pub fn start(config: &Config) -> Result<(Export, Spans), String> {
    let (bridge, export, spans) = export(config)?;
    let (subscriber, dial) = subscriber(&config.log, io::stderr, io::stderr().is_terminal(), bridge);
    tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())?;
    // There is no other: the process had no subscriber.
    let _ = DIAL.set(dial);
    Ok((export, spans))
}

#[cfg(feature = "otlp")]
fn export(config: &Config) -> Result<(Option<super::otlp::Bridge>, Export, Spans), String> {
    super::otlp::start(&config.otlp)
}

#[cfg(not(feature = "otlp"))]
fn export(config: &Config) -> Result<(Identity, Export, Spans), String> {
    let endpoints = [&config.otlp.logs_endpoint, &config.otlp.traces_endpoint];
    if endpoints.iter().all(|endpoint| endpoint.is_empty()) {
        return Ok((Identity::new(), Export, Spans::default()));
    }
    Err("otlp.logs_endpoint, otlp.traces_endpoint: this build has no OTLP: build with --features otlp".to_owned())
}

/// Sets the level of the process's log.
///
/// # Errors
/// When it has none.
pub fn set_level(level: LogLevel) -> Result<(), String> {
    let dial = DIAL.get().ok_or("there is no log")?;
    dial.reload(filter(level)).map_err(|error| error.to_string())
}

/// A subscriber that writes what `config` asks for to `writer`, and gives the same events to `bridge`.
fn subscriber<W, B>(config: &LogConfig, writer: W, color: bool, bridge: B) -> (Box<dyn Subscriber + Send + Sync>, Dial)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    B: Layer<Filtered> + Send + Sync + 'static,
{
    let (filter, dial) = reload::Layer::new(filter(config.level));
    let (filtered, lines) =
        (tracing_subscriber::registry().with(filter).with(bridge), fmt::layer().with_writer(writer));
    let subscriber: Box<dyn Subscriber + Send + Sync> = match config.format {
        LogFormat::Text => Box::new(filtered.with(lines.with_ansi(color))),
        LogFormat::Json => Box::new(filtered.with(lines.json().flatten_event(true))),
    };
    (subscriber, dial)
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    /// A writer whose text can be read afterwards.
    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(level: LogLevel, format: LogFormat) -> String {
        let page = Page::default();
        let writer = page.clone();
        let (subscriber, _) = subscriber(&LogConfig { level, format }, move || writer.clone(), false, Identity::new());
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(port = 5672, "listening");
            tracing::debug!("a detail");
        });
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn text_lines_hold_level_message_and_fields() {
        let text = log(LogLevel::Info, LogFormat::Text);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("WARN") && text.ends_with("listening port=5672\n"), "{text}");
    }

    #[test]
    fn json_lines_are_flat_objects() {
        let text = log(LogLevel::Debug, LogFormat::Json);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with('{') && lines[0].ends_with('}'), "{text}");
        assert!(lines[0].contains(r#""level":"WARN","message":"listening","port":5672"#), "{text}");
    }

    #[test]
    fn the_level_can_be_changed() {
        let page = Page::default();
        let (writer, config) = (page.clone(), LogConfig { level: LogLevel::Error, format: LogFormat::Text });
        let (subscriber, dial) = subscriber(&config, move || writer.clone(), false, Identity::new());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("first");
            dial.reload(filter(LogLevel::Info)).unwrap();
            tracing::info!("second");
            dial.reload(filter(LogLevel::Off)).unwrap();
            tracing::error!("third");
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("second") && !text.contains("first") && !text.contains("third"), "{text}");
    }

    #[test]
    fn levels_cut() {
        assert_eq!(log(LogLevel::Off, LogFormat::Text), "");
        assert_eq!(log(LogLevel::Error, LogFormat::Text), "");
        assert_eq!(log(LogLevel::Trace, LogFormat::Text).lines().count(), 2);
    }
}
