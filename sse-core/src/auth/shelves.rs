//! [`Shelves`]: the tickets that are out, and the sessions that came of others.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    claims::Claims, denial::Denial, digest::Digest, per_subject::PerSubject, spent::Spent, ticket::LIFETIME,
};
use crate::topic::Topics;

/// How many there may be at a time, in all and of one subject.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) tickets: (usize, usize),
    pub(super) sessions: (usize, usize),
}

pub(super) const LIMITS: Limits = Limits { tickets: (100_000, 32), sessions: (100_000, 64) };

/// How long a session is kept while no stream of it is open, and how long even where there is no room.
const IDLE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(30));

/// How much is cleared away in one go.
const AT_A_TIME: usize = 32;

/// The rank of a session with an open stream is beyond this.
const OPEN: u64 = 1 << 63;

/// Plain data: no clock and no lock.
#[derive(Default)]
pub(super) struct Shelves {
    /// By the hash of the ticket; the rank is when it was made.
    pub(super) pending: PerSubject<Issued>,
    /// By the hash of ticket and cookie; the rank is since when no stream is open, and higher while one is.
    pub(super) sessions: PerSubject<Session>,
    opened: u64,
    /// The tickets that were used, where other nodes could try to.
    pub(super) spent: Spent,
    /// Those that this node is using.
    pub(super) in_use: HashSet<Digest>,
    /// Look for sessions that have run out once there are as many.
    sweep_at: usize,
}

/// What a ticket, or the session that came of it, opens.
#[derive(Clone)]
pub(super) struct Issued {
    pub(super) claims: Claims,
    pub(super) topics: Topics,
    pub(super) path: Arc<str>,
    pub(super) until: SystemTime,
}

impl Issued {
    fn owner(&self) -> Digest {
        self.claims.stamp().subject_key
    }
}

pub(super) struct Session {
    pub(super) issued: Issued,
    /// Of which ticket it came: the cookie is nothing without it.
    pub(super) ticket: Digest,
    streams: usize,
}

impl Session {
    /// As long as the token, once the ticket is used.
    pub(super) fn new(mut issued: Issued, ticket: Digest) -> Self {
        issued.until = issued.claims.stamp().ends_at;
        Self { issued, ticket, streams: 0 }
    }
}

impl Shelves {
    /// Whether there is room for one more ticket, once those that ran out and the oldest of the same subject are gone.
    pub(super) fn has_room_for_ticket(&mut self, owner: Digest, limits: Limits, now: SystemTime) -> bool {
        for _ in 0..AT_A_TIME {
            if self.pending.pop_below(micros(now - LIFETIME)).is_none() {
                break;
            }
        }
        let (all, each) = limits.tickets;
        self.pending.pop_of(owner, each);
        self.pending.len() < all
    }

    /// Puts a ticket on the shelf.
    pub(super) fn put_ticket(
        &mut self,
        ticket: Digest,
        issued: Issued,
        limits: Limits,
        now: SystemTime,
    ) -> Result<(), Denial> {
        if !self.has_room_for_ticket(issued.owner(), limits, now) {
            return Err(Denial::Full);
        }
        self.pending.insert(ticket, issued.owner(), micros(now), issued);
        Ok(())
    }

    /// The same for one that another node has told of, or this one itself: once, and not when it was used. It has room,
    /// for the one that has issued it has said so.
    pub(super) fn put_told_ticket(
        &mut self,
        ticket: Digest,
        issued: Issued,
        limits: Limits,
        now: SystemTime,
    ) {
        if self.spent.find(&ticket).is_some() || self.pending.find(&ticket).is_some() {
            return;
        }
        if !self.has_room_for_ticket(issued.owner(), limits, now) {
            self.pending.pop_below(u64::MAX);
        }
        self.pending.insert(ticket, issued.owner(), micros(now), issued);
    }

    /// Makes room for one more session of this subject: what nobody has used for long goes, else the oldest of the
    /// same subject. What goes is dropped by the caller.
    pub(super) fn make_room(
        &mut self,
        owner: Digest,
        limits: Limits,
        now: SystemTime,
    ) -> Result<Vec<Session>, Denial> {
        let (all, each) = limits.sessions;
        let mut gone: Vec<Session> =
            (0..AT_A_TIME).map_while(|_| self.sessions.pop_below(idle(now, IDLE.0))).collect();
        gone.extend(self.sessions.pop_of(owner, each));
        if self.sessions.len() >= all {
            gone.extend(self.sessions.pop_below(idle(now, IDLE.1)));
        }
        if self.sessions.len() < all { Ok(gone) } else { Err(Denial::Full) }
    }

    /// Whether there would be room for one more session, on all nodes as far as this one knows.
    pub(super) fn has_room_for_told(&self, limits: Limits, now: SystemTime) -> bool {
        let lowest = self.sessions.lowest();
        self.sessions.len() < limits.sessions.0 || lowest.is_some_and(|rank| rank < idle(now, IDLE.1))
    }

    /// Makes room for a session that the other nodes have too. Whether a stream of one is open on another node is not
    /// known here, and so none goes for having been idle: it goes when its token has expired, and where there is no room
    /// the one that was not used here for longest.
    pub(super) fn make_room_for_told(
        &mut self,
        owner: Digest,
        limits: Limits,
        now: SystemTime,
    ) -> Option<Vec<Session>> {
        let (all, each) = limits.sessions;
        let mut gone = Vec::new();
        if self.sessions.len() >= self.sweep_at.max(1024).min(all) {
            gone = self.sessions.take_if(|session| session.issued.until <= now);
            self.sweep_at = self.sessions.len() * 2;
        }
        gone.extend(self.sessions.pop_of(owner, each));
        if self.sessions.len() >= all {
            gone.extend(self.sessions.pop_below(OPEN));
        }
        (self.sessions.len() < all).then_some(gone)
    }

    pub(super) fn put_session(&mut self, key: Digest, session: Session, now: SystemTime) {
        self.sessions.insert(key, session.issued.owner(), micros(now), session);
    }

    /// A stream of a session is open.
    pub(super) fn opened(&mut self, session: &Digest) {
        self.opened += 1;
        let rank = OPEN | self.opened;
        if let Some(found) = self.sessions.find_mut(session) {
            found.streams += 1;
            self.sessions.rank(session, rank);
        }
    }

    /// One of them has ended.
    pub(super) fn closed(&mut self, session: &Digest, now: SystemTime) {
        if let Some(found) = self.sessions.find_mut(session) {
            found.streams = found.streams.saturating_sub(1);
            if found.streams == 0 {
                self.sessions.rank(session, micros(now));
            }
        }
    }
}

/// The rank of what has been idle for so long.
fn idle(now: SystemTime, least: Duration) -> u64 {
    micros(now - least).min(OPEN)
}

/// Microseconds since 1970.
fn micros(time: SystemTime) -> u64 {
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
}
