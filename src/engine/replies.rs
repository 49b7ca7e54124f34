//! Direct reply-to (compat.md 2.2): answers go straight to the channel that asked, through no queue. One that does not read
//! loses answers rather than memory.

use super::outbox::{Item, Outlet};
use crate::broker::identity::ConsumerId;
use crate::broker::message::{ChunkBuilder, Ledger, Parts, Run};
use crate::limits::CONSUMER_WINDOW_BYTES;
use crate::name::Name;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The name that clients consume from and reply to.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// What a requester's own name begins with.
const PREFIX: &str = "amq.rabbitmq.reply-to.";

/// Random bytes of such a name.
const SECRET_BYTES: usize = 16;

/// A channel that takes answers.
#[derive(Debug)]
pub struct ReplyTarget {
    name: Name,
    vhost: Name,
    outlet: Outlet,
    consumer: ConsumerId,
    /// Bytes that it may be sent ahead of its connection.
    window: AtomicI64,
}

impl ReplyTarget {
    /// Its name: what `reply-to` says.
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The connection has taken bytes of answers.
    pub fn taken(&self, bytes: u64) {
        self.window.fetch_add(bytes as i64, Ordering::AcqRel);
    }

    pub(super) fn deliver(&self, parts: &Parts<'_>, ledger: &Arc<Ledger>) {
        if self.window.load(Ordering::Acquire) <= 0 {
            return;
        }
        let mut builder = ChunkBuilder::default();
        builder.push(&Parts { detached: None, ..*parts });
        let chunk = Arc::new(builder.finish(false, ledger));
        let run = Run { chunk, index: 0, count: 1, redelivered: false, returns: Default::default() };
        self.window.fetch_sub(run.bytes() as i64, Ordering::AcqRel);
        self.outlet.outbox.push(Item::Run { channel: self.outlet.channel, consumer: self.consumer, run });
        self.outlet.outbox.ring();
    }
}

/// All channels that take answers, by their secret names.
#[derive(Debug, Default)]
pub(super) struct Replies(RwLock<HashMap<Name, Arc<ReplyTarget>>>);

impl Replies {
    /// Opens a target for a channel. None when there is no randomness for its name.
    pub fn open(&self, vhost: &Name, outlet: Outlet, consumer: ConsumerId) -> Option<Arc<ReplyTarget>> {
        let mut random = [0; SECRET_BYTES];
        getrandom::fill(&mut random).ok()?;
        let name = Name::new(&format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)))?;
        let window = AtomicI64::new(CONSUMER_WINDOW_BYTES);
        let target = Arc::new(ReplyTarget { name, vhost: vhost.clone(), outlet, consumer, window });
        self.0.write().insert(target.name.clone(), target.clone());
        Some(target)
    }

    /// Closes a target.
    pub fn close(&self, target: &ReplyTarget) {
        self.0.write().remove(&target.name);
    }

    /// The target of this name in a virtual host.
    pub fn find(&self, vhost: &Name, name: &str) -> Option<Arc<ReplyTarget>> {
        self.0.read().get(name).filter(|target| target.vhost == *vhost).cloned()
    }
}

/// Whether a name is a requester's, or the one that stands for it.
pub fn is_reply_name(name: &str) -> bool {
    name == REPLY_TO || name.starts_with(PREFIX)
}

/// Whether a name may be a requester's own. RabbitMQ counts a message to one as routed, whether the requester is still there
/// or not (compat.md 0, row 18).
pub(super) fn is_target(name: &[u8]) -> bool {
    let secret = name.strip_prefix(PREFIX.as_bytes());
    secret.is_some_and(|secret| URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == SECRET_BYTES))
}
