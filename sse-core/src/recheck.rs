//! [`Recheck`]: asks again, while a stream is open, whether it may go on.
//!
//! The stream stands below whoever knows the answer: it has this, or nothing.
#![cfg_attr(not(feature = "auth"), expect(dead_code, reason = "without authorisation nobody is asked"))]

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use crate::topic::Topic;

/// How long an answer is waited for before it counts as none.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long after no answer it is asked again, at the latest.
const AGAIN: Duration = Duration::from_secs(10);

/// How long a stream goes on without an answer.
const TOLERANCE: Duration = Duration::from_secs(60);

/// Who is asked.
pub(crate) trait Ask: Send + Sync {
    fn ask(&self) -> Question;
}

pub(crate) type Question = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What comes of it.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It may go on until then, without these topics.
    Still { ends_at: SystemTime, lost: Vec<Topic> },
    /// It may not.
    Denied,
    /// Nobody could tell.
    Unknown,
}

/// What a stream is to do.
#[derive(Debug)]
pub(crate) enum Verdict {
    Go,
    /// Send nothing until there is an answer.
    Wait,
    /// Leave these topics, and go on until then.
    Still {
        ends_at: SystemTime,
        lost: Vec<Topic>,
    },
    End,
}

pub(crate) struct Recheck {
    ask: Box<dyn Ask>,
    every: Duration,
    /// When it is asked the next time.
    next: SystemTime,
    asking: Option<Asking>,
    /// Since when there has been no answer.
    unknown_since: Option<SystemTime>,
}

struct Asking {
    since: SystemTime,
    // Never locked: a future need not be `Sync`, and a stream is.
    question: Mutex<Question>,
}

impl Recheck {
    pub(crate) fn new(ask: Box<dyn Ask>, every: Duration, now: SystemTime) -> Self {
        Self { ask, every, next: now + spread(every), asking: None, unknown_since: None }
    }

    /// Whether it has something to do.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        // Further ahead than it can be: the clock was set back.
        self.asking.is_some() || now >= self.next || self.next > now + self.every
    }

    /// When it must be looked at again.
    pub(crate) fn wake_at(&self) -> SystemTime {
        self.asking.as_ref().map_or(self.next, |asking| asking.since + PATIENCE)
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: SystemTime) -> Verdict {
        if !self.is_due(now) {
            return Verdict::Go;
        }
        let ask = &self.ask;
        let asking =
            self.asking.get_or_insert_with(|| Asking { since: now, question: Mutex::new(ask.ask()) });
        let question = asking.question.get_mut().unwrap_or_else(PoisonError::into_inner);
        let answer = match question.as_mut().poll(cx) {
            Poll::Ready(answer) => answer,
            // A clock that was set back has it asked anew.
            Poll::Pending if now >= asking.since + PATIENCE || now < asking.since => {
                tracing::warn!("whether an event stream may go on was not answered in time");
                Answer::Unknown
            }
            // Who was let go on without an answer is not held up for the next.
            Poll::Pending if self.unknown_since.is_some() => return Verdict::Go,
            Poll::Pending => return Verdict::Wait,
        };
        self.asking = None;
        match answer {
            Answer::Still { ends_at, lost } => {
                self.unknown_since = None;
                self.next = now + spread(self.every);
                Verdict::Still { ends_at, lost }
            }
            Answer::Denied => Verdict::End,
            Answer::Unknown => {
                let since = *self.unknown_since.get_or_insert(now);
                if now >= since + TOLERANCE {
                    return Verdict::End;
                }
                self.next = now + spread(self.every.min(AGAIN));
                Verdict::Go
            }
        }
    }
}

/// Not all streams at once.
fn spread(every: Duration) -> Duration {
    every.mul_f64(rand::random_range(0.8..=1.0))
}

impl fmt::Debug for Recheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recheck").field("every", &self.every).finish_non_exhaustive()
    }
}
