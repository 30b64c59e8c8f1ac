//! [`Start`]: where a subscription begins, and [`Policy`]: how it is treated.

use std::time::SystemTime;

use crate::id::{ClientId, EventId};

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With what is published from now on. The default.
    #[default]
    Now,
    /// With everything that is still kept, without a word about what is not.
    Oldest,
    /// With as many of the newest events of its topics as are still kept.
    Last(usize),
    /// With what was published at this time or later, by this machine's clock, as far as it is still kept. A clock
    /// that was set meanwhile shifts it.
    Since(SystemTime),
    /// Behind the event with this id, with a gap told where something of it is lost.
    After(EventId),
}

/// Who says where a subscription begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Position {
    Server(Start),
    /// The client, by its id; `None` where it cannot be read.
    Client(Option<ClientId>),
}

impl From<Start> for Position {
    fn from(start: Start) -> Self {
        Self::Server(start)
    }
}

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
