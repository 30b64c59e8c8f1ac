//! Publishers and readers on several nodes, while Redis is killed, frozen and cut off by turns: what was accepted is in the
//! log once, and every reader has what is in the log.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sse_core::Fed;
use sse_redis::Redis as Log;
use sse_tests::{proxy::Proxy, redis::Redis};

use crate::{
    needs_redis, publish_sometime,
    reader::{Reader, all, records},
};

const PUBLISHERS: usize = 3;
const RECORDS: usize = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_there_once_and_everybody_has_it() {
    needs_redis!();
    let mut redis = Redis::start().await;
    let proxy = Arc::new(Proxy::start(redis.addr(), std::iter::empty()).await.unwrap());
    let url = format!("redis://{}", proxy.addr());
    let mut readers = Vec::new();
    for _ in 0..2 {
        let log = Log::builder(&url).timeout(Duration::from_millis(700)).connect().await.unwrap();
        let mut reader = Reader::new(&log, all());
        reader.until_head().await;
        readers.push(tokio::spawn(async move {
            let mut feds = Vec::new();
            while records(&feds).len() < PUBLISHERS * RECORDS {
                feds.push(reader.news().await);
            }
            feds
        }));
    }
    let mut publishers = Vec::new();
    for publisher in 0..PUBLISHERS {
        let log = Log::builder(&url).timeout(Duration::from_millis(700)).connect().await.unwrap();
        publishers.push(tokio::spawn(async move {
            for n in 0..RECORDS {
                publish_sometime(&log, &format!("{publisher} {n}")).await;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }));
    }
    let mut restarts = 0;
    while !publishers.iter().all(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(rand::random_range(100..400))).await;
        match restarts % 3 {
            0 => {
                redis.kill().await;
                redis.run().await;
            }
            1 => proxy.cut_all(),
            _ => {
                redis.freeze();
                tokio::time::sleep(Duration::from_millis(800)).await;
                redis.thaw();
            }
        }
        restarts += 1;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert!(restarts > 3, "nothing happened");
    // As somebody else reads it.
    let stored = redis.ask("XRANGE {sse}:log - +").await;
    let lines: Vec<_> = stored.lines().collect();
    let truth: Vec<_> =
        lines.windows(2).filter(|pair| pair[0] == "r").map(|pair| pair[1].to_owned()).collect();
    let once: BTreeSet<_> = truth.iter().collect();
    assert_eq!((truth.len(), once.len()), (PUBLISHERS * RECORDS, PUBLISHERS * RECORDS));
    for publisher in 0..PUBLISHERS {
        let own: Vec<_> =
            truth.iter().filter_map(|record| record.strip_prefix(&format!("{publisher} "))).collect();
        assert_eq!(own, (0..RECORDS).map(|n| n.to_string()).collect::<Vec<_>>());
    }
    for reader in readers {
        let feds = reader.await.unwrap();
        assert_eq!(records(&feds), truth);
        let mut head = None;
        for fed in &feds {
            match fed {
                Fed::Record { id, .. } => head = Some(id.sequence()),
                Fed::Seam { start, kept } => {
                    assert!(
                        head.is_none() || *kept == head,
                        "nothing was lost, but behind {head:?}: {fed:?}"
                    );
                    head = Some(start.sequence());
                }
                other => panic!("nothing was lost, but {other:?}"),
            }
        }
        let seams = feds.iter().filter(|fed| matches!(fed, Fed::Seam { .. })).count();
        assert!(seams > 0);
    }
}
