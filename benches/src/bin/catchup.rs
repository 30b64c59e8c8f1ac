//! Catching up: what a client costs that comes back from the start of a full log, by its topics, and how long
//! publishers wait while a crowd of such clients does.
#![allow(clippy::expect_used, reason = "a benchmark may fail where it stands")]

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use sse_benches::{Report, median, percentile};
use sse_warp::{EventStream, Hub, Request, Subscription};

type Stream = Pin<Box<EventStream<Subscription>>>;

/// Events of 100 bytes on so many topics by turns.
struct Log {
    hub: Hub,
    start: String,
    last: String,
    topics: Vec<String>,
}

impl Log {
    fn new(events: usize, topics: usize) -> Self {
        let hub = Hub::builder().max_events(2 * events).max_bytes(usize::MAX).build();
        let start = hub.position().to_string();
        let topics: Vec<String> = (0..topics).map(|n| format!("topic/{n}")).collect();
        let body = "x".repeat(66);
        for n in 0..events {
            hub.publish_now(&topics[n % topics.len()], body.as_str()).expect("an event");
        }
        let last = hub.position().to_string();
        Self { hub, start, last, topics }
    }

    fn open(&self) -> Stream {
        let head = http::Request::get("/").header("last-event-id", &self.start).body(()).expect("a request");
        let request = Request::new(&head, self.hub.lifecycle());
        Box::pin(self.hub.open(&request, self.topics.clone()).expect("a stream"))
    }
}

/// A client alone, in chunks of 16 KiB.
fn alone(log: &Log) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let mut stream = log.open();
    let mut cx = Context::from_waker(Waker::noop());
    let start = Instant::now();
    while let Poll::Ready(chunk) = stream.as_mut().poll_chunk(&mut cx, 16 << 10) {
        std::hint::black_box(chunk);
    }
    start.elapsed().as_secs_f64() * 1e3
}

/// So many clients at once, as tasks of a server with one thread, beside a publisher on a topic of its own: how
/// long they take, and the percentiles of the publisher's calls.
fn crowd(log: &Log, clients: usize) -> (f64, [f64; 3]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let stop = Arc::new(AtomicBool::new(false));
    let publisher = std::thread::spawn({
        let (hub, stop) = (log.hub.clone(), Arc::clone(&stop));
        move || {
            let mut millis = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                hub.publish_now("other", "x").expect("an event");
                millis.push(start.elapsed().as_secs_f64() * 1e3);
                std::thread::sleep(Duration::from_micros(200));
            }
            millis
        }
    });
    let start = Instant::now();
    let bytes = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let mut stream = log.open();
            let bytes = Arc::clone(&bytes);
            let wanted = format!("id: {}\n\n", log.last);
            runtime.spawn(async move {
                loop {
                    let chunk = std::future::poll_fn(|cx| stream.as_mut().poll_turn(cx, 16 << 10)).await;
                    let chunk = chunk.expect("a stream that goes on");
                    bytes.fetch_add(chunk.len(), Ordering::Relaxed);
                    if chunk.ends_with(wanted.as_bytes()) {
                        return;
                    }
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("a client");
        }
    });
    let took = start.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let millis = publisher.join().expect("a thread");
    (took, [50, 99, 100].map(|percent| percentile(millis.clone(), percent)))
}

fn main() {
    let mut report = Report::new("Catching up");
    report.text("## One client comes back from the start of the log, ms\n");
    let rows: Vec<Vec<String>> = [10_000, 100_000]
        .into_iter()
        .map(|events| {
            let times = [1, 8, 32].map(|topics| {
                let log = Log::new(events, topics);
                format!("{:.2}", median((0..5).map(|_| alone(&log)).collect()))
            });
            [events.to_string()].into_iter().chain(times).collect()
        })
        .collect();
    report.table(&["events", "1 topic", "8 topics", "32 topics"], &rows);
    report.text("## 200 clients come back at once to 10,000 events, with a publisher beside them\n");
    let rows: Vec<Vec<String>> = [1, 8, 32]
        .into_iter()
        .map(|topics| {
            let log = Log::new(10_000, topics);
            let (took, millis) = crowd(&log, 200);
            let millis = millis.map(|millis| format!("{millis:.3}"));
            [topics.to_string(), format!("{took:.3}")].into_iter().chain(millis).collect()
        })
        .collect();
    report.table(&["topics", "s until all have it", "publish, median ms", "p99", "max"], &rows);
    report.finish("catchup");
}
