//! [`Script`]: all that is written to Redis, as one script that the server runs.

use std::time::Duration;

use redis::{Cmd, Value};
use sse_core::{EventId, Publication, Published};

use crate::{
    answer,
    entry::{At, Entry, Position, epoch_of},
    epochs::{Epochs, Snapshot},
    keys::Keys,
    server::Connection,
    trouble::Trouble,
};

/// How much of the past is held, and for how long keys are known.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Records leave after this time.
    pub(crate) retention: Duration,
    /// Or when there are more than these, roughly.
    pub(crate) max_records: usize,
    /// At most so many are kept beyond that.
    pub(crate) max_kept: usize,
    /// A key is remembered for this time.
    pub(crate) key_window: Duration,
}

/// The script, for one log.
#[derive(Clone)]
pub(crate) struct Script {
    script: redis::Script,
    keys: Keys,
    held: Held,
}

/// What became of a record.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Published {
        published: Published,
        clock: u64,
    },
    /// It came too late by the server's clock, which says this.
    Late {
        clock: u64,
    },
}

/// Whether the present epoch is to end, though the server is the same.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    No,
    /// If it is this one and has not come to this position, of which a reader knows that it was there.
    Before(Position),
    /// If it is this one.
    Now {
        epoch: u64,
        is_intact: bool,
    },
}

impl Script {
    pub(crate) fn new(keys: Keys, held: Held) -> Self {
        Self { script: redis::Script::new(include_str!("script.lua")), keys, held }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn held(&self) -> &Held {
        &self.held
    }

    /// Sees to it that the present server's epoch has begun, and what there is then.
    pub(crate) async fn open(&self, connection: &mut Connection, end: End) -> Result<Snapshot, Trouble> {
        let (epoch, n, is_intact) = match end {
            End::No => (String::new(), 0, false),
            End::Before(position) => (written(position.epoch), position.at.n, false),
            // As far as Lua can count.
            End::Now { epoch, is_intact } => (written(epoch), 1 << 53, is_intact),
        };
        let answer = self.run(connection, "open", &self.keys.probe, |command| {
            command.arg(epoch.as_str()).arg(n).arg(u8::from(is_intact));
        });
        let [epoch, n, ms, skew, clock, epochs, first] = answer::exactly(answer.await?)?;
        Ok(Snapshot {
            head: Position {
                epoch: parsed(epoch)?,
                at: At { ms: answer::number(ms)?, n: answer::number(n)? },
            },
            skew: answer::number(skew)?,
            clock: answer::number(clock)?,
            epochs: Epochs::parse(epochs)?,
            first: Entry::all(first)?.pop(),
        })
    }

    /// Appends a record, unless the server's clock is past the deadline.
    pub(crate) async fn publish(
        &self,
        connection: &mut Connection,
        publication: &Publication,
        deadline: u64,
    ) -> Result<Outcome, Trouble> {
        let keep = publication.keep.as_ref();
        let known = self.keys.known(&publication.key);
        let answer = self.run(connection, "publish", &known, |command| {
            command
                .arg(&publication.record[..])
                .arg(millis(self.held.key_window))
                .arg(self.held.max_records)
                .arg(millis(self.held.retention))
                .arg(deadline)
                .arg(keep.map_or("", |keep| &keep.name))
                .arg(keep.map_or(0, |keep| millis(keep.lifetime)))
                .arg(self.held.max_kept)
                .arg(u8::from(keep.is_some_and(|keep| keep.is_optional)));
        });
        let [epoch, n, is_new, clock] = answer::exactly(answer.await?)?;
        let clock = answer::number(clock)?;
        let epoch = answer::text(epoch)?;
        if epoch.is_empty() {
            return Ok(Outcome::Late { clock });
        }
        let epoch = epoch_of(&epoch).ok_or(Trouble::Unexpected("an epoch"))?;
        let id = EventId::new(epoch, answer::number(n)?);
        Ok(Outcome::Published { published: Published::new(id, answer::number(is_new)? == 1), clock })
    }

    /// The commands that the user may not run from a script.
    pub(crate) async fn missing_commands(&self, connection: &mut Connection) -> Result<Vec<String>, Trouble> {
        let missing = self.run(connection, "probe", &self.keys.probe, |_| {}).await?;
        answer::list(missing)?.into_iter().map(answer::text).collect()
    }

    async fn run(
        &self,
        connection: &mut Connection,
        what: &str,
        known: &str,
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, Trouble> {
        let command = |how: &str, script: &str| {
            let mut command = redis::cmd(how);
            let Keys { log, meta, epochs, kept, kept_until, .. } = &self.keys;
            command.arg(script).arg(6).arg(log).arg(meta).arg(epochs).arg(kept).arg(kept_until).arg(known);
            command.arg(what).arg(written(rand::random()));
            arguments(&mut command);
            command
        };
        match connection.ask(&command("EVALSHA", self.script.get_hash())).await {
            // A server that was restarted has forgotten it.
            Err(trouble) if trouble.code() == Some("NOSCRIPT") => {
                connection.ask(&command("EVAL", include_str!("script.lua"))).await
            }
            answer => answer,
        }
    }
}

/// An epoch as it is written in Redis.
fn written(epoch: u64) -> String {
    format!("{epoch:016x}")
}

fn parsed(epoch: Value) -> Result<u64, Trouble> {
    epoch_of(&answer::text(epoch)?).ok_or(Trouble::Unexpected("an epoch"))
}

/// As far as Lua can count.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).min(1 << 50)
}
