//! How something is published to an engine: again and again under one key, until it is known what became of it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout_at};

use super::{FAR, Feed, after};
use crate::{
    engine::{EngineError, Publication, Published},
    hub::{Hub, PublishError, inner::Inner},
    metrics::{self, Count},
};

/// The first pause after a failure; each is twice the one before, up to the other.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Feed {
    /// Publishes it once, whatever the number of tries.
    ///
    /// Once in doubt it stays in doubt: a try that was refused says nothing of the one before it, whose record may still
    /// be on its way.
    ///
    /// An engine that has accepted it where the log is known to have ended before has not: a server that goes on by itself
    /// while another one has taken over.
    pub(in crate::hub) async fn publish(
        &self,
        inner: &Inner,
        publication: Publication,
    ) -> Result<Published, PublishError> {
        // Behind that, the engine may have forgotten the key.
        let deadline = after(self.times.publish.min(self.engine.remembers_keys_for() / 2));
        let (mut pause, longest) = PAUSES;
        let mut is_in_doubt = false;
        // Under the same key it is there again.
        let mut lost = None;
        loop {
            let error = match timeout_at(deadline, self.engine.publish(publication.clone())).await {
                Ok(Ok(Published { id, is_new }))
                    if lost == Some(id) || inner.lock().log.has_lost(id, is_new) =>
                {
                    lost = Some(id);
                    EngineError::unknown("it was accepted in an epoch that had ended before it")
                }
                Ok(Ok(published)) => return Ok(published),
                Ok(Err(error)) => error,
                Err(_) => {
                    is_in_doubt = true;
                    tracing::warn!(
                        engine = self.engine.name(),
                        "the engine did not answer a publisher in time"
                    );
                    break;
                }
            };
            is_in_doubt |= error.may_be_published();
            let why = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(engine = self.engine.name(), why, "{error}");
            // Jittered: all nodes see the engine fail at once.
            let wait = pause.mul_f64(rand::random_range(0.5..1.0));
            if error.is_final() || Instant::now() + wait >= deadline {
                break;
            }
            sleep(wait).await;
            pause = (pause * 2).min(longest);
        }
        metrics::add(Count::EnginePublishFailures, usize::from(is_in_doubt), 1);
        Err(if is_in_doubt { PublishError::Unknown } else { PublishError::NotPublished })
    }

    /// [`publish`](Self::publish) for an event, which counts once it is there.
    pub(in crate::hub) async fn publish_event(
        &self,
        inner: &Inner,
        publication: Publication,
    ) -> Result<Published, PublishError> {
        let published = self.publish(inner, publication).await?;
        if published.is_new {
            metrics::count(Count::Published);
        }
        Ok(published)
    }

    /// [`publish_event`](Self::publish_event) for a thread that waits.
    pub(in crate::hub) fn publish_blocking(
        hub: &Hub,
        feed: &Self,
        publication: Publication,
    ) -> Result<Published, PublishError> {
        // The thread that waits may be the only one that could do it.
        if feed.is_only_thread() {
            return Err(PublishError::MustWait);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let longest = feed.times.publish.min(FAR) + Duration::from_secs(1);
        let hub = hub.clone();
        // Either it begins or it is given up.
        let decided = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&decided);
        feed.runtime.spawn(async move {
            if let Some(feed) = &hub.0.feed
                && !begins.swap(true, Ordering::SeqCst)
            {
                // Nobody waits any more where it cannot be sent.
                let _ = sender.send(feed.publish_event(&hub.0, publication).await);
            }
        });
        receiver.recv_timeout(longest).unwrap_or_else(|_| {
            // That runtime may have ended, or do nothing else than stand still.
            let has_begun = decided.swap(true, Ordering::SeqCst);
            Err(if has_begun { PublishError::Unknown } else { PublishError::NotPublished })
        })
    }
}
