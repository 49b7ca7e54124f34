//! Published bytes that are not on disk yet: what holds back a publisher that is faster than the disk.

use crate::engine::Epoch;
use std::collections::VecDeque;

/// Bytes a connection has published, by the epoch that makes them durable.
#[derive(Debug, Default)]
pub(super) struct Flight {
    epochs: VecDeque<(Epoch, u64)>,
    bytes: u64,
}

impl Flight {
    /// Messages were handed over that are durable with `epoch`.
    pub fn add(&mut self, epoch: Epoch, bytes: usize) {
        let bytes = bytes as u64;
        self.bytes += bytes;
        match self.epochs.back_mut() {
            Some((last, sum)) if *last == epoch => *sum += bytes,
            _ => self.epochs.push_back((epoch, bytes)),
        }
    }

    /// Everything up to epoch `done` is on disk.
    pub fn release(&mut self, done: Epoch) {
        while let Some((_, bytes)) = self.epochs.pop_front_if(|(epoch, _)| *epoch <= done) {
            self.bytes -= bytes;
        }
    }

    /// Bytes not on disk.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The epoch that the oldest of them wait for.
    pub fn oldest(&self) -> Option<Epoch> {
        self.epochs.front().map(|(epoch, _)| *epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_with_their_epoch() {
        let mut flight = Flight::default();
        flight.add(3, 10);
        flight.add(3, 5);
        flight.add(5, 100);
        assert_eq!((flight.bytes(), flight.oldest()), (115, Some(3)));
        flight.release(2);
        assert_eq!(flight.bytes(), 115);
        flight.release(4);
        assert_eq!((flight.bytes(), flight.oldest()), (100, Some(5)));
        flight.release(9);
        assert_eq!((flight.bytes(), flight.oldest()), (0, None));
    }
}
