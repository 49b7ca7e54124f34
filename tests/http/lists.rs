//! Lists: sort, page, filter, columns.

use crate::api::{Node, guest};
use serde_json::{Value, json};

fn names(items: &Value) -> Vec<&str> {
    items.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[test]
fn pages() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    for number in 0..25 {
        api.put(&format!("/api/queues/%2F/page-{number:02}"), json!({}));
    }
    let page = |query: &str| api.json(&format!("/api/queues?{query}"));
    let first = page("page=1&page_size=10&columns=name");
    assert_eq!(
        json!({"filtered_count": first["filtered_count"], "item_count": first["item_count"], "page": first["page"],
            "page_count": first["page_count"], "page_size": first["page_size"], "total_count": first["total_count"]}),
        json!({"filtered_count": 25, "item_count": 10, "page": 1, "page_count": 3, "page_size": 10, "total_count": 25})
    );
    assert_eq!(first["items"][0], json!({"name": "page-00"}));
    assert_eq!(names(&page("page=3&page_size=10")["items"]), ["page-20", "page-21", "page-22", "page-23", "page-24"]);
    assert_eq!(names(&page("page=1&page_size=2&sort=name&sort_reverse=true")["items"]), ["page-24", "page-23"]);
    let filtered = page("page=1&name=GE-0&use_regex=false");
    assert_eq!((filtered["filtered_count"].as_u64(), filtered["total_count"].as_u64()), (Some(10), Some(25)));
    assert_eq!(page("page=1&page_size=100&name=%5Epage-1%5B0-4%5D%24&use_regex=true")["filtered_count"], 5);
    // KEDA's way of asking.
    let keda = page("page=1&use_regex=true&pagination=false&name=%5Epage-07%24&page_size=100");
    assert_eq!(names(&keda["items"]), ["page-07"]);
    assert_eq!(page("page=1&name=none")["items"], json!([]));
    assert!(api.json("/api/queues?page_size=3").is_array(), "no page, no pages");

    let refused = |query: &str| {
        let reply = api.get(&format!("/api/queues?{query}"));
        assert_eq!(reply.status, 400, "{query}: {reply:?}");
        reply.json()["error"].as_str().unwrap().to_owned()
    };
    assert_eq!(refused("page=4&page_size=10"), "page_out_of_range");
    assert_eq!(refused("page=0"), "invalid_pagination_parameters");
    assert_eq!(refused("page=1&page_size=501"), "invalid_pagination_parameters");
    assert_eq!(refused("page=one"), "bad_request");
    assert_eq!(refused("page=1&use_regex=true&name=("), "bad_request");
    assert_eq!(refused(&format!("page=1&name={}", "x".repeat(1025))), "bad_request");
}

#[test]
fn pages_over_several_virtual_hosts() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    for vhost in ["pv-a", "pv-b"] {
        api.put(&format!("/api/vhosts/{vhost}"), json!({}));
        for number in 0..5 {
            api.put(&format!("/api/queues/{vhost}/{vhost}-{number}"), json!({}));
        }
    }
    let page = |query: &str| {
        let page = api.json(&format!("/api/queues?{query}"));
        (
            names(&page["items"]).join(" "),
            page["filtered_count"].as_u64().unwrap(),
            page["total_count"].as_u64().unwrap(),
        )
    };
    assert_eq!(page("page=2&page_size=4"), ("pv-a-4 pv-b-0 pv-b-1 pv-b-2".to_owned(), 10, 10));
    assert_eq!(page("page=2&page_size=4&sort_reverse=true"), ("pv-b-0 pv-a-4 pv-a-3 pv-a-2".to_owned(), 10, 10));
    assert_eq!(page("page=1&page_size=3&name=-4"), ("pv-a-4 pv-b-4".to_owned(), 2, 10));
    assert_eq!(page("page=2&page_size=1&name=-4&sort=&sort_reverse=false"), ("pv-b-4".to_owned(), 2, 10));
    assert_eq!(page("page=1&page_size=1&name=-4&sort_reverse=true"), ("pv-b-4".to_owned(), 2, 10));
    let here = api.json("/api/queues/pv-b?page=2&page_size=3&sort=name&sort_reverse=true");
    assert_eq!(names(&here["items"]), ["pv-b-1", "pv-b-0"]);
    assert_eq!(api.get("/api/queues?page=4&page_size=4").status, 400);
    assert_eq!(api.get("/api/queues?page=3&page_size=2&name=-4").status, 400);
}

#[test]
fn sorted_by_any_member() {
    let node = Node::start(&[]);
    let api = node.as_guest();
    for (name, messages) in [("sort-a", 2), ("sort-b", 0), ("sort-c", 5)] {
        api.put(&format!("/api/queues/%2F/{name}"), json!({}));
        for _ in 0..messages {
            let body = json!({"properties": {}, "routing_key": name, "payload": "x", "payload_encoding": "string"});
            assert_eq!(api.post("/api/exchanges/%2F/amq.default/publish", body).status, 200);
        }
    }
    let sorted = |query: &str| names(&api.json(&format!("/api/queues?{query}"))).join(" ");
    assert_eq!(sorted("sort=messages"), "sort-b sort-a sort-c");
    assert_eq!(sorted("sort=messages&sort_reverse=true"), "sort-c sort-a sort-b");
    assert_eq!(sorted("sort=messages_ready"), "sort-b sort-a sort-c");
    assert_eq!(sorted("sort=consumers&sort_reverse=true"), "sort-c sort-b sort-a");
    assert_eq!(sorted("sort=message_stats.publish"), "sort-b sort-a sort-c");
    let top = api.json(
        "/api/queues?sort=messages&sort_reverse=true&page=1&page_size=1&columns=name,messages,message_stats.publish",
    );
    assert_eq!(top["items"], json!([{"name": "sort-c", "messages": 5, "message_stats": {"publish": 5}}]));
}

#[test]
fn columns_of_single_objects() {
    let shown = guest().json("/api/overview?columns=node,object_totals.queues,nothing");
    let mut members: Vec<&String> = shown.as_object().unwrap().keys().collect();
    members.sort_unstable();
    assert_eq!(members, ["node", "object_totals"]);
    assert_eq!(shown["object_totals"].as_object().unwrap().len(), 1);
    let trimmed = guest().json("/api/overview?disable_stats=true");
    assert!(trimmed.get("message_stats").is_none() && trimmed.get("object_totals").is_some());
}
