//! [`Lanes`]: the sleepers of each runtime by themselves, for a task of that runtime to wake.
//!
//! So a thread that stands still delays nobody but its own sleepers, and no wake-up crosses from one thread to
//! another. Where no runtime is, or none is left, the publisher wakes.

use std::{task::Waker, time::Duration};

use slab::Slab;
use tokio::{runtime, time::Instant};

use super::{
    slot::{Lane, Slot},
    topics::Wake,
};
use crate::log::{Log, TopicKey};

/// How many runtimes are told apart: more of them share. Servers with a runtime for each core have several.
pub(in crate::hub) const LANES: usize = 64;

#[derive(Debug)]
pub(in crate::hub) struct Lanes {
    lanes: Vec<Sleepers>,
    linger: bool,
}

#[derive(Debug)]
struct Sleepers {
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
    /// Which of these lanes have two tasks.
    pairs: u64,
    pub(in crate::hub) publisher: bool,
}

impl Due {
    /// The lanes whose tasks have, and how many tasks they are.
    pub(in crate::hub) fn tasks(mut self) -> impl Iterator<Item = (usize, usize)> {
        std::iter::from_fn(move || {
            let lowest = self.tasks.trailing_zeros();
            self.tasks &= self.tasks.wrapping_sub(1);
            let pair = self.pairs.checked_shr(lowest)? & 1;
            Some((lowest as usize, 1 + pair as usize))
        })
    }
}

impl Lanes {
    pub(in crate::hub) fn new(linger: bool) -> Self {
        Self { lanes: Vec::new(), linger }
    }

    /// The lane of a new subscriber in this runtime, and whether it wants tasks there.
    ///
    /// Those who sleep where no runtime is, or none is left, keep theirs: each leaves it when it is polled.
    pub(in crate::hub) fn enter(&mut self, runtime: Option<runtime::Id>) -> (Lane, bool) {
        let free = |lane: &Sleepers| runtime.is_some() && lane.runtime.is_none() && lane.count == 0;
        let found = self.lanes.iter().position(|lane| lane.runtime == runtime);
        let index = match found.or_else(|| self.lanes.iter().position(free)) {
            Some(index) => index,
            None if self.lanes.len() < LANES => {
                self.lanes.push(Sleepers {
                    runtime: None,
                    tasks: 0,
                    passing: false,
                    began: None,
                    count: 0,
                    wake: Wake::new(self.linger),
                });
                self.lanes.len() - 1
            }
            None => {
                let smallest = self.lanes.iter().enumerate().min_by_key(|(_, lane)| lane.count);
                smallest.map_or(0, |(index, _)| index)
            }
        };
        let lane = &mut self.lanes[index];
        lane.count += 1;
        let wants = lane.runtime.is_none() && runtime.is_some();
        if wants {
            lane.runtime = runtime;
        }
        (Lane(index as u8), wants)
    }

    /// A subscriber is to have another lane.
    pub(in crate::hub) fn exit(
        &mut self,
        lane: Lane,
        topics: impl Iterator<Item = TopicKey>,
        slot: usize,
        generation: u32,
    ) {
        self.lanes[lane.index()].count -= 1;
        // At once, for it may come back.
        for key in topics {
            self.leave_one(lane, key, slot, generation);
        }
    }

    /// The lane has so many tasks now.
    pub(in crate::hub) fn staff(&mut self, lane: Lane, tasks: usize) {
        self.lanes[lane.index()].tasks = tasks;
    }

    /// A task of the lane is gone, perhaps in the middle of a pass. Whether one is left.
    pub(in crate::hub) fn retire(&mut self, lane: Lane, passing: bool) -> bool {
        let lane = &mut self.lanes[lane.index()];
        lane.tasks -= 1;
        lane.passing &= !passing;
        if lane.tasks == 0 {
            lane.runtime = None;
        }
        lane.tasks > 0
    }

    /// Where the lane's tasks run.
    pub(in crate::hub) fn runtime(&self, lane: Lane) -> Option<runtime::Id> {
        self.lanes[lane.index()].runtime
    }

    pub(in crate::hub) fn is_orphan(&self, lane: Lane) -> bool {
        self.lanes[lane.index()].runtime.is_none()
    }

    /// Whether a lane with subscribers has no task.
    pub(in crate::hub) fn has_orphans(&self) -> bool {
        self.lanes.iter().any(|lane| lane.runtime.is_none() && lane.count > 0)
    }

    pub(in crate::hub) fn join(&mut self, lane: Lane, key: TopicKey, slot: usize, generation: u32) {
        self.lanes[lane.index()].wake.join(key, slot, generation);
    }

    /// A subscriber has gone, which had these topics.
    pub(in crate::hub) fn leave(
        &mut self,
        lane: Lane,
        topics: impl Iterator<Item = TopicKey>,
        slots: &Slab<Slot>,
    ) {
        let lane = &mut self.lanes[lane.index()];
        lane.count -= 1;
        for key in topics {
            lane.wake.leave(key, slots);
        }
    }

    /// A subscriber has left this topic alone.
    pub(in crate::hub) fn leave_one(&mut self, lane: Lane, key: TopicKey, slot: usize, generation: u32) {
        self.lanes[lane.index()].wake.leave_one(key, slot, generation);
    }

    /// The topic has news for its subscribers.
    pub(in crate::hub) fn mark(&mut self, key: TopicKey) {
        for lane in &mut self.lanes {
            lane.wake.mark(key);
        }
    }

    /// Who has somebody to wake, now or later.
    pub(in crate::hub) fn due(&self) -> Due {
        let mut due = Due::default();
        for (index, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| !lane.wake.is_idle()) {
            if lane.runtime.is_some() {
                due.tasks |= 1 << index;
                due.pairs |= u64::from(lane.tasks > 1) << index;
            } else {
                due.publisher = true;
            }
        }
        due
    }

    /// The next few sleepers of a lane, and what its task does then. `passing` tells whether it was in the middle
    /// of a pass.
    ///
    /// The first event goes out at once; those that follow within the time for which the hub lingers are one pass,
    /// and one write each.
    pub(in crate::hub) fn pass(
        &mut self,
        lane: Lane,
        passing: bool,
        linger: Option<Duration>,
        log: &Log,
        slots: &mut Slab<Slot>,
        wakers: &mut Vec<Waker>,
    ) -> Next {
        let lane = &mut self.lanes[lane.index()];
        if lane.passing && !passing {
            return Next::Sleep;
        }
        if lane.wake.is_done()
            && let Some(linger) = linger
            && !lane.wake.is_idle()
        {
            let now = Instant::now();
            if let Some(until) = lane.began.map(|began| began + linger).filter(|until| *until > now) {
                lane.passing = false;
                return Next::Until(until);
            }
            lane.wake.release();
            lane.began = Some(now);
        }
        lane.wake.next(log, slots, wakers);
        lane.passing = !lane.wake.is_idle();
        if lane.passing { Next::Pass } else { Next::Sleep }
    }

    /// A lane without a task in which somebody is to be woken.
    pub(in crate::hub) fn next_orphan(&mut self) -> Option<&mut Wake> {
        let lane = self.lanes.iter_mut().find(|lane| lane.runtime.is_none() && !lane.wake.is_idle())?;
        // Nobody would do it later.
        lane.wake.release();
        Some(&mut lane.wake)
    }
}
