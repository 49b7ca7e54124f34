//! Who may use what: every endpoint of the description with users of every tag.

use crate::api::{Api, Node, basic};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Users: their tag, and whether they have permissions in `/`.
const USERS: [(&str, &str, bool); 6] = [
    ("administrator", "administrator", true),
    ("monitoring", "monitoring", false),
    ("policymaker", "policymaker", true),
    ("management", "management", true),
    ("stranger", "management", false),
    ("nobody", "", true),
];

/// Whether a user gets past the check of rights, by the endpoint's needs: in the order of [`USERS`].
fn expected(needs: &str, path: &str) -> [bool; 6] {
    let here = path.contains("{vhost}");
    match needs {
        "Nothing" => [true; 6],
        "Management" => [true, true, true, true, true, false],
        "Monitoring" => [true, true, false, false, false, false],
        "Administrator" => [true, false, false, false, false, false],
        "Policymaker" => [true, false, true, false, false, false],
        "PolicymakerThere" => [true, false, true, false, false, false],
        "OwnerOrMonitoring" => [true, true, false, false, false, false],
        "OwnerOrAdministrator" => [true, false, false, false, false, false],
        "Sight" => [true, true, true, true, !here, false],
        "Member" => [true, !here, true, true, !here, false],
        other => panic!("unknown needs {other}"),
    }
}

fn users(node: &Node) -> BTreeMap<&'static str, Api> {
    let guest = node.as_guest();
    USERS
        .iter()
        .map(|(name, tag, member)| {
            assert_eq!(guest.put(&format!("/api/users/r-{name}"), json!({"password": "p", "tags": tag})).status, 201);
            if *member {
                let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
                guest.put(&format!("/api/permissions/%2F/r-{name}"), all);
            }
            (*name, node.login(&format!("r-{name}"), "p"))
        })
        .collect()
}

/// A path whose objects do not exist, so that nothing happens to what does.
fn concrete(path: &str) -> String {
    path.replace("{vhost}", "%2F")
        .split('/')
        .map(|part| if part.starts_with('{') { "absent" } else { part })
        .collect::<Vec<_>>()
        .join("/")
}

fn is_refused_for_rights(status: u16, body: &str) -> bool {
    let reason = serde_json::from_str::<Value>(body).ok().and_then(|body| body["reason"].as_str().map(str::to_owned));
    status == 401
        && [
            "Not administrator user",
            "Not monitor user",
            "Not management user",
            "User not authorised to access object",
            "User not authorised to access virtual host",
        ]
        .contains(&reason.unwrap_or_default().as_str())
}

/// Who may use each endpoint, as RabbitMQ has it: needs, method, address.
const TABLE: &str = include_str!("rights.txt");

#[test]
fn every_endpoint_is_for_whom_the_table_says() {
    let description = crate::api::shared().nobody().json("/api/openapi.json");
    let mut found: Vec<String> =
        TABLE.lines().filter(|line| !line.contains("/api/")).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(found.len(), 4, "figures are for monitoring users, and not described");
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            found.push(format!("{}{}{path}", operation["x-needs"].as_str().unwrap(), method.to_uppercase()));
        }
    }
    let mut wanted: Vec<String> = TABLE.lines().map(|line| line.split_whitespace().collect()).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

#[test]
fn every_endpoint_asks_for_what_it_needs() {
    let node = Node::start(&[]);
    let users = users(&node);
    let mut description = node.nobody().json("/api/openapi.json");
    for path in ["/metrics", "/metrics/per-object", "/metrics/detailed", "/metrics/memory-breakdown"] {
        description["paths"][path] = json!({"get": {"x-needs": "Monitoring"}});
    }
    let mut checked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let needs = operation["x-needs"].as_str().unwrap();
            // The form of a login is looked at in another test.
            if path == "/api/login" {
                continue;
            }
            let method = method.to_uppercase();
            // The virtual host that all stand in must stay.
            let deletes_all = (method.as_str(), path.as_str()) == ("DELETE", "/api/vhosts/{vhost}");
            let target = if deletes_all { "/api/vhosts/absent".to_owned() } else { concrete(path) };
            let body = (method == "PUT" || method == "POST").then(|| json!({"unknown": 1}));
            if needs != "Nothing" {
                let reply = node.nobody().call(&method, &target, body.as_ref(), &[]);
                assert_eq!(reply.status, 401, "{method} {path} without a login");
                assert!(
                    reply.header("www-authenticate").is_some_and(|value| value.starts_with("Basic")),
                    "{method} {path}"
                );
                // Few are tried: wrong passwords are answered slower and slower.
                if checked < 12 {
                    let wrong = Api { authorization: Some(basic("r-administrator", "no")), ..node.nobody() };
                    let reply = wrong.call(&method, &target, body.as_ref(), &[]);
                    assert_eq!(
                        (reply.status, reply.json()["error"].clone()),
                        (401, json!("not_authorized")),
                        "{method} {path}"
                    );
                }
            }
            for ((name, ..), may) in USERS.iter().zip(expected(needs, path)) {
                let reply = users[name].call(&method, &target, body.as_ref(), &[]);
                assert_eq!(
                    !is_refused_for_rights(reply.status, &reply.body),
                    may,
                    "{method} {path} ({needs}) as {name}: {reply:?}"
                );
                assert_ne!(reply.status, 500, "{method} {path}: {reply:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 6 * 165, "{checked}");
}

#[test]
fn lists_show_what_the_caller_sees() {
    let node = Node::start(&[]);
    let guest = node.as_guest();
    let users = users(&node);
    guest.put("/api/vhosts/r-other", json!({}));
    guest.put("/api/permissions/r-other/guest", json!({"configure": ".*", "write": ".*", "read": ".*"}));
    guest.put("/api/queues/r-other/hidden", json!({}));
    guest.put("/api/queues/%2F/shown", json!({}));
    let names = |user: &str, path: &str| -> Vec<String> {
        let list = users[user].json(path);
        list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("monitoring", "/api/queues"), ["shown", "hidden"]);
    assert_eq!(names("management", "/api/queues"), ["shown"]);
    assert_eq!(names("stranger", "/api/queues"), Vec::<String>::new());
    assert_eq!(names("management", "/api/vhosts"), ["/"]);
    assert_eq!(names("monitoring", "/api/vhosts"), ["/", "r-other"]);
    assert_eq!(users["management"].json("/api/overview")["object_totals"]["queues"], 1);
    assert_eq!(users["monitoring"].json("/api/overview")["object_totals"]["queues"], 2);
    assert_eq!(users["management"].get("/api/queues/r-other/hidden").status, 401);
    let mut client = crate::support::Client::connect(node.broker.addr).unwrap();
    assert_eq!(users["management"].json("/api/connections"), json!([]), "another's");
    let all = users["monitoring"].json("/api/connections");
    let own = format!("/api/connections/{}", all[0]["name"].as_str().unwrap().replace(' ', "%20").replace('>', "%3E"));
    assert_eq!(users["management"].get(&own).status, 401);
    assert_eq!(users["monitoring"].get(&own).status, 200);
    assert_eq!(users["monitoring"].delete(&own).status, 401, "seeing is not closing");
    assert_eq!(users["administrator"].delete(&own).status, 204);
    client.closed(0).unwrap();
}
