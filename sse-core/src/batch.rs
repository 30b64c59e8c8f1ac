//! [`Batch`]: the events that go out in one chunk.

use bytes::Bytes;
use tokio::time::Instant;

use crate::{end_reason::EndReason, topic::Topic};

/// Bytes that wait for the next chunk, and how many events they are.
pub(crate) type Held = (Bytes, u32);

/// What a source puts its due events into, up to a limit.
#[derive(Debug)]
#[expect(unnameable_types, reason = "what a sealed trait speaks of")]
pub struct Batch {
    chunk: Chunk,
    limit: usize,
    /// How many events are in it.
    events: u32,
    held: Option<Held>,
    full: bool,
    ended: Option<EndReason>,
    now: Option<Instant>,
    before: Option<Instant>,
    /// The topics of its one event, where somebody wants to know.
    topics: Option<Vec<Topic>>,
}

impl Batch {
    #[cfg(test)]
    pub(crate) fn new(limit: usize, held: Option<Held>) -> Self {
        Self::earlier_than(None, limit, held)
    }

    /// A batch that is filled before this moment, where one is known. Then the clock need not be read for most
    /// events: that costs as much as all the rest of the hub does for one.
    #[inline]
    pub(crate) fn earlier_than(before: Option<Instant>, limit: usize, held: Option<Held>) -> Self {
        let mut batch = Self {
            chunk: Chunk::default(),
            limit,
            events: 0,
            held: None,
            full: false,
            ended: None,
            now: None,
            before,
            topics: None,
        };
        if let Some((bytes, events)) = held {
            batch.push_some(bytes, events);
        }
        batch
    }

    /// A batch for one event, of which the topics are noted too.
    pub(crate) fn of_one() -> Self {
        Self { topics: Some(Vec::new()), ..Self::earlier_than(None, 1, None) }
    }

    /// Whether it is [`of_one`](Self::of_one).
    #[inline]
    pub(crate) fn is_of_one(&self) -> bool {
        self.topics.is_some()
    }

    /// The topics of the event that is added next.
    #[inline]
    pub(crate) fn note(&mut self, topics: impl FnOnce() -> Vec<Topic>) {
        if let Some(noted) = &mut self.topics
            && self.chunk.len() == 0
        {
            *noted = topics();
        }
    }

    /// The one event and its topics.
    pub(crate) fn into_one(self) -> Option<(Bytes, Vec<Topic>)> {
        let bytes = self.chunk.into_bytes();
        (!bytes.is_empty()).then(|| (bytes, self.topics.unwrap_or_default()))
    }

    /// The time, read once.
    #[inline]
    pub(crate) fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(Instant::now)
    }

    /// A moment that is not yet reached, where one is known.
    #[inline]
    pub(crate) fn before(&self) -> Option<Instant> {
        self.before
    }

    /// Tells about what time it is, for those who can do with that.
    #[inline]
    pub(crate) fn hint(&mut self, about: Instant) {
        self.now.get_or_insert(about);
    }

    #[inline]
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.chunk.len() == 0
    }

    /// Nothing more is to be added to this chunk.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Whether an event did not fit.
    pub(crate) fn holds_back(&self) -> bool {
        self.held.is_some()
    }

    /// Nothing more will come, in this chunk or after it.
    #[inline]
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Why nothing more will come, where that is so.
    #[inline]
    pub(crate) fn end_reason(&self) -> Option<EndReason> {
        self.ended
    }

    /// Whether as many bytes may still be added. The first event always may.
    #[inline]
    pub(crate) fn fits(&self, len: usize) -> bool {
        self.is_empty() || self.chunk.len() + len <= self.limit
    }

    /// Adds an event; one that does not fit is held back for the next chunk.
    #[inline]
    pub(crate) fn push(&mut self, frame: Bytes) {
        self.push_some(frame, 1);
    }

    /// The same with several events in one, or with something that is none.
    #[inline]
    pub(crate) fn push_some(&mut self, bytes: Bytes, events: u32) {
        if self.fits(bytes.len()) {
            self.chunk.append(bytes);
            self.events += events;
            self.full |= self.chunk.len() >= self.limit;
        } else {
            self.held = Some((bytes, events));
            self.full = true;
        }
    }

    /// Adds something whether or not it fits, which does not count as an event.
    pub(crate) fn force(&mut self, frame: Bytes) {
        self.chunk.append(frame);
    }

    /// More is due than this chunk takes.
    #[inline]
    pub(crate) fn fill(&mut self) {
        self.full = true;
    }

    #[inline]
    pub(crate) fn end(&mut self, reason: EndReason) {
        self.ended = Some(reason);
        self.full = true;
    }

    /// How many events are in it.
    #[inline]
    pub(crate) fn events(&self) -> u32 {
        self.events
    }

    /// The chunk, and the event that did not fit.
    #[inline]
    pub(crate) fn into_parts(self) -> (Chunk, Option<Held>) {
        (self.chunk, self.held)
    }
}

/// Bytes that go out together. A single frame stays the shared bytes that it is; only a second one is a reason
/// to copy.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    one: Bytes,
    many: Vec<u8>,
}

impl Chunk {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.one.len() + self.many.len()
    }

    #[inline]
    pub(crate) fn append(&mut self, tail: Bytes) {
        if self.len() == 0 {
            self.one = tail;
            return;
        }
        if self.many.is_empty() {
            // A third and a fourth often follow.
            self.many.reserve(2 * (self.one.len() + tail.len()));
            self.many.extend_from_slice(&std::mem::take(&mut self.one));
        }
        self.many.extend_from_slice(&tail);
    }

    pub(crate) fn prepend(&mut self, head: &[u8]) {
        let tail = std::mem::take(self).into_bytes();
        self.many.reserve_exact(head.len() + tail.len());
        self.many.extend_from_slice(head);
        self.many.extend_from_slice(&tail);
    }

    #[inline]
    pub(crate) fn into_bytes(self) -> Bytes {
        if self.many.is_empty() { self.one } else { self.many.into() }
    }
}
