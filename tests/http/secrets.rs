//! A canary: a password that must be in no log and no answer.

use crate::api::Node;
use serde_json::json;

const CANARY: &str = "canary-Xq7vB2";

#[test]
fn a_password_is_nowhere() {
    let node = Node::start(&[("WARREN_LOG_LEVEL", "trace")]);
    let guest = node.as_guest();
    let mut answers = vec![guest.put("/api/users/canary", json!({"password": CANARY, "tags": "administrator"})).body];
    let canary = node.login("canary", CANARY);
    for path in [
        "/api/whoami",
        "/api/users",
        "/api/users/canary",
        "/api/definitions",
        "/api/overview",
        "/api/nodes",
        "/api/openapi.json",
    ] {
        answers.push(canary.get(path).body);
    }
    answers.push(node.login("canary", &format!("{CANARY}-wrong")).get("/api/whoami").body);
    answers.push(node.login(CANARY, "wrong").get("/api/queues").body);
    let form = format!("username=canary&password={CANARY}-wrong");
    answers.push(node.nobody().send("POST", "/api/login", Some(form.as_bytes()), &[]).body);
    let mut client = crate::support::Client::open(
        node.broker.addr,
        &crate::support::Options { user: "canary".into(), password: CANARY.into(), ..Default::default() },
    );
    assert!(client.as_mut().is_err(), "no permissions");
    for answer in answers {
        assert!(!answer.contains(CANARY), "{answer}");
    }
    let log = node.broker.stderr();
    assert!(log.contains("HTTP access denied"), "the log is looked at: {log}");
    // As a name it is told: who tried to log in is no secret.
    let told: Vec<&str> =
        log.lines().filter(|line| line.contains(CANARY) && !line.contains("HTTP access denied")).collect();
    assert!(told.is_empty(), "{told:?}");
    assert!(!log.contains(&format!("{CANARY}-wrong")));
}
