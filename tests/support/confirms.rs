//! Publisher confirms of one channel: every publish settled exactly once, ack or nack.

use std::collections::BTreeSet;

/// Tags published and not yet settled.
#[derive(Clone, Debug, Default)]
pub struct ConfirmTracker {
    published: u64,
    outstanding: BTreeSet<u64>,
    nacked: Vec<u64>,
}

impl ConfirmTracker {
    /// Notes a publish and gives its tag, from 1.
    pub fn publish(&mut self) -> u64 {
        self.published += 1;
        self.outstanding.insert(self.published);
        self.published
    }

    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    pub fn published(&self) -> u64 {
        self.published
    }

    /// Tags nacked since the last call.
    pub fn take_nacked(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.nacked)
    }

    /// The tags a confirm settles; an error when it settles none or names a tag that is not outstanding.
    pub fn settle(&mut self, tag: u64, multiple: bool, nack: bool) -> Result<Vec<u64>, String> {
        let word = if nack { "nack" } else { "ack" };
        if tag > self.published {
            return Err(format!("{word} of tag {tag}, only {} published", self.published));
        }
        let settled: Vec<u64> = match (multiple, tag) {
            (true, 0) => self.outstanding.iter().copied().collect(),
            (true, _) => self.outstanding.range(..=tag).copied().collect(),
            (false, _) => self.outstanding.get(&tag).copied().into_iter().collect(),
        };
        if settled.is_empty() {
            return Err(format!("{word} of tag {tag} (multiple={multiple}) settles nothing: settled before"));
        }
        for tag in &settled {
            self.outstanding.remove(tag);
        }
        if nack {
            self.nacked.extend(&settled);
        }
        Ok(settled)
    }
}
