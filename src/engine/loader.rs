//! The thread that reads messages back from disk when a queue's head is there.

use super::broker::Broker;
use super::queue_handle::QueueHandle;
use crate::broker::queue::Command;
use crate::store::{StoreError, recovery};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause before a read is tried again while the disk is full.
const RETRY: Duration = Duration::from_millis(250);

/// The door of the loader: takes queues whose head is to be read.
#[derive(Debug)]
pub struct Loader {
    door: Sender<Arc<QueueHandle>>,
    /// Messages that were read so far.
    read: AtomicU64,
}

impl Loader {
    /// A loader, and what its thread takes from.
    pub fn new() -> (Loader, Receiver<Arc<QueueHandle>>) {
        let (sender, receiver) = channel();
        (Loader { door: sender, read: AtomicU64::new(0) }, receiver)
    }

    pub(super) fn request(&self, queue: Arc<QueueHandle>) {
        // The thread ends only when the broker has gone.
        let _ = self.door.send(queue);
    }

    /// Messages that were read so far.
    pub(super) fn messages_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Runs the thread until the broker is dropped.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(broker: Weak<Broker>, requests: Receiver<Arc<QueueHandle>>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("loader".into()).spawn(move || {
            while let Ok(queue) = requests.recv() {
                let Some(broker) = broker.upgrade() else { return };
                read_head(&broker, &queue);
            }
        })
    }
}

fn read_head(broker: &Broker, queue: &Arc<QueueHandle>) {
    while let Some(request) = queue.load_request() {
        let storage = broker.committer().storage();
        match recovery::load(&**storage, queue.id(), request, broker.bodies()) {
            Ok((chunks, end)) => {
                let messages = chunks.iter().map(|stored| u64::from(stored.chunk.count())).sum();
                broker.loader().read.fetch_add(messages, Ordering::Relaxed);
                queue.apply(broker, Command::Loaded { first: request.first, chunks, end });
                break;
            }
            Err(StoreError::Full(_)) => {
                // The storage is being opened again.
                queue.with_queue(|queue| queue.load_again());
                std::thread::sleep(RETRY);
            }
            Err(error) => {
                queue.apply(broker, Command::Unreadable(error.to_string()));
                break;
            }
        }
    }
    queue.release_getters();
}
