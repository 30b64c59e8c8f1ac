//! The engines that hubs of several processes have behind them: one in memory, and real servers.

mod judge;
mod memory;
mod nats;
mod redis;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use sse_core::{Engine, EngineError, EngineFuture, EventId, Past, Publication, Published, Tail};

pub use self::{
    judge::{Figures, Judge, Logged, Sent},
    memory::{Link, Memory, Stopped},
    nats::NatsLog,
    redis::RedisLog,
};

/// Any engine, where a hub wants one of a known type.
#[derive(Clone)]
pub struct AnyEngine(Arc<dyn Engine>);

impl AnyEngine {
    /// This one.
    pub fn new(engine: impl Engine) -> Self {
        Self(Arc::new(engine))
    }

    /// The engine at `redis://…` or `nats://…`.
    pub async fn at(url: &str) -> Self {
        if url.starts_with("redis") {
            Self::new(sse_redis::Redis::connect(url).await.expect("Redis answers"))
        } else {
            Self::new(sse_nats::JetStream::connect(url).await.expect("NATS answers"))
        }
    }
}

impl Engine for AnyEngine {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn remembers_keys_for(&self) -> Duration {
        self.0.remembers_keys_for()
    }

    fn publish(&self, publication: Publication) -> EngineFuture<'_, Result<Published, EngineError>> {
        self.0.publish(publication)
    }

    fn tail(&self, past: Past) -> Tail {
        self.0.tail(past)
    }
}

impl fmt::Debug for AnyEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The engines that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In the test's own process.
    Memory,
    /// Redis of Debian's package, or whatever `REDIS_SERVER` and `REDIS_CLI` name: a Valkey.
    Redis,
    /// The same as a cluster of two, of which nodes are told the address of the one that has not the log.
    RedisCluster,
    /// nats-server of Debian's package.
    Nats,
}

/// For how long an engine is frozen: `SSE_ENGINES_FROZEN` seconds, or so many.
pub fn frozen_for(seconds: u64) -> Duration {
    let set = std::env::var("SSE_ENGINES_FROZEN").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(set.unwrap_or(seconds))
}

/// An engine that runs; ended when dropped.
#[derive(Debug)]
pub enum Running {
    /// In the test's own process.
    Memory(Memory),
    /// A server, or a cluster.
    Redis(RedisLog),
    /// A server.
    Nats(NatsLog),
}

impl Running {
    /// Starts one without anything in it; `None` where it is not installed, which is said.
    pub async fn start(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Memory => Some(Self::Memory(Memory::new())),
            Kind::Redis => RedisLog::start().await.map(Self::Redis),
            Kind::RedisCluster => RedisLog::start_cluster().await.map(Self::Redis),
            Kind::Nats => NatsLog::start().await.map(Self::Nats),
        }
    }

    /// Where nodes in other processes find it.
    ///
    /// # Panics
    /// For the one in memory.
    pub fn url(&self) -> String {
        match self {
            Self::Memory(_) => panic!("it is in this process"),
            Self::Redis(log) => log.url(),
            Self::Nats(log) => log.url(),
        }
    }

    /// One more connection, for one more node.
    pub async fn connect(&self) -> AnyEngine {
        match self {
            Self::Memory(log) => AnyEngine::new(log.connect()),
            Self::Redis(_) | Self::Nats(_) => AnyEngine::at(&self.url()).await,
        }
    }

    /// What is in the log, read by other means than nodes do: ids and records, the oldest first.
    pub async fn records(&self) -> Vec<(EventId, Bytes)> {
        match self {
            Self::Memory(log) => log.records(),
            Self::Redis(log) => log.records().await,
            Self::Nats(log) => log.records().await,
        }
    }

    /// How many connections of nodes it has.
    pub async fn connections(&self) -> usize {
        match self {
            Self::Memory(log) => log.tails() + log.publishes(),
            Self::Redis(log) => log.connections().await,
            Self::Nats(log) => log.connections().await,
        }
    }

    /// How much it was asked for so far, by the engine's own count: commands, or messages in both directions.
    pub async fn traffic(&self) -> u64 {
        match self {
            Self::Memory(log) => log.reads(),
            Self::Redis(log) => log.traffic().await,
            Self::Nats(log) => log.traffic().await,
        }
    }

    /// It goes away at once, and keeps what it has.
    pub async fn stop(&mut self) {
        match self {
            Self::Memory(log) => log.stop(Stopped::Refuses),
            Self::Redis(log) => log.stop().await,
            Self::Nats(log) => log.stop(),
        }
    }

    /// It is back after [`stop`](Self::stop), with what it had: another epoch of which nothing is lost, or the same.
    pub async fn start_again(&mut self) {
        match self {
            Self::Memory(log) => {
                log.restart();
                log.start();
            }
            Self::Redis(log) => log.start_again().await,
            Self::Nats(log) => log.start_again().await,
        }
    }

    /// It is back after [`stop`](Self::stop), without anything.
    pub async fn start_empty(&mut self) {
        match self {
            Self::Memory(log) => {
                log.empty();
                log.start();
            }
            Self::Redis(log) => log.start_empty().await,
            Self::Nats(log) => log.start_empty().await,
        }
    }

    /// It answers nothing more, and keeps all its connections open.
    pub fn freeze(&self) {
        match self {
            Self::Memory(log) => log.stop(Stopped::Silent),
            Self::Redis(log) => log.freeze(),
            Self::Nats(log) => log.freeze(),
        }
    }

    /// It goes on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        match self {
            Self::Memory(log) => log.start(),
            Self::Redis(log) => log.thaw(),
            Self::Nats(log) => log.thaw(),
        }
    }

    /// Keeps about so many of the newest records.
    pub async fn trim(&self, keep: usize) {
        match self {
            Self::Memory(log) => log.trim(keep),
            Self::Redis(log) => log.trim(keep).await,
            Self::Nats(log) => log.trim(keep).await,
        }
    }
}
