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

/// How long is waited for answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For one, before it is asked anew.
    pub(crate) timeout: Duration,
    /// How long a stream may be open without one.
    pub(crate) grace: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), grace: Duration::from_secs(60) }
    }
}

/// How long after an error it is asked again, at the latest.
const AGAIN: Duration = Duration::from_secs(10);

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
    /// Who was asked could not tell.
    Unknown,
    /// There was no answer in time.
    Late,
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
    patience: Patience,
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
    pub(crate) fn new(ask: Box<dyn Ask>, every: Duration, patience: Patience, now: SystemTime) -> Self {
        Self { ask, every, patience, next: now + spread(every), asking: None, unknown_since: None }
    }

    /// Whether it has something to do.
    pub(crate) fn is_due(&self, now: SystemTime) -> bool {
        // Further ahead than it can be: the clock was set back.
        self.asking.is_some() || now >= self.next || self.next > now + self.every || self.is_given_up(now)
    }

    /// When it must be looked at again.
    pub(crate) fn wake_at(&self) -> SystemTime {
        let next = self.asking.as_ref().map_or(self.next, |asking| asking.since + self.patience.timeout);
        self.unknown_since.map_or(next, |since| next.min(since + self.patience.grace))
    }

    /// Whether there was no answer for too long.
    fn is_given_up(&self, now: SystemTime) -> bool {
        self.unknown_since.is_some_and(|since| now >= since + self.patience.grace)
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: SystemTime) -> Verdict {
        // Where the clock was set back, it is as if there had been none from now on.
        self.unknown_since = self.unknown_since.map(|since| since.min(now));
        if !self.is_due(now) {
            return Verdict::Go;
        }
        let answer = loop {
            let ask = &self.ask;
            let asking =
                self.asking.get_or_insert_with(|| Asking { since: now, question: Mutex::new(ask.ask()) });
            let question = asking.question.get_mut().unwrap_or_else(PoisonError::into_inner);
            let late = match question.as_mut().poll(cx) {
                Poll::Ready(Answer::Late) => true,
                Poll::Ready(answer) => break answer,
                // Or the clock was set back.
                Poll::Pending => !(asking.since..asking.since + self.patience.timeout).contains(&now),
            };
            let since = asking.since;
            if !late {
                return if self.is_given_up(now) { Verdict::End } else { Verdict::Wait };
            }
            // No answer is none that lets it go on: it is asked anew, and nothing is sent meanwhile.
            tracing::warn!("whether an event stream may go on was not answered in time");
            self.asking = None;
            self.unknown_since.get_or_insert_with(|| since.min(now));
            if self.is_given_up(now) {
                return Verdict::End;
            }
        };
        self.asking = None;
        match answer {
            Answer::Still { ends_at, lost } => {
                self.unknown_since = None;
                self.next = now + spread(self.every);
                Verdict::Still { ends_at, lost }
            }
            Answer::Denied => Verdict::End,
            Answer::Unknown | Answer::Late => {
                self.unknown_since.get_or_insert(now);
                self.next = now + spread(self.every.min(AGAIN));
                if self.is_given_up(now) { Verdict::End } else { Verdict::Go }
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
