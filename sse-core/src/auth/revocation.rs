//! [`Revocations`]: what is no longer let in, and the open streams that this ends.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

#[cfg(feature = "jwt")]
use super::claims::Claims;
use super::{
    denial::Denial,
    digest::Digest,
    open::OpenStream,
    registry::{Registry, Since},
    revoked::whole,
    stamp::Stamp,
};
use crate::{
    clock::Clock,
    lease::Signal,
    topic::{Topic, Topics},
    wakers::wake_all,
};

/// Takes back what tokens allow, at once: open streams end within a moment, and who comes back is refused: with 204,
/// *do not come back*, where a stream is asked for by `Accept: text/event-stream`, else with 401 or 403. Cheap to clone;
/// clones are one. [`Auth::revocations`](crate::Auth::revocations) gives it.
///
/// It works in this process, and does not outlive a restart. A token is remembered until it expires; a subject, a
/// topic, and a token whose end is not known for as long as a token can live
/// (`VerifierBuilder::max_lifetime`). There is room for about two million of each; of more,
/// the tokens that expire first are refused, revoked or not.
///
/// **Before or after.** Revoking a subject or a topic is about tokens issued before that moment, by their `iat`;
/// a token without one counts as old. Most issuers give whole seconds. A token of that very second is refused if
/// it was used before, so that one issued right afterwards is good at once.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    clock: Clock,
    /// How much longer than it says a token is good.
    #[cfg_attr(not(feature = "jwt"), expect(dead_code, reason = "only a token has one"))]
    leeway: Duration,
    /// How long a token can live, and that.
    keep: Duration,
    hasher: RandomState,
    state: Mutex<Registry>,
}

impl Revocations {
    /// A token lives for `lifetime` at most, and `leeway` beyond.
    pub(super) fn new(clock: Clock, lifetime: Duration, leeway: Duration) -> Self {
        let keep = lifetime + leeway * 2;
        Self(Arc::new(Inner { clock, leeway, keep, hasher: RandomState::new(), state: Mutex::default() }))
    }

    /// Everything of a subject, until it signs in again: for a changed password, a lost device, a closed account.
    ///
    /// Returns how many open streams this ends.
    pub fn revoke_subject(&self, subject: &str) -> usize {
        let now = self.now();
        let key = Digest::of_subject(subject);
        let mut state = self.lock();
        for (token, used) in state.recent.take(&key) {
            state.revoke_token(token, used.until, now);
        }
        // Where some were not remembered, all of that time are refused.
        let crowded = state.recent.crowded >= now.floor();
        let moment = if crowded { state.recent.crowded.floor() + 1.0 } else { now };
        let since = Since { moment, until: self.until(now) };
        let forgotten = state.subjects.insert(key, since, whole(now));
        state.floor = state.floor.max(forgotten);
        let before = state.open.next;
        drop(state);
        self.end(self.hash(&key), before, |open| open.stamp.subject_key == key)
    }

    /// Everything of a session, by the id that the application gave it ([`Identity::session`](crate::Identity::session))
    /// or that its tokens bear (`sid`).
    ///
    /// Returns how many open streams this ends.
    pub fn revoke_session(&self, id: &str) -> usize {
        self.revoke_key(Digest::of_session(id), self.until(self.now()))
    }

    /// Ends the open streams of a subject, which may come back at once: for one whose rights have changed.
    ///
    /// Returns how many.
    pub fn end_subject(&self, subject: &str) -> usize {
        let key = Digest::of_subject(subject);
        let before = self.lock().open.next;
        self.end(self.hash(&key), before, |open| open.stamp.subject_key == key)
    }

    /// Ends the open streams of a session, which may come back at once.
    ///
    /// Returns how many.
    pub fn end_session(&self, id: &str) -> usize {
        let key = Digest::of_session(id);
        let before = self.lock().open.next;
        self.end(self.hash(&key), before, |open| open.stamp.session == Some(key))
    }

    /// Ends the open streams that have a topic, which may come back at once.
    ///
    /// Returns how many.
    pub fn end_topic(&self, topic: &Topic) -> usize {
        let before = self.lock().open.next;
        self.end(self.hash(topic), before, |open| open.has_topic(topic))
    }

    /// One token, as when somebody signs out; the same person can sign in again.
    ///
    /// Returns how many open streams this ends.
    #[cfg(feature = "jwt")]
    pub fn revoke_token(&self, claims: &Claims) -> usize {
        let stamp = claims.stamp();
        self.revoke_key(stamp.key, stamp.until())
    }

    /// All tokens with this id (`jti`), wherever it is known from.
    ///
    /// Returns how many open streams this ends.
    #[cfg(feature = "jwt")]
    pub fn revoke_token_id(&self, id: &str) -> usize {
        self.revoke_key(Digest::of_token_id(id), self.until(self.now()))
    }

    /// All tokens with this id (`jti`), which expire then (`exp`): it need not be remembered any longer.
    ///
    /// Returns how many open streams this ends.
    #[cfg(feature = "jwt")]
    pub fn revoke_token_id_until(&self, id: &str, expires_at: SystemTime) -> usize {
        let until = expires_at.checked_add(self.0.leeway).unwrap_or(expires_at);
        self.revoke_key(Digest::of_token_id(id), ceil(until))
    }

    /// A topic, for everybody: the open streams that have it end, and tokens issued before do not open it. A
    /// token of the same second does not either.
    ///
    /// Returns how many open streams this ends. Topics that were
    /// [added to an open stream](crate::SubscriptionHandle::add) do not count.
    pub fn revoke_topic(&self, topic: &Topic) -> usize {
        let now = self.now();
        let since = Since { moment: now, until: self.until(now) };
        let mut state = self.lock();
        state.has_topics = true;
        let forgotten = state.topics.insert(Digest::of_topic(topic.as_str()), since, whole(now));
        state.floor = state.floor.max(forgotten);
        let before = state.open.next;
        drop(state);
        self.end(self.hash(topic), before, |open| open.has_topic(topic))
    }

    /// Whether the token still counts.
    pub(super) fn check(&self, stamp: &Stamp) -> Result<(), Denial> {
        let now = self.now();
        let mut state = self.lock();
        state.check(stamp)?;
        state.recent.note(stamp, now);
        Ok(())
    }

    /// Whether the token still opens these topics.
    pub(super) fn check_topics(&self, stamp: &Stamp, topics: &Topics) -> Result<(), Denial> {
        self.lock().check_topics(stamp, topics)
    }

    /// Takes note of an open stream, until the entry is dropped.
    pub(super) fn register(
        &self,
        stamp: &Arc<Stamp>,
        topics: Option<&Topics>,
        signal: Arc<Signal>,
    ) -> Result<Registration, Denial> {
        let open = OpenStream { stamp: Arc::clone(stamp), topics: topics.cloned(), signal };
        let keys = self.keys(&open);
        let mut state = self.lock();
        // Under the lock that revoking takes: whoever is revoked meanwhile is seen here or there.
        state.check(stamp)?;
        if let Some(topics) = topics {
            state.check_topics(stamp, topics)?;
        }
        let number = state.open.insert(open, keys);
        Ok(Registration { revocations: self.clone(), number })
    }

    pub(super) fn revoke_key(&self, token: Digest, until: u32) -> usize {
        let now = self.now();
        let mut state = self.lock();
        state.revoke_token(token, until, now);
        let before = state.open.next;
        drop(state);
        self.end(self.hash(&token), before, |open| {
            open.stamp.key == token || open.stamp.session == Some(token)
        })
    }

    /// Ends streams of this key with a number below `before`, a few at a time, and always while the lock is free:
    /// waking one may end it right here. Those that open meanwhile are looked at when they do.
    fn end(&self, key: u64, before: u64, which: impl Fn(&OpenStream) -> bool) -> usize {
        let (mut streams, mut from) = (0, 0);
        loop {
            let (signals, more) = self.lock().open.some(key, from..before, &which);
            streams += signals.len();
            wake_all(signals.iter().filter_map(|signal| signal.revoke()));
            match more {
                Some(next) => from = next,
                None => break,
            }
        }
        tracing::info!(streams, "ended event streams that were revoked");
        streams
    }

    /// What a stream is looked up by.
    fn keys(&self, open: &OpenStream) -> impl Iterator<Item = u64> + use<> {
        let topics = open.topics.iter().flatten().map(|topic| self.hash(topic));
        let keys = [self.hash(&open.stamp.subject_key), self.hash(&open.stamp.key)];
        // That of a session of the application's own is its key.
        let session = open.stamp.session.filter(|session| *session != open.stamp.key);
        keys.into_iter()
            .chain(session.map(|session| self.hash(&session)))
            .chain(topics)
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn hash(&self, value: &impl std::hash::Hash) -> u64 {
        self.0.hasher.hash_one(value)
    }

    /// Until when what is revoked now matters, where a token's own end is not known.
    pub(super) fn until(&self, now: f64) -> u32 {
        whole((now + self.0.keep.as_secs_f64()).ceil())
    }

    pub(super) fn now(&self) -> f64 {
        self.0.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.lock().open.len();
        f.debug_struct("Revocations").field("open", &open).finish_non_exhaustive()
    }
}

/// An open stream's place on the list.
pub(super) struct Registration {
    revocations: Revocations,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let revocations = &self.revocations;
        let open = revocations.lock().open.remove(self.number);
        if let Some(open) = open {
            let keys = revocations.keys(&open);
            revocations.lock().open.forget(self.number, keys);
        }
    }
}

/// The whole second that is not before.
#[cfg(feature = "jwt")]
fn ceil(time: SystemTime) -> u32 {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    whole(since_1970.as_secs_f64().ceil())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{open::AT_A_TIME, recent::MAX_RECENT},
        *,
    };
    use crate::lease::Signal;

    fn stamp(n: usize, issued_at: f64) -> Arc<Stamp> {
        Arc::new(Stamp {
            subject: "ada".into(),
            subject_key: Digest::of_subject("ada"),
            id: None,
            key: Digest::of_signed(&n.to_string()),
            session: None,
            session_id: None,
            issued_at: Some(issued_at),
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(2000),
            ends_at: SystemTime::UNIX_EPOCH + Duration::from_secs(2030),
        })
    }

    fn at(millis: u64) -> Revocations {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        Revocations::new(Clock::new(move || now), Duration::from_secs(60), Duration::from_secs(30))
    }

    #[test]
    fn a_crowded_second_is_refused_as_a_whole() {
        let revocations = at(1_000_500);
        for n in 0..MAX_RECENT {
            revocations.check(&stamp(n, 1000.0)).unwrap();
        }
        revocations.revoke_subject("eve");
        assert!(revocations.check(&stamp(0, 1000.0)).is_ok());
        let forgotten = stamp(MAX_RECENT, 1000.0);
        revocations.check(&forgotten).unwrap();
        assert!(revocations.lock().recent.len <= MAX_RECENT);
        revocations.revoke_subject("ada");
        for n in [0, MAX_RECENT - 1, MAX_RECENT, MAX_RECENT + 1] {
            assert!(revocations.check(&stamp(n, 1000.0)).is_err(), "{n}");
        }
        assert!(revocations.check(&stamp(MAX_RECENT + 2, 1001.0)).is_ok());
    }

    #[test]
    fn what_is_revoked_between_asking_and_opening_does_not_open() {
        let revocations = at(1_000_000);
        let register = |stamp: &Arc<Stamp>, topics: Option<&Topics>| {
            revocations.register(stamp, topics, Arc::new(Signal::default()))
        };
        let (news, other) = (Topic::new("news").unwrap(), Topic::new("other").unwrap());
        revocations.revoke_topic(&news);
        let stamp = stamp(1, 900.0);
        assert!(register(&stamp, Some(&news.into())).is_err());
        assert!(register(&stamp, Some(&other.into())).is_ok());
        revocations.revoke_subject("ada");
        assert!(register(&stamp, None).is_err());
    }

    #[test]
    fn fractions_of_seconds_count_where_they_are_given() {
        let revocations = at(1_000_500);
        revocations.revoke_subject("ada");
        assert!(revocations.check(&stamp(1, 1000.4)).is_err());
        assert!(revocations.check(&stamp(2, 1000.6)).is_ok());
        assert!(revocations.check(&stamp(3, 999.0)).is_err());
        assert!(revocations.check(&stamp(4, 1000.0)).is_ok());
    }

    #[test]
    fn streams_are_found_however_many_there_are_and_leave_nothing_behind() {
        let revocations = at(1_000_000);
        let news: Topics = Topic::new("news").unwrap().into();
        let open: Vec<Registration> = (0..3 * AT_A_TIME)
            .map(|n| {
                let topics = (n % 3 == 0).then_some(&news);
                revocations.register(&stamp(n, 900.0), topics, Arc::new(Signal::default())).unwrap()
            })
            .collect();
        assert_eq!(revocations.revoke_topic(&Topic::new("news").unwrap()), AT_A_TIME);
        assert_eq!(revocations.revoke_key(stamp(7, 900.0).key, 3000), 1);
        assert_eq!(revocations.revoke_subject("eve"), 0);
        assert_eq!(revocations.revoke_subject("ada"), 3 * AT_A_TIME);
        drop(open);
        let state = revocations.lock();
        assert!(state.open.is_empty());
    }
}
