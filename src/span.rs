//! Spans: work that took its time, told when it is over to whoever collects traces. Nobody does unless the settings say so; then
//! nothing is put together.

use crate::clock::Now;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is known of a span.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// Text.
    Text(String),
    /// A number.
    Number(u64),
}

impl From<&str> for Attribute {
    fn from(text: &str) -> Attribute {
        Attribute::Text(text.to_owned())
    }
}

impl From<u64> for Attribute {
    fn from(number: u64) -> Attribute {
        Attribute::Number(number)
    }
}

/// Work that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What was done.
    pub name: String,
    /// A client had asked for it.
    pub serves: bool,
    /// When it began, wall clock ms.
    pub begun_ms: u64,
    /// How long it took.
    pub took: Duration,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// What happened meanwhile: how long after its beginning.
    pub events: Vec<(Duration, &'static str)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// The span of the client that asked for it, in the form of the header `traceparent`.
    pub parent: Option<String>,
}

/// Work that goes on.
#[derive(Debug)]
pub struct Begun {
    begun: Now,
    span: Span,
}

impl Begun {
    /// Names the span.
    pub fn name(&mut self, name: String) {
        self.span.name = name;
    }

    /// Adds what is known by now.
    pub fn know(&mut self, key: &'static str, attribute: impl Into<Attribute>) {
        self.span.attributes.push((key, attribute.into()));
    }

    /// Notes that something happens at this moment.
    pub fn note(&mut self, event: &'static str, now: Now) {
        self.span.events.push((self.since(now), event));
    }

    /// It was asked for by the client's span of this `traceparent`.
    pub fn asked_by(&mut self, traceparent: &str) {
        self.span.parent = Some(traceparent.to_owned());
    }

    /// It has failed.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.span.error = Some(why.into());
    }

    fn since(&self, now: Now) -> Duration {
        now.monotonic.saturating_duration_since(self.begun.monotonic)
    }
}

type Told = dyn Fn(Span) + Send + Sync;

/// Who is told of spans.
#[derive(Clone, Default)]
pub struct Spans(Option<Arc<Told>>);

impl Spans {
    /// Whoever `told` tells. It must not wait.
    pub fn new(told: impl Fn(Span) + Send + Sync + 'static) -> Spans {
        Spans(Some(Arc::new(told)))
    }

    /// Begins a span, if somebody is told of it. `serves`: a client has asked.
    pub fn begin(&self, name: &str, serves: bool, now: Now) -> Option<Box<Begun>> {
        self.0.as_ref().map(|_| {
            let (name, begun_ms, took) = (name.to_owned(), now.wall_ms, Duration::ZERO);
            let (attributes, events) = (Vec::new(), Vec::new());
            let span = Span { name, serves, begun_ms, took, attributes, events, error: None, parent: None };
            Box::new(Begun { begun: now, span })
        })
    }

    /// It is over.
    pub fn end(&self, begun: Option<Box<Begun>>, now: Now) {
        if let (Some(told), Some(mut begun)) = (&self.0, begun) {
            begun.span.took = begun.since(now);
            told(begun.span);
        }
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spans").field(&self.0.is_some()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn whoever_collects_is_told_at_the_end() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = told.clone();
        let spans = Spans::new(move |span| kept.lock().unwrap().push(span));
        let at = Now::read();
        let later = |ms| Now { monotonic: at.monotonic + Duration::from_millis(ms), wall_ms: at.wall_ms + ms };
        let mut begun = spans.begin("a walk", true, at);
        if let Some(begun) = &mut begun {
            begun.know("metres", 5);
            begun.note("rain", later(20));
            begun.fail("wet");
        }
        assert_eq!(told.lock().unwrap().len(), 0);
        spans.end(begun, later(30));
        let span = told.lock().unwrap().pop().unwrap();
        assert_eq!((span.name.as_str(), span.begun_ms, span.took), ("a walk", at.wall_ms, Duration::from_millis(30)));
        assert_eq!(
            (span.attributes, span.events),
            (vec![("metres", 5.into())], vec![(Duration::from_millis(20), "rain")])
        );
        assert_eq!(span.error.as_deref(), Some("wet"));
    }

    #[test]
    fn where_nobody_is_told_nothing_is_put_together() {
        let nobody = Spans::default();
        assert!(nobody.begin("a walk", false, Now::read()).is_none());
    }
}
