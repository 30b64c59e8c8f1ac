//! [`Keys`]: which events were published under a key, for those that are to be published once.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::id::EventId;

/// How long a key is remembered by a hub in memory.
pub(super) const REMEMBERED_FOR: Duration = Duration::from_secs(120);

/// How many keys at the most.
const MAX_KEYS: usize = 100_000;

/// The keys of the last minutes.
#[derive(Debug, Default)]
pub(super) struct Keys {
    ids: HashMap<Arc<str>, EventId>,
    /// The oldest first.
    order: VecDeque<(Arc<str>, Instant)>,
}

impl Keys {
    /// What was published under this key.
    pub(super) fn find(&mut self, key: &str, now: Instant) -> Option<EventId> {
        while let Some((oldest, at)) = self.order.front()
            && (now.saturating_duration_since(*at) >= REMEMBERED_FOR || self.order.len() > MAX_KEYS)
        {
            self.ids.remove(oldest);
            self.order.pop_front();
        }
        self.ids.get(key).copied()
    }

    /// Remembers one that was not there.
    pub(super) fn insert(&mut self, key: Arc<str>, id: EventId, now: Instant) {
        self.ids.insert(Arc::clone(&key), id);
        self.order.push_back((key, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_forgotten_by_its_age_and_by_the_crowd() {
        let mut keys = Keys::default();
        let (id, start) = (EventId { epoch: 1, seq: 1 }, Instant::now());
        keys.insert("a".into(), id, start);
        assert_eq!(keys.find("a", start + REMEMBERED_FOR / 2), Some(id));
        assert_eq!(keys.find("a", start + REMEMBERED_FOR), None);
        for n in 0..=MAX_KEYS {
            keys.insert(n.to_string().into(), id, start);
        }
        assert_eq!((keys.find("0", start), keys.find("1", start)), (None, Some(id)));
        assert_eq!((keys.ids.len(), keys.order.len()), (MAX_KEYS, MAX_KEYS));
    }
}
