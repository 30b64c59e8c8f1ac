//! The hub from outside: real wakers, real runtimes, and the bytes that a client would read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod spec;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use futures_core::Stream;
use futures_util::StreamExt;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use spec::{Message, Parser};
use sse_core::{
    Event, EventId, EventStream, Hub, HubBuilder, OnGap, Request, RequestHead, Start, StreamOptions,
    Subscription, SubscriptionHandle, TopicPattern, Topics,
};
use tokio::{
    runtime,
    sync::mpsc,
    time::{advance, sleep, timeout},
};

/// Long enough for a loaded machine, and shorter than the keep-alive that would hide a lost wake-up.
const SOON: Duration = Duration::from_secs(20);

struct Head(Option<String>);

impl RequestHead for Head {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn headers(&self, name: &str) -> Vec<&[u8]> {
        self.0.as_deref().filter(|_| name == "last-event-id").map(str::as_bytes).into_iter().collect()
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

/// A hub whose streams are never polled but for events.
fn builder() -> HubBuilder {
    Hub::builder().stream_options(StreamOptions::new().keep_alive(Duration::from_secs(600)))
}

fn latest() -> HubBuilder {
    builder().latest(TopicPattern::new("price/*").unwrap())
}

/// Remembers that it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One connection of a client.
struct Client {
    stream: Pin<Box<EventStream<Subscription>>>,
    parser: Parser,
    raw: String,
    ended: bool,
    woken: Arc<Flag>,
}

impl Client {
    fn open(hub: &Hub, topics: &[&str], last: Option<&str>) -> Self {
        let request = Request::new(&Head(last.map(str::to_owned)), hub.lifecycle());
        Self {
            stream: Box::pin(hub.open(&request, topics).unwrap()),
            parser: Parser::resuming(last.unwrap_or_default()),
            raw: String::new(),
            ended: false,
            woken: Arc::default(),
        }
    }

    /// From the start of the hub's log.
    fn after(hub: &Hub, topics: &[&str], id: EventId) -> Self {
        Self::open(hub, topics, Some(&id.to_string()))
    }

    fn handle(&self) -> SubscriptionHandle {
        self.stream.handle()
    }

    /// One chunk, behind the pause that a full one is followed by.
    fn chunk(&mut self) -> Vec<Message> {
        let read = self.raw.len();
        let mut messages = self.take();
        if self.raw.len() == read {
            messages = self.take();
        }
        messages
    }

    /// One poll.
    fn take(&mut self) -> Vec<Message> {
        let waker = Waker::from(Arc::clone(&self.woken));
        match self.stream.as_mut().poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(bytes)) => {
                self.raw.push_str(std::str::from_utf8(&bytes).unwrap());
                self.parser.push(&bytes);
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Pending => {}
        }
        self.parser.messages()
    }

    /// All that is due; then it sleeps.
    fn drain(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            self.woken.0.store(false, Ordering::SeqCst);
            let read = self.raw.len();
            messages.extend(self.take());
            let paused = self.woken.0.load(Ordering::SeqCst);
            if self.ended || (self.raw.len() == read && !paused) {
                return messages;
            }
            assert!(messages.len() < 10_000, "it never comes to rest: {:?}", messages.last());
        }
    }

    /// All that is due, in short: positions left out, gaps by reason and topics.
    fn said(&mut self) -> Vec<String> {
        self.drain().iter().filter(|message| message.name != "sse-position").map(short).collect()
    }

    fn id(&self) -> &str {
        self.parser.last_event_id()
    }

    /// Cut and come back.
    fn again(self, hub: &Hub, topics: &[&str]) -> Self {
        Self::open(hub, topics, Some(self.id()))
    }
}

fn short(message: &Message) -> String {
    if message.name != "sse-gap" {
        return message.data.clone();
    }
    let gap = gap(message);
    let topics = gap["topics"].as_array().unwrap().iter().map(|topic| topic.as_str().unwrap());
    format!("{}:{}", gap["reason"].as_str().unwrap(), topics.collect::<Vec<_>>().join(","))
}

fn gap(message: &Message) -> serde_json::Value {
    assert_eq!(message.name, "sse-gap");
    serde_json::from_str(&message.data).unwrap()
}

fn publish(hub: &Hub, topics: &[&str], data: impl Into<String>) -> EventId {
    hub.publish_blocking(topics, data.into()).unwrap()
}

/// The order of ids within one epoch.
fn seq(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
}

const NOTHING: [&str; 0] = [];

// Concurrency

const CROWD_TOPICS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const PUBLISHERS: usize = 4;
const ROUNDS: usize = 8;
const BURST: usize = 300;
const SUBSCRIBERS: usize = 36;

struct Reader {
    topics: Vec<&'static str>,
    /// It sees nothing up to the first, everything behind the second.
    bounds: (u64, u64),
    seen: Vec<(u64, String)>,
}

impl Reader {
    /// Opens at once, so that it is there for the mark that ends the round.
    fn open(hub: &Hub, resumes: bool, rng: &mut StdRng) -> (Self, Client) {
        let count = rng.random_range(1..4);
        let topics: Vec<&str> = CROWD_TOPICS.sample(rng, count).copied().collect();
        let before = hub.position();
        let client =
            if resumes { Client::after(hub, &topics, before) } else { Client::open(hub, &topics, None) };
        let after = if resumes { before } else { hub.position() };
        let bounds = (seq(&before.to_string()), seq(&after.to_string()));
        (Self { topics, bounds, seen: Vec::new() }, client)
    }

    /// Reads until the last mark: now fast, now slowly, and cut at any byte.
    async fn run(mut self, hub: Hub, mut client: Client, marks: mpsc::UnboundedSender<usize>) -> Self {
        let mut rng = StdRng::from_rng(&mut rand::rng());
        loop {
            for left in (0..rng.random_range(1..30)).rev() {
                let chunk = client.stream.next().await.unwrap();
                let is_cut = left == 0 && !client.id().is_empty();
                let upto = if is_cut { rng.random_range(0..=chunk.len()) } else { chunk.len() };
                client.parser.push(&chunk[..upto]);
                for message in client.parser.messages() {
                    if message.name == "sse-position" {
                        continue;
                    }
                    assert_eq!(message.name, "message", "{message:?}");
                    self.seen.push((seq(&message.last_event_id), message.data.clone()));
                    if let Some(round) = message.data.strip_prefix("mark ") {
                        let round = round.parse().unwrap();
                        marks.send(round).unwrap();
                        if round == ROUNDS - 1 {
                            return self;
                        }
                    }
                }
                match rng.random_range(0..12) {
                    0 => sleep(Duration::from_millis(rng.random_range(0..4))).await,
                    1..4 => tokio::task::yield_now().await,
                    _ => {}
                }
            }
            client = client.again(&hub, &self.topics);
        }
    }

    fn judge(&self, published: &BTreeMap<u64, (Vec<&str>, String)>) {
        let (before, after) = self.bounds;
        // A client without an id begins somewhere while it opens, and from there on misses nothing.
        let first = self.seen.first().unwrap().0;
        assert!(first > before, "{first} is older than the stream");
        let mine: Vec<(u64, String)> = published
            .iter()
            .filter(|(_, (topics, _))| topics.iter().any(|topic| self.topics.contains(topic)))
            .map(|(&seq, (_, data))| (seq, data.clone()))
            .filter(|(seq, _)| *seq >= first || *seq > after)
            .collect();
        assert_eq!(self.seen.len(), mine.len());
        assert_eq!(self.seen, mine);
    }
}

/// Publishers in threads, readers in tasks. After every burst all fall silent: whoever was not woken is found.
async fn crowd() {
    let hub = builder().max_events(1_000_000).max_bytes(1 << 30).build();
    let mut rng = StdRng::from_rng(&mut rand::rng());
    let (marks, mut marked) = mpsc::unbounded_channel();
    let mut published = BTreeMap::new();
    let mut readers = Vec::new();
    for round in 0..ROUNDS {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let hub = hub.clone();
                thread::spawn(move || {
                    let mut rng = StdRng::from_rng(&mut rand::rng());
                    let mut published = Vec::new();
                    for n in 0..BURST {
                        let count = rng.random_range(1..4);
                        let topics: Vec<&str> = CROWD_TOPICS.sample(&mut rng, count).copied().collect();
                        let data = format!("{publisher} {round} {n}");
                        let id = publish(&hub, &topics, data.clone());
                        published.push((seq(&id.to_string()), (topics, data)));
                        if n % 64 == 0 {
                            thread::yield_now();
                        }
                    }
                    published
                })
            })
            .collect();
        // A few more come in every round but the last, while it is noisy.
        for n in 0..SUBSCRIBERS / ROUNDS {
            let (reader, client) = Reader::open(&hub, n % 2 == 0, &mut rng);
            readers.push(tokio::spawn(reader.run(hub.clone(), client, marks.clone())));
            tokio::task::yield_now().await;
        }
        for publisher in publishers {
            let done = tokio::task::spawn_blocking(|| publisher.join().unwrap());
            published.extend(done.await.unwrap());
        }
        let mark = format!("mark {round}");
        let id = publish(&hub, &CROWD_TOPICS, mark.clone());
        published.insert(seq(&id.to_string()), (CROWD_TOPICS.to_vec(), mark));
        for _ in 0..readers.len() {
            let seen = timeout(SOON, marked.recv()).await;
            assert_eq!(seen.unwrap_or_else(|_| panic!("somebody sleeps on in round {round}")), Some(round));
        }
    }
    assert_eq!(published.len(), ROUNDS * (PUBLISHERS * BURST + 1), "an id was given twice");
    for reader in readers {
        timeout(SOON, reader).await.unwrap().unwrap().judge(&published);
    }
    assert_eq!(hub.stats().subscribers, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_sees_every_event_once_in_order_on_many_threads() {
    crowd().await;
}

#[tokio::test]
async fn each_sees_every_event_once_in_order_on_one_thread() {
    crowd().await;
}

/// Whoever has something due is woken, whatever comes and goes between the publishing and its turn.
#[tokio::test]
async fn whoever_is_owed_something_is_woken() {
    const TOPICS: [&str; 4] = ["a", "b", "c", "d"];
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        let hub = builder().build();
        let mut clients: Vec<Client> = Vec::new();
        for step in 0..600 {
            let topics: Vec<&str> = {
                let count = rng.random_range(1..=TOPICS.len());
                TOPICS.sample(&mut rng, count).copied().collect()
            };
            let one = (!clients.is_empty()).then(|| rng.random_range(0..clients.len()));
            match (rng.random_range(0..100), one) {
                (0..30, _) | (_, None) => {
                    let mut client = Client::open(&hub, &topics, None);
                    client.drain();
                    clients.push(client);
                }
                (30..50, _) => drop(publish(&hub, &topics, "x")),
                (50..64, Some(one)) => drop(clients.swap_remove(one)),
                (64..72, Some(one)) => drop(clients[one].drain()),
                (72..80, Some(one)) => drop(clients[one].handle().add(&Topics::new(topics).unwrap())),
                (80..88, Some(one)) => drop(clients[one].handle().remove(&Topics::new(topics).unwrap())),
                (88..96, _) => tokio::task::yield_now().await,
                // Half of them at once.
                _ if rng.random_bool(0.2) => clients.truncate(clients.len() / 2),
                _ => {}
            }
            if step % 50 == 49 {
                // The wake task looks at 256 at a time.
                for _ in 0..64 {
                    tokio::task::yield_now().await;
                }
                for client in &mut clients {
                    let woken = client.woken.0.load(Ordering::SeqCst);
                    let due = client.drain();
                    assert!(woken || due.is_empty(), "seed {seed}, step {step}: {due:?}");
                }
            }
        }
        drop(clients);
        assert_eq!((hub.stats().subscribers, hub.lifecycle().streams()), (0, 0));
    }
}

/// A body may move from task to task: who polled last is the one who is woken, by whatever there is.
#[tokio::test(start_paused = true)]
async fn who_polled_last_is_woken() {
    let tasks: [Arc<Flag>; 2] = Default::default();
    // The steps of a case are the digits of its number: a poll by one task, by the other, or an event.
    for case in 0..3_u32.pow(5) * 2 * 3 {
        let hub =
            Hub::builder().stream_options(StreamOptions::new().keep_alive(Duration::from_secs(15))).build();
        let mut client = Client::open(&hub, &["news"], None);
        let mut left = case;
        let mut next = |digits| (left % digits, left /= digits).0 as usize;
        for _ in 0..5 {
            let step = next(3);
            if let Some(task) = tasks.get(step) {
                client.woken = Arc::clone(task);
                client.take();
            } else {
                publish(&hub, &["news"], "x");
                tokio::task::yield_now().await;
            }
        }
        let last = &tasks[next(2)];
        client.woken = Arc::clone(last);
        client.drain();
        let cause = next(3);
        match cause {
            0 => drop(publish(&hub, &["news"], "y")),
            1 => hub.lifecycle().stop(),
            _ => advance(Duration::from_secs(16)).await,
        }
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert!(last.0.load(Ordering::SeqCst), "case {case}, cause {cause}");
        let read = client.raw.len();
        client.take();
        assert!(client.raw.len() > read, "case {case}, cause {cause}");
    }
}

/// However many there are, a publisher only says that there is something.
#[tokio::test]
async fn a_publisher_wakes_nobody_itself() {
    let hub = builder().build();
    let mut clients: Vec<Client> = (0..300).map(|_| Client::open(&hub, &["a"], None)).collect();
    clients.iter_mut().for_each(|client| drop(client.drain()));
    // The task that wakes them has begun, and sleeps.
    tokio::task::yield_now().await;
    let woken = |clients: &[Client]| clients.iter().filter(|c| c.woken.0.load(Ordering::SeqCst)).count();
    publish(&hub, &["a"], "x");
    assert_eq!(woken(&clients), 0);
    tokio::task::yield_now().await;
    assert!((1..300).contains(&woken(&clients)), "a few at a time");
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    assert_eq!(woken(&clients), 300);
}

#[tokio::test]
async fn a_crowd_does_not_keep_the_others_waiting_for_their_turn() {
    let hub = builder().build();
    let mut crowd: Vec<Client> = (0..1000).map(|_| Client::open(&hub, &["crowd"], None)).collect();
    let mut one = Client::open(&hub, &["one"], None);
    crowd.iter_mut().chain([&mut one]).for_each(|client| drop(client.drain()));
    publish(&hub, &["crowd"], "x");
    publish(&hub, &["one"], "x");
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    assert!(one.woken.0.load(Ordering::SeqCst));
}

#[tokio::test]
async fn whoever_takes_the_place_of_another_is_not_woken_for_its_topics() {
    let hub = builder().build();
    let mut clients: Vec<Client> = (0..10).map(|_| Client::open(&hub, &["a"], None)).collect();
    clients.remove(4);
    let mut heir = Client::open(&hub, &["b"], None);
    heir.drain();
    // Nor for what was taken away from it.
    heir.handle().add(&Topics::new(["c"]).unwrap());
    heir.handle().remove(&Topics::new(["c"]).unwrap());
    publish(&hub, &["a", "c"], "x");
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    assert!(!heir.woken.0.load(Ordering::SeqCst));
}

// Runtimes that die

/// Many that sleep, each in a task of its own; what they read comes through the channel.
fn sleepers(runtime: &runtime::Runtime, hub: &Hub, count: usize) -> mpsc::UnboundedReceiver<String> {
    sleep_in(runtime, (0..count).map(|_| Client::open(hub, &["a"], None)).collect())
}

fn sleep_in(runtime: &runtime::Runtime, clients: Vec<Client>) -> mpsc::UnboundedReceiver<String> {
    let count = clients.len();
    let (tx, rx) = mpsc::unbounded_channel();
    let (ready, mut asleep) = mpsc::unbounded_channel();
    for mut client in clients {
        let (tx, ready) = (tx.clone(), ready.clone());
        runtime.spawn(async move {
            drop(client.drain());
            ready.send(()).unwrap();
            while let Some(bytes) = client.stream.next().await {
                client.parser.push(&bytes);
                for message in client.parser.messages() {
                    if tx.send(message.data).is_err() {
                        return;
                    }
                }
            }
        });
    }
    runtime.block_on(async {
        for _ in 0..count {
            asleep.recv().await.unwrap();
        }
    });
    rx
}

/// [`sleepers`] that were polled first in one runtime and live in another.
fn moved(
    from: &runtime::Runtime,
    to: &runtime::Runtime,
    hub: &Hub,
    count: usize,
) -> mpsc::UnboundedReceiver<String> {
    let clients = (0..count).map(|_| Client::open(hub, &["a"], None)).map(|mut client| {
        from.block_on(async { drop(client.drain()) });
        client
    });
    sleep_in(to, clients.collect())
}

async fn all_read(rx: &mut mpsc::UnboundedReceiver<String>, count: usize, data: &str) {
    for n in 0..count {
        let read = timeout(SOON, rx.recv()).await.unwrap_or_else(|_| panic!("{n} of {count} were woken"));
        assert_eq!(read.unwrap(), data);
    }
}

fn multi_thread() -> runtime::Runtime {
    runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn those_on_another_runtime_are_woken_when_the_first_is_gone() {
    const COUNT: usize = 400;
    let hub = builder().build();
    let first = multi_thread();
    let early = sleepers(&first, &hub, 1);
    let second = multi_thread();
    let mut late = sleepers(&second, &hub, COUNT);
    publish(&hub, &["a"], "before");
    second.block_on(all_read(&mut late, COUNT, "before"));
    drop((first, early));
    assert_eq!(hub.stats().subscribers, COUNT);
    for data in ["one", "two"] {
        publish(&hub, &["a"], data);
        second.block_on(all_read(&mut late, COUNT, data));
    }
}

/// Driven only inside `block_on`.
fn current_thread() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_stands_still_delays_no_other() {
    const COUNT: usize = 400;
    let hub = builder().build();
    let (first, second) = (current_thread(), multi_thread());
    let mut early = sleepers(&first, &hub, 2);
    let mut late = sleepers(&second, &hub, COUNT);
    for data in ["one", "two"] {
        publish(&hub, &["a"], data);
        second.block_on(all_read(&mut late, COUNT, data));
    }
    first.block_on(async {
        let mut read = Vec::new();
        while read.len() < 4 {
            read.push(timeout(SOON, early.recv()).await.unwrap().unwrap());
        }
        read.sort_unstable();
        assert_eq!(read, ["one", "one", "two", "two"]);
    });
}

#[test]
fn there_may_be_any_number_of_runtimes() {
    let hub = builder().build();
    let mut all: Vec<_> = (0..70).map(|_| current_thread()).map(|rt| (sleepers(&rt, &hub, 1), rt)).collect();
    publish(&hub, &["a"], "x");
    for (rx, runtime) in &mut all {
        runtime.block_on(all_read(rx, 1, "x"));
    }
    // Whose runtime is gone is not missed by those who shared its task.
    let rest = all.split_off(6);
    drop(all);
    publish(&hub, &["a"], "y");
    for (mut rx, runtime) in rest {
        runtime.block_on(all_read(&mut rx, 1, "y"));
    }
    assert_eq!(hub.stats().subscribers, 0);
}

#[test]
fn what_a_dying_runtime_still_had_to_wake_is_woken() {
    const COUNT: usize = 400;
    let hub = builder().build();
    // The others have slept there once, and live in the second.
    let first = current_thread();
    let early = sleepers(&first, &hub, 1);
    let second = multi_thread();
    let mut late = moved(&first, &second, &hub, COUNT);
    publish(&hub, &["a"], "x");
    drop((first, early));
    second.block_on(all_read(&mut late, COUNT, "x"));
}

#[test]
fn publishing_while_a_runtime_dies_wakes_everyone() {
    let hub = builder().build();
    let second = multi_thread();
    let stop = Arc::new(AtomicBool::new(false));
    for round in 0..40 {
        let first = multi_thread();
        let early = sleepers(&first, &hub, 1);
        let mut late = sleepers(&second, &hub, 30);
        let publisher = {
            let (hub, stop) = (hub.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    publish(&hub, &["a"], "noise");
                    thread::sleep(Duration::from_micros(50));
                }
                publish(&hub, &["a"], "end");
            })
        };
        thread::sleep(Duration::from_millis(2));
        stop.store(true, Ordering::SeqCst);
        drop((first, early));
        publisher.join().unwrap();
        stop.store(false, Ordering::SeqCst);
        second.block_on(async {
            let mut ends = 0;
            while ends < 30 {
                let read = timeout(SOON, late.recv()).await;
                let read = read.unwrap_or_else(|_| panic!("round {round}: {ends} of 30 saw the end"));
                ends += usize::from(read.unwrap() == "end");
            }
        });
    }
}

// Topics of an open stream

#[tokio::test]
async fn added_topics_count_from_then_on_and_removed_ones_stop() {
    let hub = builder().build();
    let mut client = Client::open(&hub, &["a"], None);
    let handle = client.handle();
    assert_eq!(client.said(), NOTHING);
    publish(&hub, &["b"], "b1");
    assert!(handle.add(&Topics::new(["b", "c"]).unwrap()));
    publish(&hub, &["b"], "b2");
    publish(&hub, &["a"], "a1");
    publish(&hub, &["c", "a"], "ca");
    assert_eq!(client.said(), ["b2", "a1", "ca"]);

    publish(&hub, &["a"], "a2");
    publish(&hub, &["b"], "b3");
    assert!(handle.remove(&Topics::new(["a", "unknown"]).unwrap()));
    publish(&hub, &["a"], "a3");
    publish(&hub, &["a", "c"], "ac");
    // What was due and not yet sent is not sent either.
    assert_eq!(client.said(), ["b3", "ac"]);

    assert!(handle.add(&Topics::new(["a"]).unwrap()));
    assert_eq!(client.said(), NOTHING);
    publish(&hub, &["a"], "a4");
    assert_eq!(client.said(), ["a4"]);
}

#[tokio::test]
async fn an_added_topic_wakes_the_sleeper() {
    let hub = builder().build();
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    client.handle().add(&Topics::new(["b"]).unwrap());
    publish(&hub, &["b"], "b1");
    let chunk = timeout(SOON, client.stream.next()).await.unwrap().unwrap();
    assert!(chunk.starts_with(b"data: b1\n"));
    client.drain();
    publish(&hub, &["b"], "b2");
    timeout(SOON, async {
        while !client.woken.0.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn adding_and_removing_again_and_again_leaves_nothing_behind() {
    let hub = builder().build();
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    let handle = client.handle();
    let before = hub.stats();
    for round in 0..2000 {
        let topics = Topics::new(["a".to_owned(), "b".to_owned(), format!("c/{round}")]).unwrap();
        assert!(handle.add(&topics) && handle.add(&topics));
        let removed = Topics::new(["b".to_owned(), format!("c/{round}")]).unwrap();
        assert!(handle.remove(&removed) && handle.remove(&removed));
    }
    assert_eq!(hub.stats(), before);
    handle.add(&Topics::new(["b"]).unwrap());
    handle.add(&Topics::new(["b", "a"]).unwrap());
    publish(&hub, &["a", "b"], "once");
    publish(&hub, &["b"], "b");
    assert_eq!(client.said(), ["once", "b"]);
    // Taken away once is taken away, however often it was added.
    handle.remove(&Topics::new(["a", "b"]).unwrap());
    publish(&hub, &["a", "b"], "gone");
    assert_eq!(client.said(), NOTHING);
    drop(client);
    assert_eq!(hub.stats().subscribers, 0);
}

#[tokio::test]
async fn a_handle_outlives_its_stream_and_touches_no_other() {
    let hub = builder().build();
    let client = Client::open(&hub, &["a"], None);
    let handle = client.handle();
    drop(client);
    let mut other = Client::open(&hub, &["c"], None);
    assert!(!handle.add(&Topics::new(["b"]).unwrap()));
    assert!(!handle.remove(&Topics::new(["c"]).unwrap()));
    other.drain();
    publish(&hub, &["b"], "b");
    publish(&hub, &["c"], "c");
    assert_eq!(other.said(), ["c"]);
    drop((hub, other));
    assert!(!handle.add(&Topics::new(["b"]).unwrap()));
}

#[tokio::test]
async fn only_what_an_added_topic_lost_since_is_a_loss() {
    let hub = builder().max_events_per_topic(2).build();
    for n in 0..5 {
        publish(&hub, &["b"], format!("old {n}"));
    }
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    for n in 5..10 {
        publish(&hub, &["b"], format!("old {n}"));
    }
    client.handle().add(&Topics::new(["b"]).unwrap());
    publish(&hub, &["b"], "b1");
    publish(&hub, &["b"], "b2");
    // What went of the old ones, before and just now, is nothing to this client.
    assert_eq!(client.said(), ["b1", "b2"]);
    for n in 3..6 {
        publish(&hub, &["b"], format!("b{n}"));
    }
    assert_eq!(client.said(), ["lagged:b", "b4", "b5"]);
}

/// A chunk is full after two of these.
fn big(label: &str) -> String {
    format!("{label} {}", "x".repeat(9000))
}

fn labels(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| short(message).split(' ').next().unwrap().to_owned()).collect()
}

/// A client in the middle of what is kept behind a gap, with `x` published in between.
fn halfway() -> (Hub, Client) {
    let hub = builder().max_events_per_topic(4).build();
    let start = hub.position();
    for n in 1..5 {
        publish(&hub, &["quiet"], big(&format!("q{n}")));
    }
    for n in 1..4 {
        publish(&hub, &["x"], format!("x{n}"));
    }
    for n in 1..9 {
        publish(&hub, &["noisy"], format!("n{n}"));
    }
    let mut client = Client::after(&hub, &["quiet", "noisy"], start);
    assert_eq!(labels(&client.chunk()), ["trimmed:noisy", "q1"]);
    (hub, client)
}

#[tokio::test]
async fn the_past_of_an_added_topic_is_never_owed() {
    let (hub, mut client) = halfway();
    client.handle().add(&Topics::new(["x"]).unwrap());
    let mut read = labels(&client.chunk());
    assert_eq!(read, ["q2"]);
    // Pushes out some that it was never owed.
    publish(&hub, &["x"], "x4");
    publish(&hub, &["x"], "x5");
    read.extend(labels(&client.drain()));
    assert_eq!(read, ["q2", "q3", "q4", "n5", "n6", "n7", "n8", "x4", "x5"]);
}

#[tokio::test]
async fn what_was_owed_of_a_topic_is_not_once_it_is_taken_away() {
    let (hub, mut client) = halfway();
    let quiet = Topics::new(["quiet"]).unwrap();
    client.handle().remove(&quiet);
    client.handle().add(&quiet);
    publish(&hub, &["quiet"], "q5");
    publish(&hub, &["quiet"], "q6");
    assert_eq!(labels(&client.drain()), ["n5", "n6", "n7", "n8", "q5", "q6"]);
}

#[tokio::test]
async fn what_is_lost_of_the_owed_after_a_gap_is_told_too() {
    let (hub, mut client) = halfway();
    // q2 goes, which lies in front of what the first gap told. That is not told again.
    publish(&hub, &["quiet"], "q5");
    publish(&hub, &["quiet"], "q6");
    let mut read = labels(&client.chunk());
    assert_eq!(read, ["lagged:quiet", "q3"]);
    read = labels(&client.drain());
    assert_eq!(read, ["q4", "n5", "n6", "n7", "n8", "q5", "q6"]);
}

#[tokio::test]
async fn the_past_of_an_added_topic_does_not_make_up_for_its_losses() {
    let hub = builder().max_events_per_topic(4).build();
    let start = hub.position();
    for n in 1..5 {
        publish(&hub, &["quiet"], big(&format!("q{n}")));
    }
    // Kept for the other topic's sake, longer than its successors.
    publish(&hub, &["b", "rare"], "old");
    let mut client = Client::after(&hub, &["quiet", "noisy"], start);
    client.handle().add(&Topics::new(["b"]).unwrap());
    for n in 1..5 {
        publish(&hub, &["b"], format!("b{n}"));
    }
    for n in 1..9 {
        publish(&hub, &["noisy"], format!("n{n}"));
    }
    assert_eq!(labels(&client.chunk()), ["trimmed:noisy", "q1"]);
    publish(&hub, &["b"], "b5");
    let read = labels(&client.drain());
    assert_eq!(read, ["lagged:b", "q2", "q3", "q4", "b2", "b3", "b4", "n5", "n6", "n7", "n8", "b5"]);
}

// Latest values

#[tokio::test]
async fn a_late_client_gets_the_present_values_first_under_its_own_position() {
    let hub = latest().build();
    for n in 1..4 {
        publish(&hub, &["price/x"], format!("x{n}"));
    }
    publish(&hub, &["price/y", "price/z"], "yz");
    publish(&hub, &["news"], "n1");
    let mut client = Client::open(&hub, &["price/x", "price/y", "price/z", "news"], None);
    let head = hub.position().to_string();
    publish(&hub, &["news"], "n2");
    let messages = client.drain();
    let data: Vec<&str> = messages.iter().map(|message| message.data.as_str()).collect();
    assert_eq!(data, ["x3", "yz", "n2"]);
    // Whoever is cut behind the first of them is owed the second.
    let owed = format!("{head}~");
    assert_eq!([&messages[0].last_event_id, &messages[1].last_event_id], [&owed, &head]);
    assert_eq!(messages[2].last_event_id, hub.position().to_string());
    assert_eq!(hub.stats().events, 4);
}

#[tokio::test]
async fn a_returning_client_gets_a_newer_value_once_and_an_old_one_never() {
    let hub = latest().build();
    let topics = ["price/x", "news"];
    publish(&hub, &["price/x"], "x1");
    let mut client = Client::open(&hub, &topics, None);
    assert_eq!(client.said(), ["x1"]);
    let mut client = client.again(&hub, &topics);
    assert_eq!(client.said(), NOTHING);
    publish(&hub, &["price/x"], "x2");
    let x3 = publish(&hub, &["price/x"], "x3");
    let mut client = client.again(&hub, &topics);
    assert_eq!(client.said(), ["x3"]);
    assert_eq!(client.id(), x3.to_string());
    let mut client = client.again(&hub, &topics);
    assert_eq!(client.said(), NOTHING);
    // Published while it is connected: the ordinary way.
    publish(&hub, &["price/x"], "x4");
    assert_eq!(client.said(), ["x4"]);
}

#[tokio::test]
async fn superseded_values_are_no_gap() {
    let hub = latest().build();
    let topics = ["price/x", "news"];
    let mut slow = Client::open(&hub, &topics, None);
    assert_eq!(slow.said(), NOTHING);
    let mut away = Client::open(&hub, &topics, None);
    away.drain();
    for n in 0..100 {
        publish(&hub, &["price/x"], format!("x{n}"));
    }
    publish(&hub, &["news"], "n");
    assert_eq!(slow.said(), ["x99", "n"]);
    assert_eq!(away.again(&hub, &topics).said(), ["x99", "n"]);

    // Not even when the value itself is gone; what is lost of others is told without it.
    let hub = latest().max_events(2).build();
    let start = hub.position();
    publish(&hub, &["price/x"], "x");
    publish(&hub, &["news"], "n1");
    publish(&hub, &["other"], "o");
    publish(&hub, &["other"], "o");
    assert_eq!(Client::after(&hub, &["price/x"], start).said(), NOTHING);
    assert_eq!(Client::after(&hub, &topics, start).said(), ["trimmed:news"]);
}

#[tokio::test]
async fn after_a_restart_the_present_value_comes() {
    let topics = ["price/x", "news"];
    for (on_gap, expected) in [
        (OnGap::Continue, &["restarted:news,price/x", "n1", "x2"][..]),
        (OnGap::Now, &["restarted:news,price/x", "x2"]),
    ] {
        let hub = latest().build();
        publish(&hub, &["price/x"], "x0");
        let mut client = Client::open(&hub, &topics, None);
        client.drain();

        let hub = latest().on_gap(on_gap).build();
        publish(&hub, &["price/x"], "x1");
        publish(&hub, &["news"], "n1");
        publish(&hub, &["price/x"], "x2");
        let mut client = client.again(&hub, &topics);
        assert_eq!(client.said(), expected);
        assert_eq!(client.id(), hub.position().to_string());
        assert_eq!(client.again(&hub, &topics).said(), NOTHING);
        // An id that is none.
        assert_eq!(Client::open(&hub, &topics, Some("?")).said(), ["unknown:news,price/x", "x2"]);
    }
}

// Caps and age

#[tokio::test]
async fn a_noisy_topic_does_not_push_out_a_quiet_one() {
    let hub = builder().max_events_per_topic(3).build();
    let start = hub.position();
    publish(&hub, &["quiet"], "q1");
    publish(&hub, &["quiet", "noisy"], "both");
    for n in 0..500 {
        publish(&hub, &["noisy"], format!("n{n}"));
    }
    assert_eq!(hub.stats().events, 5);
    assert_eq!(Client::after(&hub, &["quiet"], start).said(), ["q1", "both"]);
    // An event on both is kept for the quiet one's sake, and the loss is told before it.
    let mut client = Client::after(&hub, &["noisy"], start);
    assert_eq!(client.said(), ["trimmed:noisy", "both", "n497", "n498", "n499"]);
    let mut client = Client::after(&hub, &["noisy", "quiet"], start);
    assert_eq!(client.said(), ["trimmed:noisy", "q1", "both", "n497", "n498", "n499"]);
}

#[tokio::test]
async fn the_caps_of_the_whole_hub_win() {
    let hub = builder().max_events_per_topic(3).max_events(4).build();
    let start = hub.position();
    publish(&hub, &["quiet"], "q1");
    publish(&hub, &["quiet"], "q2");
    for n in 0..3 {
        publish(&hub, &[&format!("t{n}")], "x");
    }
    assert_eq!(hub.stats().events, 4);
    let messages = Client::after(&hub, &["quiet"], start).drain();
    assert_eq!(messages.iter().map(short).collect::<Vec<_>>(), ["trimmed:quiet", "q2"]);
    assert_eq!(gap(&messages[0])["after"], start.to_string());

    let hub = builder().max_bytes(1000).build();
    for n in 0..50 {
        publish(&hub, &["a"], format!("{n} {}", "x".repeat(100)));
        assert!(hub.stats().bytes <= 1000);
    }
    publish(&hub, &["a"], "x".repeat(5000));
    assert_eq!(hub.stats().events, 1, "the newest is kept in any case");
}

/// What the id of a gap says is so: a client that comes back with it misses nothing that is still kept.
#[tokio::test]
async fn the_id_of_a_gap_skips_nothing() {
    let (hub, client) = halfway();
    let topics = ["quiet", "noisy"];
    let start = gap(&Client::open(&hub, &topics, Some("?")).drain()[0])["upto"].clone();
    assert_eq!(start, hub.position().to_string());
    // Cut right behind the gap.
    let first = client.raw.find("\n\n").unwrap() + 2;
    let mut parser = Parser::default();
    parser.push(&client.raw.as_bytes()[..first]);
    assert_eq!(parser.messages()[0].name, "sse-gap");
    let mut client = Client::open(&hub, &topics, Some(parser.last_event_id()));
    let read = labels(&client.drain());
    assert_eq!(read, ["trimmed:noisy", "q1", "q2", "q3", "q4", "n5", "n6", "n7", "n8"]);

    // Nothing is kept in front of the loss: then the id lies behind it, and it is told once.
    let mut client = Client::after(&hub, &["noisy"], hub_start(&hub));
    assert_eq!(client.chunk().len(), 5);
    let first = client.raw.find("\n\n").unwrap() + 2;
    let mut parser = Parser::default();
    parser.push(&client.raw.as_bytes()[..first]);
    let mut client = Client::open(&hub, &["noisy"], Some(parser.last_event_id()));
    assert_eq!(client.said(), ["n5", "n6", "n7", "n8"]);
}

/// The position before the first event.
fn hub_start(hub: &Hub) -> EventId {
    let position = hub.position().to_string();
    format!("{}-0", position.split_once('-').unwrap().0).parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_idle_log_does_not_replay_what_has_expired() {
    let hub = builder().max_age(Duration::from_secs(60)).build();
    let start = hub.position();
    publish(&hub, &["a"], "a1");
    publish(&hub, &["b"], "b1");
    advance(Duration::from_secs(30)).await;
    publish(&hub, &["a"], "a2");
    advance(Duration::from_millis(29_999)).await;
    assert_eq!(Client::after(&hub, &["a"], start).said(), ["a1", "a2"]);
    advance(Duration::from_millis(1)).await;
    let mut client = Client::after(&hub, &["a"], start);
    assert_eq!(hub.stats().events, 1);
    assert_eq!(client.said(), ["trimmed:a", "a2"]);
    // Looked at again when it is read, not only when it is opened.
    let mut opened = Client::after(&hub, &["a", "b"], start);
    advance(Duration::from_secs(30)).await;
    assert_eq!(opened.said(), ["trimmed:a,b"]);
    assert_eq!((hub.stats().events, hub.stats().bytes), (0, 0));
    // A client that has it all has lost nothing.
    assert_eq!(opened.again(&hub, &["a", "b"]).said(), NOTHING);
    // Nor does one that never heard of it.
    assert_eq!(Client::open(&hub, &["a"], None).said(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_and_does_not_read_has_lagged() {
    let hub = builder().max_age(Duration::from_secs(60)).build();
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    publish(&hub, &["a"], "a1");
    advance(Duration::from_secs(61)).await;
    publish(&hub, &["a"], "a2");
    assert_eq!(client.said(), ["lagged:a", "a2"]);
    publish(&hub, &["a"], "a3");
    assert_eq!(client.said(), ["a3"]);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_events_that_expires_at_once_is_lost_at_once_and_freed_bit_by_bit() {
    const CROWD: usize = 20_000;
    let hub = builder().max_age(Duration::from_secs(60)).max_events(2 * CROWD).build();
    let start = hub.position();
    let mut behind = Client::open(&hub, &["a", "b"], None);
    behind.drain();
    for n in 0..CROWD {
        publish(&hub, &["a"], format!("a{n}"));
    }
    advance(Duration::from_secs(60)).await;
    publish(&hub, &["b"], "b1");
    let left = hub.stats().events;
    assert!(left > CROWD / 2, "one publish frees a few, {left} are left");
    // What is still there is not delivered, and is told.
    assert_eq!(behind.said(), ["lagged:a", "b1"]);
    assert_eq!(Client::after(&hub, &["a", "b"], start).said(), ["trimmed:a", "b1"]);
    assert_eq!(Client::after(&hub, &["b"], start).said(), ["b1"]);
    let mut oldest = Client::open(&hub, &["a"], Some(behind.id()));
    assert_eq!(oldest.said(), NOTHING);
    for n in 0..CROWD / 200 {
        publish(&hub, &["c"], format!("c{n}"));
    }
    assert_eq!(hub.stats().events, 1 + CROWD / 200);
}

#[tokio::test(start_paused = true)]
async fn the_shortest_age_leaves_live_events_alone() {
    let hub = builder().max_age(Duration::ZERO).build();
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    for n in 0..3 {
        publish(&hub, &["a"], format!("a{n}"));
        assert_eq!(client.said(), [format!("a{n}")]);
    }
}

#[tokio::test]
async fn a_large_event_is_shared_and_not_copied() {
    let hub = builder().build();
    let open = || {
        let mut client = Client::open(&hub, &["a", "b"], None);
        client.drain();
        client
    };
    let mut clients = [open(), open(), open()];
    let large = "x".repeat(200 << 10);
    publish(&hub, &["a"], large.as_str());
    publish(&hub, &["b"], large.as_str());
    let mut places: Vec<Vec<*const u8>> = vec![Vec::new(); 3];
    for (client, places) in clients.iter_mut().zip(&mut places) {
        let mut context = Context::from_waker(Waker::noop());
        while places.len() < 2 {
            if let Poll::Ready(Some(bytes)) = client.stream.as_mut().poll_next(&mut context) {
                places.push(bytes.as_ptr());
            }
        }
    }
    assert!(places.iter().all(|other| *other == places[0]), "{places:?}");
}

#[tokio::test]
async fn the_size_of_an_event_is_that_of_what_is_sent() {
    let hub = builder().max_event_bytes(1000).build();
    let fits = |data: String| hub.publish_blocking("a", data).is_ok();
    // `data: `, the line's end and the blank line's.
    assert!(fits("x".repeat(1000 - 7)));
    assert!(!fits("x".repeat(1000 - 6)));
    assert!(fits("\n".repeat(141)));
    assert!(!fits("\n".repeat(142)), "143 lines of 7 bytes");
    assert!(!fits("x".repeat(5000)));
    let named = Event::new("x".repeat(980)).name("name").unwrap();
    assert!(hub.publish_blocking("a", named.clone()).is_ok());
    assert!(hub.publish_blocking("a", named.comment("comment")).is_err());
}

/// The oldest event expires before any stream looks at the clock again: the usual state of a log that is bounded
/// by age.
#[tokio::test(start_paused = true)]
async fn live_events_come_while_old_ones_expire() {
    let hub = builder().max_age(Duration::from_secs(100)).build();
    let mut client = Client::open(&hub, &["a", "b"], None);
    client.drain();
    let mut asleep = Client::open(&hub, &["a"], None);
    asleep.drain();
    for n in 0..300 {
        publish(&hub, &["a"], format!("a{n}"));
        assert_eq!(client.said(), [format!("a{n}")]);
        advance(Duration::from_secs(1)).await;
        if n == 150 {
            let expected: Vec<String> =
                ["lagged:a".to_owned()].into_iter().chain((52..=150).map(|n| format!("a{n}"))).collect();
            assert_eq!(asleep.said(), expected);
        }
    }
    assert_eq!(hub.stats().events, 100);
}

#[tokio::test]
async fn catching_up_on_many_topics_is_in_order_and_whole() {
    let hub = builder().max_events(100_000).build();
    let start = hub.position();
    let topics: Vec<String> = (0..32).map(|n| format!("t{n}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut random = StdRng::seed_from_u64(1);
    let mut expected = Vec::new();
    for n in 0..5000 {
        let some: Vec<&str> = topics.sample(&mut random, 1 + n % 3).copied().collect();
        publish(&hub, &some, n.to_string());
        expected.push(n.to_string());
        publish(&hub, &["other"], "x");
    }
    assert_eq!(Client::after(&hub, &topics, start).said(), expected);
}

// Coming and going

#[tokio::test]
async fn topics_and_subscribers_go_with_the_last_that_leaves() {
    let hub = builder().build();
    let keeper = Client::open(&hub, &["kept"], None);
    for n in 0..200_000 {
        let topics = ["kept".to_owned(), format!("t/{n}"), format!("t/{}", n + 1)];
        let subscription = hub.subscribe(topics, Start::Now).unwrap();
        if n % 1000 == 0 {
            assert_eq!((hub.stats().topics, hub.stats().subscribers), (3, 2));
        }
        drop(subscription);
    }
    assert_eq!((hub.stats().topics, hub.stats().subscribers), (1, 1));
    drop(keeper);
    for n in 0..20_000 {
        let mut client = Client::open(&hub, &[&format!("s/{n}"), "kept"], None);
        client.drain();
    }
    let stats = hub.stats();
    assert_eq!((stats.topics, stats.subscribers, hub.lifecycle().streams()), (0, 0, 0));
}

#[tokio::test]
async fn topics_that_once_had_events_are_forgotten_when_there_are_many() {
    let hub = builder().max_events(10).build();
    let start = hub.position();
    for n in 0..50_000 {
        publish(&hub, &[&format!("t/{n}")], "x");
    }
    assert!(hub.stats().topics <= 10_010, "{:?}", hub.stats());
    // A forgotten topic may have lost something, and one that nobody knows as well: both say so.
    assert_eq!(Client::after(&hub, &["t/0"], start).said(), ["trimmed:t/0"]);
    // Whoever was there all the time has lost nothing.
    assert_eq!(Client::after(&hub, &["t/0"], hub.position()).said(), NOTHING);
}

// After a gap

/// Two kept, two lost, and a client from before.
fn with_a_gap(on_gap: OnGap) -> (Hub, Client) {
    let hub = builder().max_events(2).on_gap(on_gap).build();
    let start = hub.position();
    for n in 1..5 {
        publish(&hub, &["a"], format!("a{n}"));
    }
    let client = Client::after(&hub, &["a"], start);
    (hub, client)
}

#[tokio::test]
async fn after_a_gap_it_continues_with_what_is_kept() {
    let (hub, mut client) = with_a_gap(OnGap::Continue);
    assert_eq!(client.said(), ["trimmed:a", "a3", "a4"]);
    publish(&hub, &["a"], "a5");
    assert_eq!(client.said(), ["a5"]);
}

#[tokio::test]
async fn after_a_gap_it_goes_on_from_now() {
    let (hub, mut client) = with_a_gap(OnGap::Now);
    let messages = client.drain();
    assert_eq!(messages.iter().map(short).collect::<Vec<_>>(), ["trimmed:a"]);
    assert_eq!(messages[0].last_event_id, hub.position().to_string());
    publish(&hub, &["a"], "a5");
    assert_eq!(client.said(), ["a5"]);
    assert!(!client.ended);
}

#[tokio::test]
async fn after_a_gap_it_closes_and_the_next_goes_on_from_the_gap() {
    let (hub, mut client) = with_a_gap(OnGap::Close);
    assert_eq!(client.said(), ["trimmed:a"]);
    assert!(client.ended);
    assert_eq!(client.id(), hub.position().to_string());
    assert_eq!((hub.stats().subscribers, hub.lifecycle().streams()), (0, 0));
    publish(&hub, &["a"], "a5");
    let mut client = client.again(&hub, &["a"]);
    assert_eq!(client.said(), ["a5"]);
    assert!(!client.ended);

    for id in ["?", "0123456789abcdef-7"] {
        let mut client = Client::open(&hub, &["a"], Some(id));
        assert_eq!(client.said().len(), 1);
        assert!(client.ended && client.id() == hub.position().to_string());
    }
}

// Positions

#[tokio::test(start_paused = true)]
async fn a_stream_opens_with_its_position_and_renews_it_when_the_log_moves_on() {
    let hub = Hub::builder().max_events(2).build();
    publish(&hub, &["b"], "b");
    let mut client = Client::open(&hub, &["a"], None);
    let messages = client.drain();
    assert_eq!(messages.len(), 1);
    assert_eq!((messages[0].name.as_str(), messages[0].data.as_str()), ("sse-position", "{}"));
    assert_eq!(client.id(), hub.position().to_string());
    // Still within the log: a comment does.
    publish(&hub, &["b"], "b");
    client.drain();
    advance(Duration::from_secs(15)).await;
    assert_eq!(client.drain(), []);
    assert!(client.raw.ends_with(":\n"));
    for _ in 0..5 {
        publish(&hub, &["b"], "b");
    }
    client.drain();
    advance(Duration::from_secs(15)).await;
    assert_eq!(client.drain().len(), 1);
    assert_eq!(client.id(), hub.position().to_string());
    // What is due takes its place.
    assert_eq!(Client::after(&hub, &["b"], hub_start(&hub)).drain()[0].name, "sse-gap");
}

#[tokio::test(start_paused = true)]
async fn positions_can_be_turned_off() {
    let hub = Hub::builder().max_events(2).positions(false).build();
    let mut client = Client::open(&hub, &["a"], None);
    assert_eq!(client.drain(), []);
    let opening: Vec<&str> = client.raw.lines().collect();
    assert_eq!(opening.len(), 2);
    assert!(opening[0] == ":" && opening[1].starts_with("retry: ") && !client.raw.contains("\n\n"));
    for _ in 0..5 {
        publish(&hub, &["b"], "b");
    }
    client.drain();
    advance(Duration::from_secs(15)).await;
    assert_eq!(client.drain(), []);
    assert!(client.raw.ends_with("\n:\n"));
    publish(&hub, &["a"], "a");
    assert_eq!(client.said(), ["a"]);
    // Gaps are told all the same.
    assert_eq!(Client::open(&hub, &["a"], Some("?")).said(), ["unknown:a"]);
}

#[tokio::test]
async fn a_cap_on_replay_ends_the_stream_and_the_next_goes_on() {
    let hub = builder().max_replay(3, 1 << 20).build();
    let start = hub.position();
    let all: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    for n in &all {
        publish(&hub, &["a"], n.clone());
    }
    let mut client = Client::after(&hub, &["a"], start);
    let (mut read, mut connections) = (client.said(), 1);
    while client.ended {
        client = client.again(&hub, &["a"]);
        read.extend(client.said());
        connections += 1;
        assert!(connections < 10, "{read:?}");
    }
    assert_eq!((read, connections), (all, 4));
    // What is new is not replay.
    for n in 0..10 {
        publish(&hub, &["a"], n.to_string());
    }
    assert_eq!(client.said().len(), 10);
    assert!(!client.ended);
}
