//! [`News`]: who comes and goes, on its way to be published.

use std::{collections::VecDeque, sync::Arc};

use super::Inner;
use crate::{
    event::Event,
    hub::{Hub, PublishError},
    id::EventId,
    topic::Topic,
};

/// So many changes may wait for an engine. Of more, the oldest are not announced.
const MOST: usize = 10_000;

/// Somebody is on a topic now, or no longer.
pub(super) struct Change {
    pub(super) topic: Topic,
    pub(super) who: Arc<str>,
    pub(super) joins: bool,
}

#[derive(Default)]
pub(super) struct News {
    /// In order.
    changes: VecDeque<Change>,
    /// Somebody is just publishing.
    busy: bool,
}

impl News {
    pub(super) fn push(&mut self, change: Change) {
        self.changes.push_back(change);
        if self.changes.len() > MOST {
            self.changes.pop_front();
        }
    }
}

impl Inner {
    /// Publishes what is new, without the lock. Where another thread is just at it, it goes on with this.
    pub(super) fn publish(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.news.busy || state.news.changes.is_empty() {
            return;
        }
        state.news.busy = true;
        drop(state);
        let publishing = Publishing { inner: Arc::clone(self), is_over: false };
        let hub = self.hub.upgrade();
        match hub.as_ref().and_then(Hub::waits_in) {
            Some(runtime) => drop(runtime.spawn(publishing.run())),
            None => publishing.run_now(),
        }
    }

    /// What is to be published next. With none, nobody is at it any more.
    fn next_news(&self) -> Option<(Topic, Event)> {
        let mut state = self.lock();
        while let Some(Change { topic, who, joins }) = state.news.changes.pop_front() {
            if self.announces(&topic) {
                let name = if joins { "join" } else { "leave" };
                let data = serde_json::json!({ "who": &*who }).to_string();
                if let Ok(event) = Event::new(data).name(name) {
                    return Some((topic, event));
                }
            }
        }
        state.news.busy = false;
        None
    }
}

/// Publishes what is new. Where that must be waited for, it may be dropped with its runtime.
struct Publishing {
    inner: Arc<Inner>,
    /// Another may be at it by now.
    is_over: bool,
}

impl Publishing {
    fn run_now(mut self) {
        while let Some((topic, event)) = self.next() {
            if let Some(hub) = self.inner.hub.upgrade() {
                warn_of(hub.publish_now(topic, event));
            }
        }
    }

    async fn run(mut self) {
        while let Some((topic, event)) = self.next() {
            if let Some(hub) = self.inner.hub.upgrade() {
                warn_of(hub.publish(topic, event).await);
            }
        }
    }

    fn next(&mut self) -> Option<(Topic, Event)> {
        let next = self.inner.next_news();
        self.is_over = next.is_none();
        next
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        if !self.is_over {
            self.inner.lock().news.busy = false;
        }
    }
}

fn warn_of(published: Result<EventId, PublishError>) {
    if let Err(error) = published {
        tracing::warn!(%error, "who comes and goes could not be published");
    }
}
