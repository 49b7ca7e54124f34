//! The topic type: keys are words between dots; in a binding `*` stands for one word, `#` for any number of them.
//!
//! Bindings form a trie of words. A key is matched by walking all possible places at once, word by word, so that a
//! word costs at most one look at each place: patterns like `#.a.#.a.#` cannot multiply the work (reliability.md 4).
//! Consecutive `#` mean the same as one and are stored as one. Empty nodes are freed.

use super::binding::Bound;
use super::destinations::Destinations;
use smallvec::SmallVec;
use std::collections::{HashMap, HashSet};

/// The bindings of a topic exchange.
#[derive(Debug, Default)]
pub(super) struct Topic {
    root: Node,
}

/// What the keys that begin with the same pattern words have in common.
#[derive(Debug, Default)]
struct Node {
    words: HashMap<Box<[u8]>, Box<Node>>,
    /// The next pattern word is `*`.
    any_word: Option<Box<Node>>,
    /// The next pattern word is `#`.
    any_words: Option<Box<Node>>,
    /// Bindings whose pattern ends here.
    destinations: Destinations,
}

impl Topic {
    pub(super) fn add(&mut self, bound: &Bound) {
        let mut node = &mut self.root;
        for word in pattern_words(bound.binding().routing_key.as_str().as_bytes()) {
            node = match word {
                b"*" => node.any_word.get_or_insert_default(),
                b"#" => node.any_words.get_or_insert_default(),
                word => node.words.entry(word.into()).or_default(),
            };
        }
        node.destinations.add(bound.target());
    }

    pub(super) fn remove(&mut self, bound: &Bound) {
        self.root.remove(&mut pattern_words(bound.binding().routing_key.as_str().as_bytes()), bound);
    }

    /// Gives `found` the destinations of every pattern that matches `key`; one destination may come several times.
    /// Returns how many places in the trie were looked at.
    pub(super) fn matching<'t>(&'t self, key: &[u8], mut found: impl FnMut(&'t Destinations)) -> usize {
        let mut places = Places::default();
        places.enter(&self.root);
        let mut steps = 1;
        for word in key_words(key) {
            steps += places.step(word);
            if places.are_none() {
                return steps;
            }
        }
        for node in places.exact.iter().chain(&places.open) {
            if !node.destinations.is_empty() {
                found(&node.destinations);
            }
        }
        steps
    }

    /// Whether no binding is left and all memory of the former ones is freed.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.root.is_empty()
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.any_word.is_none() && self.any_words.is_none() && self.destinations.is_empty()
    }

    /// Removes the binding at the end of `words` and the nodes that only it needed. Calls itself once a word; a routing
    /// key has at most 256 of them.
    fn remove<'k>(&mut self, words: &mut impl Iterator<Item = &'k [u8]>, bound: &Bound) {
        match words.next() {
            None => self.destinations.remove(bound.target()),
            Some(b"*") => Node::remove_below(&mut self.any_word, words, bound),
            Some(b"#") => Node::remove_below(&mut self.any_words, words, bound),
            Some(word) => {
                let Some(node) = self.words.get_mut(word) else { return };
                node.remove(words, bound);
                if node.is_empty() {
                    self.words.remove(word);
                }
            }
        }
    }

    fn remove_below<'k>(slot: &mut Option<Box<Node>>, words: &mut impl Iterator<Item = &'k [u8]>, bound: &Bound) {
        if let Some(node) = slot {
            node.remove(words, bound);
            if node.is_empty() {
                *slot = None;
            }
        }
    }
}

/// The nodes that the words so far can have led to.
#[derive(Default)]
struct Places<'t> {
    /// Reached by exactly the words so far. None is in it twice: a node has one parent and that one has one place.
    exact: SmallVec<[&'t Node; 16]>,
    /// Nodes behind a `#`: once reached they stay, since `#` takes any further word.
    open: SmallVec<[&'t Node; 16]>,
    /// The nodes of `open`, once these are too many to be scanned.
    open_index: HashSet<*const Node>,
}

/// Open places up to this number are scanned.
const SCANNED: usize = 16;

impl<'t> Places<'t> {
    fn are_none(&self) -> bool {
        self.exact.is_empty() && self.open.is_empty()
    }

    /// Stands at `node`, and behind its `#`, which may stand for no word at all.
    fn enter(&mut self, node: &'t Node) {
        self.exact.push(node);
        if let Some(open) = node.any_words.as_deref()
            && !self.is_open(open)
        {
            self.open.push(open);
            if !self.open_index.is_empty() {
                self.open_index.insert(open);
            } else if self.open.len() > SCANNED {
                self.open_index = self.open.iter().map(|node| std::ptr::from_ref(*node)).collect();
            }
        }
    }

    fn is_open(&self, node: &Node) -> bool {
        if self.open_index.is_empty() {
            self.open.iter().any(|open| std::ptr::eq(*open, node))
        } else {
            self.open_index.contains(&std::ptr::from_ref(node))
        }
    }

    /// Takes one word of the key. Returns the places looked at.
    fn step(&mut self, word: &[u8]) -> usize {
        let exact = std::mem::take(&mut self.exact);
        // Places opened by this very word have their turn with the next one.
        let open = self.open.len();
        for node in exact.iter() {
            self.follow(node, word);
        }
        for at in 0..open {
            if let Some(node) = self.open.get(at).copied() {
                self.follow(node, word);
            }
        }
        exact.len() + open
    }

    fn follow(&mut self, node: &'t Node, word: &[u8]) {
        if let Some(next) = node.words.get(word) {
            self.enter(next);
        }
        if let Some(next) = node.any_word.as_deref() {
            self.enter(next);
        }
    }
}

/// The words of a published key. The empty key has none; elsewhere empty words count (compat.md 1.7).
fn key_words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    (!key.is_empty()).then(|| key.split(|byte| *byte == b'.')).into_iter().flatten()
}

/// The words of a binding's key, consecutive `#` taken as one.
fn pattern_words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut after_any = false;
    key_words(key).filter(move |word| {
        let any = *word == b"#";
        let repeated = any && after_any;
        after_any = any;
        !repeated
    })
}
