//! Lists: filter, sort, page, columns (compat.md 3.1). Objects are put together only for what is shown, unless they are to be
//! sorted by something that only the whole object tells.

use super::answer::{Answer, Outcome};
use super::page::Page;
use super::request::Request;
use serde_json::{Map, Value as Json};
use std::cmp::Ordering;

/// What a list is sorted and filtered by without looking at its objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ident {
    /// The virtual host, where the objects have one.
    pub vhost: String,
    /// The name.
    pub name: String,
}

impl Ident {
    /// Of an object in a virtual host.
    pub fn new(vhost: &str, name: &str) -> Ident {
        Ident { vhost: vhost.to_owned(), name: name.to_owned() }
    }
}

/// Answers with a list of what `keys` stand for; `make` puts an object together.
///
/// # Errors
/// Page, filter or sort parameters that make no sense; a page beyond the end.
pub fn list<K>(request: &Request, keys: Vec<K>, ident: impl Fn(&K) -> Ident, make: impl Fn(&K) -> Json) -> Outcome {
    list_quick(request, keys, ident, |_, _| None, make)
}

/// As [`list`]; `quick` tells some members without putting the whole object together, for lists that are sorted by them.
///
/// # Errors
/// As [`list`].
pub fn list_quick<K>(
    request: &Request,
    keys: Vec<K>,
    ident: impl Fn(&K) -> Ident,
    quick: impl Fn(&K, &str) -> Option<Json>,
    make: impl Fn(&K) -> Json,
) -> Outcome {
    let page = Page::of(request)?;
    let columns = Columns::of(request);
    let total = keys.len();
    let mut keyed: Vec<(Ident, K)> = keys.into_iter().map(|key| (ident(&key), key)).collect();
    if let Some(Page { filter: Some(filter), .. }) = &page {
        keyed.retain(|(ident, _)| filter.passes(&ident.name));
    }
    let filtered = keyed.len();
    let range = page.as_ref().map_or(Ok(0..filtered), |page| page.range(filtered))?;
    let value = |key: &K, path: &str| quick(key, path).or_else(|| dotted(&make(key), path).cloned());
    let chosen = sorted(request, keyed, &value, range);
    Ok(match page {
        Some(page) => paged(request, &page, (total, filtered), &chosen, make),
        None => {
            let mut body = Vec::new();
            write_items(&mut body, &chosen, &columns, &make);
            Answer::written(body)
        }
    })
}

/// Answers with a page of so many things, so many of which pass its filter.
pub(super) fn paged<K>(
    request: &Request,
    page: &Page,
    (total, filtered): (usize, usize),
    chosen: &[K],
    make: impl Fn(&K) -> Json,
) -> Answer {
    let mut text = page.head(total, filtered, chosen.len()).to_string();
    // The head is an object with members: the items become one more.
    text.pop();
    text.push_str(",\"items\":");
    let mut body = text.into_bytes();
    write_items(&mut body, chosen, &Columns::of(request), &make);
    body.push(b'}');
    Answer::written(body)
}

/// The objects of a place of the sorted list.
fn sorted<K>(
    request: &Request,
    mut keyed: Vec<(Ident, K)>,
    value: &impl Fn(&K, &str) -> Option<Json>,
    range: std::ops::Range<usize>,
) -> Vec<K> {
    let reverse = request.flag("sort_reverse");
    let sort = request.query("sort");
    if sort == Some("") {
        // RabbitMQ: an empty sort means none.
        return keyed.drain(range).map(|(_, key)| key).collect();
    }
    let by_name = matches!(sort, None | Some("name" | "vhost"));
    if by_name {
        let order = |one: &(Ident, K), other: &(Ident, K)| {
            let order = match sort {
                Some("name") => one.0.name.cmp(&other.0.name).then_with(|| one.0.vhost.cmp(&other.0.vhost)),
                _ => one.0.cmp(&other.0),
            };
            if reverse { order.reverse() } else { order }
        };
        return slice_sorted(keyed, range, order);
    }
    let path = sort.unwrap_or_default();
    let valued: Vec<(Json, Ident, K)> =
        keyed.into_iter().map(|(ident, key)| (value(&key, path).unwrap_or(Json::from(0)), ident, key)).collect();
    let order = |one: &(Json, Ident, K), other: &(Json, Ident, K)| {
        let order = compare(&one.0, &other.0).then_with(|| one.1.cmp(&other.1));
        if reverse { order.reverse() } else { order }
    };
    slice_sorted(valued, range, order).into_iter().map(|(_, _, key)| key).collect::<Vec<K>>()
}

trait Keyed<K> {
    type Out;
    fn out(self) -> Self::Out;
}

impl<K> Keyed<K> for (Ident, K) {
    type Out = K;

    fn out(self) -> K {
        self.1
    }
}

impl<K> Keyed<K> for (Json, Ident, K) {
    type Out = (Json, Ident, K);

    fn out(self) -> (Json, Ident, K) {
        self
    }
}

/// What stands at `range` when all are sorted; only that is sorted.
fn slice_sorted<K, T: Keyed<K>>(
    mut all: Vec<T>,
    range: std::ops::Range<usize>,
    order: impl Fn(&T, &T) -> Ordering,
) -> Vec<T::Out> {
    if range.end < all.len() {
        all.select_nth_unstable_by(range.end, &order);
        all.truncate(range.end);
    }
    if range.start > 0 && range.start < all.len() {
        all.select_nth_unstable_by(range.start, &order);
    }
    let mut chosen: Vec<T> = all.drain(range.start.min(all.len())..).collect();
    chosen.sort_unstable_by(&order);
    chosen.into_iter().map(Keyed::out).collect()
}

fn write_items<K>(body: &mut Vec<u8>, chosen: &[K], columns: &Columns, make: &impl Fn(&K) -> Json) {
    body.push(b'[');
    for (at, key) in chosen.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut *body, &columns.of_object(make(key)));
    }
    body.push(b']');
}

/// Answers with one object.
pub fn object(request: &Request, object: Json) -> Answer {
    Answer::json(&Columns::of(request).of_object(object))
}

/// What `?columns=a,b.c` asks for; all when it is not given.
struct Columns(Option<Vec<Vec<String>>>);

impl Columns {
    fn of(request: &Request) -> Columns {
        let path = |column: &str| column.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let columns = request.query("columns").filter(|columns| !columns.is_empty());
        Columns(columns.map(|columns| columns.split(',').map(path).filter(|path: &Vec<_>| !path.is_empty()).collect()))
    }

    fn of_object(&self, object: Json) -> Json {
        match &self.0 {
            None => object,
            Some(paths) => {
                let paths: Vec<&[String]> = paths.iter().map(Vec::as_slice).collect();
                keep(object, &paths)
            }
        }
    }
}

/// Recursion: as deep as the columns name.
fn keep(value: Json, paths: &[&[String]]) -> Json {
    let object = match value {
        Json::Object(object) => object,
        Json::Array(elements) => return elements.into_iter().map(|element| keep(element, paths)).collect(),
        other => return other,
    };
    let mut kept = Map::new();
    for (key, member) in object {
        let below: Vec<&[String]> = paths
            .iter()
            .filter_map(|path| path.split_first().filter(|(first, _)| **first == key).map(|(_, rest)| rest))
            .collect();
        if below.is_empty() {
            continue;
        }
        let whole = below.iter().any(|path| path.is_empty());
        kept.insert(key, if whole { member } else { keep(member, &below) });
    }
    Json::Object(kept)
}

fn dotted<'j>(object: &'j Json, path: &str) -> Option<&'j Json> {
    path.split('.').try_fold(object, |value, key| value.get(key))
}

/// The order of Erlang's terms: numbers, atoms, objects, lists, text.
fn compare(one: &Json, other: &Json) -> Ordering {
    let rank = |value: &Json| match value {
        Json::Number(_) => 0,
        Json::Bool(_) | Json::Null => 1,
        Json::Object(_) => 2,
        Json::Array(_) => 3,
        Json::String(_) => 4,
    };
    match (one, other) {
        (Json::Number(one), Json::Number(other)) => {
            let number = |number: &serde_json::Number| number.as_f64().unwrap_or(0.0);
            number(one).total_cmp(&number(other))
        }
        (Json::Bool(one), Json::Bool(other)) => one.cmp(other),
        (Json::String(one), Json::String(other)) => one.cmp(other),
        (Json::Array(one), Json::Array(other)) => one.len().cmp(&other.len()),
        _ => rank(one).cmp(&rank(other)),
    }
}
