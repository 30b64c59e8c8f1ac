//! [`Reauthorize`]: the application's own function that is asked again while streams are open.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{runtime::Handle, sync::Semaphore, task::JoinHandle, time::timeout};

use super::identity::Identity;
use crate::{
    recheck::{Answer, Ask, Patience, Question, Recheck},
    topic::{Topic, Topics},
};

/// How many are asked about at once: a database is not to be asked about all streams in the same moment.
const AT_ONCE: usize = 32;

type Function = dyn Fn(Identity, Option<Topics>) -> Pin<Box<dyn Future<Output = Option<Option<Identity>>> + Send>>
    + Send
    + Sync;

/// Whom to ask, and how often.
#[derive(Clone)]
pub(super) struct Reauthorize {
    function: Arc<Function>,
    every: Duration,
    patience: Patience,
    at_once: Arc<Semaphore>,
}

impl Reauthorize {
    pub(super) fn new<F, A, E>(every: Duration, function: F) -> Self
    where
        F: Fn(Identity, Option<Topics>) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Option<Identity>, E>> + Send + 'static,
        E: fmt::Display,
    {
        let function = move |identity, topics| {
            let answer = function(identity, topics);
            let logged = async {
                let failed = |error: &E| {
                    tracing::warn!(%error, "whether an event stream may go on could not be told");
                };
                answer.await.inspect_err(failed).ok()
            };
            Box::pin(logged) as Pin<Box<dyn Future<Output = _> + Send>>
        };
        Self {
            function: Arc::new(function),
            every: every.clamp(Duration::from_secs(1), Duration::from_secs(86_400)),
            patience: Patience::default(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The same, and answers are waited for so long.
    pub(super) fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    /// For a stream of these topics that is about to open.
    pub(super) fn recheck(&self, identity: Identity, topics: Option<&Topics>, now: SystemTime) -> Recheck {
        let about = About { reauthorize: self.clone(), identity, topics: topics.cloned() };
        Recheck::new(Box::new(about), self.every, self.patience, now)
    }
}

impl fmt::Debug for Reauthorize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reauthorize").field("every", &self.every).finish_non_exhaustive()
    }
}

/// One stream, of which is asked.
struct About {
    reauthorize: Reauthorize,
    identity: Identity,
    topics: Option<Topics>,
}

impl Ask for About {
    fn ask(&self) -> Question {
        let Reauthorize { function, at_once, patience, .. } = self.reauthorize.clone();
        let (identity, topics) = (self.identity.clone(), self.topics.clone());
        let work = async move {
            // Never closed.
            let _turn = at_once.acquire().await;
            let asked = function(identity.clone(), topics.clone());
            // Without a runtime there are no timers; then the stream looks at the clock when it is polled.
            let answered = match Handle::try_current() {
                Ok(_) => timeout(patience.timeout, asked).await.ok(),
                Err(_) => Some(asked.await),
            };
            match answered {
                None => Answer::Late,
                Some(None) => Answer::Unknown,
                Some(Some(None)) => Answer::Denied,
                Some(Some(Some(now))) => answer(&identity, topics, now),
            }
        };
        // By itself: the body of a client that reads nothing is not polled, and would keep its turn for ever.
        match Handle::try_current() {
            Ok(runtime) => {
                let mut task = Task(runtime.spawn(work));
                Box::pin(async move { (&mut task.0).await.unwrap_or(Answer::Unknown) })
            }
            Err(_) => Box::pin(work),
        }
    }
}

/// Ends with whoever waits for it.
struct Task(JoinHandle<Answer>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What somebody may still have.
fn answer(before: &Identity, topics: Option<Topics>, now: Identity) -> Answer {
    if before.subject() != now.subject() {
        tracing::error!("whether an event stream may go on was answered for somebody else");
        return Answer::Denied;
    }
    let (stamp, granted) = now.into_parts();
    let is_lost = |topic: &Topic| !granted.allows(topic);
    let lost = topics.iter().flatten().filter(|topic| is_lost(topic)).cloned().collect();
    Answer::Still { ends_at: stamp.ends_at, lost }
}
