//! A connection that sends requests, some ahead of their replies, and times them.

use super::frames::{MethodId, next};
use super::latency::Latencies;
use super::link::Link;
use super::shared::Shared;
use super::worker::{Role, Turn};
use std::collections::VecDeque;
use std::time::Duration;

/// Longest wait for a reply.
const STUCK: Duration = Duration::from_secs(60);

/// Appends request number so-and-so; the id of its reply. `None`: there is none left.
pub(super) type Script = Box<dyn FnMut(u64, &mut Vec<u8>) -> Result<Option<MethodId>, String> + Send>;

/// What one caller did.
#[derive(Debug, Default)]
pub(super) struct Called {
    pub(super) replies: u64,
    /// When the last reply came, since the run's start.
    pub(super) last_reply: Duration,
    /// From a request's writing to its reply.
    pub(super) latency: Latencies,
}

/// Sends a script's requests.
pub(super) struct Caller {
    script: Script,
    window: usize,
    /// A run by time ends with a whole round of so many requests: what a round makes it also unmakes.
    round: u64,
    sent: u64,
    waiting: VecDeque<(MethodId, Duration)>,
    ended: bool,
    called: Called,
}

impl Caller {
    pub(super) fn new(script: Script, window: usize, round: u64) -> Self {
        Self {
            script,
            window: window.max(1),
            round: round.max(1),
            sent: 0,
            waiting: VecDeque::new(),
            ended: false,
            called: Called::default(),
        }
    }
}

impl Role for Caller {
    type Outcome = Called;

    fn input(&mut self, bytes: &[u8], shared: &Shared) -> Result<usize, String> {
        let (mut used, now, before) = (0, shared.elapsed(), self.called.replies);
        while let Some(frame) = next(bytes.get(used..).unwrap_or_default()) {
            used += frame.len();
            if let Some(refusal) = frame.refusal() {
                return Err(refusal);
            }
            // Replies of one channel keep their order, those of several need not.
            let place = self.waiting.iter().position(|(reply, _)| Some(*reply) == frame.method());
            if let Some((_, sent)) = place.and_then(|place| self.waiting.remove(place)) {
                self.called.replies += 1;
                self.called.last_reply = now;
                self.called.latency.add(now.saturating_sub(sent).as_nanos() as u64);
            }
        }
        shared.add_published(self.called.replies - before);
        Ok(used)
    }

    fn turn(&mut self, link: &mut Link, shared: &Shared) -> Result<Turn, String> {
        let now = shared.elapsed();
        while self.waiting.len() < self.window && !self.ended {
            if self.sent.is_multiple_of(self.round) && shared.time_is_up(now) || shared.failed() {
                self.ended = true;
                break;
            }
            match (self.script)(self.sent, link.output())? {
                Some(reply) => self.waiting.push_back((reply, now)),
                None => self.ended = true,
            }
            self.sent += 1;
        }
        link.flush()?;
        if self.ended && self.waiting.is_empty() || shared.failed() {
            return Ok(Turn::Done);
        }
        match self.waiting.front() {
            Some((reply, sent)) if now.saturating_sub(*sent) > STUCK => {
                Err(format!("no reply {reply:?} for {} s", STUCK.as_secs()))
            }
            _ => Ok(Turn::Wait),
        }
    }

    fn outcome(self) -> Called {
        self.called
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::connection::Connection;
    use crate::perf::plan::tests::load;
    use crate::perf::plan::{Load, Until};
    use crate::perf::socket::Socket;
    use std::net::{TcpListener, TcpStream};

    /// A link, and what keeps its other end open.
    fn link() -> (Link, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Link::new(Connection { socket: Socket::Plain(stream), input: Vec::new(), frame_max: 4096 }).unwrap(), listener)
    }

    #[test]
    fn requests_go_ahead_of_replies_as_far_as_the_window() {
        let script = Box::new(|number, out: &mut Vec<u8>| {
            out.push(0);
            Ok((number < 3).then_some((50, 11)))
        });
        let mut caller = Caller::new(script, 2, 1);
        let (shared, (mut link, _peer)) = (Shared::new(&load()), link());
        assert_eq!(caller.turn(&mut link, &shared), Ok(Turn::Wait));
        assert_eq!((caller.sent, caller.waiting.len()), (2, 2));
        let reply = [1, 0, 1, 0, 0, 0, 4, 0, 50, 0, 11, 0xCE];
        caller.input(&[8, 0, 0, 0, 0, 0, 0, 0xCE], &shared).unwrap();
        assert_eq!(caller.called.replies, 0);
        caller.input(&reply.repeat(2), &shared).unwrap();
        assert_eq!(caller.turn(&mut link, &shared), Ok(Turn::Wait));
        caller.input(&reply, &shared).unwrap();
        assert_eq!(caller.turn(&mut link, &shared), Ok(Turn::Done));
        assert_eq!((caller.called.replies, shared.counts().published), (3, 3));
    }

    #[test]
    fn replies_of_several_channels_come_in_any_order() {
        let script = Box::new(|number, _: &mut Vec<u8>| Ok([(20, 11), (20, 41)].get(number as usize).copied()));
        let mut caller = Caller::new(script, 10, 1);
        let (shared, (mut link, _peer)) = (Shared::new(&load()), link());
        caller.turn(&mut link, &shared).unwrap();
        for method in [41, 11] {
            caller.input(&[1, 0, 1, 0, 0, 0, 4, 0, 20, 0, method, 0xCE], &shared).unwrap();
        }
        assert_eq!((caller.called.replies, caller.turn(&mut link, &shared)), (2, Ok(Turn::Done)));
    }

    #[test]
    fn a_round_is_finished_when_the_time_is_up() {
        let until = Until::Elapsed(Duration::ZERO);
        let (shared, (mut link, _peer)) = (Shared::new(&Load { until, ..load() }), link());
        let mut caller = Caller::new(Box::new(|_, _| Ok(Some((1, 1)))), 10, 4);
        caller.sent = 1;
        assert_eq!(caller.turn(&mut link, &shared), Ok(Turn::Wait));
        assert_eq!(caller.sent, 4);
    }
}
