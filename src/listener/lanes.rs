//! The threads that drive connections. Each is a lane with an event loop of its own: what connections of one lane say to each
//! other costs no system call and no wake-up. No more lanes are in use than the load needs: a lane that is busy gives
//! connections to one that is less so, and what a lower lane can do beside its own goes there.

use crate::clock::Now;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use std::cell::RefCell;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a lane that is in use looks at its load.
const LOOK: Duration = Duration::from_millis(50);
/// A load that was published so long ago is none: the lane sleeps.
const STALE: Duration = Duration::from_millis(150);
/// Of a thread's time, in thousandths: from here on a lane gives connections away.
const CROWDED: u32 = 700;
/// So much less has the lane that gets them.
const GAP: u32 = 300;
/// Two lanes that have no more than this together become one.
const ROOMY: u32 = 400;

/// The lanes of a node.
#[derive(Debug)]
pub struct Lanes {
    lanes: Box<[Lane]>,
    /// Where connections go whose user's rights are asked of another machine: they wait in the middle of their turns.
    elsewhere: Handle,
    begun: Instant,
    tasks: TaskTracker,
    stop: CancellationToken,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Lane {
    /// None: its thread cannot be started.
    handle: OnceLock<Option<Handle>>,
    /// Thousandths of its thread's time, and when it said so, in milliseconds since the start.
    load: AtomicU32,
    looked: AtomicU64,
}

/// Where a connection is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Lane(usize),
    Elsewhere,
}

thread_local! {
    /// The lane whose thread this is.
    static HERE: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// What a lane's thread knows of its load.
#[derive(Debug)]
struct Watch {
    me: usize,
    /// Number of this look.
    number: u64,
    looked: Instant,
    cpu: Duration,
    moving: Option<Moving>,
}

/// Which connections go to another lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moving {
    to: usize,
    /// Until they have taken so much time along; None: all.
    left: Option<Duration>,
}

/// A connection's part in its lane's load.
#[derive(Debug, Default)]
pub(super) struct Share {
    look: u64,
    spent: Duration,
    before: Duration,
}

impl Lanes {
    /// Lanes for a machine with `count` processors. To be called within the runtime that drives everything else.
    pub fn new(count: usize, tasks: TaskTracker) -> Arc<Lanes> {
        Arc::new(Lanes {
            lanes: (0..count.max(1)).map(|_| Lane::default()).collect(),
            elsewhere: Handle::current(),
            begun: Now::read().monotonic,
            tasks,
            stop: CancellationToken::new(),
            threads: Mutex::default(),
        })
    }

    /// Drives a task at a place.
    pub(super) fn spawn(&self, place: Place, task: impl Future<Output = ()> + Send + 'static) {
        let handle = match place {
            Place::Lane(at) => self.handle(at).unwrap_or(&self.elsewhere),
            Place::Elsewhere => &self.elsewhere,
        };
        drop(self.tasks.spawn_on(task, handle));
    }

    /// Where a connection begins: in the first lane with room.
    pub(super) fn begin(&self) -> Place {
        let now = Now::read().monotonic;
        let mut loads = (0..self.lanes.len()).map(|at| (at, self.load(at, now)));
        let least = loads.clone().min_by_key(|(_, load)| *load);
        Place::Lane(loads.find(|(_, load)| *load < CROWDED).or(least).map_or(0, |(at, _)| at))
    }

    /// Ends the lanes, with whatever they still drive, and waits for their threads.
    pub fn end(&self) {
        self.stop.cancel();
        for thread in std::mem::take(&mut *self.threads.lock()) {
            // A panic was told when it came.
            let _ = thread.join();
        }
    }

    fn handle(&self, at: usize) -> Option<&Handle> {
        self.lanes.get(at)?.handle.get_or_init(|| self.start(at)).as_ref()
    }

    fn start(&self, at: usize) -> Option<Handle> {
        let started = tokio::runtime::Builder::new_current_thread().enable_all().build().and_then(|runtime| {
            let (handle, stop) = (runtime.handle().clone(), self.stop.clone());
            let thread = std::thread::Builder::new().name(format!("lane {at}")).spawn(move || {
                let (looked, cpu) = (Now::read().monotonic, thread_time());
                HERE.set(Some(Watch { me: at, number: 0, looked, cpu, moving: None }));
                runtime.block_on(stop.cancelled());
            })?;
            self.threads.lock().push(thread);
            Ok(handle)
        });
        started.inspect_err(|error| tracing::warn!(%error, "no thread for connections")).ok()
    }

    fn load(&self, at: usize, now: Instant) -> u32 {
        let Some(lane) = self.lanes.get(at) else { return u32::MAX };
        let looked = self.begun + Duration::from_millis(lane.looked.load(Ordering::Relaxed));
        if now.saturating_duration_since(looked) > STALE { 0 } else { lane.load.load(Ordering::Relaxed) }
    }

    /// A connection has taken a turn that ended at `now` and took `spent`: where it is to go on, if elsewhere.
    pub(super) fn after_turn(&self, share: &mut Share, spent: Duration, now: Instant) -> Option<Place> {
        HERE.with_borrow_mut(|watch| {
            let watch = watch.as_mut()?;
            if now.saturating_duration_since(watch.looked) >= LOOK {
                watch.look(self, now);
            }
            share.add(watch.number, spent);
            let moving = watch.moving.as_mut()?;
            if let Some(left) = &mut moving.left {
                *left = left.checked_sub(share.before).filter(|_| !share.before.is_zero())?;
            }
            Some(Place::Lane(moving.to))
        })
    }
}

impl Watch {
    fn look(&mut self, lanes: &Lanes, now: Instant) {
        let (wall, cpu) = (now.saturating_duration_since(self.looked), thread_time());
        let load = (cpu.saturating_sub(self.cpu).as_nanos() * 1000 / wall.as_nanos().max(1)) as u32;
        (self.number, self.looked, self.cpu) = (self.number + 1, now, cpu);
        if let Some(lane) = lanes.lanes.get(self.me) {
            lane.load.store(load, Ordering::Relaxed);
            let looked = now.saturating_duration_since(lanes.begun).as_millis() as u64;
            lane.looked.store(looked, Ordering::Relaxed);
        }
        let others: Vec<u32> = (0..lanes.lanes.len()).map(|at| lanes.load(at, now)).collect();
        self.moving = judge(self.me, load, wall, &others);
    }
}

/// What a lane gives away that had `load` for the time `wall`.
fn judge(me: usize, load: u32, wall: Duration, loads: &[u32]) -> Option<Moving> {
    if load >= CROWDED {
        let others = loads.iter().enumerate().filter(|(at, _)| *at != me);
        let (to, least) = others.min_by_key(|(_, load)| **load)?;
        let gap = load.checked_sub(*least).filter(|gap| *gap >= GAP)?;
        return Some(Moving { to, left: Some(wall * gap / 2000) });
    }
    let to = loads.iter().take(me).position(|other| other + load <= ROOMY)?;
    Some(Moving { to, left: None })
}

impl Share {
    fn add(&mut self, look: u64, spent: Duration) {
        if self.look != look {
            // What it did before the last look counts, if that was just before.
            self.before = if self.look + 1 == look { self.spent } else { Duration::ZERO };
            (self.look, self.spent) = (look, Duration::ZERO);
        }
        self.spent += spent;
    }
}

/// What this thread has had of a processor.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_millis(50);

    #[test]
    fn a_crowded_lane_gives_half_of_what_it_has_more_and_a_roomy_one_all() {
        let half = |to, part: u32| Some(Moving { to, left: Some(WALL * part / 2000) });
        assert_eq!(judge(0, 1000, WALL, &[1000, 0]), half(1, 1000));
        assert_eq!(judge(1, 900, WALL, &[500, 900, 300]), half(2, 600));
        assert_eq!(judge(0, 900, WALL, &[900, 700]), None, "the other is busy too");
        assert_eq!(judge(0, 1000, WALL, &[1000]), None, "there is no other");
        assert_eq!(judge(0, 300, WALL, &[300, 0]), None, "nothing is lower than the first");
        let all = |to| Some(Moving { to, left: None });
        assert_eq!(judge(2, 100, WALL, &[350, 300, 100]), all(1));
        assert_eq!(judge(2, 100, WALL, &[300, 300, 100]), all(0));
        assert_eq!(judge(1, 200, WALL, &[300, 200]), None);
    }

    #[test]
    fn a_share_is_what_was_spent_between_the_last_two_looks() {
        let mut share = Share::default();
        share.add(5, WALL);
        share.add(5, WALL);
        assert_eq!(share.before, Duration::ZERO);
        share.add(6, WALL);
        assert_eq!(share.before, 2 * WALL);
        share.add(9, WALL);
        assert_eq!(share.before, Duration::ZERO, "it slept in between");
    }

    #[tokio::test]
    async fn tasks_run_on_the_thread_of_their_lane_until_it_ends() {
        let tasks = TaskTracker::new();
        let lanes = Lanes::new(2, tasks.clone());
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for place in [lanes.begin(), Place::Lane(1), Place::Elsewhere] {
            let sender = sender.clone();
            lanes.spawn(place, async move {
                let name = std::thread::current().name().map(str::to_owned);
                let _ = sender.send(name.filter(|name| name.starts_with("lane")));
            });
        }
        let mut names = [receiver.recv().await, receiver.recv().await, receiver.recv().await].map(Option::unwrap);
        names.sort();
        assert_eq!(names, [None, Some("lane 0".to_owned()), Some("lane 1".to_owned())]);
        lanes.spawn(Place::Lane(0), std::future::pending());
        tokio::task::spawn_blocking(move || lanes.end()).await.unwrap();
        tasks.close();
        tasks.wait().await;
    }
}
