//! [`LifecycleBuilder`]: how much time a server takes to stop.

use std::time::Duration;

use super::Lifecycle;
#[cfg(feature = "limits")]
use crate::limits::Limits;

/// The longest that either may be.
const LONGEST: Duration = Duration::from_secs(3600);

/// How a server stops: made by [`Lifecycle::builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing before it has built"]
pub struct LifecycleBuilder {
    pub(super) notice: Duration,
    pub(super) window: Duration,
    #[cfg(feature = "limits")]
    pub(super) limits: Option<Limits>,
}

impl LifecycleBuilder {
    /// How long [`is_ready`](Lifecycle::is_ready) says no before anything else happens, at most one hour (default
    /// 0 s: no balancer is waited for).
    ///
    /// Meanwhile everything goes on, new streams are accepted too. It should be longer than a balancer takes to notice:
    /// the time between two of its checks, times as many as must fail.
    pub fn notice(mut self, notice: Duration) -> Self {
        self.notice = notice.min(LONGEST);
        self
    }

    /// Within which time the open streams leave, each at a moment of its own, at most one hour (default 0 s: all of
    /// them at once, after what they owe).
    ///
    /// Clients that come back one by one are no crowd for those servers that go on, so it belongs wherever there are
    /// several. A stream of the application's own has the first four fifths of it to finish what it is saying.
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window.min(LONGEST);
        self
    }

    /// Limits for all streams of the server.
    #[cfg(feature = "limits")]
    pub fn limits(mut self, limits: &Limits) -> Self {
        self.limits = Some(limits.clone());
        self
    }

    /// For a server that has just started.
    #[must_use]
    pub fn build(self) -> Lifecycle {
        Lifecycle::of(self)
    }
}
