//! Looks at everything that is stored, and says what is damaged: nothing is changed.

use super::bodies::BodyPool;
use super::keys::DefinitionKind;
use super::recovery::recover;
use super::{Family, Storage, StoreError, keys, records};
use crate::broker::body::Body;
use crate::broker::identity::QueueId;
use crate::broker::message::{Chunk, Ledger};
use crate::broker::queue::Settled;
use crate::value::{Table, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Damages that are told one by one.
const TOLD: usize = 20;
/// A key behind all others of a family.
const END: [u8; 32] = [0xff; 32];

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Durable queues.
    pub queues: usize,
    /// Messages in them, by their states.
    pub messages: u64,
    /// Chunks that were read.
    pub chunks: u64,
    /// Bytes of chunks and bodies that were read.
    pub bytes: u64,
    /// Number of the last commit.
    pub last_epoch: u64,
    /// Whether the last stop was clean.
    pub clean_stop: bool,
    /// Values that are damaged.
    pub damaged: u64,
    /// Where: the first of them.
    pub damage: Vec<String>,
}

/// Reads everything. `each` is called with the bytes of messages that were read so far.
///
/// # Errors
/// When nothing can be read: definitions or states are damaged, or the disk fails. Damaged messages are no error: they are told.
pub fn all(storage: &dyn Storage, each: &mut dyn FnMut(u64)) -> Result<Found, StoreError> {
    let recovered = recover(storage)?;
    let levels = recovered.queues.values().flatten();
    let found = Found {
        queues: queues(&recovered.definitions).count(),
        messages: levels.map(|(_, state)| state.messages).sum(),
        last_epoch: recovered.last_epoch,
        clean_stop: recovered.clean_stop,
        ..Found::default()
    };
    let names = names(&recovered.definitions);
    let ledger = Arc::<Ledger>::default();
    let mut inspector = Inspector { storage, names, found, ledger, each };
    inspector.bodies()?;
    inspector.chunks()?;
    inspector.settled()?;
    inspector.delayed()?;
    Ok(inspector.found)
}

/// Names of queues, as messages call them.
fn names(definitions: &[(Vec<u8>, Table)]) -> BTreeMap<u64, String> {
    let named = queues(definitions).filter_map(|(_, fields)| {
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        let id = fields.get("id")?.as_integer()? as u64;
        Some((id, format!("queue '{}' in vhost '{}'", text("name")?, text("vhost")?)))
    });
    named.collect()
}

fn queues(definitions: &[(Vec<u8>, Table)]) -> impl Iterator<Item = &(Vec<u8>, Table)> {
    definitions.iter().filter(|(key, _)| DefinitionKind::of(key) == Some(DefinitionKind::Queue))
}

struct Inspector<'a> {
    storage: &'a dyn Storage,
    names: BTreeMap<u64, String>,
    found: Found,
    ledger: Arc<Ledger>,
    each: &'a mut dyn FnMut(u64),
}

impl Inspector<'_> {
    fn damaged(&mut self, text: String) {
        self.found.damaged += 1;
        if self.found.damage.len() < TOLD {
            self.found.damage.push(text);
        }
    }

    fn read(&mut self, bytes: usize) {
        self.found.bytes += bytes as u64;
        (self.each)(self.found.bytes);
    }

    fn scan(&mut self, family: Family, visit: fn(&mut Self, &[u8], &[u8])) -> Result<(), StoreError> {
        let storage = self.storage;
        storage.scan(family, b"", &END, &mut |key, value| {
            visit(self, key, value);
            true
        })
    }

    fn bodies(&mut self) -> Result<(), StoreError> {
        self.scan(Family::Bodies, |this, key, value| {
            this.read(value.len());
            if keys::is_note(key) {
                if records::open(value, "note").is_err() {
                    this.damaged("a note on shared bodies".to_owned());
                }
            } else if let Some(id) = keys::body_of(key)
                && Body::load(id, value.to_vec(), &this.ledger).is_none()
            {
                this.damaged("a body that several queues share".to_owned());
            }
        })
    }

    fn chunks(&mut self) -> Result<(), StoreError> {
        self.scan(Family::Chunks, |this, key, value| {
            this.read(value.len());
            this.found.chunks += 1;
            let first = keys::chunk_first(key).unwrap_or_default();
            // A pool of its own: no body stays in memory longer than its chunk is looked at.
            let pool = BodyPool::new(0, this.ledger.clone());
            let find = |id| pool.read(this.storage, Family::Bodies, id).ok().flatten();
            if Chunk::load(first, true, value.to_vec(), &this.ledger, find).is_none() {
                let queue = this.queue(keys::owner_of(key));
                this.damaged(format!("messages from number {first} on of {queue}"));
            }
        })
    }

    fn settled(&mut self) -> Result<(), StoreError> {
        self.scan(Family::Settled, |this, key, value| {
            let sound = match keys::is_returns(key) {
                true => records::read_returns(value).is_ok(),
                false => records::open(value, "settlements").is_ok_and(|content| Settled::decode(content).is_some()),
            };
            if !sound {
                let queue = this.queue(keys::owner_of(key));
                this.damaged(format!("acknowledgements of {queue}"));
            }
        })
    }

    fn delayed(&mut self) -> Result<(), StoreError> {
        self.scan(Family::Delayed, |this, key, value| {
            this.read(value.len());
            let sound = match keys::delayed_place(key) {
                Some(_) => Chunk::load_plain(0, true, value.to_vec(), &this.ledger).is_some(),
                None => records::read_delay_state(value).is_ok(),
            };
            if !sound {
                this.damaged("delayed messages".to_owned());
            }
        })
    }

    fn queue(&self, id: Option<QueueId>) -> String {
        let number = id.map_or(0, |id| id.0);
        self.names.get(&number).cloned().unwrap_or_else(|| format!("queue number {number}"))
    }
}
