//! What becomes of a [`Log`] that an engine fills: what is lost on the way, new epochs, and what the engine is known to
//! have.

use std::time::Instant;

use super::{LEFT, Log, Mark, Pos, SEGMENTS, Segment, Slot, TAKEN_BACK};
use crate::id::EventId;

impl Log {
    /// Whether this id, which is ahead of the head, is known not to be the engine's: it was asked after `since`,
    /// when the client had come with it.
    pub(crate) fn denies(&self, id: EventId, since: Instant) -> bool {
        self.engine.is_some_and(|(head, at)| at > since && head.epoch == id.epoch && head.seq < id.seq)
    }

    /// Whether it was asked after `since`, so that its present epoch was known here by then.
    pub(crate) fn knows_epochs_since(&self, since: Instant) -> bool {
        self.engine.is_some_and(|(_, at)| at > since)
    }

    /// What the engine's newest event was at this moment: it answers.
    pub(crate) fn engine_stood(&mut self, head: EventId, at: Instant) {
        self.engine = Some((head, at));
        self.away = false;
    }

    /// The engine does not answer. Nobody is judged by how long it takes.
    pub(crate) fn engine_is_away(&mut self) {
        self.away = true;
    }

    pub(crate) fn is_away(&self) -> bool {
        self.away
    }

    /// Whether what the engine has accepted under this id comes to nobody: it lies behind what was intact of an epoch that
    /// has ended. Where it is not known how much that is, what was accepted only now does.
    pub(crate) fn has_lost(&self, id: EventId, is_new: bool) -> bool {
        let segment = self.segments.iter().rfind(|segment| segment.start.id.epoch == id.epoch);
        let kept = segment.and_then(|segment| segment.kept);
        self.has_left(id.epoch) && kept.map_or(is_new, |(kept, _)| id.seq > kept)
    }

    /// What has this id is no event: the next one's comes behind it.
    pub(crate) fn pass(&mut self, id: EventId) {
        self.head.id = id;
    }

    /// Something up to this id was lost before it came here. Marks every topic; the caller wakes everyone.
    pub(crate) fn hole(&mut self, upto: EventId) {
        let id =
            if upto.epoch == self.head.id.epoch && upto.seq > self.head.id.seq { upto } else { self.head.id };
        self.mark_all(id);
        self.last_hole = self.head.pos;
        self.last_break = self.head;
    }

    /// A new epoch begins, and the one before it is intact up to the sequence `kept`. The caller wakes everyone.
    ///
    /// What lies behind that is taken back. Who stands there is told of a loss and who does not is told nothing;
    /// where nothing is known to be intact, every topic is marked.
    pub(crate) fn seam(&mut self, start: EventId, kept: Option<u64>) {
        let present = self.epoch_start().id.seq..=self.head.id.seq;
        if let Some(kept) = kept.filter(|kept| present.contains(kept)) {
            let behind = |slot: &Slot| slot.at.id.epoch == self.head.id.epoch && slot.at.id.seq > kept;
            let first = self.order.iter().rposition(|slot| !behind(slot)).map_or(0, |last| last + 1);
            let pos = self.order.get(first).map_or(self.head.pos, |slot| slot.at.pos - 1);
            if let Some(segment) = self.segments.back_mut() {
                segment.kept = Some((kept, pos));
            }
            let took_back = self.take_back(first);
            // The place of an id that is taken back, and then the seam's own.
            self.head = Mark { pos: self.head.pos + 2, id: start };
            self.topics.tell_all(self.head.pos);
            if took_back {
                // The value before it is not here any more.
                self.last_seam = self.head.pos;
                self.last_break = self.head;
            }
        } else {
            if kept.is_some_and(|kept| kept < *present.start()) {
                let epoch = self.epoch_start().pos;
                self.take_back(self.order.partition_point(|slot| slot.at.pos <= epoch));
            }
            self.mark_all(start);
            self.last_seam = self.head.pos;
            self.last_break = self.head;
        }
        self.has_epoch_start = true;
        self.segments.push_back(Segment { start: self.head, kept: None });
        if self.segments.len() > SEGMENTS {
            self.forget_segment();
        }
    }

    fn forget_segment(&mut self) {
        let Some(Segment { start, kept }) = self.segments.pop_front() else {
            return;
        };
        self.left.push_back(start.id.epoch);
        if self.left.len() > LEFT {
            self.left.pop_front();
        }
        if let (Some((_, kept)), Some(next)) = (kept, self.segments.front()) {
            self.taken_back.push_back((kept, next.start));
            self.forget_taken_back();
        }
    }

    /// Takes out the events from this one on, as if they had never come. Whether there were any.
    fn take_back(&mut self, first: usize) -> bool {
        let mut any = false;
        while self.order.len() > first {
            let Some(Slot { entry: Some(entry), .. }) = self.order.pop_back() else {
                continue;
            };
            any = true;
            self.live -= 1;
            self.bytes -= entry.bytes;
            for &key in &entry.topics {
                let topic = &mut self.topics[key];
                if let Some(kept) = topic.kept.pop_back() {
                    self.freed.push(kept.frame);
                }
                // One is among the last N again.
                let cap = if topic.latest { Some(1) } else { self.limits.per_topic };
                let back = cap.and_then(|cap| topic.kept.get(topic.kept.len().checked_sub(cap)?));
                if let Some(pos) = back.map(|kept| kept.at.pos) {
                    let index = self.order.partition_point(|slot| slot.at.pos < pos);
                    if let Some(entry) = self.order.get_mut(index).and_then(|slot| slot.entry.as_mut()) {
                        entry.within += 1;
                    }
                }
                self.topics.rest(key);
            }
        }
        any
    }

    /// Of so many seams ago two are taken for one: rather a gap too much than one too few.
    fn forget_taken_back(&mut self) {
        if self.taken_back.len() > TAKEN_BACK
            && let Some((first, _)) = self.taken_back.pop_front()
            && let Some((kept, _)) = self.taken_back.front_mut()
        {
            *kept = first;
        }
    }

    /// The seam in front of which this position was taken back.
    pub(super) fn taken_back_at(&self, pos: Pos) -> Option<Mark> {
        let next = self.segments.partition_point(|segment| segment.start.pos <= pos);
        if next == 0 {
            let behind = self.taken_back.partition_point(|(_, seam)| seam.pos <= pos);
            let (kept, seam) = self.taken_back.get(behind)?;
            return (pos > *kept).then_some(*seam);
        }
        let (_, kept) = self.segments.get(next.checked_sub(1)?)?.kept?;
        (pos > kept).then(|| self.segments.get(next).map(|segment| segment.start)).flatten()
    }

    fn mark_all(&mut self, id: EventId) {
        self.head = Mark { pos: self.head.pos + 1, id };
        self.topics.mark_all(self.head);
    }
}
