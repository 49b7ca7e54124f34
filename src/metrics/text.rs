//! The text form in which Prometheus reads figures (version 0.0.4): families with their help and type, each once, their
//! samples together.

use std::fmt::Write;

/// The media type.
pub const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
    /// Says something by its labels, or by being there.
    Untyped,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Untyped => "untyped",
        }
    }
}

/// A number as it is shown: whole numbers without a point.
pub trait Number {
    /// Appends it.
    fn write(&self, out: &mut String);
}

impl Number for u64 {
    fn write(&self, out: &mut String) {
        // Writing to memory does not fail.
        let _ = write!(out, "{self}");
    }
}

impl Number for f64 {
    fn write(&self, out: &mut String) {
        // The sum of nothing is -0. Writing to memory does not fail.
        let _ = write!(out, "{}", self + 0.0);
    }
}

/// Labels of a sample.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Figures, written as they come.
#[derive(Debug)]
pub struct Exposition {
    out: String,
    prefix: &'static str,
    family: String,
}

impl Exposition {
    /// None yet. `prefix` stands before every name.
    pub fn new(prefix: &'static str) -> Exposition {
        Exposition { out: String::new(), prefix, family: String::new() }
    }

    /// Begins a family: its samples follow.
    pub fn family(&mut self, name: &str, kind: Kind, help: &str) -> &mut Exposition {
        self.family = format!("{}{name}", self.prefix);
        // Writing to memory does not fail.
        let _ = writeln!(self.out, "# TYPE {} {}\n# HELP {} {help}", self.family, kind.word(), self.family);
        self
    }

    /// A sample of the family.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Number) -> &mut Exposition {
        self.write("", labels, None, value);
        self
    }

    /// A family with one sample without labels.
    pub fn one(&mut self, name: &str, kind: Kind, help: &str, value: impl Number) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// A distribution: for each bound how many were at most so large, then the sum and how many there were.
    pub fn histogram(&mut self, labels: Labels<'_>, buckets: &[(f64, u64)], sum: f64, count: u64) {
        for (bound, below) in buckets {
            self.write("_bucket", labels, Some(&bound.to_string()), *below);
        }
        self.write("_bucket", labels, Some("+Inf"), count);
        self.write("_sum", labels, None, sum);
        self.write("_count", labels, None, count);
    }

    fn write(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Number) {
        let out = &mut self.out;
        out.push_str(&self.family);
        out.push_str(suffix);
        let all = labels.iter().copied().chain(bound.map(|bound| ("le", bound)));
        let mut any = false;
        for (name, text) in all {
            out.push(if any { ',' } else { '{' });
            any = true;
            out.push_str(name);
            out.push_str("=\"");
            for c in text.chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '"' => out.push_str("\\\""),
                    '\n' => out.push_str("\\n"),
                    other => out.push(other),
                }
            }
            out.push('"');
        }
        if any {
            out.push('}');
        }
        out.push(' ');
        value.write(out);
        out.push('\n');
    }

    /// All that was written.
    pub fn finish(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_samples() {
        let mut figures = Exposition::new("x_");
        figures.one("up", Kind::Gauge, "Whether it is", 1u64);
        let names: Labels<'_> = &[("queue", "a\"b\\c\nd"), ("vhost", "/")];
        figures.family("taken_total", Kind::Counter, "How many").sample(names, 1.5).sample(&[("queue", "")], 2u64);
        figures.one("none", Kind::Untyped, "Nothing", [0.0; 0].into_iter().sum::<f64>());
        figures.family("seconds", Kind::Histogram, "How long").histogram(&[("a", "b")], &[(0.5, 1), (1.0, 3)], 2.25, 4);
        let wanted = "# TYPE x_up gauge\n# HELP x_up Whether it is\nx_up 1\n\
            # TYPE x_taken_total counter\n# HELP x_taken_total How many\n\
            x_taken_total{queue=\"a\\\"b\\\\c\\nd\",vhost=\"/\"} 1.5\nx_taken_total{queue=\"\"} 2\n\
            # TYPE x_none untyped\n# HELP x_none Nothing\nx_none 0\n\
            # TYPE x_seconds histogram\n# HELP x_seconds How long\n\
            x_seconds_bucket{a=\"b\",le=\"0.5\"} 1\nx_seconds_bucket{a=\"b\",le=\"1\"} 3\nx_seconds_bucket{a=\"b\",le=\"+Inf\"} 4\n\
            x_seconds_sum{a=\"b\"} 2.25\nx_seconds_count{a=\"b\"} 4\n";
        assert_eq!(figures.finish(), wanted);
    }
}
