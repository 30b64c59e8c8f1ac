//! [`Wake`]: who sleeps on which topic in one runtime, and in what order they are woken.

use std::{collections::VecDeque, task::Waker};

use slab::Slab;

use super::slot::Slot;
use crate::log::{Log, TopicKey};

/// How many subscribers are woken under one lock.
///
/// Below the 61 tasks after which tokio's scheduler looks at I/O: with more, those who were woken write before
/// their events can merge.
const WAKE_AT_ONCE: usize = 24;

/// How many are looked at under one lock.
const LOOK_AT_ONCE: usize = 256;

#[derive(Debug, Default)]
pub(in crate::hub) struct Wake {
    /// By topic key. Most topics have their subscribers in one runtime of several.
    rings: Vec<Option<Box<Ring>>>,
    /// Topics with somebody left to wake.
    marked: VecDeque<TopicKey>,
    /// Topics with news that are not to be told yet: the hub lingers.
    held: Option<Vec<TopicKey>>,
}

/// A topic's subscribers, in the order in which they were last woken.
#[derive(Debug, Default)]
struct Ring {
    members: VecDeque<(u32, u32)>,
    /// How many, from the front, are still to be looked at.
    pending: usize,
    /// How many of the members have gone.
    gone: usize,
    /// Whether its news is held back.
    held: bool,
}

impl Wake {
    /// With `linger`, what is marked waits for [`release`](Self::release).
    pub(in crate::hub) fn new(linger: bool) -> Self {
        Self { held: linger.then(Vec::new), ..Self::default() }
    }

    /// Those that were held back are to be told now. Whether there were any.
    pub(in crate::hub) fn release(&mut self) -> bool {
        let Some(held) = self.held.as_mut().map(std::mem::take) else {
            return false;
        };
        for &key in &held {
            if let Some(ring) = ring(&mut self.rings, key) {
                ring.held = false;
            }
            self.start(key);
        }
        !held.is_empty()
    }

    pub(in crate::hub) fn join(&mut self, key: TopicKey, slot: usize, generation: u32) {
        if self.rings.len() <= key {
            self.rings.resize_with(key + 1, || None);
        }
        self.rings[key].get_or_insert_default().members.push_back((slot as u32, generation));
    }

    /// A subscriber of the topic has gone for good. Members are taken out when many have.
    pub(in crate::hub) fn leave(&mut self, key: TopicKey, slots: &Slab<Slot>) {
        let Some(ring) = ring(&mut self.rings, key) else {
            return;
        };
        ring.gone += 1;
        if 2 * ring.gone >= ring.members.len() {
            ring.gone = 0;
            ring.retain(|&(slot, generation)| {
                slots.get(slot as usize).is_some_and(|slot| slot.generation == generation)
            });
        }
        self.drop_empty(key);
    }

    /// A subscriber has left this topic alone.
    pub(in crate::hub) fn leave_one(&mut self, key: TopicKey, slot: usize, generation: u32) {
        if let Some(ring) = ring(&mut self.rings, key) {
            ring.retain(|&member| member != (slot as u32, generation));
        }
        self.drop_empty(key);
    }

    fn drop_empty(&mut self, key: TopicKey) {
        if let Some(ring) = self.rings.get_mut(key) {
            ring.take_if(|ring| ring.members.is_empty());
        }
    }

    /// The topic has news for its subscribers.
    pub(in crate::hub) fn mark(&mut self, key: TopicKey) {
        let Some(held) = &mut self.held else {
            return self.start(key);
        };
        let Some(ring) = ring(&mut self.rings, key) else {
            return;
        };
        if !ring.held && !ring.members.is_empty() {
            ring.held = true;
            held.push(key);
        }
    }

    fn start(&mut self, key: TopicKey) {
        let Some(ring) = ring(&mut self.rings, key) else {
            return;
        };
        if ring.pending == 0 && !ring.members.is_empty() {
            self.marked.push_back(key);
        }
        ring.pending = ring.members.len();
    }

    /// Whether there is nobody to wake, now or later.
    pub(in crate::hub) fn is_idle(&self) -> bool {
        self.marked.is_empty() && self.held.as_ref().is_none_or(Vec::is_empty)
    }

    /// Whether there is nobody to wake now.
    pub(in crate::hub) fn is_done(&self) -> bool {
        self.marked.is_empty()
    }

    /// The next few sleepers, for the caller to wake outside the lock. Topics take turns.
    pub(in crate::hub) fn next(&mut self, log: &Log, slots: &mut Slab<Slot>, wakers: &mut Vec<Waker>) {
        let mut looks = LOOK_AT_ONCE;
        while let Some(&key) = self.marked.front() {
            let Some(ring) = ring(&mut self.rings, key) else {
                self.marked.pop_front();
                continue;
            };
            let news = log.news(key);
            while ring.pending > 0 && looks > 0 && wakers.len() < WAKE_AT_ONCE {
                ring.pending -= 1;
                looks -= 1;
                let Some(member) = ring.members.pop_front() else {
                    ring.pending = 0;
                    break;
                };
                let (slot, generation) = member;
                match slots.get_mut(slot as usize) {
                    Some(slot) if slot.generation == generation => {
                        ring.members.push_back(member);
                        if slot.cursor.pos() < news {
                            wakers.extend(slot.waker.take());
                        }
                    }
                    _ => ring.gone = ring.gone.saturating_sub(1),
                }
            }
            if ring.pending > 0 {
                break;
            }
            self.marked.pop_front();
        }
        if self.marked.len() > 1 {
            self.marked.rotate_left(1);
        }
    }
}

fn ring(rings: &mut [Option<Box<Ring>>], key: TopicKey) -> Option<&mut Ring> {
    rings.get_mut(key)?.as_deref_mut()
}

impl Ring {
    fn retain(&mut self, mut stays: impl FnMut(&(u32, u32)) -> bool) {
        let (mut index, mut pending) = (0, 0);
        let before = self.pending;
        self.members.retain(|member| {
            let stays = stays(member);
            pending += usize::from(stays && index < before);
            index += 1;
            stays
        });
        self.pending = pending;
    }
}
