//! Canaries: passwords that must be in no log and no answer.

use crate::api::Node;
use crate::support::{Client, Options};
use serde_json::json;

const CANARY: &str = "canary-Xq7vB2";
/// The default user's.
const FIRST: &str = "canary-Zw9kD4";

#[test]
fn a_password_is_nowhere() {
    let node = Node::start(&[("WARREN_LOG_LEVEL", "trace"), ("WARREN_AUTH_DEFAULT_PASSWORD", FIRST)]);
    let guest = node.login("guest", FIRST);
    let mut answers = vec![guest.put("/api/users/canary", json!({"password": CANARY, "tags": "administrator"})).body];
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    assert_eq!(guest.put("/api/permissions/%2F/canary", all).status, 201);
    let imported = json!({"users": [{"name": "imported", "password": CANARY, "tags": "management"}]});
    answers.push(guest.post("/api/definitions", imported).body);
    let wrong = json!({"users": [{"name": 5, "password": CANARY, "tags": "management"}]});
    answers.push(guest.post("/api/definitions", wrong).body);
    answers.push(guest.put("/api/users/other", json!({"password": CANARY, "tags": 5})).body);
    answers.push(guest.get(&format!("/api/auth/hash_password/{CANARY}")).body);
    let canary = node.login("canary", CANARY);
    assert_eq!(node.login("imported", CANARY).get("/api/whoami").status, 200);
    // Every endpoint that reads.
    let paths = guest.json("/api/openapi.json")["paths"].clone();
    let reads = paths.as_object().unwrap().iter().filter(|(_, methods)| methods.get("get").is_some());
    for (path, _) in reads {
        let target = path.replace("{vhost}", "%2F").replace("{user}", "canary");
        answers.push(canary.get(&target.replace(['{', '}'], "x")).body);
    }
    for path in ["/metrics", "/metrics/per-object", "/metrics/detailed", "/metrics/memory-breakdown"] {
        answers.push(canary.get(path).body);
    }
    answers.push(node.login("canary", &format!("{CANARY}-wrong")).get("/api/whoami").body);
    answers.push(node.login(CANARY, "wrong").get("/api/queues").body);
    let form = format!("username=canary&password={CANARY}-wrong");
    answers.push(node.nobody().send("POST", "/api/login", Some(form.as_bytes()), &[]).body);
    let login = |password: &str| {
        let options = Options { user: "canary".into(), password: password.into(), ..Default::default() };
        Client::open(node.broker.addr, &options)
    };
    let mut client = login(CANARY).unwrap();
    let connections = canary.get("/api/connections").body;
    assert!(connections.contains("canary"), "{connections}");
    answers.push(connections);
    assert!(login(&format!("{CANARY}-wrong")).is_err());
    client.open_channel(1).unwrap();
    client.close().unwrap();
    for answer in answers {
        assert!(!answer.contains(CANARY) && !answer.contains(FIRST), "{answer}");
    }
    let log = node.broker.stderr();
    assert!(log.contains("HTTP access denied"), "the log is looked at: {log}");
    // As a name it is told: who tried to log in is no secret.
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains(CANARY) && !line.contains("HTTP access denied")).collect();
    assert!(told.is_empty(), "{told:?}");
    assert!(!log.contains(&format!("{CANARY}-wrong")) && !log.contains(FIRST));
}
