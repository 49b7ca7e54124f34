//! The direct type: a message goes where a binding's key equals its own.

use super::binding::Bound;
use super::destinations::Destinations;
use crate::name::Name;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

/// The bindings of a direct exchange.
#[derive(Debug, Default)]
pub(super) struct Direct {
    keys: HashMap<Key, Destinations>,
}

impl Direct {
    pub(super) fn add(&mut self, bound: &Bound) {
        self.keys.entry(Key(bound.binding().routing_key.clone())).or_default().add(bound.target());
    }

    pub(super) fn remove(&mut self, bound: &Bound) {
        let key = bound.binding().routing_key.as_str().as_bytes();
        let Some(destinations) = self.keys.get_mut(key) else { return };
        destinations.remove(bound.target());
        if destinations.is_empty() {
            self.keys.remove(key);
        }
    }

    pub(super) fn matching(&self, key: &[u8]) -> Option<&Destinations> {
        self.keys.get(key)
    }
}

/// A binding's key, found by the bytes of a published one: those need not be text.
#[derive(Debug, PartialEq, Eq)]
struct Key(Name);

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        self.0.as_str().as_bytes()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Must equal the hash of the borrowed bytes.
        self.0.as_str().as_bytes().hash(state);
    }
}
