//! The body polled by hand: events of many sizes and numbers in chunks of every limit, whatever feeds it. Whole
//! events, as many as fit, never an empty chunk, an end where the source ends, and rest only with a wake-up.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test: a failure is a failed test")]

mod get;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use async_stream::stream;
use bytes::Bytes;
use futures_core::Stream;
use get::resume;
use sse_core::{Event, EventStream, Hub, Request, Source};
use tokio::{
    runtime,
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::{unconstrained, yield_now},
    time::timeout,
};

/// Numbers and sizes of events; some of them end at an edge of 4 KiB with their framing.
const EVENTS: [(usize, usize); 14] = [
    (1, 0),
    (3, 1),
    (5, 40),
    (300, 20),
    (40, 100),
    (13, 300),
    (4, 1000),
    (5, 1000),
    (1, 4000),
    (2, 4050),
    (2, 4096),
    (1, 5000),
    (3, 8000),
    (2, 20_000),
];

fn limits() -> impl Iterator<Item = usize> {
    (1..=200).chain([255, 1000]).chain(4000..=4110).chain([8191, 8192, 8193, 16_384, 65_536, usize::MAX])
}

/// What a turn gives to who is far behind.
const LONG_TURN: usize = 32 << 10;

/// How a chunk is asked for: in turns with others or not.
#[derive(Clone, Copy, Debug)]
enum Poller {
    Chunk,
    Turn,
}

const POLLERS: [Poller; 2] = [Poller::Chunk, Poller::Turn];

#[test]
fn a_replay_is_whole() {
    in_bounded_time(async || {
        for (count, len) in EVENTS {
            let hub = Hub::new();
            let start = hub.position().to_string();
            let blocks = publish(&hub, count, len);
            for (limit, poller) in limits().flat_map(|limit| POLLERS.map(|poller| (limit, poller))) {
                let context = format!("{count} x {len} by {limit}, {poller:?}");
                let request = Request::new(&resume(Some(&start)), hub.lifecycle());
                let mut reader = Reader::new(hub.open(&request, "news").unwrap());
                let chunks = reader.read(limit, poller);
                assert_whole(&without_opening(chunks), &blocks, (limit, poller), &context);
                assert!(!reader.ended, "{context}");
                // Another topic wakes nobody, this one does.
                hub.publish_now("other", "x").unwrap();
                reader.is_woken_by(|| publish(&hub, 0, 0), false).await;
            }
            let request = Request::new(&resume(Some(&hub.position().to_string())), hub.lifecycle());
            let mut reader = Reader::new(hub.open(&request, "news").unwrap());
            reader.read(4096, Poller::Turn);
            let blocks = reader.is_woken_by(|| publish(&hub, 1, len), true).await;
            assert_whole(&reader.read(4096, Poller::Turn), &blocks, (4096, Poller::Turn), "after a replay");
        }
    });
}

/// Small turns for who is a little behind, long ones for who is owed more than 16 KiB, and again small ones afterwards.
#[test]
fn who_is_far_behind_has_longer_turns() {
    in_bounded_time(async || {
        let hub = Hub::new();
        let request = Request::new(&resume(None), hub.lifecycle());
        let mut reader = Reader::new(hub.open(&request, "news").unwrap());
        reader.read(4096, Poller::Turn);
        for again in 0..2 {
            let blocks = reader.is_woken_by(|| publish(&hub, 300, 1000), true).await;
            let chunks = reader.read(4096, Poller::Turn);
            assert_whole(&chunks, &blocks, (4096, Poller::Turn), "far");
            let lengths: Vec<_> = chunks.iter().map(Bytes::len).collect();
            let long = lengths.iter().position(|&len| len > 4096).unwrap();
            assert_eq!(long, 4, "{lengths:?}");
            let (last, long) = lengths[long..].split_last().unwrap();
            assert!(long.iter().all(|len| (30_000..=LONG_TURN).contains(len)), "{again}: {lengths:?}");
            assert!(*last <= LONG_TURN);
            // Fourteen events of a kilobyte are not far.
            let blocks = reader.is_woken_by(|| publish(&hub, 14, 1000), true).await;
            let chunks = reader.read(4096, Poller::Turn);
            assert_whole(&chunks, &blocks, (4096, Poller::Turn), "near");
            assert!(chunks.iter().all(|chunk| chunk.len() <= 4096), "{again}: {chunks:?}");
        }
    });
}

#[test]
fn live_events_are_whole() {
    in_bounded_time(async || {
        let hub = Hub::new();
        let open = || Reader::new(hub.open(&Request::new(&resume(None), hub.lifecycle()), "news").unwrap());
        // What several have missed is put together once; one that is alone takes another way.
        let mut crowd = [open(), open(), open()];
        for alone in [false, true] {
            let readers = if alone { &mut crowd[..1] } else { &mut crowd[..] };
            readers.iter_mut().for_each(|reader| drop(reader.read(4096, Poller::Turn)));
            for (count, len) in EVENTS {
                for (limit, poller) in limits().flat_map(|limit| POLLERS.map(|poller| (limit, poller))) {
                    let context = format!("{count} x {len} by {limit}, {poller:?}, alone: {alone}");
                    let blocks = readers[0].is_woken_by(|| publish(&hub, count, len), true).await;
                    for reader in &mut *readers {
                        assert_whole(&reader.read(limit, poller), &blocks, (limit, poller), &context);
                        assert!(!reader.ended, "{context}");
                    }
                }
            }
        }
    });
}

#[test]
fn own_events_at_once_are_whole_and_end() {
    in_bounded_time(async || {
        for (count, len) in EVENTS {
            for (limit, poller) in limits().flat_map(|limit| POLLERS.map(|poller| (limit, poller))) {
                let context = format!("{count} x {len} by {limit}, {poller:?}");
                let (sender, mut reader) = own();
                let blocks = send(&sender, count, len);
                let chunks = reader.read(limit, poller);
                assert_whole(&without_opening(chunks), &blocks, (limit, poller), &context);
                assert!(!reader.ended, "{context}");
                let blocks = reader.is_woken_by(|| send(&sender, count, len), true).await;
                drop(sender);
                assert_whole(&reader.read(limit, poller), &blocks, (limit, poller), &context);
                assert!(reader.ended, "{context}");
                assert!(reader.read(limit, poller).is_empty() && reader.ended, "{context}");
            }
        }
    });
}

#[test]
fn own_events_one_by_one_are_whole_and_end() {
    in_bounded_time(async || {
        for (count, len) in EVENTS {
            let (sender, mut reader) = own();
            reader.read(4096, Poller::Chunk);
            for (limit, poller) in limits().flat_map(|limit| POLLERS.map(|poller| (limit, poller))) {
                let context = format!("{count} x {len} by {limit}, {poller:?}");
                for _ in 0..count.min(5) {
                    let blocks = reader.is_woken_by(|| send(&sender, 1, len), true).await;
                    assert_whole(&reader.read(limit, poller), &blocks, (limit, poller), &context);
                }
            }
            reader.is_woken_by(|| drop(sender), true).await;
            assert!(reader.read(4096, Poller::Turn).is_empty() && reader.ended);
        }
    });
}

/// Publishes, and tells what a client gets of it.
fn publish(hub: &Hub, count: usize, len: usize) -> Vec<String> {
    let publish = |n| {
        let data = data(n, len);
        let id = hub.publish_now("news", data.as_str()).unwrap();
        format!("data: {data}\nid: {id}\n\n")
    };
    (0..count).map(publish).collect()
}

/// The same for a stream of the application's own.
fn send(sender: &UnboundedSender<Event>, count: usize, len: usize) -> Vec<String> {
    let send = |n| {
        let data = data(n, len);
        sender.send(Event::new(data.as_str())).unwrap();
        format!("data: {data}\n\n")
    };
    (0..count).map(send).collect()
}

fn own() -> (UnboundedSender<Event>, Reader<impl Stream<Item = Event>>) {
    let (sender, mut events) = unbounded_channel();
    let events = stream! {
        while let Some(event) = events.recv().await {
            yield event;
        }
    };
    let request = Request::new(&resume(None), Hub::new().lifecycle());
    (sender, Reader::new(EventStream::open(&request, events).unwrap()))
}

/// No event is like the one before it.
fn data(n: usize, len: usize) -> String {
    ["a", "b", "c"][n % 3].repeat(len)
}

/// Remembers that it was woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls a stream as a server does: again when it was woken, and not otherwise.
struct Reader<S> {
    stream: Pin<Box<EventStream<S>>>,
    woken: Arc<Flag>,
    ended: bool,
}

impl<S: Source> Reader<S> {
    fn new(stream: EventStream<S>) -> Self {
        Self { stream: Box::pin(stream), woken: Arc::default(), ended: false }
    }

    /// Until it is pending without a wake-up, or at its end.
    fn read(&mut self, limit: usize, poller: Poller) -> Vec<Bytes> {
        let waker = Waker::from(Arc::clone(&self.woken));
        let mut context = Context::from_waker(&waker);
        let mut chunks = Vec::new();
        let mut rests = 0;
        loop {
            self.woken.0.store(false, Ordering::SeqCst);
            let stream = self.stream.as_mut();
            let chunk = match poller {
                Poller::Chunk => stream.poll_chunk(&mut context, limit),
                Poller::Turn => stream.poll_turn(&mut context, limit),
            };
            match chunk {
                Poll::Ready(Some(chunk)) => {
                    assert!(!chunk.is_empty());
                    chunks.push(chunk);
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    return chunks;
                }
                Poll::Pending if !self.woken.0.load(Ordering::SeqCst) => return chunks,
                // Once after each chunk, and once more for a wake-up that was on its way.
                Poll::Pending => rests += 1,
            }
            assert!(rests <= chunks.len() + 1, "woken {rests} times for {} chunks", chunks.len());
        }
    }

    /// Does something to a stream that is pending: whether that wakes it.
    async fn is_woken_by<T>(&self, act: impl FnOnce() -> T, wakes: bool) -> T {
        self.woken.0.store(false, Ordering::SeqCst);
        let done = act();
        let woken = async {
            while !self.woken.0.load(Ordering::SeqCst) {
                yield_now().await;
            }
        };
        if wakes {
            timeout(Duration::from_secs(30), woken).await.unwrap_or_else(|_| panic!("a wake-up is lost"));
        } else {
            yield_now().await;
            assert!(!self.woken.0.load(Ordering::SeqCst), "woken for nothing");
        }
        done
    }
}

/// Without `:` and `retry`, which count towards no limit.
fn without_opening(mut chunks: Vec<Bytes>) -> Vec<Bytes> {
    let lines = chunks[0].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let end = lines.map(|(at, _)| at + 1).nth(1).unwrap();
    assert!(chunks[0].starts_with(b":\nretry: "));
    let _ = chunks[0].split_to(end);
    chunks.retain(|chunk| !chunk.is_empty());
    chunks
}

/// All events, each of them whole in one chunk, and chunks as large as the limit lets them be; in turns those that follow
/// may be larger.
fn assert_whole(chunks: &[Bytes], blocks: &[String], (limit, poller): (usize, Poller), context: &str) {
    let mut blocks = blocks.iter();
    for (n, chunk) in chunks.iter().enumerate() {
        let most = if n > 0 && matches!(poller, Poller::Turn) { limit.max(LONG_TURN) } else { limit };
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let block = blocks.next().unwrap_or_else(|| panic!("{context}: too much"));
            let next = rest.strip_prefix(block.as_bytes());
            rest = next.unwrap_or_else(|| panic!("{context}: {:?}", String::from_utf8_lossy(rest)));
            assert!(chunk.len() <= most || chunk.len() == block.len(), "{context}: {} at once", chunk.len());
        }
        let next = blocks.as_slice().first();
        assert!(next.is_none_or(|next| chunk.len() + next.len() > limit), "{context}: one more would fit");
    }
    assert_eq!(blocks.len(), 0, "{context}: something is missing");
}

/// Fails instead of hanging: a poll that never returns is one of the things looked for.
fn in_bounded_time<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, ends) = channel();
    let thread = thread::spawn(move || {
        // Without tokio's budget: one that is used up is a rest whose wake-up comes later.
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(unconstrained(test()));
        done.send(()).unwrap();
    });
    if ends.recv_timeout(Duration::from_secs(300)) == Err(RecvTimeoutError::Timeout) {
        panic!("a poll does not return");
    }
    thread.join().unwrap();
}
