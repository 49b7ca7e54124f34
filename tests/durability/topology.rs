//! What definitions must exist: the state that the last `-ok` of each says.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Present,
    Absent,
    /// A change was on its way when the broker died.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    Queue(String),
    Exchange(String),
    /// Exchange, queue; the key is the queue's name.
    Binding(String, String),
}

/// Expected state of every definition the test makes.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    things: BTreeMap<Thing, Expect>,
}

impl Topology {
    /// Nothing said about a thing means that it was never declared.
    pub fn expect(&self, thing: &Thing) -> Expect {
        self.things.get(thing).copied().unwrap_or(Expect::Absent)
    }

    pub fn present(&self, thing: &Thing) -> bool {
        self.expect(thing) == Expect::Present
    }

    /// A change of this thing is about to be sent; deleting a queue or exchange changes its bindings too.
    pub fn sent(&mut self, thing: &Thing) {
        self.set(thing, Expect::Unknown, |expect| expect != Expect::Absent);
    }

    /// The change's `-ok` came.
    pub fn ok(&mut self, thing: &Thing, expect: Expect) {
        match expect {
            Expect::Absent => self.set(thing, Expect::Absent, |_| true),
            _ => drop(self.things.insert(thing.clone(), expect)),
        }
    }

    fn set(&mut self, thing: &Thing, to: Expect, dependents: impl Fn(Expect) -> bool) {
        for (other, expect) in &mut self.things {
            if depends(other, thing) && dependents(*expect) {
                *expect = to;
            }
        }
        self.things.insert(thing.clone(), to);
    }

    /// What a look at a thing says; an error if it contradicts an `-ok`. From now on the look counts.
    pub fn observed(&mut self, thing: &Thing, present: bool) -> Result<(), String> {
        let expected = self.expect(thing);
        let seen = if present { Expect::Present } else { Expect::Absent };
        self.things.insert(thing.clone(), seen);
        match expected {
            Expect::Unknown => Ok(()),
            expected if expected == seen => Ok(()),
            expected => Err(format!("{thing:?} is {seen:?}, its last -ok says {expected:?}")),
        }
    }
}

fn depends(binding: &Thing, on: &Thing) -> bool {
    match (binding, on) {
        (Thing::Binding(_, queue), Thing::Queue(name)) => queue == name,
        (Thing::Binding(exchange, _), Thing::Exchange(name)) => exchange == name,
        _ => false,
    }
}

#[test]
fn contradictions_are_found() {
    let queue = Thing::Queue("q".into());
    let binding = Thing::Binding("x".into(), "q".into());
    let mut topology = Topology::default();
    topology.sent(&queue);
    assert!(topology.clone().observed(&queue, true).is_ok());
    assert!(topology.clone().observed(&queue, false).is_ok());
    topology.ok(&queue, Expect::Present);
    topology.sent(&binding);
    topology.ok(&binding, Expect::Present);
    assert!(topology.clone().observed(&queue, false).is_err());
    assert!(topology.clone().observed(&binding, false).is_err());

    // A delete in flight makes the queue and its bindings uncertain, its -ok makes both absent.
    topology.sent(&queue);
    assert_eq!(topology.expect(&binding), Expect::Unknown);
    topology.ok(&queue, Expect::Absent);
    assert!(topology.clone().observed(&queue, true).is_err());
    assert!(topology.clone().observed(&binding, true).is_err());
    assert!(topology.observed(&binding, false).is_ok());
}
