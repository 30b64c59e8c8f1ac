//! [`Registry`]: what was revoked, and the open streams.

use super::{
    denial::Denial,
    digest::Digest,
    open::Open,
    recent::Recent,
    revoked::{Entry, Revoked, Until, whole},
    stamp::Stamp,
};
use crate::topic::{Topic, Topics};

#[derive(Default)]
pub(super) struct Registry {
    pub(super) open: Open,
    pub(super) tokens: Revoked<Until>,
    pub(super) subjects: Revoked<Since>,
    pub(super) topics: Revoked<Since>,
    pub(super) has_topics: bool,
    pub(super) recent: Recent,
    /// Tokens issued up to then are refused, for it was forgotten whose were revoked.
    pub(super) floor: f64,
    /// Tokens that expire up to then are refused, for it was forgotten which of them were revoked.
    pub(super) expiry_floor: f64,
}

impl Registry {
    pub(super) fn revoke_token(&mut self, token: Digest, until: u32, now: f64) {
        let forgotten = self.tokens.insert(token, Until(until), whole(now));
        self.expiry_floor = self.expiry_floor.max(forgotten);
    }

    pub(super) fn check(&self, stamp: &Stamp) -> Result<(), Denial> {
        let iat = stamp.issued();
        let revoked = iat <= self.floor
            || f64::from(stamp.until()) <= self.expiry_floor
            || self.subjects.find(&stamp.subject_key).is_some_and(|since| since.is_after(iat))
            || self.tokens.find(&stamp.key).is_some()
            || stamp.session.is_some_and(|session| self.tokens.find(&session).is_some());
        if revoked { Err(Denial::Revoked) } else { Ok(()) }
    }

    pub(super) fn check_topics(&self, stamp: &Stamp, topics: &Topics) -> Result<(), Denial> {
        let iat = stamp.issued().floor();
        let revoked = |topic: &Topic| {
            let since = self.topics.find(&Digest::of_topic(topic.as_str()));
            since.is_some_and(|since| iat <= since.moment)
        };
        if !self.has_topics {
            return Ok(());
        }
        match topics.iter().filter(|topic| revoked(topic)).count() {
            0 => Ok(()),
            all if all == topics.iter().count() => Err(Denial::RevokedTopics),
            _ => Err(Denial::Scope("a topic was revoked")),
        }
    }
}

/// When a subject or a topic was revoked, and until when that matters; seconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Since {
    pub(super) moment: f64,
    pub(super) until: u32,
}

impl Since {
    /// Whether a token of that `iat` was issued before, as far as whole seconds tell.
    pub(super) fn is_after(&self, iat: f64) -> bool {
        if iat.fract() == 0.0 { iat < self.moment.floor() } else { iat < self.moment }
    }
}

impl Entry for Since {
    fn until(&self) -> u32 {
        self.until
    }

    fn rank(&self) -> f64 {
        self.moment
    }

    fn with(self, other: Self) -> Self {
        Self { moment: self.moment.max(other.moment), until: self.until.max(other.until) }
    }
}
