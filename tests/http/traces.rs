//! Spans of a node that runs in this process.

use crate::api::{Api, basic, eventually};
use crate::support::{Client, Options};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use warren::config::{Config, Sources};
use warren::node::Node;
use warren::span::{Attribute, Span, Spans};

#[test]
fn whoever_collects_is_told_what_a_node_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("definitions.json");
    let definitions = r#"{"vhosts":[{"name":"/"}],"users":[{"name":"guest","password":"guest","tags":"administrator"}],
        "permissions":[{"user":"guest","vhost":"/","configure":".*","write":".*","read":".*"}]}"#;
    std::fs::write(&file, definitions).unwrap();
    let setting = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let environment = vec![
        setting("WARREN_DATA_DIR", dir.path().join("data").to_str().unwrap()),
        setting("WARREN_LISTENER_ADDRESS", "127.0.0.1:0"),
        setting("WARREN_MANAGEMENT_ADDRESS", "127.0.0.1:0"),
        setting("WARREN_PROMETHEUS_ADDRESS", ""),
        setting("WARREN_DEFINITIONS_FILE", file.to_str().unwrap()),
    ];
    let config = Config::load(&Sources { file: None, environment, overrides: Vec::new() }).unwrap();
    let told = Arc::new(Mutex::new(Vec::<Span>::new()));
    let kept = told.clone();
    let spans = Spans::new(move |span| kept.lock().unwrap().push(span));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let node = runtime.block_on(async { Node::start(&config, &[], |_| Ok(()), &spans) }).unwrap();
    let (amqp, http) = (node.addresses()[0], node.http_addresses()[0]);

    let mut client = Client::open(amqp, &Options::default()).unwrap();
    client.open_channel(1).unwrap();
    client.close().unwrap();
    let wrong = Options { password: "no".to_owned(), ..Options::default() };
    assert!(Client::open(amqp, &wrong).is_err());
    let api = Api { http, authorization: Some(basic("guest", "guest")) };
    let traceparent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";
    assert_eq!(api.call("GET", "/api/queues/%2F/none", None, &[("traceparent", traceparent)]).status, 404);

    let find = |name: &str, attribute: &str, value: Attribute| {
        eventually(name, || {
            let told = told.lock().unwrap();
            let is = |span: &&Span| {
                span.name == name && span.attributes.iter().any(|(key, of)| *key == attribute && *of == value)
            };
            told.iter().find(is).cloned()
        })
    };
    let opened = find("AMQP connection", "user", "guest".into());
    let events: Vec<&str> = opened.events.iter().map(|(_, name)| *name).collect();
    assert_eq!((events, opened.error.as_deref(), opened.serves), (vec!["logged in", "opened"], None, true));
    assert!(opened.attributes.contains(&("vhost", "/".into())), "{opened:?}");
    assert!(opened.took > Duration::ZERO && opened.events.iter().all(|(after, _)| *after <= opened.took), "{opened:?}");
    let asked = find("GET /api/queues/{vhost}/{queue}", "http.response.status_code", 404.into());
    assert_eq!((asked.parent.as_deref(), asked.error.as_deref()), (Some(traceparent), None));
    assert!(asked.attributes.contains(&("vhost", "/".into())), "{asked:?}");
    find("node start", "queues", 0.into());
    eventually("the refused login", || {
        let told = told.lock().unwrap();
        told.iter()
            .any(|span| span.name == "AMQP connection" && span.error.is_some() && span.events.is_empty())
            .then_some(())
    });
    runtime.block_on(node.stop()).unwrap();
    let names: Vec<String> = told.lock().unwrap().iter().map(|span| span.name.clone()).collect();
    let of_node = ["definitions import", "node start", "node stop"];
    let found: Vec<&str> = names.iter().map(String::as_str).filter(|name| of_node.contains(name)).collect();
    assert_eq!(found, of_node);
}
