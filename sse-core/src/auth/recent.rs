//! [`Recent`]: the tokens of the last second or two.

use std::collections::HashMap;

use super::{digest::Digest, stamp::Stamp};

/// Most that are remembered.
pub(super) const MAX_RECENT: usize = 10_000;

/// Tokens that were let in and are as old as a second, which `iat` cannot tell from this moment, by subject.
#[derive(Default)]
pub(super) struct Recent {
    subjects: HashMap<Digest, HashMap<Digest, Used>>,
    pub(super) len: usize,
    /// Look for older ones among them once there are as many.
    sweep_at: usize,
    /// Some of them were not remembered, up to this `iat`.
    pub(super) crowded: f64,
}

pub(super) struct Used {
    iat: f64,
    pub(super) until: u32,
    /// When it was first let in.
    at: f64,
}

impl Recent {
    pub(super) fn note(&mut self, stamp: &Stamp, now: f64) {
        let iat = stamp.issued();
        let is_fresh = |iat: f64| iat + 2.0 > now;
        let known = |tokens: &HashMap<Digest, Used>| tokens.contains_key(&stamp.key);
        if !is_fresh(iat) || self.subjects.get(&stamp.subject_key).is_some_and(known) {
            return;
        }
        // As many again as there were fresh ones, before it is worth looking for those that are not.
        if self.len >= self.sweep_at.max(1024) {
            self.subjects.retain(|_, tokens| {
                tokens.retain(|_, used| is_fresh(used.iat));
                !tokens.is_empty()
            });
            self.len = self.subjects.values().map(HashMap::len).sum();
            self.sweep_at = (self.len * 2).min(MAX_RECENT);
        }
        if self.len < MAX_RECENT {
            let tokens = self.subjects.entry(stamp.subject_key).or_default();
            tokens.insert(stamp.key, Used { iat, until: stamp.until(), at: now });
            self.len += 1;
        } else {
            self.crowded = self.crowded.max(iat);
        }
    }

    /// Takes out those of a subject that were first let in by then.
    pub(super) fn take(&mut self, subject: &Digest, by: f64) -> HashMap<Digest, Used> {
        let Some(tokens) = self.subjects.get_mut(subject) else {
            return HashMap::new();
        };
        let taken: HashMap<_, _> = tokens.extract_if(|_, used| used.at <= by).collect();
        self.len -= taken.len();
        if tokens.is_empty() {
            self.subjects.remove(subject);
        }
        taken
    }
}
