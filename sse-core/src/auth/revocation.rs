//! [`Revocations`]: what is no longer let in, and the open streams that this ends.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

#[cfg(feature = "jwt")]
use super::claims::Claims;
use super::{
    denial::Denial,
    digest::Digest,
    open::OpenStream,
    others::Others,
    registry::{Registry, Since},
    revoked::whole,
    said::Said,
    stamp::Stamp,
};
use crate::{
    clock::Clock,
    lease::Signal,
    nodes::ShareError,
    topic::{Topic, Topics},
};

/// Takes back what tokens allow, at once: open streams end within a moment, and who comes back is refused: with 204,
/// *do not come back*, where a stream is asked for by `Accept: text/event-stream`, else with 401 or 403. Cheap to clone;
/// clones are one. [`Auth::revocations`](crate::Auth::revocations) gives it.
///
/// A token is remembered until it expires; a subject, a topic, and a token whose end is not known for as long as a token
/// can live (`VerifierBuilder::max_lifetime`). There is room for about two million of each; of more,
/// the tokens that expire first are refused, revoked or not.
///
/// **Before or after.** Revoking a subject or a topic is about tokens issued before that moment, by their `iat`;
/// a token without one counts as old. Most issuers give whole seconds. A token of that very second is refused if
/// it was used before, so that one issued right afterwards is good at once.
///
/// **In one process** it does not outlive a restart, and nothing here ever waits or fails.
///
/// **On several nodes**, whose hub has an engine and [shares](crate::EngineHubBuilder::share) the `Auth`, it holds on all
/// of them, and on those that start later. What is revoked holds on this node at once, and has been accepted by the
/// engine when the future is ready: the others follow within a moment. While the engine is away, it fails after the time
/// that the hub [tries to publish](crate::EngineHubBuilder::publish_timeout). What was revoked here stays revoked, and is
/// told when the engine answers again, as long as this process lives; streams of others that were to be ended are not
/// ended later.
///
/// The moment is that of the node that revokes, by its clock, and the same on all nodes. Which tokens of that very second
/// were used before, each node knows of itself, by its own clock: nodes' clocks belong to be kept together (NTP), to the
/// tenth of a second.
#[derive(Clone)]
pub struct Revocations(pub(super) Arc<Inner>);

pub(super) struct Inner {
    clock: Clock,
    /// How much longer than it says a token is good.
    #[cfg_attr(not(feature = "jwt"), expect(dead_code, reason = "only a token has one"))]
    leeway: Duration,
    /// How long a token can live, and that.
    keep: Duration,
    hasher: RandomState,
    state: Mutex<Registry>,
    others: Others,
}

impl Revocations {
    /// A token lives for `lifetime` at most, and `leeway` beyond.
    pub(super) fn new(clock: Clock, lifetime: Duration, leeway: Duration) -> Self {
        let keep = lifetime + leeway * 2;
        let (hasher, state, others) = (RandomState::new(), Mutex::default(), Others::default());
        Self(Arc::new(Inner { clock, leeway, keep, hasher, state, others }))
    }

    /// Everything of a subject, until it signs in again: for a changed password, a lost device, a closed account.
    ///
    /// Returns how many open streams this ends on this node.
    ///
    /// # Errors
    /// [`ShareError`], with an engine alone: it holds here, and not or perhaps not on the other nodes.
    pub async fn revoke_subject(&self, subject: &str) -> Result<usize, ShareError> {
        let (key, now) = (Digest::of_subject(subject), self.now());
        let since = Since { moment: now, until: self.until(now) };
        let (Since { moment, until }, streams) = self.revoke_subject_here(key, since, now);
        let said = || Said::RevokedSubject { key, moment, until };
        self.tell_kept(said, until).await?;
        Ok(streams)
    }

    /// Everything of a session, by the id that the application gave it ([`Identity::session`](crate::Identity::session))
    /// or that its tokens bear (`sid`).
    ///
    /// Returns how many open streams this ends on this node.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    pub async fn revoke_session(&self, id: &str) -> Result<usize, ShareError> {
        self.revoke_key(Digest::of_session(id), self.until(self.now())).await
    }

    /// Ends the open streams of a subject, which may come back at once: for one whose rights have changed.
    ///
    /// Returns how many on this node.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    pub async fn end_subject(&self, subject: &str) -> Result<usize, ShareError> {
        let key = Digest::of_subject(subject);
        let streams = self.end_subject_here(key, None);
        self.tell(|| Said::EndedSubject { key }).await?;
        Ok(streams)
    }

    /// Ends the open streams of a session, which may come back at once.
    ///
    /// Returns how many on this node.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    pub async fn end_session(&self, id: &str) -> Result<usize, ShareError> {
        let key = Digest::of_session(id);
        let streams = self.end_session_here(key, None);
        self.tell(|| Said::EndedSession { key }).await?;
        Ok(streams)
    }

    /// Ends the open streams that have a topic, which may come back at once.
    ///
    /// Returns how many on this node.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    pub async fn end_topic(&self, topic: &Topic) -> Result<usize, ShareError> {
        let streams = self.end_topic_here(topic, None);
        self.tell(|| Said::EndedTopic { topic: topic.as_str().to_owned() }).await?;
        Ok(streams)
    }

    /// One token, as when somebody signs out; the same person can sign in again.
    ///
    /// Returns how many open streams this ends on this node.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    #[cfg(feature = "jwt")]
    pub async fn revoke_token(&self, claims: &Claims) -> Result<usize, ShareError> {
        let stamp = claims.stamp();
        self.revoke_key(stamp.key, stamp.until()).await
    }

    /// All tokens with this id (`jti`), wherever it is known from.
    ///
    /// Returns how many open streams this ends on this node.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    #[cfg(feature = "jwt")]
    pub async fn revoke_token_id(&self, id: &str) -> Result<usize, ShareError> {
        self.revoke_key(Digest::of_token_id(id), self.until(self.now())).await
    }

    /// All tokens with this id (`jti`), which expire then (`exp`): it need not be remembered any longer.
    ///
    /// Returns how many open streams this ends on this node.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    #[cfg(feature = "jwt")]
    pub async fn revoke_token_id_until(&self, id: &str, expires_at: SystemTime) -> Result<usize, ShareError> {
        let until = expires_at.checked_add(self.0.leeway).unwrap_or(expires_at);
        self.revoke_key(Digest::of_token_id(id), ceil(until)).await
    }

    /// A topic, for everybody: the open streams that have it end, and tokens issued before do not open it. A
    /// token of the same second does not either.
    ///
    /// Returns how many open streams this ends on this node. Topics that were
    /// [added to an open stream](crate::SubscriptionHandle::add) do not count.
    ///
    /// # Errors
    /// As [`revoke_subject`](Self::revoke_subject).
    pub async fn revoke_topic(&self, topic: &Topic) -> Result<usize, ShareError> {
        let now = self.now();
        let since = Since { moment: now, until: self.until(now) };
        let (Since { moment, until }, streams) = self.revoke_topic_here(topic, since, now);
        let said = || Said::RevokedTopic { topic: topic.as_str().to_owned(), moment, until };
        self.tell_kept(said, until).await?;
        Ok(streams)
    }

    pub(super) async fn revoke_key(&self, key: Digest, until: u32) -> Result<usize, ShareError> {
        let (until, streams) = self.revoke_key_here(key, until);
        self.tell_kept(|| Said::Revoked { key, until }, until).await?;
        Ok(streams)
    }

    /// Tells the other nodes, if there are any.
    async fn tell(&self, said: impl FnOnce() -> Said) -> Result<(), ShareError> {
        match self.0.others.joined() {
            Some(others) => others.tell(said()).await,
            None => Ok(()),
        }
    }

    /// Tells them, and those that start before it does not matter any more.
    async fn tell_kept(&self, said: impl FnOnce() -> Said, until: u32) -> Result<(), ShareError> {
        match self.0.others.joined() {
            Some(others) => others.tell_kept(said(), self.left(until)).await,
            None => Ok(()),
        }
    }

    /// How long it is until then, and a second where it is over.
    pub(super) fn left(&self, until: u32) -> Duration {
        Duration::from_secs_f64((f64::from(until) - self.now()).max(1.0))
    }

    pub(super) fn others(&self) -> &Others {
        &self.0.others
    }

    /// Whether the token still counts.
    pub(super) fn check(&self, stamp: &Stamp) -> Result<(), Denial> {
        let now = self.now();
        let mut state = self.lock();
        state.tidy(now);
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
        let since = Instant::now();
        let open = OpenStream { stamp: Arc::clone(stamp), topics: topics.cloned(), signal, since };
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

    pub(super) fn hash(&self, value: &impl std::hash::Hash) -> u64 {
        self.0.hasher.hash_one(value)
    }

    /// Until when what is revoked now matters, where a token's own end is not known.
    pub(super) fn until(&self, now: f64) -> u32 {
        whole((now + self.0.keep.as_secs_f64()).ceil())
    }

    pub(super) fn now(&self) -> f64 {
        self.0.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Registry> {
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
    use futures_util::FutureExt;

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

    /// In one process nothing is waited for.
    fn now(revoking: impl Future<Output = Result<usize, ShareError>>) -> usize {
        revoking.now_or_never().unwrap().unwrap()
    }

    #[test]
    fn a_crowded_second_is_refused_as_a_whole() {
        let revocations = at(1_000_500);
        for n in 0..MAX_RECENT {
            revocations.check(&stamp(n, 1000.0)).unwrap();
        }
        now(revocations.revoke_subject("eve"));
        assert!(revocations.check(&stamp(0, 1000.0)).is_ok());
        let forgotten = stamp(MAX_RECENT, 1000.0);
        revocations.check(&forgotten).unwrap();
        assert!(revocations.lock().recent.len <= MAX_RECENT);
        now(revocations.revoke_subject("ada"));
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
        now(revocations.revoke_topic(&news));
        let stamp = stamp(1, 900.0);
        assert!(register(&stamp, Some(&news.into())).is_err());
        assert!(register(&stamp, Some(&other.into())).is_ok());
        now(revocations.revoke_subject("ada"));
        assert!(register(&stamp, None).is_err());
    }

    #[test]
    fn fractions_of_seconds_count_where_they_are_given() {
        let revocations = at(1_000_500);
        now(revocations.revoke_subject("ada"));
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
        assert_eq!(now(revocations.revoke_topic(&Topic::new("news").unwrap())), AT_A_TIME);
        assert_eq!(now(revocations.revoke_key(stamp(7, 900.0).key, 3000)), 1);
        assert_eq!(now(revocations.revoke_subject("eve")), 0);
        assert_eq!(now(revocations.revoke_subject("ada")), 3 * AT_A_TIME);
        drop(open);
        let state = revocations.lock();
        assert!(state.open.is_empty());
    }
}
