//! What a client is doing, for others to see while it runs.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::topics::iter;

/// For the report of a stand-still.
#[derive(Debug, Default)]
pub(crate) struct Status {
    does: Mutex<Cow<'static, str>>,
    pub(crate) last: AtomicU64,
    pub(crate) topics: AtomicU64,
    /// It has seen what nobody should: the run need not go on.
    pub(crate) wrong: AtomicBool,
    /// Chunks and connections: as long as it grows nobody stands still.
    pub(crate) progress: AtomicU64,
}

impl Status {
    pub(crate) fn now(&self, does: impl Into<Cow<'static, str>>) {
        *self.does.lock().expect("not poisoned") = does.into();
    }

    /// Whether there is nothing that it waits for.
    pub(crate) fn rests(&self) -> bool {
        matches!(&**self.does.lock().expect("not poisoned"), "settled" | "gone")
    }

    pub(crate) fn moves(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = self.does.lock().expect("not poisoned");
        let topics: Vec<usize> = iter(self.topics.load(Ordering::Relaxed)).collect();
        write!(f, "{does}, id {}, topics {topics:?}", self.last.load(Ordering::Relaxed))
    }
}
