//! [`WakeTask`]: wakes the hub of one runtime, a few at a time, for as long as there are the hub and that
//! runtime.
//!
//! Where a runtime has several threads, there are two of them, both told of all news. A task that publishes wakes
//! them on its own thread, and tokio keeps whom a task woke last in a place where no other thread takes it from:
//! if the publisher went on computing, one task alone would wait there for it. Only one of the two can, so the
//! other is free to run at once. It does all there is to do, and the one that comes late finds nothing.

use std::{
    future::poll_fn,
    sync::{Arc, Weak},
    task::{Poll, Waker},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Notify,
    task::yield_now,
    time::sleep_until,
};

use super::{
    sleepers::{MAX_GROUPS, Next},
    slot::GroupId,
};

/// Where the hub are: the hub's state, which stands above this.
pub(in crate::hub) trait Wakes: Send + Sync {
    /// Wakes a few of a group, and says what its task does then. `passing` tells whether it said to go on.
    fn wake_some(&self, group: GroupId, passing: bool, wakers: &mut Vec<Waker>) -> Next;

    /// A task of the group is gone, perhaps in the middle of a pass.
    fn retire(&self, group: GroupId, passing: bool);
}

/// The most tasks of one group.
pub(in crate::hub) const TASKS: usize = 2;

/// What the tasks wait for, by group.
pub(in crate::hub) type News = [[Notify; TASKS]; MAX_GROUPS];

/// Wake tasks that are to be started.
pub(in crate::hub) struct Spawn {
    runtime: Handle,
    tasks: Vec<WakeTask>,
    news: Arc<News>,
}

impl Spawn {
    pub(in crate::hub) fn new(
        runtime: Handle,
        hub: Weak<dyn Wakes>,
        group: GroupId,
        news: &Arc<News>,
    ) -> Self {
        let threads = match runtime.runtime_flavor() {
            RuntimeFlavor::CurrentThread => 1,
            _ => runtime.metrics().num_workers(),
        };
        let task = |index| WakeTask { hub: Weak::clone(&hub), group, index, passing: false };
        let tasks = (0..threads.clamp(1, TASKS)).map(task).collect();
        Self { runtime, tasks, news: Arc::clone(news) }
    }

    pub(in crate::hub) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    pub(in crate::hub) fn run(self) {
        let is_alone = self.tasks.len() == 1;
        for task in self.tasks {
            self.runtime.spawn(task.run(Arc::clone(&self.news), is_alone));
        }
    }
}

struct WakeTask {
    hub: Weak<dyn Wakes>,
    group: GroupId,
    index: usize,
    /// Whether it is in the middle of a pass.
    passing: bool,
}

impl WakeTask {
    async fn run(mut self, news: Arc<News>, is_alone: bool) {
        let news = &news[self.group.index()][self.index];
        let mut wakers = Vec::new();
        loop {
            let Some(hub) = self.hub.upgrade() else {
                return;
            };
            // Whatever happens in there, this task keeps no other from the rest.
            let passing = std::mem::replace(&mut self.passing, true);
            let next = hub.wake_some(self.group, passing, &mut wakers);
            drop(hub);
            self.passing = next == Next::Pass;
            match next {
                Next::Pass if is_alone => yield_now().await,
                Next::Pass => requeue().await,
                Next::Sleep => news.notified().await,
                Next::Until(moment) => sleep_until(moment).await,
            }
        }
    }
}

/// Lets the others run. Unlike with [`yield_now`], another thread can go on with it meanwhile: that one ties it to
/// this thread until there is nothing else to run here.
async fn requeue() {
    let mut queued = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut queued, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Dropped with its runtime, it leaves nobody asleep.
impl Drop for WakeTask {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.retire(self.group, self.passing);
        }
    }
}
