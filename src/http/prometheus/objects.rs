//! Families of single objects: which objects are asked for, and how a family is written of all of them.

use crate::broker::count::{Count, Totals};
use crate::engine::QueueHandle;
use crate::http::answer::Failure;
use crate::http::request::Request;
use crate::metrics::text::{Exposition, Kind};
use crate::name::Name;
use fancy_regex::Regex;
use std::sync::Arc;

/// Which objects are asked for.
#[derive(Debug)]
pub(super) struct Chosen {
    vhosts: Vec<String>,
    queues: Option<Regex>,
}

impl Chosen {
    /// By a request's query: `vhost` as often as wanted, `queue` a regular expression.
    ///
    /// # Errors
    /// It is none.
    pub fn of(request: &Request) -> Result<Chosen, Failure> {
        let vhosts = request.query.iter().filter(|(key, _)| key == "vhost").map(|(_, value)| value.clone());
        let regex = request.query("queue").map(Regex::new).transpose();
        let queues = regex.map_err(|fault| Failure::bad_request(format!("queue: no regular expression: {fault}")))?;
        Ok(Chosen { vhosts: vhosts.collect(), queues })
    }

    /// Whether a virtual host is.
    pub fn vhost(&self, name: &str) -> bool {
        self.vhosts.is_empty() || self.vhosts.iter().any(|vhost| vhost == name)
    }

    /// The virtual hosts that are.
    pub fn vhosts(&self, request: &Request) -> Vec<Name> {
        let mut names = request.broker.vhost_names();
        names.retain(|name| self.vhost(name.as_str()));
        names
    }

    /// The queues that are.
    pub fn queues(&self, request: &Request) -> Vec<Arc<QueueHandle>> {
        let all = self.vhosts(request).into_iter().flat_map(|name| request.broker.queues_in(name.as_str()));
        let fits = |queue: &Arc<QueueHandle>| {
            self.queues.as_ref().is_none_or(|regex| regex.is_match(queue.name().as_str()).unwrap_or(false))
        };
        all.filter(fits).collect()
    }
}

/// The labels of an object.
pub(super) type Labels = Vec<(&'static str, String)>;

/// A figure: its name, what it is, what it says, and the number of an object.
pub(super) type Figure<T> = (&'static str, Kind, &'static str, fn(&T) -> f64);

/// What is counted: the figure's name, what it says, and the count.
pub(super) type Counted = (&'static str, &'static str, Count);

fn borrowed(labels: &Labels) -> Vec<(&str, &str)> {
    labels.iter().map(|(key, value)| (*key, value.as_str())).collect()
}

/// Writes families: of each, a sample an object.
pub(super) fn write<T>(out: &mut Exposition, objects: &[(Labels, T)], figures: &[Figure<T>]) {
    for (name, kind, help, number) in figures {
        out.family(name, *kind, help);
        for (labels, object) in objects {
            out.sample(&borrowed(labels), number(object));
        }
    }
}

/// The same of counters.
pub(super) fn write_counts(out: &mut Exposition, objects: &[(Labels, Totals)], counted: &[Counted]) {
    for (name, help, count) in counted {
        out.family(name, Kind::Counter, help);
        for (labels, totals) in objects {
            out.sample(&borrowed(labels), totals.get(*count));
        }
    }
}
