//! [`Clock`]: the wall clock, by which tokens are dated.
#![cfg_attr(
    not(feature = "auth"),
    expect(dead_code, reason = "without authorisation nobody asks for the date")
)]

use std::{fmt, sync::Arc, time::SystemTime};

/// The wall clock, which tests replace. Tokens are dated by it.
#[derive(Clone)]
pub(crate) struct Clock(Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>);

impl Clock {
    pub(crate) fn system() -> Self {
        Self(None)
    }

    pub(crate) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(now)))
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.0.as_ref().map_or_else(SystemTime::now, |now| now())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
