//! [`Tickets`]: one-time tickets, for a native `EventSource` that can bear no header.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};

use super::{claims::Claims, denial::Denial};
use crate::{lease::Clock, topic::Topics};

/// How long a ticket can be used.
const LIFETIME: Duration = Duration::from_secs(30);

/// Most tickets at a time, in all and of one subject.
const MAX_TICKETS: (usize, usize) = (10_000, 32);

/// Most sessions at a time, in all and of one subject.
const MAX_SESSIONS: (usize, usize) = (20_000, 64);

/// How one-time tickets are used: which paths they open, and with which cookie.
///
/// A page that may not have a cookie of the server, or a server on another origin, gets a ticket with its token
/// and opens `/events?ticket=…`. A ticket is 128 random bits, good for 30 s and one use, for one subject and the
/// topics it was made for; only its hash is kept. Its use sets a cookie, for that path and that ticket alone, so
/// that the browser's own reconnect to the same URL is let in until the token expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tickets {
    path: String,
    cookie: String,
}

impl Tickets {
    /// Tickets for the streams under this path, as the browser sees it: `/events`.
    pub fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), cookie: "__Secure-sse_ticket".to_owned() }
    }

    /// What the names of the cookies begin with (default `__Secure-sse_ticket`). A name with `__Secure-` needs
    /// TLS; on a loopback address without it, take a plain one.
    #[must_use]
    pub fn cookie(mut self, name: impl Into<String>) -> Self {
        self.cookie = name.into();
        self
    }

    pub(super) fn cookie_prefix(&self) -> &str {
        &self.cookie
    }

    pub(super) fn is_valid(&self) -> bool {
        let is_path = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b';';
        is_cookie_name(&self.cookie)
            && !self.cookie.starts_with("__Host-")
            && self.path.starts_with('/')
            && self.path.bytes().all(is_path)
    }
}

/// A one-time ticket. `Debug` does not show it.
#[derive(Clone)]
pub struct Ticket(String);

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

/// The tickets that are out, and the sessions that came of others.
pub(super) struct Store {
    tickets: Tickets,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pending: HashMap<[u8; 32], Pass>,
    sessions: HashMap<[u8; 32], Pass>,
}

#[derive(Clone)]
struct Pass {
    claims: Claims,
    topics: Topics,
    until: SystemTime,
}

/// What a ticket, or the session that came of it, opens.
pub(super) struct Redeemed {
    pub(super) claims: Claims,
    pub(super) topics: Topics,
    /// To be set by the answer.
    pub(super) cookie: Option<String>,
}

impl Store {
    pub(super) fn new(tickets: Tickets, clock: Clock) -> Self {
        Self { tickets, clock, state: Mutex::default() }
    }

    pub(super) fn issue(&self, claims: &Claims, topics: &Topics) -> Result<Ticket, Denial> {
        let ticket = random();
        let now = self.clock.now();
        let until = (now + LIFETIME).min(claims.stamp().ends_at);
        let pass = Pass { claims: claims.clone(), topics: topics.clone(), until };
        let mut state = self.lock();
        if !has_room(&mut state.pending, MAX_TICKETS, claims, now) {
            return Err(Denial::Full);
        }
        state.pending.insert(hash(&[&ticket]), pass);
        Ok(Ticket(ticket))
    }

    /// Uses a ticket, or comes back with the cookie that its use has set.
    pub(super) fn redeem(&self, ticket: &str, session: Option<&str>) -> Result<Redeemed, Denial> {
        let now = self.clock.now();
        let mut state = self.lock();
        if let Some(session) = session {
            // Both together: a cookie opens nothing but the URL of its own ticket.
            let pass = state.sessions.get(&hash(&[ticket, session])).filter(|pass| pass.until > now);
            let Pass { claims, topics, .. } = pass.cloned().ok_or(USED)?;
            return Ok(Redeemed { claims, topics, cookie: None });
        }
        let mut pass = state.pending.remove(&hash(&[ticket])).filter(|pass| pass.until > now).ok_or(USED)?;
        pass.until = pass.claims.stamp().ends_at;
        if !has_room(&mut state.sessions, MAX_SESSIONS, &pass.claims, now) {
            return Err(Denial::Full);
        }
        let session = random();
        state.sessions.insert(hash(&[ticket, &session]), pass.clone());
        drop(state);
        let name = cookie_name(&self.tickets.cookie, ticket);
        let age = pass.until.duration_since(now).unwrap_or_default();
        let cookie = set_cookie(&name, &session, &self.tickets.path, age);
        Ok(Redeemed { claims: pass.claims, topics: pass.topics, cookie: Some(cookie) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const USED: Denial = Denial::Invalid("the ticket is used, expired or none");

/// Whether one more of this subject has room, after what has run out was taken away.
fn has_room<K: Eq + Hash>(
    passes: &mut HashMap<K, Pass>,
    (all, each): (usize, usize),
    claims: &Claims,
    now: SystemTime,
) -> bool {
    let of_subject = |passes: &HashMap<K, Pass>| {
        passes.values().filter(|pass| pass.claims.subject() == claims.subject()).count()
    };
    if passes.len() >= each && (passes.len() >= all || of_subject(passes) >= each) {
        passes.retain(|_, pass| pass.until > now);
        return passes.len() < all && of_subject(passes) < each;
    }
    true
}

/// The cookie of a ticket: one each, so that the tabs of a browser do not take each other's.
pub(super) fn cookie_name(prefix: &str, ticket: &str) -> String {
    hash(&["cookie", ticket])
        .iter()
        .take(6)
        .fold(format!("{prefix}_"), |name, byte| name + &format!("{byte:02x}"))
}

pub(super) fn set_cookie(name: &str, value: &str, path: &str, age: Duration) -> String {
    let secure = if name.starts_with("__") { "; Secure" } else { "" };
    let age = age.as_secs();
    format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

/// A token of RFC 6265.
pub(super) fn is_cookie_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_letter)
}

/// 128 random bits, as 32 letters and digits.
fn random() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn hash(parts: &[&str]) -> [u8; 32] {
    let separated = |hash: Sha256, part: &&str| hash.chain_update(part).chain_update([0]);
    parts.iter().fold(Sha256::new(), separated).finalize().into()
}
