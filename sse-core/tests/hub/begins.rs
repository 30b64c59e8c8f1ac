//! Where a client begins that brings no position.

use super::*;

fn begin(hub: &Hub, topics: &[&str], start: Start) -> Client {
    Client::open_with(hub, topics, None, options().start(start))
}

fn filled() -> (Hub, Vec<EventId>) {
    let hub = builder().build();
    let topics: [&[&str]; 3] = [&["a"], &["b"], &["a", "b"]];
    let ids = (0..9).map(|n| publish(&hub, topics[n % 3], n.to_string())).collect();
    (hub, ids)
}

#[tokio::test]
async fn with_the_last_few_of_its_topics() {
    let (hub, _) = filled();
    // On `a` 0, 2, 3, 5, 6, 8; on both everything, what is on both once.
    for (topics, count, expected) in [
        (&["a"][..], 0, &[][..]),
        (&["a"], 1, &["8"]),
        (&["a"], 3, &["5", "6", "8"]),
        (&["a"], 6, &["0", "2", "3", "5", "6", "8"]),
        (&["a"], usize::MAX, &["0", "2", "3", "5", "6", "8"]),
        (&["a", "b"], 2, &["7", "8"]),
        (&["a", "b"], 4, &["5", "6", "7", "8"]),
        (&["a", "b"], 100, &["0", "1", "2", "3", "4", "5", "6", "7", "8"]),
        (&["a", "none"], 2, &["6", "8"]),
        (&["none"], 2, &[]),
    ] {
        let mut client = begin(&hub, topics, Start::Last(count));
        assert_eq!(client.said(), expected, "the last {count} of {topics:?}");
        assert_eq!(client.again(&hub, topics).said(), [""; 0], "again, {topics:?}");
    }
}

#[tokio::test]
async fn with_what_is_kept_and_no_word_of_what_is_not() {
    for start in [Start::Oldest, Start::Last(5), Start::Since(SystemTime::UNIX_EPOCH)] {
        let hub = builder().max_events(2).build();
        for n in 0..5 {
            publish(&hub, &["a"], n.to_string());
        }
        let mut client = begin(&hub, &["a"], start);
        assert_eq!(client.said(), ["3", "4"], "{start:?}");
        // What it then loses is told.
        for n in 5..9 {
            publish(&hub, &["a"], n.to_string());
        }
        assert_eq!(client.said(), ["lagged:a", "7", "8"], "{start:?}");
    }
}

#[tokio::test]
async fn one_that_is_cut_at_once_misses_nothing_when_it_returns() {
    let hub = builder().build();
    // Each event is as large as a chunk.
    for n in 0..6 {
        publish(&hub, &["a"], big(&n.to_string()) + &big(""));
    }
    for start in [Start::Oldest, Start::Last(3), Start::Since(SystemTime::UNIX_EPOCH)] {
        let expected = labels(&begin(&hub, &["a"], start).drain());
        let mut client = begin(&hub, &["a"], start);
        let mut read = labels(&client.chunk());
        while read.len() < expected.len() {
            client = client.again(&hub, &["a"]);
            read.extend(labels(&client.chunk()));
        }
        assert_eq!(read, expected, "{start:?}");
    }
}

#[tokio::test]
async fn with_what_came_since_a_time() {
    let hub = builder().build();
    publish(&hub, &["a"], "before");
    thread::sleep(Duration::from_millis(30));
    let then = SystemTime::now();
    thread::sleep(Duration::from_millis(30));
    assert_eq!(begin(&hub, &["a"], Start::Since(then)).said(), [""; 0]);
    publish(&hub, &["b"], "other");
    publish(&hub, &["a"], "after");
    assert_eq!(begin(&hub, &["a"], Start::Since(then)).said(), ["after"]);
    assert_eq!(begin(&hub, &["a"], Start::Since(SystemTime::UNIX_EPOCH)).said(), ["before", "after"]);
    let later = SystemTime::now() + Duration::from_secs(3600);
    assert_eq!(begin(&hub, &["a"], Start::Since(later)).said(), [""; 0]);
}

#[tokio::test]
async fn behind_an_id_that_the_server_chose() {
    let (hub, ids) = filled();
    assert_eq!(begin(&hub, &["a"], Start::After(ids[5])).said(), ["6", "8"]);
    let elsewhere = builder().build().position();
    assert_eq!(begin(&hub, &["a"], Start::After(elsewhere)).said()[0], "restarted:a");
}

#[tokio::test]
async fn one_that_brings_a_position_goes_on_from_there() {
    let (hub, ids) = filled();
    for start in [Start::Oldest, Start::Last(3), Start::After(ids[0]), Start::Since(SystemTime::UNIX_EPOCH)] {
        let id = ids[6].to_string();
        let mut client = Client::open_with(&hub, &["a"], Some(&id), options().start(start));
        assert_eq!(client.said(), ["8"], "{start:?}");
    }
}

#[tokio::test]
async fn present_values_come_wherever_they_lie() {
    let hub = latest().build();
    publish(&hub, &["price/x"], "x1");
    publish(&hub, &["news"], "n1");
    publish(&hub, &["news"], "n2");
    let topics = ["news", "price/x"];
    assert_eq!(begin(&hub, &topics, Start::Last(1)).said(), ["x1", "n2"]);
    assert_eq!(begin(&hub, &topics, Start::Last(9)).said(), ["x1", "n1", "n2"]);
    assert_eq!(begin(&hub, &topics, Start::Now).said(), ["x1"]);
}

#[tokio::test]
async fn who_reads_on_behind_one_present_value_gets_the_others() {
    let hub = latest().build();
    let topics = ["news", "price/x", "price/y"];
    publish(&hub, &["price/x"], "x1");
    publish(&hub, &["price/y"], "y1");
    let first = hub.subscribe(topics, Start::Now).unwrap().next().await.unwrap();
    assert_eq!(first.data(), "x1");
    publish(&hub, &["news"], "n1");
    let rest = begin(&hub, &topics, Start::After(first.id())).said();
    assert_eq!(rest, ["x1", "y1", "n1"]);
}
