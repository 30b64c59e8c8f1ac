//! [`Life`]: what is told of one open stream, to metrics, to its span and to those who observe it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use tokio::time::Instant;
use tracing::{Span, field};

use super::observer::Observed;
use crate::{
    end_reason::EndReason,
    metrics::{self, Asked, Count},
    topic::Topics,
};

/// After so many chunks what was counted of a stream is added to that of all.
const CHUNKS: u64 = 64;

/// It has not ended.
const OPEN: u8 = u8::MAX;

/// One open stream: shared by its body and its place. Only one task counts at a time, that which polls.
#[expect(unnameable_types, reason = "what a sealed trait speaks of")]
pub struct Life {
    opened: Instant,
    asked: Asked,
    sent: [AtomicU64; 3],
    /// What of it was added to that of all streams.
    told: [AtomicU64; 3],
    end: AtomicU8,
    /// Why it will have ended at its deadline.
    due: AtomicU8,
    span: Span,
    observed: Option<Observed>,
}

/// In the order of [`Life::sent`].
const COUNTS: [Count; 3] = [Count::SentChunks, Count::Delivered, Count::SentBytes];

impl Life {
    /// A stream that opens, of so many topics; nothing where nobody wants to know.
    pub(super) fn new(
        asked: Asked,
        topics: Option<&Topics>,
        is_resumed: bool,
        observed: Option<Observed>,
    ) -> Option<Arc<Self>> {
        let topics = topics.map_or(0, |topics| topics.iter().len());
        // The request's own span is not to last as long as the stream.
        let span = tracing::info_span!(
            parent: None,
            "sse.stream",
            topics,
            resumed = is_resumed,
            reason = field::Empty,
            events = field::Empty,
            bytes = field::Empty,
            seconds = field::Empty,
        );
        if !cfg!(feature = "metrics") && span.is_disabled() && observed.is_none() {
            return None;
        }
        span.follows_from(Span::current());
        Some(Arc::new(Self {
            opened: Instant::now(),
            asked,
            sent: Default::default(),
            told: Default::default(),
            end: AtomicU8::new(OPEN),
            due: AtomicU8::new(OPEN),
            span,
            observed,
        }))
    }

    /// It is open. To be called without a lock.
    pub(super) fn begin(&self) {
        metrics::opened();
        if let Some(observed) = &self.observed {
            observed.opened();
        }
    }

    /// Its first bytes are on their way.
    pub(crate) fn answered(&self) {
        self.asked.answered();
    }

    /// A chunk of so many events was given out.
    #[inline]
    pub(crate) fn gave(&self, events: u32, bytes: usize) {
        let add = |count: &AtomicU64, more: u64| {
            let sum = count.load(Ordering::Relaxed) + more;
            count.store(sum, Ordering::Relaxed);
            sum
        };
        add(&self.sent[1], events.into());
        add(&self.sent[2], bytes as u64);
        if add(&self.sent[0], 1) % CHUNKS == 0 {
            self.tell();
        }
    }

    /// Adds what was counted to that of all streams. Others may do so at the same time: each part is added once.
    #[cold]
    pub(crate) fn tell(&self) {
        for ((sent, told), count) in self.sent.iter().zip(&self.told).zip(COUNTS) {
            let sent = sent.load(Ordering::Relaxed);
            let told = told.fetch_max(sent, Ordering::Relaxed);
            metrics::add(count, 0, sent.saturating_sub(told));
        }
    }

    pub(crate) fn kept_alive(&self) {
        metrics::count(Count::KeepAlives);
        self.tell();
        metrics::flush();
    }

    /// Its topics are these now. To be called without a lock.
    pub(crate) fn has_topics(&self, version: u64, topics: Topics) {
        if let Some(observed) = &self.observed {
            observed.has_topics(version, topics);
        }
    }

    /// Whether somebody wants to know its topics.
    pub(crate) fn is_observed(&self) -> bool {
        self.observed.is_some()
    }

    /// What an own stream does belongs to this.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Why it will have ended, where it is freed without being polled.
    pub(super) fn ends_for(&self, reason: EndReason) {
        self.due.store(reason as u8, Ordering::Relaxed);
    }

    /// It was freed without being polled, for this reason or because its time is over.
    pub(super) fn end_unread(&self, reason: Option<EndReason>) {
        let due = self.due.load(Ordering::Relaxed);
        let due = || EndReason::ALL.into_iter().find(|reason| *reason as u8 == due);
        self.end(reason.or_else(due).unwrap_or(EndReason::Gone));
    }

    /// It has ended, for the first reason that is given. To be called without a lock.
    pub(crate) fn end(&self, reason: EndReason) {
        if self.end.compare_exchange(OPEN, reason as u8, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return;
        }
        self.tell();
        let lasted = self.opened.elapsed();
        metrics::ended(reason, lasted);
        let [_, events, bytes] = &self.sent;
        let (events, bytes) = (events.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
        let seconds = lasted.as_secs_f64();
        if !self.span.is_disabled() {
            self.span.record("reason", reason.as_str());
            self.span.record("events", events);
            self.span.record("bytes", bytes);
            self.span.record("seconds", seconds);
            // Spans alone are not shown by everybody.
            tracing::debug!(parent: &self.span, "an event stream has ended");
        }
        if let Some(observed) = &self.observed {
            observed.ended(reason);
        }
    }
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").field("sent", &self.sent).finish_non_exhaustive()
    }
}
