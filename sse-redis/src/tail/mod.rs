//! [`Follower`]: the one that reads the log, for all of a node's clients.

mod backoff;
mod clock;
mod warm;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::stream;
use redis::{Value, pipe};
use sse_core::{Fed, Past, Tail};
use tokio::time::sleep;

use self::{backoff::Backoff, clock::Clock};
use crate::{
    answer,
    entry::{At, Entry, Position, Said},
    epochs::{Begun, Epochs, Snapshot, Standing},
    left::Left,
    script::{End, Script},
    server::{Connection, Server},
    trouble::Trouble,
};

/// How long a read waits for a record. The log is looked at after one that brought none, so its head is known twice a
/// second.
const BLOCK: Duration = Duration::from_millis(500);

/// How often it is looked at where records come all the time: each says by itself that the log is still the same.
const LOOK: Duration = Duration::from_millis(250);

/// A read brings about so many bytes at most, and at least one record. That it is too many is known when they have come:
/// where they were small until now, so many large ones come once.
const READ_BYTES: usize = 1 << 20;
const READ_RECORDS: usize = 128;

/// How often a log that seems not to be in order may turn out to be, without a record between.
const MAX_DOUBTS: u32 = 3;

/// Follows the log, for as long as it is polled.
pub(crate) fn tail(server: Arc<Server>, script: Arc<Script>, left: Arc<Left>, past: Past) -> Tail {
    let follower = Follower::new(server, script, left, past);
    Box::pin(stream::unfold(follower, |mut follower| async {
        let fed = follower.next().await;
        Some((fed, follower))
    }))
}

struct Follower {
    server: Arc<Server>,
    script: Arc<Script>,
    past: Past,
    connection: Option<Connection>,
    /// Read, or found out, and not given yet: of one step alone.
    out: VecDeque<Fed>,
    /// Behind the last that was read; none before the beginning.
    position: Option<Position>,
    /// The last entry of the stream that was read, of whomever.
    read_to: At,
    epochs: Epochs,
    /// The epochs before the present one.
    left: Arc<Left>,
    /// From where kept records are still to be asked for.
    kept: Option<u64>,
    /// The head that was asked for and is not reached yet.
    ahead: Option<Ahead>,
    /// When the log was looked at.
    looked: Instant,
    clock: Clock,
    /// Records for the next read.
    count: usize,
    doubts: u32,
    is_away: bool,
    is_foreign_told: bool,
    backoff: Backoff,
}

/// The log's newest entry at a moment.
struct Ahead {
    head: Position,
    asked: Instant,
}

impl Follower {
    fn new(server: Arc<Server>, script: Arc<Script>, left: Arc<Left>, past: Past) -> Self {
        Self {
            server,
            script,
            past,
            connection: None,
            out: VecDeque::new(),
            position: None,
            read_to: At { ms: 0, n: 0 },
            epochs: Epochs::default(),
            left,
            kept: Some(0),
            ahead: None,
            looked: Instant::now(),
            clock: Clock::new(0),
            count: 64,
            doubts: 0,
            is_away: false,
            is_foreign_told: false,
            backoff: Backoff::default(),
        }
    }

    async fn next(&mut self) -> Fed {
        loop {
            if let Some(fed) = self.out.pop_front() {
                return fed;
            }
            // What breaks on the way breaks the connection, so a step begins with it or without.
            let step = match self.connection.take() {
                Some(connection) => self.go_on(connection).await,
                None => self.connect().await,
            };
            match step {
                Ok(connection) => self.connection = Some(connection),
                Err(trouble) => self.failed(&trouble),
            }
        }
    }

    fn failed(&mut self, trouble: &Trouble) {
        let is_first = self.backoff.is_first();
        self.backoff.grow();
        self.ahead = None;
        // Less at a time may come through.
        self.count = (self.count / 4).max(1);
        // A connection that breaks may be had again at once.
        let may_be_nothing = is_first && matches!(trouble, Trouble::Redis(_)) && self.position.is_some();
        if !may_be_nothing && !self.is_away {
            self.is_away = true;
            self.out.push_back(Fed::Away { reason: trouble.to_string() });
        }
    }

    async fn connect(&mut self) -> Result<Connection, Trouble> {
        sleep(self.backoff.pause()).await;
        let mut connection = self.server.connect().await?;
        is_master(connection.ask(&redis::cmd("ROLE")).await?)?;
        match self.position {
            None => {
                let snapshot = self.open(&mut connection, End::No).await?;
                self.begin(&mut connection, &snapshot).await?;
            }
            Some(position) => self.stand(&mut connection, position).await?,
        }
        self.reached();
        Ok(connection)
    }

    async fn go_on(&mut self, mut connection: Connection) -> Result<Connection, Trouble> {
        match (self.kept, self.position) {
            (Some(cursor), _) => self.hand_out_kept(&mut connection, cursor).await?,
            (None, Some(position)) => {
                let is_empty = self.read(&mut connection, position).await?;
                if is_empty || self.looked.elapsed() >= LOOK {
                    self.look(&mut connection).await?;
                }
            }
            (None, None) => return Err(Trouble::Unexpected("no beginning")),
        }
        Ok(connection)
    }

    /// Reads what follows, and waits for it unless it is known to be there. Whether nothing does.
    async fn read(&mut self, connection: &mut Connection, position: Position) -> Result<bool, Trouble> {
        let block = if self.ahead.is_some() { Duration::ZERO } else { BLOCK };
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(self.count);
        if !block.is_zero() {
            command.arg("BLOCK").arg(block.as_millis() as u64);
        }
        command.arg("STREAMS").arg(&self.script.keys().log).arg(self.read_to.to_string());
        let entries = Entry::read(connection.ask_blocking(&command, block).await?)?;
        // It is only now that all is well: to look at the log may be allowed where to read it is not.
        self.backoff = Backoff::default();
        self.fit_count(&entries);
        let is_empty = entries.is_empty();
        for entry in entries {
            if !self.take(entry) {
                self.doubt(connection).await?;
                return Ok(true);
            }
        }
        match &self.ahead {
            // It was there, and is not.
            Some(ahead) if is_empty => {
                let (head, is_same) = (ahead.head, ahead.head.epoch == position.epoch);
                if !is_same {
                    self.doubt(connection).await?;
                    return Ok(true);
                }
                self.tell(Fed::Hole { upto: head.id() });
                self.move_to(head);
                self.reached();
            }
            _ => self.reached(),
        }
        Ok(is_empty)
    }

    /// Takes an entry, if it is what can follow.
    fn take(&mut self, entry: Entry) -> bool {
        let Some(position) = self.position else { return false };
        self.read_to = entry.at;
        let place = |epoch, n| Position { epoch, at: At { n, ..entry.at } };
        match entry.said {
            Said::Record { epoch, record } if epoch == position.epoch && entry.at.n > position.at.n => {
                if entry.at.n > position.at.n + 1 {
                    self.tell(Fed::Hole { upto: place(epoch, entry.at.n - 1).id() });
                }
                let to = place(epoch, entry.at.n);
                self.out.push_back(Fed::Record { id: to.id(), age: self.clock.since(entry.at.ms), record });
                self.position = Some(to);
            }
            Said::Begins { epoch, previous } if previous == Some(position.epoch) => {
                let begun = Begun { start: place(epoch, entry.at.n), previous };
                if begun.kept() > position.at.n {
                    self.tell(Fed::Hole { upto: place(position.epoch, begun.kept()).id() });
                }
                self.tell(begun.seam(position.epoch));
                self.epochs.push(begun);
                self.position = Some(begun.start);
                self.leave(position.epoch, true);
            }
            Said::Foreign => {
                if !self.is_foreign_told {
                    self.is_foreign_told = true;
                    tracing::warn!(
                        log = self.script.keys().log,
                        id = %entry.at,
                        "somebody else writes into the log; such entries are skipped"
                    );
                }
            }
            _ => return false,
        }
        self.doubts = 0;
        true
    }

    /// An epoch has ended for this node. What is published from now on goes to where the next one is.
    fn leave(&mut self, epoch: u64, for_kin: bool) {
        self.left.push(epoch, for_kin);
        // Its head is behind this.
        if self.ahead.as_ref().is_some_and(|ahead| ahead.head.epoch == epoch) {
            self.ahead = None;
        }
    }

    /// If this epoch has ended for this node: whether it was for a log with a past in common.
    fn has_left(&self, epoch: u64, position: Position) -> Option<bool> {
        let left = || self.left.find(epoch).or_else(|| self.epochs.before(epoch, position.epoch));
        (epoch != position.epoch).then(left).flatten()
    }

    /// Tells of a hole or a seam. Where something may have been lost with it, kept records may have been.
    fn tell(&mut self, fed: Fed) {
        if !matches!(fed, Fed::Seam { kept: Some(_), .. }) {
            self.kept = Some(0);
        }
        self.out.push_back(fed);
    }

    /// Reads more at once where records are small, and fewer where they are large.
    fn fit_count(&mut self, entries: &[Entry]) {
        let bytes = |entry: &Entry| match &entry.said {
            Said::Record { record, .. } => record.len(),
            _ => 0,
        };
        let bytes: usize = entries.iter().map(bytes).sum();
        if bytes > READ_BYTES {
            self.count = (entries.len() * READ_BYTES / bytes).max(1);
        } else if entries.len() == self.count && bytes < READ_BYTES / 2 {
            self.count = (self.count * 2).min(READ_RECORDS);
        }
    }

    /// Looks at the log after a read: whether it is still what was read, and how far it goes.
    async fn look(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        let Some(position) = self.position else { return Ok(()) };
        let keys = self.script.keys();
        let mut commands = pipe();
        // One that has become a replica goes on answering, and may lack what is newest.
        commands.cmd("ROLE");
        commands.cmd("HMGET").arg(&keys.meta).arg(&["epoch", "n", "ms", "skew"]);
        commands.cmd("EXISTS").arg(&keys.log);
        commands.cmd("TIME");
        let asked = Instant::now();
        self.looked = asked;
        let [role, meta, exists, time] = answer::exactly(Value::Array(connection.ask_all(&commands).await?))?;
        is_master(role)?;
        let [epoch, n, ms, skew] = answer::exactly(meta)?;
        if epoch == Value::Nil || answer::number(exists)? == 0 {
            return self.doubt(connection).await;
        }
        self.clock = Clock::new(answer::time(time)?.saturating_add(answer::number(skew)?));
        let epoch = crate::entry::epoch_of(&answer::text(epoch)?).ok_or(Trouble::Unexpected("an epoch"))?;
        let head = Position { epoch, at: At { ms: answer::number(ms)?, n: answer::number(n)? } };
        if head.epoch == position.epoch && head.at.n < position.at.n {
            return self.doubt(connection).await;
        }
        // An older one is reached earlier, however fast others publish.
        self.ahead.get_or_insert(Ahead { head, asked });
        self.reached();
        Ok(())
    }

    /// Tells the head when it is reached.
    fn reached(&mut self) {
        let (Some(ahead), Some(position), None) = (&self.ahead, self.position, self.kept) else { return };
        if ahead.head.epoch == position.epoch && ahead.head.at.n <= position.at.n {
            self.out.push_back(Fed::Head { id: position.id(), asked: ahead.asked });
            self.ahead = None;
            self.doubts = 0;
            self.is_away = false;
        }
    }

    /// Finds out what has become of a log that is not as it should be.
    async fn doubt(&mut self, connection: &mut Connection) -> Result<(), Trouble> {
        self.doubts += 1;
        if self.doubts > MAX_DOUBTS {
            self.doubts = 0;
            return Err(Trouble::Unexpected("a log that is not in order"));
        }
        match self.position {
            Some(position) => self.stand(connection, position).await,
            None => Ok(()),
        }
    }

    /// Goes on where the log goes on.
    async fn stand(&mut self, connection: &mut Connection, position: Position) -> Result<(), Trouble> {
        let mut snapshot = self.open(connection, End::No).await?;
        let epoch = snapshot.head.epoch;
        if let Some(is_intact) = self.has_left(epoch, position) {
            // From a copy of its own the address leads back to a server that went on by itself: whoever has stayed there has
            // lost nothing. From nothing a copy was put back, which gives ids again.
            snapshot = self.open(connection, End::Now { epoch, is_intact }).await?;
        }
        let mut standing = self.epochs.standing(position, &snapshot);
        if standing == Standing::Beyond {
            snapshot = self.open(connection, End::Before(position)).await?;
            standing = self.epochs.standing(position, &snapshot);
        }
        match standing {
            Standing::InOrder => {}
            Standing::Beyond => return Err(Trouble::Unexpected("less than there was")),
            Standing::Moved { to, mut told } => {
                let has_left = |epoch| epoch == position.epoch || self.has_left(epoch, position).is_some();
                let begins = snapshot.epochs.behind_those(to, has_left);
                let begins = begins.ok_or(Trouble::Unexpected("an epoch that has ended"))?;
                if begins != to {
                    told = vec![Fed::Seam { start: begins.id(), kept: None }];
                }
                let is_kin = snapshot.epochs.are_kin(&self.epochs);
                told.into_iter().for_each(|fed| self.tell(fed));
                self.move_to(begins);
                self.epochs = snapshot.epochs;
                self.leave(position.epoch, is_kin);
            }
        }
        Ok(())
    }

    /// Sees how far the log goes, which is to be reached next.
    async fn open(&mut self, connection: &mut Connection, end: End) -> Result<Snapshot, Trouble> {
        let asked = Instant::now();
        let snapshot = self.script.open(connection, end).await?;
        self.clock = Clock::new(snapshot.clock.saturating_add(snapshot.skew));
        self.ahead = Some(Ahead { head: snapshot.head, asked });
        Ok(snapshot)
    }

    fn move_to(&mut self, position: Position) {
        self.position = Some(position);
        self.read_to = position.at;
    }
}

fn is_master(role: Value) -> Result<(), Trouble> {
    let role = answer::list(role)?.into_iter().next().map(answer::text).transpose()?;
    if role.as_deref() == Some("master") { Ok(()) } else { Err(Trouble::IsReplica) }
}
