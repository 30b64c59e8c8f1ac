//! [`Memory`]: an engine in the test's own process, with its faults by hand.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use sse_core::{Engine, EngineError, EngineFuture, EventId, Fed, Past, Publication, Published, Tail};
use tokio::{
    sync::watch,
    // A test may stop this clock.
    time::{Instant, sleep_until},
};

/// How often a tail that has nothing to give asks where the log stands.
const ASKS: Duration = Duration::from_millis(50);

/// One shared, ordered log. Clones are the same.
#[derive(Clone)]
pub struct Memory(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    tails: AtomicUsize,
    publishes: AtomicUsize,
    reads: AtomicU64,
}

struct State {
    steps: VecDeque<Step>,
    /// The place of the first of them.
    base: u64,
    /// The position in front of it, and whether its epoch has nothing before that.
    floor: EventId,
    is_first: bool,
    head: EventId,
    /// Where the log was cut back, each time that it was: who has read on from there has read what is void.
    cuts: Vec<u64>,
    keys: HashMap<String, EventId>,
    kept: BTreeMap<String, (Bytes, Duration)>,
    /// All it ever had, and whether it has lost it.
    history: Vec<(EventId, Bytes, bool)>,
    epochs: Vec<u64>,
    began: Instant,
    set_back: Duration,
    stopped: Option<Stopped>,
}

#[derive(Clone)]
enum Step {
    Record { id: EventId, at: Duration, since: Instant, key: String, record: Bytes },
    Seam { start: EventId, kept: Option<u64> },
}

impl Step {
    /// The position behind it.
    fn position(&self) -> EventId {
        match self {
            Self::Record { id, .. } => *id,
            Self::Seam { start, .. } => *start,
        }
    }
}

/// What becomes of a publication while the engine is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It is refused at once, and surely not accepted.
    Refuses,
    /// There is no answer, and it is not accepted.
    Silent,
    /// There is no answer, but it is accepted.
    SilentlyAccepts,
    /// It is accepted and answered: only the tail is cut off.
    Accepts,
}

impl State {
    /// The engine's own time.
    fn now(&self) -> Duration {
        (Duration::from_secs(1 << 20) + self.began.elapsed()).saturating_sub(self.set_back)
    }

    fn append(&mut self, key: String, record: Bytes) -> EventId {
        self.head = EventId::new(self.head.epoch(), self.head.sequence() + 1);
        self.keys.insert(key.clone(), self.head);
        let (id, at) = (self.head, self.now());
        self.history.push((id, record.clone(), false));
        self.steps.push_back(Step::Record { id, at, since: Instant::now(), key, record });
        id
    }

    fn accept(&mut self, publication: Publication) -> Published {
        let Publication { key, record, keep, .. } = publication;
        if let Some(id) = self.keys.get(&key) {
            return Published::new(*id, false);
        }
        if let Some(keep) = keep {
            let until = self.now() + keep.lifetime;
            self.kept.insert(keep.name, (record.clone(), until));
        }
        Published::new(self.append(key, record), true)
    }

    /// A new epoch begins behind what is there.
    fn seam(&mut self, kept: Option<u64>) {
        let start = EventId::new(rand::random(), self.head.sequence());
        self.epochs.push(start.epoch());
        self.cuts.push(self.base + self.steps.len() as u64);
        self.steps.push_back(Step::Seam { start, kept });
        self.head = start;
    }

    /// Takes the oldest step out.
    fn drop_oldest(&mut self) {
        if let Some(step) = self.steps.pop_front() {
            self.base += 1;
            self.floor = step.position();
            self.is_first = false;
        }
    }

    /// Where a tail begins that wants so much of the past.
    fn window(&self, past: &Past) -> u64 {
        let (mut events, mut bytes, now) = (0, 0, self.now());
        let mut first = self.steps.len();
        for (index, step) in self.steps.iter().enumerate().rev() {
            if let Step::Record { at, record, .. } = step {
                events += 1;
                bytes += record.len();
                let is_old = now.saturating_sub(*at) > past.age;
                if events > past.events || bytes > past.bytes || is_old {
                    break;
                }
            }
            first = index;
        }
        self.base + first as u64
    }

    fn position_before(&self, place: u64) -> EventId {
        let before = (place - self.base).checked_sub(1);
        before.and_then(|index| self.steps.get(index as usize)).map_or(self.floor, Step::position)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty log.
    pub fn new() -> Self {
        let floor = EventId::new(rand::random(), 0);
        let state = State {
            steps: VecDeque::new(),
            base: 0,
            floor,
            is_first: true,
            head: floor,
            cuts: Vec::new(),
            keys: HashMap::new(),
            kept: BTreeMap::new(),
            history: Vec::new(),
            epochs: vec![floor.epoch()],
            began: Instant::now(),
            set_back: Duration::ZERO,
            stopped: None,
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            tails: AtomicUsize::new(0),
            publishes: AtomicUsize::new(0),
            reads: AtomicU64::new(0),
        }))
    }

    /// One more connection, for one more node.
    pub fn connect(&self) -> Link {
        Link { log: self.clone(), faults: Arc::default() }
    }

    /// What is in the log: ids and records, the oldest first.
    pub fn records(&self) -> Vec<(EventId, Bytes)> {
        let state = self.lock();
        let record = |step: &Step| match step {
            Step::Record { id, record, .. } => Some((*id, record.clone())),
            Step::Seam { .. } => None,
        };
        state.steps.iter().filter_map(record).collect()
    }

    /// All records that ever were in it, in their order, and whether each was taken back.
    pub fn history(&self) -> Vec<(EventId, Bytes, bool)> {
        self.lock().history.clone()
    }

    /// All epochs that it ever was in, in their order.
    pub fn epochs(&self) -> Vec<u64> {
        self.lock().epochs.clone()
    }

    /// How many tails are followed at this moment.
    pub fn tails(&self) -> usize {
        self.0.tails.load(Ordering::SeqCst)
    }

    /// How many publications are waited for at this moment.
    pub fn publishes(&self) -> usize {
        self.0.publishes.load(Ordering::SeqCst)
    }

    /// How many records all tails together were given so far.
    pub fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::SeqCst)
    }

    /// Keeps the newest records only.
    pub fn trim(&self, keep: usize) {
        self.change(|state| {
            let records =
                |state: &State| state.steps.iter().filter(|step| matches!(step, Step::Record { .. })).count();
            while records(state) > keep {
                state.drop_oldest();
            }
        });
    }

    /// Started anew with all it had: another epoch, of the one before it nothing is lost.
    pub fn restart(&self) {
        self.roll_back(0);
    }

    /// Started anew without its last records, whose places are given again in another epoch.
    pub fn roll_back(&self, records: usize) {
        self.change(|state| {
            for _ in 0..records {
                // Those of the epochs before are safe.
                match state.steps.pop_back() {
                    Some(Step::Record { id, key, .. }) => {
                        state.keys.remove(&key);
                        let mut history = state.history.iter_mut().rev();
                        if let Some((.., is_void)) = history.find(|(other, ..)| *other == id) {
                            *is_void = true;
                        }
                    }
                    seam => state.steps.extend(seam),
                }
            }
            let place = state.base + state.steps.len() as u64;
            let left = state.position_before(place);
            state.head = left;
            state.seam(Some(left.sequence()));
        });
    }

    /// Another epoch begins, and it is not known what of the one before it is intact.
    pub fn doubt(&self) {
        self.change(|state| state.seam(None));
    }

    /// Started anew without anything.
    pub fn empty(&self) {
        self.change(|state| {
            state.base += state.steps.len() as u64;
            state.steps.clear();
            state.keys.clear();
            state.kept.clear();
            state.floor = EventId::new(rand::random(), 0);
            state.epochs.push(state.floor.epoch());
            (state.head, state.is_first) = (state.floor, true);
            state.cuts.push(state.base);
        });
    }

    /// So many sequences are never seen.
    pub fn jump(&self, by: u64) {
        self.change(|state| state.head = EventId::new(state.head.epoch(), state.head.sequence() + by));
    }

    /// Its clock is set back.
    pub fn set_clock_back(&self, by: Duration) {
        self.change(|state| state.set_back += by);
    }

    /// Its clock goes on faster: what is there grows older.
    pub fn let_pass(&self, time: Duration) {
        self.change(|state| {
            for step in &mut state.steps {
                if let Step::Record { at, .. } = step {
                    *at = at.saturating_sub(time);
                }
            }
            for (_, until) in state.kept.values_mut() {
                *until = until.saturating_sub(time);
            }
        });
    }

    /// Appends what no node has published.
    pub fn append(&self, record: impl Into<Bytes>) -> EventId {
        self.change(|state| state.append(format!("test:{:x}", rand::random::<u128>()), record.into()))
    }

    /// It goes away for all nodes.
    pub fn stop(&self, how: Stopped) {
        self.change(|state| state.stopped = Some(how));
    }

    /// It is back.
    pub fn start(&self) {
        self.change(|state| state.stopped = None);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.0.changed.send_modify(|count| *count += 1);
        changed
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("head", &self.lock().head).finish_non_exhaustive()
    }
}

/// A node's connection to a [`Memory`]. Clones are one connection: a hub is given one, and a test keeps the other.
#[derive(Clone, Debug)]
pub struct Link {
    log: Memory,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug, Default)]
struct Faults {
    stopped: Option<Stopped>,
    held: bool,
    delay: Duration,
    lost_answers: usize,
    refusals: usize,
    is_refused: bool,
    repeats: usize,
    ends: usize,
}

impl Link {
    /// The engine goes away for this node.
    pub fn stop(&self, how: Stopped) {
        self.change(|faults| faults.stopped = Some(how));
    }

    /// It is back.
    pub fn start(&self) {
        self.change(|faults| faults.stopped = None);
    }

    /// The tail stands still, without a word: this node lags.
    pub fn hold(&self) {
        self.change(|faults| faults.held = true);
    }

    /// It goes on.
    pub fn release(&self) {
        self.change(|faults| faults.held = false);
    }

    /// Records come so much later.
    pub fn delay(&self, by: Duration) {
        self.change(|faults| faults.delay = by);
    }

    /// The next publications are accepted, but this is not said.
    pub fn lose_answers(&self, count: usize) {
        self.change(|faults| faults.lost_answers = count);
    }

    /// The next publications are not accepted.
    pub fn refuse(&self, count: usize) {
        self.change(|faults| faults.refusals = count);
    }

    /// No publication is accepted, and trying again is of no use.
    pub fn refuse_for_ever(&self) {
        self.change(|faults| faults.is_refused = true);
    }

    /// The next records come twice, and with them those before.
    pub fn repeat(&self, count: usize) {
        self.change(|faults| faults.repeats = count);
    }

    /// The tail ends, which none may; the next one goes on.
    pub fn end_tail(&self) {
        self.change(|faults| faults.ends += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock());
        self.log.0.changed.send_modify(|count| *count += 1);
    }

    fn stopped(&self) -> Option<Stopped> {
        let own = self.lock().stopped;
        own.or(self.log.lock().stopped)
    }

    async fn try_to_publish(&self, publication: Publication) -> Result<Published, EngineError> {
        match self.stopped() {
            Some(Stopped::Refuses) => return Err(EngineError::not_published("it is away")),
            Some(Stopped::Silent) => return pending().await,
            Some(Stopped::SilentlyAccepts) => {
                self.log.change(|state| state.accept(publication));
                return pending().await;
            }
            Some(Stopped::Accepts) | None => {}
        }
        let take = |count: &mut usize| std::mem::replace(count, count.saturating_sub(1)) > 0;
        if self.lock().is_refused {
            return Err(EngineError::refused("it is not allowed"));
        }
        if take(&mut self.lock().refusals) {
            return Err(EngineError::not_published("it is busy"));
        }
        let published = self.log.change(|state| state.accept(publication));
        if take(&mut self.lock().lost_answers) {
            return Err(EngineError::unknown("the connection broke"));
        }
        Ok(published)
    }
}

/// Counts something for as long as it is there.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Engine for Link {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn remembers_keys_for(&self) -> Duration {
        Duration::from_secs(120)
    }

    fn publish(&self, publication: Publication) -> EngineFuture<'_, Result<Published, EngineError>> {
        Box::pin(async move {
            let _counted = Counted::new(&self.log.0.publishes);
            self.try_to_publish(publication).await
        })
    }

    fn tail(&self, past: Past) -> Tail {
        let reader = Reader::new(self.clone(), past);
        Box::pin(stream::unfold(reader, |mut reader| async {
            let fed = reader.next().await?;
            Some((fed, reader))
        }))
    }
}

/// A tail of the log.
struct Reader {
    link: Link,
    past: Past,
    changed: watch::Receiver<u64>,
    place: u64,
    cuts: usize,
    last: EventId,
    begun: bool,
    away: bool,
    ends: usize,
    /// What is to be given before the next step of the log.
    next: VecDeque<Fed>,
    /// The last few records that were given.
    given: VecDeque<Fed>,
    asks_at: Instant,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.link.log.0.tails.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What a [`Reader`] finds.
enum Found {
    Fed(Fed),
    /// Nothing before this time.
    Until(Option<Instant>),
    End,
}

impl Reader {
    fn new(link: Link, past: Past) -> Self {
        link.log.0.tails.fetch_add(1, Ordering::SeqCst);
        let ends = link.lock().ends;
        Self {
            changed: link.log.0.changed.subscribe(),
            past,
            place: 0,
            cuts: 0,
            last: EventId::new(0, 0),
            begun: false,
            away: false,
            ends,
            next: VecDeque::new(),
            given: VecDeque::new(),
            asks_at: Instant::now(),
            link,
        }
    }

    async fn next(&mut self) -> Option<Fed> {
        loop {
            self.changed.borrow_and_update();
            let until = match self.look() {
                Found::Fed(fed) => return Some(fed),
                Found::End => return None,
                Found::Until(until) => until,
            };
            let due = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                _ = self.changed.changed() => {}
                () = due => {}
            }
        }
    }

    fn look(&mut self) -> Found {
        if self.link.lock().ends > self.ends {
            return Found::End;
        }
        if self.link.stopped().is_some() {
            if !std::mem::replace(&mut self.away, true) {
                return Found::Fed(Fed::Away { reason: "the test has stopped it".into() });
            }
            return Found::Until(None);
        }
        if self.link.lock().held {
            return Found::Until(None);
        }
        if std::mem::replace(&mut self.away, false) {
            self.asks_at = Instant::now();
        }
        if let Some(fed) = self.next.pop_front() {
            return Found::Fed(fed);
        }
        let log = self.link.log.clone();
        let state = log.lock();
        if !std::mem::replace(&mut self.begun, true) {
            return Found::Fed(self.begin(&state));
        }
        for cut in &state.cuts[self.cuts..] {
            self.place = self.place.min(*cut);
        }
        self.cuts = state.cuts.len();
        if self.place < state.base || (self.place == state.base && self.last.epoch() != state.floor.epoch()) {
            self.place = state.base;
            let last = std::mem::replace(&mut self.last, state.floor);
            if last.epoch() != state.floor.epoch() {
                self.give_kept(&state);
                return Found::Fed(Fed::Seam { start: state.floor, kept: None });
            }
            if last.sequence() < state.floor.sequence() {
                self.give_kept(&state);
                return Found::Fed(Fed::Hole { upto: state.floor });
            }
        }
        match state.steps.get((self.place - state.base) as usize) {
            Some(Step::Seam { start, kept }) => {
                self.place += 1;
                self.last = *start;
                if kept.is_none() {
                    self.give_kept(&state);
                }
                Found::Fed(Fed::Seam { start: *start, kept: *kept })
            }
            Some(Step::Record { id, at, since, record, .. }) => self.record(&state, *id, *at, *since, record),
            None if Instant::now() >= self.asks_at => {
                let asked = Instant::now();
                self.asks_at = asked + ASKS;
                Found::Fed(Fed::Head { id: state.head, asked: asked.into_std() })
            }
            None => Found::Until(Some(self.asks_at)),
        }
    }

    fn begin(&mut self, state: &State) -> Fed {
        self.place = state.window(&self.past);
        self.cuts = state.cuts.len();
        self.last = state.position_before(self.place);
        self.give_kept(state);
        Fed::Begin { start: self.last, is_first: state.is_first && self.place == state.base }
    }

    fn give_kept(&mut self, state: &State) {
        let kept = state.kept.values().filter(|(_, until)| *until > state.now());
        self.next.extend(kept.map(|(record, _)| Fed::Kept { record: record.clone() }));
    }

    fn record(&mut self, state: &State, id: EventId, at: Duration, since: Instant, record: &Bytes) -> Found {
        let mut faults = self.link.lock();
        let due = since + faults.delay;
        if due > Instant::now() {
            return Found::Until(Some(due));
        }
        self.place += 1;
        self.last = id;
        let fed = Fed::Record { id, age: state.now().saturating_sub(at), record: record.clone() };
        self.link.log.0.reads.fetch_add(1, Ordering::SeqCst);
        self.given.push_back(fed.clone());
        if self.given.len() > 8 {
            self.given.pop_front();
        }
        if faults.repeats > 0 {
            faults.repeats -= 1;
            self.next.extend(self.given.iter().cloned());
        }
        Found::Fed(fed)
    }
}
