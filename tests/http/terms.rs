//! Answers in Erlang's external term format.

use crate::api::guest;
use serde_json::json;

#[test]
fn whoever_accepts_them_gets_terms() {
    let api = guest();
    let get = |path: &str, accept: &str| api.call("GET", path, None, &[("accept", accept)]);
    let kind = |reply: &crate::api::Reply| reply.header("content-type").unwrap_or_default();
    // 131 is no UTF-8.
    let cluster = get("/api/whoami", "application/bert");
    assert_eq!((cluster.status, kind(&cluster).as_str()), (200, "application/bert"));
    let named = "h\u{2}w\u{4}namem\0\0\0\u{5}guest";
    assert!(cluster.body.starts_with("\u{fffd}l\0\0\0") && cluster.body.contains(named), "{cluster:?}");
    let page = get("/api/vhosts?page=1&columns=name", "application/bert");
    assert!(page.body.contains("w\u{5}itemsl\0\0\0") && page.body.contains("w\u{4}namem\0\0\0\u{1}/"), "{page:?}");
    assert_eq!(kind(&get("/api/whoami", "application/bert;q=0.9, */*")), "application/json");
    assert_eq!(kind(&get("/metrics", "application/bert")), "text/plain; version=0.0.4; charset=utf-8");
    let missing = get("/api/queues/%2F/nothing", "application/bert");
    assert_eq!((missing.status, missing.json()["reason"].as_str()), (404, Some("Not Found")), "errors are JSON");
    let made = api.call("PUT", "/api/vhosts/terms", Some(&json!({})), &[("accept", "application/bert")]);
    assert_eq!((made.status, made.body.as_str()), (201, ""));
    api.delete("/api/vhosts/terms");
}
