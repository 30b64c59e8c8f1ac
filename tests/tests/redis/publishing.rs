//! What is published, and under which ids.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use sse_core::{Engine, EventId, Fed, Keep, Publication};
use sse_redis::Redis as Log;
use sse_tests::redis::Redis;

use crate::{
    PATIENCE, log, needs_redis, publish, publish_sometime,
    reader::{Reader, all, records},
    try_publish,
};

#[tokio::test]
async fn records_come_in_order_with_ids_that_have_no_gap() {
    needs_redis!();
    let redis = Redis::start().await;
    let (one, other) = (log(&redis).await, log(&redis).await);
    let mut reader = Reader::caught_up(&one).await;
    let start = reader.head();
    for n in 1..=300 {
        let id = publish(if n % 2 == 0 { &one } else { &other }, &format!("record {n}")).await;
        assert_eq!(id, EventId::new(start.epoch(), start.sequence() + n));
    }
    for n in 1..=300 {
        assert_eq!(reader.record().await, format!("record {n}"));
    }
}

/// As a worker of actix-web's does whose handler computes.
#[tokio::test]
async fn a_publisher_whose_thread_stands_still_holds_up_no_other() {
    needs_redis!();
    let redis = Redis::start().await;
    let log = Arc::new(log(&redis).await);
    let (first, (told, has_published)) = (Arc::clone(&log), tokio::sync::oneshot::channel());
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            publish(&first, "of the worker").await;
            told.send(()).unwrap();
            let _ = gone.recv();
        });
    });
    has_published.await.unwrap();
    let again = tokio::time::timeout(PATIENCE, try_publish(&log, "of another")).await.unwrap();
    assert!(again.is_ok(), "{again:?}");
    // And where it has gone.
    drop(go);
    tokio::task::spawn_blocking(|| worker.join().unwrap()).await.unwrap();
    assert!(try_publish(&log, "behind it").await.is_ok());
}

/// The runtime that it was connected in has ended.
#[test]
fn whoever_publishes_brings_a_runtime() {
    needs_redis!();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let redis = runtime().block_on(Redis::start());
    let first = runtime();
    let log = first.block_on(log(&redis));
    first.block_on(publish(&log, "first"));
    drop(first);
    runtime().block_on(publish_sometime(&log, "second"));
}

#[tokio::test]
async fn any_bytes_arrive_as_they_were() {
    needs_redis!();
    let redis = Redis::start().await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    let large: Bytes = (0..1 << 20).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
    for (key, record) in
        [("empty", Bytes::new()), ("\r\n\0 is none", b"\r\n\0\xff".as_slice().into()), ("large", large)]
    {
        log.publish(Publication::new(key, record.clone())).await.unwrap();
        assert!(matches!(reader.news().await, Fed::Record { record: read, .. } if read == record), "{key}");
    }
}

#[tokio::test]
async fn the_same_key_is_published_once() {
    needs_redis!();
    let redis = Redis::start().await;
    let (one, other) = (log(&redis).await, log(&redis).await);
    let first = publish(&one, "a").await;
    for log in [&one, &other] {
        let again = log.publish(Publication::new("a", "something else")).await.unwrap();
        assert_eq!((again.id, again.is_new), (first, false));
    }
    let feds = Reader::new(&one, all()).until_head().await;
    assert_eq!(records(&feds), ["a"]);
}

#[tokio::test]
async fn one_of_two_wins_each_race_for_a_key() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let (one, other) = (log(&redis).await, log(&redis).await);
    for n in 0..300 {
        let record = |who: &str| Publication::new(format!("ticket {n}"), who.to_owned());
        let (a, b) = tokio::join!(one.publish(record("one")), other.publish(record("other")));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.id, b.id);
        assert!(a.is_new != b.is_new, "race {n}: {a:?} {b:?}");
    }
    assert_eq!(Reader::new(&one, all()).until_head().await.len(), 1 + 300);
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_window_and_no_earlier() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = Log::builder(redis.url()).key_window(Duration::from_secs(10)).connect().await.unwrap();
    assert_eq!(log.remembers_keys_for(), Duration::from_secs(10));
    publish(&log, "a").await;
    let left: i64 = redis.ask("PTTL {sse}:key:a").await.parse().unwrap();
    assert!((1..=10_000).contains(&left), "{left}");
    redis.ask("PEXPIRE {sse}:key:a 1").await;
    redis.until("EXISTS {sse}:key:a", |answer| answer == "0").await;
    publish(&log, "a").await;
}

#[tokio::test]
async fn a_record_that_was_held_up_for_too_long_is_not_published() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    publish(&log, "a").await;
    // What a node that gave up has sent, and a dead link has kept.
    let script = include_str!("../../../sse-redis/src/script.lua");
    let keys =
        ["log", "meta", "epochs", "kept", "kept-until", "key:late"].map(|key| format!("{{sse}}:{key}"));
    let mut words = vec!["EVAL", script, "6"];
    words.extend(keys.iter().map(String::as_str));
    words.extend(["publish", "00000000000000aa", "late", "120000", "100", "3600000", "1", "", "0", "10"]);
    redis.ask_words(&words).await;
    assert_eq!(redis.ask("XLEN {sse}:log").await, "2", "the epoch's beginning and one record");
    // The clock of a server that took over may differ from what is known of the last one's.
    let deadline = words.len() - 4;
    words[deadline] = "9999999999999";
    redis.ask_words(&words).await;
    assert_eq!(redis.ask("XLEN {sse}:log").await, "3");
}

#[tokio::test]
async fn a_clock_that_is_set_back_stops_neither_ids_nor_trimming() {
    needs_redis!();
    let redis = Redis::start_with(&["--stream-node-max-entries", "1"]).await;
    let log = Log::builder(redis.url()).retention(Duration::from_secs(1)).connect().await.unwrap();
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "before").await;
    assert_eq!(reader.record().await, "before");
    // As if it had been an hour ahead until now.
    let ms: u64 = redis.ask("HGET {sse}:meta ms").await.parse().unwrap();
    redis.ask(&format!("HSET {{sse}}:meta ms {}", ms + 3_600_000)).await;
    let first = publish(&log, "after").await;
    assert!(
        matches!(reader.news().await, Fed::Record { id, age, .. } if id == first && age < Duration::from_secs(5))
    );
    let ids = redis.ask("XREVRANGE {sse}:log + - COUNT 1").await;
    assert!(ids.split('-').next().unwrap().parse::<u64>().unwrap() >= ms + 3_600_000, "{ids}");
    let old = redis.ask("XREVRANGE {sse}:log + - COUNT 1").await;
    let old = old.lines().next().unwrap();
    // Those after it leave when their time is over, not an hour later.
    for n in 0.. {
        assert!(n < 300, "nothing is trimmed");
        publish(&log, &format!("more {n}")).await;
        assert_eq!(reader.record().await, format!("more {n}"));
        if redis.ask(&format!("XRANGE {{sse}}:log {old} {old}")).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn the_log_is_as_long_as_it_may_be() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = Log::builder(redis.url()).max_records(500).connect().await.unwrap();
    for n in 0..2000 {
        publish(&log, &n.to_string()).await;
    }
    let len: usize = redis.ask("XLEN {sse}:log").await.parse().unwrap();
    assert!((500..800).contains(&len), "{len}");
}

/// Those who connect do not take the room of those who are signed out.
#[tokio::test]
async fn what_need_not_be_kept_takes_half_the_room() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = Log::builder(redis.url()).max_kept(4).connect().await.unwrap();
    let kept = |name: &str| Keep::new(name, Duration::from_secs(60));
    for n in 0..6 {
        let name = format!("session-{n}");
        let published = log.publish(Publication::new(name.clone(), "x").keep(kept(&name).optional())).await;
        assert!(published.unwrap().is_new);
    }
    assert_eq!(redis.ask("HLEN {sse}:kept").await, "2");
    for name in ["ada", "bob"] {
        log.publish(Publication::new(name, "x").keep(kept(name))).await.unwrap();
    }
    assert_eq!(redis.ask("HLEN {sse}:kept").await, "4");
    let error = log.publish(Publication::new("eve", "x").keep(kept("eve"))).await.unwrap_err();
    assert!(error.is_final(), "{error:?}");
    // One that is kept already is renewed, wherever.
    log.publish(Publication::new("again", "y").keep(kept("session-1").optional())).await.unwrap();
    assert!(redis.ask("HGET {sse}:kept session-1").await.ends_with(" y"));
}

#[tokio::test]
async fn no_more_are_kept_than_may_be() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = Log::builder(redis.url()).max_kept(2).connect().await.unwrap();
    let kept = |name: &str, key: &str, lifetime| {
        Publication::new(key, "x").keep(Keep::new(name, Duration::from_millis(lifetime)))
    };
    log.publish(kept("a", "1", 300)).await.unwrap();
    log.publish(kept("b", "2", 60_000)).await.unwrap();
    log.publish(kept("b", "3", 60_000)).await.unwrap();
    let len = redis.ask("XLEN {sse}:log").await;
    let error = log.publish(kept("c", "4", 60_000)).await.unwrap_err();
    assert!(!error.may_be_published() && error.is_final(), "{error:?}");
    assert_eq!(redis.ask("XLEN {sse}:log").await, len);
    tokio::time::sleep(Duration::from_millis(400)).await;
    log.publish(kept("c", "4", 60_000)).await.unwrap();
    assert_eq!(redis.ask("HLEN {sse}:kept").await, "2");
    assert_eq!(redis.ask("ZCARD {sse}:kept-until").await, "2");
}

#[tokio::test]
async fn what_redis_refuses_was_not_published_and_says_why() {
    needs_redis!();
    let redis = Redis::start_with(&["--maxmemory", "20mb"]).await;
    let log = log(&redis).await;
    publish(&log, "a").await;
    redis.ask("CONFIG SET maxmemory 1mb").await;
    let error = crate::try_publish(&log, "b").await.unwrap_err();
    assert!(!error.may_be_published() && !error.is_final());
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("OOM"), "{error:?}");
    redis.ask("CONFIG SET maxmemory 20mb").await;
    redis.ask("CONFIG SET min-replicas-to-write 1").await;
    let error = crate::try_publish(&log, "b").await.unwrap_err();
    assert!(!error.may_be_published() && !error.is_final());
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("NOREPLICAS"), "{error:?}");
    redis.ask("CONFIG SET min-replicas-to-write 0").await;
    redis.ask("ACL SETUSER default -xadd").await;
    let error = crate::try_publish(&log, "b").await.unwrap_err();
    assert!(!error.may_be_published() && error.is_final(), "{error:?}");
    redis.ask("ACL SETUSER default +@all").await;
    publish(&log, "b").await;
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(records(&feds), ["a", "b"]);
}

#[tokio::test]
async fn a_redis_that_has_forgotten_the_script_is_given_it_again() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    publish(&log, "a").await;
    redis.ask("SCRIPT FLUSH").await;
    publish(&log, "b").await;
}
