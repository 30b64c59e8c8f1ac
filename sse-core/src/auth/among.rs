//! [`Store`]: how a ticket is used where several nodes could use it, once among all of them.
//!
//! Whoever would use it says so in the engine's log, with a nonce. The first to do so has used it: the log is the same
//! for all, and each node finds there whether it was itself. An answer of the engine that is lost changes nothing in that.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    credential::Shown,
    denial::Denial,
    digest::Digest,
    opens::Opens,
    others::Joined,
    said::Said,
    shelves::{Issued, Session},
    spent::Use,
    ticket::{is_ticket, random},
    ticket_store::{Redeemed, Store, USED, fits, session_key, session_keys, ticket_key},
};
use crate::nodes::{ShareError, Told};

/// How long a ticket or a cookie that is not known is waited for: the notice of it may be on its way.
const UNKNOWN: Duration = Duration::from_secs(1);

/// How long what has been said may take to come back.
const UNDECIDED: Duration = Duration::from_secs(3);

/// For how long nodes that start later are told of a session: streams end within hours, and come back to one of them.
const KEPT: Duration = Duration::from_secs(86_400);

impl Store {
    pub(super) async fn redeem_among(
        self: &Arc<Self>,
        others: &Joined,
        shown: &Shown,
    ) -> Result<Redeemed, Denial> {
        let key = ticket_key(&shown.ticket);
        if !shown.sessions.is_empty() {
            let is_known = || {
                let state = self.lock();
                session_keys(shown).any(|session| state.sessions.find(&session).is_some())
            };
            self.unknown.until(key, UNKNOWN, is_known).await;
            return self.come_back(shown);
        }
        let is_known = || {
            let state = self.lock();
            state.pending.find(&key).is_some() || state.spent.find(&key).is_some()
        };
        if shown.is_read && is_ticket(&shown.ticket) {
            self.unknown.until(key, UNKNOWN, is_known).await;
        }
        let now = self.clock.now();
        let issued = self.lock().pending.find(&key).filter(|issued| fits(issued, shown, now)).cloned();
        let issued = issued.ok_or(USED)?;
        self.revocations.check(issued.claims.stamp())?;
        let Issued { claims, topics, .. } = issued.clone();
        if shown.is_head {
            return Ok(Redeemed { claims, topics, cookies: Vec::new(), session: None });
        }
        if others.is_away() {
            return Err(Denial::Away);
        }
        // Room first: a ticket is not used up by being told to come back.
        if !self.lock().has_room_for_told(self.limits, now) {
            return Err(Denial::Full);
        }
        let (secret, nonce) = (random(), Digest::random());
        let session = session_key(&shown.tag, &secret);
        if self.use_up(others, key, nonce, session, &issued).await? {
            Ok(self.redeemed(claims, topics, shown, &secret, self.clock.now()))
        } else {
            Err(USED)
        }
    }

    /// Says that this ticket is used, and finds out whether it was by this.
    async fn use_up(
        &self,
        others: &Joined,
        ticket: Digest,
        nonce: Digest,
        session: Digest,
        issued: &Issued,
    ) -> Result<bool, Denial> {
        let found = || self.lock().spent.find(&ticket);
        let is_first_here = self.lock().in_use.insert(ticket);
        if !is_first_here {
            // Somebody else does it on this node. Were that to fail, this one may try again.
            return match self.unknown.until(ticket, UNDECIDED, || found().is_some()).await {
                true => Ok(false),
                false => Err(Denial::Away),
            };
        }
        let _in_use = InUse { store: self, ticket };
        let opens = Opens::new(&issued.claims, &issued.topics, &issued.path);
        let said = Said::Used { ticket, nonce, session, opens };
        let left = issued.claims.stamp().ends_at.duration_since(self.clock.now()).unwrap_or_default();
        // Everybody who connects has one, and what was revoked needs the room.
        let keep = others.keep(&["session", &session.to_string()], left.min(KEPT)).optional();
        let key = others.name(&["ticket", &ticket.to_string()]);
        match others.tell_as(&key, said, Some(keep)).await {
            Err(ShareError::NotShared) => return Err(Denial::Away),
            // In doubt the log knows.
            Ok(()) | Err(ShareError::Unknown) => {}
        }
        self.undecided.until(ticket, UNDECIDED, || found().is_some()).await;
        let first = found().ok_or(Denial::Away)?;
        Ok(first == Use { nonce, was_good: true })
    }

    /// What a node has said of its tickets, this one included.
    pub(super) fn told(&self, said: Said, when: Told) {
        match said {
            Said::Issued { ticket, lifetime_ms, opens } => {
                let Told::Ago(age) = when else {
                    return;
                };
                let left = Duration::from_millis(lifetime_ms).checked_sub(age);
                let (Some(left), Some((claims, topics, path))) = (left, opens.read()) else {
                    return;
                };
                let now = self.clock.now();
                let until = now.checked_add(left).unwrap_or(now);
                let issued = Issued { claims, topics, path, until };
                self.lock().put_told_ticket(ticket, issued, self.limits, now);
                self.unknown.wake(&ticket);
            }
            Said::Used { ticket, nonce, session, opens } => {
                if let Some((claims, topics, path)) = opens.read() {
                    let until = claims.stamp().ends_at;
                    self.used(ticket, nonce, session, Issued { claims, topics, path, until });
                }
                self.unknown.wake(&ticket);
                self.undecided.wake(&ticket);
            }
            _ => {}
        }
    }

    fn used(&self, ticket: Digest, nonce: Digest, session: Digest, issued: Issued) {
        let now = self.clock.now();
        let mut state = self.lock();
        let pending = state.pending.remove(&ticket);
        let first = Use { nonce, was_good: pending.is_some() };
        // One that was forgotten in the meantime has a session still.
        let is_first =
            state.spent.note(ticket, first, Instant::now()) && state.sessions.find(&session).is_none();
        if !is_first || issued.until <= now {
            return;
        }
        let gone = state.make_room_for_told(issued.claims.stamp().subject_key, self.limits, now);
        if gone.is_some() {
            state.put_session(session, Session::new(issued, ticket), now);
        } else {
            tracing::warn!("no room for what came of a ticket: its client cannot come back to this node");
        }
        drop(state);
        // What goes may hold much, and is dropped without the lock.
        drop((gone, pending));
    }

    /// Tickets that are out may have been used already, and nobody knows.
    pub(super) fn void(&self) {
        let tickets = self.lock().pending.take();
        if tickets.len() > 0 {
            tracing::warn!(
                tickets = tickets.len(),
                "the engine has lost something: tickets that were not used yet are void"
            );
        }
    }
}

/// A ticket that this node is using.
struct InUse<'a> {
    store: &'a Store,
    ticket: Digest,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.store.lock().in_use.remove(&self.ticket);
    }
}
