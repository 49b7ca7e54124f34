//! Content cut into frames and read back.

use super::frame::{FrameKind, read_frame};
use super::output::*;

fn frames(mut bytes: &[u8]) -> Vec<(FrameKind, u16, Vec<u8>)> {
    let mut found = Vec::new();
    while let Some((frame, used)) = read_frame(bytes, 0).unwrap() {
        found.push((frame.kind, frame.channel, frame.payload.to_vec()));
        bytes = &bytes[used..];
    }
    assert!(bytes.is_empty());
    found
}

#[test]
fn bodies_are_cut_at_frame_max_less_the_overhead() {
    for length in [0_usize, 1, 4087, 4088, 4089, 8176, 8177, 10_000] {
        let body: Vec<u8> = (0..length).map(|index| index as u8).collect();
        let mut out = b"before".to_vec();
        write_content(&mut out, 7, b"header", &body, 4096);
        assert!(out.starts_with(b"before"));
        let found = frames(&out[6..]);
        assert_eq!(found[0], (FrameKind::Header, 7, b"header".to_vec()));
        assert_eq!(found.len() - 1, length.div_ceil(4088), "no frame for an empty body, none too many");
        let mut whole = Vec::new();
        for (kind, channel, payload) in &found[1..] {
            assert_eq!((*kind, *channel), (FrameKind::Body, 7));
            assert!(!payload.is_empty() && payload.len() + 8 <= 4096);
            whole.extend_from_slice(payload);
        }
        assert_eq!(whole, body);
    }
}

#[test]
fn without_a_limit_a_body_is_one_frame_and_a_silly_limit_ends() {
    let body = vec![1; 1_000_000];
    let mut out = Vec::new();
    write_content(&mut out, 1, b"", &body, 0);
    assert_eq!(frames(&out).len(), 2);
    for frame_max in 1..=9 {
        out.clear();
        write_content(&mut out, 1, b"", b"abc", frame_max);
        assert_eq!(frames(&out).len(), 4);
    }
}

#[test]
fn a_heartbeat_is_eight_bytes() {
    let mut out = Vec::new();
    write_heartbeat(&mut out);
    assert_eq!(out, [8, 0, 0, 0, 0, 0, 0, 0xCE]);
}
