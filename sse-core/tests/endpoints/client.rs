//! One client: its endpoint's options, what it was given, and what it should have been.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_core::Stream;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use sse_core::{
    Event, EventStream, FilterMap, Frame, OnGap, Received, Request, Start, StreamOptions, Subscription,
    SubscriptionHandle, Topic, Topics,
};

use crate::{
    get::resume,
    published::{Published, TOPICS, is_latest},
    spec::{Message, Parser},
};

/// How often a stream may wake itself without giving anything.
const PATIENCE: usize = 5;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What a client is given of its events.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Filter {
    Nothing,
    Everything,
    Half,
    Comments,
    OwnIds,
    /// Fails once at an event, and lets it through when it is asked again.
    Failing,
}

impl Filter {
    fn passes(self, n: u64) -> bool {
        match self {
            Self::Nothing | Self::Comments => false,
            Self::Half => n.is_multiple_of(2),
            Self::Everything | Self::OwnIds | Self::Failing => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Filtered(Filter),
    /// Read on this side.
    Read,
}

type Closure = Box<dyn FnMut(&Received) -> Option<Result<Frame, String>>>;

enum Connection {
    Plain(Pin<Box<EventStream<Subscription>>>),
    Filtered(Pin<Box<EventStream<FilterMap<Closure>>>>),
    Read(Subscription),
}

pub(crate) struct Client {
    index: usize,
    kind: Kind,
    start: Start,
    on_gap: OnGap,
    options: StreamOptions,
    keeps_alive: bool,
    /// Each with the position from which on it counts, on this connection.
    topics: BTreeMap<usize, u64>,
    /// Those that were not always there.
    changed: BTreeSet<usize>,
    connection: Option<Connection>,
    handle: Option<SubscriptionHandle>,
    parser: Parser,
    woken: Arc<Flag>,
    /// The last poll found nothing, and nobody has woken it since.
    asleep: bool,
    idle_turns: usize,
    /// Everything up to here was given out or excused.
    at: u64,
    opened_at: u64,
    /// The head when it opened, until the first poll.
    fresh: Option<u64>,
    excused: BTreeSet<u64>,
    values: BTreeSet<u64>,
    ever: BTreeSet<u64>,
    /// How often a filter was asked, on this connection.
    asked: Arc<Mutex<HashMap<u64, usize>>>,
    failed: Arc<Mutex<BTreeSet<u64>>>,
    fails: bool,
    closed: bool,
    last_id: Option<String>,
    log: Vec<String>,
}

fn number(data: &str) -> u64 {
    data.split(' ').next().unwrap().parse().unwrap()
}

fn seq(id: &str) -> u64 {
    id.split_once('-').unwrap().1.trim_end_matches('~').parse().unwrap()
}

impl Client {
    pub(crate) fn new(rng: &mut StdRng, index: usize, published: &mut Published) -> Self {
        use Filter::{Comments, Everything, Failing, Half, Nothing, OwnIds};

        let count = rng.random_range(1..=4);
        let topics: BTreeMap<usize, u64> =
            [0, 1, 2, 3, 4].sample(rng, count).map(|topic| (*topic, 0)).collect();
        let kind = match rng.random_range(0..10) {
            0..3 => Kind::Plain,
            3..5 => Kind::Read,
            _ => Kind::Filtered(*[Nothing, Everything, Half, Comments, OwnIds, Failing].choose(rng).unwrap()),
        };
        let head = published.head();
        let start = match rng.random_range(0..6) {
            0 => Start::Now,
            1 => Start::Oldest,
            2 => Start::Last(rng.random_range(0..60)),
            3 => Start::Last(usize::MAX),
            4 => Start::Since(SystemTime::UNIX_EPOCH),
            _ => Start::After(published.id(rng.random_range(0..=head))),
        };
        let on_gap = *[OnGap::Continue, OnGap::Continue, OnGap::Now, OnGap::Close].choose(rng).unwrap();
        let on_gap = if kind == Kind::Read { OnGap::Continue } else { on_gap };
        let mut options =
            StreamOptions::new().start(start).on_gap(on_gap).max_age(Duration::from_secs(86_400));
        match rng.random_range(0..6) {
            0 => options = options.max_replay_events(rng.random_range(0..5)),
            1 => options = options.max_replay_bytes(rng.random_range(0..20_000)),
            _ => {}
        }
        if rng.random_bool(0.3) {
            options = options.no_retry();
        }
        if rng.random_bool(0.3) {
            options = options.opening_comment(false);
        }
        match rng.random_range(0..4) {
            0 => options = options.no_keep_alive(),
            1 => options = options.keep_alive_event(Event::new("{}").name("ping").unwrap()),
            2 => options = options.keep_alive(Duration::from_secs(600)),
            _ => {}
        }
        let keeps_alive = !format!("{options:?}").contains("keep_alive: 600000");
        let mut client = Self {
            index,
            kind,
            start,
            on_gap,
            options,
            keeps_alive,
            topics,
            changed: BTreeSet::new(),
            connection: None,
            handle: None,
            parser: Parser::default(),
            woken: Arc::default(),
            asleep: false,
            idle_turns: 0,
            at: 0,
            opened_at: 0,
            fresh: None,
            excused: BTreeSet::new(),
            values: BTreeSet::new(),
            ever: BTreeSet::new(),
            asked: Arc::default(),
            failed: Arc::default(),
            fails: false,
            closed: false,
            last_id: None,
            log: Vec::new(),
        };
        client.connect(published);
        client
    }

    fn who(&self) -> String {
        format!(
            "client {}, {:?}, {:?}, {:?}, topics {:?}, at {}, {:?}",
            self.index, self.kind, self.start, self.on_gap, self.topics, self.at, self.log
        )
    }

    fn names(&self) -> Vec<&'static str> {
        self.topics.keys().map(|topic| TOPICS[*topic]).collect()
    }

    fn connect(&mut self, published: &mut Published) {
        let hub = &published.hub;
        self.parser = Parser::resuming(self.last_id.as_deref().unwrap_or_default());
        self.topics.values_mut().for_each(|since| *since = 0);
        self.excused.clear();
        self.values.clear();
        self.asked = Arc::default();
        (self.asleep, self.idle_turns, self.closed, self.fails) = (false, 0, false, false);
        let head = published.head();
        let on_topics = |topics: &[usize]| topics.iter().any(|topic| self.topics.contains_key(topic));
        self.fresh = None;
        let start = match (&self.last_id, self.kind) {
            (Some(id), Kind::Read) => Some(Start::After(published.id(seq(id)))),
            (Some(_), _) => None,
            (None, _) => Some(self.start),
        };
        self.at = match (start, &self.last_id) {
            (Some(Start::After(id)), _) => seq(&id.to_string()),
            (None, id) => seq(id.as_ref().unwrap()),
            (Some(Start::Now), _) => head,
            (Some(start), _) => {
                self.fresh = Some(head);
                let count = if let Start::Last(count) = start { count } else { usize::MAX };
                let mut kept = published.kept().filter(|(_, entry)| on_topics(&entry.topics)).map(|(n, _)| n);
                let last: Vec<u64> = kept.by_ref().collect();
                last.get(last.len().saturating_sub(count)..).unwrap().first().map_or(head, |first| first - 1)
            }
        };
        self.opened_at = self.at;
        let request = Request::new(&resume(self.last_id.as_deref()), hub.lifecycle());
        let topics = Topics::new(self.names()).unwrap();
        if self.kind == Kind::Read {
            let subscription = hub.subscribe(topics, start.unwrap()).unwrap();
            self.handle = Some(subscription.handle());
            self.connection = Some(Connection::Read(subscription));
            self.log.push(format!("reads from {}", self.at));
            return;
        }
        let stream = hub.open_with(&request, topics, self.options.clone()).unwrap();
        self.handle = Some(stream.handle());
        self.connection = Some(match self.kind {
            Kind::Filtered(filter) => Connection::Filtered(Box::pin(stream.filter_map(self.closure(filter)))),
            _ => Connection::Plain(Box::pin(stream)),
        });
        self.log.push(format!("opens at {:?}", self.last_id));
    }

    fn closure(&self, filter: Filter) -> Closure {
        let (asked, failed) = (Arc::clone(&self.asked), Arc::clone(&self.failed));
        Box::new(move |received| {
            assert!(!received.is_gap());
            let n = number(&received.data());
            *asked.lock().unwrap().entry(n).or_default() += 1;
            match filter {
                Filter::Nothing => None,
                Filter::Everything => Some(Ok(received.frame().clone())),
                Filter::Half => n.is_multiple_of(2).then(|| Ok(Frame::from(received.to_event()))),
                Filter::Comments => Some(Ok(Frame::comment(&received.data()))),
                Filter::OwnIds => Some(Ok(Frame::from(Event::new(received.data()).id("own").unwrap()))),
                Filter::Failing if n.is_multiple_of(7) && failed.lock().unwrap().insert(n) => {
                    Some(Err("once".to_owned()))
                }
                Filter::Failing => Some(Ok(received.frame().clone())),
            }
        })
    }

    fn passes(&self, n: u64) -> bool {
        match self.kind {
            Kind::Filtered(filter) => filter.passes(n),
            Kind::Plain | Kind::Read => true,
        }
    }

    /// Whether it must be given this event, or be told of its loss.
    fn is_owed(&self, published: &Published, n: u64) -> bool {
        let counts =
            |topic: &usize| !is_latest(*topic) && self.topics.get(topic).is_some_and(|since| *since < n);
        published.entry(n).topics.iter().any(counts)
    }

    /// Everything up to here was given out: what was not must be excused.
    fn reach(&mut self, published: &Published, upto: u64, what: &str) {
        for n in self.at + 1..=upto {
            let missed = self.is_owed(published, n) && self.passes(n) && !self.excused.contains(&n);
            assert!(!missed, "{n} was left out before {what}; {}", self.who());
        }
        self.at = self.at.max(upto);
    }

    fn take(&mut self, published: &Published, message: &Message) {
        let id = seq(&message.last_event_id);
        assert!(id >= self.last_id.as_deref().map_or(0, seq), "ids go back; {}", self.who());
        self.last_id = Some(message.last_event_id.clone());
        let short: String = message.data.chars().take(60).collect();
        self.log.push(format!("{} {short} ({})", message.name, message.last_event_id));
        match message.name.as_str() {
            "sse-position" => self.reach(published, id, "a position"),
            "ping" => {}
            "sse-gap" => self.gap(published, id, &message.data),
            _ => {
                let n = number(&message.data);
                assert!(self.passes(n), "{n} is not for it; {}", self.who());
                let entry = published.entry(n);
                let is_value =
                    entry.topics.iter().any(|topic| is_latest(*topic) && self.topics.contains_key(topic));
                self.ever.insert(n);
                if id == n && n > self.at {
                    self.reach(published, n - 1, "a later one");
                    self.at = n;
                } else {
                    assert!(is_value, "{n} comes a second time or under a wrong id; {}", self.who());
                    assert!(self.values.insert(n), "value {n} comes a second time; {}", self.who());
                }
            }
        }
    }

    fn gap(&mut self, published: &Published, id: u64, data: &str) {
        let gap: serde_json::Value = serde_json::from_str(data).unwrap();
        let upto = seq(gap["upto"].as_str().unwrap());
        let topics: Vec<usize> = gap["topics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| TOPICS.iter().position(|topic| *topic == name.as_str().unwrap()).unwrap())
            .collect();
        assert!(topics.iter().all(|topic| !is_latest(*topic)), "{}", self.who());
        let lost: Vec<u64> = (1..=upto)
            .filter(|n| {
                let entry = published.entry(*n);
                !entry.kept && entry.topics.iter().any(|topic| topics.contains(topic))
            })
            .collect();
        assert!(lost.iter().any(|n| *n > self.at), "nothing is lost; {}", self.who());
        self.excused.extend(lost);
        self.values.clear();
        if self.on_gap == OnGap::Continue {
            self.reach(published, id, "a gap");
        } else {
            self.at = id;
        }
        self.closed = self.on_gap == OnGap::Close;
    }

    /// One poll. How much came, or nothing where it ended.
    fn poll_once(&mut self, published: &mut Published, limit: Option<usize>, keep: f64) -> Option<usize> {
        if let Some(head) = self.fresh.take() {
            self.excused.extend((1..=head).filter(|n| !published.entry(*n).kept));
        }
        self.woken.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(Arc::clone(&self.woken));
        let cx = &mut Context::from_waker(&waker);
        let polled = match self.connection.as_mut()? {
            Connection::Plain(stream) => poll_body(stream.as_mut(), cx, limit),
            Connection::Filtered(stream) => poll_body(stream.as_mut(), cx, limit),
            Connection::Read(subscription) => {
                let polled = Pin::new(subscription).poll_next(cx);
                if let Poll::Ready(Some(received)) = &polled {
                    let topics = published.entries.get(seq(&received.id().to_string()) as usize - 1);
                    if !received.is_gap() && number(&received.data()) == seq(&received.id().to_string()) {
                        let mut names: Vec<_> =
                            topics.unwrap().topics.iter().map(|topic| TOPICS[*topic]).collect();
                        let mut got: Vec<_> = received.topics().iter().map(Topic::as_str).collect();
                        names.sort_unstable();
                        got.sort_unstable();
                        assert_eq!(got, names);
                    }
                }
                polled.map(|received| received.map(|received| received.frame().as_bytes().clone()))
            }
        };
        self.asleep = polled.is_pending() && !self.woken.0.load(Ordering::SeqCst);
        match polled {
            Poll::Pending => {
                self.idle_turns += usize::from(!self.asleep);
                assert!(self.idle_turns <= PATIENCE, "it is busy with nothing; {}", self.who());
                Some(0)
            }
            Poll::Ready(Some(chunk)) => {
                assert!(!chunk.is_empty(), "{}", self.who());
                self.idle_turns = 0;
                let kept = if keep < 1.0 { (chunk.len() as f64 * keep) as usize } else { chunk.len() };
                self.parser.push(&chunk[..kept]);
                assert!(kept < chunk.len() || !self.parser.is_amid(), "half an event; {}", self.who());
                for message in self.parser.messages() {
                    self.take(published, &message);
                }
                self.check_asked(published);
                Some(chunk.len())
            }
            Poll::Ready(None) => {
                self.check_asked(published);
                self.ended(published);
                None
            }
        }
    }

    fn check_asked(&mut self, published: &Published) {
        for (n, times) in &*self.asked.lock().unwrap() {
            let is_value = published.entry(*n).topics.iter().any(|topic| is_latest(*topic));
            assert!(is_value || *times == 1, "it was asked {times} times about {n}; {}", self.who());
        }
    }

    /// A stream that is ended has brought its client forward, but for one that has failed.
    fn ended(&mut self, published: &Published) {
        self.connection = None;
        self.log.push("ended".to_owned());
        let fails = self.kind == Kind::Filtered(Filter::Failing);
        let moved = self.last_id.as_deref().map_or(0, seq) > self.opened_at;
        let stops = published.hub.lifecycle().is_stopping();
        assert!(moved || fails || self.closed || stops, "it is sent away with nothing; {}", self.who());
    }

    pub(crate) fn poll(&mut self, rng: &mut StdRng, published: &mut Published) {
        if self.connection.is_none() {
            self.connect(published);
        }
        let limit = match rng.random_range(0..8) {
            0 => 1,
            1 => 60,
            2 => 4096 - 70 + rng.random_range(0..140),
            3 => 16_384,
            4 => usize::MAX,
            _ => 0,
        };
        self.poll_once(published, (limit > 0).then_some(limit), 1.0);
    }

    /// In the middle of what it is just sent.
    pub(crate) fn cut(&mut self, rng: &mut StdRng, published: &mut Published) {
        if self.connection.is_some() {
            // What is read on this side comes in whole events.
            let keep = if self.kind == Kind::Read { 1.0 } else { rng.random_range(0.0..1.0) };
            self.poll_once(published, None, keep);
        }
        self.connection = None;
        self.log.push("cut".to_owned());
        self.connect(published);
    }

    #[allow(clippy::map_entry, reason = "what is between looks at the whole map")]
    pub(crate) fn change_topics(&mut self, rng: &mut StdRng, published: &Published) {
        let topic = rng.random_range(0..TOPICS.len());
        let Some(handle) = self.handle.as_ref().filter(|_| self.connection.is_some()) else {
            return;
        };
        let topics = Topics::new([TOPICS[topic]]).unwrap();
        let has = self.topics.contains_key(&topic);
        if has {
            // What was taken already may still be sent.
            if self.topics.len() > 1 && self.asleep {
                assert!(handle.remove(&topics));
                self.topics.remove(&topic);
                self.changed.insert(topic);
            }
        } else if handle.add(&topics) {
            // It may have ended with its last chunk.
            self.topics.insert(topic, published.head());
            self.changed.insert(topic);
        }
        self.log.push(format!("topics {:?}", self.topics));
    }

    /// Whoever sleeps has nothing to be given.
    pub(crate) fn check_sleep(&mut self, published: &mut Published) {
        if self.connection.is_some() && self.asleep && !self.woken.0.load(Ordering::SeqCst) {
            let came = self.poll_once(published, Some(16_384), 1.0);
            assert_eq!(came, Some(0), "it slept while something was due; {}", self.who());
            assert!(self.asleep, "it slept, and had something to do; {}", self.who());
        }
    }

    /// Until it has everything; it comes back as often as it is sent away.
    pub(crate) fn come_to_rest(&mut self, published: &mut Published) {
        for _ in 0..2000 {
            if self.connection.is_none() {
                self.connect(published);
            }
            self.poll_once(published, None, 1.0);
            if self.connection.is_some() && self.asleep {
                return self.check_whole(published);
            }
        }
        panic!("it never comes to rest; {}", self.who());
    }

    fn check_whole(&mut self, published: &Published) {
        let head = published.head();
        self.reach(published, head, "it sleeps");
        for topic in (3..5).filter(|topic| self.topics.contains_key(topic) && !self.changed.contains(topic)) {
            let latest = (1..=head).rev().find(|n| published.entry(*n).topics.contains(&topic));
            if let Some(n) = latest.filter(|n| published.entry(*n).kept && self.passes(*n)) {
                assert!(self.ever.contains(&n), "value {n} is missing; {}", self.who());
            }
        }
    }

    /// After a silence: nothing that it has or was left out can be told as lost when it comes back.
    pub(crate) fn check_position(&self, published: &Published) {
        let id = self.last_id.as_deref().map_or(0, seq);
        let told = |n: &u64| self.is_owed(published, *n) && !published.entry(*n).kept;
        if self.keeps_alive && self.kind != Kind::Read {
            let lost = (id + 1..=published.head()).find(told);
            assert_eq!(lost, None, "it will be told of a loss that is none; {}", self.who());
        }
    }

    /// The server stops: it is sent what it is owed, and then the end.
    pub(crate) fn end(&mut self, published: &mut Published) {
        let head = published.head();
        let was_open = self.connection.is_some();
        let mut turns = 0;
        while self.connection.is_some() {
            self.poll_once(published, None, 1.0);
            turns += 1;
            assert!(turns < 2000 && !self.asleep, "it does not end; {}", self.who());
        }
        let may_be_short = self.closed
            || self.kind == Kind::Filtered(Filter::Failing)
            || format!("{:?}", self.options) != format!("{:?}", uncapped(&self.options));
        if was_open && !may_be_short {
            self.reach(published, head, "the end");
        }
    }
}

/// The same without caps on replay.
fn uncapped(options: &StreamOptions) -> StreamOptions {
    options.clone().max_replay_events(usize::MAX).max_replay_bytes(usize::MAX)
}

fn poll_body<S: sse_core::Source>(
    stream: Pin<&mut EventStream<S>>,
    cx: &mut Context<'_>,
    limit: Option<usize>,
) -> Poll<Option<Bytes>> {
    match limit {
        Some(limit) => stream.poll_chunk(cx, limit),
        None => stream.poll_next(cx),
    }
}
