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
    /// Returns until when it counts, which may have been said before.
    pub(super) fn revoke_token(&mut self, token: Digest, until: u32, now: f64) -> u32 {
        let (until, forgotten) = self.tokens.insert(token, Until(until), whole(now));
        self.expiry_floor = self.expiry_floor.max(forgotten);
        until.0
    }

    /// What a subject was issued before that moment, and of the second of that moment what was used by then, here.
    pub(super) fn revoke_subject(&mut self, subject: Digest, since: Since, now: f64) -> Since {
        for (token, used) in self.recent.take(&subject, since.moment) {
            self.revoke_token(token, used.until, now);
        }
        // Where some were not remembered, all of that time are refused; not for what was revoked elsewhere long ago.
        let crowded = self.recent.crowded >= since.moment.floor() && now < since.moment + 2.0;
        let moment = if crowded { self.recent.crowded.floor() + 1.0 } else { since.moment };
        let (since, forgotten) = self.subjects.insert(subject, Since { moment, ..since }, whole(now));
        self.floor = self.floor.max(forgotten);
        since
    }

    pub(super) fn revoke_topic(&mut self, topic: &Topic, since: Since, now: f64) -> Since {
        self.has_topics = true;
        let (since, forgotten) = self.topics.insert(Digest::of_topic(topic.as_str()), since, whole(now));
        self.floor = self.floor.max(forgotten);
        since
    }

    /// Forgets some of what has run out: everything by and by, however little happens.
    pub(super) fn tidy(&mut self, now: f64) {
        let now = whole(now);
        self.tokens.tidy(now);
        self.subjects.tidy(now);
        self.topics.tidy(now);
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

/// Written as text and read again, a moment may be another by its last digit.
const SAME: f64 = 0.001;

impl Since {
    /// Whether it goes beyond these.
    pub(super) fn is_newer(&self, moment: f64, until: u32) -> bool {
        self.moment > moment + SAME || self.until > until
    }

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
