//! The OpenAPI description.

use crate::api::shared;
use std::collections::HashSet;

#[test]
fn it_describes_every_endpoint_soundly() {
    let description = shared().nobody().json("/api/openapi.json");
    assert_eq!(description["openapi"], "3.0.3");
    let paths = description["paths"].as_object().unwrap();
    let mut ids = HashSet::new();
    let mut operations = 0;
    for (path, methods) in paths {
        let named: Vec<&str> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{method} {path}: its id is another's"
            );
            assert!(!operation["summary"].as_str().unwrap().is_empty());
            let parameters = operation["parameters"].as_array().unwrap();
            let in_path: Vec<&str> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            assert_eq!(in_path, named, "{method} {path}");
            assert!(operation["responses"].as_object().unwrap().len() > 3);
            assert_eq!(operation.get("security").is_some(), operation["x-needs"] != "Nothing", "{method} {path}");
            if method == "get" || method == "delete" {
                assert!(operation.get("requestBody").is_none(), "{method} {path}");
            }
        }
    }
    assert!(operations > 130, "{operations}");
    // The endpoints that tools use most.
    for path in [
        "/api/overview",
        "/api/queues/{vhost}/{queue}",
        "/api/queues/{vhost}/{queue}/get",
        "/api/exchanges/{vhost}/{exchange}/publish",
        "/api/bindings/{vhost}/e/{source}/{dtype}/{destination}/{props}",
        "/api/definitions",
        "/api/parameters/{component}/{vhost}/{name}",
        "/api/health/checks/alarms",
        "/api/connections/{connection}",
    ] {
        assert!(paths.contains_key(path), "{path}");
    }
}
