//! What a channel has done with the messages of one queue, or of one exchange. Its connection writes the numbers; whoever asks
//! for figures reads them without asking it anything.

use crate::broker::count::{Count, Counters, Totals};
use crate::limits::CHANNEL_PAIRS_MAX;
use crate::name::Name;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// A channel and a queue, or an exchange.
#[derive(Debug)]
struct Pair<T> {
    name: Name,
    /// Also keeps its address from being another's.
    of: Weak<T>,
    counters: Counters,
}

impl<T> Pair<T> {
    fn is_there(&self) -> bool {
        self.of.strong_count() > 0
    }
}

/// The pairs of a channel, for those who look.
#[derive(Debug)]
pub struct Listed<T>(Mutex<Vec<Arc<Pair<T>>>>);

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Listed(Mutex::default())
    }
}

impl<T> Listed<T> {
    /// What was done, by the name of the queue or the exchange: one that was made anew is the same. Some may have gone.
    pub fn totals(&self) -> BTreeMap<Name, Totals> {
        let mut all: BTreeMap<Name, Totals> = BTreeMap::new();
        for pair in &*self.0.lock() {
            *all.entry(pair.name.clone()).or_default() += pair.counters.totals();
        }
        all
    }
}

/// The pairs of a channel, for the connection that counts.
#[derive(Debug)]
pub struct Pairs<T> {
    /// What was counted last: mostly it is what is counted next.
    last: Option<Arc<Pair<T>>>,
    /// All of them, by their address.
    known: BTreeMap<usize, Arc<Pair<T>>>,
    /// How often one was not told apart: those that have gone are looked for now and then, not each time.
    passed_over: usize,
}

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Pairs { last: None, known: BTreeMap::new(), passed_over: 0 }
    }
}

impl<T> Pairs<T> {
    /// Counts something of a queue or an exchange. Of more than [`CHANNEL_PAIRS_MAX`] at a time, the others are not told apart.
    #[inline]
    pub fn count(&mut self, listed: &Listed<T>, of: &Arc<T>, name: impl FnOnce() -> Name, counted: &[(Count, u64)]) {
        if self.last.as_ref().is_none_or(|last| last.of.as_ptr() != Arc::as_ptr(of)) {
            self.turn_to(listed, of, name);
        }
        if let Some(last) = &self.last {
            counted.iter().for_each(|(count, by)| last.counters.add(*count, *by));
        }
    }

    fn turn_to(&mut self, listed: &Listed<T>, of: &Arc<T>, name: impl FnOnce() -> Name) {
        let address = Arc::as_ptr(of) as usize;
        if let Some(known) = self.known.get(&address) {
            self.last = Some(known.clone());
            return;
        }
        if self.known.len() >= CHANNEL_PAIRS_MAX {
            if self.passed_over.is_multiple_of(CHANNEL_PAIRS_MAX) {
                self.known.retain(|_, pair| pair.is_there());
                listed.0.lock().retain(|pair| pair.is_there());
            }
            self.passed_over = self.passed_over.wrapping_add(1);
        }
        self.last = None;
        if self.known.len() < CHANNEL_PAIRS_MAX {
            let pair = Arc::new(Pair { name: name(), of: Arc::downgrade(of), counters: Counters::default() });
            listed.0.lock().push(pair.clone());
            self.known.insert(address, pair.clone());
            self.last = Some(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pairs: &mut Pairs<u8>, listed: &Listed<u8>, of: &Arc<u8>, by: u64) {
        pairs.count(listed, of, || Name::new(&format!("n{of}")).unwrap(), &[(Count::Ack, by)]);
    }

    fn shown(listed: &Listed<u8>) -> Vec<(String, u64)> {
        listed.totals().iter().map(|(name, totals)| (name.to_string(), totals.get(Count::Ack))).collect()
    }

    #[test]
    fn each_name_has_its_own_numbers() {
        let (mut pairs, listed) = (Pairs::default(), Listed::default());
        let (one, two) = (Arc::new(1), Arc::new(2));
        for (of, by) in [(&one, 1), (&two, 10), (&one, 2), (&one, 3)] {
            count(&mut pairs, &listed, of, by);
        }
        assert_eq!(shown(&listed), [("n1".to_owned(), 6), ("n2".to_owned(), 10)]);
        drop(one);
        count(&mut pairs, &listed, &Arc::new(1), 4);
        assert_eq!(shown(&listed), [("n1".to_owned(), 10), ("n2".to_owned(), 10)], "made anew");
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let (mut pairs, listed) = (Pairs::default(), Listed::default());
        let mut all: Vec<Arc<u8>> = (0..CHANNEL_PAIRS_MAX).map(|_| Arc::new(7)).collect();
        all.iter().for_each(|of| count(&mut pairs, &listed, of, 1));
        let more = Arc::new(8);
        count(&mut pairs, &listed, &more, 5);
        assert_eq!(shown(&listed), [("n7".to_owned(), CHANNEL_PAIRS_MAX as u64)]);
        // Those that have gone make room, in time.
        all.truncate(1);
        (0..CHANNEL_PAIRS_MAX).for_each(|_| count(&mut pairs, &listed, &more, 0));
        count(&mut pairs, &listed, &more, 5);
        count(&mut pairs, &listed, &all[0], 1);
        assert_eq!(shown(&listed), [("n7".to_owned(), 2), ("n8".to_owned(), 5)]);
    }
}
