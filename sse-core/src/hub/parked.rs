//! [`Parked`]: the subscribers whose clients are ahead of the log, or in an epoch that is not known yet.

use std::{collections::BTreeSet, ops::Bound};

use crate::id::EventId;

/// How many are woken in one go.
const AT_ONCE: usize = 512;

/// Where a client is, and its subscriber's slot and generation.
pub(super) type Key = (u64, u64, u32, u32);

/// Subscribers that wait for the log, by where their clients are.
#[derive(Debug, Default)]
pub(super) struct Parked(BTreeSet<Key>);

impl Parked {
    /// The subscriber with this slot and generation waits until the log has come there.
    pub(super) fn insert(&mut self, id: EventId, slot: u32, generation: u32) {
        self.0.insert((id.epoch, id.seq, slot, generation));
    }

    /// It does not any more.
    pub(super) fn remove(&mut self, id: EventId, slot: u32, generation: u32) {
        self.0.remove(&(id.epoch, id.seq, slot, generation));
    }

    /// Some of those that are not ahead of `head` any more, or of all, behind the `last` that was taken: one that was
    /// woken and waits again already is not taken twice.
    pub(super) fn take(&mut self, head: Option<EventId>, last: Option<Key>) -> Vec<Key> {
        let is_there =
            |&&(epoch, seq, ..): &&Key| head.is_none_or(|head| epoch == head.epoch && seq <= head.seq);
        let first = match last {
            Some(last) => Bound::Excluded(last),
            None => Bound::Included((head.map_or(0, |head| head.epoch), 0, 0, 0)),
        };
        let behind = self.0.range((first, Bound::Unbounded));
        let some: Vec<_> = behind.take_while(is_there).take(AT_ONCE).copied().collect();
        for key in &some {
            self.0.remove(key);
        }
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_taken_when_the_log_is_there() {
        let mut parked = Parked::default();
        for (epoch, seq) in [(1, 5), (1, 7), (2, 1)] {
            parked.insert(EventId { epoch, seq }, seq as u32, 0);
        }
        assert_eq!(parked.take(Some(EventId { epoch: 1, seq: 6 }), None), [(1, 5, 5, 0)]);
        assert_eq!(parked.take(Some(EventId { epoch: 3, seq: 6 }), None), []);
        parked.remove(EventId { epoch: 1, seq: 8 }, 7, 0);
        assert_eq!(parked.take(None, None), [(1, 7, 7, 0), (2, 1, 1, 0)]);
        assert_eq!(parked.take(None, None), []);
    }

    #[test]
    fn who_waits_again_is_not_taken_again() {
        let mut parked = Parked::default();
        let mut last = None;
        for slot in 0..2 * AT_ONCE as u32 {
            parked.insert(EventId { epoch: 1, seq: 5 }, slot, 0);
        }
        let mut taken = 0;
        loop {
            let some = parked.take(None, last);
            last = some.last().copied().or(last);
            taken += some.len();
            some.iter().for_each(|&(epoch, seq, slot, generation)| {
                parked.insert(EventId { epoch, seq }, slot, generation);
            });
            if some.is_empty() {
                break;
            }
        }
        assert_eq!((taken, parked.0.len()), (2 * AT_ONCE, 2 * AT_ONCE));
    }
}
