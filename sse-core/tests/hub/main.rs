//! The hub from outside: real wakers, real runtimes, and the bytes that a client would read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod begins;
mod caps;
mod concurrency;
mod gaps;
#[path = "../get/mod.rs"]
mod get;
mod going;
mod latest_values;
mod once;
mod options;
mod positions;
mod received;
mod runtimes;
#[path = "../spec/mod.rs"]
mod spec;
mod topics;

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, SystemTime},
};

use futures_core::Stream;
use futures_util::StreamExt;
use get::resume;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use spec::{Message, Parser};
use sse_core::{
    Event, EventId, EventName, EventStream, Frame, Hub, HubBuilder, OnGap, OnLag, PublishError, Received,
    Request, Source, Start, StreamOptions, Subscription, SubscriptionHandle, TopicPattern, Topics,
};
use tokio::{
    runtime,
    sync::mpsc,
    time::{advance, sleep, timeout},
};

/// Long enough for a loaded machine, and shorter than the keep-alive that would hide a lost wake-up.
const SOON: Duration = Duration::from_secs(20);

/// A hub whose streams are never polled but for events.
fn builder() -> HubBuilder {
    Hub::builder().stream_options(options())
}

fn options() -> StreamOptions {
    StreamOptions::new().keep_alive(Duration::from_secs(600))
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
struct Client<S = Subscription> {
    stream: Pin<Box<EventStream<S>>>,
    parser: Parser,
    raw: String,
    ended: bool,
    woken: Arc<Flag>,
}

impl Client {
    fn open(hub: &Hub, topics: &[&str], last: Option<&str>) -> Self {
        Self::open_with(hub, topics, last, hub.stream_options())
    }

    fn open_with(hub: &Hub, topics: &[&str], last: Option<&str>, options: StreamOptions) -> Self {
        let request = Request::new(&resume(last), hub.lifecycle());
        Self::reading(hub.open_with(&request, topics, options).unwrap(), last)
    }

    /// From the start of the hub's log.
    fn after(hub: &Hub, topics: &[&str], id: EventId) -> Self {
        Self::open(hub, topics, Some(&id.to_string()))
    }

    fn handle(&self) -> SubscriptionHandle {
        self.stream.handle()
    }

    /// Cut and come back.
    fn again(self, hub: &Hub, topics: &[&str]) -> Self {
        Self::open(hub, topics, Some(self.id()))
    }
}

impl<S: Source> Client<S> {
    fn reading(stream: EventStream<S>, last: Option<&str>) -> Self {
        Self {
            stream: Box::pin(stream),
            parser: Parser::resuming(last.unwrap_or_default()),
            raw: String::new(),
            ended: false,
            woken: Arc::default(),
        }
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
            assert!(messages.len() < 20_000, "it never comes to rest: {:?}", messages.last());
        }
    }

    /// All that is due, in short: positions left out, gaps by reason and topics.
    fn said(&mut self) -> Vec<String> {
        self.drain().iter().filter(|message| message.name != "sse-position").map(short).collect()
    }

    fn id(&self) -> &str {
        self.parser.last_event_id()
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
    hub.publish_now(topics, data.into()).unwrap()
}

/// The order of ids within one epoch.
fn seq(id: &str) -> u64 {
    id.split_once('-').unwrap().1.parse().unwrap()
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

/// The position before the first event.
fn hub_start(hub: &Hub) -> EventId {
    let position = hub.position().to_string();
    format!("{}-0", position.split_once('-').unwrap().0).parse().unwrap()
}

const NOTHING: [&str; 0] = [];
