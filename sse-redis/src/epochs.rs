//! [`Epochs`]: when the log's last epochs began, and where to go on when the log is not what it was.

use redis::Value;
use sse_core::Fed;

use crate::{
    answer,
    entry::{At, Entry, Position, Said, epoch_of},
    trouble::Trouble,
};

/// As many as the script holds.
const MAX: usize = 64;

/// The beginning of an epoch. It is an entry of the log, too, as long as that is not trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    /// Before its first record.
    pub(crate) start: Position,
    /// The epoch before, if the log up to here is as that one left it.
    pub(crate) previous: Option<u64>,
}

impl Begun {
    /// Up to which place the epoch before is intact.
    pub(crate) fn kept(&self) -> u64 {
        self.start.at.n.saturating_sub(1)
    }

    /// For who was in this epoch until now.
    pub(crate) fn seam(&self, epoch: u64) -> Fed {
        let kept = (self.previous == Some(epoch)).then(|| self.kept());
        Fed::Seam { start: self.start.id(), kept }
    }
}

/// The last epochs, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs(Vec<Begun>);

/// What stands in the log, at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    /// Behind its newest entry.
    pub(crate) head: Position,
    /// By how much its own time is ahead of the server's clock, in milliseconds.
    pub(crate) skew: u64,
    /// The server's clock, in milliseconds.
    pub(crate) clock: u64,
    pub(crate) epochs: Epochs,
    /// The oldest entry.
    pub(crate) first: Option<Entry>,
}

/// Where a reader stands in a log that is not what it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// What follows can be read as ever.
    InOrder,
    /// In this epoch, but there is less of it: another one must begin.
    Beyond,
    /// There, and this has become of what was between.
    Moved { to: Position, told: Vec<Fed> },
}

impl Epochs {
    pub(crate) fn parse(value: Value) -> Result<Self, Trouble> {
        let one = |value| {
            let text = answer::text(value)?;
            Self::one(&text).ok_or(Trouble::Unexpected("an epoch's beginning"))
        };
        Ok(Self(answer::list(value)?.into_iter().map(one).collect::<Result<_, _>>()?))
    }

    fn one(text: &str) -> Option<Begun> {
        let mut parts = text.split(' ');
        let epoch = epoch_of(parts.next()?)?;
        let n = parts.next()?.parse().ok()?;
        let ms = parts.next()?.parse().ok()?;
        let previous = match parts.next()? {
            "" => None,
            previous => Some(epoch_of(previous)?),
        };
        Some(Begun { start: Position { epoch, at: At { ms, n } }, previous })
    }

    /// Adds the newest, unless it is known already.
    pub(crate) fn push(&mut self, begun: Begun) {
        if self.index(begun.start.epoch).is_some() {
            return;
        }
        if self.0.len() >= MAX {
            self.0.remove(0);
        }
        self.0.push(begun);
    }

    fn index(&self, epoch: u64) -> Option<usize> {
        self.0.iter().rposition(|begun| begun.start.epoch == epoch)
    }

    /// Whether the logs that these are of have something in common.
    pub(crate) fn are_kin(&self, others: &Self) -> bool {
        self.0.iter().any(|begun| others.index(begun.start.epoch).is_some())
    }

    /// If this epoch lies before another one, as far as is known: whether what came next had its records.
    pub(crate) fn before(&self, epoch: u64, other: u64) -> Option<bool> {
        let (index, other) = (self.index(epoch)?, self.index(other)?);
        let next = self.0.get(index + 1).filter(|_| index < other)?;
        Some(next.previous == Some(epoch))
    }

    /// Where to go on that was to go on there: not in front of an epoch that was left, whatever its log has there now.
    pub(crate) fn behind_those(&self, to: Position, is_left: impl Fn(u64) -> bool) -> Option<Position> {
        let last = self.0.iter().rposition(|begun| is_left(begun.start.epoch));
        match last {
            Some(last) if self.index(to.epoch).is_none_or(|index| index <= last) => {
                self.0.get(last + 1).map(|begun| begun.start)
            }
            _ => Some(to).filter(|to| !is_left(to.epoch)),
        }
    }

    /// Where an epoch began.
    pub(crate) fn begun(&self, epoch: u64) -> Option<&Begun> {
        self.0.get(self.index(epoch)?)
    }

    /// The oldest position that nothing lies behind but epochs that begin, and these, oldest first.
    pub(crate) fn same_place(&self, position: Position) -> (Position, Vec<Begun>) {
        let (mut earliest, mut between) = (position, Vec::new());
        while let Some(begun) = self.begun(earliest.epoch).filter(|begun| begun.start.at.n == earliest.at.n) {
            let Some(before) = begun.previous.filter(|_| earliest.at.n > 0) else { break };
            // Its newest record is not in the log any more, or it is what the log begins with.
            earliest = Position { epoch: before, at: At { ms: begun.start.at.ms, n: begun.kept() } };
            between.insert(0, *begun);
        }
        (earliest, between)
    }

    /// Where a reader stands that is at this position, and has known these epochs, in a log in this state.
    pub(crate) fn standing(&self, position: Position, now: &Snapshot) -> Standing {
        let epochs = &now.epochs;
        if let Some(index) = epochs.index(position.epoch) {
            return match epochs.0.get(index + 1) {
                Some(next) => next.standing(position, now.first.as_ref()),
                None if now.head.at.n < position.at.n => Standing::Beyond,
                None => Standing::InOrder,
            };
        }
        if now.head.epoch == position.epoch {
            return if now.head.at.n < position.at.n { Standing::Beyond } else { Standing::InOrder };
        }
        // This log never had that epoch. What both have had before was given already.
        let older = self.0[..self.index(position.epoch).unwrap_or(0)].iter().rev();
        let fork = older.filter_map(|begun| epochs.0.get(epochs.index(begun.start.epoch)? + 1)).next();
        let to = fork.map_or_else(|| now.start(), |next| next.start);
        Standing::Moved { to, told: vec![Fed::Seam { start: to.id(), kept: None }] }
    }
}

impl Begun {
    /// Where a reader of the epoch before stands.
    fn standing(&self, position: Position, first: Option<&Entry>) -> Standing {
        let mut told = Vec::new();
        let is_intact = self.previous == Some(position.epoch);
        if is_intact && self.kept() >= position.at.n {
            if first.is_some_and(|first| first.at <= self.start.at) {
                return Standing::InOrder;
            }
            // Trimmed, with what was before it.
            if self.kept() > position.at.n {
                let upto = Position { at: At { n: self.kept(), ..position.at }, ..position };
                told.push(Fed::Hole { upto: upto.id() });
            }
        }
        told.push(self.seam(position.epoch));
        Standing::Moved { to: self.start, told }
    }
}

impl Snapshot {
    /// Before the oldest record that can be read.
    pub(crate) fn start(&self) -> Position {
        self.first.as_ref().and_then(Entry::before).unwrap_or(self.head)
    }
}

impl Entry {
    /// The position before the record, or behind the beginning of an epoch.
    pub(crate) fn before(&self) -> Option<Position> {
        match self.said {
            Said::Record { epoch, .. } => {
                Some(Position { epoch, at: At { n: self.at.n.saturating_sub(1), ..self.at } })
            }
            Said::Begins { epoch, .. } => Some(Position { epoch, at: self.at }),
            Said::Foreign => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sse_core::EventId;

    use super::*;

    fn at(epoch: u64, n: u64) -> Position {
        Position { epoch, at: At { ms: n * 10, n } }
    }

    fn epochs(begun: &[(u64, u64, Option<u64>)]) -> Epochs {
        Epochs(
            begun
                .iter()
                .map(|(epoch, n, previous)| Begun { start: at(*epoch, *n), previous: *previous })
                .collect(),
        )
    }

    fn record(epoch: u64, n: u64) -> Entry {
        Entry { at: at(epoch, n).at, said: Said::Record { epoch, record: Bytes::new() } }
    }

    fn log(begun: &[(u64, u64, Option<u64>)], first: Option<Entry>, head: Position) -> Snapshot {
        Snapshot { head, skew: 0, clock: 0, epochs: epochs(begun), first }
    }

    fn seam(start: Position, kept: Option<u64>) -> Fed {
        Fed::Seam { start: EventId::new(start.epoch, start.at.n), kept }
    }

    fn moved(to: Position, told: impl Into<Vec<Fed>>) -> Standing {
        Standing::Moved { to, told: told.into() }
    }

    #[test]
    fn an_intact_restart_is_read_in_order() {
        let known = epochs(&[(1, 0, None)]);
        let now = log(&[(1, 0, None), (2, 6, Some(1))], Some(record(1, 1)), at(2, 6));
        for n in [3, 5] {
            assert_eq!(known.standing(at(1, n), &now), Standing::InOrder);
        }
    }

    #[test]
    fn lost_writes_are_told_exactly_even_where_their_positions_were_used_again() {
        let known = epochs(&[(1, 0, None)]);
        let now = log(&[(1, 0, None), (2, 6, Some(1))], Some(record(1, 1)), at(2, 100));
        assert_eq!(known.standing(at(1, 9), &now), moved(at(2, 6), [seam(at(2, 6), Some(5))]));
    }

    #[test]
    fn an_epochs_beginning_that_was_trimmed_is_known_nevertheless() {
        let known = epochs(&[(1, 0, None)]);
        let now = log(&[(1, 0, None), (2, 6, Some(1))], Some(record(2, 20)), at(2, 30));
        assert_eq!(known.standing(at(1, 5), &now), moved(at(2, 6), [seam(at(2, 6), Some(5))]));
        let hole = Fed::Hole { upto: EventId::new(1, 5) };
        assert_eq!(known.standing(at(1, 3), &now), moved(at(2, 6), [hole, seam(at(2, 6), Some(5))]));
        let empty = log(&[(1, 0, None), (2, 6, Some(1))], None, at(2, 6));
        assert_eq!(known.standing(at(1, 5), &empty), moved(at(2, 6), [seam(at(2, 6), Some(5))]));
    }

    #[test]
    fn a_log_that_was_deleted_keeps_nothing() {
        let known = epochs(&[(1, 0, None)]);
        // The stream alone.
        let now = log(&[(1, 0, None), (2, 6, None)], Some(record(2, 7)), at(2, 7));
        assert_eq!(known.standing(at(1, 5), &now), moved(at(2, 6), [seam(at(2, 6), None)]));
        // Everything.
        let now = log(&[(2, 0, None)], Some(record(2, 1)), at(2, 7));
        assert_eq!(known.standing(at(1, 5), &now), moved(at(2, 0), [seam(at(2, 0), None)]).with_ms(10));
    }

    #[test]
    fn an_epoch_of_the_other_side_of_a_split_ends_where_the_sides_parted() {
        let known = epochs(&[(1, 0, None), (2, 6, Some(1))]);
        let now = log(&[(1, 0, None), (3, 8, Some(1))], Some(record(1, 1)), at(3, 9));
        assert_eq!(known.standing(at(2, 9), &now), moved(at(3, 8), [seam(at(3, 8), None)]));
    }

    #[test]
    fn less_of_the_same_epoch_is_not_the_same() {
        let known = epochs(&[(1, 0, None)]);
        let now = log(&[(1, 0, None)], Some(record(1, 1)), at(1, 4));
        assert_eq!(known.standing(at(1, 5), &now), Standing::Beyond);
        assert_eq!(known.standing(at(1, 4), &now), Standing::InOrder);
    }

    #[test]
    fn an_epoch_that_was_read_ahead_is_none_before() {
        let mut known = epochs(&[(1, 0, None), (2, 6, Some(1)), (3, 9, Some(2))]);
        // As it is met.
        known.push(Begun { start: at(2, 6), previous: Some(1) });
        assert_eq!((known.before(3, 2), known.before(2, 2), known.before(1, 2)), (None, None, Some(true)));
        assert_eq!((known.before(4, 2), known.before(1, 4)), (None, None));
        assert!(known.are_kin(&epochs(&[(3, 0, None)])) && !known.are_kin(&epochs(&[(4, 0, None)])));
    }

    #[test]
    fn nothing_goes_on_in_front_of_what_was_left() {
        let now = epochs(&[(1, 0, None), (2, 6, Some(1)), (3, 9, None)]);
        assert_eq!(now.behind_those(at(1, 0), |epoch| epoch == 2), Some(at(3, 9)));
        assert_eq!(now.behind_those(at(2, 6), |epoch| epoch == 1), Some(at(2, 6)));
        assert_eq!(
            now.behind_those(at(7, 1), |epoch| epoch == 1),
            Some(at(2, 6)),
            "of which nothing is known"
        );
        assert_eq!(now.behind_those(at(7, 1), |_| false), Some(at(7, 1)));
        assert_eq!(now.behind_those(at(3, 9), |epoch| epoch == 3), None);
        assert_eq!(now.behind_those(at(7, 1), |epoch| epoch == 7), None);
    }

    #[test]
    fn epochs_without_a_record_between_them_are_one_place() {
        let known = epochs(&[(1, 0, None), (2, 6, Some(1)), (3, 7, Some(2))]);
        let (place, between) = known.same_place(at(3, 7));
        assert_eq!((place.epoch, place.at.n), (1, 5));
        assert_eq!(between.iter().map(|begun| begun.start.epoch).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(known.same_place(at(3, 8)), (at(3, 8), Vec::new()));
        assert_eq!(known.same_place(at(1, 0)), (at(1, 0), Vec::new()));
    }

    impl Standing {
        fn with_ms(mut self, ms: u64) -> Self {
            if let Self::Moved { to, .. } = &mut self {
                to.at.ms = ms;
            }
            self
        }
    }
}
