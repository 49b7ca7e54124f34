//! The window: what it knows, what it forgets, what it writes.

use super::*;
use crate::broker::content::tests::payload;
use crate::value::Table;

fn window(size: u64, ttl_ms: Option<u64>) -> Window {
    Window::new(WindowSettings { header: "id".to_owned(), size, ttl_ms })
}

fn mark(text: &str) -> Mark {
    Mark { identity: Identity::of(&text.into()), ttl_ms: None }
}

fn knows(window: &Window, text: &str, now: u64) -> bool {
    window.knows(mark(text).identity, now)
}

/// What is on disk after these changes.
fn write(disk: &mut Vec<(u64, Vec<u8>)>, stored: Stored) {
    disk.extend(stored.puts);
    disk.retain(|(first, _)| !stored.deletes.contains(first));
}

#[test]
fn a_message_says_who_it_is() {
    let of = |value: Value| {
        let mut headers = Vec::new();
        Table::from_iter([("id", value)]).encode_content(&mut headers);
        Mark::of(&payload(&headers, None), "id")
    };
    assert_eq!(of("a".into()), of(Value::Bytes(b"a".to_vec())));
    assert_eq!(of(Value::I8(7)), of(Value::I64(7)));
    assert_ne!(of("7".into()), of(Value::I64(7)));
    assert_ne!(of("a".into()), of("b".into()));
    assert_eq!(of(Value::Void), None);
    assert_eq!(Mark::of(&payload(b"", None), "id"), None);
    assert_eq!(Mark::of(b"damaged", "id"), None);
    let mut headers = Vec::new();
    Table::from_iter([("id", Value::from("a")), ("x-cache-ttl", Value::from("250"))]).encode_content(&mut headers);
    assert_eq!(Mark::of(&payload(&headers, None), "id").unwrap().ttl_ms, Some(250));
}

#[test]
fn the_oldest_are_pushed_out() {
    let mut window = window(3, None);
    for text in ["a", "b", "c", "d"] {
        assert!(!knows(&window, text, 0));
        window.remember(mark(text), 0, true);
    }
    assert_eq!((window.len(), window.next_deadline()), (3, None));
    assert!(!knows(&window, "a", u64::MAX - 1) && knows(&window, "b", u64::MAX - 1));
}

#[test]
fn time_is_over_at_the_deadline() {
    let mut window = window(10, Some(100));
    window.remember(mark("a"), 1000, false);
    window.remember(Mark { ttl_ms: Some(500), ..mark("long") }, 1000, false);
    window.remember(Mark { ttl_ms: Some(0), ..mark("never") }, 1000, false);
    window.remember(mark("b"), 1050, false);
    assert!(knows(&window, "a", 1099) && !knows(&window, "a", 1100) && !knows(&window, "never", 1000));
    assert_eq!(window.next_deadline(), Some(1100));
    window.pass_time(1100);
    assert_eq!((window.len(), window.next_deadline()), (3, Some(1500)));
    assert!(knows(&window, "long", 1499) && !knows(&window, "b", 1150), "forgotten though still there");
    window.remember(mark("b"), 1200, false);
    window.pass_time(1550);
    assert!(window.is_empty());
    assert!(!window.has_changed(), "nothing of it was for the disk");
}

#[test]
fn a_new_entry_outlives_the_old_one_of_the_same_message() {
    let mut window = window(2, Some(100));
    window.remember(mark("a"), 0, true);
    window.remember(mark("a"), 100, true);
    window.remember(mark("b"), 100, true);
    assert!(knows(&window, "a", 150) && knows(&window, "b", 150));
}

#[test]
fn what_is_stored_is_there_again() {
    let (mut window, mut disk) = (window(5000, Some(1000)), Vec::new());
    for number in 0..3000 {
        window.remember(mark(&number.to_string()), number / 10, number % 3 != 0);
    }
    write(&mut disk, window.collect(1000));
    assert!(window.has_changed());
    write(&mut disk, window.collect(u64::MAX));
    assert!(!window.has_changed() && disk.len() > 2);
    let mut again = Window::recover(window.settings.clone(), disk.clone(), 299).unwrap();
    for number in 0..3000_u64 {
        assert_eq!(knows(&again, &number.to_string(), 299), number % 3 != 0, "{number}");
    }
    assert_eq!(again.next(), window.next());
    assert!(again.collect(u64::MAX).is_empty());
    // By time.
    again.pass_time(1150);
    let gone = again.collect(u64::MAX);
    write(&mut disk, gone);
    let again = Window::recover(window.settings.clone(), disk.clone(), 1150).unwrap();
    assert!(!knows(&again, "1", 1150) && knows(&again, "2999", 1150) && again.len() < 1600);
    // By number: only the last are there, however many are in the blocks.
    let settings = WindowSettings { size: 10, ..window.settings.clone() };
    let mut small = Window::recover(settings, disk.clone(), 299).unwrap();
    assert!(small.len() <= 10 && knows(&small, "2999", 299) && !knows(&small, "2000", 299));
    write(&mut disk, small.collect(u64::MAX));
    assert_eq!(disk.len(), 1);
}

#[test]
fn blocks_leave_the_disk_with_their_last_entry() {
    let (mut window, mut disk) = (window(10, None), Vec::new());
    for number in 0..1000 {
        window.remember(mark(&number.to_string()), 0, true);
        if number % 4 == 0 {
            write(&mut disk, window.collect(u64::MAX));
            assert!(disk.len() <= 5);
        }
    }
    assert!(Window::recover(window.settings.clone(), vec![(0, vec![1; 31])], 0).is_none());
    assert!(Window::recover(window.settings.clone(), vec![(0, vec![0xff; 64])], 0).is_none());
    let far = [vec![1_u8; 32], vec![0x7f; 32]].concat();
    assert_eq!(Window::recover(window.settings.clone(), vec![(0, far)], 0).unwrap().len(), 1, "a gap is not filled");
}

#[test]
fn what_came_later_than_asked_for_waits() {
    let mut window = window(10, None);
    window.remember(mark("a"), 0, true);
    let end = window.next();
    window.remember(mark("b"), 0, true);
    let entries = |stored: Stored| stored.puts.iter().map(|(_, bytes)| bytes.len() / ENTRY_BYTES).sum::<usize>();
    assert_eq!(entries(window.collect(end)), 1);
    assert_eq!(entries(window.collect(end)), 0);
    assert_eq!(entries(window.collect(window.next())), 1);
}
