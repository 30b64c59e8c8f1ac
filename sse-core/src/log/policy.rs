//! [`Policy`]: how subscribers are treated, and [`Start`]: where one of them begins.

use crate::id::EventId;

/// What a subscription begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// What is published from now on.
    Now,
    /// Everything that is still kept, without a word about what is not.
    Oldest,
    /// What lies behind the event with this id, with a gap told where something of it is lost.
    After(EventId),
    /// As [`After`](Self::After), for a client that was cut while it was given the present values of *latest
    /// value* topics: it gets all of them again first.
    AfterValues(EventId),
    /// A position that cannot be read: told as a gap, then from now.
    Unknown,
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

/// Caps on what one connection is sent of the past.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplayCap {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// What the hub's builder decided about subscriptions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) on_gap: OnGap,
    pub(crate) replay: Option<ReplayCap>,
}
