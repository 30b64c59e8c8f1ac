//! What comes and goes leaves nothing behind.

use super::*;

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
