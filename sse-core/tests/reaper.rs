//! Streams that must end and that nobody polls: what they hold is freed all the same.

#![allow(clippy::unwrap_used, reason = "tests")]

mod get;

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use get::get;
use sse_core::{Event, EventStream, Hub, Lifecycle, Request, StreamOptions};
use tokio::time::{Instant, sleep};

/// How long after its deadline a stream may hold what it does.
const SOON: Duration = Duration::from_secs(1);

fn aged(age: u64) -> StreamOptions {
    StreamOptions::new().max_age(Duration::from_secs(age))
}

fn held(hub: &Hub, server: &Lifecycle) -> (usize, usize, usize, usize) {
    let stats = hub.stats();
    (hub.lifecycle().streams(), server.streams(), stats.subscribers, stats.topics)
}

#[tokio::test(start_paused = true)]
async fn an_old_stream_is_freed_without_a_poll() {
    for polled in [false, true] {
        for same in [false, true] {
            let hub = Hub::new();
            let server = if same { hub.lifecycle().clone() } else { Lifecycle::new() };
            let request = Request::new(&get(), &server);
            let mut stream = Box::pin(hub.open_with(&request, "a", aged(2)).unwrap());
            let mut lives = Box::pin(hub.open_with(&request, "b", aged(3600)).unwrap());
            if polled {
                stream.next().await.unwrap();
                assert!(stream.next().now_or_never().is_none());
            }
            let start = Instant::now();
            assert_eq!(held(&hub, &server), (2, 2, 2, 2));
            // A stream lives for four fifths of its age at least.
            sleep(Duration::from_millis(1600)).await;
            assert_eq!(held(&hub, &server), (2, 2, 2, 2));
            while hub.stats().subscribers == 2 {
                sleep(Duration::from_millis(10)).await;
            }
            assert!(start.elapsed() <= Duration::from_secs(2) + SOON, "{:?}", start.elapsed());
            assert_eq!(held(&hub, &server), (1, 1, 1, 1));
            // Another takes its place, and is not taken for it.
            let mut other = Box::pin(hub.open_with(&request, "a", aged(3600)).unwrap());
            other.next().await.unwrap();
            hub.publish("a", "x").await.unwrap();
            let rest = stream.by_ref().collect::<Vec<_>>().await.concat();
            let rest = String::from_utf8(rest).unwrap();
            assert!(
                rest.ends_with('\n') && rest.contains("retry: ") && !rest.contains("data: x"),
                "{rest:?}"
            );
            drop(stream);
            assert_eq!(held(&hub, &server), (2, 2, 2, 2));
            assert!(other.next().await.unwrap().starts_with(b"data: x\n"));
            lives.next().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_own_stream_is_freed_and_ends_at_its_next_poll() {
    let server = Lifecycle::new();
    let events = futures_util::stream::repeat_with(|| Event::new("x"));
    let mut stream =
        Box::pin(EventStream::open_with(&Request::new(&get(), &server), events, aged(2)).unwrap());
    stream.next().await.unwrap();
    sleep(Duration::from_secs(2) + SOON).await;
    assert_eq!(server.streams(), 0);
    let rest = stream.collect::<Vec<_>>().await;
    assert!(rest.len() == 1 && rest[0].starts_with(b"retry: "), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn a_filtered_stream_is_freed_too() {
    let hub = Hub::new();
    let request = Request::new(&get(), hub.lifecycle());
    let stream = hub.open_with(&request, "a", aged(2)).unwrap();
    let stream = stream.filter_map(|event| Some(event.frame().clone()));
    sleep(Duration::from_secs(2) + SOON).await;
    assert_eq!(held(&hub, hub.lifecycle()), (0, 0, 0, 0));
    assert!(Box::pin(stream).collect::<Vec<_>>().await.len() <= 1);
}

/// Whoever is not read to the end of the drain holds up nobody; one server's drain frees what another counts too.
#[tokio::test(start_paused = true)]
async fn what_is_not_read_is_freed_after_the_drain() {
    for stops_hub in [false, true] {
        for at_once in [false, true] {
            let server = Lifecycle::builder().window(Duration::from_secs(5)).build();
            let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
            let hub = Hub::builder().lifecycle(&lifecycle).build();
            let request = Request::new(&get(), &server);
            let mut streams: Vec<_> = (0..200).map(|_| Box::pin(hub.open(&request, "a").unwrap())).collect();
            let stopped = if stops_hub { &lifecycle } else { &server };
            let start = Instant::now();
            stopped.stop();
            if at_once {
                stopped.stop_at_once();
            }
            stopped.stopped().await;
            let most = if at_once { SOON } else { Duration::from_secs(5) + SOON };
            while hub.stats().subscribers > 0 {
                assert!(start.elapsed() <= most, "{:?}", start.elapsed());
                sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(held(&hub, &server), (0, 0, 0, 0));
            for stream in &mut streams {
                assert!(stream.collect::<Vec<_>>().await.len() <= 1);
            }
        }
    }
}

/// However a server comes to stop at once: by the first word that it hears, too, and from outside of any runtime.
#[test]
fn what_is_not_read_is_freed_after_a_stop_at_once() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let stops: [fn(&Lifecycle); 3] = [Lifecycle::stop_at_once, Lifecycle::stop, |lifecycle| {
        lifecycle.stop();
        lifecycle.stop_at_once();
    }];
    for (n, stop) in stops.into_iter().enumerate() {
        for is_inside in [true, false] {
            let hub = Hub::new();
            let open = || hub.open(&Request::new(&get(), hub.lifecycle()), "a").unwrap();
            let stream = runtime.block_on(async { open() });
            let entered = is_inside.then(|| runtime.enter());
            stop(hub.lifecycle());
            drop(entered);
            let start = std::time::Instant::now();
            while held(&hub, hub.lifecycle()) != (0, 0, 0, 0) {
                assert!(start.elapsed() < Duration::from_secs(20), "{n} {is_inside}: it is still held");
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(stream);
        }
    }
}

/// The task that frees sleeps in the runtime of the first stream; it moves to another with it gone.
#[test]
fn streams_are_freed_even_if_the_first_runtime_ends() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let hub = Hub::new();
    let request = Request::new(&get(), hub.lifecycle());
    let (first, second) = (runtime(), runtime());
    let early = first.block_on(async { hub.open_with(&request, "a", aged(1)).unwrap() });
    drop(first);
    let late = second.block_on(async { hub.open_with(&request, "a", aged(1)).unwrap() });
    let start = std::time::Instant::now();
    while hub.lifecycle().streams() > 0 {
        assert!(start.elapsed() < Duration::from_secs(30), "they are still held");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop((early, late));
}

/// Streams that come and go leave nothing behind, and the task neither keeps the lifecycle alive nor runs for it.
#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_streams_that_went_by_themselves() {
    let hub = Hub::new();
    let request = Request::new(&get(), hub.lifecycle());
    for round in 0..1000 {
        let stream = hub.open_with(&request, "a", aged(1 + round % 3)).unwrap();
        let kept = hub.open_with(&request, "a", aged(3600)).unwrap();
        drop(stream);
        if round % 10 == 0 {
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(held(&hub, hub.lifecycle()), (1, 1, 1, 1));
        drop(kept);
    }
    sleep(Duration::from_secs(7200)).await;
    assert_eq!(held(&hub, hub.lifecycle()), (0, 0, 0, 0));
}
