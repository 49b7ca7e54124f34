//! What is imported at a start: which files, in which order, and when nothing is.

use super::tests::start;
use super::*;
use crate::broker::access::HashAlgorithm;
use crate::engine::Broker;
use crate::store::memory::MemoryStorage;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

fn broker() -> Arc<Broker> {
    start(&Arc::new(MemoryStorage::default()))
}

/// A file whose user `u` has this tag.
fn tagged(tag: &str) -> String {
    format!(r#"{{"users": [{{"name": "u", "tags": ["{tag}"]}}], "vhosts": [{{"name": "{tag}"}}]}}"#)
}

/// The tag of the user `u`.
fn tag(broker: &Broker) -> String {
    broker.user("u").unwrap().tags[0].as_str().to_owned()
}

fn sources(path: &Path) -> Sources {
    let mut found = Sources::default();
    found.read(path).unwrap();
    found
}

#[test]
fn the_files_of_a_directory_come_in_the_order_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("20-second.json", tagged("second")),
        ("10-first.json", tagged("first")),
        ("30-last.json", tagged("last")),
        ("99-other.json.bak", "{".to_owned()),
        ("README", String::new()),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let broker = broker();
    assert!(sources(dir.path()).import(&broker, HashAlgorithm::default(), false).unwrap());
    assert_eq!(tag(&broker), "last", "what comes later is set over what was before");
    let vhosts: Vec<_> = broker.vhosts().iter().map(|vhost| vhost.name.as_str().to_owned()).collect();
    assert_eq!(vhosts, ["first", "last", "second"]);
    // A fault of any is found before anything is made, and says of which.
    fs::write(dir.path().join("15-wrong.json"), r#"{"users": [{}]}"#).unwrap();
    let fault = Sources::default().read(dir.path()).unwrap_err();
    assert!(fault.origin.ends_with("15-wrong.json"), "{fault}");
    assert_eq!((&fault.place[..], &fault.problem[..]), ("users[0]", "'name' is missing"));
    assert!(Sources::default().read(&dir.path().join("none.json")).is_err());
    broker.stop().unwrap();
}

#[test]
fn what_is_unchanged_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (file, storage) = (dir.path().join("d.json"), Arc::new(MemoryStorage::default()));
    fs::write(&file, tagged("a")).unwrap();
    // Whether it is to be skipped if unchanged, whether it is imported then.
    for (round, (skip, imported)) in [(true, true), (true, false), (false, true), (true, false)].iter().enumerate() {
        let broker = start(&storage);
        assert_eq!(sources(&file).import(&broker, HashAlgorithm::default(), *skip).unwrap(), *imported, "{round}");
        broker.stop().unwrap();
    }
    let broker = start(&storage);
    let import = |skip| sources(&file).import(&broker, HashAlgorithm::default(), skip).unwrap();
    broker.delete_user("u").unwrap();
    assert!(!import(true) && broker.user("u").is_none(), "what was deleted since stays so");
    fs::write(&file, tagged("b")).unwrap();
    assert!(import(true) && tag(&broker) == "b");
    // An import that was not to be skipped is the last one, too.
    fs::write(&file, tagged("c")).unwrap();
    assert!(import(false));
    fs::write(&file, tagged("b")).unwrap();
    assert!(import(true) && tag(&broker) == "b");
    broker.stop().unwrap();
}

#[test]
fn the_note_of_an_import_stays_on_its_node() {
    let dir = tempfile::tempdir().unwrap();
    let (file, broker) = (dir.path().join("d.json"), broker());
    let foreign = format!(r#"{{"global_parameters": [{{"name": "{HASH_PARAMETER}", "value": "x"}}]}}"#);
    fs::write(&file, foreign).unwrap();
    let import = |skip| sources(&file).import(&broker, HashAlgorithm::default(), skip).unwrap();
    assert!(import(false) && broker.parameters().is_empty());
    assert!(import(true));
    assert_eq!(broker.parameters().len(), 1);
    let exported = export::cluster(&broker, "c", "1");
    assert_eq!(exported["global_parameters"], serde_json::json!([]));
    broker.stop().unwrap();
}

/// Answers one request with this, on a port of its own.
fn serve(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/d.json", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(answer.as_bytes()).unwrap();
    });
    url
}

#[test]
fn a_server_sends_them() {
    let answer = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    let broker = broker();
    let mut found = Sources::default();
    found.fetch(&serve(answer("200 OK", &tagged("fetched"))), None).unwrap();
    assert!(found.import(&broker, HashAlgorithm::default(), false).unwrap());
    assert_eq!(tag(&broker), "fetched");
    for (answer, problem) in [
        (answer("404 Not Found", "{}"), "status 404"),
        (answer("302 Found", "{}"), "status 302"),
        (answer("200 OK", "{"), "no JSON: EOF while parsing an object at line 1 column 1"),
    ] {
        let url = serve(answer);
        let signed = format!("{}?signature=hunter2", url.replace("//", "//user:hunter2@"));
        let fault = Sources::default().fetch(&signed, None).unwrap_err();
        assert_eq!((&fault.origin, &fault.problem[..]), (&url, problem));
    }
    let fault = Sources::default().fetch("https://user:hunter2@127.0.0.1:1/?hunter2", None).unwrap_err();
    assert!(fault.to_string().starts_with("https://127.0.0.1:1/: ") && !fault.to_string().contains("hunter2"));
    assert!(Sources::default().fetch("no address", None).is_err());
    broker.stop().unwrap();
}
