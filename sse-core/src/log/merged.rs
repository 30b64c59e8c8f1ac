//! [`Due`]: the events of a subscription's topics behind a position, in order.

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, VecDeque, binary_heap::PeekMut, vec_deque},
};

use super::{Pos, topics::Kept};

/// The events of one topic, or the indexes of several merged: an event takes as many steps as the number of
/// topics has binary digits.
pub(super) enum Due<'a> {
    One(vec_deque::Iter<'a, Kept>),
    Many(BinaryHeap<Part<'a>>),
}

/// What is left of one topic's index: never nothing.
pub(super) struct Part<'a> {
    kept: &'a VecDeque<Kept>,
    next: usize,
    pos: Pos,
}

impl<'a> Part<'a> {
    /// The index from this event on, if there is one.
    pub(super) fn new(kept: &'a VecDeque<Kept>, next: usize) -> Option<Self> {
        Some(Self { kept, next, pos: kept.get(next)?.at.pos })
    }

    pub(super) fn iter(&self) -> vec_deque::Iter<'a, Kept> {
        self.kept.range(self.next..)
    }

    /// The first of its events.
    pub(super) fn first(&self) -> Option<&'a Kept> {
        self.kept.get(self.next)
    }

    /// The last of its events.
    pub(super) fn last(&self) -> Option<&'a Kept> {
        self.kept.back()
    }
}

impl<'a> Iterator for Due<'a> {
    type Item = &'a Kept;

    fn next(&mut self) -> Option<&'a Kept> {
        let parts = match self {
            Self::One(kept) => return kept.next(),
            Self::Many(parts) => parts,
        };
        let first = parts.peek()?.first()?;
        // An event of several topics stands in the index of each.
        while let Some(mut part) = parts.peek_mut().filter(|part| part.pos == first.at.pos) {
            match Part::new(part.kept, part.next + 1) {
                Some(rest) => *part = rest,
                None => drop(PeekMut::pop(part)),
            }
        }
        Some(first)
    }
}

/// The one with the earliest event is the greatest: a heap gives that first.
impl Ord for Part<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.pos.cmp(&self.pos)
    }
}

impl PartialOrd for Part<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Part<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.pos == other.pos
    }
}

impl Eq for Part<'_> {}
