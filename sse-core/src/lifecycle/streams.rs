//! [`Streams`]: the open ones, each with whom to wake.

use std::task::Waker;

use slab::Slab;

/// How many are looked at, and woken, under one lock.
pub(super) const AT_ONCE: usize = 64;

/// The open streams.
#[derive(Default)]
pub(super) struct Streams {
    slots: Slab<Place>,
    generation: u32,
}

/// One of them, as whoever holds its place knows it: another may have its key later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    slot: u32,
    /// The generation, and in the lowest bit, whether a hub feeds it.
    stamp: u32,
}

impl Key {
    pub(super) fn new(slot: usize, generation: u32, owes: bool) -> Self {
        Self { slot: slot as u32, stamp: generation << 1 | u32::from(owes) }
    }

    pub(super) fn slot(self) -> u32 {
        self.slot
    }

    /// Whether a hub feeds it.
    pub(super) fn owes(self) -> bool {
        self.stamp & 1 == 1
    }
}

struct Place {
    stamp: u32,
    /// Whom to wake; of a stream that was not polled yet, nobody.
    waker: Waker,
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
        place.insert(Place { stamp: key.stamp, waker: Waker::noop().clone() });
        key
    }

    fn place(&mut self, key: Key) -> Option<&mut Place> {
        self.slots.get_mut(key.slot as usize).filter(|place| place.stamp == key.stamp)
    }

    /// Has this one woken; gives back what was there before.
    pub(super) fn register(&mut self, key: Key, waker: Waker) -> Waker {
        match self.place(key) {
            Some(place) => std::mem::replace(&mut place.waker, waker),
            None => waker,
        }
    }

    /// Whom to wake: once.
    pub(super) fn take_waker(&mut self, key: Key) -> Option<Waker> {
        let place = self.place(key)?;
        Some(std::mem::replace(&mut place.waker, Waker::noop().clone()))
    }

    /// What the place held, for the caller to drop outside the lock.
    pub(super) fn remove(&mut self, key: Key) -> Option<impl Sized + use<>> {
        self.place(key)?;
        self.slots.try_remove(key.slot as usize)
    }

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
