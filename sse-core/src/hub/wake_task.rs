//! [`WakeTask`]: wakes the sleepers of one runtime, a few at a time, for as long as there are the hub and that
//! runtime.

use std::sync::{Arc, Weak};

use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    lanes::{LANES, Lane},
    shared::Shared,
};

/// What the tasks wait for, by lane.
pub(super) type News = [Notify; LANES];

/// A wake task that is to be started.
pub(super) struct Spawn {
    runtime: Handle,
    task: WakeTask,
    news: Arc<News>,
}

impl Spawn {
    pub(super) fn new(runtime: Handle, shared: &Arc<Shared>, lane: Lane, news: &Arc<News>) -> Self {
        Self { runtime, task: WakeTask { shared: Arc::downgrade(shared), lane }, news: Arc::clone(news) }
    }

    pub(super) fn run(self) {
        self.runtime.spawn(self.task.run(self.news));
    }
}

struct WakeTask {
    shared: Weak<Shared>,
    lane: Lane,
}

impl WakeTask {
    async fn run(self, news: Arc<News>) {
        let news = &news[self.lane.index()];
        let mut wakers = Vec::new();
        // When the last pass began. The first event goes out at once; those that follow within the time for
        // which the hub lingers are one pass, and one write each.
        let mut began: Option<Instant> = None;
        loop {
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            if shared.wake_some(self.lane, &mut wakers) {
                drop(shared);
                tokio::task::yield_now().await;
                continue;
            }
            let Some(linger) = shared.settings.linger else {
                drop(shared);
                news.notified().await;
                continue;
            };
            let until = began.map(|began| began + linger).filter(|until| *until > Instant::now());
            if let Some(until) = until {
                drop(shared);
                sleep_until(until).await;
            } else if shared.lock().lanes.wake(self.lane).release() {
                began = Some(Instant::now());
            } else {
                drop(shared);
                news.notified().await;
            }
        }
    }
}

/// Dropped with its runtime, it leaves nobody asleep.
impl Drop for WakeTask {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.abandon(self.lane);
        }
    }
}
