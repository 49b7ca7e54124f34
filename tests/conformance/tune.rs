//! connection.tune and what a client may answer; connection.open.

use crate::stage::*;
use crate::support::*;

/// A client that has logged in and was told the broker's limits.
fn tuning() -> (Client, connection::Tune) {
    let mut client = Client::raw(addr()).unwrap();
    client.send_bytes(b"AMQP\0\0\x09\x01").unwrap();
    client.start().unwrap();
    client.start_ok(&Options::default()).unwrap();
    let tune = client.tune().unwrap();
    (client, tune)
}

/// The close that follows this tune-ok.
fn refused(frame_max: u32, channel_max: u16, text: &str) {
    let (mut client, tune) = tuning();
    let options = Options { frame_max: Some(frame_max), channel_max: Some(channel_max), ..Default::default() };
    let answer = |client: &mut Client| {
        client.tune_ok(&tune, &options)?;
        client.recv()
    };
    match answer(&mut client) {
        Ok(Event::Closed(closed)) => {
            let got = (closed.scope, closed.code, closed.text.as_str(), (closed.class, closed.method));
            assert_eq!(got, (Scope::Connection, 530, text, CONNECTION_TUNE_OK));
        }
        other => panic!("{other:?}"),
    }
    gone(&mut client);
}

#[test]
fn the_broker_proposes_its_limits() {
    let (_client, tune) = tuning();
    assert_eq!((tune.channel_max, tune.frame_max, tune.heartbeat), (2047, 131_072, 60));
}

#[test]
fn the_smallest_limits_are_accepted() {
    let options = Options { frame_max: Some(4096), channel_max: Some(1), ..Default::default() };
    let mut client = open_with(addr(), &options);
    client.sync(CH).unwrap();
}

#[test]
fn a_small_frame_max_is_refused() {
    refused(4095, 2047, "NOT_ALLOWED - negotiated frame_max = 4095 is lower than the minimum allowed value (4096)");
    refused(1, 2047, "NOT_ALLOWED - negotiated frame_max = 1 is lower than the minimum allowed value (4096)");
}

#[test]
fn a_large_frame_max_is_refused() {
    let text = "NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)";
    refused(131_073, 2047, text);
}

#[test]
fn no_frame_max_is_refused() {
    let text = "NOT_ALLOWED - negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)";
    refused(0, 2047, text);
}

#[test]
fn a_large_channel_max_is_refused() {
    let text = "NOT_ALLOWED - negotiated channel_max = 2048 is higher than the maximum allowed value (2047)";
    refused(131_072, 2048, text);
}

#[test]
fn no_channel_max_is_refused() {
    let text = "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)";
    refused(131_072, 0, text);
}

#[test]
fn an_unknown_virtual_host_is_refused() {
    let (mut client, tune) = tuning();
    client.tune_ok(&tune, &Options::default()).unwrap();
    let text = "NOT_ALLOWED - vhost nowhere not found";
    connection_refuses(&mut client, |client| client.open_vhost("nowhere"), (530, text), CONNECTION_OPEN);
}

#[test]
fn more_channels_than_negotiated_are_refused() {
    let options = Options { channel_max: Some(2), ..Default::default() };
    let mut client = open_with(addr(), &options);
    // The number itself does not matter, only how many there are.
    client.open_channel(9000).unwrap();
    let text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)";
    connection_refuses(&mut client, |client| client.open_channel(2), (530, text), NO_METHOD);
}

#[test]
fn a_closed_channel_makes_room_for_another() {
    let options = Options { channel_max: Some(1), ..Default::default() };
    let mut client = open_with(addr(), &options);
    client.close_channel(CH).unwrap();
    client.open_channel(2).unwrap();
    let text = "NOT_FOUND - no queue 'none of these' in vhost '/'";
    let closed = client.declare_passive(2, "none of these").unwrap_err().closed();
    assert_eq!((closed.channel, closed.code, closed.text.as_str()), (2, 404, text));
    client.open_channel(3).unwrap();
}
