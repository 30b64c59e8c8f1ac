//! Jobs that take a while and tell how far they are: what the `progress` examples share. Copy it, and put a job of your
//! own in the place of [`import`].
//!
//! A job's state is the latest value of a topic of its own: whoever comes late, or back, sees the present state at once.
#![allow(missing_docs, reason = "an example")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sse_core::{Event, Hub, Refusal};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

/// How many may run at once.
const MOST: usize = 100;

/// How often a job says how far it is. More often than a screen shows would help nobody.
const EVERY: Duration = Duration::from_millis(100);

/// The topics of the jobs. Their names cannot be guessed: who was told one may follow the job.
pub const TOPICS: &str = "job/*";

/// A job's state, an event by the name of its variant.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running { job: String, file: String, done: u32, rows: u32 },
    Finished { job: String, file: String, rows: u32, seconds: f64 },
    Cancelled { job: String, file: String, done: u32, rows: u32 },
}

/// What is to be done.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub file: String,
    /// Some 500 take a second.
    #[serde(default = "five_thousand")]
    pub rows: u32,
}

fn five_thousand() -> u32 {
    5000
}

/// A job that was started.
#[derive(Clone, Debug, Serialize)]
pub struct Started {
    pub job: String,
    pub topic: String,
}

/// All that are running.
#[derive(Clone, Debug)]
pub struct Jobs {
    hub: Hub,
    running: Arc<Mutex<HashMap<String, oneshot::Sender<()>>>>,
}

impl Jobs {
    /// With a hub of which [`TOPICS`] are `latest`.
    pub fn new(hub: &Hub) -> Self {
        Self { hub: hub.clone(), running: Arc::default() }
    }

    /// Starts a job. It goes on whether anybody watches or not.
    ///
    /// # Errors
    /// 400 for an order that is none, 429 where enough are running.
    pub async fn start(&self, order: Order) -> Result<Started, Refusal> {
        if !(1..=100).contains(&order.file.chars().count()) || order.file.contains(char::is_control) {
            return Err(Refusal::bad_request("A file's name has 1 to 100 characters."));
        }
        if !(1..=1_000_000).contains(&order.rows) {
            return Err(Refusal::bad_request("A file has 1 to 1,000,000 rows."));
        }
        let job = format!("{:032x}", rand::random::<u128>());
        let (cancel, cancelled) = oneshot::channel();
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            if running.len() >= MOST {
                return Err(Refusal::new(429, "Enough jobs are running.")?.header("retry-after", "5")?);
            }
            running.insert(job.clone(), cancel);
        }
        // Whoever is told of the job finds its state.
        let begins = State::Running { job: job.clone(), file: order.file.clone(), done: 0, rows: order.rows };
        let topic = format!("job/{job}");
        if let Err(refusal) = self.tell(&begins).await {
            self.end(&job);
            return Err(refusal);
        }
        let (jobs, started) = (self.clone(), Started { job: job.clone(), topic });
        tokio::spawn(async move {
            if let Err(refusal) = jobs.import(&job, order, cancelled).await {
                eprintln!("a job has come to nothing: {refusal}");
            }
            jobs.end(&job);
        });
        Ok(started)
    }

    /// Has a job end before its time. Whether it was running.
    pub fn cancel(&self, job: &str) -> bool {
        self.end(job).is_some_and(|cancel| cancel.send(()).is_ok())
    }

    fn end(&self, job: &str) -> Option<oneshot::Sender<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(job)
    }

    /// Stands for the work of an application.
    async fn import(
        &self,
        job: &str,
        Order { file, rows }: Order,
        mut cancelled: oneshot::Receiver<()>,
    ) -> Result<(), Refusal> {
        let job = job.to_owned();
        let begun = Instant::now();
        let (mut done, mut told) = (0, begun);
        while done < rows {
            // Ten rows, or what is left of them.
            let some = (rows - done).min(10);
            sleep(Duration::from_millis(2) * some).await;
            // Told `Err` where nobody can cancel it any more.
            if cancelled.try_recv().is_ok() {
                return self.tell(&State::Cancelled { job, file, done, rows }).await;
            }
            done += some;
            if told.elapsed() >= EVERY && done < rows {
                told = Instant::now();
                self.tell(&State::Running { job: job.clone(), file: file.clone(), done, rows }).await?;
            }
        }
        // Who cancels it from now on is told that it has ended; who has before, was told that it is cancelled.
        if self.end(&job).is_none() {
            return self.tell(&State::Cancelled { job, file, done, rows }).await;
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.tell(&State::Finished { job, file, rows, seconds }).await
    }

    async fn tell(&self, state: &State) -> Result<(), Refusal> {
        let (State::Running { job, .. } | State::Finished { job, .. } | State::Cancelled { job, .. }) = state;
        self.hub.publish(format!("job/{job}"), Event::typed(state)?).await?;
        Ok(())
    }
}
