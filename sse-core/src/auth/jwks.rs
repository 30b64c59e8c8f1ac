//! [`Remote`]: a key set that is fetched, kept, and fetched again.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

use super::{
    algorithm::Algorithm,
    key_set::{Found, KeySet},
};

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a set is used where nobody says otherwise, and within what the issuer may say.
const MAX_AGE: Duration = Duration::from_secs(600);
const MAX_AGE_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));

/// How old the last good set may grow while no newer one can be had.
const STALE: Duration = Duration::from_secs(86_400);

/// How often an unknown id may cause a fetch; how much later than it was first missed a set must be to say that it is
/// none; for how long and how many are remembered.
const UNKNOWN_EVERY: Duration = Duration::from_secs(30);
const UNKNOWN_AFTER: Duration = Duration::from_secs(30);
const UNKNOWN_FOR: Duration = Duration::from_secs(600);
const MAX_UNKNOWN: usize = 1000;

/// The longest wait between attempts that fail.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// What a fetch of a key set gave: the document, and how long it may be used.
///
/// Bytes or a `String` turn into one; so does a pair of them and a [`Duration`].
#[derive(Clone)]
pub struct FetchedKeys {
    document: Bytes,
    max_age: Option<Duration>,
}

impl FetchedKeys {
    /// A document with the `max-age` of its `Cache-Control`, if it has one.
    pub fn new(document: impl Into<Bytes>, max_age: Option<Duration>) -> Self {
        Self { document: document.into(), max_age }
    }
}

impl fmt::Debug for FetchedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedKeys").field("bytes", &self.document.len()).finish_non_exhaustive()
    }
}

impl From<Bytes> for FetchedKeys {
    fn from(document: Bytes) -> Self {
        Self::new(document, None)
    }
}

impl From<Vec<u8>> for FetchedKeys {
    fn from(document: Vec<u8>) -> Self {
        Self::new(document, None)
    }
}

impl From<String> for FetchedKeys {
    fn from(document: String) -> Self {
        Self::new(document, None)
    }
}

impl<D: Into<Bytes>> From<(D, Duration)> for FetchedKeys {
    fn from((document, max_age): (D, Duration)) -> Self {
        Self::new(document, Some(max_age))
    }
}

type Fetch = Pin<Box<dyn Future<Output = Result<FetchedKeys, String>> + Send>>;

pub(super) struct Remote {
    fetch: Box<dyn Fn() -> Fetch + Send + Sync>,
    state: Mutex<Held>,
    landed: Notify,
}

struct Held {
    /// The last good set, and since when.
    set: Option<(Arc<KeySet>, Instant)>,
    max_age: Duration,
    /// A fetch is under way.
    flying: bool,
    /// A task fetches it again when it is due.
    watched: bool,
    failures: u32,
    next_try: Instant,
    next_unknown: Instant,
    /// When they were first missed.
    unknown: HashMap<Box<str>, Instant>,
}

/// What a newer set has for a token.
pub(super) enum Newer {
    Set(Arc<KeySet>),
    /// The key is none of this issuer's.
    Unknown,
    /// That cannot be said before then.
    Later(Duration),
}

impl Remote {
    pub(super) fn new<F, Fut, D, E>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<D, E>> + Send + 'static,
        D: Into<FetchedKeys>,
        E: fmt::Display,
    {
        let fetch = move || -> Fetch {
            let fetch = fetch();
            Box::pin(async move { fetch.await.map(Into::into).map_err(|error| error.to_string()) })
        };
        let state = Held {
            set: None,
            max_age: MAX_AGE,
            flying: false,
            watched: false,
            failures: 0,
            next_try: Instant::now(),
            next_unknown: Instant::now(),
            unknown: HashMap::new(),
        };
        Self { fetch: Box::new(fetch), state: Mutex::new(state), landed: Notify::new() }
    }

    /// The set to verify with now, or how long to wait before asking again.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<KeySet>, Duration> {
        if let Some(set) = self.at_hand() {
            return Ok(set);
        }
        self.landing().await;
        let now = Instant::now();
        let state = self.lock();
        state.usable(now).ok_or_else(|| state.next_try.saturating_duration_since(now))
    }

    /// The set to verify with, if there is one. Starts a fetch where one is due.
    fn at_hand(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        let now = Instant::now();
        let mut state = self.lock();
        if now >= state.due() {
            self.launch(&mut state);
        }
        state.usable(now)
    }

    /// A newer set than one that has no key of this id.
    pub(super) async fn newer(self: &Arc<Self>, id: &str, algorithm: Algorithm) -> Newer {
        {
            let now = Instant::now();
            let mut state = self.lock();
            if let Some(set) = state.set_with(id, algorithm) {
                return Newer::Set(set);
            }
            if !state.flying {
                if now < state.next_unknown {
                    return state.missed(id, now);
                }
                state.next_unknown = now + UNKNOWN_EVERY;
                self.launch(&mut state);
            }
        }
        self.landing().await;
        let mut state = self.lock();
        match state.set_with(id, algorithm) {
            Some(set) => Newer::Set(set),
            None => state.missed(id, Instant::now()),
        }
    }

    /// Starts a fetch unless one is under way.
    ///
    /// A task of its own: whoever asked may go away, the others still wait for it.
    fn launch(self: &Arc<Self>, state: &mut Held) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if std::mem::replace(&mut state.flying, true) {
            return;
        }
        let flight = Flight { remote: Arc::clone(self), landed: false };
        runtime.spawn(async move {
            let fetched = timeout(FETCH_TIMEOUT, (flight.remote.fetch)()).await;
            let set = match fetched {
                Ok(Ok(fetched)) => KeySet::from_remote(&fetched.document)
                    .map(|set| (set, fetched.max_age))
                    .map_err(|error| error.to_string()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err("no answer within five seconds".to_owned()),
            };
            flight.land(set);
        });
        if !std::mem::replace(&mut state.watched, true) {
            runtime.spawn(watch(Watch(Arc::downgrade(self))));
        }
    }

    /// Waits until no fetch is under way.
    async fn landing(&self) {
        let landed = async {
            loop {
                let landed = self.landed.notified();
                tokio::pin!(landed);
                landed.as_mut().enable();
                if !self.lock().flying {
                    return;
                }
                landed.await;
            }
        };
        // Longer than a fetch: only a runtime that stands still gets here.
        let _ = timeout(FETCH_TIMEOUT * 2, landed).await;
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches the set whenever it is due, as long as somebody has the keys.
async fn watch(watch: Watch) {
    loop {
        let Some(next) = watch.0.upgrade().map(|remote| remote.lock().due()) else {
            return;
        };
        sleep_until(next).await;
        if let Some(remote) = watch.0.upgrade() {
            remote.at_hand();
            remote.landing().await;
        }
    }
}

/// Dropped with its runtime, it makes place for another.
struct Watch(Weak<Remote>);

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(remote) = self.0.upgrade() {
            remote.lock().watched = false;
        }
    }
}

/// A fetch under way. One that is dropped with its runtime, or panics, has failed.
struct Flight {
    remote: Arc<Remote>,
    landed: bool,
}

impl Flight {
    fn land(mut self, set: Result<(KeySet, Option<Duration>), String>) {
        self.landed = true;
        let now = Instant::now();
        let mut state = self.remote.lock();
        let failure = match set {
            Ok((set, max_age)) => {
                let (least, most) = MAX_AGE_BOUNDS;
                state.set = Some((Arc::new(set), now));
                state.max_age = max_age.unwrap_or(MAX_AGE).clamp(least, most);
                state.failures = 0;
                state.next_try = now;
                state.flying = false;
                None
            }
            Err(error) => {
                state.fail(now);
                Some((error, state.failures))
            }
        };
        drop(state);
        self.remote.landed.notify_waiters();
        if let Some((error, failures)) = failure {
            tracing::warn!(error, failures, "the key set could not be fetched");
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            self.remote.lock().fail(Instant::now());
            self.remote.landed.notify_waiters();
            tracing::warn!("the fetch of the key set did not come to its end");
        }
    }
}

impl Held {
    /// When the set is to be fetched again.
    fn due(&self) -> Instant {
        let renewal = self.set.as_ref().map(|(_, since)| *since + self.max_age.mul_f64(0.8));
        renewal.map_or(self.next_try, |renewal| renewal.max(self.next_try))
    }

    /// The set, unless it is too old even for the time that nothing newer can be had.
    fn usable(&self, now: Instant) -> Option<Arc<KeySet>> {
        let (set, since) = self.set.as_ref()?;
        (now - *since < STALE.max(self.max_age)).then(|| Arc::clone(set))
    }

    /// The set, if it knows this id.
    fn set_with(&self, id: &str, algorithm: Algorithm) -> Option<Arc<KeySet>> {
        let (set, _) = self.set.as_ref()?;
        (!matches!(set.find(Some(id), algorithm), Found::Unknown)).then(|| Arc::clone(set))
    }

    /// What is to be said of an id that the present set does not have.
    fn missed(&mut self, id: &str, now: Instant) -> Newer {
        if self.unknown.len() >= MAX_UNKNOWN {
            self.unknown.retain(|_, first| *first + UNKNOWN_FOR > now);
        }
        let has_room = self.unknown.len() < MAX_UNKNOWN;
        let first = match self.unknown.get(id) {
            Some(first) => *first,
            None if has_room => *self.unknown.entry(id.into()).or_insert(now),
            None => now,
        };
        let is_later = self.set.as_ref().is_some_and(|(_, since)| *since >= first + UNKNOWN_AFTER);
        if is_later { Newer::Unknown } else { Newer::Later(self.next_unknown.saturating_duration_since(now)) }
    }

    fn fail(&mut self, now: Instant) {
        let back_off = Duration::from_secs(1 << self.failures.min(5)).min(MAX_BACK_OFF);
        self.failures = self.failures.saturating_add(1);
        self.next_try = now + back_off.mul_f64(rand::random_range(0.5..=1.0));
        self.flying = false;
    }
}
