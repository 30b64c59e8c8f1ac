//! [`Tickets`]: one-time tickets, for a native `EventSource` that can bear no header.

use std::{fmt, time::Duration};

use super::{cookie::CookieKind, digest::Digest};

/// How long a ticket can be used.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// How one-time tickets are used: which stream they open, and with which cookie.
///
/// A page that may not have a cookie of the server, or a server on another origin, gets a ticket with its token
/// and opens `/events?ticket=…`. A ticket is 128 random bits, good for 30 s and one use: a GET of one path, for one
/// subject and the topics it was made for. It opens nothing else. Only its hash is kept. Its use sets a cookie, for
/// that path and that ticket alone, so that the browser's own reconnect to the same URL is let in, until the token
/// expires or is revoked, or no stream was open for five minutes.
///
/// A subject may have 32 tickets and 64 such sessions; with one more, its oldest is gone.
///
/// **On several nodes**, whose hub has an engine and [shares](crate::EngineHubBuilder::share) the `Auth`, a ticket is good
/// on each, once among all of them, and so is its cookie: until the token expires, for whether a stream is open elsewhere
/// is not known; on a node that starts later for a day. While the engine is away no ticket is issued or used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tickets {
    pub(super) path: String,
    pub(super) prefix: String,
    cookie: Option<String>,
}

impl Tickets {
    /// Tickets for the stream at this path, as this server sees it: `/events`.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), prefix: String::new(), cookie: None }
    }

    /// What stands before the path where browsers see it, for a proxy that takes it off: `/api`, where it sends
    /// `/api/events` here as `/events`. The cookies are for that path.
    #[must_use]
    pub fn public_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What the names of the cookies begin with (default `__Secure-sse_ticket`; `sse_ticket` where cookies are
    /// [not secure](crate::AuthBuilder::insecure_for_loopback)).
    #[must_use]
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.cookie = Some(name.into());
        self
    }

    pub(super) fn cookie_prefix(&self, kind: CookieKind) -> &str {
        let default = if kind.is_secure() { "__Secure-sse_ticket" } else { "sse_ticket" };
        self.cookie.as_deref().unwrap_or(default)
    }

    pub(super) fn is_valid(&self) -> bool {
        is_path(&self.path) && (self.prefix.is_empty() || is_path(&self.prefix))
    }
}

/// One that can stand in a cookie too.
pub(super) fn is_path(path: &str) -> bool {
    let is_letter = |byte: u8| matches!(byte, b'!'..=b'~') && !b";?#".contains(&byte);
    path.starts_with('/') && path.bytes().all(is_letter)
}

/// A one-time ticket. `Debug` does not show it.
#[derive(Clone)]
pub struct Ticket(pub(super) String);

impl Ticket {
    /// The value for `?ticket=`: letters and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How long it can be used.
    pub fn expires_in(&self) -> Duration {
        LIFETIME
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// The cookie of a ticket with this tag: one each, so that the tabs of a browser do not take each other's.
pub(super) fn cookie_name(prefix: &str, tag: &str) -> String {
    format!("{prefix}_{tag}")
}

/// By what a ticket's cookie is named.
pub(super) fn tag(ticket: &str) -> String {
    let digest = Digest::of(&["cookie", ticket]);
    digest.bytes().iter().take(6).fold(String::new(), |tag, byte| tag + &format!("{byte:02x}"))
}

/// How many letters and digits a ticket has.
pub(super) const LEN: usize = 32;

/// Whether it has the form of one.
pub(super) fn is_ticket(text: &str) -> bool {
    text.len() == LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// 128 random bits, as [`LEN`] hexadecimal digits.
pub(super) fn random() -> String {
    format!("{:032x}", rand::random::<u128>())
}
