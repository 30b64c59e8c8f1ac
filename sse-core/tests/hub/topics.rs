//! The topics of an open stream change.

use super::*;

#[tokio::test]
async fn added_topics_count_from_then_on_and_removed_ones_stop() {
    let hub = builder().build();
    let mut client = Client::open(&hub, &["a"], None);
    let handle = client.handle();
    assert_eq!(client.said(), NOTHING);
    publish(&hub, &["b"], "b1");
    assert!(handle.add(&Topics::new(["b", "c"]).unwrap()));
    publish(&hub, &["b"], "b2");
    publish(&hub, &["a"], "a1");
    publish(&hub, &["c", "a"], "ca");
    assert_eq!(client.said(), ["b2", "a1", "ca"]);

    publish(&hub, &["a"], "a2");
    publish(&hub, &["b"], "b3");
    assert!(handle.remove(&Topics::new(["a", "unknown"]).unwrap()));
    publish(&hub, &["a"], "a3");
    publish(&hub, &["a", "c"], "ac");
    // What was due and not yet sent is not sent either.
    assert_eq!(client.said(), ["b3", "ac"]);

    assert!(handle.add(&Topics::new(["a"]).unwrap()));
    assert_eq!(client.said(), NOTHING);
    publish(&hub, &["a"], "a4");
    assert_eq!(client.said(), ["a4"]);
}

#[tokio::test]
async fn an_added_topic_wakes_the_sleeper() {
    let hub = builder().build();
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    client.handle().add(&Topics::new(["b"]).unwrap());
    publish(&hub, &["b"], "b1");
    let chunk = timeout(SOON, client.stream.next()).await.unwrap().unwrap();
    assert!(chunk.starts_with(b"data: b1\n"));
    client.drain();
    publish(&hub, &["b"], "b2");
    timeout(SOON, async {
        while !client.woken.0.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn adding_and_removing_again_and_again_leaves_nothing_behind() {
    let hub = builder().build();
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    let handle = client.handle();
    let before = hub.stats();
    for round in 0..2000 {
        let topics = Topics::new(["a".to_owned(), "b".to_owned(), format!("c/{round}")]).unwrap();
        assert!(handle.add(&topics) && handle.add(&topics));
        let removed = Topics::new(["b".to_owned(), format!("c/{round}")]).unwrap();
        assert!(handle.remove(&removed) && handle.remove(&removed));
    }
    assert_eq!(hub.stats(), before);
    handle.add(&Topics::new(["b"]).unwrap());
    handle.add(&Topics::new(["b", "a"]).unwrap());
    publish(&hub, &["a", "b"], "once");
    publish(&hub, &["b"], "b");
    assert_eq!(client.said(), ["once", "b"]);
    // Taken away once is taken away, however often it was added.
    handle.remove(&Topics::new(["a", "b"]).unwrap());
    publish(&hub, &["a", "b"], "gone");
    assert_eq!(client.said(), NOTHING);
    drop(client);
    assert_eq!(hub.stats().subscribers, 0);
}

#[tokio::test]
async fn a_handle_outlives_its_stream_and_touches_no_other() {
    let hub = builder().build();
    let client = Client::open(&hub, &["a"], None);
    let handle = client.handle();
    drop(client);
    let mut other = Client::open(&hub, &["c"], None);
    assert!(!handle.add(&Topics::new(["b"]).unwrap()));
    assert!(!handle.remove(&Topics::new(["c"]).unwrap()));
    other.drain();
    publish(&hub, &["b"], "b");
    publish(&hub, &["c"], "c");
    assert_eq!(other.said(), ["c"]);
    drop((hub, other));
    assert!(!handle.add(&Topics::new(["b"]).unwrap()));
}

#[tokio::test]
async fn only_what_an_added_topic_lost_since_is_a_loss() {
    let hub = builder().max_events_per_topic(2).build();
    for n in 0..5 {
        publish(&hub, &["b"], format!("old {n}"));
    }
    let mut client = Client::open(&hub, &["a"], None);
    client.drain();
    for n in 5..10 {
        publish(&hub, &["b"], format!("old {n}"));
    }
    client.handle().add(&Topics::new(["b"]).unwrap());
    publish(&hub, &["b"], "b1");
    publish(&hub, &["b"], "b2");
    // What went of the old ones, before and just now, is nothing to this client.
    assert_eq!(client.said(), ["b1", "b2"]);
    for n in 3..6 {
        publish(&hub, &["b"], format!("b{n}"));
    }
    assert_eq!(client.said(), ["lagged:b", "b4", "b5"]);
}

#[tokio::test]
async fn the_past_of_an_added_topic_is_never_owed() {
    let (hub, mut client) = halfway();
    client.handle().add(&Topics::new(["x"]).unwrap());
    let mut read = labels(&client.chunk());
    assert_eq!(read, ["q2"]);
    // Pushes out some that it was never owed.
    publish(&hub, &["x"], "x4");
    publish(&hub, &["x"], "x5");
    read.extend(labels(&client.drain()));
    assert_eq!(read, ["q2", "q3", "q4", "n5", "n6", "n7", "n8", "x4", "x5"]);
}

#[tokio::test]
async fn what_was_owed_of_a_topic_is_not_once_it_is_taken_away() {
    let (hub, mut client) = halfway();
    let quiet = Topics::new(["quiet"]).unwrap();
    client.handle().remove(&quiet);
    client.handle().add(&quiet);
    publish(&hub, &["quiet"], "q5");
    publish(&hub, &["quiet"], "q6");
    assert_eq!(labels(&client.drain()), ["n5", "n6", "n7", "n8", "q5", "q6"]);
}

#[tokio::test]
async fn what_is_lost_of_the_owed_after_a_gap_is_told_too() {
    let (hub, mut client) = halfway();
    // q2 goes, which lies in front of what the first gap told. That is not told again.
    publish(&hub, &["quiet"], "q5");
    publish(&hub, &["quiet"], "q6");
    let mut read = labels(&client.chunk());
    assert_eq!(read, ["lagged:quiet", "q3"]);
    read = labels(&client.drain());
    assert_eq!(read, ["q4", "n5", "n6", "n7", "n8", "q5", "q6"]);
}

#[tokio::test]
async fn the_past_of_an_added_topic_does_not_make_up_for_its_losses() {
    let hub = builder().max_events_per_topic(4).build();
    let start = hub.position();
    for n in 1..5 {
        publish(&hub, &["quiet"], big(&format!("q{n}")));
    }
    // Kept for the other topic's sake, longer than its successors.
    publish(&hub, &["b", "rare"], "old");
    let mut client = Client::after(&hub, &["quiet", "noisy"], start);
    client.handle().add(&Topics::new(["b"]).unwrap());
    for n in 1..5 {
        publish(&hub, &["b"], format!("b{n}"));
    }
    for n in 1..9 {
        publish(&hub, &["noisy"], format!("n{n}"));
    }
    assert_eq!(labels(&client.chunk()), ["trimmed:noisy", "q1"]);
    publish(&hub, &["b"], "b5");
    let read = labels(&client.drain());
    assert_eq!(read, ["lagged:b", "q2", "q3", "q4", "b2", "b3", "b4", "n5", "n6", "n7", "n8", "b5"]);
}
