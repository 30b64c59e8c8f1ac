//! What a reader is told when Redis is killed, rolled back, emptied, trimmed, frozen or cut off.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use sse_core::{Engine, EventId, Fed, Publication};
use sse_redis::Redis as Log;
use sse_tests::{engines::frozen_for, proxy::Proxy, redis::Redis};

use crate::{
    PATIENCE, log, needs_redis, publish, publish_sometime,
    reader::{Reader, all, records},
    try_publish,
};

#[tokio::test]
async fn an_intact_restart_is_no_loss() {
    needs_redis!();
    let mut redis = Redis::start().await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    for record in ["a", "b", "c"] {
        publish(&log, record).await;
        assert_eq!(reader.record().await, record);
    }
    let head = reader.head();
    redis.kill().await;
    let reason = reader.until_away().await;
    assert!(reason.contains("refused"), "{reason}");
    let error = try_publish(&log, "d").await.unwrap_err();
    assert!(!error.may_be_published(), "it was never sent: {error:?}");
    redis.run().await;
    // Seen without anybody publishing.
    assert!(matches!(reader.news().await, Fed::Seam { kept, .. } if kept == Some(head.sequence())));
    let again = log.publish(Publication::new("c", "c")).await.unwrap();
    assert_eq!((again.id, again.is_new), (head, false), "keys live as long as what they are of");
    publish_sometime(&log, "d").await;
    assert_eq!(reader.record().await, "d");
}

#[tokio::test]
async fn what_a_restart_has_lost_is_told_exactly_though_its_positions_are_used_again() {
    needs_redis!();
    let mut redis = Redis::start().await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    let kept = publish(&log, "b").await;
    let stored = stored(&redis);
    let copy = std::fs::read(&stored).unwrap();
    for record in ["c", "d", "e"] {
        publish(&log, record).await;
    }
    for record in ["a", "b", "c", "d", "e"] {
        assert_eq!(reader.record().await, record);
    }
    redis.kill().await;
    std::fs::write(&stored, copy).unwrap();
    redis.run().await;
    // The reader is not polled until others have gone beyond where it was.
    for n in 0..10 {
        publish_sometime(&log, &format!("new {n}")).await;
    }
    let seam = reader.news().await;
    assert!(matches!(seam, Fed::Seam { kept: upto, .. } if upto == Some(kept.sequence())), "{seam:?}");
    for n in 0..10 {
        assert_eq!(reader.record().await, format!("new {n}"));
    }
    // What was lost can be published again, under the same key.
    publish(&log, "c").await;
    assert_eq!(reader.record().await, "c");
    // One that starts now has the same ids.
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(records(&feds)[..3], ["a", "b", "new 0"]);
    assert!(feds.contains(&seam), "{feds:?}");
}

/// The file that writes are appended to.
fn stored(redis: &Redis) -> PathBuf {
    redis.folder().join("appendonlydir/appendonly.aof.1.incr.aof")
}

#[tokio::test]
async fn a_restart_that_has_lost_everything_keeps_nothing() {
    needs_redis!();
    let mut redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    redis.kill().await;
    redis.run().await;
    assert!(matches!(reader.news().await, Fed::Seam { kept: None, .. }));
    publish_sometime(&log, "a").await;
    assert_eq!(reader.record().await, "a");
}

#[tokio::test]
async fn a_log_that_is_emptied_keeps_nothing() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    let mut epochs = BTreeSet::from([reader.head().epoch()]);
    let commands =
        ["FLUSHALL", "DEL {sse}:log", "DEL {sse}:meta", "FLUSHALL", "DEL {sse}:log {sse}:meta {sse}:epochs"];
    // Whether the reader is the first to see it, or somebody publishes before.
    for (round, command) in commands.into_iter().enumerate() {
        for is_published_before in [false, true] {
            let old = format!("old {round} {is_published_before}");
            publish(&log, &old).await;
            assert_eq!(reader.record().await, old);
            redis.ask(command).await;
            let new = format!("new {round} {is_published_before}");
            if is_published_before {
                publish(&log, &new).await;
            }
            let news = reader.news().await;
            assert!(matches!(news, Fed::Seam { kept: None, .. }), "{command}: {news:?}");
            assert!(epochs.insert(reader.head().epoch()), "an epoch comes twice");
            if !is_published_before {
                publish(&log, &new).await;
            }
            assert_eq!(reader.record().await, new);
            // A key of what is not there any more is no key, unless the log's own order of it is gone, too.
            let again = log.publish(Publication::new(old.as_str(), old.clone())).await.unwrap();
            if again.is_new {
                assert_eq!(reader.record().await, old);
            }
            assert!(again.is_new || command == "DEL {sse}:meta" || command.contains("epochs"), "{command}");
        }
    }
}

#[tokio::test]
async fn what_is_trimmed_under_a_reader_is_a_hole() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    // Some, in front of what is still there.
    let ids = [publish(&log, "b").await, publish(&log, "c").await, publish(&log, "d").await];
    redis.ask("XTRIM {sse}:log MAXLEN 1").await;
    // A read that was on its way may have brought them all.
    let mut upto = None;
    loop {
        match reader.news().await {
            Fed::Hole { upto: hole } => upto = Some(hole),
            Fed::Record { id, .. } if id == ids[2] => break,
            Fed::Record { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(upto.is_none() || upto == Some(ids[1]));
    // All, and nothing comes behind them.
    let last = trimmed_unseen(&redis, &mut reader).await;
    assert_eq!(reader.news().await, Fed::Hole { upto: last });
    publish(&log, "z").await;
    assert_eq!(reader.record().await, "z");
}

/// Publishes and trims before the reader can have read it: in one script. Its id.
async fn trimmed_unseen(redis: &Redis, reader: &mut Reader) -> EventId {
    reader.until_head().await;
    let (epoch, n) = (reader.head().epoch(), reader.head().sequence() + 1);
    let script = "local id = redis.call('HGET', KEYS[2], 'ms') + 1 .. '-' .. ARGV[2]
        redis.call('XADD', KEYS[1], id, 'e', ARGV[1], 'r', 'never seen')
        redis.call('HINCRBY', KEYS[2], 'n', 1)
        redis.call('HINCRBY', KEYS[2], 'ms', 1)
        return redis.call('XTRIM', KEYS[1], 'MAXLEN', 0)";
    let (hex, n_text) = (format!("{epoch:016x}"), n.to_string());
    redis.ask_words(&["EVAL", script, "2", "{sse}:log", "{sse}:meta", &hex, &n_text]).await;
    EventId::new(epoch, n)
}

#[tokio::test]
async fn the_beginning_of_an_epoch_may_be_trimmed_under_a_reader() {
    needs_redis!();
    let mut redis = Redis::start().await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    let last = publish(&log, "unread").await;
    // What is read and not given yet goes with the connection.
    redis.kill().await;
    redis.run().await;
    publish_sometime(&log, "b").await;
    publish(&log, "c").await;
    redis.ask("XTRIM {sse}:log MAXLEN 1").await;
    let mut feds = Vec::new();
    while records(&feds).last().is_none_or(|last| last != "c") {
        feds.push(reader.news().await);
    }
    let seam =
        feds.iter().position(|fed| matches!(fed, Fed::Seam { kept, .. } if *kept == Some(last.sequence())));
    let seam = seam.unwrap_or_else(|| panic!("{feds:?}"));
    assert!(matches!(feds[seam + 1], Fed::Hole { .. }), "b is told to be lost: {feds:?}");
}

#[tokio::test]
async fn a_frozen_redis_is_away_and_what_was_sent_to_it_is_in_doubt() {
    needs_redis!();
    let redis = Redis::start().await;
    let log = Log::builder(redis.url()).timeout(Duration::from_millis(500)).connect().await.unwrap();
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    redis.freeze();
    let error = try_publish(&log, "b").await.unwrap_err();
    assert!(error.may_be_published(), "{error:?}");
    assert!(reader.until_away().await.contains("not answered"));
    let until = std::time::Instant::now() + frozen_for(3);
    while std::time::Instant::now() < until {
        let error = try_publish(&log, "b").await.unwrap_err();
        // It may have been sent, or not even a connection was there.
        assert!(format!("{error:?}").contains("NoAnswer"), "{error:?}");
    }
    redis.thaw();
    publish_sometime(&log, "b").await;
    assert_eq!(reader.record().await, "b");
    publish(&log, "c").await;
    assert_eq!(reader.record().await, "c");
}

#[tokio::test]
async fn connections_that_are_cut_in_the_middle_of_a_record_lose_nothing() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let direct = log(&redis).await;
    // Long enough to connect now and then, and to read some of the records.
    let cuts: Vec<usize> =
        (0..60).map(|n| if n < 3 { 20_000 } else { rand::random_range(100..12_000) }).collect();
    let proxy = Proxy::start(redis.addr(), cuts.into_iter()).await.unwrap();
    let log = Log::connect(format!("redis://{}", proxy.addr())).await.unwrap();
    let mut reader = Reader::new(&log, all());
    reader.until_head().await;
    let published = tokio::spawn(async move {
        for n in 0..400 {
            publish(&direct, &format!("{n:0>500}")).await;
        }
    });
    for n in 0..400 {
        assert_eq!(reader.record().await, format!("{n:0>500}"));
    }
    published.await.unwrap();
    assert!(proxy.cuts() >= 10, "{proxy:?}");
}

#[tokio::test]
async fn what_is_published_over_connections_that_are_cut_is_there_once() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let direct = log(&redis).await;
    let cuts = (0..).map(|n| if n == 0 { 1 << 20 } else { rand::random_range(50..1000) });
    let proxy = Proxy::start(redis.addr(), cuts).await.unwrap();
    let log = Log::connect(format!("redis://{}", proxy.addr())).await.unwrap();
    let mut in_doubt = 0;
    for n in 0..150 {
        let deadline = std::time::Instant::now() + PATIENCE;
        while let Err(error) = try_publish(&log, &n.to_string()).await {
            in_doubt += usize::from(error.may_be_published());
            assert!(std::time::Instant::now() < deadline, "{error:?}");
        }
    }
    assert!(in_doubt > 0 && proxy.cuts() > 5, "{in_doubt} in doubt, {proxy:?}");
    let feds = Reader::new(&direct, all()).until_head().await;
    assert_eq!(records(&feds), (0..150).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_link_that_went_dead_is_noticed() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let proxy = Proxy::start(redis.addr(), std::iter::empty()).await.unwrap();
    let url = format!("redis://{}", proxy.addr());
    let log = Log::builder(url).timeout(Duration::from_millis(500)).connect().await.unwrap();
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    proxy.silence_all();
    publish_sometime(&log, "b").await;
    assert!(reader.until_away().await.contains("not answered"));
    assert_eq!(reader.record().await, "b");
}

#[tokio::test]
async fn what_others_write_into_the_log_is_skipped() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    redis.ask("XADD {sse}:log * of others").await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    publish(&log, "b").await;
    assert_eq!(reader.record().await, "a");
    assert_eq!(reader.record().await, "b");
}

#[tokio::test]
async fn the_head_is_told_at_least_once_a_second_also_under_load() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let (log, other) = (log(&redis).await, log(&redis).await);
    let mut reader = Reader::caught_up(&log).await;
    let busy = tokio::spawn(async move {
        for n in 0.. {
            publish(&other, &n.to_string()).await;
        }
    });
    let mut heads = 0;
    let mut last = std::time::Instant::now();
    let until = last + Duration::from_secs(3);
    let mut longest = Duration::ZERO;
    while std::time::Instant::now() < until {
        if let Fed::Head { asked, .. } = reader.next().await {
            longest = longest.max(last.elapsed());
            last = std::time::Instant::now();
            assert!(asked.elapsed() < PATIENCE);
            heads += 1;
        }
    }
    busy.abort();
    assert!(heads > 3, "{heads} heads, {longest:?} between two");
}
