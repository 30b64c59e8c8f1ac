//! [`Traffic`]: what is published and read while something happens to the log.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sse_core::{EventId, Fed};
use sse_redis::Redis as Log;
use sse_tests::redis_cluster::RedisCluster;
use tokio::task::{JoinHandle, JoinSet};

use crate::{
    publish_sometime,
    reader::{Reader, all, records},
};

const PUBLISHERS: usize = 3;

/// Publishers that try each record until it is accepted, and a reader.
pub(crate) struct Traffic {
    last: Log,
    is_over: Arc<AtomicBool>,
    publishers: JoinSet<Vec<String>>,
    reader: JoinHandle<Vec<Fed>>,
}

/// What came of it.
pub(crate) struct Told {
    /// To the reader.
    pub(crate) feds: Vec<Fed>,
    /// What was accepted and is not in the log.
    pub(crate) lost: Vec<String>,
}

impl Traffic {
    /// Begins, and goes on until it is ended.
    pub(crate) async fn begin(connect: impl AsyncFn() -> Log) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut publishers = JoinSet::new();
        for publisher in 0..PUBLISHERS {
            let (log, is_over) = (connect().await, Arc::clone(&is_over));
            publishers.spawn(async move {
                let mut accepted = Vec::new();
                while !is_over.load(Ordering::SeqCst) {
                    let record = format!("{publisher} {}", accepted.len());
                    publish_sometime(&log, &record).await;
                    accepted.push(record);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                accepted
            });
        }
        let last = connect().await;
        let mut reader = Reader::new(&connect().await, all());
        let mut feds = reader.until_head().await;
        let reader = tokio::spawn(async move {
            while records(&feds[feds.len().saturating_sub(1)..]) != ["end"] {
                feds.push(reader.news().await);
            }
            feds
        });
        Self { last, is_over, publishers, reader }
    }

    /// Ends it, and sees that the log has nothing twice and nothing in another order, and that the reader has what is in it,
    /// once it has taken back what it was told to be lost.
    pub(crate) async fn end(self, cluster: &RedisCluster) -> Told {
        let Self { last, is_over, publishers, reader } = self;
        is_over.store(true, Ordering::SeqCst);
        let accepted = publishers.join_all().await.concat();
        publish_sometime(&last, "end").await;
        let feds = reader.await.unwrap();
        let text = cluster.of_log().await.ask("XRANGE {sse}:log - +").await;
        let lines: Vec<_> = text.lines().collect();
        // An id, its epoch, and a record or what came before the epoch, each with its name.
        let entries = lines.chunks(5).filter(|entry| entry[3] == "r");
        let truth: Vec<_> = entries.map(|entry| entry[4].to_owned()).collect();
        assert_eq!(BTreeSet::from_iter(&truth).len(), truth.len(), "something is there twice");
        for publisher in 0..PUBLISHERS {
            let own = truth.iter().filter_map(|record| record.strip_prefix(&format!("{publisher} ")));
            let own: Vec<usize> = own.map(|n| n.parse().unwrap()).collect();
            assert!(own.is_sorted(), "{own:?}");
        }
        assert_eq!(left(&feds), truth);
        let lost = accepted.into_iter().filter(|record| !truth.contains(record)).collect();
        Told { feds, lost }
    }
}

/// What is left of the records when that is taken back which is not intact at an epoch's end.
fn left(feds: &[Fed]) -> Vec<String> {
    let mut left: Vec<(EventId, String)> = Vec::new();
    for fed in feds {
        match fed {
            Fed::Record { id, record, .. } => left.push((*id, String::from_utf8(record.to_vec()).unwrap())),
            Fed::Seam { kept, .. } => left.retain(|(id, _)| kept.is_some_and(|kept| id.sequence() <= kept)),
            Fed::Hole { .. } => panic!("nothing was trimmed, but {fed:?}"),
            _ => {}
        }
    }
    left.into_iter().map(|(_, record)| record).collect()
}

impl Told {
    /// How many epochs began, of which each found everything there.
    pub(crate) fn exact_seams(&self) -> usize {
        assert!(self.lost.is_empty(), "accepted and lost: {:?}", self.lost);
        let (mut head, mut seams) = (None, 0);
        for fed in &self.feds {
            match fed {
                Fed::Record { id, .. } => head = Some(id.sequence()),
                Fed::Seam { start, kept } => {
                    assert!(head.is_none() || *kept == head, "behind {head:?} nothing was lost, but {fed:?}");
                    (head, seams) = (Some(start.sequence()), seams + 1);
                }
                _ => {}
            }
        }
        seams
    }
}
