//! [`CatchUps`]: events that a whole crowd has missed, put together once.

use bytes::Bytes;

use super::{Log, Mark, Pos, look::Member, topics::TopicKey};

/// How many events are given in one look under the hub's lock, however small they are.
pub(super) const LOOK_AT_ONCE: usize = 512;

/// How many are kept. With no more than [`LARGEST`] bytes each they take half a MiB at the most.
const PLACES: usize = 16;

/// The largest that is kept.
const LARGEST: usize = 32 << 10;

/// The newest few concatenations, each in the place that its topics have.
#[derive(Debug, Default)]
pub(crate) struct CatchUps {
    places: [Option<CatchUp>; PLACES],
}

/// What followed one position on some topics.
#[derive(Debug)]
struct CatchUp {
    topics: Box<[TopicKey]>,
    from: Pos,
    /// The newest event of the topics, whether or not it had room.
    last: Pos,
    limit: usize,
    got: CaughtUp,
}

/// What a subscriber that catches up is given.
#[derive(Clone, Debug)]
pub(crate) struct CaughtUp {
    /// The last event in it.
    pub(super) upto: Mark,
    pub(super) events: usize,
    pub(super) bytes: Bytes,
}

impl CatchUps {
    /// The events of these topics behind `from`, as many as fit into `limit` and at least one. `last` is the newest that there is.
    ///
    /// Nothing behind `from` may have been lost: then what was put together for the same question is still the
    /// answer, as positions are never given twice.
    pub(crate) fn get(
        &mut self,
        log: &Log,
        members: &[Member],
        from: Pos,
        last: Mark,
        limit: usize,
    ) -> CaughtUp {
        let place = members.iter().fold(0, |sum: usize, member| sum.wrapping_add(member.key)) % PLACES;
        let shared = members.iter().all(|member| member.since <= from);
        if let Some(catch_up) = &self.places[place]
            && shared
            && (catch_up.from, catch_up.last, catch_up.limit) == (from, last.pos, limit)
            && catch_up.topics.iter().eq(members.iter().map(|member| &member.key))
        {
            return catch_up.got.clone();
        }
        let mut frames = Vec::new();
        let mut upto = last;
        let mut len = 0;
        for kept in log.due(members, from).take(LOOK_AT_ONCE) {
            if len > 0 && len + kept.frame.len() > limit {
                break;
            }
            len += kept.frame.len();
            upto = kept.at;
            frames.push(kept.frame.as_bytes());
        }
        if let [frame] = frames[..] {
            // Shared already: that of a large event above all.
            return CaughtUp { upto, events: 1, bytes: frame.clone() };
        }
        let mut bytes = Vec::with_capacity(len);
        frames.iter().for_each(|frame| bytes.extend_from_slice(frame));
        let got = CaughtUp { upto, events: frames.len(), bytes: bytes.into() };
        if shared && got.bytes.len() <= LARGEST {
            let topics = members.iter().map(|member| member.key).collect();
            self.places[place] = Some(CatchUp { topics, from, last: last.pos, limit, got: got.clone() });
        }
        got
    }
}
