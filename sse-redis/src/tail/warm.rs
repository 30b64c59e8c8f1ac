//! Where a follower begins, and what it is given of what was kept.

use redis::Value;
use sse_core::Fed;

use super::Follower;
use crate::{
    answer,
    entry::{At, Entry, Said},
    epochs::Snapshot,
    script::millis,
    server::Connection,
    trouble::Trouble,
};

/// So many of the newest entries tell how large records are.
const SAMPLE: usize = 16;

/// About so many kept records are asked for at a time.
const KEPT: usize = 64;

impl Follower {
    /// Finds the place in the log to begin at. What is trimmed from now on is found missing when it is read.
    pub(super) async fn begin(
        &mut self,
        connection: &mut Connection,
        snapshot: &Snapshot,
    ) -> Result<(), Trouble> {
        let first = self.first_wanted(connection, snapshot).await?;
        let position = first.as_ref().and_then(Entry::before).unwrap_or(snapshot.head);
        let (start, between) = snapshot.epochs.same_place(position);
        let is_first = snapshot.epochs.begun(start.epoch).is_some_and(|begun| begun.start.at.n == start.at.n);
        self.out.push_back(Fed::Begin { start: start.id(), is_first });
        let mut epoch = start.epoch;
        for begun in between {
            self.out.push_back(begun.seam(epoch));
            self.left.push(epoch, true);
            epoch = begun.start.epoch;
        }
        self.epochs = snapshot.epochs.clone();
        self.move_to(position);
        Ok(())
    }

    /// The first entry of the past that is wanted; none where nothing is.
    async fn first_wanted(
        &self,
        connection: &mut Connection,
        snapshot: &Snapshot,
    ) -> Result<Option<Entry>, Trouble> {
        let now = snapshot.clock.saturating_add(snapshot.skew);
        let mut since = now.saturating_sub(millis(self.past.age));
        let Some(mut first) = self.entry_since(connection, since).await? else { return Ok(None) };
        let wanted = self.wanted_records(connection).await? as u64;
        if wanted == 0 {
            return Ok(None);
        }
        // Places are dense, but only times can be looked up: halves the time until there are not many too many.
        let behind = |entry: &Entry| snapshot.head.at.n.saturating_sub(entry.at.n);
        let mut until = snapshot.head.at.ms;
        while behind(&first) >= wanted.saturating_mul(2) && since + 1 < until {
            let middle = since + (until - since) / 2;
            match self.entry_since(connection, middle).await? {
                Some(entry) if behind(&entry) + 1 >= wanted => (since, first) = (middle, entry),
                _ => until = middle,
            }
        }
        Ok(Some(first))
    }

    async fn entry_since(&self, connection: &mut Connection, ms: u64) -> Result<Option<Entry>, Trouble> {
        let (mut since, mut count) = (At { ms, n: 0 }, 1);
        loop {
            let mut command = redis::cmd("XRANGE");
            command.arg(&self.script.keys().log).arg(since.to_string()).arg("+").arg("COUNT").arg(count);
            count = SAMPLE;
            let entries = Entry::all(connection.ask(&command).await?)?;
            let Some(last) = entries.last().map(|entry| entry.at) else { return Ok(None) };
            // One of somebody else's has no place.
            if let Some(first) = entries.into_iter().find(|entry| entry.said != Said::Foreign) {
                return Ok(Some(first));
            }
            let Some(n) = last.n.checked_add(1) else { return Ok(None) };
            since = At { n, ..last };
        }
    }

    /// How many records are wanted, with those that their bytes leave room for, about.
    async fn wanted_records(&self, connection: &mut Connection) -> Result<usize, Trouble> {
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&self.script.keys().log).arg("+").arg("-").arg("COUNT").arg(SAMPLE);
        let sample = Entry::all(connection.ask(&command).await?)?;
        let sizes = sample.iter().filter_map(|entry| match &entry.said {
            Said::Record { record, .. } => Some(record.len()),
            _ => None,
        });
        let (count, bytes) = sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size));
        let fit = self.past.bytes.saturating_mul(count).checked_div(bytes).unwrap_or(usize::MAX);
        Ok(self.past.events.min(fit.max(1)))
    }

    /// Some of the kept records, from here on.
    pub(super) async fn hand_out_kept(
        &mut self,
        connection: &mut Connection,
        cursor: u64,
    ) -> Result<(), Trouble> {
        // If it breaks, all are asked for once more.
        self.kept = Some(0);
        let mut command = redis::cmd("HSCAN");
        command.arg(&self.script.keys().kept).arg(cursor).arg("COUNT").arg(KEPT);
        let [next, pairs] = answer::exactly(connection.ask(&command).await?)?;
        let next = answer::number(next)?;
        for value in answer::list(pairs)?.into_iter().skip(1).step_by(2) {
            match self.kept_record(value) {
                Ok(fed) => self.out.extend(fed),
                Err(trouble) => {
                    let key = &self.script.keys().kept;
                    tracing::warn!(
                        key,
                        "somebody else writes into it, what is no record is skipped: {trouble}"
                    );
                }
            }
        }
        self.kept = Some(next).filter(|next| *next != 0);
        self.reached();
        Ok(())
    }

    /// One that has not outlived its time.
    fn kept_record(&self, value: Value) -> Result<Option<Fed>, Trouble> {
        const WRONG: Trouble = Trouble::Unexpected("a kept record");
        let mut until = answer::bytes(value)?;
        let space = until.iter().position(|byte| *byte == b' ').ok_or(WRONG)?;
        let record = until.split_off(space + 1);
        until.pop();
        let until = String::from_utf8(until).ok().and_then(|until| until.parse().ok()).ok_or(WRONG)?;
        let outlived = !self.clock.since(until).is_zero();
        Ok((!outlived).then(|| Fed::Kept { record: record.into() }))
    }
}
