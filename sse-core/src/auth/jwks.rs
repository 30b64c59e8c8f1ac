//! [`Keys::remote`]: a key set that is fetched, kept, and fetched again.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, timeout},
};

use super::{
    algorithm::Algorithm,
    keys::{Found, KeySet, Keys, Source},
};

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a set is used where nobody says otherwise, and within what the issuer may say.
const MAX_AGE: Duration = Duration::from_secs(600);
const MAX_AGE_BOUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));

/// How old the last good set may grow while no newer one can be had.
const STALE: Duration = Duration::from_secs(86_400);

/// How often an unknown id may cause a fetch, and for how long and how many it is remembered as unknown.
const UNKNOWN_EVERY: Duration = Duration::from_secs(30);
const UNKNOWN_FOR: Duration = Duration::from_secs(60);
const MAX_UNKNOWN: usize = 1000;

/// The longest wait between attempts that fail.
const MAX_BACK_OFF: Duration = Duration::from_secs(30);

impl Keys {
    /// The JWK set of an issuer, had by a function that fetches its document.
    ///
    /// This crate has no HTTP client; the function is the application's, and so is how careful it is: `https`
    /// alone, no redirect to another host, no more than 256 KiB read (what is larger is refused here, but it
    /// was read by then). It is given five seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn http_get(_: &str) -> Result<(Vec<u8>, Option<Duration>), std::io::Error> { Ok((vec![], None)) }
    /// use sse_core::{FetchedKeys, Keys};
    ///
    /// let keys = Keys::remote(|| async {
    ///     let (body, max_age) = http_get("https://issuer.example/.well-known/jwks.json").await?;
    ///     Ok::<_, std::io::Error>(FetchedKeys::new(body, max_age))
    /// });
    /// ```
    ///
    /// - The first request fetches; so does [`warm_up`](Self::warm_up) before there is any.
    /// - A set is used for its `max_age`, within one minute and one day, ten minutes where it has none. Requests
    ///   in the last fifth of that start a fetch and do not wait for it.
    /// - A token with an unknown key id causes one fetch, at most every 30 s however many there are, and is
    ///   refused if that brings no such key. Ids that turned out unknown are remembered for a minute.
    /// - While fetches fail, or bring a document that is no key set or has no usable key, the last good set
    ///   stays, for at most 24 hours; the function is called again after one second, two, and up to 30. With
    ///   no set, requests get a 503.
    /// - Secrets in the set (`oct`) are left out, and so are both of two keys with the same id.
    pub fn remote<F, Fut, D, E>(fetch: F) -> Self
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
        let state = State {
            set: None,
            max_age: MAX_AGE,
            flying: false,
            failures: 0,
            next_try: Instant::now(),
            next_unknown: None,
            unknown: HashMap::new(),
        };
        let remote = Remote { fetch: Box::new(fetch), state: Mutex::new(state), landed: Notify::new() };
        Self(Source::Remote(Arc::new(remote)))
    }

    /// Fetches a remote set now, so that the first request need not wait; whether keys are there. Other sets
    /// always are.
    ///
    /// For readiness and for a start that fails early.
    pub async fn warm_up(&self) -> bool {
        match &self.0 {
            Source::Fixed(_) => true,
            Source::Remote(remote) => remote.current().await.is_ok(),
        }
    }
}

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
    state: Mutex<State>,
    landed: Notify,
}

struct State {
    /// The last good set, and since when.
    set: Option<(Arc<KeySet>, Instant)>,
    max_age: Duration,
    /// A fetch is under way.
    flying: bool,
    failures: u32,
    next_try: Instant,
    next_unknown: Option<Instant>,
    unknown: HashMap<Box<str>, Instant>,
}

impl Remote {
    /// The set to verify with now, or how long to wait before asking again.
    pub(super) async fn current(self: &Arc<Self>) -> Result<Arc<KeySet>, Duration> {
        {
            let now = Instant::now();
            let mut state = self.lock();
            let age = state.set.as_ref().map(|(_, since)| now - *since);
            let due = age.is_none_or(|age| age >= state.max_age.mul_f64(0.8));
            if due && now >= state.next_try {
                self.launch(&mut state);
            }
            // What is past its age is used only once it is known that there is nothing newer.
            let fresh = age.is_some_and(|age| age < state.max_age);
            let usable = fresh || (!state.flying && age.is_some_and(|age| age < STALE));
            if let Some((set, _)) = state.set.as_ref().filter(|_| usable) {
                return Ok(Arc::clone(set));
            }
        }
        self.landing().await;
        let now = Instant::now();
        let state = self.lock();
        match &state.set {
            Some((set, since)) if now - *since < STALE.max(state.max_age) => Ok(Arc::clone(set)),
            _ => Err(state.next_try.saturating_duration_since(now)),
        }
    }

    /// A newer set than `old`, in which no key has this id. Nothing when it is too early to ask again.
    pub(super) async fn newer(
        self: &Arc<Self>,
        old: &Arc<KeySet>,
        id: &str,
        algorithm: Algorithm,
    ) -> Option<Arc<KeySet>> {
        {
            let now = Instant::now();
            let mut state = self.lock();
            if state.unknown.get(id).is_some_and(|until| *until > now) {
                return None;
            }
            if let Some((set, _)) = state.set.as_ref().filter(|(set, _)| !Arc::ptr_eq(set, old)) {
                return Some(Arc::clone(set));
            }
            if !state.flying {
                if state.next_unknown.is_some_and(|next| now < next) {
                    return None;
                }
                state.next_unknown = Some(now + UNKNOWN_EVERY);
                self.launch(&mut state);
            }
        }
        self.landing().await;
        let now = Instant::now();
        let mut state = self.lock();
        let (set, _) = state.set.as_ref().filter(|(set, _)| !Arc::ptr_eq(set, old))?;
        let set = Arc::clone(set);
        if matches!(set.find(Some(id), algorithm), Found::Unknown) {
            if state.unknown.len() >= MAX_UNKNOWN {
                state.unknown.retain(|_, until| *until > now);
            }
            if state.unknown.len() < MAX_UNKNOWN {
                state.unknown.insert(id.into(), now + UNKNOWN_FOR);
            }
        }
        Some(set)
    }

    /// Starts a fetch unless one is under way.
    ///
    /// A task of its own: whoever asked may go away, the others still wait for it.
    fn launch(self: &Arc<Self>, state: &mut State) {
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

impl State {
    fn fail(&mut self, now: Instant) {
        let back_off = Duration::from_secs(1 << self.failures.min(5)).min(MAX_BACK_OFF);
        self.failures = self.failures.saturating_add(1);
        self.next_try = now + back_off.mul_f64(rand::random_range(0.5..=1.0));
        self.flying = false;
    }
}
