//! What a client did and was sent, in order: written while it runs, judged at the end.

use std::time::Instant;

use crate::topics::TopicSet;

/// What a client comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// Nothing.
    New,
    /// An id of this hub; with the mark, or without, that says: cut in front of the last of its present values.
    After { id: u64, owed: bool },
    /// An id of another.
    Foreign(String),
    /// What is no id.
    Unreadable(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// A connection, opened while the hub's head stood between these two.
    Open {
        came: Came,
        topics: TopicSet,
        before: u64,
        after: u64,
        at: Instant,
    },
    /// Topics were added while the head stood between these two.
    Add {
        topics: TopicSet,
        before: u64,
        after: u64,
    },
    Remove {
        topics: TopicSet,
    },
    Message {
        /// What the client would come back with; nothing where that is still what it came with.
        id: Option<u64>,
        said: Said,
    },
    /// The client went.
    Cut,
    /// The server ended the stream, in the middle of something or not.
    End {
        amid: bool,
        at: Instant,
    },
    /// The connection broke.
    Broken,
    /// The hub is quiet since this event, and the client believes that it has everything.
    Settled {
        head: u64,
        at: Instant,
    },
    /// What no client should ever see.
    Wrong {
        what: String,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Said {
    Event { fingerprint: u64, number: Option<u64> },
    Position,
    Gap(Box<Gap>),
}

/// An `sse-gap`.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub(crate) reason: String,
    /// The position of this hub that it begins behind.
    pub(crate) after: Option<u64>,
    pub(crate) upto: u64,
    pub(crate) topics: TopicSet,
    /// Where the hub's head stood when the client had read it.
    pub(crate) head: u64,
    pub(crate) at: Instant,
}
