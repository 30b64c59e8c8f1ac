//! [`Revocations`]: what is no longer let in, and the open streams that this ends.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use slab::Slab;

use super::{
    claims::{Claims, Stamp},
    denial::Denial,
};
use crate::{
    lease::{Clock, Signal},
    topic::{Topic, Topics},
    wakers::wake_all,
};

/// Most entries of one kind. What is forgotten for want of room is refused together with all that is as old.
const MAX_ENTRIES: usize = 100_000;

/// Most tokens of the last seconds that are remembered.
const MAX_RECENT: usize = 10_000;

/// Takes back what tokens allow, at once: open streams end within a moment, and who comes back is refused. Cheap
/// to clone; clones are one. [`Auth::revocations`](crate::Auth::revocations) gives it.
///
/// It works in this process. An entry is kept for as long as a token can live
/// ([`max_lifetime`](crate::VerifierBuilder::max_lifetime)); it does not outlive a restart.
///
/// **Before or after.** Revoking a subject or a topic is about tokens issued before that moment, by their `iat`;
/// a token without one counts as old. Most issuers give whole seconds. A token of that very second is refused if
/// it was used before, so that one issued right afterwards is good at once.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    clock: Clock,
    keep: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Slab<Open>,
    subjects: Table<Box<str>>,
    topics: Table<Topic>,
    ids: Table<Box<str>>,
    tokens: Table<[u8; 32]>,
    /// Tokens that were let in and are as old as a second, which `iat` cannot tell from this moment.
    recent: HashMap<[u8; 32], Arc<Stamp>>,
    /// Look for older ones among them once there are as many.
    sweep_at: usize,
    /// Some of them were not remembered, up to this `iat`.
    crowded: f64,
    /// Tokens issued up to then are refused, for it was forgotten which of them were revoked.
    floor: f64,
}

struct Open {
    stamp: Arc<Stamp>,
    topics: Option<Topics>,
    signal: Arc<Signal>,
}

impl Revocations {
    pub(super) fn new(clock: Clock, keep: Duration) -> Self {
        Self(Arc::new(Inner { clock, keep, state: Mutex::default() }))
    }

    /// Everything of a subject, until it signs in again: for a changed password, a lost device, a closed account.
    ///
    /// Returns how many open streams this ends.
    pub fn revoke_subject(&self, subject: &str) -> usize {
        let mut state = self.lock();
        let entry = self.entry();
        let same = |stamp: &Arc<Stamp>| *stamp.subject == *subject;
        let used: Vec<Arc<Stamp>> = state.recent.values().filter(|stamp| same(stamp)).cloned().collect();
        for stamp in used {
            state.revoke(|state| &mut state.tokens, stamp.digest, entry);
        }
        // Where some were not remembered, all of that time are refused.
        let crowded = state.crowded >= entry.moment.floor();
        let moment = if crowded { state.crowded.floor() + 1.0 } else { entry.moment };
        state.revoke(|state| &mut state.subjects, subject.into(), Entry { moment, ..entry });
        end(state, |open| *open.stamp.subject == *subject)
    }

    /// One token, as when somebody signs out; the same person can sign in again.
    ///
    /// Returns how many open streams this ends.
    pub fn revoke_token(&self, claims: &Claims) -> usize {
        let stamp = claims.stamp();
        if let Some(id) = &stamp.id {
            return self.revoke_token_id(id);
        }
        let mut state = self.lock();
        state.revoke(|state| &mut state.tokens, stamp.digest, self.entry());
        end(state, |open| open.stamp.digest == stamp.digest)
    }

    /// All tokens with this id (`jti`), wherever it is known from.
    ///
    /// Returns how many open streams this ends.
    pub fn revoke_token_id(&self, id: &str) -> usize {
        let mut state = self.lock();
        state.revoke(|state| &mut state.ids, id.into(), self.entry());
        end(state, |open| open.stamp.id.as_deref() == Some(id))
    }

    /// A topic, for everybody: the open streams that have it end, and tokens issued before do not open it. A
    /// token of the same second does not either.
    ///
    /// Returns how many open streams this ends. Topics that were
    /// [added to an open stream](crate::SubscriptionHandle::add) do not count.
    pub fn revoke_topic(&self, topic: &Topic) -> usize {
        let mut state = self.lock();
        state.revoke(|state| &mut state.topics, topic.clone(), self.entry());
        end(state, |open| open.topics.iter().flatten().any(|open| open == topic))
    }

    /// Whether the token still counts.
    pub(super) fn check(&self, stamp: &Arc<Stamp>) -> Result<(), Denial> {
        let mut state = self.lock();
        state.check(stamp)?;
        let (iat, now) = (issued(stamp), self.now());
        if iat + 2.0 > now && !state.recent.contains_key(&stamp.digest) {
            // As many again as there were fresh ones, before it is worth looking for those that are not.
            if state.recent.len() >= state.sweep_at.max(1024) {
                state.recent.retain(|_, recent| issued(recent) + 2.0 > now);
                state.sweep_at = (state.recent.len() * 2).min(MAX_RECENT);
            }
            if state.recent.len() < MAX_RECENT {
                state.recent.insert(stamp.digest, Arc::clone(stamp));
            } else {
                state.crowded = state.crowded.max(iat);
            }
        }
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
    ) -> Result<(Arc<Signal>, Registration), Denial> {
        let signal = Arc::new(Signal::default());
        let mut state = self.lock();
        // Under the lock that revoking takes: whoever is revoked meanwhile is seen here or there.
        state.check(stamp)?;
        if let Some(topics) = topics {
            state.check_topics(stamp, topics)?;
        }
        let key = state.open.insert(Open {
            stamp: Arc::clone(stamp),
            topics: topics.cloned(),
            signal: Arc::clone(&signal),
        });
        Ok((signal, Registration { revocations: self.clone(), key }))
    }

    fn entry(&self) -> Entry {
        let now = self.now();
        Entry { moment: now, until: now + self.0.keep.as_secs_f64() }
    }

    fn now(&self) -> f64 {
        self.0.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
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
    key: usize,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let open = self.revocations.lock().open.try_remove(self.key);
        drop(open);
    }
}

impl State {
    fn revoke<K: Eq + Hash>(&mut self, table: impl Fn(&mut Self) -> &mut Table<K>, key: K, entry: Entry) {
        let forgotten = table(self).insert(key, entry);
        self.floor = self.floor.max(forgotten);
    }

    fn check(&self, stamp: &Stamp) -> Result<(), Denial> {
        let iat = issued(stamp);
        let revoked = iat <= self.floor
            || self.subjects.get(&*stamp.subject).is_some_and(|entry| entry.is_after(iat))
            || stamp.id.as_deref().is_some_and(|id| self.ids.get(id).is_some())
            || self.tokens.get(&stamp.digest).is_some();
        if revoked { Err(Denial::Invalid("revoked")) } else { Ok(()) }
    }

    fn check_topics(&self, stamp: &Stamp, topics: &Topics) -> Result<(), Denial> {
        let iat = issued(stamp).floor();
        let revoked =
            |topic: &Topic| self.topics.get(topic.as_str()).is_some_and(|entry| iat <= entry.moment);
        if topics.iter().any(revoked) { Err(Denial::Scope("a topic was revoked")) } else { Ok(()) }
    }
}

/// Ends the streams, after the lock is free again: waking one may end it right here.
fn end(state: MutexGuard<'_, State>, which: impl Fn(&Open) -> bool) -> usize {
    let signals: Vec<Arc<Signal>> =
        state.open.iter().filter(|(_, open)| which(open)).map(|(_, open)| Arc::clone(&open.signal)).collect();
    drop(state);
    wake_all(signals.iter().filter_map(|signal| signal.revoke()));
    tracing::info!(streams = signals.len(), "ended event streams that were revoked");
    signals.len()
}

/// A token without `iat` is as old as can be. Never zero: that is the floor of the beginning.
fn issued(stamp: &Stamp) -> f64 {
    stamp.issued_at.unwrap_or(f64::MIN_POSITIVE).max(f64::MIN_POSITIVE)
}

/// When something was revoked, and until when it matters; seconds since 1970.
#[derive(Clone, Copy)]
struct Entry {
    moment: f64,
    until: f64,
}

impl Entry {
    /// Whether a token of that `iat` was issued before, as far as whole seconds tell.
    fn is_after(&self, iat: f64) -> bool {
        if iat.fract() == 0.0 { iat < self.moment.floor() } else { iat < self.moment }
    }
}

/// Entries of one kind.
struct Table<K> {
    entries: HashMap<K, Entry>,
    /// Look for what has run out once there are as many.
    sweep_at: usize,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { entries: HashMap::new(), sweep_at: 1024 }
    }
}

impl<K: Eq + Hash> Table<K> {
    /// Returns the moment of the newest entry that had to be forgotten before its time, or zero.
    fn insert(&mut self, key: K, entry: Entry) -> f64 {
        let mut forgotten: f64 = 0.0;
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, old| old.until > entry.moment);
            if self.entries.len() >= MAX_ENTRIES {
                let mut moments: Vec<f64> = self.entries.values().map(|old| old.moment).collect();
                let middle = moments.len() / 2;
                forgotten = *moments.select_nth_unstable_by(middle, f64::total_cmp).1;
                self.entries.retain(|_, old| old.moment > forgotten);
            }
            self.sweep_at = (self.entries.len() * 2).clamp(1024, MAX_ENTRIES);
        }
        self.entries.insert(key, entry);
        forgotten
    }

    fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&Entry>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(n: usize, issued_at: f64) -> Arc<Stamp> {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        Arc::new(Stamp {
            subject: "ada".into(),
            id: None,
            digest,
            issued_at: Some(issued_at),
            expires_at: SystemTime::UNIX_EPOCH,
            ends_at: SystemTime::UNIX_EPOCH,
        })
    }

    #[test]
    fn a_crowded_second_is_refused_as_a_whole() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_500);
        let revocations = Revocations::new(Clock::new(move || now), Duration::from_secs(60));
        for n in 0..MAX_RECENT {
            revocations.check(&stamp(n, 1000.0)).unwrap();
        }
        revocations.revoke_subject("eve");
        assert!(revocations.check(&stamp(0, 1000.0)).is_ok());
        let forgotten = stamp(MAX_RECENT, 1000.0);
        revocations.check(&forgotten).unwrap();
        assert!(revocations.lock().recent.len() <= MAX_RECENT);
        revocations.revoke_subject("ada");
        for n in [0, MAX_RECENT - 1, MAX_RECENT, MAX_RECENT + 1] {
            assert!(revocations.check(&stamp(n, 1000.0)).is_err(), "{n}");
        }
        assert!(revocations.check(&stamp(MAX_RECENT + 2, 1001.0)).is_ok());
    }

    #[test]
    fn what_is_revoked_between_asking_and_opening_does_not_open() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let revocations = Revocations::new(Clock::new(move || now), Duration::from_secs(60));
        let (news, other) = (Topic::new("news").unwrap(), Topic::new("other").unwrap());
        revocations.revoke_topic(&news);
        let stamp = stamp(1, 900.0);
        assert!(revocations.register(&stamp, Some(&news.into())).is_err());
        assert!(revocations.register(&stamp, Some(&other.into())).is_ok());
        revocations.revoke_subject("ada");
        assert!(revocations.register(&stamp, None).is_err());
    }

    #[test]
    fn fractions_of_seconds_count_where_they_are_given() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_500);
        let revocations = Revocations::new(Clock::new(move || now), Duration::from_secs(60));
        revocations.revoke_subject("ada");
        assert!(revocations.check(&stamp(1, 1000.4)).is_err());
        assert!(revocations.check(&stamp(2, 1000.6)).is_ok());
        assert!(revocations.check(&stamp(3, 999.0)).is_err());
        assert!(revocations.check(&stamp(4, 1000.0)).is_ok());
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_says_so() {
        let mut table = Table::default();
        for n in 0..MAX_ENTRIES {
            let moment = n as f64;
            assert_eq!(table.insert(n, Entry { moment, until: f64::MAX }), 0.0);
        }
        let forgotten = table.insert(MAX_ENTRIES, Entry { moment: 1e6, until: f64::MAX });
        assert_eq!(forgotten, (MAX_ENTRIES / 2) as f64);
        assert!(table.get(&0).is_none() && table.get(&(MAX_ENTRIES - 1)).is_some());
        assert!(table.entries.len() <= MAX_ENTRIES);
    }

    #[test]
    fn what_has_run_out_makes_room() {
        let mut table = Table::default();
        for n in 0..3000_usize {
            table.insert(n, Entry { moment: n as f64, until: n as f64 + 10.0 });
        }
        assert!(table.entries.len() < 1100, "{}", table.entries.len());
    }
}
