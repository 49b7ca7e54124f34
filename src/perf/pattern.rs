//! Names made of a pattern and a number, and arguments written as KEY=VALUE.

use amq_protocol::types::{AMQPValue, FieldTable};

/// Stands for the number.
const NUMBER: &str = "%d";

/// `count` names, numbered from 1. A single name needs no number; several get one.
pub(super) fn names(pattern: &str, count: usize) -> Vec<String> {
    let pattern = match pattern.contains(NUMBER) || count == 1 {
        true => pattern.to_owned(),
        false => format!("{pattern}-{NUMBER}"),
    };
    (1..=count).map(|number| numbered(&pattern, number)).collect()
}

/// The pattern with a number in its places.
pub(super) fn numbered(pattern: &str, number: usize) -> String {
    pattern.replace(NUMBER, &number.to_string())
}

/// The part of `all` that worker `index` of `workers` serves: together they serve all, and none is idle.
pub(super) fn share_of<T: Clone>(all: &[T], index: usize, workers: usize) -> Vec<T> {
    if workers >= all.len() {
        all.get(index % all.len().max(1)).into_iter().cloned().collect()
    } else {
        all.iter().skip(index).step_by(workers).cloned().collect()
    }
}

/// A table of `KEY=VALUE` texts: a whole number, true, false, or else a text.
pub(super) fn table(arguments: &[String]) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for argument in arguments {
        let (key, value) = argument
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| format!("--queue-args: expected KEY=VALUE, found {argument:?}"))?;
        let key = amq_protocol::types::ShortString::try_new(key).map_err(|error| format!("--queue-args: {error}"))?;
        let value = match (value.parse::<i64>(), value) {
            (Ok(number), _) => AMQPValue::LongLongInt(number),
            (_, "true") => AMQPValue::Boolean(true),
            (_, "false") => AMQPValue::Boolean(false),
            (_, text) => AMQPValue::LongString(text.into()),
        };
        table.insert(key, value);
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_where_there_are_several() {
        assert_eq!(names("q", 1), ["q"]);
        assert_eq!(names("q", 2), ["q-1", "q-2"]);
        assert_eq!(names("a.%d.z", 1), ["a.1.z"]);
        assert_eq!(names("%d.%d", 2), ["1.1", "2.2"]);
    }

    #[test]
    fn every_queue_has_a_worker_and_every_worker_a_queue() {
        let queues = names("q", 5);
        let mut served: Vec<_> = (0..3).flat_map(|index| share_of(&queues, index, 3)).collect();
        served.sort();
        assert_eq!(served, queues);
        assert_eq!(share_of(&queues, 7, 8), ["q-3"]);
        assert!(share_of::<String>(&[], 0, 1).is_empty());
    }

    #[test]
    fn arguments_have_types() {
        let given = ["x-max-length=10", "x-queue-type=quorum", "x-single-active-consumer=true"].map(str::to_owned);
        let table = table(&given).unwrap();
        assert_eq!(table.inner().get("x-max-length"), Some(&AMQPValue::LongLongInt(10)));
        assert_eq!(table.inner().get("x-queue-type"), Some(&AMQPValue::LongString("quorum".into())));
        assert_eq!(table.inner().get("x-single-active-consumer"), Some(&AMQPValue::Boolean(true)));
        for wrong in ["x", "=1"] {
            assert!(super::table(&[wrong.to_owned()]).unwrap_err().contains("KEY=VALUE"), "{wrong}");
        }
    }
}
