//! Topics of which only the latest value counts.

use super::*;

#[tokio::test]
async fn a_late_client_gets_the_present_values_first_under_its_own_position() {
    let hub = latest().build();
    for n in 1..4 {
        publish(&hub, &["price/x"], format!("x{n}"));
    }
    publish(&hub, &["price/y", "price/z"], "yz");
    publish(&hub, &["news"], "n1");
    let mut client = Client::open(&hub, &["price/x", "price/y", "price/z", "news"], None);
    let head = hub.position().to_string();
    publish(&hub, &["news"], "n2");
    let messages = client.drain();
    let data: Vec<&str> = messages.iter().map(|message| message.data.as_str()).collect();
    assert_eq!(data, ["x3", "yz", "n2"]);
    // Whoever is cut behind the first of them is owed the second.
    let owed = format!("{head}~");
    assert_eq!([&messages[0].last_event_id, &messages[1].last_event_id], [&owed, &head]);
    assert_eq!(messages[2].last_event_id, hub.position().to_string());
    assert_eq!(hub.stats().events, 4);
}

#[tokio::test]
async fn a_returning_client_gets_a_newer_value_once_and_an_old_one_never() {
    let hub = latest().build();
    let topics = ["price/x", "news"];
    publish(&hub, &["price/x"], "x1");
    let mut client = Client::open(&hub, &topics, None);
    assert_eq!(client.said(), ["x1"]);
    let mut client = client.again(&hub, &topics);
    assert_eq!(client.said(), NOTHING);
    publish(&hub, &["price/x"], "x2");
    let x3 = publish(&hub, &["price/x"], "x3");
    let mut client = client.again(&hub, &topics);
    assert_eq!(client.said(), ["x3"]);
    assert_eq!(client.id(), x3.to_string());
    let mut client = client.again(&hub, &topics);
    assert_eq!(client.said(), NOTHING);
    // Published while it is connected: the ordinary way.
    publish(&hub, &["price/x"], "x4");
    assert_eq!(client.said(), ["x4"]);
}

#[tokio::test]
async fn superseded_values_are_no_gap() {
    let hub = latest().build();
    let topics = ["price/x", "news"];
    let mut slow = Client::open(&hub, &topics, None);
    assert_eq!(slow.said(), NOTHING);
    let mut away = Client::open(&hub, &topics, None);
    away.drain();
    for n in 0..100 {
        publish(&hub, &["price/x"], format!("x{n}"));
    }
    publish(&hub, &["news"], "n");
    assert_eq!(slow.said(), ["x99", "n"]);
    assert_eq!(away.again(&hub, &topics).said(), ["x99", "n"]);

    // Not even when the value itself is gone; what is lost of others is told without it.
    let hub = latest().max_events(2).build();
    let start = hub.position();
    publish(&hub, &["price/x"], "x");
    publish(&hub, &["news"], "n1");
    publish(&hub, &["other"], "o");
    publish(&hub, &["other"], "o");
    assert_eq!(Client::after(&hub, &["price/x"], start).said(), NOTHING);
    assert_eq!(Client::after(&hub, &topics, start).said(), ["trimmed:news"]);
}

#[tokio::test]
async fn after_a_restart_the_present_value_comes() {
    let topics = ["price/x", "news"];
    for (on_gap, expected) in [
        (OnGap::Continue, &["restarted:news,price/x", "n1", "x2"][..]),
        (OnGap::Now, &["restarted:news,price/x", "x2"]),
    ] {
        let hub = latest().build();
        publish(&hub, &["price/x"], "x0");
        let mut client = Client::open(&hub, &topics, None);
        client.drain();

        let hub = latest().stream_options(options().on_gap(on_gap)).build();
        publish(&hub, &["price/x"], "x1");
        publish(&hub, &["news"], "n1");
        publish(&hub, &["price/x"], "x2");
        let mut client = client.again(&hub, &topics);
        assert_eq!(client.said(), expected);
        assert_eq!(client.id(), hub.position().to_string());
        assert_eq!(client.again(&hub, &topics).said(), NOTHING);
        // An id that is none.
        assert_eq!(Client::open(&hub, &topics, Some("?")).said(), ["unknown:news,price/x", "x2"]);
    }
}

/// A client that has been given one of two values, the other pending.
fn between_values(hub: &Hub, topics: &[&str]) -> Client {
    let mut client = Client::open(hub, topics, None);
    let waker = Waker::from(Arc::clone(&client.woken));
    let first = client.stream.as_mut().poll_chunk(&mut Context::from_waker(&waker), 64);
    assert!(matches!(first, Poll::Ready(Some(ref bytes)) if bytes.starts_with(b":\nretry")), "{first:?}");
    client
}

#[tokio::test]
async fn a_pending_value_goes_with_its_topic() {
    for again in [false, true] {
        let hub = latest().build();
        publish(&hub, &["price/a"], "a");
        publish(&hub, &["price/b"], format!("secret {}", "x".repeat(300)));
        let mut client = between_values(&hub, &["price/a", "price/b"]);
        let handle = client.handle();
        handle.remove(&Topics::new(["price/b"]).unwrap());
        if again {
            handle.add(&Topics::new(["price/b"]).unwrap());
        }
        assert_eq!(client.said(), NOTHING);
        publish(&hub, &["price/a"], "a2");
        assert_eq!(client.said(), ["a2"]);
    }
}

#[tokio::test]
async fn a_pending_value_of_two_topics_stays_with_the_other() {
    let hub = latest().build();
    publish(&hub, &["price/a"], "a");
    publish(&hub, &["price/b", "price/c"], format!("both {}", "x".repeat(300)));
    let mut client = between_values(&hub, &["price/a", "price/b", "price/c"]);
    client.handle().remove(&Topics::new(["price/b"]).unwrap());
    assert_eq!(labels(&client.drain()), ["both"]);
    // Of a topic that keeps all its events, the past is not owed.
    publish(&hub, &["price/b", "news"], format!("old news {}", "x".repeat(300)));
    let mut client = between_values(&hub, &["price/a", "price/b", "news"]);
    client.handle().remove(&Topics::new(["price/b"]).unwrap());
    assert_eq!(client.said(), NOTHING);
}

#[tokio::test]
async fn values_from_before_a_topic_was_added_are_not_sent() {
    let hub = latest().build();
    publish(&hub, &["price/a"], "before");
    let mut client = Client::open(&hub, &["news"], None);
    client.handle().add(&Topics::new(["price/a"]).unwrap());
    assert_eq!(client.said(), NOTHING);

    let hub = latest().stream_options(options().on_gap(OnGap::Now)).max_events_per_topic(1).build();
    let mut client = Client::open(&hub, &["news"], None);
    client.drain();
    publish(&hub, &["news"], "n1");
    publish(&hub, &["price/a"], "before");
    client.handle().add(&Topics::new(["price/a"]).unwrap());
    publish(&hub, &["news"], "n2");
    assert_eq!(client.said(), ["lagged:news"]);
}

#[tokio::test]
async fn an_id_that_is_owed_values_and_means_nothing_here_is_like_any_other() {
    for hub in [latest().build(), builder().build()] {
        let id = "0123456789abcdef-7~";
        publish(&hub, &["news"], "a");
        let mut client = Client::open(&hub, &["news"], Some(id));
        let said = client.said();
        assert_eq!((said.first().unwrap().as_str(), said.len()), ("restarted:news", 2));
        // From here on it follows the head, and shares what the others are sent.
        let mut other = Client::open(&hub, &["news"], None);
        other.drain();
        publish(&hub, &["news"], "n1");
        publish(&hub, &["news"], "n2");
        let chunks = [&mut client, &mut other].map(|client| {
            let waker = Waker::from(Arc::clone(&client.woken));
            match client.stream.as_mut().poll_chunk(&mut Context::from_waker(&waker), 4096) {
                Poll::Ready(Some(bytes)) => bytes.as_ptr(),
                other => panic!("{other:?}"),
            }
        });
        assert_eq!(chunks[0], chunks[1]);
    }
}

/// In chunks that take one value each, to a client that has slept before.
#[tokio::test]
async fn values_behind_a_gap_are_all_sent_before_the_client_sleeps() {
    let topics = ["price/a", "price/b", "price/c", "news"];
    let lagging = |hub: &Hub| {
        for n in 0..9 {
            publish(hub, &["news"], n.to_string());
        }
        for topic in &topics[..3] {
            publish(hub, &[topic], big(topic) + &big(""));
        }
    };
    let expected = ["lagged:news", "price/a", "price/b", "price/c"];
    let hub = latest().max_events(8).build();
    let request = Request::new(&resume(None), hub.lifecycle());
    let open = || hub.open_with(&request, topics, options().on_gap(OnGap::Now)).unwrap();
    let mut client = Client::reading(open(), None);
    let mut filtered = Client::reading(open().filter_map(|event| Some(event.frame().clone())), None);
    client.drain();
    filtered.drain();
    lagging(&hub);
    assert_eq!(labels(&client.drain()), expected);
    assert_eq!(labels(&filtered.drain()), expected);
}
