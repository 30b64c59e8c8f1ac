//! [`Limits`]: how many streams there may be, and how often they may be asked for.

mod builder;
mod key;
mod over;
mod place;
mod proxies;
mod rate;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

pub use self::{
    builder::LimitsBuilder,
    proxies::{NetworkError, TrustedProxies},
};
use self::{key::Key, place::Counts, rate::Rate};
pub(crate) use self::{over::Over, place::Place};

/// How many streams there may be at a time, of each who asks and in all, and how often they may be asked for. Cheap to
/// clone; clones count together.
///
/// A [`Lifecycle`](crate::Lifecycle) has some for all streams of its server
/// ([`LifecycleBuilder::limits`](crate::LifecycleBuilder::limits)), and an endpoint may have others besides
/// ([`StreamOptions::limits`](crate::StreamOptions::limits)): a stream needs a place among each.
///
/// ```
/// use sse_core::{Hub, Lifecycle, Limits};
///
/// let limits = Limits::builder().max_streams(10_000).max_streams_per_subject(20).build();
/// let hub = Hub::builder().lifecycle(&Lifecycle::builder().limits(&limits).build()).build();
/// ```
///
/// **Over a limit** nobody who is connected is sent away: the one who asks has to come back. A browser's `EventSource`
/// is told so in the only form that it obeys, a stream that ends at once with a `retry`; other clients are answered 429
/// where it is on them, 503 where the server is full, with `Retry-After`, and so are browsers where
/// [`LimitsBuilder::status_for_browsers`] says so.
///
/// What is counted are streams, not connections: over HTTP/2 one connection may bear many. A place is free again as
/// soon as the stream has ended or is dropped. A `HEAD` holds none. What is read on this side
/// ([`Hub::subscribe`](crate::Hub::subscribe)) does not count.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    caps: Caps,
    counts: Mutex<Counts>,
    by_subject: Option<Rate>,
    by_address: Option<Rate>,
    proxies: Option<TrustedProxies>,
    status_for_browsers: bool,
    /// Whether it was said that addresses are not known.
    told: AtomicBool,
}

/// How many there may be at a time; `None` where nobody says.
#[derive(Clone, Copy, Debug, Default)]
struct Caps {
    streams: Option<usize>,
    per_subject: Option<usize>,
    per_address: Option<usize>,
    per_topic: Option<usize>,
    topics: Option<usize>,
}

/// Who asks for a stream, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    pub(crate) subject: Option<&'a str>,
    pub(crate) address: Option<IpAddr>,
}

impl Limits {
    /// None yet: each is set by itself.
    pub fn builder() -> LimitsBuilder {
        LimitsBuilder::default()
    }

    /// How many streams are open that count here.
    pub fn streams(&self) -> usize {
        self.0.lock().streams()
    }

    /// A place for a stream of these topics.
    pub(crate) fn enter<'a>(
        &self,
        asker: Asker<'_>,
        topics: impl Iterator<Item = &'a str>,
    ) -> Result<Place, Over> {
        let Inner { caps, by_subject, by_address, .. } = &*self.0;
        let subject = asker.subject.map(Key::of_subject);
        let address = asker.address.map(Key::of_address);
        if address.is_none() && (caps.per_address.is_some() || by_address.is_some()) {
            self.tell_once();
        }
        for (rate, key) in [(by_address, address), (by_subject, subject)] {
            if let (Some(rate), Some(key)) = (rate, key) {
                rate.check(key).map_err(Over::Rate)?;
            }
        }
        // Only what has a cap is counted by name.
        let subject = subject.filter(|_| caps.per_subject.is_some());
        let address = address.filter(|_| caps.per_address.is_some());
        let topics = topics.filter(|_| caps.per_topic.is_some()).map(Key::of_topic).collect();
        Place::take(self, subject, address, topics)
    }

    /// Whether one request may ask for so many topics.
    pub(crate) fn check_topics(&self, topics: usize) -> Result<(), Over> {
        match self.0.caps.topics {
            Some(most) if topics > most => Err(Over::Topics { most }),
            _ => Ok(()),
        }
    }

    /// Who is believed when it says where a client is.
    pub(crate) fn proxies(&self) -> Option<&TrustedProxies> {
        self.0.proxies.as_ref()
    }

    /// Whether a browser is answered as everybody else.
    pub(crate) fn gives_browsers_the_status(&self) -> bool {
        self.0.status_for_browsers
    }

    /// Whether both are one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn tell_once(&self) {
        if !self.0.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("a client's address is not known here: no limit by address applies to it");
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Two are equal if they are one.
impl PartialEq for Limits {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl Eq for Limits {}

/// Numbers alone: neither who nor from where.
impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = |rate: &Option<Rate>| rate.as_ref().map_or(0, Rate::len);
        f.debug_struct("Limits")
            .field("caps", &self.0.caps)
            .field("open", &*self.0.lock())
            .field("recent_subjects", &keys(&self.0.by_subject))
            .field("recent_addresses", &keys(&self.0.by_address))
            .finish_non_exhaustive()
    }
}
