//! The log moves to another server of its cluster, while it is written and read.

use std::time::Duration;

use rand::seq::SliceRandom as _;
use sse_core::{Engine as _, Fed, Keep, Publication};
use sse_tests::redis_cluster::RedisCluster;

use crate::{
    cluster::log_in,
    needs_redis, publish, publish_sometime,
    reader::{Reader, all, records},
    traffic::Traffic,
    try_publish,
};

#[tokio::test]
async fn key_by_key_in_any_order() {
    needs_redis!();
    let cluster = RedisCluster::start(3, 0).await;
    let log = log_in(&cluster).await;
    let mut reader = Reader::caught_up(&log).await;
    let kept = Keep::new("ada", Duration::from_secs(3600));
    log.publish(Publication::new("kept", "kept").keep(kept)).await.unwrap();
    assert_eq!(reader.record().await, "kept");
    let mut expected = vec!["kept".to_owned()];
    for (round, (from, to)) in [(1, 2), (2, 0), (0, 1), (1, 2), (2, 1)].into_iter().enumerate() {
        let before = format!("before {round}");
        let last = publish(&log, &before).await;
        assert_eq!(reader.record().await, before);
        cluster.begin_to_move(from, to).await;
        let of_log = &cluster.nodes[from];
        let keys = of_log.ask("CLUSTER GETKEYSINSLOT 8273 100").await;
        let mut keys: Vec<_> = keys.lines().collect();
        assert!(keys.len() > 5, "{keys:?}");
        keys.shuffle(&mut rand::rng());
        for key in keys {
            // Neither has all that a record needs.
            let error = try_publish(&log, "while it moves").await.unwrap_err();
            assert!(!error.may_be_published() && !error.is_final(), "{error:?}");
            cluster.move_key(from, to, key).await;
        }
        let error = try_publish(&log, "while it moves").await.unwrap_err();
        assert!(!error.may_be_published() && !error.is_final(), "{error:?}");
        cluster.end_moving(from, to).await;
        // Seen without anybody publishing; and nothing is lost.
        let seam = reader.news().await;
        assert!(matches!(seam, Fed::Seam { kept, .. } if kept == Some(last.sequence())), "{seam:?}");
        let again = log.publish(Publication::new(before.as_str(), "not again")).await;
        // One that was under way to the old server is told where the new one is.
        let again = again.unwrap();
        assert_eq!((again.id, again.is_new), (last, false));
        let behind = format!("behind {round}");
        publish(&log, &behind).await;
        assert_eq!(reader.record().await, behind);
        expected.extend([before, behind]);
    }
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(records(&feds), expected);
    assert!(feds.iter().any(|fed| matches!(fed, Fed::Kept { record } if record == "kept")), "{feds:?}");
}

#[tokio::test]
async fn there_and_back_unseen_is_the_same_log() {
    needs_redis!();
    let cluster = RedisCluster::start(2, 0).await;
    let first = log_in(&cluster).await;
    let last = publish(&first, "a").await;
    for (from, to) in [(1, 0), (0, 1)] {
        cluster.begin_to_move(from, to).await;
        while cluster.move_keys(from, to, 10).await > 0 {}
        cluster.end_moving(from, to).await;
    }
    let mut reader = Reader::caught_up(&first).await;
    assert_eq!(reader.head(), last);
    publish(&first, "b").await;
    assert_eq!(reader.record().await, "b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_traffic_nothing_is_lost_and_nothing_comes_twice() {
    needs_redis!();
    let cluster = RedisCluster::start(3, 0).await;
    let traffic = Traffic::begin(async || log_in(&cluster).await).await;
    let moves = [(1, 2), (2, 0), (0, 2), (2, 1)];
    for (from, to) in moves {
        publish_some(&cluster).await;
        cluster.begin_to_move(from, to).await;
        while cluster.move_keys(from, to, rand::random_range(20..200)).await > 0 {}
        cluster.end_moving(from, to).await;
    }
    // As an operator does it.
    for (from, to) in [(1, 2), (2, 1)] {
        publish_some(&cluster).await;
        cluster.reshard(from, to).await;
    }
    publish_some(&cluster).await;
    let told = traffic.end(&cluster).await;
    assert_eq!(told.exact_seams(), moves.len() + 2, "{} told", told.feds.len());
}

/// Waits until others have published more.
async fn publish_some(cluster: &RedisCluster) {
    let len = async || cluster.of_log().await.ask("XLEN {sse}:log").await.parse::<usize>().unwrap_or(0);
    let before = len().await;
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    while len().await < before + 20 {
        assert!(std::time::Instant::now() < deadline, "nobody publishes");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_move_that_is_given_up_half_way_is_told_as_far_as_it_is_known() {
    needs_redis!();
    // Whichever of the keys has gone when the slot is declared to be whole.
    for gone in ["{sse}:log", "{sse}:meta", "{sse}:epochs"] {
        let cluster = RedisCluster::start(2, 0).await;
        let log = log_in(&cluster).await;
        let mut reader = Reader::caught_up(&log).await;
        publish(&log, "a").await;
        assert_eq!(reader.record().await, "a");
        cluster.begin_to_move(1, 0).await;
        cluster.move_key(1, 0, gone).await;
        for node in &cluster.nodes {
            assert_eq!(node.ask("CLUSTER SETSLOT 8273 STABLE").await, "OK");
        }
        publish_sometime(&log, "b").await;
        let mut news = reader.news().await;
        if gone == "{sse}:epochs" {
            // What it is for is the past alone.
            assert!(matches!(news, Fed::Record { .. }), "{news:?}");
            continue;
        }
        if matches!(&news, Fed::Record { record, .. } if record == "b") {
            news = reader.news().await;
        }
        assert!(matches!(news, Fed::Seam { kept: None, .. }), "{gone}: {news:?}");
        assert_eq!(reader.record().await, "b", "{gone}");
    }
}
