//! When the last records were stored, by which one is told from another at its position.

use std::collections::VecDeque;

use crate::{api::ApiError, link::Link};

/// Records that are remembered.
const MAX: usize = 1024;
/// The newest of them, each of which is looked at: replicas that were killed together may differ in some of those that were
/// under way, and not in what came later.
const RECENT: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Seen {
    times: VecDeque<(u64, i64)>,
}

impl Seen {
    pub(crate) fn push(&mut self, seq: u64, time: i64) {
        if self.times.len() == MAX {
            self.times.pop_front();
        }
        self.times.push_back((seq, time));
    }

    /// What lies behind a position is no longer there.
    pub(crate) fn forget_from(&mut self, seq: u64) {
        self.times.truncate(self.times.partition_point(|(seen, _)| *seen < seq));
    }

    /// Whether the record at a position may be the one that was read there.
    pub(crate) fn may_be(&self, seq: u64, time: Option<i64>) -> bool {
        match (self.time_of(seq), time) {
            (Some(seen), Some(time)) => seen == time,
            _ => true,
        }
    }

    fn time_of(&self, seq: u64) -> Option<i64> {
        let index = self.times.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        self.times.get(index).map(|(_, time)| *time)
    }

    /// The first position of the newest ones up to a limit at which the log has another record than what was read there.
    /// What has left the log is no other.
    pub(crate) async fn first_other(&self, link: &Link, limit: u64) -> Result<Option<u64>, ApiError> {
        let known = self.times.partition_point(|(seq, _)| *seq <= limit);
        let recent: Vec<_> = self.times.range(known.saturating_sub(RECENT)..known).copied().collect();
        let (Some((first, _)), Some((last, _))) = (recent.first(), recent.last()) else { return Ok(None) };
        let times = link.times(*first, *last).await?;
        let is_other = |(seq, seen): &&(u64, i64)| times.get(seq).is_some_and(|time| time != seen);
        Ok(recent.iter().find(is_other).map(|(seq, _)| *seq))
    }

    /// The last position up to a limit at which the log has what was read there. Up to it the past is the same: what is
    /// replaced further back than among the newest is replaced to the end.
    pub(crate) async fn last_common(
        &self,
        link: &Link,
        limit: u64,
        first: u64,
    ) -> Result<Option<u64>, ApiError> {
        let limit = match self.first_other(link, limit).await? {
            Some(other) => other - 1,
            None => limit,
        };
        let known: Vec<_> = self.times.iter().filter(|(seq, _)| (first..=limit).contains(seq)).collect();
        let (mut same, mut other) = (0, known.len());
        while same < other {
            let middle = same + (other - same) / 2;
            let (seq, time) = *known[middle];
            if link.time_of(seq).await? == Some(time) { same = middle + 1 } else { other = middle }
        }
        Ok(same.checked_sub(1).map(|last| known[last].0))
    }
}
