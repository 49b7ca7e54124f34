//! Rows as RabbitMQ's formatters print them.

use super::line::{Format, Line};
use serde_json::{Map, Value};

/// Prints rows that have these columns.
pub(super) fn rows(line: &Line, columns: &[&str], rows: &[Map<String, Value>]) -> String {
    let headers = !line.silent && !line.no_headers;
    let cells = |row: &Map<String, Value>| -> Vec<String> {
        columns.iter().map(|column| text(row.get(*column).unwrap_or(&Value::Null))).collect()
    };
    match line.format {
        Format::Json | Format::JsonStream => {
            let pick = |row: &Map<String, Value>| {
                let pairs = columns.iter().map(|column| {
                    ((*column).to_owned(), row.get(*column).cloned().unwrap_or_else(|| Value::String(String::new())))
                });
                Value::Object(pairs.collect())
            };
            let rows: Vec<String> = rows.iter().map(|row| pick(row).to_string() + "\n").collect();
            if line.format == Format::JsonStream { rows.concat() } else { format!("[\n{}]\n", rows.join(",")) }
        }
        Format::Csv => {
            let line = |cells: Vec<String>| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n";
            let header = columns.iter().map(|column| (*column).to_owned()).collect();
            let body: String = rows.iter().map(|row| line(cells(row))).collect();
            if headers { line(header) + &body } else { body }
        }
        Format::Pretty => pretty(columns, &rows.iter().map(cells).collect::<Vec<_>>()),
        Format::Plain => {
            let body: String = rows.iter().map(|row| cells(row).join("\t") + "\n").collect();
            if headers && !columns.is_empty() && !rows.is_empty() { columns.join("\t") + "\n" + &body } else { body }
        }
    }
}

/// Prints a value that is no list of rows, for people; nothing if nothing was found.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Object(map) => map.iter().map(|(key, value)| format!("{key}\t{}\n", text(value))).collect(),
        Value::Array(items) => items.iter().map(|item| text(item) + "\n").collect(),
        // More than one line of it: as it is.
        Value::String(text) => format!("{text}\n"),
        value => text(value) + "\n",
    }
}

/// A cell: text without quotes, lists and objects as RabbitMQ's table prints them.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace(['\n', '\t'], " "),
        Value::Array(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<String> = map.iter().map(|(key, value)| format!("{{\"{key}\",{}}}", inner(value))).collect();
            format!("[{}]", pairs.join(","))
        }
        other => other.to_string(),
    }
}

fn inner(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{text}\""),
        other => text(other),
    }
}

/// Every cell has quotes, as RabbitMQ gives them.
fn quoted(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}

fn pretty(columns: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..columns.len())
        .map(|place| {
            let header = columns.get(place).map_or(0, |column| column.chars().count());
            let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
            cells.max().unwrap_or(0).max(header)
        })
        .collect();
    let rule = |left: &str, middle: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    let line = |cells: Vec<&str>| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!(" {cell}{} ", " ".repeat(width.saturating_sub(cell.chars().count()))));
        format!("│{}│\n", padded.collect::<Vec<_>>().join("│"))
    };
    let body: Vec<String> = rows.iter().map(|row| line(row.iter().map(String::as_str).collect())).collect();
    let body = body.join(&rule("├", "┼", "┤"));
    let (top, head, bottom) = (rule("┌", "┬", "┐"), line(columns.to_vec()), rule("└", "┴", "┘"));
    if rows.is_empty() {
        format!("{top}{head}{bottom}")
    } else {
        format!("{top}{head}{}{body}{bottom}", rule("├", "┼", "┤"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn print(options: &str, values: &Value) -> String {
        let words: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
        let maps: Vec<_> = values.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect();
        rows(&super::super::line::read(&words).unwrap(), &["name", "messages"], &maps)
    }

    #[test]
    fn formats() {
        let two = json!([{"name": "a,b", "messages": 1, "x": 0}, {"name": "c", "messages": {"k": ["v", 2]}}]);
        assert_eq!(print("", &two), "name\tmessages\na,b\t1\nc\t[{\"k\",[v, 2]}]\n");
        assert_eq!(print("--quiet", &two), print("", &two));
        assert_eq!(print("--silent", &two), "a,b\t1\nc\t[{\"k\",[v, 2]}]\n");
        assert_eq!(print("--no-table-headers", &two), print("-s", &two));
        let csv = "\"name\",\"messages\"\n\"a,b\",\"1\"\n\"c\",\"[{\"\"k\"\",[v, 2]}]\"\n";
        assert_eq!(print("--formatter csv", &two), csv);
        assert_eq!(print("--formatter csv -s", &two), csv.split_once('\n').unwrap().1);
        let lines: Vec<Value> =
            print("-f json_stream", &two).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]), (2, &json!({"name": "a,b", "messages": 1})));
        let parsed: Value = serde_json::from_str(&print("-f json", &two)).unwrap();
        assert_eq!(parsed, json!([{"name": "a,b", "messages": 1}, {"name": "c", "messages": {"k": ["v", 2]}}]));
        let wanted =
            "┌──────┬──────────┐\n│ name │ messages │\n├──────┼──────────┤\n│ a    │ 1        │\n└──────┴──────────┘\n";
        assert_eq!(print("-f pretty_table", &json!([{"name": "a", "messages": 1}])), wanted);
        assert_eq!((print("", &json!([])), print("-f json", &json!([]))), (String::new(), "[\n]\n".to_owned()));
    }
}
