//! What the log keeps: caps, age and size.

use super::*;

#[tokio::test]
async fn a_noisy_topic_does_not_push_out_a_quiet_one() {
    let hub = builder().max_events_per_topic(3).build();
    let start = hub.position();
    publish(&hub, &["quiet"], "q1");
    publish(&hub, &["quiet", "noisy"], "both");
    for n in 0..500 {
        publish(&hub, &["noisy"], format!("n{n}"));
    }
    assert_eq!(hub.stats().events, 5);
    assert_eq!(Client::after(&hub, &["quiet"], start).said(), ["q1", "both"]);
    // An event on both is kept for the quiet one's sake, and the loss is told before it.
    let mut client = Client::after(&hub, &["noisy"], start);
    assert_eq!(client.said(), ["trimmed:noisy", "both", "n497", "n498", "n499"]);
    let mut client = Client::after(&hub, &["noisy", "quiet"], start);
    assert_eq!(client.said(), ["trimmed:noisy", "q1", "both", "n497", "n498", "n499"]);
}

#[tokio::test]
async fn the_caps_of_the_whole_hub_win() {
    let hub = builder().max_events_per_topic(3).max_events(4).build();
    let start = hub.position();
    publish(&hub, &["quiet"], "q1");
    publish(&hub, &["quiet"], "q2");
    for n in 0..3 {
        publish(&hub, &[&format!("t{n}")], "x");
    }
    assert_eq!(hub.stats().events, 4);
    let messages = Client::after(&hub, &["quiet"], start).drain();
    assert_eq!(messages.iter().map(short).collect::<Vec<_>>(), ["trimmed:quiet", "q2"]);
    assert_eq!(gap(&messages[0])["after"], start.to_string());

    let hub = builder().max_bytes(1000).build();
    for n in 0..50 {
        publish(&hub, &["a"], format!("{n} {}", "x".repeat(100)));
        assert!(hub.stats().bytes <= 1000);
    }
    publish(&hub, &["a"], "x".repeat(5000));
    assert_eq!(hub.stats().events, 1, "the newest is kept in any case");
}

/// What the id of a gap says is so: a client that comes back with it misses nothing that is still kept.
#[tokio::test]
async fn the_id_of_a_gap_skips_nothing() {
    let (hub, client) = halfway();
    let topics = ["quiet", "noisy"];
    let start = gap(&Client::open(&hub, &topics, Some("?")).drain()[0])["upto"].clone();
    assert_eq!(start, hub.position().to_string());
    // Cut right behind the gap.
    let first = client.raw.find("\n\n").unwrap() + 2;
    let mut parser = Parser::default();
    parser.push(&client.raw.as_bytes()[..first]);
    assert_eq!(parser.messages()[0].name, "sse-gap");
    let mut client = Client::open(&hub, &topics, Some(parser.last_event_id()));
    let read = labels(&client.drain());
    assert_eq!(read, ["trimmed:noisy", "q1", "q2", "q3", "q4", "n5", "n6", "n7", "n8"]);

    // Nothing is kept in front of the loss: then the id lies behind it, and it is told once.
    let mut client = Client::after(&hub, &["noisy"], hub_start(&hub));
    assert_eq!(client.chunk().len(), 5);
    let first = client.raw.find("\n\n").unwrap() + 2;
    let mut parser = Parser::default();
    parser.push(&client.raw.as_bytes()[..first]);
    let mut client = Client::open(&hub, &["noisy"], Some(parser.last_event_id()));
    assert_eq!(client.said(), ["n5", "n6", "n7", "n8"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_log_does_not_replay_what_has_expired() {
    let hub = builder().max_age(Duration::from_secs(60)).build();
    let start = hub.position();
    publish(&hub, &["a"], "a1");
    publish(&hub, &["b"], "b1");
    advance(Duration::from_secs(30)).await;
    publish(&hub, &["a"], "a2");
    advance(Duration::from_millis(29_999)).await;
    assert_eq!(Client::after(&hub, &["a"], start).said(), ["a1", "a2"]);
    advance(Duration::from_millis(1)).await;
    let mut client = Client::after(&hub, &["a"], start);
    assert_eq!(hub.stats().events, 1);
    assert_eq!(client.said(), ["trimmed:a", "a2"]);
    // Looked at again when it is read, not only when it is opened.
    let mut opened = Client::after(&hub, &["a", "b"], start);
    advance(Duration::from_secs(30)).await;
    assert_eq!(opened.said(), ["trimmed:a,b"]);
    assert_eq!((hub.stats().events, hub.stats().bytes), (0, 0));
    // A client that has it all has lost nothing.
    assert_eq!(opened.again(&hub, &["a", "b"]).said(), NOTHING);
    // Nor does one that never heard of it.
    assert_eq!(Client::open(&hub, &["a"], None).said(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stays_and_does_not_read_has_lagged() {
    let hub = builder().max_age(Duration::from_secs(60)).build();
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    publish(&hub, &["a"], "a1");
    advance(Duration::from_secs(61)).await;
    publish(&hub, &["a"], "a2");
    assert_eq!(client.said(), ["lagged:a", "a2"]);
    publish(&hub, &["a"], "a3");
    assert_eq!(client.said(), ["a3"]);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_events_that_expires_at_once_is_lost_at_once_and_freed_bit_by_bit() {
    const CROWD: usize = 20_000;
    let hub = builder().max_age(Duration::from_secs(60)).max_events(2 * CROWD).build();
    let start = hub.position();
    let mut behind = Client::open(&hub, &["a", "b"], None);
    behind.drain();
    for n in 0..CROWD {
        publish(&hub, &["a"], format!("a{n}"));
    }
    advance(Duration::from_secs(60)).await;
    publish(&hub, &["b"], "b1");
    let left = hub.stats().events;
    assert!(left > CROWD / 2, "one publish frees a few, {left} are left");
    // What is still there is not delivered, and is told.
    assert_eq!(behind.said(), ["lagged:a", "b1"]);
    assert_eq!(Client::after(&hub, &["a", "b"], start).said(), ["trimmed:a", "b1"]);
    assert_eq!(Client::after(&hub, &["b"], start).said(), ["b1"]);
    let mut oldest = Client::open(&hub, &["a"], Some(behind.id()));
    assert_eq!(oldest.said(), NOTHING);
    for n in 0..CROWD / 200 {
        publish(&hub, &["c"], format!("c{n}"));
    }
    assert_eq!(hub.stats().events, 1 + CROWD / 200);
}

#[tokio::test(start_paused = true)]
async fn the_shortest_age_leaves_live_events_alone() {
    let hub = builder().max_age(Duration::ZERO).build();
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    for n in 0..3 {
        publish(&hub, &["a"], format!("a{n}"));
        assert_eq!(client.said(), [format!("a{n}")]);
    }
}

#[tokio::test]
async fn a_large_event_is_shared_and_not_copied() {
    let hub = builder().build();
    let open = || {
        let mut client = Client::open(&hub, &["a", "b"], None);
        client.drain();
        client
    };
    let mut clients = [open(), open(), open()];
    let large = "x".repeat(200 << 10);
    publish(&hub, &["a"], large.as_str());
    publish(&hub, &["b"], large.as_str());
    let mut places: Vec<Vec<*const u8>> = vec![Vec::new(); 3];
    for (client, places) in clients.iter_mut().zip(&mut places) {
        let mut context = Context::from_waker(Waker::noop());
        while places.len() < 2 {
            if let Poll::Ready(Some(bytes)) = client.stream.as_mut().poll_next(&mut context) {
                places.push(bytes.as_ptr());
            }
        }
    }
    assert!(places.iter().all(|other| *other == places[0]), "{places:?}");
}

#[tokio::test]
async fn the_size_of_an_event_is_that_of_what_is_sent() {
    let hub = builder().max_event_bytes(1000).build();
    let fits = |data: String| hub.publish_now("a", data).is_ok();
    // `data: `, the line's end and the blank line's.
    assert!(fits("x".repeat(1000 - 7)));
    assert!(!fits("x".repeat(1000 - 6)));
    assert!(fits("\n".repeat(141)));
    assert!(!fits("\n".repeat(142)), "143 lines of 7 bytes");
    assert!(!fits("x".repeat(5000)));
    let named = Event::new("x".repeat(980)).name("name").unwrap();
    assert!(hub.publish_now("a", named.clone()).is_ok());
    assert!(hub.publish_now("a", named.comment("comment")).is_err());
}

/// The oldest event expires before any stream looks at the clock again: the usual state of a log that is bounded
/// by age.
#[tokio::test(start_paused = true)]
async fn live_events_come_while_old_ones_expire() {
    let hub = builder().max_age(Duration::from_secs(100)).build();
    let mut client = Client::open(&hub, &["a", "b"], None);
    client.drain();
    let mut asleep = Client::open(&hub, &["a"], None);
    asleep.drain();
    for n in 0..300 {
        publish(&hub, &["a"], format!("a{n}"));
        assert_eq!(client.said(), [format!("a{n}")]);
        advance(Duration::from_secs(1)).await;
        if n == 150 {
            let expected: Vec<String> =
                ["lagged:a".to_owned()].into_iter().chain((52..=150).map(|n| format!("a{n}"))).collect();
            assert_eq!(asleep.said(), expected);
        }
    }
    assert_eq!(hub.stats().events, 100);
}

#[tokio::test]
async fn catching_up_on_many_topics_is_in_order_and_whole() {
    let hub = builder().max_events(100_000).build();
    let start = hub.position();
    let topics: Vec<String> = (0..32).map(|n| format!("t{n}")).collect();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut random = StdRng::seed_from_u64(1);
    let mut expected = Vec::new();
    for n in 0..5000 {
        let some: Vec<&str> = topics.sample(&mut random, 1 + n % 3).copied().collect();
        publish(&hub, &some, n.to_string());
        expected.push(n.to_string());
        publish(&hub, &["other"], "x");
    }
    assert_eq!(Client::after(&hub, &topics, start).said(), expected);
}
