//! Clients that are slow, greedy or confused.

use crate::api::{guest, read_reply, shared};
use serde_json::json;
use std::io::Write;
use std::net::TcpStream;

#[test]
fn bodies_are_bounded_and_read_only_of_those_who_may() {
    let api = guest();
    let mut stream = TcpStream::connect(api.http).unwrap();
    let head = format!(
        "PUT /api/queues/%2F/b-large HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {}\r\ncontent-length: 20000001\r\n\r\n",
        api.authorization.as_deref().unwrap()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let reply = read_reply(&mut stream);
    assert_eq!((reply.status, reply.json()["reason"].clone()), (413, json!("Exceeded HTTP request body size limit")));
    // Refused before a byte of the body is there.
    let mut stream = TcpStream::connect(api.http).unwrap();
    stream
        .write_all(
            b"PUT /api/queues/%2F/b-large HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n",
        )
        .unwrap();
    assert_eq!(read_reply(&mut stream).status, 401);
    let padding = "x".repeat(1_000_000);
    let reply = api.put("/api/queues/%2F/b-padded", json!({"unknown": padding}));
    assert_eq!(reply.status, 201, "what is not asked for is passed over");
    api.delete("/api/queues/%2F/b-padded");
}

#[test]
fn what_is_no_http_is_refused_and_others_are_served() {
    let mut strangers: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(shared().http).unwrap()).collect();
    for stranger in &mut strangers {
        stranger.write_all(b"GET /api/overview HTTP/1.1\r\n").unwrap();
    }
    assert_eq!(guest().get("/api/whoami").status, 200, "beside fifty that never finish their request");
    let mut amqp = TcpStream::connect(shared().http).unwrap();
    amqp.write_all(b"AMQP\0\0\x09\x01\r\n\r\n").unwrap();
    assert_eq!(read_reply(&mut amqp).status, 400);
}

#[test]
fn odd_paths_and_queries() {
    let api = guest();
    for path in [
        "/api/queues/%FF/x",
        "/api/queues/%2F/%00",
        "/api/queues/%2F/a%2Fb",
        "/api/exchanges/%2F/x%20y",
        "/api/queues?columns=,,.",
        "/api/queues?sort=....&page=1",
        "/api/queues?lengths_age=60&lengths_incr=0",
        "/api/queues?lengths_age=9999999&lengths_incr=1",
        "/api/queues?page=18446744073709551615&page_size=500",
        "/api/queues?page=99999999999999999999",
        "/api/bindings/%2F/e/%2F/q/%2F/~~~",
    ] {
        let status = api.get(path).status;
        assert!([200, 400, 404].contains(&status), "{path}: {status}");
    }
    let long = "x".repeat(300);
    assert_eq!(api.put(&format!("/api/queues/%2F/{long}"), json!({})).status, 400);
    assert_eq!(api.get(&format!("/api/queues/%2F/{long}")).status, 404);
}

#[test]
fn deep_json_is_refused() {
    let api = guest();
    let deep = |depth: usize| format!("{{\"arguments\":{{\"a\":{}1{}}}}}", "[".repeat(depth), "]".repeat(depth));
    for depth in [100, 200, 100_000] {
        let reply = api.send("PUT", "/api/queues/%2F/b-deep", Some(deep(depth).as_bytes()), &[]);
        assert_eq!(reply.status, 400, "{depth}");
    }
}
