//! [`Sleepers`]: the sleepers of each runtime by themselves, for a task of that runtime to wake.
//!
//! So a thread that stands still delays nobody but its own sleepers, and no wake-up crosses from one thread to
//! another. Where no runtime is, or none is left, the publisher wakes.

use std::{task::Waker, time::Duration};

use slab::Slab;
use tokio::{runtime, time::Instant};

use super::{
    slot::{GroupId, Slot},
    topics::Wake,
};
use crate::log::{Log, TopicKey};

/// How many runtimes are told apart: more of them share. Servers with a runtime for each core have several.
pub(in crate::hub) const MAX_GROUPS: usize = 64;

#[derive(Debug)]
pub(in crate::hub) struct Sleepers {
    groups: Vec<RuntimeGroup>,
    linger: bool,
}

#[derive(Debug)]
struct RuntimeGroup {
    /// Where the tasks that wake them run.
    runtime: Option<runtime::Id>,
    /// How many tasks: see [`task`](super::task).
    tasks: usize,
    /// Whether one of them is in the middle of a pass: the other leaves the rest to it.
    passing: bool,
    /// When the last pass began, of a hub that lingers.
    began: Option<Instant>,
    /// How many subscribers it has.
    count: usize,
    wake: Wake,
}

/// What a wake task does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) enum Next {
    /// Goes on after the others' turn.
    Pass,
    /// Waits for news.
    Sleep,
    /// Waits for this moment.
    Until(Instant),
}

/// Who has somebody to wake.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::hub) struct Due {
    tasks: u64,
    /// Which of these groups have two tasks.
    pairs: u64,
    pub(in crate::hub) publisher: bool,
}

impl Due {
    /// The groups whose tasks have, and how many tasks they are.
    pub(in crate::hub) fn tasks(mut self) -> impl Iterator<Item = (usize, usize)> {
        std::iter::from_fn(move || {
            let lowest = self.tasks.trailing_zeros();
            self.tasks &= self.tasks.wrapping_sub(1);
            let pair = self.pairs.checked_shr(lowest)? & 1;
            Some((lowest as usize, 1 + pair as usize))
        })
    }
}

impl Sleepers {
    pub(in crate::hub) fn new(linger: bool) -> Self {
        Self { groups: Vec::new(), linger }
    }

    /// The group of a new subscriber in this runtime, and whether it wants tasks there.
    ///
    /// Those who sleep where no runtime is, or none is left, keep theirs: each leaves it when it is polled.
    pub(in crate::hub) fn enter(&mut self, runtime: Option<runtime::Id>) -> (GroupId, bool) {
        let free = |group: &RuntimeGroup| runtime.is_some() && group.runtime.is_none() && group.count == 0;
        let found = self.groups.iter().position(|group| group.runtime == runtime);
        let index = match found.or_else(|| self.groups.iter().position(free)) {
            Some(index) => index,
            None if self.groups.len() < MAX_GROUPS => {
                self.groups.push(RuntimeGroup {
                    runtime: None,
                    tasks: 0,
                    passing: false,
                    began: None,
                    count: 0,
                    wake: Wake::new(self.linger),
                });
                self.groups.len() - 1
            }
            None => {
                let smallest = self.groups.iter().enumerate().min_by_key(|(_, group)| group.count);
                smallest.map_or(0, |(index, _)| index)
            }
        };
        let group = &mut self.groups[index];
        group.count += 1;
        let wants = group.runtime.is_none() && runtime.is_some();
        if wants {
            group.runtime = runtime;
        }
        (GroupId(index as u8), wants)
    }

    /// A subscriber is to have another group.
    pub(in crate::hub) fn exit(
        &mut self,
        group: GroupId,
        topics: impl Iterator<Item = TopicKey>,
        slot: usize,
        generation: u32,
    ) {
        self.groups[group.index()].count -= 1;
        // At once, for it may come back.
        for key in topics {
            self.leave_one(group, key, slot, generation);
        }
    }

    /// The group has so many tasks now.
    pub(in crate::hub) fn staff(&mut self, group: GroupId, tasks: usize) {
        self.groups[group.index()].tasks = tasks;
    }

    /// A task of the group is gone, perhaps in the middle of a pass. Whether one is left.
    pub(in crate::hub) fn retire(&mut self, group: GroupId, passing: bool) -> bool {
        let group = &mut self.groups[group.index()];
        group.tasks -= 1;
        group.passing &= !passing;
        if group.tasks == 0 {
            group.runtime = None;
        }
        group.tasks > 0
    }

    /// Where the group's tasks run.
    pub(in crate::hub) fn runtime(&self, group: GroupId) -> Option<runtime::Id> {
        self.groups[group.index()].runtime
    }

    pub(in crate::hub) fn is_orphan(&self, group: GroupId) -> bool {
        self.groups[group.index()].runtime.is_none()
    }

    /// Whether a group with subscribers has no task.
    pub(in crate::hub) fn has_orphans(&self) -> bool {
        self.groups.iter().any(|group| group.runtime.is_none() && group.count > 0)
    }

    pub(in crate::hub) fn join(&mut self, group: GroupId, key: TopicKey, slot: usize, generation: u32) {
        self.groups[group.index()].wake.join(key, slot, generation);
    }

    /// A subscriber has gone, which had these topics.
    pub(in crate::hub) fn leave(
        &mut self,
        group: GroupId,
        topics: impl Iterator<Item = TopicKey>,
        slots: &Slab<Slot>,
    ) {
        let group = &mut self.groups[group.index()];
        group.count -= 1;
        for key in topics {
            group.wake.leave(key, slots);
        }
    }

    /// A subscriber has left this topic alone.
    pub(in crate::hub) fn leave_one(&mut self, group: GroupId, key: TopicKey, slot: usize, generation: u32) {
        self.groups[group.index()].wake.leave_one(key, slot, generation);
    }

    /// The topic has news for its subscribers.
    pub(in crate::hub) fn mark(&mut self, key: TopicKey) {
        for group in &mut self.groups {
            group.wake.mark(key);
        }
    }

    /// Who has somebody to wake, now or later.
    pub(in crate::hub) fn due(&self) -> Due {
        let mut due = Due::default();
        for (index, group) in self.groups.iter().enumerate().filter(|(_, group)| !group.wake.is_idle()) {
            if group.runtime.is_some() {
                due.tasks |= 1 << index;
                due.pairs |= u64::from(group.tasks > 1) << index;
            } else {
                due.publisher = true;
            }
        }
        due
    }

    /// The next few sleepers of a group, and what its task does then. `passing` tells whether it was in the middle
    /// of a pass.
    ///
    /// The first event goes out at once; those that follow within the time for which the hub lingers are one pass,
    /// and one write each.
    pub(in crate::hub) fn pass(
        &mut self,
        group: GroupId,
        passing: bool,
        linger: Option<Duration>,
        log: &Log,
        slots: &mut Slab<Slot>,
        wakers: &mut Vec<Waker>,
    ) -> Next {
        let group = &mut self.groups[group.index()];
        if group.passing && !passing {
            return Next::Sleep;
        }
        if group.wake.is_done()
            && let Some(linger) = linger
            && !group.wake.is_idle()
        {
            let now = Instant::now();
            if let Some(until) = group.began.map(|began| began + linger).filter(|until| *until > now) {
                group.passing = false;
                return Next::Until(until);
            }
            group.wake.release();
            group.began = Some(now);
        }
        group.wake.next(log, slots, wakers);
        group.passing = !group.wake.is_idle();
        if group.passing { Next::Pass } else { Next::Sleep }
    }

    /// A group without a task in which somebody is to be woken.
    pub(in crate::hub) fn next_orphan(&mut self) -> Option<&mut Wake> {
        let group = self.groups.iter_mut().find(|group| group.runtime.is_none() && !group.wake.is_idle())?;
        // Nobody would do it later.
        group.wake.release();
        Some(&mut group.wake)
    }
}
