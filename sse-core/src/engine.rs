//! [`Engine`]: a durable, totally ordered log that somebody else operates, behind the hubs of several processes.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_core::Stream;

use crate::id::EventId;

/// What an [`Engine`] returns where a trait object can return no `async fn`.
pub type EngineFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a hub follows: everything that becomes of the log, in order, for as long as the hub lives.
pub type Tail = Pin<Box<dyn Stream<Item = Fed> + Send>>;

/// A durable, totally ordered log of opaque records, which all nodes of a hub publish to and follow.
///
/// Applications take `sse-redis` or `sse-nats`; this is for writing another one. An engine has been reached and found
/// fit before a hub is given it: what is wrong with its address, its rights or its settings is an error of its own
/// constructor.
///
/// **Ids.** The engine gives each record an [`EventId`]. Within an epoch their sequences are dense: each is one more
/// than the one before it, so that the hub takes a jump for a loss. An epoch ends when the engine may have lost
/// something it had accepted, or have given a sequence to two records: another server that took over, a log that was
/// emptied. An id is never given twice.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// What it is called in logs and errors: `Redis`.
    fn name(&self) -> &'static str;

    /// For how long the [key](Publication::key) of a record is remembered, at least.
    fn remembers_keys_for(&self) -> Duration;

    /// Appends a record, unless one with its key is already there. Resolves when the engine has accepted it.
    ///
    /// It tries once; the hub tries again, under the same key. An id of an epoch that the [`tail`](Self::tail) has left, and
    /// behind what of it is intact, is no success to it: a server that goes on by itself has given it.
    ///
    /// # Errors
    /// [`EngineError`], which knows whether the record may have been accepted nevertheless.
    fn publish(&self, publication: Publication) -> EngineFuture<'_, Result<Published, EngineError>>;

    /// Follows the log, from as far in the past as asked for. Called once for a hub; it does not end by itself, but
    /// reconnects as often as it must, with pauses, and goes on behind the last record that it gave.
    ///
    /// It reads a bounded number of records at a time, and only as fast as it is polled. It never comes back to an epoch that
    /// it has left: where the engine does, another one begins. The hub takes an engine that does for one that is away.
    fn tail(&self, past: Past) -> Tail;
}

/// A record for an [`Engine`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Publication {
    /// What it is known by: 1 to 160 bytes of `[!-~]`. A second one with this key is not appended.
    pub key: String,
    /// Opaque to the engine.
    pub record: Bytes,
    /// Whether nodes that start later are to be given it even when it has left the log.
    pub keep: Option<Keep>,
}

impl Publication {
    /// A record that leaves with its time.
    pub fn new(key: impl Into<String>, record: impl Into<Bytes>) -> Self {
        Self { key: key.into(), record: record.into(), keep: None }
    }

    /// The same, kept for nodes that start later.
    #[must_use]
    pub fn keep(mut self, keep: Keep) -> Self {
        self.keep = Some(keep);
        self
    }
}

/// How a record is kept beyond the log: under a name, of which there is one record at a time, the latest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keep {
    /// 1 to 64 bytes of `[0-9A-Za-z_-]`.
    pub name: String,
    /// From its publication on.
    pub lifetime: Duration,
    /// Whether it is published like any other, and not kept, where half of the room for kept records is taken: the rest is
    /// for what must be.
    pub is_optional: bool,
}

impl Keep {
    /// One that must be kept, or is not to be published.
    pub fn new(name: impl Into<String>, lifetime: Duration) -> Self {
        Self { name: name.into(), lifetime, is_optional: false }
    }

    /// The same, kept only where there is much room.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.is_optional = true;
        self
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Its id, or that of the first one with the same key.
    pub id: EventId,
    /// Whether it was appended now: not where its key was known already.
    pub is_new: bool,
}

impl Published {
    /// A record with this id.
    pub fn new(id: EventId, is_new: bool) -> Self {
        Self { id, is_new }
    }
}

/// How much of the past a hub wants to begin with: the newest records within all of these. More does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Past {
    /// Records.
    pub events: usize,
    /// Their bytes, roughly.
    pub bytes: usize,
    /// By the engine's clock.
    pub age: Duration,
}

impl Past {
    /// Everything within all of these.
    pub fn new(events: usize, bytes: usize, age: Duration) -> Self {
        Self { events, bytes, age }
    }
}

/// One step of a [`Tail`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fed {
    /// The first of all.
    Begin {
        /// The position before the first record that follows; where none does, the engine's newest, read before it
        /// was found that there is none.
        start: EventId,
        /// Whether its epoch has nothing in front of it.
        is_first: bool,
    },
    /// A record that was [kept](Publication::keep). All of them that had not outlived their time come between the
    /// beginning and the first [`Head`](Self::Head), and again before the next one after a [`Hole`](Self::Hole), and
    /// after a [`Seam`](Self::Seam) of which it is not known what is intact: some may have been lost there. One that is
    /// in the log as well may come twice.
    Kept {
        /// As it was published.
        record: Bytes,
    },
    /// The next record. One at or before the last that was given is ignored.
    Record {
        /// Its id, one more than the last. Of a jump the hub makes a [`Hole`](Self::Hole) by itself.
        id: EventId,
        /// How long ago it was published, by the engine's clock at this moment; zero where that clock was set back.
        age: Duration,
        /// As it was published.
        record: Bytes,
    },
    /// Records up to here can no longer be read: trimmed before they were.
    Hole {
        /// The last of them, in the present epoch.
        upto: EventId,
    },
    /// A new epoch begins.
    Seam {
        /// The position before its first record.
        start: EventId,
        /// Up to which sequence the epoch that ends here is intact; records up to there were given before. `None`
        /// where that is not known, or nothing of it is.
        kept: Option<u64>,
    },
    /// The engine was asked, and everything up to its newest record has been given. At least once a second while it
    /// answers, and at once when it answers again: the hub is ready with the first, and judges by these whether a
    /// client's id can be true. After five seconds without one it takes the engine for [`Away`](Self::Away).
    Head {
        /// The newest record, or the position before the first.
        id: EventId,
        /// When it was asked, not when it answered.
        asked: Instant,
    },
    /// It does not answer. Once, until the next [`Head`](Self::Head).
    Away {
        /// In words for the log, without credentials.
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    NotPublished,
    Refused,
    Unknown,
}

/// A record was not published, or may not have been.
#[derive(Debug)]
pub struct EngineError {
    outcome: Outcome,
    source: Box<dyn Error + Send + Sync>,
}

impl EngineError {
    /// The engine certainly has not accepted it: it was never sent, or the engine said no.
    pub fn not_published(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { outcome: Outcome::NotPublished, source: source.into() }
    }

    /// The engine certainly has not accepted it, and will not when it is tried again: a record that is too large, a right
    /// that is missing.
    pub fn refused(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { outcome: Outcome::Refused, source: source.into() }
    }

    /// It may have accepted it: the connection broke, or no answer came in time.
    pub fn unknown(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { outcome: Outcome::Unknown, source: source.into() }
    }

    /// Whether the record may have been accepted.
    pub fn may_be_published(&self) -> bool {
        self.outcome == Outcome::Unknown
    }

    /// Whether it is of no use to try again.
    pub fn is_final(&self) -> bool {
        self.outcome == Outcome::Refused
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.outcome {
            Outcome::Unknown => "the engine may or may not have accepted the record",
            Outcome::NotPublished => "the engine has not accepted the record",
            Outcome::Refused => "the engine does not accept the record",
        })
    }
}

impl Error for EngineError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
