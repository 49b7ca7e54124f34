//! One thread that compares passwords with hashes that take long. It has a low priority and a short queue, so that a flood of
//! logins costs traffic little; what has matched once is remembered, so that a thousand clients of one user that come back at
//! once cost one hash.

use super::password;
use crate::broker::access::PasswordHash;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait; whoever has one more waits to ask it.
const QUEUE: usize = 64;
/// Matches that are remembered.
const REMEMBERED: usize = 4096;
/// The thread's priority: a tenth of the weight of those that serve connections.
const NICENESS: i32 = 10;

type Print = [u8; 32];

/// A hash and a password to compare.
struct Question {
    stored: PasswordHash,
    password: Vec<u8>,
    answer: oneshot::Sender<bool>,
}

/// Compares passwords with hashes.
pub(super) struct Hasher {
    questions: Mutex<Option<mpsc::Sender<Question>>>,
    known: Arc<Known>,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// # Errors
    /// The system gives no randomness.
    pub fn new() -> std::io::Result<Hasher> {
        let mut key = Print::default();
        getrandom::fill(&mut key).map_err(|fault| std::io::Error::other(fault.to_string()))?;
        let known = Arc::new(Known { key, prints: Mutex::default() });
        Ok(Hasher { questions: Mutex::default(), known })
    }

    /// Whether this password has matched this hash before.
    pub fn remembers(&self, stored: &PasswordHash, password: &[u8]) -> bool {
        self.known.has(&self.known.print(stored, password))
    }

    /// Whether it is the password. When the thread cannot be had, it is not.
    pub async fn matches(&self, stored: &PasswordHash, password: &[u8]) -> bool {
        let (answer, answered) = oneshot::channel();
        let question = Question { stored: stored.clone(), password: password.to_vec(), answer };
        let Some(questions) = self.thread() else { return false };
        questions.send(question).await.is_ok() && answered.await.unwrap_or(false)
    }

    /// The same on the caller's own thread, which may be kept for a while.
    pub fn matches_here(&self, stored: &PasswordHash, password: &[u8]) -> bool {
        self.known.compare(stored, password)
    }

    /// The way to the thread, which is started when it is needed first.
    fn thread(&self) -> Option<mpsc::Sender<Question>> {
        let mut questions = self.questions.lock();
        if questions.is_none() {
            let (sender, receiver) = mpsc::channel(QUEUE);
            let known = self.known.clone();
            let started =
                std::thread::Builder::new().name("passwords".to_owned()).spawn(move || serve(receiver, &known));
            match started {
                Ok(_) => *questions = Some(sender),
                Err(error) => tracing::error!(%error, "no thread for passwords"),
            }
        }
        questions.clone()
    }
}

fn serve(mut questions: mpsc::Receiver<Question>, known: &Known) {
    // With a usual priority it is slower for others, not wrong.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
    while let Some(Question { stored, password, answer }) = questions.blocking_recv() {
        if answer.is_closed() {
            continue;
        }
        // Whoever asked may have gone.
        let _ = answer.send(known.compare(&stored, &password));
    }
}

/// Prints of hashes with their passwords. The key is new with each start and in memory only.
struct Known {
    key: Print,
    prints: Mutex<HashSet<Print>>,
}

impl Known {
    fn print(&self, stored: &PasswordHash, password: &[u8]) -> Print {
        let length = (stored.salted.len() as u64).to_be_bytes();
        Sha256::new()
            .chain_update(self.key)
            .chain_update(length)
            .chain_update(&stored.salted)
            .chain_update(password)
            .finalize()
            .into()
    }

    fn compare(&self, stored: &PasswordHash, password: &[u8]) -> bool {
        let print = self.print(stored, password);
        let right = self.has(&print) || password::matches(stored, password);
        if right && password::is_slow(stored) {
            self.remember(print);
        }
        right
    }

    fn has(&self, print: &Print) -> bool {
        self.prints.lock().contains(print)
    }

    fn remember(&self, print: Print) {
        let mut prints = self.prints.lock();
        if prints.len() >= REMEMBERED {
            prints.clear();
        }
        prints.insert(print);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::access::HashAlgorithm;

    #[test]
    fn right_and_wrong_passwords_and_what_is_remembered() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (hasher, stored) = (Hasher::new().unwrap(), password::hash(b"hunter", HashAlgorithm::Argon2id).unwrap());
        assert!(!hasher.remembers(&stored, b"hunter"));
        assert!(!runtime.block_on(hasher.matches(&stored, b"wrong")));
        assert!(runtime.block_on(hasher.matches(&stored, b"hunter")));
        assert!(hasher.remembers(&stored, b"hunter") && !hasher.remembers(&stored, b"wrong"));
        let another = password::hash(b"hunter", HashAlgorithm::Argon2id).unwrap();
        assert!(!hasher.remembers(&another, b"hunter"), "a password that is set anew is compared anew");
    }

    #[test]
    fn whoever_serves_connections_goes_before_passwords() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (hasher, stored) = (Hasher::new().unwrap(), password::hash(b"hunter", HashAlgorithm::Argon2id).unwrap());
        let both = async { tokio::join!(hasher.matches(&stored, b"hunter"), hasher.matches(&stored, b"wrong")) };
        assert_eq!(runtime.block_on(both), (true, false));
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.join("stat")).ok());
        let hashers: Vec<String> = stats.filter(|stat| stat.contains("(passwords)")).collect();
        assert!(!hashers.is_empty());
        for stat in hashers {
            // Behind the name, the niceness is the seventeenth.
            let behind = stat.rsplit_once(')').unwrap().1;
            assert_eq!(behind.split_whitespace().nth(16), Some(NICENESS.to_string().as_str()), "{stat}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let hasher = Hasher::new().unwrap();
        for number in 0..2 * REMEMBERED as u64 + 10 {
            let mut print = Print::default();
            print[..8].copy_from_slice(&number.to_be_bytes());
            hasher.known.remember(print);
        }
        assert!(hasher.known.prints.lock().len() <= REMEMBERED);
    }
}
