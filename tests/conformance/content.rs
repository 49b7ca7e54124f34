//! A message's frames: publish, header, body, in this order and nothing between.

use crate::framing::content_header;
use crate::stage::*;
use crate::support::*;

fn begin(client: &mut Client, key: &str) {
    let publish = basic::Publish { routing_key: key.into(), ..Default::default() };
    client.send(CH, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))).unwrap();
}

#[test]
fn a_header_without_a_publish_is_unexpected() {
    let mut client = open();
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    let header = |client: &mut Client| client.send_frame(2, CH, &content_header(60, 0, 1));
    connection_refuses(&mut client, header, (505, text), NO_METHOD);
}

#[test]
fn a_body_without_a_header_is_unexpected() {
    let mut client = open();
    let text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead";
    connection_refuses(&mut client, |client| client.send_frame(3, CH, b"body"), (505, text), NO_METHOD);

    let mut client = open();
    begin(&mut client, "q");
    let text = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
    connection_refuses(&mut client, |client| client.send_frame(3, CH, b"body"), (505, text), BASIC_PUBLISH);
}

#[test]
fn a_method_instead_of_a_header_is_unexpected() {
    let mut client = open();
    begin(&mut client, "q");
    let text = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
    let get = |client: &mut Client| client.get(CH, "q", true);
    connection_refuses(&mut client, get, (505, text), BASIC_PUBLISH);
}

#[test]
fn a_header_of_another_class_is_unexpected() {
    let mut client = open();
    begin(&mut client, "q");
    let text = "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead";
    let header = |client: &mut Client| client.send_frame(2, CH, &content_header(50, 0, 1));
    connection_refuses(&mut client, header, (505, text), BASIC_PUBLISH);
}

#[test]
fn a_method_inside_a_body_is_unexpected() {
    let mut client = open();
    begin(&mut client, "q");
    client.send_frame(2, CH, &content_header(60, 0, 10)).unwrap();
    client.send_frame(3, CH, b"half").unwrap();
    let text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    connection_refuses(&mut client, |client| client.get(CH, "q", true), (505, text), BASIC_PUBLISH);
}

#[test]
fn a_second_header_is_unexpected() {
    let mut client = open();
    begin(&mut client, "q");
    client.send_frame(2, CH, &content_header(60, 0, 10)).unwrap();
    let text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead";
    let header = |client: &mut Client| client.send_frame(2, CH, &content_header(60, 0, 10));
    connection_refuses(&mut client, header, (505, text), BASIC_PUBLISH);
}

#[test]
fn more_body_than_announced_is_a_frame_error() {
    let mut client = open();
    begin(&mut client, "q");
    client.send_frame(2, CH, &content_header(60, 0, 3)).unwrap();
    let text = "FRAME_ERROR - content body frame exceeds remaining content size";
    connection_refuses(&mut client, |client| client.send_frame(3, CH, b"four"), (501, text), BASIC_PUBLISH);
}

#[test]
fn a_body_larger_than_any_may_be_is_a_frame_error() {
    let mut client = open();
    begin(&mut client, "q");
    let text = "FRAME_ERROR - content body size 536870913 exceeds maximum allowed size 536870912";
    let header = |client: &mut Client| client.send_frame(2, CH, &content_header(60, 0, 536_870_913));
    connection_refuses(&mut client, header, (501, text), BASIC_PUBLISH);
}

#[test]
fn an_empty_message_has_no_body_frame() {
    let mut client = open();
    let name = queue_of(&mut client, &["", "next"]);
    client.consume(CH, &name, "", true).unwrap();
    let Event::Content { content, .. } = client.recv().unwrap() else { panic!("a delivery") };
    assert_eq!((content.body, content.frames), (vec![], vec![]));
    assert_eq!(client.delivery().unwrap().text(), "next");
}

#[test]
fn empty_body_frames_add_nothing() {
    let mut client = open();
    let name = queue(&mut client);
    begin(&mut client, &name);
    client.send_frame(2, CH, &content_header(60, 0, 4)).unwrap();
    for part in [&b""[..], b"ab", b"", b"cd"] {
        client.send_frame(3, CH, part).unwrap();
    }
    assert_eq!(drain(&mut client, &name), ["abcd"]);
}

#[test]
fn channels_send_their_messages_side_by_side() {
    let mut client = open();
    let name = queue(&mut client);
    client.open_channel(2).unwrap();
    for channel in [1, 2] {
        let publish = basic::Publish { routing_key: name.as_str().into(), ..Default::default() };
        client.send(channel, AMQPClass::Basic(basic::AMQPMethod::Publish(publish))).unwrap();
    }
    client.send_frame(2, 2, &content_header(60, 0, 6)).unwrap();
    client.send_frame(2, 1, &content_header(60, 0, 6)).unwrap();
    client.send_frame(3, 1, b"one").unwrap();
    client.send_frame(3, 2, b"TWO").unwrap();
    client.send_frame(3, 2, b"two").unwrap();
    client.send_frame(3, 1, b"ONE").unwrap();
    client.sync(2).unwrap();
    assert_eq!(drain(&mut client, &name), ["TWOtwo", "oneONE"]);
}

#[test]
fn a_large_body_is_cut_to_what_each_side_takes() {
    let small = Options { frame_max: Some(4096), ..Default::default() };
    let (mut publisher, mut consumer) = (open_with(addr(), &small), open_with(addr(), &small));
    let mut wide = open();
    let name = queue(&mut publisher);
    let body: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
    for _ in 0..2 {
        publisher.publish(CH, "", &name, &BasicProperties::default(), &body).unwrap();
    }
    publisher.sync(CH).unwrap();

    consumer.qos(CH, 1, false).unwrap();
    consumer.consume(CH, &name, "", false).unwrap();
    let Event::Content { content, .. } = consumer.recv().unwrap() else { panic!("a delivery") };
    assert_eq!(content.body, body);
    let (last, full) = content.frames.split_last().unwrap();
    assert!(full.iter().all(|length| *length == 4088), "{:?}", content.frames);
    assert_eq!(*last, 1_000_003 % 4088);

    wide.consume(CH, &name, "", true).unwrap();
    let Event::Content { content, .. } = wide.recv().unwrap() else { panic!("a delivery") };
    assert_eq!(content.body, body);
    let (last, full) = content.frames.split_last().unwrap();
    assert!(full.iter().all(|length| *length == 131_064), "{:?}", content.frames);
    assert_eq!(*last, 1_000_003 % 131_064);
}

#[test]
fn a_body_of_whole_frames_has_no_empty_one_behind() {
    let options = Options { frame_max: Some(4096), ..Default::default() };
    let mut client = open_with(addr(), &options);
    let name = queue(&mut client);
    client.consume(CH, &name, "", true).unwrap();
    client.publish(CH, "", &name, &BasicProperties::default(), &[9; 2 * 4088]).unwrap();
    let Event::Content { content, .. } = client.recv().unwrap() else { panic!("a delivery") };
    assert_eq!(content.frames, [4088, 4088]);
}
