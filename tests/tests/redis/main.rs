//! The engine on Redis, against a real one: what it publishes, what it follows, and what it tells when Redis is killed,
//! emptied, trimmed, frozen, cut off or replaced.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

mod beginning;
mod chaos;
mod cluster;
mod cluster_moves;
mod connecting;
mod faults;
mod figures;
mod hub;
mod publishing;
mod reader;
mod replicas;
mod returns;
mod traffic;

use std::time::Duration;

use sse_core::{Engine, EngineError, EventId, Publication, Published};
use sse_redis::Redis as Log;
use sse_tests::redis::Redis;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends a test where there is no Redis.
#[macro_export]
macro_rules! needs_redis {
    () => {
        if !sse_tests::redis::Redis::is_available() {
            return;
        }
    };
}

async fn log(redis: &Redis) -> Log {
    Log::connect(redis.url()).await.unwrap()
}

/// Publishes this under itself.
async fn publish(log: &Log, record: &str) -> EventId {
    let published = try_publish(log, record).await.unwrap();
    assert!(published.is_new, "{record} was there");
    published.id
}

async fn try_publish(log: &Log, record: &str) -> Result<Published, EngineError> {
    log.publish(Publication::new(record, record.to_owned())).await
}

/// Publishes it until Redis takes it.
async fn publish_sometime(log: &Log, record: &str) -> EventId {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match try_publish(log, record).await {
            Ok(published) => return published.id,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{record}: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
