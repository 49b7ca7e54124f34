//! Bindings in all forms: by source, by destination, between the two, and one by its `properties_key`.

use super::answer::{Answer, Failure, Outcome};
use super::exchanges::{everywhere, exists};
use super::json;
use super::list::{Ident, list, object};
use super::request::Request;
use super::route::{Needs, Route, Type, delete, get, post};
use crate::broker::topology::{Binding, Destination};
use crate::definitions::export;
use crate::engine::{BindingRecord, Bindings};
use crate::name::Name;
use crate::value::Table;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use md5::{Digest, Md5};
use serde_json::Value as Json;

pub(super) const ROUTES: &[Route] = &[
    get("/bindings", Needs::Management, bindings, "All bindings that the caller sees").paged(),
    get("/bindings/{vhost}", Needs::Sight, bindings, "Bindings of a virtual host").paged(),
    get(
        "/bindings/{vhost}/e/{source}/{dtype}/{destination}",
        Needs::Sight,
        between,
        "Bindings between an exchange and a queue (`q`) or an exchange (`e`)",
    ),
    post("/bindings/{vhost}/e/{source}/{dtype}/{destination}", Needs::Member, bind, "Binds")
        .takes(&[("routing_key", Type::Text, false), ("arguments", Type::Object, false)]),
    get(
        "/bindings/{vhost}/e/{source}/{dtype}/{destination}/{props}",
        Needs::Sight,
        binding,
        "A binding by its properties_key",
    ),
    delete("/bindings/{vhost}/e/{source}/{dtype}/{destination}/{props}", Needs::Member, unbind, "Unbinds"),
    get(
        "/exchanges/{vhost}/{exchange}/bindings/source",
        Needs::Sight,
        from_exchange,
        "Bindings whose source is an exchange",
    ),
    get(
        "/exchanges/{vhost}/{exchange}/bindings/destination",
        Needs::Sight,
        to_exchange,
        "Bindings whose destination is an exchange",
    ),
    get("/queues/{vhost}/{queue}/bindings", Needs::Sight, to_queue, "Bindings of a queue"),
];

/// How a binding is named among those with the same ends (compat.md 3.2): `~` for an empty key without arguments, the key
/// percent-encoded otherwise, and a hash of the arguments behind it if there are any.
pub(super) fn properties_key(binding: &Binding) -> String {
    let key = quote_key(binding.routing_key.as_str());
    if binding.arguments.is_empty() {
        return if key.is_empty() { "~".to_owned() } else { key };
    }
    format!("{}~{}", if key.is_empty() { String::new() } else { key }, hash(&binding.arguments))
}

/// A hash of arguments, whatever their order.
fn hash(arguments: &Table) -> String {
    let mut fields: Vec<_> = arguments.iter().collect();
    fields.sort_by_key(|(key, _)| *key);
    let sorted: Table = fields.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut bytes = Vec::new();
    sorted.encode_content(&mut bytes);
    URL_SAFE_NO_PAD.encode(Md5::digest(&bytes))
}

/// A key with everything percent-encoded that is not a letter, a digit or one of `-_.`; a space is `+`. In an address `~` stands
/// as it is, in a `properties_key` it has a meaning.
fn quote_key(key: &str) -> String {
    quote(key).replace('~', "%7E")
}

fn quote(key: &str) -> String {
    let mut quoted = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => quoted.push(char::from(byte)),
            b' ' => quoted.push('+'),
            other => quoted.push_str(&format!("%{other:02X}")),
        }
    }
    quoted
}

fn describe(record: &BindingRecord) -> Json {
    let mut shown = export::binding(record);
    if let Json::Object(members) = &mut shown {
        members.insert("properties_key".to_owned(), Json::from(properties_key(&record.binding)));
    }
    shown
}

fn show(request: &Request, records: Vec<BindingRecord>) -> Outcome {
    let ident = |record: &BindingRecord| {
        let Binding { source, destination, routing_key, .. } = &record.binding;
        // In RabbitMQ's order: source, destination, key.
        Ident::new(record.vhost.as_str(), &format!("{source}\0{}\0{routing_key}", destination.name()))
    };
    list(request, records, ident, describe)
}

fn bindings(request: &Request) -> Outcome {
    show(request, everywhere(request, |vhost| request.broker.bindings_in(vhost, Bindings::All))?)
}

fn from_exchange(request: &Request) -> Outcome {
    let (vhost, name) = (request.vhost()?, request.exchange("exchange")?);
    if !exists(request, &vhost, &name) {
        return Err(Failure::not_found());
    }
    show(request, request.broker.bindings_in(vhost.as_str(), Bindings::From(name.as_str())))
}

fn to_exchange(request: &Request) -> Outcome {
    let (vhost, name) = (request.vhost()?, request.exchange("exchange")?);
    if !exists(request, &vhost, &name) {
        return Err(Failure::not_found());
    }
    show(request, request.broker.bindings_in(vhost.as_str(), Bindings::To(&Destination::Exchange(name))))
}

fn to_queue(request: &Request) -> Outcome {
    let queue = super::queues::find(request)?;
    let (vhost, destination) = (&queue.definition().vhost, Destination::Queue(queue.name().clone()));
    show(request, request.broker.bindings_in(vhost.as_str(), Bindings::To(&destination)))
}

/// Virtual host, source and destination of the path.
fn named_ends(request: &Request) -> Result<(Name, Name, Destination), Failure> {
    let (vhost, source) = (request.vhost()?, request.exchange("source")?);
    let destination = match request.param("dtype") {
        "q" => Destination::Queue(request.name("destination")?),
        "e" => Destination::Exchange(request.exchange("destination")?),
        _ => return Err(Failure::not_found()),
    };
    Ok((vhost, source, destination))
}

/// The same, all of which are there.
fn ends(request: &Request) -> Result<(Name, Name, Destination), Failure> {
    let (vhost, source, destination) = named_ends(request)?;
    let there = match &destination {
        Destination::Queue(name) => request.broker.queue(vhost.as_str(), name.as_str()).is_some(),
        Destination::Exchange(name) => exists(request, &vhost, name),
    };
    if there && exists(request, &vhost, &source) { Ok((vhost, source, destination)) } else { Err(Failure::not_found()) }
}

fn between(request: &Request) -> Outcome {
    let (vhost, source, destination) = ends(request)?;
    show(request, request.broker.bindings_in(vhost.as_str(), Bindings::Between(source.as_str(), &destination)))
}

fn bind(request: &Request) -> Outcome {
    let (vhost, source, destination) = named_ends(request)?;
    let body = request.object()?;
    let key = json::optional_text(&body, "routing_key")?.unwrap_or_default();
    let routing_key = Name::new(key).ok_or_else(|| Failure::bad_request("routing_key: longer than 255 bytes"))?;
    let binding = Binding { source, destination, routing_key, arguments: json::to_table(body.get("arguments"))? };
    let key = properties_key(&binding);
    let location = format!("{}/{}", quote(binding.destination.name().as_str()), quote(&key));
    let epoch = request.session(&vhost)?.bind(binding)?;
    Ok(Answer::nothing().status(201).header("location", location).after(epoch))
}

fn find(request: &Request) -> Result<BindingRecord, Failure> {
    let (vhost, source, destination) = ends(request)?;
    let wanted = request.param("props");
    let mut records =
        request.broker.bindings_in(vhost.as_str(), Bindings::Between(source.as_str(), &destination)).into_iter();
    // The path is decoded once already: clients that encode the key as it is listed, and those that do not, both get here.
    let is_it = |record: &BindingRecord| {
        let key = properties_key(&record.binding);
        key == wanted || (record.binding.arguments.is_empty() && record.binding.routing_key.as_str() == wanted)
    };
    records.find(is_it).ok_or_else(Failure::not_found)
}

fn binding(request: &Request) -> Outcome {
    Ok(object(request, describe(&find(request)?)))
}

fn unbind(request: &Request) -> Outcome {
    let record = find(request)?;
    let epoch = request.session(&record.vhost)?.unbind(record.binding)?;
    Ok(Answer::nothing().after(epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    fn key(routing_key: &str, arguments: &[(&'static str, Value)]) -> String {
        let name = |text: &str| Name::new(text).unwrap();
        properties_key(&Binding {
            source: name("x"),
            destination: Destination::Queue(name("q")),
            routing_key: name(routing_key),
            arguments: arguments.iter().cloned().collect(),
        })
    }

    #[test]
    fn properties_keys() {
        assert_eq!(key("", &[]), "~");
        assert_eq!(key("a.b", &[]), "a.b");
        assert_eq!(key("a/b ~", &[]), "a%2Fb+%7E");
        let one = key("k", &[("a", 1.into()), ("b", "x".into())]);
        assert!(one.starts_with("k~") && one.len() == 2 + 22, "{one}");
        assert_eq!(one, key("k", &[("b", "x".into()), ("a", 1.into())]), "whatever the order");
        assert_ne!(one, key("k", &[("a", 2.into()), ("b", "x".into())]));
        assert!(key("", &[("a", 1.into())]).starts_with('~'));
    }
}
