//! How many connections there are.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of the connections that may be open. It is free again when this is dropped, however its task ended.
#[derive(Debug)]
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    /// Takes a place among `max` (0 = no limit); None when all are taken.
    pub fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Place> {
        let one_more = |taken: usize| (max == 0 || taken < max).then(|| taken.saturating_add(1));
        open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Place(open.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_places_as_may_be() {
        let open = Arc::default();
        let first = Place::take(&open, 2);
        let second = Place::take(&open, 2);
        assert!(first.is_some() && second.is_some() && Place::take(&open, 2).is_none());
        drop(first);
        assert!(Place::take(&open, 2).is_some());
        assert!(Place::take(&open, 0).is_some(), "no limit");
        drop(second);
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_task_that_panics_gives_its_place_back() {
        let open = Arc::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let place = Place::take(&open, 1).unwrap();
        let ended = runtime.block_on(runtime.spawn(async move {
            let _place = place;
            panic!("on purpose");
        }));
        assert!(ended.is_err_and(|error| error.is_panic()));
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }
}
