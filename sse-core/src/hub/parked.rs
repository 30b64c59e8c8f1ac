//! [`Parked`]: the subscribers whose clients are ahead of the log, or in an epoch that is not known yet.

use std::collections::BTreeSet;

use crate::id::EventId;

/// How many are woken in one go.
const AT_ONCE: usize = 512;

/// Subscribers that wait for the log, by where their clients are.
#[derive(Debug, Default)]
pub(super) struct Parked(BTreeSet<(u64, u64, u32, u32)>);

impl Parked {
    /// The subscriber with this slot and generation waits until the log has come there.
    pub(super) fn insert(&mut self, id: EventId, slot: u32, generation: u32) {
        self.0.insert((id.epoch, id.seq, slot, generation));
    }

    /// Some of those that are not ahead of `head` any more, or of all.
    pub(super) fn take(&mut self, head: Option<EventId>) -> Vec<(u32, u32)> {
        let is_there = |&&(epoch, seq, ..): &&(u64, u64, u32, u32)| {
            head.is_none_or(|head| epoch == head.epoch && seq <= head.seq)
        };
        let first = (head.map_or(0, |head| head.epoch), 0, 0, 0);
        let some: Vec<_> = self.0.range(first..).take_while(is_there).take(AT_ONCE).copied().collect();
        for key in &some {
            self.0.remove(key);
        }
        some.into_iter().map(|(.., slot, generation)| (slot, generation)).collect()
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
        assert_eq!(parked.take(Some(EventId { epoch: 1, seq: 6 })), [(5, 0)]);
        assert_eq!(parked.take(Some(EventId { epoch: 3, seq: 6 })), []);
        assert_eq!(parked.take(None), [(7, 0), (1, 0)]);
        assert_eq!(parked.take(None), []);
    }
}
