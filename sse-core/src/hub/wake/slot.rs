//! [`Slot`]: a subscriber as the hub knows it.

use std::task::Waker;

use crate::log::Cursor;

/// A subscriber: its cursor, and whom to wake.
#[derive(Debug)]
pub(in crate::hub) struct Slot {
    pub(in crate::hub) cursor: Cursor,
    /// The sleeper. It is woken only while its cursor lies behind the topic's news: a mere flag would lose the
    /// wake-up of one that has taken an event before its turn came and sleeps again.
    pub(in crate::hub) waker: Option<Waker>,
    /// Tells this subscriber from an earlier one in the same place.
    pub(in crate::hub) generation: u32,
    /// Who wakes it: known from its first poll on.
    pub(in crate::hub) group: Option<GroupId>,
}

/// One of the sleepers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct GroupId(pub(super) u8);

impl GroupId {
    pub(in crate::hub) fn index(self) -> usize {
        self.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_is_small() {
        assert!(size_of::<Slot>() <= 88, "{}", size_of::<Slot>());
    }
}
