//! Places are free again, however a stream goes; and never are there more than there may be.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::time::advance;

use super::*;

#[tokio::test(start_paused = true)]
async fn however_a_stream_goes_its_place_is_free() {
    let few = Limits::builder().max_streams(1).build();
    let (hub, all) = hub_with(
        Limits::builder()
            .max_streams(1)
            .max_streams_per_subject(1)
            .max_streams_per_address(1)
            .max_streams_per_topic(1),
    );
    let auth = auth();
    let free = |how: &str| {
        assert_eq!((all.streams(), few.streams()), (0, 0), "{how}");
        assert!(format!("{all:?}").contains("subjects: 0, addresses: 0, topics: 0"), "{how}: {all:?}");
        assert_eq!(hub.lifecycle().streams(), 0, "{how}");
    };
    let client = || {
        let identity = Identity::new("ada").every_topic().session("1");
        auth.admit(&from("192.0.2.1").body(()).unwrap(), hub.lifecycle(), identity)
    };
    let options = StreamOptions::new().limits(&few).max_age(Duration::from_secs(10));
    let open = || -> Open { Box::pin(hub.open_with(&client().unwrap(), "news", options.clone()).unwrap()) };
    let to_the_end = async |stream: &mut Open| while stream.next().await.is_some() {};

    let stream = open();
    assert_eq!((all.streams(), few.streams()), (1, 1));
    drop(stream);
    free("it is dropped before it is sent");
    let mut stream = open();
    stream.next().await.unwrap();
    drop(stream);
    free("its client goes");
    let mut stream = open();
    to_the_end(&mut stream).await;
    free("it is old, and still held");
    let mut stream = open();
    stream.handle().end();
    to_the_end(&mut stream).await;
    free("it is ended by its handle");
    let stream = hub.open_with(&client().unwrap(), "news", options.clone()).unwrap();
    let mut stream = Box::pin(stream.filter_map(|_| None::<&str>));
    stream.next().await.unwrap();
    drop(stream);
    free("it is filtered");
    let mut own =
        Box::pin(EventStream::open_with(&client().unwrap(), stream::iter(["1"]), options.clone()).unwrap());
    assert_eq!(all.streams(), 1);
    while own.next().await.is_some() {}
    free("its source ends");
    let mut own = Box::pin(EventStream::open_with(&client().unwrap(), Panics, options.clone()).unwrap());
    assert!(panic::catch_unwind(AssertUnwindSafe(|| poll(own.as_mut()))).is_err());
    drop(own);
    free("its source panics");
    let head = from("192.0.2.1").method("HEAD");
    let _head = hub.open_with(&read(&hub, head), "news", options.clone()).unwrap();
    free("a HEAD holds none");
    let late = client().unwrap();
    let mut stream = open();
    assert_eq!(auth.revocations().revoke(&late).await.unwrap(), 1);
    to_the_end(&mut stream).await;
    free("it is revoked");
    assert_eq!(hub.open_with(&late, "news", options.clone()).unwrap_err().status(), 401);
    free("it is refused for another reason, behind the limits");
    advance(Duration::from_secs(60)).await;
    let mut stream =
        Box::pin(hub.open_with(&read(&hub, from("192.0.2.1")), "news", options.clone()).unwrap());
    hub.lifecycle().stop();
    to_the_end(&mut stream).await;
    free("the server stops");
    let refusal = hub.open_with(&read(&hub, head_of_browser()), "news", options).unwrap_err();
    assert_eq!(refusal.status(), 200);
    free("the server has stopped");
}

fn head_of_browser() -> Builder {
    in_browser(head())
}

struct Panics;

impl futures_core::Stream for Panics {
    type Item = &'static str;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<&'static str>> {
        panic!("on purpose")
    }
}

fn poll<S: sse_core::Source>(stream: Pin<&mut EventStream<S>>) {
    let _ = futures_core::Stream::poll_next(stream, &mut Context::from_waker(Waker::noop()));
}

/// One stream as the oracle knows it.
type Held = (Open, &'static str, &'static str, BTreeSet<&'static str>);

/// Streams come and go at random; what is let in and what is refused is what simple counting says.
#[test]
fn random_streams_are_counted_as_an_oracle_counts() {
    const SUBJECTS: [&str; 3] = ["", "ada", "bob"];
    const ADDRESSES: [&str; 4] = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];
    const TOPICS: [&str; 4] = ["a", "b", "c", "d"];
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let cap = |rng: &mut StdRng| rng.random_bool(0.7).then(|| rng.random_range(0..6usize));
        let caps = [cap(&mut rng), cap(&mut rng), cap(&mut rng), cap(&mut rng)];
        let mut limits = Limits::builder();
        for (cap, set) in caps.into_iter().zip([
            LimitsBuilder::max_streams,
            LimitsBuilder::max_streams_per_subject,
            LimitsBuilder::max_streams_per_address,
            LimitsBuilder::max_streams_per_topic,
        ]) {
            if let Some(cap) = cap {
                limits = set(limits, cap);
            }
        }
        let (hub, limits) = hub_with(limits);
        let auth = auth();
        let mut held: Vec<Held> = Vec::new();
        for _ in 0..200 {
            if rng.random_bool(0.4) && !held.is_empty() {
                drop(held.swap_remove(rng.random_range(0..held.len())));
            }
            let subject = *SUBJECTS.choose(&mut rng).unwrap();
            let address = *ADDRESSES.choose(&mut rng).unwrap();
            let count = rng.random_range(1..=3);
            let topics: BTreeSet<&str> = TOPICS.sample(&mut rng, count).copied().collect();
            let network =
                |address: &str| if address.contains(':') { "6".to_owned() } else { address.to_owned() };
            let is_full = |cap: usize, which: &dyn Fn(&Held) -> bool| {
                caps[cap].is_some_and(|most| held.iter().filter(|held| which(held)).count() >= most)
            };
            let expected = if is_full(0, &|_| true) {
                Some(503)
            } else if (!subject.is_empty() && is_full(1, &|held| held.1 == subject))
                || is_full(2, &|held| network(held.2) == network(address))
            {
                Some(429)
            } else if topics.iter().any(|topic| is_full(3, &|held| held.3.contains(topic))) {
                Some(503)
            } else {
                None
            };
            let identity = Identity::new(subject).every_topic();
            let client = auth.admit(&from(address).body(()).unwrap(), hub.lifecycle(), identity).unwrap();
            let names: Vec<&str> = topics.iter().copied().collect();
            let opened = hub.open(&client, names);
            assert_eq!(opened.as_ref().err().map(Refusal::status), expected, "seed {seed}: {caps:?}");
            if let Ok(stream) = opened {
                held.push((Box::pin(stream), subject, address, topics));
            }
            assert_eq!(limits.streams(), held.len(), "seed {seed}");
        }
        held.clear();
        assert_eq!((limits.streams(), hub.lifecycle().streams()), (0, 0));
        assert!(
            format!("{limits:?}").contains("streams: 0, subjects: 0, addresses: 0, topics: 0"),
            "{limits:?}"
        );
    }
}

#[test]
fn many_threads_never_have_more_than_there_may_be() {
    const SUBJECTS: [&str; 4] = ["ada", "bob", "cleo", "dan"];
    let (hub, limits) = hub_with(Limits::builder().max_streams(9).max_streams_per_subject(3));
    let open: [AtomicUsize; 4] = Default::default();
    let (let_in, turned_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for seed in 0..8 {
            let (hub, open, let_in, turned_away) = (&hub, &open, &let_in, &turned_away);
            scope.spawn(move || {
                let mut rng = StdRng::seed_from_u64(seed);
                let mut held: BTreeMap<usize, Vec<Open>> = BTreeMap::new();
                for _ in 0..3_000 {
                    let who = rng.random_range(0..SUBJECTS.len());
                    let own = held.entry(who).or_default();
                    if rng.random_bool(0.5) {
                        if let Some(stream) = own.pop() {
                            // Counted as gone before it is: what is counted as open is.
                            open[who].fetch_sub(1, Ordering::SeqCst);
                            drop(stream);
                        }
                        continue;
                    }
                    match open_as(hub, SUBJECTS[who]) {
                        Ok(stream) => {
                            own.push(stream);
                            let_in.fetch_add(1, Ordering::SeqCst);
                            assert!(open[who].fetch_add(1, Ordering::SeqCst) < 3);
                        }
                        Err(refusal) => {
                            assert!(matches!(refusal.status(), 429 | 503));
                            turned_away.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    assert!(hub.lifecycle().streams() <= 9 + 8, "one more for each that is being refused");
                }
                for (who, own) in held {
                    open[who].fetch_sub(own.len(), Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!((limits.streams(), hub.lifecycle().streams()), (0, 0));
    assert!(let_in.into_inner() > 100 && turned_away.into_inner() > 100);
}
