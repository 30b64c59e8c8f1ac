//! [`Store`]: the tickets that are out, and the sessions that came of others.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use super::{
    claims::Claims,
    cookie::CookieKind,
    credential::Shown,
    denial::Denial,
    digest::Digest,
    per_subject::PerSubject,
    revocation::Revocations,
    ticket::{LIFETIME, Ticket, Tickets, cookie_name, random},
};
use crate::{clock::Clock, topic::Topics};

/// How many there may be at a time, in all and of one subject.
#[derive(Clone, Copy)]
struct Limits {
    tickets: (usize, usize),
    sessions: (usize, usize),
}

const LIMITS: Limits = Limits { tickets: (100_000, 32), sessions: (100_000, 64) };

/// How long a session is kept while no stream of it is open, and how long even where there is no room.
const IDLE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(30));

/// How many cookies one answer takes back: proxies keep 4 KiB for the header fields of an answer.
const CLEARED: usize = 8;

/// How much is cleared away in one go.
const AT_A_TIME: usize = 32;

/// The tickets that are out, and the sessions that came of others.
pub(super) struct Store {
    tickets: Tickets,
    cookies: CookieKind,
    limits: Limits,
    clock: Clock,
    revocations: Revocations,
    state: Mutex<Shelves>,
}

#[derive(Default)]
struct Shelves {
    /// By the hash of the ticket; the rank is when it was made.
    pending: PerSubject<Issued>,
    /// By the hash of ticket and cookie; the rank is since when no stream is open, and higher while one is.
    sessions: PerSubject<Session>,
    opened: u64,
}

/// What a ticket, or the session that came of it, opens.
#[derive(Clone)]
struct Issued {
    claims: Claims,
    topics: Topics,
    path: Arc<str>,
    until: SystemTime,
}

struct Session {
    issued: Issued,
    /// Of which ticket it came: the cookie is nothing without it.
    ticket: Digest,
    streams: usize,
}

/// The rank of a session with an open stream is beyond this.
const OPEN: u64 = 1 << 63;

/// A ticket, or the session that came of it, that was good.
pub(super) struct Redeemed {
    pub(super) claims: Claims,
    pub(super) topics: Topics,
    /// To be set by the answer: that of the session last.
    pub(super) cookies: Vec<String>,
    pub(super) session: Option<SessionKey>,
}

impl Store {
    pub(super) fn new(
        tickets: Tickets,
        cookies: CookieKind,
        clock: Clock,
        revocations: Revocations,
    ) -> Arc<Self> {
        Arc::new(Self { tickets, cookies, limits: LIMITS, clock, revocations, state: Mutex::default() })
    }

    /// A ticket for a path, or for that of the settings.
    pub(super) fn issue(
        &self,
        claims: &Claims,
        path: Option<&str>,
        topics: &Topics,
    ) -> Result<Ticket, Denial> {
        let ticket = random();
        let now = self.clock.now();
        let until = (now + LIFETIME).min(claims.stamp().ends_at);
        let path = path.unwrap_or(&self.tickets.path).into();
        let issued = Issued { claims: claims.clone(), topics: topics.clone(), path, until };
        let owner = claims.stamp().subject_key;
        let mut state = self.lock();
        for _ in 0..AT_A_TIME {
            if state.pending.pop_below(micros(now - LIFETIME)).is_none() {
                break;
            }
        }
        let (all, each) = self.limits.tickets;
        state.pending.pop_of(owner, each);
        if state.pending.len() >= all {
            return Err(Denial::Full);
        }
        state.pending.insert(ticket_key(&ticket), owner, micros(now), issued);
        Ok(Ticket(ticket))
    }

    /// Uses a ticket, or comes back with the cookie that its use has set. Whose token was revoked is told so, as long
    /// as the session is remembered.
    pub(super) fn redeem(self: &Arc<Self>, shown: &Shown) -> Result<Redeemed, Denial> {
        let now = self.clock.now();
        let fits = |issued: &Issued| issued.until > now && *issued.path == *shown.path && shown.is_read;
        let mut state = self.lock();
        if !shown.sessions.is_empty() {
            // Both together: a cookie opens nothing but the URL of its own ticket.
            let mut keys = shown.sessions.iter().map(|session| session_key(&shown.tag, session));
            let found = keys.find_map(|key| Some((key, state.sessions.find(&key)?)));
            let is_good =
                |session: &Session| session.ticket == ticket_key(&shown.ticket) && fits(&session.issued);
            let (key, session) = found.filter(|(_, session)| is_good(session)).ok_or(USED)?;
            let Issued { claims, topics, .. } = session.issued.clone();
            self.revocations.check(claims.stamp())?;
            let session = Some(SessionKey { store: Arc::downgrade(self), key });
            return Ok(Redeemed { claims, topics, cookies: Vec::new(), session });
        }
        let key = ticket_key(&shown.ticket);
        let issued = state.pending.find(&key).filter(|issued| fits(issued)).ok_or(USED)?;
        let Issued { claims, topics, .. } = issued.clone();
        self.revocations.check(claims.stamp())?;
        if shown.is_head {
            return Ok(Redeemed { claims, topics, cookies: Vec::new(), session: None });
        }
        // Room first: a ticket is not used up by being told to come back.
        let dropped = state.make_room(claims.stamp().subject_key, self.limits.sessions, now)?;
        let (cookie, session) = self.start(&mut state, &key, shown, now)?;
        drop(state);
        drop(dropped);
        let mut cookies = self.cleared(shown);
        cookies.push(cookie);
        Ok(Redeemed { claims, topics, cookies, session: Some(session) })
    }

    /// Makes a session of a ticket; its cookie.
    fn start(
        self: &Arc<Self>,
        state: &mut Shelves,
        key: &Digest,
        shown: &Shown,
        now: SystemTime,
    ) -> Result<(String, SessionKey), Denial> {
        let mut issued = state.pending.remove(key).ok_or(USED)?;
        let stamp = Arc::clone(issued.claims.stamp());
        issued.until = stamp.ends_at;
        let secret = random();
        let session = SessionKey { store: Arc::downgrade(self), key: session_key(&shown.tag, &secret) };
        let path = format!("{}{}", self.tickets.prefix, issued.path);
        let age = issued.until.duration_since(now).unwrap_or_default();
        let session_data = Session { issued, ticket: *key, streams: 0 };
        state.sessions.insert(session.key, stamp.subject_key, micros(now), session_data);
        let name = cookie_name(self.tickets.cookie_prefix(self.cookies), &shown.tag);
        Ok((self.cookies.set(&name, &secret, &path, age), session))
    }

    /// Takes back the cookies of sessions that have gone. A browser keeps them, a page load after another, until its
    /// requests are too large for servers, and pushes out others of the site for them.
    fn cleared(&self, shown: &Shown) -> Vec<String> {
        // Hashed before the lock is taken: a browser may have many.
        let others = shown.others.iter().filter(|(tag, _)| is_tag(tag));
        let mut others: Vec<_> = others.map(|(tag, secret)| (tag, session_key(tag, secret))).collect();
        let state = self.lock();
        others.retain(|(_, key)| state.sessions.find(key).is_none());
        drop(state);
        let path = format!("{}{}", self.tickets.prefix, shown.path);
        let prefix = self.tickets.cookie_prefix(self.cookies);
        let clear = |tag| self.cookies.set(&cookie_name(prefix, tag), "", &path, Duration::ZERO);
        others.into_iter().take(CLEARED).map(|(tag, _)| clear(tag)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    /// Makes room for one more session of this subject: what nobody has used for long goes, else the oldest of the
    /// same subject. What goes is dropped by the caller.
    fn make_room(
        &mut self,
        owner: Digest,
        (all, each): (usize, usize),
        now: SystemTime,
    ) -> Result<Vec<Session>, Denial> {
        let idle = |least: Duration| micros(now - least).min(OPEN);
        let mut gone: Vec<Session> =
            (0..AT_A_TIME).map_while(|_| self.sessions.pop_below(idle(IDLE.0))).collect();
        gone.extend(self.sessions.pop_of(owner, each));
        if self.sessions.len() >= all {
            gone.extend(self.sessions.pop_below(idle(IDLE.1)));
        }
        if self.sessions.len() < all { Ok(gone) } else { Err(Denial::Full) }
    }
}

/// Which session it is.
#[derive(Clone)]
pub(super) struct SessionKey {
    store: Weak<Store>,
    key: Digest,
}

impl SessionKey {
    /// Takes note of an open stream, until that is dropped.
    pub(super) fn open(&self) -> OpenSession {
        if let Some(store) = self.store.upgrade() {
            let mut state = store.lock();
            state.opened += 1;
            let rank = OPEN | state.opened;
            if let Some(session) = state.sessions.find_mut(&self.key) {
                session.streams += 1;
                state.sessions.rank(&self.key, rank);
            }
        }
        OpenSession(self.clone())
    }

    fn close(&self) {
        let Some(store) = self.store.upgrade() else {
            return;
        };
        let now = micros(store.clock.now());
        let mut state = store.lock();
        if let Some(session) = state.sessions.find_mut(&self.key) {
            session.streams -= 1;
            if session.streams == 0 {
                state.sessions.rank(&self.key, now);
            }
        }
    }
}

/// A session in use.
pub(super) struct OpenSession(SessionKey);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.close();
    }
}

const USED: Denial = Denial::Invalid("the ticket is used, expired, for another stream or none");

fn ticket_key(ticket: &str) -> Digest {
    Digest::of(&["ticket", ticket])
}

/// By the tag in the name of the cookie, and its value.
fn session_key(tag: &str, secret: &str) -> Digest {
    Digest::of(&["session", tag, secret])
}

fn is_tag(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Microseconds since 1970.
fn micros(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::stamp::Stamp, *};

    fn claims(subject: &str) -> Claims {
        let stamp = Stamp {
            subject: subject.into(),
            subject_key: Digest::of_subject(subject),
            id: None,
            key: Digest::of_signed(subject),
            session: None,
            session_id: None,
            issued_at: Some(900.0),
            expires_at: SystemTime::UNIX_EPOCH + Duration::from_secs(2000),
            ends_at: SystemTime::UNIX_EPOCH + Duration::from_secs(2030),
        };
        Claims::new(stamp, None, Vec::new())
    }

    fn store(limits: Limits) -> (Arc<Store>, Arc<Mutex<u64>>) {
        let seconds = Arc::new(Mutex::new(1000));
        let shared = Arc::clone(&seconds);
        let clock = Clock::new(move || SystemTime::UNIX_EPOCH + Duration::from_secs(*shared.lock().unwrap()));
        let revocations = Revocations::new(clock.clone(), Duration::from_secs(3600), Duration::from_secs(30));
        let mut store = Store::new(Tickets::new("/events"), CookieKind::Insecure, clock, revocations);
        Arc::get_mut(&mut store).unwrap().limits = limits;
        (store, seconds)
    }

    fn issue(store: &Store, subject: &str) -> Result<Ticket, Denial> {
        store.issue(&claims(subject), None, &Topics::new(["news"]).unwrap())
    }

    fn redeem(store: &Arc<Store>, ticket: &Ticket) -> Result<Redeemed, Denial> {
        let ticket = ticket.as_str().to_owned();
        let tag = crate::auth::ticket::tag(&ticket);
        let path = "/events".to_owned();
        store.redeem(&Shown {
            ticket,
            tag,
            sessions: Vec::new(),
            others: Vec::new(),
            path,
            is_read: true,
            is_head: false,
        })
    }

    #[test]
    fn a_ticket_that_finds_no_room_is_not_used_up() {
        let (store, seconds) = store(Limits { tickets: (10, 5), sessions: (2, 2) });
        let ada = redeem(&store, &issue(&store, "ada").unwrap()).unwrap();
        let _open = ada.session.unwrap().open();
        let bob = redeem(&store, &issue(&store, "bob").unwrap()).unwrap();
        *seconds.lock().unwrap() += 20;
        // Bob's is closed, but may be on its way back.
        let ticket = issue(&store, "eve").unwrap();
        assert_eq!(redeem(&store, &ticket).map(|_| ()), Err(Denial::Full));
        *seconds.lock().unwrap() += 11;
        let ticket_too = issue(&store, "eve").unwrap();
        assert!(redeem(&store, &ticket_too).is_ok(), "what is closed makes room at last");
        let again = issue(&store, "eve").unwrap();
        *seconds.lock().unwrap() -= 15;
        assert!(redeem(&store, &ticket).is_err(), "no room again");
        assert_eq!(store.lock().pending.len(), 2);
        drop((bob, again));
    }

    #[test]
    fn tickets_that_ran_out_make_room() {
        let (store, seconds) = store(Limits { tickets: (3, 2), sessions: (2, 2) });
        for subject in ["ada", "ada", "bob"] {
            issue(&store, subject).unwrap();
        }
        assert_eq!(issue(&store, "eve").map(|_| ()), Err(Denial::Full));
        assert!(issue(&store, "ada").is_ok(), "in place of her own");
        *seconds.lock().unwrap() += 31;
        assert!(issue(&store, "eve").is_ok());
        assert_eq!(store.lock().pending.len(), 1);
    }

    #[test]
    fn what_is_revoked_is_told_so_and_makes_room_like_what_is_idle() {
        let (store, seconds) = store(Limits { tickets: (10, 5), sessions: (2, 2) });
        let (unused, ticket) = (issue(&store, "ada").unwrap(), issue(&store, "ada").unwrap());
        let open = redeem(&store, &ticket).unwrap().session.unwrap().open();
        redeem(&store, &issue(&store, "eve").unwrap()).unwrap();
        store.revocations.revoke_token(&claims("ada"));
        store.revocations.revoke_subject("eve");
        assert_eq!(redeem(&store, &unused).map(|_| ()), Err(Denial::Revoked));
        drop(open);
        *seconds.lock().unwrap() += 31;
        assert!(redeem(&store, &issue(&store, "bob").unwrap()).is_ok());
        assert_eq!(store.lock().sessions.len(), 2);
    }
}
