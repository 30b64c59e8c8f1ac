//! One client: connects, reads in its own way, is cut, comes back, and writes down what it sees.

use std::{
    fmt,
    future::pending,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sse_core::Hub;
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::{
    door::{self, Body, Door},
    parser::{Message, Parser},
    published::fingerprint,
    quiet::{Have, Quiet},
    record::{Came, Entry, Gap, Said},
    setup::Setup,
    status::Status,
    temper::Temper,
    topics::{TopicSet, number, some},
};

/// What all are doing.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Publishers publish, clients come and go.
    Act,
    /// Nobody publishes; nobody goes before it has everything.
    Settle(Arc<Quiet>),
    /// The server stops; streams are read to their end.
    Stop,
    /// Everybody goes home.
    Over,
}

/// What stands behind an id whose client has not had all present values.
const OWED: &str = "~";

pub(crate) struct Client {
    index: usize,
    rng: StdRng,
    temper: Temper,
    hub: Hub,
    door: Door,
    phase: watch::Receiver<Phase>,
    done: mpsc::UnboundedSender<usize>,
    status: Arc<Status>,
    epoch: Box<str>,
    came: Came,
    topics: TopicSet,
    /// Whether it may stay away for a whole round.
    patient: bool,
    parser: Parser,
    have: Have,
    /// Whether it has said that it has everything.
    settled: bool,
    pub(crate) entries: Vec<Entry>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, temper, door, status, .. } = self;
        write!(f, "client {index} ({status}), {temper:?}, {door:?}")
    }
}

/// What became of a connection or of a whole client.
enum Next {
    Reconnect,
    Finish,
}

impl Client {
    pub(crate) fn new(
        (index, setup): (usize, &Setup),
        hub: &Hub,
        door: Door,
        phase: watch::Receiver<Phase>,
        done: mpsc::UnboundedSender<usize>,
        status: Arc<Status>,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(setup.seed.wrapping_mul(0x9e37).wrapping_add(index as u64));
        let mut came = Came::New;
        if rng.random_bool(0.05) {
            came = Came::Foreign(format!("{:016x}-{}", rng.random::<u64>(), rng.random_range(0..100)));
        }
        let count = match rng.random_range(0..20) {
            _ if setup.flood => 1,
            0 => 32,
            _ => rng.random_range(1..=8),
        };
        Self {
            index,
            temper: Temper::new(&mut rng),
            topics: some(&mut rng, count),
            patient: setup.flood || setup.age.is_some(),
            rng,
            hub: hub.clone(),
            door,
            phase,
            done,
            status,
            epoch: split(&hub.position().to_string()).expect("an id").0.into(),
            came,
            parser: Parser::default(),
            have: Have::default(),
            settled: false,
            entries: Vec::new(),
        }
    }

    /// Connects again and again until all is over. Dropping the future cuts the connection.
    pub(crate) async fn run(&mut self) {
        loop {
            self.status.now("between connections");
            if matches!(*self.phase.borrow_and_update(), Phase::Stop | Phase::Over) {
                return;
            }
            if self.is_acting() {
                self.prepare().await;
            }
            let before = self.head();
            let id = match &self.came {
                Came::New => None,
                Came::After { id, owed } => {
                    Some(format!("{}-{id}{}", self.epoch, if *owed { OWED } else { "" }))
                }
                Came::Foreign(id) | Came::Unreadable(id) => Some(id.clone()),
            };
            self.status.now("opening");
            self.status.moves();
            let moves = self.rng.random_bool(0.05);
            let mut phase = self.phase.clone();
            let opened = tokio::select! {
                opened = self.door.open(self.topics, id.as_deref(), moves) => opened,
                () = forsaken(&mut phase) => return,
            };
            let body = match opened {
                Ok(Some(body)) => body,
                Ok(None) => {
                    sleep(Duration::from_millis(5)).await;
                    continue;
                }
                Err(what) => {
                    if !self.hub.lifecycle().is_stopping() {
                        self.wrong(what);
                    }
                    return;
                }
            };
            if self.is_acting() && self.rng.random_bool(0.03) {
                // Never polled.
                continue;
            }
            let after = self.head();
            self.parser = Parser::resuming(id.as_deref().unwrap_or_default());
            self.have.open(&self.came, self.topics, before, after);
            let (came, topics) = (self.came.clone(), self.topics);
            self.entries.push(Entry::Open { came, topics, before, after, at: Instant::now() });
            if let Next::Finish = self.read(body).await {
                return;
            }
        }
    }

    /// For ever.
    pub(crate) fn leave(&self) {
        self.status.now("gone");
        self.status.moves();
    }

    /// What a client may do before it connects.
    async fn prepare(&mut self) {
        if self.patient && self.came != Came::New && self.rng.random_bool(0.4) {
            // Away until its topics have long been forgotten.
            self.phase.changed().await.ok();
            self.phase.mark_changed();
            return;
        }
        match self.rng.random_range(0..100) {
            0..3 => self.came = Came::New,
            3 => {
                let text = ["x", "é", "-", "0000000000000000-01"][self.rng.random_range(0..4)];
                self.came = Came::Unreadable(text.to_owned());
            }
            4..14 if self.topics.count_ones() > 1 => {
                let count = self.rng.random_range(1..=8);
                self.topics = some(&mut self.rng, count);
            }
            14..19 => {
                let asked = self.door.head(self.topics, None).await;
                if let Err(what) = asked
                    && !self.hub.lifecycle().is_stopping()
                {
                    self.wrong(what);
                }
            }
            19..35 => sleep(Duration::from_millis(self.rng.random_range(0..100))).await,
            _ => {}
        }
    }

    async fn read(&mut self, mut body: Body) -> Next {
        let (cuts, most) = self.temper.cuts;
        let mut left = self.rng.random_bool(cuts).then(|| self.rng.random_range(0..most));
        loop {
            if !self.settled {
                self.status.now("reading");
            }
            let phase = self.phase.borrow_and_update().clone();
            match &phase {
                Phase::Over => {
                    self.entries.push(Entry::Cut);
                    return Next::Finish;
                }
                Phase::Settle(quiet) if !self.settled => {
                    if let Some(lack) = self.have.lack(quiet, self.have_topics()) {
                        self.status.now(lack);
                    } else {
                        self.settled = true;
                        self.status.now("settled");
                        self.entries.push(Entry::Settled { head: quiet.head, at: Instant::now() });
                        self.done.send(self.index).ok();
                    }
                }
                Phase::Act => {
                    self.settled = false;
                    self.status.now("reading");
                }
                Phase::Settle(_) | Phase::Stop => {}
            }
            let chunk = tokio::select! {
                biased;
                changed = self.phase.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Next::Finish,
                },
                chunk = body.next() => chunk,
                // Events may expire meanwhile.
                () = tick(matches!(phase, Phase::Settle(_)) && !self.settled) => continue,
            };
            let chunk = match chunk {
                Ok(Some(chunk)) => chunk,
                Ok(None) => {
                    self.entries.push(Entry::End { amid: self.parser.is_amid(), at: Instant::now() });
                    return Next::Reconnect;
                }
                Err(why) => {
                    self.broken(&why);
                    return Next::Reconnect;
                }
            };
            if self.is_acting()
                && let Some(left) = &mut left
            {
                if chunk.len() > *left {
                    let upto = *left;
                    self.take(&chunk[..upto]);
                    self.entries.push(Entry::Cut);
                    return Next::Reconnect;
                }
                *left -= chunk.len();
            }
            self.take(&chunk);
            if self.is_acting() {
                self.dawdle(&body).await;
            }
        }
    }

    /// What a client may do between two chunks.
    async fn dawdle(&mut self, body: &Body) {
        if self.temper.changes > 0.0
            && self.rng.random_bool(self.temper.changes)
            && let Some(handle) = body.handle()
        {
            let count = self.rng.random_range(1..=3);
            let topics = some(&mut self.rng, count);
            let before = self.head();
            if self.rng.random_bool(0.5) {
                if handle.add(&door::topics(topics)) {
                    let after = self.head();
                    self.have.interest.add(topics, before, after);
                    self.entries.push(Entry::Add { topics, before, after });
                }
            } else if self.have_topics() & !topics != 0 && handle.remove(&door::topics(topics)) {
                self.have.interest.remove(topics);
                self.entries.push(Entry::Remove { topics });
            }
            self.topics = self.have_topics();
        }
        let (pauses, most) = self.temper.pauses;
        if self.rng.random_bool(pauses) {
            self.status.now("pausing");
            let pause = Duration::from_millis(self.rng.random_range(0..=most));
            // Nobody waits for one who pauses when all the others rest.
            timeout(pause, self.phase.changed()).await.ok();
            self.phase.mark_changed();
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.status.moves();
        let mut last = self.parser.last_event_id().to_owned();
        if let Err(what) = self.parser.push(bytes) {
            self.wrong(what);
        }
        for message in self.parser.messages() {
            match self.note(&message) {
                Ok(entry) => self.entries.push(entry),
                Err(what) => self.wrong(format!("{what}: {message:?}")),
            }
            last = message.id;
        }
        if self.parser.last_event_id() != last {
            self.wrong(format!("an id without an event: {}", self.parser.last_event_id()));
        }
    }

    fn note(&mut self, message: &Message) -> Result<Entry, String> {
        let id = self.seq(message.id.strip_suffix(OWED).unwrap_or(&message.id));
        match &self.came {
            Came::New if message.id.is_empty() => {}
            Came::Foreign(came) | Came::Unreadable(came) if *came == message.id => {}
            _ if id.is_none() => return Err("the id is none of this hub".into()),
            _ => {}
        }
        let said = match message.name.as_str() {
            "sse-position" if message.data == "{}" => Said::Position,
            "sse-gap" => {
                let gap = self.gap(&message.data).ok_or("the gap is malformed")?;
                self.have.gap(gap.topics, gap.upto);
                Said::Gap(Box::new(gap))
            }
            name if name.starts_with("sse-") => return Err("an unknown event of the library".into()),
            name => {
                let number =
                    message.data.strip_prefix('#').and_then(|rest| rest.split(' ').next()?.parse().ok());
                number.inspect(|number| self.have.value(*number));
                Said::Event { fingerprint: fingerprint(name, &message.data), number }
            }
        };
        if let Some(id) = id {
            // Judged later with all the rest; but a stream that repeats itself has no end.
            let again = matches!(said, Said::Event { number: None, .. })
                && self.came == Came::After { id, owed: false };
            self.status.wrong.fetch_or(again, Ordering::Relaxed);
            self.have.id(id);
            self.came = Came::After { id, owed: message.id.ends_with(OWED) };
            self.status.last.store(id, Ordering::Relaxed);
        }
        Ok(Entry::Message { id, said })
    }

    fn gap(&self, data: &str) -> Option<Gap> {
        let gap: serde_json::Value = serde_json::from_str(data).ok()?;
        let topics = gap["topics"].as_array()?.iter();
        let topics = topics.map(|topic| number(topic.as_str()?)).collect::<Option<Vec<_>>>()?;
        Some(Gap {
            reason: gap["reason"].as_str()?.to_owned(),
            after: gap["after"].as_str().and_then(|after| self.seq(after)),
            upto: self.seq(gap["upto"].as_str()?)?,
            topics: topics.into_iter().fold(0, |set, topic| set | 1 << topic),
            head: self.head(),
            at: Instant::now(),
        })
    }

    fn seq(&self, id: &str) -> Option<u64> {
        split(id).filter(|(epoch, _)| **epoch == *self.epoch).map(|(_, seq)| seq)
    }

    fn head(&self) -> u64 {
        split(&self.hub.position().to_string()).expect("an id").1
    }

    fn have_topics(&self) -> TopicSet {
        self.status.topics.store(self.have.interest.topics, Ordering::Relaxed);
        self.have.interest.topics
    }

    fn is_acting(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Act)
    }

    fn broken(&mut self, why: &str) {
        if !self.hub.lifecycle().is_stopping() {
            self.wrong(format!("the connection broke: {why}"));
        }
        self.entries.push(Entry::Broken);
    }

    fn wrong(&mut self, what: String) {
        self.status.wrong.store(true, Ordering::Relaxed);
        self.entries.push(Entry::Wrong { what });
    }
}

/// The two parts of an id.
pub(crate) fn split(id: &str) -> Option<(&str, u64)> {
    let (epoch, seq) = id.split_once('-')?;
    Some((epoch, seq.parse().ok()?))
}

/// A server that is gone owes no answer, and its process, which would take its sockets along, is this one.
async fn forsaken(phase: &mut watch::Receiver<Phase>) {
    let stops = |phase: &Phase| matches!(phase, Phase::Stop | Phase::Over);
    phase.wait_for(stops).await.ok();
    sleep(Duration::from_secs(10)).await;
}

async fn tick(on: bool) {
    if on {
        sleep(Duration::from_millis(100)).await;
    } else {
        pending::<()>().await;
    }
}
