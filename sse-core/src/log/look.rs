//! What a subscriber asks of a [`Log`]: where its client stands, what it has lost, and what lies ahead.

use std::{collections::BinaryHeap, time::Instant};

use super::{
    Entry, Log, Mark, Pos, Segment,
    merged::{Due, Part},
    topics::{Kept, TopicKey, TopicLog},
};
use crate::{frame::Frame, id::EventId, topic::Topic};

/// One topic of a subscription, and the position from which on it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) key: TopicKey,
    pub(crate) since: Pos,
}

/// Where a client's id stands in this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Right behind this position.
    At(Pos),
    /// In this epoch, behind the head.
    Ahead,
    /// In an epoch that is not known here.
    Elsewhere,
}

/// What a subscriber has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) upto: Mark,
    pub(super) topics: Vec<Topic>,
}

/// What somebody has yet to be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    /// At least one.
    pub(crate) events: usize,
    /// When the first of them came.
    pub(crate) since: Instant,
    pub(crate) next: Pos,
    /// Where whoever it is stands.
    pub(crate) after: EventId,
}

/// What lies behind a position.
pub(super) enum Ahead<'a> {
    Nothing,
    One(&'a Kept),
    /// Several, the last of them here.
    Upto(Mark),
}

impl Log {
    /// Where a client's id stands, for a subscription to these topics.
    pub(super) fn place(&self, id: EventId, members: &[Member]) -> Place {
        if id.epoch == self.head.id.epoch {
            if id.seq > self.head.id.seq {
                return Place::Ahead;
            }
            if id.seq == self.head.id.seq {
                return Place::At(self.head.pos);
            }
        }
        let Some(segment) = self.segments.iter().rposition(|segment| segment.start.id.epoch == id.epoch)
        else {
            return Place::Elsewhere;
        };
        let Segment { start, kept } = self.segments[segment];
        if id.seq < start.id.seq {
            return Place::At(start.pos - 1);
        }
        let start = start.pos;
        let end = self.segments.get(segment + 1).map_or(Pos::MAX, |next| next.start.pos);
        if kept.is_some_and(|(kept, _)| id.seq > kept) {
            return Place::At(end - 1);
        }
        let behind = self
            .order
            .partition_point(|slot| slot.at.pos < start || (slot.at.pos < end && slot.at.id.seq <= id.seq));
        let kept = behind.checked_sub(1).map_or(0, |index| self.order[index].at.pos);
        // What left the log before its neighbours is known by the marks alone.
        let marked = members
            .iter()
            .map(|member| self.lost(&self.topics[member.key]))
            .filter(|mark| mark.id.epoch == id.epoch && mark.id.seq <= id.seq)
            .map(|mark| mark.pos);
        Place::At(marked.fold(start.max(kept), Pos::max))
    }

    /// What a subscriber that stands at `from` has lost, beyond what it was told of up to `told`. *Latest value*
    /// topics lose nothing but by a hole or a seam, which may have taken their present value.
    ///
    /// Between `from` and `told` marks say nothing new: there it counts whether fewer events are kept of a topic
    /// than were `owed`.
    pub(super) fn loss(
        &self,
        members: &[Member],
        from: Pos,
        told: Pos,
        owed: &[(TopicKey, usize)],
    ) -> Option<Loss> {
        let known = from.max(told);
        // Of every topic something may have been where there is nothing now.
        let taken_back = self.taken_back_at(from).filter(|seam| seam.pos > told);
        let mut upto = taken_back;
        let mut topics = Vec::new();
        for member in members {
            let topic = &self.topics[member.key];
            let mut mark = self.lost(topic);
            let mut owed = owed.iter().filter(|(key, _)| *key == member.key);
            let from = from.max(member.since);
            let known = known.max(member.since);
            let lost = if taken_back.is_some() {
                true
            } else if topic.latest {
                if mark.pos < self.last_break.pos {
                    mark = self.last_break;
                }
                self.last_break.pos > known
            } else {
                mark.pos > known || owed.any(|&(key, count)| self.count(key, from, told) < count)
            };
            if lost {
                upto = upto.filter(|upto| upto.pos >= mark.pos).or(Some(mark));
                topics.push(topic.name.clone());
            }
        }
        let upto = upto.filter(|_| !topics.is_empty())?;
        Some(Loss { upto, topics })
    }

    /// The last event that was lost of a topic.
    #[inline]
    fn lost(&self, topic: &TopicLog) -> Mark {
        // Rarely is there anything to look for.
        if self.has_dead { topic.lost(self.horizon) } else { topic.mark }
    }

    /// How many events of a topic are kept behind `from` and not behind `upto`.
    pub(super) fn count(&self, key: TopicKey, from: Pos, upto: Pos) -> usize {
        let from = from.max(self.horizon);
        self.topics.get(key).map_or(0, |topic| {
            let before = topic.kept.partition_point(|kept| kept.at.pos <= from);
            topic.kept.partition_point(|kept| kept.at.pos <= upto).saturating_sub(before)
        })
    }

    /// The topics of the event at this position, if it is still kept.
    pub(super) fn topics_at(&self, pos: Pos) -> Vec<Topic> {
        let slot = self.order.get(self.order.partition_point(|slot| slot.at.pos < pos));
        let entry = slot.filter(|slot| slot.at.pos == pos).and_then(|slot| slot.entry.as_ref());
        let names = |entry: &Entry| entry.topics.iter().map(|&key| self.topics[key].name.clone()).collect();
        entry.map(names).unwrap_or_default()
    }

    /// The names of these topics.
    pub(crate) fn names(&self, members: &[Member]) -> Vec<Topic> {
        members.iter().map(|member| self.topics[member.key].name.clone()).collect()
    }

    /// Whether something of these topics is kept in front of or at `upto`, behind `from`.
    pub(super) fn keeps(&self, members: &[Member], from: Pos, upto: Pos) -> bool {
        self.due(members, from).next().is_some_and(|kept| kept.at.pos <= upto)
    }

    /// Whether nothing of these topics was lost behind `from`. Where it holds, [`loss`](Self::loss) finds none
    /// for a subscriber that stands there and was told of no loss ahead of it.
    pub(super) fn is_whole(&self, members: &[Member], from: Pos) -> bool {
        members.iter().all(|member| self.lost(&self.topics[member.key]).pos <= from.max(member.since))
            && self.taken_back_at(from).is_none()
    }

    /// The newest event of all, if it is this topic's and comes right behind `from`: then nothing lies between.
    #[inline]
    pub(super) fn next_and_newest(&self, member: Member, from: Pos) -> Option<&Kept> {
        if from + 1 != self.head.pos || member.since > from || from < self.horizon {
            return None;
        }
        self.topics[member.key].kept.back().filter(|kept| kept.at.pos == self.head.pos)
    }

    /// What lies behind `from` on these topics: most often nothing, or one event.
    pub(super) fn ahead(&self, members: &[Member], from: Pos) -> Ahead<'_> {
        let mut first: Option<&Kept> = None;
        let mut last: Option<&Kept> = None;
        for part in members.iter().filter_map(|member| self.part(member, from)) {
            first = first.into_iter().chain(part.first()).min_by_key(|kept| kept.at.pos);
            last = last.into_iter().chain(part.last()).max_by_key(|kept| kept.at.pos);
        }
        match (first, last) {
            (Some(first), Some(last)) if first.at.pos == last.at.pos => Ahead::One(last),
            (_, Some(last)) => Ahead::Upto(last.at),
            _ => Ahead::Nothing,
        }
    }

    /// What a subscriber that stands there has yet to be given of what is kept.
    pub(super) fn behind(&self, members: &[Member], at: Mark) -> Option<Behind> {
        members.iter().find(|member| self.topics[member.key].news > at.pos)?;
        let next = self.due(members, at.pos).next()?.at.pos;
        let slot = self.order.get(self.order.partition_point(|slot| slot.at.pos < next))?;
        let count = |member: &Member| self.count(member.key, at.pos.max(member.since), self.head.pos);
        Some(Behind { events: members.iter().map(count).sum(), since: slot.since, next, after: at.id })
    }

    /// A topic's name, how many subscribe to it, and how many events there are of it.
    pub(crate) fn audience(&self, key: TopicKey) -> Option<(Topic, usize, usize)> {
        let topic = self.topics.get(key)?;
        Some((topic.name.clone(), topic.subscribers(), topic.kept.len()))
    }

    /// The same of several from this place on, and where the next are.
    pub(crate) fn audiences(
        &self,
        from: usize,
        places: usize,
    ) -> (Vec<(Topic, usize, usize)>, Option<usize>) {
        let upto = (from + places).min(self.topics.places());
        let some = (from..upto).filter_map(|key| self.audience(key)).collect();
        (some, (upto < self.topics.places()).then_some(upto))
    }

    /// Whether something will be too old by then.
    pub(super) fn expires_by(&self, then: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= then)
    }

    /// Whether something behind this position may be too old by then.
    #[inline]
    pub(crate) fn expires_behind(&self, from: Pos, then: Instant) -> bool {
        if !self.expires_by(then) {
            return false;
        }
        // The oldest expires often, while a live subscriber cares for the newest alone.
        let oldest = self.order.front().map_or(0, |slot| slot.at.pos);
        let next = (from + 1).saturating_sub(oldest) as usize;
        let slot = match self.order.get(next) {
            Some(slot) if slot.at.pos <= from + 1 => Some(slot),
            _ => self.order.get(self.order.partition_point(|slot| slot.at.pos <= from)),
        };
        let expires = slot.and_then(|slot| slot.since.checked_add(self.limits.age));
        expires.is_some_and(|expires| expires <= then)
    }

    /// The events of these topics behind `from`, in order, each once.
    pub(super) fn due(&self, members: &[Member], from: Pos) -> Due<'_> {
        let mut parts = members.iter().filter_map(|member| self.part(member, from));
        match members {
            [_] => parts.next().map_or_else(|| Due::Many(BinaryHeap::new()), |part| Due::One(part.iter())),
            _ => Due::Many(parts.collect()),
        }
    }

    /// A topic's index from the first event on that is behind `from`.
    fn part(&self, member: &Member, from: Pos) -> Option<Part<'_>> {
        let kept = &self.topics[member.key].kept;
        let from = from.max(member.since).max(self.horizon);
        // Most often a subscriber has all but the last few.
        kept.back().filter(|last| last.at.pos > from)?;
        let next = match kept.len().checked_sub(2).and_then(|before| kept.get(before)) {
            Some(before) if before.at.pos > from => kept.partition_point(|kept| kept.at.pos <= from),
            _ => kept.len() - 1,
        };
        Part::new(kept, next)
    }

    /// Where the present values are of those of these topics that keep only the latest, none behind `upto`: in
    /// their order, each once. What lies in front of a hole or a seam may have been superseded there.
    pub(super) fn values(&self, members: &[Member], upto: Pos) -> Vec<(Pos, TopicKey)> {
        let from = self.horizon.max(self.last_break.pos);
        let value = |member: &Member| {
            let topic = &self.topics[member.key];
            let kept = topic.kept.back().filter(|_| topic.latest)?;
            (kept.at.pos > from.max(member.since) && kept.at.pos <= upto).then_some((kept.at.pos, member.key))
        };
        let mut values: Vec<_> = members.iter().filter_map(value).collect();
        values.sort_unstable();
        values.dedup_by_key(|&mut (pos, _)| pos);
        values
    }

    /// One of the [`values`](Self::values), if it is still kept.
    pub(super) fn value(&self, (pos, key): (Pos, TopicKey)) -> Option<&Frame> {
        let kept = &self.topics.get(key)?.kept;
        let kept = kept.get(kept.partition_point(|kept| kept.at.pos < pos))?;
        (kept.at.pos == pos && pos > self.horizon).then_some(&kept.frame)
    }
}
