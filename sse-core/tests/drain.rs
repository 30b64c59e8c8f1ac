//! How the streams of a server leave when it stops.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod get;

use std::{pin::Pin, sync::Arc, time::Duration};

use async_stream::stream;
use futures_core::Stream;
use futures_util::{
    StreamExt,
    future::{join_all, poll_immediate},
};
use get::get;
use sse_core::{Event, EventStream, Hub, Lifecycle, LifecycleBuilder, Request, StreamOptions, Subscription};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

const NOTICE: Duration = Duration::from_secs(7);
const WINDOW: Duration = Duration::from_secs(10);

fn windowed() -> LifecycleBuilder {
    Lifecycle::builder().window(WINDOW)
}

fn hub(lifecycle: LifecycleBuilder) -> Hub {
    Hub::builder().lifecycle(&lifecycle.build()).build()
}

fn open(hub: &Hub) -> EventStream<Subscription> {
    hub.open(&Request::new(&get(), hub.lifecycle()), "a").unwrap()
}

fn own<S: Stream<Item = Event>>(lifecycle: &Lifecycle, events: S) -> EventStream<S> {
    let options = StreamOptions::new().farewell(Event::new("bye").id("7").unwrap());
    EventStream::open_with(&Request::new(&get(), lifecycle), events, options).unwrap()
}

/// All that a stream says, to a task of its own, and when it ended.
async fn rest<S>(stream: S, since: Instant) -> (String, Duration)
where
    S: Stream<Item = bytes::Bytes> + Send + 'static,
{
    let all = async move { Box::pin(stream).collect::<Vec<_>>().await.concat() };
    let text = String::from_utf8(tokio::spawn(all).await.unwrap()).unwrap();
    (text, since.elapsed())
}

/// Every stream ends with one time to come back.
fn says_when_to_return(text: &str) -> u64 {
    let last = text.strip_suffix('\n').unwrap().rsplit('\n').next().unwrap();
    last.strip_prefix("retry: ").unwrap_or_else(|| panic!("{text:?}")).parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn readiness_comes_first_and_all_goes_on() {
    let hub = hub(windowed().notice(NOTICE));
    let lifecycle = hub.lifecycle();
    let mut stream = Box::pin(open(&hub));
    stream.next().await.unwrap();
    assert!(lifecycle.is_ready());
    let start = Instant::now();
    lifecycle.stop();
    lifecycle.stop();
    assert!(!lifecycle.is_ready() && !lifecycle.is_stopping());
    sleep(NOTICE - Duration::from_millis(10)).await;
    // New ones are let in, and all are sent what is published.
    let mut late = Box::pin(open(&hub));
    late.next().await.unwrap();
    hub.publish("a", "x").await.unwrap();
    for stream in [&mut stream, &mut late] {
        assert!(stream.next().await.unwrap().starts_with(b"data: x\n"));
    }
    assert!(poll_immediate(lifecycle.stopping()).await.is_none());
    lifecycle.stopping().await;
    assert!(start.elapsed() >= NOTICE && start.elapsed() < NOTICE + Duration::from_millis(10));
    assert!(lifecycle.is_stopping());
    let refusal = hub.open(&Request::new(&get(), lifecycle), "a").unwrap_err();
    assert_eq!((refusal.status(), refusal.closes_connection()), (503, true));
    assert!(refusal.headers().all(|(name, _)| name != "connection"));
    drop((stream, late));
    lifecycle.stopped().await;
    assert!(start.elapsed() < NOTICE + Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn streams_leave_one_by_one_over_the_window() {
    const STREAMS: usize = 400;
    let hub = hub(windowed());
    let start = Instant::now();
    let streams = join_all((0..STREAMS).map(|_| rest(open(&hub), start)));
    let streams = tokio::spawn(streams);
    while hub.lifecycle().streams() < STREAMS {
        tokio::task::yield_now().await;
    }
    let publisher = hub.clone();
    let publishing = tokio::spawn(async move {
        let mut published = Vec::new();
        for n in 0.. {
            published.push((start.elapsed(), format!("data: {n}\n")));
            publisher.publish("a", n.to_string()).await.unwrap();
            if start.elapsed() > WINDOW {
                return published;
            }
            sleep(Duration::from_millis(20)).await;
        }
        published
    });
    hub.lifecycle().stop();
    assert!(hub.lifecycle().is_stopping());
    hub.lifecycle().stopped().await;
    assert!(start.elapsed() <= WINDOW + Duration::from_millis(100), "{:?}", start.elapsed());
    let streams = timeout(Duration::from_secs(60), streams).await.unwrap().unwrap();
    let published = publishing.await.unwrap();
    let mut tenths = [0; 10];
    let mut retries = Vec::new();
    for (text, at) in &streams {
        tenths[(at.div_duration_f64(WINDOW) * 10.0).min(9.0) as usize] += 1;
        retries.push(says_when_to_return(text));
        // All that was published before it left, once and in order.
        let before = published.iter().take_while(|(when, _)| *when < *at).map(|(_, data)| data.as_str());
        let sent: Vec<_> = text.split_inclusive('\n').filter(|line| line.starts_with("data: ")).collect();
        let sent: Vec<_> = sent.into_iter().filter(|line| *line != "data: {}\n").collect();
        let before: Vec<_> = before.collect();
        assert!(sent.starts_with(&before) && sent.len() <= before.len() + 1, "{at:?}: {text}");
    }
    // A tenth of them in each tenth of the time: 40, with a deviation of 6.
    assert!(tenths.iter().all(|count| (10..=80).contains(count)), "{tenths:?}");
    retries.sort_unstable();
    retries.dedup();
    assert!(retries.len() > STREAMS / 4, "{retries:?}");
}

#[tokio::test(start_paused = true)]
async fn few_are_woken_in_one_moment() {
    const STREAMS: usize = 20_000;
    let hub = hub(windowed());
    let start = Instant::now();
    let ends: Vec<_> = (0..STREAMS).map(|_| tokio::spawn(rest(open(&hub), start))).collect();
    while hub.lifecycle().streams() < STREAMS {
        tokio::task::yield_now().await;
    }
    // All of them asleep.
    sleep(Duration::from_secs(1)).await;
    hub.lifecycle().stop();
    let mut each = std::collections::BTreeMap::<u128, usize>::new();
    for end in ends {
        *each.entry(end.await.unwrap().1.as_millis()).or_default() += 1;
    }
    // Two a millisecond in the mean.
    let most = each.values().max().unwrap();
    assert!(*most < 60 && each.len() > 5_000, "{most} in one millisecond, {} milliseconds", each.len());
}

#[tokio::test(start_paused = true)]
async fn an_own_stream_finishes_what_it_says() {
    let lifecycle = windowed().build();
    let items = |count: u64, pause: u64| {
        stream! {
            for n in 0..count {
                sleep(Duration::from_millis(pause)).await;
                yield Event::new(n.to_string());
            }
        }
    };
    let start = Instant::now();
    // Eight seconds are four fifths of the window.
    let whole: Vec<_> = (0..20).map(|_| tokio::spawn(rest(own(&lifecycle, items(79, 100)), start))).collect();
    let endless: Vec<_> =
        (0..50).map(|_| tokio::spawn(rest(own(&lifecycle, items(u64::MAX, 30)), start))).collect();
    let silent: Vec<_> = (0..50)
        .map(|_| tokio::spawn(rest(own(&lifecycle, futures_util::stream::pending()), start)))
        .collect();
    while lifecycle.streams() < 120 {
        tokio::task::yield_now().await;
    }
    lifecycle.stop();
    for end in whole {
        let (text, at) = end.await.unwrap();
        assert!(text.ends_with("data: 78\n\n") && !text.contains("bye"), "{text}");
        assert!(at < Duration::from_secs(8));
    }
    let mut moments = Vec::new();
    for end in endless {
        let (text, at) = end.await.unwrap();
        let said = text.matches("data: ").count() - 1;
        let (_, last) = text.split_once(&format!("data: {}\n\n", said - 1)).unwrap();
        assert!(last.starts_with("data: bye\n\nretry: "), "{text}");
        says_when_to_return(&text);
        moments.push(at);
    }
    for end in silent {
        let (text, at) = end.await.unwrap();
        assert!(text.contains("data: bye\n\nretry: ") && !text.contains("id: "), "{text}");
        moments.push(at);
    }
    moments.sort_unstable();
    let (first, last) = (moments[0], moments[moments.len() - 1]);
    assert!(first >= Duration::from_secs(8) && last <= WINDOW + Duration::from_millis(50), "{moments:?}");
    assert!(last - first > Duration::from_secs(1), "{moments:?}");
    assert_eq!(lifecycle.streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_own_stream_has_given_is_sent() {
    // The second does not fit into the chunk of the first: it was given all the same.
    let lifecycle = Lifecycle::new();
    let event = |letter: &str| Event::new(letter.repeat(60));
    let events =
        futures_util::stream::iter(["a", "b", "c", "d"].map(event)).chain(futures_util::stream::pending());
    let mut stream: Pin<Box<_>> = Box::pin(own(&lifecycle, events));
    let mut chunk = async || {
        let next = futures_util::future::poll_fn(|cx| stream.as_mut().poll_chunk(cx, 100));
        next.await.map(|chunk| String::from_utf8(chunk.to_vec()).unwrap())
    };
    assert!(chunk().await.unwrap().contains("aaa"));
    lifecycle.stop();
    let mut rest = String::new();
    while let Some(chunk) = chunk().await {
        rest.push_str(&chunk);
    }
    // One look is taken after the stop, and what it gives is sent to the last.
    assert!(rest.starts_with("data: bbb") && rest.contains("data: ccc") && !rest.contains("ddd"), "{rest}");
    assert!(rest.contains("data: bye\n\nretry: "), "{rest}");
}

#[tokio::test(start_paused = true)]
async fn a_farewell_is_the_last_event_of_a_hubs_stream_too() {
    let options = StreamOptions::new().farewell(Event::new("bye"));
    let hub = Hub::builder().stream_options(options).build();
    let mut stream = Box::pin(open(&hub));
    stream.next().await.unwrap();
    hub.publish("a", "x").await.unwrap();
    hub.lifecycle().stop();
    let text = String::from_utf8(stream.by_ref().collect::<Vec<_>>().await.concat()).unwrap();
    assert!(text.starts_with("data: x\n") && text.contains("\n\ndata: bye\n\nretry: "), "{text}");
    // Of one that ends otherwise it is no part.
    let options = StreamOptions::new().farewell(Event::new("bye")).max_age(Duration::from_secs(1));
    let hub = Hub::builder().stream_options(options).build();
    let (text, _) = rest(open(&hub), Instant::now()).await;
    assert!(!text.contains("bye"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_second_stop_is_at_once() {
    for notice in [Duration::ZERO, NOTICE] {
        let hub = hub(Lifecycle::builder().notice(notice).window(Duration::from_secs(600)));
        let lifecycle = hub.lifecycle().clone();
        let stalled = open(&hub);
        let start = Instant::now();
        let mut ends: Vec<_> = (0..100).map(|_| tokio::spawn(rest(open(&hub), start))).collect();
        let silent = own(&lifecycle, futures_util::stream::pending());
        ends.push(tokio::spawn(rest(silent, start)));
        while lifecycle.streams() < 102 {
            tokio::task::yield_now().await;
        }
        lifecycle.stop();
        sleep(Duration::from_millis(10)).await;
        lifecycle.stop_at_once();
        assert!(!lifecycle.is_ready() && lifecycle.is_stopping());
        let limit = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { lifecycle.limit(std::future::pending::<()>()).await }
        });
        lifecycle.stopped().await;
        for end in ends {
            let (text, at) = end.await.unwrap();
            says_when_to_return(&text);
            // Few may have had their turn before.
            assert!(at <= Duration::from_millis(20), "{at:?}");
        }
        assert!(limit.await.unwrap().is_none());
        assert!(start.elapsed() < Duration::from_millis(1500), "{:?}", start.elapsed());
        drop(stalled);
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_stream_may_say_what_it_has_to_when_the_server_stops() {
    let lifecycle = windowed().build();
    let stopping = lifecycle.stopping();
    let events = stream! {
        yield Event::new("working");
        stopping.await;
        sleep(Duration::from_secs(1)).await;
        yield Event::new("saved");
    };
    let start = Instant::now();
    let end = tokio::spawn(rest(own(&lifecycle, events), start));
    while lifecycle.streams() < 1 {
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_secs(3)).await;
    lifecycle.stop();
    let (text, at) = end.await.unwrap();
    assert!(text.ends_with("data: saved\n\n"), "{text}");
    assert_eq!(at.as_secs(), 4);
}

/// The runtime in which the drain goes on ends in the middle of it; what is read in another leaves at once.
#[test]
fn streams_leave_even_if_the_runtime_of_the_drain_ends() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let hub = hub(Lifecycle::builder().window(Duration::from_secs(3600)));
    let reader = runtime();
    let started = Arc::new(Notify::new());
    let ends: Vec<_> = (0..10).map(|_| reader.spawn(rest(open(&hub), Instant::now()))).collect();
    while hub.lifecycle().streams() < 10 {
        std::thread::yield_now();
    }
    let drain = runtime();
    let (lifecycle, begun) = (hub.lifecycle().clone(), Arc::clone(&started));
    drain.block_on(async move {
        lifecycle.stop();
        lifecycle.stopping().await;
        begun.notify_one();
    });
    drop(drain);
    let ends = async { timeout(Duration::from_secs(30), join_all(ends)).await.unwrap() };
    for end in reader.block_on(ends) {
        says_when_to_return(&end.unwrap().0);
    }
}

/// Without a runtime, too, there is a window.
#[test]
fn a_stop_outside_of_any_runtime_takes_its_time() {
    let hub = hub(Lifecycle::builder().notice(Duration::from_millis(200)).window(Duration::from_millis(300)));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let start = Instant::now();
    let ends: Vec<_> = (0..10).map(|_| runtime.spawn(rest(open(&hub), start))).collect();
    while hub.lifecycle().streams() < 10 {
        std::thread::yield_now();
    }
    hub.lifecycle().stop();
    assert!(!hub.lifecycle().is_stopping());
    let ends = async { timeout(Duration::from_secs(30), join_all(ends)).await.unwrap() };
    for end in runtime.block_on(ends) {
        let (text, at) = end.unwrap();
        says_when_to_return(&text);
        assert!(at >= Duration::from_millis(200), "{at:?}");
    }
}
