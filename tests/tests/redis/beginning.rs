//! Where a node begins, and what it is given of the past.

use std::time::Duration;

use sse_core::{Engine, EventId, Fed, Keep, Past, Publication};
use sse_tests::redis::Redis;

use crate::{
    log, needs_redis, publish,
    reader::{Reader, all, records},
};

const HOUR: Duration = Duration::from_secs(3600);

fn begin(feds: &[Fed]) -> (EventId, bool) {
    match feds[0] {
        Fed::Begin { start, is_first } => (start, is_first),
        ref other => panic!("{other:?}"),
    }
}

fn kept(feds: &[Fed]) -> Vec<String> {
    let text = |fed: &Fed| match fed {
        Fed::Kept { record } => Some(String::from_utf8(record.to_vec()).unwrap()),
        _ => None,
    };
    let mut kept: Vec<_> = feds.iter().filter_map(text).collect();
    kept.sort();
    kept
}

#[tokio::test]
async fn a_new_log_has_nothing_in_front_of_it() {
    needs_redis!();
    let redis = Redis::start().await;
    let log = log(&redis).await;
    let feds = Reader::new(&log, all()).until_head().await;
    let (start, is_first) = begin(&feds);
    assert!(is_first && feds.len() == 1, "{feds:?}");
    let id = publish(&log, "a").await;
    assert_eq!(id, EventId::new(start.epoch(), start.sequence() + 1));
    // So it has for one that starts later.
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(begin(&feds), (start, true));
    assert_eq!(records(&feds), ["a"]);
}

#[tokio::test]
async fn a_node_begins_with_as_much_as_it_wants() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let mut ids = Vec::new();
    for n in 0..600 {
        ids.push(publish(&log, &format!("{n:0>100}")).await);
    }
    let counts = [
        (Past::new(50, usize::MAX, HOUR), 50),
        (Past::new(usize::MAX, 5000, HOUR), 50),
        (Past::new(1, usize::MAX, HOUR), 1),
        (Past::new(0, usize::MAX, HOUR), 0),
        (Past::new(usize::MAX, usize::MAX, Duration::ZERO), 0),
        (Past::new(usize::MAX, usize::MAX, HOUR), 600),
    ];
    for (past, least) in counts {
        let feds = Reader::new(&log, past).until_head().await;
        let count = records(&feds).len();
        // Several records may be of one millisecond.
        assert!((least..=600.min(least * 2 + 40)).contains(&count), "{count} records for {past:?}");
        let (start, is_first) = begin(&feds);
        assert_eq!(start.sequence() + count as u64, ids[599].sequence());
        assert_eq!(is_first, count == 600);
    }
}

#[tokio::test]
async fn what_is_older_than_wanted_is_not_read_and_the_rest_has_its_age() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let old = publish(&log, "old").await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    publish(&log, "new").await;
    let feds =
        Reader::new(&log, Past::new(usize::MAX, usize::MAX, Duration::from_secs(1))).until_head().await;
    assert_eq!(begin(&feds), (old, false));
    assert_eq!(records(&feds), ["new"]);
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(records(&feds), ["old", "new"]);
    assert!(matches!(&feds[1], Fed::Record { age, .. } if *age >= Duration::from_millis(1200)), "{feds:?}");
}

#[tokio::test]
async fn what_was_trimmed_is_no_beginning() {
    needs_redis!();
    let redis = Redis::start_with(&["--stream-node-max-entries", "1"]).await;
    let log = log(&redis).await;
    let ids = [publish(&log, "a").await, publish(&log, "b").await, publish(&log, "c").await];
    redis.ask("XTRIM {sse}:log MAXLEN 1").await;
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(begin(&feds), (ids[1], false));
    assert_eq!(records(&feds), ["c"]);
    redis.ask("XTRIM {sse}:log MAXLEN 0").await;
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(begin(&feds), (ids[2], false));
}

#[tokio::test]
async fn what_is_trimmed_while_a_node_begins_is_a_hole() {
    needs_redis!();
    for left in ["1", "0"] {
        let redis = Redis::start_with(&[]).await;
        let log = log(&redis).await;
        let mut last = publish(&log, "0").await;
        for n in 1..50 {
            last = publish(&log, &n.to_string()).await;
        }
        let mut reader = Reader::new(&log, all());
        assert!(matches!(reader.next().await, Fed::Begin { is_first: true, .. }));
        redis.ask(&format!("XTRIM {{sse}}:log MAXLEN {left}")).await;
        let feds = reader.until_head().await;
        assert!(matches!(feds[0], Fed::Hole { .. }), "{feds:?}");
        assert_eq!((records(&feds).len().to_string(), reader.head()), (left.to_owned(), last), "{feds:?}");
    }
}

#[tokio::test]
async fn a_restart_before_it_is_known_to_a_node_that_starts_later() {
    needs_redis!();
    let mut redis = Redis::start().await;
    let first = log(&redis).await;
    let a = publish(&first, "a").await;
    redis.kill().await;
    redis.run().await;
    let second = log(&redis).await;
    let b = publish(&second, "b").await;
    assert_ne!(a.epoch(), b.epoch());
    let feds = Reader::new(&second, all()).until_head().await;
    assert_eq!(records(&feds), ["a", "b"]);
    assert!(matches!(feds[2], Fed::Seam { kept, .. } if kept == Some(a.sequence())), "{feds:?}");
    // Nor is it a loss where the node is to have nothing of the past.
    redis.kill().await;
    redis.run().await;
    redis.kill().await;
    redis.run().await;
    let third = log(&redis).await;
    redis.ask("XTRIM {sse}:log MAXLEN 0").await;
    let feds = Reader::new(&third, Past::new(10, 1000, HOUR)).until_head().await;
    assert_eq!(begin(&feds), (b, false), "{feds:?}");
    let [Fed::Begin { .. }, Fed::Seam { kept, .. }] = feds[..] else { panic!("{feds:?}") };
    assert_eq!(kept, Some(b.sequence()));
}

#[tokio::test]
async fn kept_records_outlive_the_log_and_leave_with_their_time() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let keep = |name: &str, millis| Keep::new(name, Duration::from_millis(millis));
    let publish =
        async |key: &str, keep| log.publish(Publication::new(key, key.to_owned()).keep(keep)).await.unwrap();
    publish("ada out", keep("ada", 60_000)).await;
    publish("ada out again", keep("ada", 60_000)).await;
    publish("bob out", keep("bob", 60_000)).await;
    // More than are cleared away at once.
    for n in 0..300 {
        publish(&format!("soon over {n}"), keep(&format!("eve{n}"), 1500)).await;
    }
    let large = "x".repeat(10_000);
    for n in 0..200 {
        log.publish(
            Publication::new(format!("large {n}"), large.clone()).keep(keep(&format!("n{n}"), 60_000)),
        )
        .await
        .unwrap();
    }
    redis.ask("XTRIM {sse}:log MAXLEN 0").await;
    let feds = Reader::new(&log, all()).until_head().await;
    let of_people =
        |feds: &[Fed]| -> Vec<_> { kept(feds).into_iter().filter(|kept| kept.len() < 100).collect() };
    assert!(
        of_people(&feds).starts_with(&["ada out again".into(), "bob out".into()]),
        "{:?}",
        of_people(&feds)
    );
    assert!(kept(&feds).len() >= 202);
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(of_people(&feds), ["ada out again", "bob out"]);
    assert_eq!(records(&feds), Vec::<String>::new());
}
