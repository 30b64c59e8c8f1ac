//! [`Streams`]: the open ones, each with whom to wake, and what it holds until when.

use std::{collections::BTreeSet, sync::Arc, task::Waker, time::Duration};

use slab::Slab;
use tokio::time::Instant;

use super::life::Life;
use crate::end_reason::EndReason;

/// How many are looked at, and woken, under one lock.
pub(super) const AT_ONCE: usize = 64;

/// Deadlines are told apart by this: those of streams that nobody polls, and that have had time enough.
const TICK: Duration = Duration::from_millis(250);

/// What a stream holds, for others to free: its own task may be stuck at a socket that takes nothing.
#[expect(unnameable_types, reason = "what a sealed trait speaks of")]
pub trait Release: Send + Sync {
    /// Frees it, once, for this reason or because its time is over. Called without a lock.
    fn release(&self, reason: Option<EndReason>);
}

/// The open streams.
pub(super) struct Streams {
    slots: Slab<Place>,
    generation: u32,
    /// Tick and slot, of those that have a deadline.
    deadlines: BTreeSet<(u32, u32)>,
    /// What ticks are counted from.
    epoch: Instant,
    /// Whether a task sees to the deadlines.
    pub(super) kept: bool,
}

/// One of them, as whoever holds its place knows it: another may have its slot later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    slot: u32,
    /// The generation, and in the lowest bit, whether a hub feeds it.
    stamp: u32,
}

impl Key {
    pub(super) fn new(slot: usize, generation: u32, owes: bool) -> Self {
        Self { slot: slot as u32, stamp: (generation << 1) | u32::from(owes) }
    }

    pub(super) fn slot(self) -> u32 {
        self.slot
    }

    /// Whether a hub feeds it.
    pub(super) fn owes(self) -> bool {
        self.stamp & 1 == 1
    }
}

/// A stream's place.
pub(super) struct Place {
    stamp: u32,
    /// The tick of its deadline.
    deadline: Option<u32>,
    /// Whom to wake; of a stream that was not polled yet, nobody.
    waker: Waker,
    holds: Vec<Box<dyn Release>>,
    life: Option<Arc<Life>>,
}

impl Place {
    /// Frees what the stream holds, for this reason or because its time is over, and gives back whom to wake so that it sees that it has ended.
    pub(super) fn free(self, reason: Option<EndReason>) -> Waker {
        self.holds.into_iter().for_each(|held| held.release(reason));
        if let Some(life) = self.life {
            life.end_unread(reason);
        }
        self.waker
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            generation: 0,
            deadlines: BTreeSet::new(),
            epoch: Instant::now(),
            kept: false,
        }
    }
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn insert(&mut self, owes: bool) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let place = self.slots.vacant_entry();
        let key = Key::new(place.key(), self.generation, owes);
        let waker = Waker::noop().clone();
        place.insert(Place { stamp: key.stamp, deadline: None, waker, holds: Vec::new(), life: None });
        key
    }

    pub(super) fn contains(&self, key: Key) -> bool {
        self.slots.get(key.slot as usize).is_some_and(|place| place.stamp == key.stamp)
    }

    fn place(&mut self, key: Key) -> Option<&mut Place> {
        self.slots.get_mut(key.slot as usize).filter(|place| place.stamp == key.stamp)
    }

    /// What this one holds, for whoever frees it; given back where that has been.
    #[must_use]
    pub(super) fn hold(&mut self, key: Key, held: Box<dyn Release>) -> Option<Box<dyn Release>> {
        let Some(place) = self.place(key) else {
            return Some(held);
        };
        place.holds.reserve_exact(1);
        place.holds.push(held);
        None
    }

    /// Until when this one may hold what it does. Whether that comes before all others.
    pub(super) fn keep_until(&mut self, key: Key, deadline: Instant, reason: EndReason) -> bool {
        let ticks = deadline.saturating_duration_since(self.epoch).div_duration_f64(TICK);
        // Its own task comes first, if it can.
        let tick = (ticks.ceil() as u32).saturating_add(1);
        let Some(place) = self.place(key) else {
            return false;
        };
        if let Some(life) = &place.life {
            life.ends_for(reason);
        }
        if let Some(old) = place.deadline.replace(tick) {
            self.deadlines.remove(&(old, key.slot));
        }
        self.deadlines.insert((tick, key.slot));
        self.deadlines.first() == Some(&(tick, key.slot))
    }

    /// When the first deadline is.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(tick, _)| self.epoch + TICK * tick)
    }

    /// Has this one woken; gives back what was there before.
    pub(super) fn register(&mut self, key: Key, waker: Waker) -> Waker {
        match self.place(key) {
            Some(place) => std::mem::replace(&mut place.waker, waker),
            None => waker,
        }
    }

    /// What is told of it. Whether it is still there.
    #[must_use]
    pub(super) fn set_life(&mut self, key: Key, life: &Arc<Life>) -> bool {
        let place = self.place(key);
        let is_there = place.is_some();
        if let Some(place) = place {
            place.life = Some(Arc::clone(life));
        }
        is_there
    }

    /// What is told of some of them.
    #[cfg(feature = "metrics")]
    pub(super) fn lives(&self, keys: &[Key]) -> Vec<Arc<Life>> {
        let life = |key: &Key| self.slots.get(key.slot as usize)?.life.clone();
        keys.iter().filter_map(life).collect()
    }

    /// Whom to wake: once.
    pub(super) fn take_waker(&mut self, key: Key) -> Option<Waker> {
        let place = self.place(key)?;
        Some(std::mem::replace(&mut place.waker, Waker::noop().clone()))
    }

    /// Its place, for the caller to drop or to free outside the lock.
    pub(super) fn remove(&mut self, key: Key) -> Option<Place> {
        let deadline = self.place(key)?.deadline;
        if let Some(tick) = deadline {
            self.deadlines.remove(&(tick, key.slot));
        }
        self.slots.try_remove(key.slot as usize)
    }

    /// A few of those whose deadline is over.
    pub(super) fn remove_overdue(&mut self, now: Instant) -> Vec<Place> {
        let mut overdue = Vec::new();
        while overdue.len() < AT_ONCE
            && let Some(&(tick, slot)) = self.deadlines.first()
            && self.epoch + TICK * tick <= now
        {
            self.deadlines.pop_first();
            overdue.extend(self.slots.try_remove(slot as usize));
        }
        overdue
    }

    /// All of them.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        self.slots.iter().map(|(slot, place)| Key { slot: slot as u32, stamp: place.stamp })
    }

    /// Some from this slot on, and where the next are.
    pub(super) fn some(&self, from: usize) -> (Vec<Key>, Option<usize>) {
        let upto = (from + AT_ONCE).min(self.slots.capacity());
        let key =
            |slot: usize| self.slots.get(slot).map(|place| Key { slot: slot as u32, stamp: place.stamp });
        let next = (upto < self.slots.capacity()).then_some(upto);
        ((from..upto).filter_map(key).collect(), next)
    }
}
