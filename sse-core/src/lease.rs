//! [`Lease`]: until when an authorised stream may be open, and [`Access`]: what a stream asks of whoever
//! authorised it.
//!
//! The stream stands below authorisation and knows nothing of tokens: it has this, or nothing.
#![cfg_attr(not(feature = "auth"), expect(dead_code, reason = "without authorisation nothing is leased"))]

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use crate::{
    clock::Clock,
    end_reason::EndReason,
    event::{self, Event},
    frame::Frame,
    lifecycle::{Release, Seat},
    recheck::{Recheck, Verdict},
    refusal::{Field, Refusal},
    topic::Topics,
};

/// As good as never, and nothing overflows.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// What an authorised request brings to the opening of a stream.
pub(crate) trait Access: fmt::Debug + Send + Sync {
    /// Refuses topics that are not granted.
    fn admit(&self, topics: &Topics) -> Result<(), Refusal>;

    /// Takes note of a stream of these topics that is about to open. Refuses what was revoked meanwhile.
    fn lease(&self, topics: Option<&Topics>) -> Result<Lease, Refusal>;

    /// Who asks; nothing where nobody knows.
    fn subject(&self) -> Option<&str>;

    /// Whether what is revoked is known to all nodes of a hub.
    fn is_shared(&self) -> bool;

    /// Header fields for every answer.
    fn headers(&self) -> &[Field];
}

/// Ends one open stream from elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    revoked: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// The stream's place among the open ones.
    seat: OnceLock<Seat>,
    /// Takes the stream off the list of those that can be revoked.
    entry: Mutex<Option<Box<dyn Any + Send + Sync>>>,
}

impl Signal {
    /// Returns whom to wake for it.
    #[must_use]
    pub(crate) fn revoke(&self) -> Option<Waker> {
        self.revoked.store(true, Ordering::SeqCst);
        if let Some(seat) = self.seat.get() {
            seat.end();
        }
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// What an authorised stream holds while it is open.
#[derive(Debug)]
pub(crate) struct Lease {
    clock: Clock,
    ends_at: SystemTime,
    /// How long before the end the client is told of it.
    notice: Option<Duration>,
    /// When that is; taken once told.
    notice_at: Option<SystemTime>,
    /// Asks whether the stream may go on.
    recheck: Option<Recheck>,
    /// The earliest of these on the stream's own clock, reckoned anew whenever it has passed.
    wake_at: Option<Instant>,
    signal: Arc<Signal>,
}

impl Release for Arc<Signal> {
    fn release(&self, _: Option<EndReason>) {
        let entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(entry);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.signal.release(None);
    }
}

impl Lease {
    pub(crate) fn new(
        clock: Clock,
        ends_at: SystemTime,
        notice: Option<Duration>,
        signal: Arc<Signal>,
        entry: Box<dyn Any + Send + Sync>,
    ) -> Self {
        let notice_at = notice.and_then(|before| ends_at.checked_sub(before));
        *signal.entry.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        Self { clock, ends_at, notice, notice_at, recheck: None, wake_at: None, signal }
    }

    /// The same, and asked again while it lasts.
    pub(crate) fn with_recheck(mut self, recheck: Option<Recheck>) -> Self {
        self.recheck = recheck;
        self
    }

    /// What is to be freed without the stream, and how whoever revokes it has that done.
    pub(crate) fn holding(&self, seat: Seat) -> Box<dyn Release> {
        let seat = self.signal.seat.get_or_init(|| seat);
        // It may have been revoked just before.
        if self.is_revoked() {
            seat.end();
        }
        Box::new(Arc::clone(&self.signal))
    }

    /// When it ends, on the stream's own clock.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.ends_at.duration_since(self.clock.now()).unwrap_or_default().min(FAR)
    }

    /// Whether somebody is, or is to be, asked whether the stream may go on.
    pub(crate) fn is_questioned(&self) -> bool {
        self.recheck.as_ref().is_some_and(|recheck| recheck.is_due(self.clock.now()))
    }

    /// Asks, where it is time to. A new end is noted here; topics that are lost are the caller's to leave.
    pub(crate) fn recheck(&mut self, cx: &mut Context<'_>) -> Verdict {
        let Some(recheck) = &mut self.recheck else {
            return Verdict::Go;
        };
        let was_questioned = recheck.is_due(self.clock.now());
        let verdict = recheck.poll(cx, self.clock.now());
        if was_questioned {
            self.wake_at = None;
        }
        match &verdict {
            Verdict::Still { ends_at, .. } if *ends_at != self.ends_at => {
                self.ends_at = *ends_at;
                self.notice_at = self.notice.and_then(|before| ends_at.checked_sub(before));
            }
            // Whoever polls next finds it so, too.
            Verdict::End => self.end(),
            _ => {}
        }
        verdict
    }

    /// Whether nothing more may be sent. The wall clock is asked every time: the one that timers go by stands
    /// still while a machine sleeps.
    pub(crate) fn is_over(&self) -> bool {
        self.is_revoked() || self.clock.now() >= self.ends_at
    }

    /// Nothing more is sent.
    pub(crate) fn end(&mut self) {
        self.ends_at = SystemTime::UNIX_EPOCH;
    }

    /// Why it is over.
    pub(crate) fn end_reason(&self) -> EndReason {
        match self.is_revoked() || self.ends_at == SystemTime::UNIX_EPOCH {
            true => EndReason::Revoked,
            false => EndReason::Expired,
        }
    }

    pub(crate) fn is_revoked(&self) -> bool {
        self.signal.revoked.load(Ordering::SeqCst)
    }

    /// The event that announces the end, when it is due, once.
    pub(crate) fn notice(&mut self) -> Option<Frame> {
        let at = self.notice_at?;
        let now = self.clock.now();
        if now < at {
            return None;
        }
        self.notice_at = None;
        self.wake_at = None;
        let left = self.ends_at.duration_since(now).unwrap_or_default().as_secs();
        Some(Frame::from(Event::reserved(event::AUTH, format!("{{\"expires_in\":{left}}}"))))
    }

    /// When the stream must look again, on its own clock.
    pub(crate) fn wake_at(&mut self, now: Instant) -> Instant {
        if let Some(at) = self.wake_at.filter(|at| *at > now) {
            return at;
        }
        let next = self.notice_at.map_or(self.ends_at, |notice| notice.min(self.ends_at));
        let next = self.recheck.as_ref().map_or(next, |recheck| recheck.wake_at().min(next));
        let left = next.duration_since(self.clock.now()).unwrap_or_default();
        let at = now + left.min(FAR);
        self.wake_at = Some(at);
        at
    }

    /// Wakes this task when the stream is revoked.
    pub(crate) fn register(&self, waker: &Waker) {
        let fresh = Some(waker.clone());
        let old =
            std::mem::replace(&mut *self.signal.waker.lock().unwrap_or_else(PoisonError::into_inner), fresh);
        drop(old);
        // It may have been revoked just before.
        if self.signal.revoked.load(Ordering::SeqCst) {
            waker.wake_by_ref();
        }
    }
}
