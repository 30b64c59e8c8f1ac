//! [`Lanes`]: the sleepers of each runtime by themselves, for a task of that runtime to wake.
//!
//! So a thread that stands still delays nobody but its own sleepers, and no wake-up crosses from one thread to
//! another. Where no runtime is, or none is left, the publisher wakes.

use slab::Slab;
use tokio::runtime;

use super::wake::{Slot, Wake};
use crate::log::TopicKey;

/// How many runtimes are told apart: more of them share. Servers with a runtime for each core have several.
pub(super) const LANES: usize = 64;

/// One of the lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane(u8);

impl Lane {
    pub(super) fn index(self) -> usize {
        self.0.into()
    }
}

#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<Sleepers>,
    linger: bool,
}

#[derive(Debug)]
struct Sleepers {
    /// Where the task that wakes them runs.
    runtime: Option<runtime::Id>,
    /// How many subscribers it has.
    count: usize,
    wake: Wake,
}

/// Who has somebody to wake.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due {
    tasks: u64,
    pub(super) publisher: bool,
}

impl Due {
    /// The lanes whose tasks have.
    pub(super) fn tasks(mut self) -> impl Iterator<Item = usize> {
        std::iter::from_fn(move || {
            let lowest = self.tasks.trailing_zeros();
            self.tasks &= self.tasks.wrapping_sub(1);
            (lowest < u64::BITS).then_some(lowest as usize)
        })
    }
}

impl Lanes {
    pub(super) fn new(linger: bool) -> Self {
        Self { lanes: Vec::new(), linger }
    }

    /// The lane of a new subscriber in this runtime, and whether it wants a task there.
    pub(super) fn enter(&mut self, runtime: Option<runtime::Id>) -> (Lane, bool) {
        let of = |wanted| self.lanes.iter().position(|lane| lane.runtime == wanted);
        let found = of(runtime).or_else(|| of(None));
        let index = match found {
            Some(index) => index,
            None if self.lanes.len() < LANES => {
                self.lanes.push(Sleepers { runtime: None, count: 0, wake: Wake::new(self.linger) });
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

    /// Gives a lane whose task is gone to this runtime.
    pub(super) fn adopt(&mut self, lane: Lane, runtime: runtime::Id) {
        self.lanes[lane.index()].runtime = Some(runtime);
    }

    /// The lane's task is gone.
    pub(super) fn abandon(&mut self, lane: Lane) {
        self.lanes[lane.index()].runtime = None;
    }

    pub(super) fn is_orphan(&self, lane: Lane) -> bool {
        self.lanes[lane.index()].runtime.is_none()
    }

    /// Whether a lane with subscribers has no task.
    pub(super) fn has_orphans(&self) -> bool {
        self.lanes.iter().any(|lane| lane.runtime.is_none() && lane.count > 0)
    }

    pub(super) fn join(&mut self, lane: Lane, key: TopicKey, slot: usize, generation: u32) {
        self.lanes[lane.index()].wake.join(key, slot, generation);
    }

    /// A subscriber has gone, which had these topics.
    pub(super) fn leave(&mut self, lane: Lane, topics: impl Iterator<Item = TopicKey>, slots: &Slab<Slot>) {
        let lane = &mut self.lanes[lane.index()];
        lane.count -= 1;
        for key in topics {
            lane.wake.leave(key, slots);
        }
    }

    /// A subscriber has left this topic alone.
    pub(super) fn leave_one(&mut self, lane: Lane, key: TopicKey, slot: usize, generation: u32) {
        self.lanes[lane.index()].wake.leave_one(key, slot, generation);
    }

    /// The topic has news for its subscribers.
    pub(super) fn mark(&mut self, key: TopicKey) {
        for lane in &mut self.lanes {
            lane.wake.mark(key);
        }
    }

    /// Who has somebody to wake, now or later.
    pub(super) fn due(&self) -> Due {
        let mut due = Due::default();
        for (index, lane) in self.lanes.iter().enumerate().filter(|(_, lane)| !lane.wake.is_idle()) {
            if lane.runtime.is_some() {
                due.tasks |= 1 << index;
            } else {
                due.publisher = true;
            }
        }
        due
    }

    pub(super) fn wake(&mut self, lane: Lane) -> &mut Wake {
        &mut self.lanes[lane.index()].wake
    }

    /// A lane without a task in which somebody is to be woken.
    pub(super) fn next_orphan(&mut self) -> Option<&mut Wake> {
        let lane = self.lanes.iter_mut().find(|lane| lane.runtime.is_none() && !lane.wake.is_idle())?;
        // Nobody would do it later.
        lane.wake.release();
        Some(&mut lane.wake)
    }
}
