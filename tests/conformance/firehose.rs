//! The firehose, over the wire (compat.md 5). Its headers in full are tested beside the connection machine.

use crate::stage::*;
use crate::support::*;

#[test]
fn a_traced_virtual_host_copies_what_is_published_and_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let broker = broker_with(dir.path(), "[server]\ntrace_vhosts = [\"/\"]\n");
    let mut tracer = open_at(broker.addr);
    let copies = queue(&mut tracer);
    tracer.bind(CH, &copies, "amq.rabbitmq.trace", "#").unwrap();
    tracer.consume(CH, &copies, "", true).unwrap();
    let mut client = open_at(broker.addr);
    let name = queue_of(&mut client, &["one"]);
    let published = tracer.delivery().unwrap();
    assert_eq!((published.routing_key.as_str(), published.text().as_str()), ("publish.", "one"));
    assert_eq!(drain(&mut client, &name), ["one"]);
    let delivered = tracer.delivery().unwrap();
    assert_eq!((delivered.routing_key, delivered.body), (format!("deliver.{name}"), b"one".to_vec()));
    assert_eq!(tracer.leftovers(CH).unwrap(), [], "copies are not copied");
    // The exchange is the broker's.
    let act = |client: &mut Client| client.publish(CH, "amq.rabbitmq.trace", "x", &BasicProperties::default(), b"");
    let text = "ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'";
    channel_refuses(&mut client, act, (403, text), BASIC_PUBLISH);
}
