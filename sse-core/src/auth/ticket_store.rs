//! [`Store`]: how tickets are issued and used.

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
    opens::Opens,
    others::Others,
    revocation::Revocations,
    said::Said,
    shelves::{Issued, LIMITS, Limits, Session, Shelves},
    ticket::{LIFETIME, Ticket, Tickets, cookie_name, random},
    waiters::Waiters,
};
use crate::{clock::Clock, topic::Topics};

/// How many cookies one answer takes back: proxies keep 4 KiB for the header fields of an answer.
const CLEARED: usize = 8;

/// How many requests may wait for word of another node at a time: of tickets that this one does not know, and of what
/// became of those that it does.
const WAITERS: (usize, usize) = (1_000, 100_000);

/// The tickets that are out, the sessions that came of others, and what all of them are made by.
pub(super) struct Store {
    pub(super) tickets: Tickets,
    pub(super) cookies: CookieKind,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    pub(super) revocations: Revocations,
    pub(super) unknown: Waiters,
    pub(super) undecided: Waiters,
    state: Mutex<Shelves>,
}

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
        let (unknown, undecided) = (Waiters::new(WAITERS.0), Waiters::new(WAITERS.1));
        let state = Mutex::default();
        Arc::new(Self { tickets, cookies, limits: LIMITS, clock, revocations, unknown, undecided, state })
    }

    /// A ticket for a path, or for that of the settings. Where there are other nodes, they know it when this is ready.
    pub(super) async fn issue(
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
        let key = ticket_key(&ticket);
        let Some(others) = self.others().joined() else {
            self.lock().put_ticket(key, issued, self.limits, now)?;
            return Ok(Ticket(ticket));
        };
        if !self.lock().has_room_for_ticket(claims.stamp().subject_key, self.limits, now) {
            return Err(Denial::Full);
        }
        let lifetime_ms = until.duration_since(now).unwrap_or_default().as_millis();
        let lifetime_ms = u64::try_from(lifetime_ms).unwrap_or(u64::MAX);
        let opens = Opens::new(claims, topics, &issued.path);
        let told = others.tell(Said::Issued { ticket: key, lifetime_ms, opens }).await;
        told.map_err(|_| Denial::Away)?;
        self.lock().put_told_ticket(key, issued, self.limits, now);
        Ok(Ticket(ticket))
    }

    /// Uses a ticket, or comes back with the cookie that its use has set. Whose token was revoked is told so, as long
    /// as the session is remembered.
    pub(super) async fn redeem(self: &Arc<Self>, shown: &Shown) -> Result<Redeemed, Denial> {
        match self.others().joined() {
            Some(others) => self.redeem_among(&others, shown).await,
            None if shown.sessions.is_empty() => self.redeem_here(shown),
            None => self.come_back(shown),
        }
    }

    /// By the cookie of a session.
    pub(super) fn come_back(self: &Arc<Self>, shown: &Shown) -> Result<Redeemed, Denial> {
        let now = self.clock.now();
        let state = self.lock();
        // Both together: a cookie opens nothing but the URL of its own ticket.
        let mut keys = session_keys(shown);
        let found = keys.find_map(|key| Some((key, state.sessions.find(&key)?)));
        let is_good = |session: &Session| {
            session.ticket == ticket_key(&shown.ticket) && fits(&session.issued, shown, now)
        };
        let (key, session) = found.filter(|(_, session)| is_good(session)).ok_or(USED)?;
        let Issued { claims, topics, .. } = session.issued.clone();
        self.revocations.check(claims.stamp())?;
        let session = Some(SessionKey { store: Arc::downgrade(self), key });
        Ok(Redeemed { claims, topics, cookies: Vec::new(), session })
    }

    /// Uses a ticket of this process, which is alone.
    fn redeem_here(self: &Arc<Self>, shown: &Shown) -> Result<Redeemed, Denial> {
        let now = self.clock.now();
        let key = ticket_key(&shown.ticket);
        let mut state = self.lock();
        let issued = state.pending.find(&key).filter(|issued| fits(issued, shown, now)).ok_or(USED)?;
        let Issued { claims, topics, .. } = issued.clone();
        self.revocations.check(claims.stamp())?;
        if shown.is_head {
            return Ok(Redeemed { claims, topics, cookies: Vec::new(), session: None });
        }
        // Room first: a ticket is not used up by being told to come back.
        let dropped = state.make_room(claims.stamp().subject_key, self.limits, now)?;
        let issued = state.pending.remove(&key).ok_or(USED)?;
        let secret = random();
        let session = session_key(&shown.tag, &secret);
        state.put_session(session, Session::new(issued, key), now);
        drop(state);
        drop(dropped);
        Ok(self.redeemed(claims, topics, shown, &secret, now))
    }

    /// What a good ticket opens, and the cookie of the session that came of it.
    pub(super) fn redeemed(
        self: &Arc<Self>,
        claims: Claims,
        topics: Topics,
        shown: &Shown,
        secret: &str,
        now: SystemTime,
    ) -> Redeemed {
        let path = format!("{}{}", self.tickets.prefix, shown.path);
        let age = claims.stamp().ends_at.duration_since(now).unwrap_or_default();
        let name = cookie_name(self.tickets.cookie_prefix(self.cookies), &shown.tag);
        let mut cookies = self.cleared(shown);
        cookies.push(self.cookies.set(&name, secret, &path, age));
        let session = SessionKey { store: Arc::downgrade(self), key: session_key(&shown.tag, secret) };
        Redeemed { claims, topics, cookies, session: Some(session) }
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

    fn opened(&self, session: &Digest) {
        self.lock().opened(session);
    }

    fn closed(&self, session: &Digest) {
        let now = self.clock.now();
        self.lock().closed(session, now);
    }

    pub(super) fn others(&self) -> &Others {
        self.revocations.others()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shelves> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it opens what is asked for.
pub(super) fn fits(issued: &Issued, shown: &Shown, now: SystemTime) -> bool {
    issued.until > now && *issued.path == *shown.path && shown.is_read
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
            store.opened(&self.key);
        }
        OpenSession(self.clone())
    }
}

/// A session in use.
pub(super) struct OpenSession(SessionKey);

impl Drop for OpenSession {
    fn drop(&mut self) {
        if let Some(store) = self.0.store.upgrade() {
            store.closed(&self.0.key);
        }
    }
}

pub(super) const USED: Denial = Denial::Invalid("the ticket is used, expired, for another stream or none");

pub(super) fn ticket_key(ticket: &str) -> Digest {
    Digest::of(&["ticket", ticket])
}

/// By the tag in the name of the cookie, and its value.
pub(super) fn session_key(tag: &str, secret: &str) -> Digest {
    Digest::of(&["session", tag, secret])
}

/// Those that a request may come back with.
pub(super) fn session_keys(shown: &Shown) -> impl Iterator<Item = Digest> {
    shown.sessions.iter().map(|session| session_key(&shown.tag, session))
}

fn is_tag(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

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
        store.issue(&claims(subject), None, &Topics::new(["news"]).unwrap()).now_or_never().unwrap()
    }

    fn redeem(store: &Arc<Store>, ticket: &Ticket) -> Result<Redeemed, Denial> {
        let ticket = ticket.as_str().to_owned();
        let tag = crate::auth::ticket::tag(&ticket);
        let path = "/events".to_owned();
        let (sessions, others) = (Vec::new(), Vec::new());
        let shown = Shown { ticket, tag, sessions, others, path, is_read: true, is_head: false };
        store.redeem(&shown).now_or_never().unwrap()
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
        store.revocations.revoke_token(&claims("ada")).now_or_never().unwrap().unwrap();
        store.revocations.revoke_subject("eve").now_or_never().unwrap().unwrap();
        assert_eq!(redeem(&store, &unused).map(|_| ()), Err(Denial::Revoked));
        drop(open);
        *seconds.lock().unwrap() += 31;
        assert!(redeem(&store, &issue(&store, "bob").unwrap()).is_ok());
        assert_eq!(store.lock().sessions.len(), 2);
    }
}
