//! [`Policy`]: how a subscription is treated.

/// What follows once a client was told that it lost events: because it came back too late, or read too slowly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnGap {
    /// The stream ends after the gap is told, for clients that fetch the present state then; one that comes
    /// back goes on from the moment of the gap.
    Close,
    /// Everything that is still kept behind the client's position, where that is known; else what comes from
    /// now on. The default.
    #[default]
    Continue,
    /// What comes from now on.
    Now,
}

/// What becomes of an open stream whose client reads so slowly that what it is owed leaves the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLag {
    /// The gap is told in the stream, and [`OnGap`] says what follows. The default.
    #[default]
    Gap,
    /// The gap is told in the stream, and what comes from now on follows, whatever [`OnGap`] says.
    Now,
    /// The stream ends. Its client comes back with its id and is told the gap then, so that it has a connection whose
    /// buffers are empty, and the server one place less held by somebody who hardly reads.
    Reconnect,
}

/// Caps on what one connection is sent of the past. Small: every subscription has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplayCap {
    pub(crate) events: u32,
    pub(crate) bytes: u32,
}

impl ReplayCap {
    pub(crate) const NONE: Self = Self { events: u32::MAX, bytes: u32::MAX };

    /// As many events as a log keeps where nobody says otherwise, so that it is most often the bytes that count.
    pub(crate) const DEFAULT: Self = Self { events: 10_000, bytes: 1 << 20 };

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether so much is more than it allows.
    pub(super) fn is_exceeded(self, events: usize, bytes: usize) -> bool {
        let over = |limit: u32, value: usize| limit != u32::MAX && value > limit as usize;
        over(self.events, events) || over(self.bytes, bytes)
    }

    /// Whether another event of `next` bytes is too much, after as many events and bytes.
    pub(super) fn forbids(self, events: usize, bytes: usize, next: usize) -> bool {
        self.is_exceeded(events + 1, bytes + next)
    }
}

/// How a subscription is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) on_gap: OnGap,
    pub(crate) on_lag: OnLag,
    pub(crate) replay: ReplayCap,
}

impl Policy {
    pub(crate) const DEFAULT: Self =
        Self { on_gap: OnGap::Continue, on_lag: OnLag::Gap, replay: ReplayCap::DEFAULT };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}
