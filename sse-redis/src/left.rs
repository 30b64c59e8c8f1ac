//! [`Left`]: the epochs that have ended for this node, whatever a server says that still has them.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// As many as the script holds.
const MAX: usize = 64;

/// The epochs that have ended for this node. To the hub they have, too, so that none of them can go on.
#[derive(Debug, Default)]
pub(crate) struct Left {
    epochs: Mutex<VecDeque<(u64, bool)>>,
    times: AtomicU64,
}

impl Left {
    /// It has ended, and whether what goes on has a past in common with it.
    pub(crate) fn push(&self, epoch: u64, for_kin: bool) {
        let mut epochs = self.lock();
        if epochs.len() == MAX {
            epochs.pop_front();
        }
        epochs.push_back((epoch, for_kin));
        drop(epochs);
        self.times.fetch_add(1, Ordering::AcqRel);
    }

    /// If it has ended: whether what went on had a past in common with it.
    pub(crate) fn find(&self, epoch: u64) -> Option<bool> {
        self.lock().iter().rev().find(|(left, _)| *left == epoch).map(|(_, for_kin)| *for_kin)
    }

    /// How often one has. What goes on may be on another server than connections lead to.
    pub(crate) fn times(&self) -> u64 {
        self.times.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, bool)>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
