//! A disk in memory, with the faults of a real one on demand: for tests of everything above the store.

use super::{Change, Family, Logging, Storage, StoreError, keys};
use parking_lot::Mutex;
use std::collections::BTreeMap;

type Image = BTreeMap<(Family, Vec<u8>), Vec<u8>>;

/// A disk in memory. What was not synced is lost by [`MemoryStorage::cut_power`]; unlogged batches go with it.
#[derive(Debug, Default)]
pub struct MemoryStorage(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    live: Image,
    synced: Image,
    writes: u64,
    fault: Option<(u64, Fault)>,
}

/// What a faulty write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This write and all later ones fail.
    Broken,
    /// This write and all later ones find no space, until [`MemoryStorage::heal`].
    Full,
}

impl MemoryStorage {
    /// The `nth` write from now on (1 = the next) and all later ones fail.
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        let mut state = self.0.lock();
        state.fault = Some((state.writes + nth, fault));
    }

    /// Faults end.
    pub fn heal(&self) {
        self.0.lock().fault = None;
    }

    /// Writes that were tried so far.
    pub fn writes(&self) -> u64 {
        self.0.lock().writes
    }

    /// The power goes: what was not synced is gone.
    pub fn cut_power(&self) {
        let mut state = self.0.lock();
        state.live = state.synced.clone();
        state.fault = None;
    }
}

impl State {
    fn check(&mut self) -> Result<(), StoreError> {
        self.writes += 1;
        match self.fault {
            Some((at, Fault::Broken)) if self.writes >= at => Err(StoreError::Failed("injected".into())),
            Some((at, Fault::Full)) if self.writes >= at => Err(StoreError::Full("injected".into())),
            _ => Ok(()),
        }
    }
}

impl Storage for MemoryStorage {
    fn write(&self, changes: &[Change], logging: Logging) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        state.check()?;
        for change in changes {
            match change {
                Change::Put(family, key, value) => {
                    state.live.insert((*family, key.clone()), value.clone());
                }
                Change::PutChunk(family, key, chunk) => {
                    state.live.insert((*family, key.to_vec()), chunk.bytes().to_vec());
                }
                Change::PutBody(family, body) => {
                    state.live.insert((*family, keys::body(body.id())), body.bytes().to_vec());
                }
                Change::Delete(family, key) => {
                    state.live.remove(&(*family, key.clone()));
                }
                Change::DeleteRange(family, from, to) => {
                    state.live.retain(|(other, key), _| other != family || key < from || key >= to);
                }
            }
        }
        if logging == Logging::Synced {
            state.synced = state.live.clone();
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let mut state = self.0.lock();
        state.check()?;
        state.synced = state.live.clone();
        Ok(())
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        let state = self.0.lock();
        for ((_, key), value) in state.live.range((family, from.to_vec())..(family, to.to_vec())) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().live.get(&(family, key.to_vec())).cloned())
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let state = self.0.lock();
        match state.fault {
            Some((_, Fault::Full)) => Err(StoreError::Full("injected".into())),
            _ => Ok(()),
        }
    }
}
