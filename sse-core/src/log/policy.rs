//! [`Policy`]: how a subscription is treated.

/// What follows a gap.
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

/// Caps on what one connection is sent of the past. Small: every subscription has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplayCap {
    pub(crate) events: u32,
    pub(crate) bytes: u32,
}

impl ReplayCap {
    const NONE: Self = Self { events: u32::MAX, bytes: u32::MAX };

    pub(super) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Whether another event of `next` bytes is too much, after as many events and bytes.
    pub(super) fn forbids(self, events: usize, bytes: usize, next: usize) -> bool {
        let over = |limit: u32, value: usize| limit != u32::MAX && value > limit as usize;
        over(self.events, events + 1) || over(self.bytes, bytes + next)
    }
}

/// How a subscription is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) on_gap: OnGap,
    pub(crate) replay: ReplayCap,
}

impl Policy {
    pub(crate) const DEFAULT: Self = Self { on_gap: OnGap::Continue, replay: ReplayCap::NONE };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}
