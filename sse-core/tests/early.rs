//! Keep-alives that come early, for frameworks that notice only by writing that a client has gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::StreamExt;
use sse_core::{EventStream, Hub, Lifecycle, Request, StreamOptions, Subscription};
use tokio::time::{Instant, timeout};

/// A user timeout that asks for nothing denser.
const LONG: Duration = Duration::from_secs(600);

fn open(hub: &Hub, options: StreamOptions) -> EventStream<Subscription> {
    let request = Request::new(&http::Request::new(()), &Lifecycle::new());
    hub.open_with(&request, "news", options).unwrap()
}

/// After how many milliseconds since its opening something is sent on a stream, for so many seconds.
async fn times(stream: EventStream<Subscription>, seconds: u64) -> Vec<u128> {
    let start = Instant::now();
    let mut stream = pin!(stream);
    let mut times = Vec::new();
    let opening = stream.next().await.unwrap();
    assert!(opening.starts_with(b":\nretry: "));
    let end = start + Duration::from_secs(seconds);
    while let Ok(sent) = tokio::time::timeout_at(end, stream.next()).await {
        assert_eq!(sent, Some(Bytes::from_static(b":\n")));
        times.push(start.elapsed().as_millis());
    }
    times
}

#[tokio::test(start_paused = true)]
async fn who_leaves_lives_on_no_longer_than_it_was_there() {
    let hub = Hub::new();
    let early = times(open(&hub, StreamOptions::new()).noticed_by_writing(LONG), 70).await;
    assert_eq!(early, [1000, 2000, 4000, 8000, 16_000, 31_000, 46_000, 61_000]);
    // Where nobody asks for it, and where keep-alives are as frequent or there are none, nothing changes.
    assert_eq!(times(open(&hub, StreamOptions::new()), 40).await, [15_000, 30_000]);
    let often = StreamOptions::new().keep_alive(Duration::from_millis(1500));
    let early = times(open(&hub, often).noticed_by_writing(LONG), 7).await;
    assert_eq!(early, [1000, 2000, 3500, 5000, 6500]);
    let never = StreamOptions::new().no_keep_alive();
    assert_eq!(times(open(&hub, never).noticed_by_writing(LONG), 100).await, [0; 0]);
}

/// Written to within one keep-alive, given up a user timeout later, seen at the next write.
#[tokio::test(start_paused = true)]
async fn who_vanishes_is_noticed_within_a_keep_alive_the_user_timeout_and_a_tenth() {
    let hub = Hub::new();
    let after_early = |millis: u64, user_timeout: u64| {
        let options = StreamOptions::new().keep_alive(Duration::from_millis(millis));
        let stream = open(&hub, options).noticed_by_writing(Duration::from_millis(user_timeout));
        async move {
            let times = times(stream, 16 + 2 * millis / 1000 + 1).await;
            let [.., before, last] = times[..] else { panic!("{times:?}") };
            (last - before) as u64
        }
    };
    for (keep_alive, user_timeout, expected) in [
        (15_000, 90_000, 12_750),
        (15_000, 0, 8_250),
        (15_000, 135_000, 15_000),
        (2_000, 5_000, 1_350),
        (2_000, 90_000, 2_000),
        (600_000, 32_767_000, 600_000),
        (10, 0, 5),
    ] {
        let apart = after_early(keep_alive, user_timeout).await;
        assert_eq!(apart, expected, "{keep_alive} and {user_timeout}");
        // The last write before it is given up may be one that came just too early.
        assert!(20 * apart + 10 * user_timeout <= 11 * (keep_alive + user_timeout));
    }
    let never = open(&hub, StreamOptions::new()).noticed_by_writing(Duration::MAX);
    assert_eq!(times(never, 32).await, [1000, 2000, 4000, 8000, 16_000, 31_000]);
}

/// Traffic is a keep-alive: only silence has one sent.
#[tokio::test(start_paused = true)]
async fn traffic_needs_none() {
    let hub = Hub::new();
    let mut stream = pin!(open(&hub, StreamOptions::new()).noticed_by_writing(LONG));
    stream.next().await.unwrap();
    for n in 0..20 {
        tokio::time::advance(Duration::from_millis(900)).await;
        hub.publish("news", n.to_string()).await.unwrap();
        let sent = timeout(Duration::from_millis(50), stream.next()).await.unwrap().unwrap();
        assert!(sent.starts_with(b"data: "), "{sent:?}");
    }
}
