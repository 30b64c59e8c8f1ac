//! [`AuthBuilder`]: what an [`Auth`] does.

use std::{
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    Auth, Identity, Inner, config_error::ConfigError, origin::Origins, reauthorize::Reauthorize,
    revocation::Revocations,
};
#[cfg(feature = "jwt")]
use super::{
    cookie::CookieKind,
    credential::Sources,
    grant::Grants,
    ticket::Tickets,
    ticket_store::Store,
    tokens::Tokens,
    verifier::{LEEWAY, Verifier},
};
use crate::{clock::Clock, recheck::Patience, topic::Topics};

/// How long a revocation is remembered where nothing says how long a session can live.
const SESSION_LIFETIME: Duration = Duration::from_secs(31 * 86_400);

/// What an [`Auth`] does.
#[derive(Clone, Debug, Default)]
pub struct AuthBuilder {
    #[cfg(feature = "jwt")]
    tokens: TokenSettings,
    origins: Vec<String>,
    hosts: Vec<String>,
    notice: Option<Duration>,
    reauthorize: Option<Reauthorize>,
    patience: Patience,
    clock: Option<Clock>,
}

#[cfg(feature = "jwt")]
#[derive(Clone, Debug, Default)]
struct TokenSettings {
    verifier: Option<Verifier>,
    cookie: Cookie,
    insecure: bool,
    cross_site: bool,
    query: bool,
    grants: Grants,
    tickets: Option<Tickets>,
}

#[cfg(feature = "jwt")]
#[derive(Clone, Debug, Default)]
enum Cookie {
    #[default]
    Default,
    Named(String),
    None,
}

#[cfg(feature = "jwt")]
impl Auth {
    /// Everything but the verifier has a default: a cookie named `__Host-sse_token`, no tickets, no token in the
    /// query, no topics granted, no other origins.
    pub fn builder(verifier: Verifier) -> AuthBuilder {
        AuthBuilder::new(verifier)
    }
}

#[cfg(feature = "jwt")]
impl AuthBuilder {
    pub(super) fn new(verifier: Verifier) -> Self {
        let tokens = TokenSettings { verifier: Some(verifier), ..TokenSettings::default() };
        Self { tokens, ..Self::default() }
    }

    /// The cookie with the token (default `__Host-sse_token`, which no other host can set).
    ///
    /// Without the prefix `__Host-`, a neighbour under the same domain can set one of the same name; of several the
    /// one with a good token counts.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.tokens.cookie = Cookie::Named(name.into());
        self
    }

    /// No cookie is looked at.
    #[must_use]
    pub fn no_cookie(mut self) -> Self {
        self.tokens.cookie = Cookie::None;
        self
    }

    /// **Cookies without `Secure`**, for a server without TLS on a loopback address, and default names without a
    /// prefix: `sse_token` and `sse_ticket`. Anywhere else whoever listens on the way reads the token.
    #[must_use]
    pub fn insecure_for_loopback(mut self) -> Self {
        self.tokens.insecure = true;
        self
    }

    /// Cookies that browsers send for pages of other sites too: `SameSite=None; Secure; Partitioned`. For pages of
    /// [allowed origins](Self::allowed_origins) on another site, which ask with credentials
    /// (`new EventSource(url, {withCredentials: true})`); for those of the same site it is not needed.
    ///
    /// Each site has cookies of its own: whoever signed in at one is not signed in at the others. Requests of
    /// origins that are not listed are refused as ever.
    #[must_use]
    pub fn cross_site_cookies(mut self) -> Self {
        self.tokens.cross_site = true;
        self
    }

    /// Also takes a token from `?access_token=`. **For old clients alone**: URLs end up in logs, and
    /// [RFC 9700 §4.3.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.3.2) forbids it. Tickets are made for
    /// this.
    #[must_use]
    pub fn allow_query_token(mut self) -> Self {
        self.tokens.query = true;
        self
    }

    /// Which topics a token opens (default: none).
    #[must_use]
    pub fn grants(mut self, grants: Grants) -> Self {
        self.tokens.grants = grants;
        self
    }

    /// Turns tickets on.
    #[must_use]
    pub fn tickets(mut self, tickets: Tickets) -> Self {
        self.tokens.tickets = Some(tickets);
        self
    }
}

impl AuthBuilder {
    /// Other origins whose pages may use a cookie and read the answers: as browsers write them,
    /// `https://app.example`, with the port unless it is the usual one. There is no wildcard.
    #[must_use]
    pub fn allowed_origins<S: Into<String>>(mut self, origins: impl IntoIterator<Item = S>) -> Self {
        self.origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// The hosts that this server is; a request for another gets a 421 (default: whatever is asked for).
    ///
    /// For servers on a loopback address or in a house's network, which another site's page could reach under a
    /// name of its own (DNS rebinding). A host without a port stands for all of its ports.
    #[must_use]
    pub fn allowed_hosts<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Sends an event `sse-auth` with the data `{"expires_in":20}` so long before a stream ends with its token,
    /// in seconds that are left: a page can renew its cookie by then, and its reconnect loses nothing
    /// (default: no event).
    #[must_use]
    pub fn expiry_notice(mut self, before: Duration) -> Self {
        self.notice = Some(before);
        self
    }

    /// Asks again, so often while a stream is open, whether it may go on: `function` is given who was let in and the
    /// stream's topics, none for one of the application's own events, and says who that is now.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sse_core::{Auth, Identity, TopicError, Topics};
    /// # #[derive(Clone)] struct Store;
    /// # impl Store { async fn topics_of(&self, _: &str) -> Result<Option<Vec<String>>, TopicError> { Ok(None) } }
    ///
    /// # fn f(store: Store) -> Result<Auth, sse_core::ConfigError> {
    /// Auth::sessions()
    ///     .reauthorize_every(Duration::from_secs(60), move |client: Identity, _: Option<Topics>| {
    ///         let store = store.clone();
    ///         async move {
    ///             let topics = store.topics_of(client.subject()).await?;
    ///             topics.map(|topics| Identity::new(client.subject()).topics(topics)).transpose()
    ///         }
    ///     })
    ///     .build()
    /// # }
    /// ```
    ///
    /// - Topics that are granted no longer leave the stream, without a reconnect; one that has none left ends. New ones
    ///   do not come by this.
    /// - `Ok(None)` ends it. It is no revocation: the client comes back, and is the application's to judge.
    /// - From the moment when it is due to be asked nothing more is sent until it has answered. What was due is not lost:
    ///   it is sent then, or to the client that comes back.
    /// - An error is an answer, and no denial: the stream goes on, and it is asked again within ten seconds. A function
    ///   that panics has failed.
    /// - Where there is no answer within [ten seconds](Self::reauthorize_timeout), it is asked anew.
    /// - A stream that nobody could tell anything of for [a minute](Self::reauthorize_grace) ends; its client comes back.
    ///
    /// Each stream is asked about at its own time, between 80 and 100 % of `every` (at least one second) after the last,
    /// and no more than 32 at once.
    #[must_use]
    pub fn reauthorize_every<F, A, E>(mut self, every: Duration, function: F) -> Self
    where
        F: Fn(Identity, Option<Topics>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Option<Identity>, E>> + Send + 'static,
        E: fmt::Display,
    {
        self.reauthorize = Some(Reauthorize::new(every, function));
        self
    }

    /// How long an answer of [`reauthorize_every`](Self::reauthorize_every) is waited for, before it is asked anew, within
    /// 100 ms and one minute (default 10 s). The time until its turn is part of it.
    #[must_use]
    pub fn reauthorize_timeout(mut self, timeout: Duration) -> Self {
        self.patience.timeout = timeout.clamp(Duration::from_millis(100), Duration::from_secs(60));
        self
    }

    /// For how long a stream is open without an answer of [`reauthorize_every`](Self::reauthorize_every), up to one day
    /// (default 1 min): while a database is away, say. It is reckoned from the first error, or from when the first
    /// question without an answer was asked, which is waited for in any case; with zero, an error ends the stream.
    #[must_use]
    pub fn reauthorize_grace(mut self, grace: Duration) -> Self {
        self.patience.grace = grace.min(Duration::from_secs(86_400));
        self
    }

    /// The wall clock by which sessions are judged and streams expire (default: the system's; with a verifier, its
    /// own). For tests.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Some(Clock::new(now));
        self
    }

    /// Checks the settings and builds.
    ///
    /// # Errors
    /// [`ConfigError`] for a name, path, origin or host that is not one, and for cookies that no browser would take.
    pub fn build(self) -> Result<Auth, ConfigError> {
        let clock = self.clock.unwrap_or_else(Clock::system);
        #[cfg(not(feature = "jwt"))]
        let revocations = Revocations::new(clock.clone(), SESSION_LIFETIME, Duration::ZERO);
        #[cfg(feature = "jwt")]
        let (revocations, tokens, clock) = self.tokens.build(clock)?;
        Ok(Auth(Arc::new(Inner {
            #[cfg(feature = "jwt")]
            tokens,
            origins: Origins::new(self.origins, self.hosts)?,
            revocations,
            clock,
            notice: self.notice,
            reauthorize: self.reauthorize.map(|reauthorize| reauthorize.with_patience(self.patience)),
        })))
    }
}

#[cfg(feature = "jwt")]
impl TokenSettings {
    fn build(self, clock: Clock) -> Result<(Revocations, Option<Tokens>, Clock), ConfigError> {
        let Some(verifier) = self.verifier else {
            return Ok((Revocations::new(clock.clone(), SESSION_LIFETIME, Duration::ZERO), None, clock));
        };
        let cookies = match (self.insecure, self.cross_site) {
            (false, false) => CookieKind::SameSite,
            (false, true) => CookieKind::CrossSite,
            (true, false) => CookieKind::Insecure,
            (true, true) => return Err(ConfigError::InsecureCookie),
        };
        let default = if self.insecure { "sse_token" } else { "__Host-sse_token" };
        let (cookie_name, is_read) = match self.cookie {
            Cookie::Default => (default.to_owned(), true),
            Cookie::Named(name) => (name, true),
            Cookie::None => (default.to_owned(), false),
        };
        let ticket_cookie = self.tickets.as_ref().map(|tickets| tickets.cookie_prefix(cookies).to_owned());
        for name in [Some(&cookie_name), ticket_cookie.as_ref()].into_iter().flatten() {
            cookies.check(name)?;
        }
        // The prefix is for cookies of all paths.
        let is_host = ticket_cookie.as_ref().is_some_and(|name| name.starts_with("__Host-"));
        if is_host || self.tickets.as_ref().is_some_and(|tickets| !tickets.is_valid()) {
            return Err(ConfigError::Cookie);
        }
        let sources =
            Sources { cookie: is_read.then(|| cookie_name.clone()), ticket_cookie, query: self.query };
        let clock = verifier.clock().clone();
        let revocations = Revocations::new(clock.clone(), verifier.max_lifetime(), LEEWAY);
        let store = |tickets| Store::new(tickets, cookies, clock.clone(), revocations.clone());
        let tickets = self.tickets.map(store);
        let tokens = Tokens { verifier, sources, grants: self.grants, tickets, cookies, cookie_name };
        Ok((revocations, Some(tokens), clock))
    }
}
