//! [`Seen`]: what the streams of a crowd have seen, and [`Reader`]: one of them.

use std::{cell::RefCell, rc::Rc};

use serde_json::{Value, json};

use super::{
    now,
    sse::{Event, Sse},
};

/// What all streams of the crowd have seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    opened: usize,
    refused: usize,
    events: usize,
    /// Nanoseconds, in the order in which they came.
    latencies: Vec<u64>,
    /// How many of those there were at the last `mark`.
    marked: usize,
    /// When each stream ended, and whether it was whole.
    ends: Vec<(u64, bool)>,
    /// What the last event said.
    last: String,
}

/// What one stream has seen, and where it is counted.
#[derive(Debug)]
pub(super) struct Reader {
    seen: Rc<RefCell<Seen>>,
    sse: Sse,
}

impl Reader {
    pub(super) fn new(seen: &Rc<RefCell<Seen>>) -> Self {
        Self { seen: Rc::clone(seen), sse: Sse::default() }
    }

    /// Its head has come.
    pub(super) fn opened(&self) {
        self.seen.borrow_mut().opened += 1;
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        let mut seen = self.seen.borrow_mut();
        self.sse.read(bytes, |_, event| seen.take(&event));
    }

    /// `whole`: as the framing has it.
    pub(super) fn end(&self, whole: bool) {
        self.seen.borrow_mut().ends.push((now(), whole && self.sse.is_between()));
    }

    pub(super) fn refused(&self) {
        self.seen.borrow_mut().refused += 1;
    }
}

impl Seen {
    /// How many streams were opened or refused.
    pub(super) fn answered(&self) -> usize {
        self.opened + self.refused
    }

    pub(super) fn clear(&mut self) {
        self.latencies.clear();
        self.marked = 0;
        self.events = 0;
    }

    pub(super) fn mark(&mut self) {
        self.marked = self.latencies.len();
    }

    fn take(&mut self, event: &Event<'_>) {
        if !event.name.is_empty() {
            return;
        }
        self.events += 1;
        event.data[..event.data.len().min(40)].clone_into(&mut self.last);
        // Only some say when they were published.
        if let Some(at) =
            event.data.strip_prefix("at ").and_then(|at| at.trim_end_matches('.').parse::<u64>().ok())
        {
            self.latencies.push(now().saturating_sub(at));
        }
    }

    pub(super) fn stats(&self) -> Value {
        let [p50, p99, max] = quantiles(&self.latencies);
        let (first, later) = self.latencies.split_at(self.marked);
        let of = |latencies: &[u64]| {
            let [p50, p99, max] = quantiles(latencies);
            json!({ "p50": p50, "p99": p99, "max": max })
        };
        json!({
            "opened": self.opened, "refused": self.refused, "events": self.events, "last": self.last,
            "measured": self.latencies.len(), "p50": p50, "p99": p99, "max": max,
            "first": of(first), "later": of(later),
            "ends": self.ends.iter().map(|end| end.0).collect::<Vec<_>>(),
            "whole": self.ends.iter().filter(|end| end.1).count(),
        })
    }
}

/// The median, the 99th percentile and the largest, if there are any.
fn quantiles(latencies: &[u64]) -> [Option<u64>; 3] {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    [0.5, 0.99, 1.0].map(|part| sorted.get((sorted.len().saturating_sub(1) as f64 * part) as usize).copied())
}
