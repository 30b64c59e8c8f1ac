//! [`CatchUps`]: events that a whole crowd has missed, put together once.

use bytes::Bytes;

use super::{Log, Mark, Pos, cursor::LOOK_AT_ONCE, look::Member, topics::TopicKey};

/// How many are kept. With no more than [`LARGEST`] bytes each they take a quarter of a MiB at the most.
const PLACES: usize = 16;

/// The largest that is kept.
const LARGEST: usize = 16 << 10;

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
    /// The last event in it.
    upto: Mark,
    bytes: Bytes,
}

impl CatchUps {
    /// The events of these topics behind `from`, as many as fit into `limit` and at least one, and the last of
    /// them. `last` is the newest that there is.
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
    ) -> (Bytes, Mark) {
        let place = members.iter().fold(0, |sum: usize, member| sum.wrapping_add(member.key)) % PLACES;
        let shared = members.iter().all(|member| member.since <= from);
        if let Some(catch_up) = &self.places[place]
            && shared
            && (catch_up.from, catch_up.last, catch_up.limit) == (from, last.pos, limit)
            && catch_up.topics.iter().eq(members.iter().map(|member| &member.key))
        {
            return (catch_up.bytes.clone(), catch_up.upto);
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
            return (frame.clone(), upto);
        }
        let mut bytes = Vec::with_capacity(len);
        frames.iter().for_each(|frame| bytes.extend_from_slice(frame));
        let bytes = Bytes::from(bytes);
        if shared && bytes.len() <= LARGEST {
            let topics = members.iter().map(|member| member.key).collect();
            let catch_up = CatchUp { topics, from, last: last.pos, limit, upto, bytes: bytes.clone() };
            self.places[place] = Some(catch_up);
        }
        (bytes, upto)
    }
}
