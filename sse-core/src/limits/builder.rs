//! [`LimitsBuilder`]: which limits there are.

use std::sync::Arc;

use super::{Caps, Inner, Limits, proxies::TrustedProxies, rate::Rate};

/// Sets [`Limits`], each of which there is none of by default.
#[derive(Clone, Debug, Default)]
pub struct LimitsBuilder {
    caps: Caps,
    connects_by_subject: Option<u32>,
    connects_by_address: Option<u32>,
    proxies: Option<TrustedProxies>,
    status_for_browsers: bool,
}

impl LimitsBuilder {
    /// How many streams may be open at a time. Who comes over it is answered 503.
    ///
    /// A little less than the process may have files open, or it is the listener that fails.
    #[must_use]
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.caps.streams = Some(streams);
        self
    }

    /// How many streams one subject may have open at a time: whom a token or the application's session names. A request
    /// that nobody has authorised has no subject, and neither has a token without `sub`. Who comes over it is answered
    /// 429.
    #[must_use]
    pub fn max_streams_per_subject(mut self, streams: usize) -> Self {
        self.caps.per_subject = Some(streams);
        self
    }

    /// How many streams one address may have open at a time. Who comes over it is answered 429.
    ///
    /// An address of IPv6 is its network of 64 bits, since whoever has one has all of it; an address of IPv4 may be a
    /// whole company or a mobile carrier. Behind a proxy all clients have the proxy's, unless
    /// [`trusted_proxies`](Self::trusted_proxies) says whom to believe. To a client whose address is not known, over a
    /// Unix socket for one, this does not apply.
    #[must_use]
    pub fn max_streams_per_address(mut self, streams: usize) -> Self {
        self.caps.per_address = Some(streams);
        self
    }

    /// How many streams may be open at a time of each topic; one of several topics counts in each. Who comes over it is
    /// answered 503. Topics that are added to an open stream do not count.
    #[must_use]
    pub fn max_streams_per_topic(mut self, streams: usize) -> Self {
        self.caps.per_topic = Some(streams);
        self
    }

    /// How many topics one request may have, wherever they come from. One with more is answered 400, to browsers too,
    /// for coming back would not help. A query string names at most
    /// [`MAX_TOPICS_PER_QUERY`](crate::MAX_TOPICS_PER_QUERY) in any case.
    #[must_use]
    pub fn max_topics_per_request(mut self, topics: usize) -> Self {
        self.caps.topics = Some(topics);
        self
    }

    /// How many streams one [subject](Self::max_streams_per_subject) may open in a minute, at least one. As many may come
    /// at once; then one for each part of the minute. Who comes over it is answered 429.
    #[must_use]
    pub fn max_connects_per_minute_by_subject(mut self, connects: u32) -> Self {
        self.connects_by_subject = Some(connects);
        self
    }

    /// How many streams one [address](Self::max_streams_per_address) may open in a minute, as
    /// [`max_connects_per_minute_by_subject`](Self::max_connects_per_minute_by_subject).
    #[must_use]
    pub fn max_connects_per_minute_by_address(mut self, connects: u32) -> Self {
        self.connects_by_address = Some(connects);
        self
    }

    /// Whose word counts for where a client is (default: nobody's, its address is that at the other end of the
    /// connection).
    ///
    /// Requests are read by the limits of their server's [`Lifecycle`](crate::Lifecycle); what those of an endpoint say
    /// here has no effect.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.proxies = Some(proxies);
        self
    }

    /// Whether a browser's `EventSource` over one of these limits is answered with the status, as everybody else is
    /// (default: no, it is answered 200 with a stream that ends at once and says when to come back).
    ///
    /// **It does not come back then**: to it any status but 200 is the end. For pages that open a new one by themselves
    /// after an `error` with `readyState` at `CLOSED`, and where whoever counts answers by their status in front of the
    /// server must see these.
    #[must_use]
    pub fn status_for_browsers(mut self, on: bool) -> Self {
        self.status_for_browsers = on;
        self
    }

    /// The limits, with nothing counted yet.
    pub fn build(self) -> Limits {
        Limits(Arc::new(Inner {
            caps: self.caps,
            counts: Default::default(),
            by_subject: self.connects_by_subject.map(Rate::per_minute),
            by_address: self.connects_by_address.map(Rate::per_minute),
            proxies: self.proxies,
            status_for_browsers: self.status_for_browsers,
            told: Default::default(),
        }))
    }
}
