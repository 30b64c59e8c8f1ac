//! An engine in memory, with what can go wrong with one: a log that several nodes follow, each at its own pace.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use sse_core::{Engine, EngineError, EngineFuture, EventId, Fed, Past, Publication, Published, Tail};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// The log that all nodes share. Clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Log(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    epoch: u64,
    records: Vec<Entry>,
    next: u64,
    keys: HashMap<String, EventId>,
    kept: BTreeMap<String, (Bytes, Instant)>,
    /// Up to where the epoch before was intact.
    intact: u64,
    away: bool,
    /// How many of the next answers are lost, though the record was accepted.
    lost_answers: usize,
    tries: usize,
    /// For how long something may be kept.
    longest: Duration,
    /// How many may be kept.
    room: usize,
}

#[derive(Debug)]
struct Entry {
    id: EventId,
    at: Instant,
    key: String,
    name: Option<String>,
    record: Bytes,
}

impl Log {
    pub(crate) fn new() -> Self {
        let state = State {
            epoch: 1,
            records: Vec::new(),
            next: 1,
            keys: HashMap::new(),
            kept: BTreeMap::new(),
            intact: 0,
            away: false,
            lost_answers: 0,
            tries: 0,
            longest: Duration::MAX,
            room: usize::MAX,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), changed: watch::Sender::new(()) }))
    }

    /// Whether it answers nobody.
    pub(crate) fn away(&self, away: bool) {
        self.change(|state| state.away = away);
    }

    pub(crate) fn lose_answers(&self, many: usize) {
        self.change(|state| state.lost_answers = many);
    }

    /// What is to be kept for longer is never accepted.
    pub(crate) fn keep_no_longer_than(&self, longest: Duration) {
        self.change(|state| state.longest = longest);
    }

    /// No more are kept than this.
    pub(crate) fn keep_no_more_than(&self, room: usize) {
        self.change(|state| state.room = room);
    }

    /// Somebody else writes this.
    pub(crate) fn append(&self, record: &'static str) {
        let key = self.lock().next.to_string();
        self.change(|state| {
            state.append(Publication::new(key, record));
        });
    }

    /// The window passes: what is not kept is gone.
    pub(crate) fn trim(&self) {
        self.change(|state| state.records.clear());
    }

    /// Another server takes over, which lacks the last records.
    pub(crate) fn fail_over(&self, lost: usize) {
        self.change(|state| {
            let rest = state.records.len() - lost;
            for entry in state.records.split_off(rest) {
                state.keys.remove(&entry.key);
                if let Some(name) = entry.name {
                    state.kept.remove(&name);
                }
                state.next -= 1;
            }
            state.intact = state.next - 1;
            state.epoch += 1;
            state.next = 1;
            state.records.clear();
        });
    }

    /// What stands in it, as it lies there.
    pub(crate) fn text(&self) -> String {
        let state = self.lock();
        let records = state.records.iter().map(|entry| &entry.record);
        let all = records.chain(state.kept.values().map(|(record, _)| record));
        all.map(|record| String::from_utf8(record.to_vec()).unwrap() + "\n").collect()
    }

    pub(crate) fn records(&self) -> usize {
        self.lock().records.len()
    }

    /// Those that are kept and have not outlived their time.
    pub(crate) fn kept(&self) -> usize {
        self.lock().kept.values().filter(|(_, until)| *until > Instant::now()).count()
    }

    /// How often something was to be published.
    pub(crate) fn tries(&self) -> usize {
        self.lock().tries
    }

    /// One node's way to it.
    pub(crate) fn engine(&self) -> (Way, watch::Sender<Duration>) {
        let (delay, delays) = watch::channel(Duration::ZERO);
        (Way { log: self.clone(), delays }, delay)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.0.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

/// One node's way to the log, on which records take their time.
#[derive(Debug)]
pub(crate) struct Way {
    log: Log,
    delays: watch::Receiver<Duration>,
}

impl Engine for Way {
    fn name(&self) -> &'static str {
        "the tests' engine"
    }

    fn remembers_keys_for(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn publish(&self, mut publication: Publication) -> EngineFuture<'_, Result<Published, EngineError>> {
        Box::pin(async move {
            let mut answer = Err(EngineError::not_published("away"));
            self.log.change(|state| {
                state.tries += 1;
                if state.away {
                    return;
                }
                if publication.keep.as_ref().is_some_and(|keep| keep.lifetime > state.longest) {
                    answer = Err(EngineError::refused("it is to be kept for too long"));
                    return;
                }
                if let Some(keep) = &publication.keep
                    && !state.kept.contains_key(&keep.name)
                {
                    let room = if keep.is_optional { state.room / 2 } else { state.room };
                    let (is_full, is_optional) = (state.kept.len() >= room, keep.is_optional);
                    if is_full && !is_optional {
                        answer = Err(EngineError::refused("there is no room"));
                        return;
                    }
                    publication.keep.take_if(|_| is_full);
                }
                let known = state.keys.get(&publication.key).copied();
                let id = known.unwrap_or_else(|| state.append(publication));
                answer = Ok(Published::new(id, known.is_none()));
                if state.lost_answers > 0 {
                    state.lost_answers -= 1;
                    answer = Err(EngineError::unknown("the answer is lost"));
                }
            });
            answer
        })
    }

    fn tail(&self, _: Past) -> Tail {
        let (log, delays) = (self.log.clone(), self.delays.clone());
        let mut changed = log.0.changed.subscribe();
        Box::pin(async_stream::stream! {
            let (mut cursor, kept) = {
                let state = log.lock();
                (state.floor(), state.what_is_kept())
            };
            yield Fed::Begin { start: cursor, is_first: cursor.sequence() == 0 };
            for fed in kept {
                yield fed;
            }
            let mut is_away = false;
            loop {
                changed.mark_unchanged();
                let delay = *delays.borrow();
                if !delay.is_zero() {
                    sleep(delay).await;
                }
                let mut steps = Vec::new();
                {
                    let state = log.lock();
                    if state.away {
                        if !is_away {
                            steps.push(Fed::Away { reason: "away".into() });
                        }
                    } else {
                        if state.epoch != cursor.epoch() {
                            cursor = EventId::new(state.epoch, 0);
                            steps.push(Fed::Seam { start: cursor, kept: Some(state.intact) });
                        }
                        if state.floor().sequence() > cursor.sequence() {
                            cursor = state.floor();
                            steps.push(Fed::Hole { upto: cursor });
                            steps.extend(state.what_is_kept());
                        }
                        let read = cursor.sequence();
                        for entry in state.records.iter().filter(|entry| entry.id.sequence() > read) {
                            cursor = entry.id;
                            let (id, age, record) = (entry.id, entry.at.elapsed(), entry.record.clone());
                            steps.push(Fed::Record { id, age, record });
                        }
                        steps.push(Fed::Head { id: cursor, asked: std::time::Instant::now() });
                    }
                    is_away = state.away;
                }
                for step in steps {
                    yield step;
                }
                // Whichever comes first.
                let _ = timeout(Duration::from_millis(500), changed.changed()).await;
            }
        })
    }
}

impl State {
    /// The position before the first record that is left.
    fn floor(&self) -> EventId {
        let first = self.records.first().map_or(self.next, |first| first.id.sequence());
        EventId::new(self.epoch, first - 1)
    }

    fn what_is_kept(&self) -> Vec<Fed> {
        let now = Instant::now();
        let kept = self.kept.values().filter(|(_, until)| *until > now);
        kept.map(|(record, _)| Fed::Kept { record: record.clone() }).collect()
    }

    fn append(&mut self, publication: Publication) -> EventId {
        let id = EventId::new(self.epoch, self.next);
        self.next += 1;
        self.keys.insert(publication.key.clone(), id);
        let name = publication.keep.map(|keep| {
            let until = Instant::now().checked_add(keep.lifetime).unwrap();
            assert!(keep.name.bytes().all(|byte| byte.is_ascii_alphanumeric()) && keep.name.len() <= 64);
            self.kept.insert(keep.name.clone(), (publication.record.clone(), until));
            keep.name
        });
        assert!(publication.key.len() <= 160 && publication.key.bytes().all(|byte| byte.is_ascii_graphic()));
        let (key, at, record) = (publication.key, Instant::now(), publication.record);
        self.records.push(Entry { id, at, key, name, record });
        id
    }
}
