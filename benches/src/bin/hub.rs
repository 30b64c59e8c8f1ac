//! The hub alone: what publishing costs beside a waiting crowd, and how large subscribers and topics are.
//!
//! `hub [--subscribers 0,1,1000,100000]`
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::{
    future::poll_fn,
    pin::Pin,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sse_benches::{Args, MARK, Report, median, percentile};
use sse_warp::{EventStream, Hub, Lifecycle, Request, Subscription};

type Stream = Pin<Box<EventStream<Subscription>>>;

fn open(hub: &Hub, topic: &str) -> Stream {
    let lifecycle: &Lifecycle = hub.lifecycle();
    Box::pin(hub.open(&Request::new(&http::Request::new(()), lifecycle), topic).expect("a stream"))
}

/// Subscribers as tasks of a runtime with one thread; `got` counts the greetings and events that they were
/// given.
fn crowd(hub: &Hub, runtime: &tokio::runtime::Runtime, topics: &[String], got: &Arc<AtomicUsize>) {
    for topic in topics {
        let mut stream = open(hub, topic);
        let got = Arc::clone(got);
        runtime.spawn(async move {
            while let Some(chunk) = poll_fn(|cx| stream.as_mut().poll_chunk(cx, 4096)).await {
                let events = memchr::memchr_iter(MARK, &chunk).count();
                got.fetch_add(events.max(1), Ordering::Relaxed);
            }
        });
    }
}

fn wait(got: &AtomicUsize, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while got.load(Ordering::Relaxed) < count {
        assert!(Instant::now() < deadline, "subscribers are not served");
        std::thread::yield_now();
    }
    // Until they sleep again.
    std::thread::sleep(Duration::from_millis(2));
}

/// One thread, as all subscribers of a case share.
fn runtime() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
}

fn main() {
    let args = Args::new();
    if let Some(kind) = args.value("--size") {
        println!("{}", size(kind, args.number("--count", 100_000)));
        return;
    }
    let counts = args.value("--subscribers").unwrap_or("0,1,1000,100000");
    let counts: Vec<usize> = counts.split(',').map(|n| n.parse().expect("a number")).collect();

    let mut report = Report::new("The hub alone");
    report.text("## `publish`, µs a call, all subscribers asleep\n");
    let rows: Vec<Vec<String>> = counts
        .iter()
        .flat_map(|&count| {
            let one = vec!["news".to_owned(); count];
            let own = (0..count).map(|n| format!("user/{n}")).collect::<Vec<_>>();
            let mut rows = vec![publish("one topic", &one)];
            if count > 1 {
                rows.push(publish("a topic each", &own));
            }
            rows
        })
        .collect();
    report.table(
        &[
            "subscribers",
            "on",
            "from a handler, median",
            "p99",
            "from a sleeping server's other thread, median",
            "another topic's publisher meanwhile, median",
            "its p99",
            "until all were served, ms",
        ],
        &rows,
    );
    report.text("## Publishes/s from one thread, the subscribers' runtime beside it\n");
    let rows = [1, 100_000].map(|topics| {
        let rates = [0, 1, 1000].map(|subscribers| format!("{:.0}", rate(topics, subscribers)));
        [topics.to_string()].into_iter().chain(rates).collect::<Vec<_>>()
    });
    report.table(&["topics, by turns", "no subscriber", "1", "1000, spread over the topics"], &rows);
    report.text("## Resident bytes\n");
    let rows = [
        ("subscription to one topic, with its stream and timer", "subscriptions"),
        ("topic with one small event", "topics"),
        ("topic with one subscription, with its stream and timer", "both"),
    ]
    .map(|(title, kind)| {
        let sizes = (0..3).map(|_| measured(kind)).collect();
        vec![title.to_owned(), format!("{:.0}", median(sizes))]
    });
    report.table(&["each of 100,000", "bytes"], &rows);
    report.finish("hub");
}

fn publish(title: &str, topics: &[String]) -> Vec<String> {
    let hub = Hub::new();
    let runtime = runtime();
    let got = Arc::new(AtomicUsize::new(0));
    crowd(&hub, &runtime, topics, &got);
    wait(&got, topics.len());

    // Another publisher, on a topic that nobody of the crowd has, a call every 50 µs.
    let stop = Arc::new(AtomicBool::new(false));
    let busy = Arc::new(AtomicBool::new(false));
    let other = std::thread::spawn({
        let (hub, stop, busy) = (hub.clone(), Arc::clone(&stop), Arc::clone(&busy));
        move || {
            let mut micros = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                if busy.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    hub.publish_now("other", "x").expect("an event");
                    micros.push(start.elapsed().as_nanos() as f64 / 1e3);
                }
                std::thread::sleep(Duration::from_micros(50));
            }
            micros
        }
    });
    let rounds = if topics.len() > 10_000 { 40 } else { 200 };
    let (mut micros, mut within, mut served) = (Vec::new(), Vec::new(), Vec::new());
    let mut expected = topics.len();
    let body = String::from_utf8(sse_benches::body()).expect("text");
    for round in 0..rounds {
        let topic = topics.get(round * 7919 % topics.len().max(1)).map_or("news", String::as_str);
        let crowd = topics.iter().filter(|other| *other == topic).count();
        let event = body.clone();
        busy.store(true, Ordering::Relaxed);
        let start = Instant::now();
        let call = {
            let (hub, topic) = (hub.clone(), topic.to_owned());
            move || {
                let start = Instant::now();
                hub.publish_now(topic.as_str(), event.as_str()).expect("an event");
                start.elapsed().as_nanos() as f64 / 1e3
            }
        };
        if round % 2 == 0 {
            micros.push(call());
        } else {
            // Ten in a row, during which nobody is served: all find the whole crowd waiting.
            let task = runtime.spawn(async move { [(); 10].map(|()| call()) });
            within.extend(runtime.block_on(task).expect("a task"));
            expected += 9 * crowd;
        }
        expected += crowd;
        wait(&got, expected);
        served.push(start.elapsed().as_secs_f64() * 1e3 - 2.0);
        busy.store(false, Ordering::Relaxed);
    }
    stop.store(true, Ordering::Relaxed);
    let other = other.join().expect("a thread");
    let [inside, inside_p99] = [50, 99].map(|percent| percentile(within.clone(), percent));
    let outside = percentile(micros, 50);
    let [other_median, other_p99] = [50, 99].map(|percent| percentile(other.clone(), percent));
    let served = percentile(served, 50);
    runtime.shutdown_background();
    let mut row = vec![topics.len().to_string(), title.to_owned()];
    row.extend(
        [inside, inside_p99, outside, other_median, other_p99, served].map(|value| format!("{value:.2}")),
    );
    row
}

fn rate(topics: usize, subscribers: usize) -> f64 {
    let hub = Hub::new();
    let topics: Vec<String> = (0..topics).map(|n| format!("user/{n}")).collect();
    let runtime = runtime();
    let got = Arc::new(AtomicUsize::new(0));
    let spread: Vec<String> =
        (0..subscribers).map(|n| topics[n * topics.len() / subscribers].clone()).collect();
    crowd(&hub, &runtime, &spread, &got);
    wait(&got, subscribers);
    let body = "x".repeat(66);
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < Duration::from_secs(1) {
        for n in count..count + 1000 {
            hub.publish_now(&topics[n % topics.len()], body.as_str()).expect("an event");
        }
        count += 1000;
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    runtime.shutdown_background();
    rate
}

/// [`size`] in a process of its own, whose memory nothing else has touched.
fn measured(kind: &str) -> f64 {
    let output = Command::new(std::env::current_exe().expect("a program"))
        .args(["--size", kind])
        .output()
        .expect("a child");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number")
}

/// How much more memory is resident for each of so many.
fn size(kind: &str, count: usize) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let hub = Hub::builder().max_events(count).max_bytes(usize::MAX).build();
        let mut streams: Vec<Stream> = Vec::with_capacity(count);
        // The vector itself belongs to the measurement, not to the hub.
        streams.extend((0..count / 100).map(|_| open(&hub, "warm")));
        streams.clear();
        streams.resize_with(0, || open(&hub, "warm"));
        let waker = futures_util::task::noop_waker();
        let before = resident();
        for n in 0..count {
            let topic = if kind == "subscriptions" { "news".to_owned() } else { format!("user/{n}") };
            if kind == "topics" {
                hub.publish_now(&topic, "x").expect("an event");
                continue;
            }
            let mut stream = open(&hub, &topic);
            let mut cx = std::task::Context::from_waker(&waker);
            while stream.as_mut().poll_chunk(&mut cx, 4096).is_ready() {}
            streams.push(stream);
        }
        let bytes = resident() - before - if kind == "topics" { 0.0 } else { (count * 8) as f64 };
        bytes / count as f64
    })
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("its memory");
    let pages: f64 = statm.split_whitespace().nth(1).expect("a field").parse().expect("a number");
    pages * 4096.0
}
