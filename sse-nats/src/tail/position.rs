//! [`Position`]: what was given so far, and whether the log still has it.

use std::{collections::VecDeque, time::Duration};

use sse_core::{EventId, Fed};
use tokio::time::sleep;

use crate::{
    api::ApiError,
    epoch::Epoch,
    link::{Link, StreamInfo},
    seen::Seen,
    stream_config::Identity,
};

/// How often a cluster is asked whether it really has less than it had, and with what pauses: for a stream on one server,
/// which can have lost something, and for one on several, which is no more than late.
const LOOKS: usize = 6;
const LOOKS_AT_REPLICAS: usize = 40;
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Epochs that are remembered: in an older copy of the log the present one has not begun.
const MAX_PAST: usize = 16;

/// Where in which log.
pub(super) struct Position {
    pub(super) base: u64,
    pub(super) epoch: Epoch,
    pub(super) seq: u64,
    pub(super) seen: Seen,
    /// The epochs before, as far as they were followed, the last one last.
    pub(super) past: VecDeque<u64>,
    pub(super) kept: KeptRecords,
}

/// How far the kept records were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeptRecords {
    /// Some may not have come to this node: all are to be read.
    Owed,
    /// They are being read.
    Asked,
    Given,
}

impl Position {
    pub(super) fn id(&self) -> EventId {
        EventId::new(self.epoch.id, self.seq)
    }

    /// What lies in front of it was not read, and with it perhaps what was kept.
    pub(super) fn hole(&mut self, out: &mut VecDeque<Fed>) {
        self.kept = KeptRecords::Owed;
        out.push_back(Fed::Hole { upto: self.id() });
    }

    /// Another epoch begins here.
    pub(super) fn seam(&mut self, kept: Option<u64>, out: &mut VecDeque<Fed>) {
        if kept.is_none() {
            self.kept = KeptRecords::Owed;
        }
        out.push_back(Fed::Seam { start: self.id(), kept });
    }

    /// The epochs before, with this one.
    pub(super) fn with_this(&self) -> VecDeque<u64> {
        let all = self.past.iter().chain([&self.epoch.id]).copied();
        all.skip((self.past.len() + 1).saturating_sub(MAX_PAST)).collect()
    }

    /// Goes on in another epoch of the same log, behind its beginning or further.
    pub(super) fn enter(&mut self, epoch: Epoch, seq: u64) {
        self.past = self.with_this();
        self.epoch = epoch;
        if seq < self.seq {
            self.seen.forget_from(seq);
        }
        self.seq = seq;
    }
}

/// Up to where an epoch is intact, if nothing of it lies behind that: what has come to lie there has other ids, or was
/// accepted and is in doubt, and nobody can be told of it but by a gap.
pub(super) fn certain(next: Epoch, kept: u64) -> Option<u64> {
    (kept + 1 >= next.since).then_some(kept)
}

pub(super) fn is_log(link: &Link, info: &StreamInfo) -> bool {
    Identity::of(&info.config, &link.names).is_ok_and(|identity| identity.base == link.base)
}

/// Whether the log still has what was read last, or has had it.
pub(super) async fn is_intact(link: &Link, position: &Position, info: &StreamInfo) -> Result<bool, ApiError> {
    let mut last = info.state.last_seq;
    let looks = match link.replicas {
        _ if link.is_alone() => 1,
        0 | 1 => LOOKS,
        _ => LOOKS_AT_REPLICAS,
    };
    for _ in 1..looks {
        if last >= position.seq {
            break;
        }
        // A new leader may not have come to the end of its log yet.
        sleep(LOOK_AGAIN).await;
        last = link.info().await?.state.last_seq;
    }
    if last < position.seq {
        return Ok(false);
    }
    Ok(position.seen.first_other(link, position.seq).await?.is_none())
}

/// Where the log goes on that does not have the present epoch: behind the last one of those before that it has, or where it
/// begins now.
pub(super) async fn end_of_past(
    link: &Link,
    position: &Position,
    before_first: u64,
) -> Result<Epoch, ApiError> {
    for epoch in position.past.iter().rev() {
        if let Some((next, _)) = link.end_of(*epoch).await? {
            return Ok(next);
        }
    }
    let epoch = link.epoch_at(before_first).await?;
    Ok(Epoch { id: epoch.id, since: before_first })
}

/// Goes over what can no longer be read.
pub(super) async fn pass(
    link: &Link,
    position: &mut Position,
    upto: u64,
    out: &mut VecDeque<Fed>,
) -> Result<(), ApiError> {
    // An epoch may have ended there.
    link.look_again().await?;
    let epoch = link.epoch_at(upto).await?;
    if epoch.id == position.epoch.id {
        position.seq = upto;
        position.hole(out);
    } else {
        position.enter(epoch, upto);
        position.seam(None, out);
    }
    Ok(())
}
