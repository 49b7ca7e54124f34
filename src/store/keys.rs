//! The layout of keys: numbers big-endian, so that a queue's chunks lie in order.

use crate::broker::body::BodyId;
use crate::broker::delayed::Place;
use crate::broker::identity::{DelayId, QueueId};

/// Key of the last commit's number, in the queue states: before every queue's.
pub const LAST_EPOCH: &[u8] = b"";

/// Key of the note that the last stop was clean, in the queue states.
pub const CLEAN_STOP: &[u8] = b"c";

/// Key of a chunk, and of its settlements.
pub fn chunk(queue: QueueId, first: u64) -> [u8; 16] {
    ((u128::from(queue.0) << 64) | u128::from(first)).to_be_bytes()
}

/// Key of how often a message came back, among the settlements: behind its chunk's.
pub fn returns(queue: QueueId, sequence: u64) -> Vec<u8> {
    let mut key = chunk(queue, sequence).to_vec();
    key.push(RETURNS);
    key
}

/// Whether a key among the settlements is one of [`returns`].
pub fn is_returns(key: &[u8]) -> bool {
    matches!(key, [.., RETURNS] if key.len() == 17)
}

/// The last byte of a message's key.
const RETURNS: u8 = b'r';

/// The queue in a chunk's key, or the owner in the key of a window's block: those have the same form. None when it is no
/// such key.
pub fn owner_of(key: &[u8]) -> Option<QueueId> {
    key.first_chunk::<8>().map(|id| QueueId(u64::from_be_bytes(*id)))
}

/// The first sequence number in a chunk's key. None when it is no such key.
pub fn chunk_first(key: &[u8]) -> Option<u64> {
    let (_, first) = key.split_first_chunk::<8>()?;
    Some(u64::from_be_bytes(*first.first_chunk::<8>()?))
}

/// Key of a detached body.
pub fn body(id: BodyId) -> Vec<u8> {
    body_key(BODY, id.0)
}

/// Key of how many records refer to a detached body.
pub fn body_count(id: BodyId) -> Vec<u8> {
    body_key(COUNT, id.0)
}

/// Key of the list of detached bodies to which the chunk of this key refers. Chunks' order is theirs.
pub fn references(chunk: &[u8]) -> Vec<u8> {
    let mut key = vec![REFERENCES];
    key.extend_from_slice(chunk);
    key
}

/// The chunk whose list a key stands for. None when it is no key of [`references`].
pub fn referrer(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[REFERENCES]).filter(|chunk| chunk.len() == 16)
}

/// Whether a key is one of [`body_count`] or [`references`]: of something small beside bodies.
pub fn is_note(key: &[u8]) -> bool {
    key.len() == 17 && matches!(key, [COUNT | REFERENCES, ..])
}

/// The detached body in a key of [`body`]. None when it is no such key.
pub fn body_of(key: &[u8]) -> Option<BodyId> {
    let id = key.strip_prefix(&[BODY])?.first_chunk::<16>()?;
    (key.len() == 17).then(|| BodyId(u128::from_be_bytes(*id)))
}

/// First bytes of keys of 17 bytes among detached bodies.
const BODY: u8 = b'b';
const COUNT: u8 = b'c';
const REFERENCES: u8 = b'r';

fn body_key(kind: u8, id: u128) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// Key of the state of a queue's level.
pub fn queue(queue: QueueId, level: u8) -> [u8; 9] {
    let mut key = [level; 9];
    if let Some(id) = key.first_chunk_mut::<8>() {
        *id = queue.0.to_be_bytes();
    }
    key
}

/// The queue and the level in a state's key. None when it is no such key.
pub fn queue_of(key: &[u8]) -> Option<(QueueId, u8)> {
    let (id, level) = key.split_first_chunk::<8>()?;
    Some((QueueId(u64::from_be_bytes(*id)), *level.first()?))
}

/// Key of a chunk of delayed messages: an exchange's lie in order of due time, ties in publishing order.
pub fn delayed(id: DelayId, place: Place) -> [u8; 24] {
    let mut key = [0; 24];
    let numbers = [id.0, place.due, place.number];
    key.as_chunks_mut::<8>().0.iter_mut().zip(numbers).for_each(|(bytes, number)| *bytes = number.to_be_bytes());
    key
}

/// The place in a delayed chunk's key. None when it is no such key.
pub fn delayed_place(key: &[u8]) -> Option<Place> {
    match key.as_chunks::<8>() {
        ([_, due, number], []) => Some(Place { due: u64::from_be_bytes(*due), number: u64::from_be_bytes(*number) }),
        _ => None,
    }
}

/// Key of the state of an exchange's delayed messages: before all of them.
pub fn delay_state(id: DelayId) -> [u8; 8] {
    id.0.to_be_bytes()
}

/// Kinds of definitions; the first byte of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionKind {
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
    /// A binding.
    Binding,
    /// The next queue's number.
    NextQueue,
    /// A policy.
    Policy,
    /// A virtual host.
    Vhost,
    /// A user.
    User,
    /// A user's permissions in a virtual host.
    Permissions,
    /// A user's permissions for the keys of a topic exchange.
    TopicPermissions,
    /// A parameter of a virtual host.
    Parameter,
    /// A parameter of the whole node.
    GlobalParameter,
    /// The number under which an exchange keeps delayed messages.
    Delay,
}

impl DefinitionKind {
    /// The byte on disk.
    pub fn byte(self) -> u8 {
        match self {
            DefinitionKind::Exchange => b'x',
            DefinitionKind::Queue => b'q',
            DefinitionKind::Binding => b'b',
            DefinitionKind::NextQueue => b'n',
            DefinitionKind::Policy => b'p',
            DefinitionKind::Vhost => b'v',
            DefinitionKind::User => b'u',
            DefinitionKind::Permissions => b'a',
            DefinitionKind::TopicPermissions => b't',
            DefinitionKind::Parameter => b'r',
            DefinitionKind::GlobalParameter => b'g',
            DefinitionKind::Delay => b'd',
        }
    }

    /// The kind of a key. None when it is none of them.
    pub fn of(key: &[u8]) -> Option<DefinitionKind> {
        let in_vhosts = [Self::Exchange, Self::Queue, Self::Binding, Self::NextQueue, Self::Policy, Self::Delay];
        let catalog = [Self::Vhost, Self::User, Self::Permissions, Self::TopicPermissions];
        let parameters = [Self::Parameter, Self::GlobalParameter];
        in_vhosts.into_iter().chain(catalog).chain(parameters).find(|kind| key.first() == Some(&kind.byte()))
    }
}

/// Key of a definition: its kind, and the parts of its identity, each with its length before it.
pub fn definition(kind: DefinitionKind, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind.byte()];
    for part in parts {
        key.extend_from_slice(&(part.len() as u32).to_be_bytes());
        key.extend_from_slice(part);
    }
    key
}
