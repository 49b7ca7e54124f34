//! A queue that drops duplicates (compat.md 2.11): a message whose identity the window knows is not appended. Its publisher is
//! told that it is there, as for the first.
//!
//! Dead letters pass: the broker moves them, and a queue to which a message comes back after a while would lose it. A
//! message that a full queue refuses is not remembered, so that it may be tried again.

use super::{Effects, Outlet, Queue};
use crate::broker::message::Chunk;
use crate::broker::window::{Mark, Window};
use std::collections::HashMap;

impl<O: Outlet> Queue<O> {
    /// Appends what is no duplicate.
    pub(super) fn enqueue_once(&mut self, chunk: Chunk, level: usize, now: u64, effects: &mut Effects<O>) {
        let Some(mut window) = self.window.take() else { return };
        let (kept, marks) = first_ones(&window, &chunk, now);
        let durable = chunk.durable();
        let whole = kept.len() == chunk.count() as usize;
        let unique = if whole { Some(chunk) } else { chunk.pick(kept.iter().copied()) };
        let mut accepted = kept.len();
        if let Some(unique) = unique.filter(|unique| unique.count() > 0) {
            self.accept(unique, level, now, effects);
            if let Some(refused) = effects.refused {
                accepted = refused as usize;
                // In the chunk as it came. Duplicates behind it are refused with it, and recognised when they come again.
                effects.refused = kept.get(accepted).copied();
            }
        }
        for mark in marks.into_iter().take(accepted).flatten() {
            window.remember(mark, now, durable);
        }
        self.disk.changed |= window.has_changed();
        self.window = Some(window);
    }

    /// What time does to the window.
    pub(super) fn forget_duplicates(&mut self, now: u64) {
        if let Some(window) = &mut self.window {
            window.pass_time(now);
            self.disk.changed |= window.has_changed();
        }
    }

    /// The window of a queue that is recovered. False when it is damaged.
    pub fn restore_window(&mut self, blocks: Vec<(u64, Vec<u8>)>, now: u64) -> bool {
        let Some(settings) = &self.settings.deduplication else { return true };
        let Some(window) = Window::recover(settings.clone(), blocks, now) else { return false };
        self.window = Some(Box::new(window));
        true
    }
}

/// The indexes of the messages that are no duplicates, and their marks. However messages are packed into chunks, each is judged
/// as if it came alone.
fn first_ones(window: &Window, chunk: &Chunk, now: u64) -> (Vec<u32>, Vec<Option<Mark>>) {
    let (mut kept, mut marks) = (Vec::new(), Vec::new());
    // Identities that this chunk brings, by their places among those.
    let (mut met, mut count) = (HashMap::new(), 0);
    for (index, record) in (0..chunk.count()).filter_map(|index| Some((index, chunk.record(index)?))) {
        let mark = if record.died { None } else { Mark::of(record.header, window.header()) };
        if let Some(mark) = mark {
            let here = met.get(&mark.identity).is_some_and(|at| window.reaches(count - at - 1));
            if here || window.knows_after(count, mark.identity, now) {
                continue;
            }
            if window.keeps(mark) {
                met.insert(mark.identity, count);
            }
            count += 1;
        }
        kept.push(index);
        marks.push(mark);
    }
    (kept, marks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::content::tests::payload;
    use crate::broker::message::{ChunkBuilder, Parts};
    use crate::broker::window::WindowSettings;
    use crate::value::{Table, Value};

    fn header(identity: char, ttl: Option<i64>) -> Vec<u8> {
        let mut entries = Vec::new();
        let ttl = ttl.map(|ttl| ("x-cache-ttl", Value::from(ttl)));
        let id = ("id", Value::from(identity.to_string().as_str()));
        Table::from_iter([id].into_iter().chain(ttl)).encode_content(&mut entries);
        payload(&entries, None)
    }

    fn kept(window: &Window, identities: &str, ttl: Option<i64>) -> Vec<u32> {
        let mut builder = ChunkBuilder::default();
        for identity in identities.chars() {
            let (header, body) = (&header(identity, ttl)[..], &b""[..]);
            let (exchange_and_key, persistent, priority, deadline_ms, died) = (&b"\0\0"[..], true, 0, 0, false);
            builder.push(&Parts {
                exchange_and_key,
                header,
                body,
                persistent,
                priority,
                deadline_ms,
                died,
                detached: None,
            });
        }
        first_ones(window, &builder.finish(true, &std::sync::Arc::default()), 0).0
    }

    #[test]
    fn each_message_is_judged_as_if_it_came_alone() {
        let mut window = Window::new(WindowSettings { header: "id".to_owned(), size: 2, ttl_ms: None });
        assert_eq!(kept(&window, "abba", None), [0, 1]);
        assert_eq!(kept(&window, "abca", None), [0, 1, 2, 3], "b and c push a out");
        assert_eq!(kept(&window, "aa", Some(0)), [0, 1], "they are not to be remembered");
        for identity in ['x', 'y'] {
            window.remember(Mark::of(&header(identity, None), "id").unwrap(), 0, true);
        }
        assert_eq!(kept(&window, "xy", None), Vec::<u32>::new());
        assert_eq!(kept(&window, "axy", None), [0, 1, 2], "a pushes x out, x then pushes y out");
    }
}
