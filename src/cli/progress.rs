//! What a terminal shows while something takes long. Nothing is printed where standard error is no terminal.

use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Shows which part of some bytes is done.
#[derive(Debug)]
pub(super) struct Share {
    what: &'static str,
    percent: Option<u64>,
    terminal: bool,
}

impl Share {
    /// Nothing is done yet.
    pub fn of(what: &'static str) -> Share {
        Share { what, percent: None, terminal: stderr().is_terminal() }
    }

    /// So much of all is done.
    pub fn show(&mut self, done: u64, total: u64) {
        let percent = done.saturating_mul(100) / total.max(1);
        if self.terminal && self.percent != Some(percent.min(100)) {
            self.percent = Some(percent.min(100));
            line(&format!("{}: {} %", self.what, percent.min(100)));
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.percent.is_some() {
            line("");
        }
    }
}

/// Shows how long something lasts that does not tell how far it is: from the second second on.
#[derive(Debug)]
pub(super) struct Clock {
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Clock {
    /// It begins now.
    pub fn start(what: &str) -> Clock {
        if !stderr().is_terminal() {
            return Clock { thread: None };
        }
        let ((end, ended), what) = (channel(), what.to_owned());
        let run = move || {
            let mut seconds = 0_u64;
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                seconds += 1;
                line(&format!("{what}: {seconds} s"));
            }
            if seconds > 0 {
                line("");
            }
        };
        let thread = std::thread::Builder::new().name("progress".into()).spawn(run);
        Clock { thread: thread.ok().map(|thread| (end, thread)) }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.thread.take() {
            drop(end);
            // Its panic, if any, was reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// Writes over the terminal's line.
fn line(text: &str) {
    // A terminal that has gone shows nothing.
    let _ = write!(stderr(), "\r\x1b[K{text}").and_then(|()| stderr().flush());
}
