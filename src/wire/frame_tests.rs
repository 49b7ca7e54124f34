//! Frames and protocol headers, whole, cut and wrong.

use super::frame::*;
use super::{Octets, WireError};

/// Kind, channel, payload, bytes used.
type Found = Option<(FrameKind, u16, Vec<u8>, usize)>;

fn read(buf: &[u8], frame_max: u32) -> Result<Found, String> {
    match read_frame(buf, frame_max) {
        Ok(found) => Ok(found.map(|(frame, used)| (frame.kind, frame.channel, frame.payload.to_vec(), used))),
        Err(error) => Err(format!("{} {error}", error.code())),
    }
}

#[test]
fn a_frame_is_read_and_what_follows_is_left() {
    let buf = b"\x01\x01\x02\0\0\0\x05hello\xCE\x08\0\0";
    assert_eq!(read(buf, 4096), Ok(Some((FrameKind::Method, 0x0102, b"hello".to_vec(), 13))));
    assert_eq!(read(b"\x02\0\x01\0\0\0\0\xCE", 4096), Ok(Some((FrameKind::Header, 1, vec![], 8))));
    assert_eq!(read(b"\x03\0\x01\0\0\0\x01x\xCE", 4096), Ok(Some((FrameKind::Body, 1, b"x".to_vec(), 9))));
    assert_eq!(read(b"\x08\0\0\0\0\0\0\xCE", 4096), Ok(Some((FrameKind::Heartbeat, 0, vec![], 8))));
}

#[test]
fn a_frame_cut_anywhere_is_incomplete() {
    let buf = b"\x03\0\x01\0\0\0\x05hello\xCE";
    for cut in 0..buf.len() {
        assert_eq!(read(&buf[..cut], 4096), Ok(None), "cut at {cut}");
    }
}

#[test]
fn the_size_is_judged_from_the_header_alone() {
    let header = |size: u32| [&[3, 0, 1][..], &size.to_be_bytes()].concat();
    assert_eq!(read(&header(4096), 4096), Ok(None), "eight bytes too many are tolerated");
    let text = "501 type 3, all octets = <<>>: {frame_too_large,4097,4088}";
    assert_eq!(read(&header(4097), 4096), Err(text.into()));
    assert_eq!(read(&header(4097)[..6], 4096), Ok(None));
    assert_eq!(read(&header(u32::MAX), 0), Ok(None), "0 is unlimited");
    let text = "501 type 3, all octets = <<>>: {frame_too_large,9,0}";
    assert_eq!(read(&header(9), 3), Err(text.into()), "no limit is below nothing");
}

#[test]
fn a_wrong_end_marker_is_reported_with_the_first_octets() {
    let text = "501 type 1, all octets = <<0,10>>: {invalid_frame_end_marker,207}";
    assert_eq!(read(b"\x01\0\0\0\0\0\x02\0\x0A\xCF", 4096), Err(text.into()));
    let text = "501 type 3, first 16 octets = <<\"0123456789abcdef\">>: {invalid_frame_end_marker,0}";
    assert_eq!(read(b"\x03\0\x01\0\0\0\x110123456789abcdefg\0", 4096), Err(text.into()));
}

#[test]
fn unknown_types_are_refused_before_their_payload_comes() {
    for kind in (0..=255).filter(|kind| ![1, 2, 3, 8].contains(kind)) {
        let error = read_frame(&[kind, 0, 0, 0, 0, 16, 0], 8192).unwrap_err();
        assert_eq!(error, WireError::UnknownFrame { kind, octets: Octets::of(&[], 4096) });
        assert_eq!(error.code(), 501);
        assert!(error.is_out_of_sync());
    }
    assert_eq!(read(b"\x04\0\0\0\0\0\0\xCE", 4096), Err("501 type 4, all octets = <<>>: unknown_frame".into()));
    assert_eq!(
        read(b"\x04\0\0\0\0\0\x03ab", 4096),
        Err("501 type 4, first 2 octets = <<\"ab\">>: unknown_frame".into())
    );
}

#[test]
fn heartbeats_are_empty_and_on_channel_0() {
    assert_eq!(read(b"\x08\0\x01\0\0\0\0\xCE", 4096), Err("505 type 8, all octets = <<>>".into()));
    assert_eq!(read(b"\x08\0\0\0\0\0\x01x\xCE", 4096), Err("501 type 8, all octets = <<\"x\">>: unknown_frame".into()));
}

#[test]
fn both_headers_we_speak_are_accepted_at_their_last_byte() {
    for header in [b"AMQP\0\0\x09\x01", b"AMQP\x01\x01\0\x09"] {
        for cut in 0..8 {
            assert_eq!(read_protocol_header(&header[..cut]), None);
        }
        assert_eq!(read_protocol_header(header), Some(Ok(())));
        assert_eq!(read_protocol_header(&[header, &b"more"[..]].concat()), Some(Ok(())));
    }
}

#[test]
fn other_headers_are_refused_at_the_first_wrong_byte() {
    let ours = b"AMQP\0\0\x09\x01";
    let later = b"AMQP\x03\x01\0\0";
    for (header, first_wrong, answer) in [
        (&b"GET / HT"[..], 0, later),
        (b"\x16\x03\x01\0\xA5\x01\0\0", 0, later),
        (b"AMQP\0\0\x09\x02", 7, ours),
        (b"AMQP\0\0\x0A\0", 6, ours),
        (b"AMQP\0\0\x08\0", 6, later),
        (b"AMQP\0\x01\0\0", 5, later),
        (b"AMQP\x02\x01\0\0", 4, later),
        (b"AMQP\x03\x01\0\x01", 7, later),
        (b"AMQP\0\x01\0\x09", 5, later),
    ] {
        assert_eq!(read_protocol_header(&header[..first_wrong]), None, "{header:?}");
        assert_eq!(read_protocol_header(&header[..=first_wrong]), Some(Err(answer)), "{header:?}");
        assert_eq!(read_protocol_header(header), Some(Err(answer)), "{header:?}");
    }
    assert_eq!(read_protocol_header(later), Some(Err(ours)), "its echo would say that it is spoken");
}
