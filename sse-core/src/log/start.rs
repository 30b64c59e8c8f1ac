//! [`Start`]: where a subscription begins.

use std::{
    collections::BinaryHeap,
    time::{Instant, SystemTime},
};

use super::{Log, Mark, Pos, look::Member};
use crate::id::{ClientId, EventId};

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With what is published from now on. The default.
    #[default]
    Now,
    /// With everything that is still kept, without a word about what is not.
    Oldest,
    /// With as many of the newest events of its topics as are still kept.
    Last(usize),
    /// With what was published at this time or later, by this machine's clock, as far as it is still kept. A clock
    /// that was set meanwhile shifts it.
    Since(SystemTime),
    /// Behind the event with this id, with a gap told where something of it is lost. Present values come wherever
    /// they lie: which of them were received, an id does not tell.
    After(EventId),
}

/// Who says where a subscription begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Position {
    Server(Start),
    /// The client, by its id; `None` where it cannot be read.
    Client(Option<ClientId>),
}

impl From<Start> for Position {
    fn from(start: Start) -> Self {
        Self::Server(start)
    }
}

impl Log {
    /// The position behind which there are as many events of these topics, or as many as are kept.
    pub(super) fn before_last(&self, members: &[Member], events: usize) -> Mark {
        let mut first = self.head.pos + 1;
        // From each topic's newest backwards, the newest of all first; one of several topics counts once.
        let kept = |member: &Member| &self.topics[member.key].kept;
        if members.iter().map(|member| kept(member).len()).sum::<usize>() <= events {
            // All of them, which need not be counted: publishers wait meanwhile.
            return self.before(self.due(members, 0).next().map_or(first, |kept| kept.at.pos));
        }
        let mut next: BinaryHeap<(Pos, usize, usize)> = members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| {
                kept(member).back().map(|last| (last.at.pos, index, kept(member).len() - 1))
            })
            .collect();
        let mut found = 0;
        while let Some((pos, index, at)) = next.pop() {
            if pos <= self.horizon || (pos < first && found == events) {
                break;
            }
            if pos < first {
                found += 1;
                first = pos;
            }
            if let Some(before) = at.checked_sub(1) {
                next.push((kept(&members[index])[before].at.pos, index, before));
            }
        }
        self.before(first)
    }

    /// The position behind which there is what was published at this time or later.
    pub(super) fn before_time(&self, time: SystemTime, now: Instant) -> Mark {
        let ago = SystemTime::now().duration_since(time).unwrap_or_default();
        let Some(then) = now.checked_sub(ago) else {
            return self.start();
        };
        let first = self.order.partition_point(|slot| slot.since < then);
        self.before(self.order.get(first).map_or(self.head.pos + 1, |slot| slot.at.pos))
    }

    /// The position in front of the event at `pos`, or behind all.
    fn before(&self, pos: Pos) -> Mark {
        if pos > self.head.pos {
            return self.head;
        }
        let start = self.start();
        let index = self.order.partition_point(|slot| slot.at.pos < pos);
        match index.checked_sub(1).and_then(|index| self.order.get(index)) {
            Some(slot) if slot.at.pos > start.pos => slot.at,
            _ => start,
        }
    }
}
