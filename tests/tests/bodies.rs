//! Each adapter's body polled by hand, as its server polls it: again where it was woken, and not otherwise. Events of
//! all sizes near the end of what it gives at a time, few and many, are whole, nothing is lost to sleep, and the body
//! ends where its stream does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::Duration,
};

use ::rocket::{Config, local::asynchronous::Client, response::Responder as _};
use ::warp::{Reply as _, hyper::body::Body as _};
use actix_web::{Responder as _, body::MessageBody as _, test::TestRequest};
use async_stream::stream;
use futures_util::Stream;
use sse_core::{Event, EventStream, Hub, Request, Source, Subscription};
use tokio::{
    io::{AsyncRead, ReadBuf},
    runtime,
    task::{unconstrained, yield_now},
    time::timeout,
};

macro_rules! bodies {
    ($($name:ident $adapter:ident)*) => {
        $(mod $name {
            #[test]
            fn hub_events_are_whole_and_wake() {
                super::in_bounded_time(super::hub_events_are_whole_and_wake::<super::$adapter>);
            }

            #[test]
            fn own_events_are_whole_and_end_where_they_end() {
                super::in_bounded_time(super::own_events_are_whole_and_end_where_they_end::<super::$adapter>);
            }
        })*
    };
}

bodies! {
    actix Actix
    rocket Rocket
    warp Warp
}

async fn hub_events_are_whole_and_wake<A: Adapter>() {
    let adapter = A::new().await;
    for (count, len) in A::events() {
        for buffer in A::buffers() {
            let context = format!("{count} x {len} in {buffer}");
            let hub = Hub::new();
            let start = hub.position().to_string();
            let replayed = publish(&hub, count, len);
            let mut reader = Reader::new(adapter.body(open(&hub, &start), buffer));
            assert!(reader.read_first() == (replayed, false), "{context}");
            let before = reader.woken();
            let live = publish(&hub, count, len);
            reader.wakes(before).await;
            assert!(reader.read() == (live, false), "{context}");
        }
    }
}

async fn own_events_are_whole_and_end_where_they_end<A: Adapter>() {
    let adapter = A::new().await;
    for (count, len) in A::events() {
        let expected = format!("data: {}\n\n", "x".repeat(len)).repeat(count);
        for (buffer, ends) in A::buffers().flat_map(|buffer| [(buffer, true), (buffer, false)]) {
            let context = format!("{count} x {len} in {buffer}, ends: {ends}");
            let mut reader = Reader::new(adapter.body(own(count, len, ends), buffer));
            assert!(reader.read_first() == (expected.clone(), ends), "{context}");
            assert!(reader.read() == (String::new(), ends), "{context}");
        }
    }
}

fn open(hub: &Hub, after: &str) -> EventStream<Subscription> {
    let head = http::Request::get("/").header("last-event-id", after).body(()).unwrap();
    hub.open(&Request::new(&head, hub.lifecycle()), "news").unwrap()
}

fn own(count: usize, len: usize, ends: bool) -> EventStream<impl Stream<Item = Event> + Send> {
    let events = stream! {
        for _ in 0..count {
            yield Event::new("x".repeat(len));
        }
        if !ends {
            std::future::pending::<()>().await;
        }
    };
    let request = Request::new(&http::Request::new(()), Hub::new().lifecycle());
    EventStream::open(&request, events).unwrap()
}

/// Publishes, and tells what a client gets of it.
fn publish(hub: &Hub, count: usize, len: usize) -> String {
    let data = "x".repeat(len);
    let publish = |_| {
        let id = hub.publish_now("news", data.as_str()).unwrap();
        format!("data: {data}\nid: {id}\n\n")
    };
    (0..count).map(publish).collect()
}

/// Numbers and sizes of events: all sizes with which one ends near the end of a turn, few and many.
fn around(turn: usize) -> impl Iterator<Item = (usize, usize)> {
    let sizes = [0, 1, 100, 1000, 5000, 20_000].into_iter().chain(turn - 70..=turn + 2);
    let counts = [1, 2, 3, 5, 13, 40];
    sizes.flat_map(move |len| counts.map(|count| (count, len))).chain([(2000, 0), (2000, 20)])
}

/// What a server holds of a body.
type Body = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Vec<u8>>>>;

trait Adapter {
    async fn new() -> Self;

    /// The body of a response as the framework has it, read with a buffer of this size where the server has one.
    fn body<S: Source + Send + 'static>(&self, stream: EventStream<S>, buffer: usize) -> Body;

    fn events() -> impl Iterator<Item = (usize, usize)>;

    fn buffers() -> impl Iterator<Item = usize> {
        [0].into_iter()
    }
}

struct Actix;

impl Adapter for Actix {
    async fn new() -> Self {
        Self
    }

    fn body<S: Source + Send + 'static>(&self, stream: EventStream<S>, _: usize) -> Body {
        let request = TestRequest::default().to_http_request();
        let mut body = Box::pin(sse_actix::Sse(stream).respond_to(&request).into_body());
        Box::new(move |cx| {
            let chunk = body.as_mut().poll_next(cx).map(|next| next.map(|chunk| chunk.unwrap().to_vec()));
            whole(chunk)
        })
    }

    fn events() -> impl Iterator<Item = (usize, usize)> {
        around(4 << 10)
    }
}

struct Warp;

impl Adapter for Warp {
    async fn new() -> Self {
        Self
    }

    fn body<S: Source + Send + 'static>(&self, stream: EventStream<S>, _: usize) -> Body {
        let mut body = sse_warp::Sse(stream).into_response().into_body();
        Box::new(move |cx| {
            let frame = Pin::new(&mut body).poll_frame(cx);
            whole(frame.map(|next| next.map(|frame| frame.unwrap().into_data().unwrap().to_vec())))
        })
    }

    fn events() -> impl Iterator<Item = (usize, usize)> {
        around(16 << 10)
    }
}

/// What these two are given: never nothing, and no part of an event.
fn whole(chunk: Poll<Option<Vec<u8>>>) -> Poll<Option<Vec<u8>>> {
    if let Poll::Ready(Some(chunk)) = &chunk {
        assert!(chunk.ends_with(b"\n"), "{:?}", String::from_utf8_lossy(chunk));
    }
    chunk
}

struct Rocket(Client);

impl Adapter for Rocket {
    async fn new() -> Self {
        let figment = Config::figment().merge(("log_level", "off"));
        Self(Client::untracked(::rocket::custom(figment)).await.unwrap())
    }

    fn body<S: Source + Send + 'static>(&self, stream: EventStream<S>, buffer: usize) -> Body {
        let request = self.0.get("/");
        let mut response = sse_rocket::Sse(stream).respond_to(request.inner()).unwrap();
        let mut buffer = vec![0; buffer];
        Box::new(move |cx| {
            let mut buf = ReadBuf::new(&mut buffer);
            let read = Pin::new(response.body_mut()).poll_read(cx, &mut buf);
            assert!(read.is_ready() || buf.filled().is_empty(), "pending where something was read");
            let read = read.map(Result::unwrap);
            read.map(|()| (!buf.filled().is_empty()).then(|| buf.filled().to_vec()))
        })
    }

    /// Those that once were polled for ever cross the end of 4 KiB.
    fn events() -> impl Iterator<Item = (usize, usize)> {
        [
            (1, 0),
            (3, 1),
            (300, 20),
            (40, 100),
            (12, 300),
            (13, 300),
            (4, 1000),
            (5, 1000),
            (1, 4000),
            (1, 4040),
            (2, 4096),
            (1, 5000),
            (1, 8000),
            (2, 10_000),
        ]
        .into_iter()
    }

    fn buffers() -> impl Iterator<Item = usize> {
        (1..=70).chain([255, 1000, 4000]).chain(4040..=4110).chain([8191, 8192, 8193, 16_384, 70_000])
    }
}

/// Counts how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Reader {
    body: Body,
    count: Arc<Count>,
    ended: bool,
}

impl Reader {
    fn new(body: Body) -> Self {
        Self { body, count: Arc::default(), ended: false }
    }

    fn woken(&self) -> usize {
        self.count.0.load(Ordering::SeqCst)
    }

    /// What it gives until it is pending or at its end, and whether it has ended.
    fn read(&mut self) -> (String, bool) {
        let waker = Waker::from(Arc::clone(&self.count));
        let mut context = Context::from_waker(&waker);
        let mut all = Vec::new();
        loop {
            let before = self.woken();
            match (self.body)(&mut context) {
                Poll::Ready(Some(chunk)) => {
                    assert!(!chunk.is_empty() && !self.ended);
                    all.extend(chunk);
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    break;
                }
                Poll::Pending if self.woken() > before => {}
                Poll::Pending => break,
            }
        }
        (String::from_utf8(all).unwrap(), self.ended)
    }

    /// The same, without the opening.
    fn read_first(&mut self) -> (String, bool) {
        let (all, ended) = self.read();
        (all.splitn(3, '\n').nth(2).unwrap().to_owned(), ended)
    }

    /// Waits until it was woken once more than so often.
    async fn wakes(&self, before: usize) {
        let woken = async {
            while self.woken() == before {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(30), woken).await.unwrap_or_else(|_| panic!("a wake-up is lost"));
    }
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
