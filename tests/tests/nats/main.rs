//! The engine on NATS JetStream, on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

mod cluster;
mod connect;
mod denied;
mod figures;
mod hub;
mod kept;
mod log;
mod lost;
mod outage;
mod users;

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_nats::jetstream;
use futures_util::StreamExt;
use sse_core::{Engine, EngineError, EventId, Fed, Past, Publication, Published, Tail};
use sse_nats::{JetStream, JetStreamBuilder};
use sse_tests::nats::Nats;
use tokio::time::timeout;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server, where there is one.
async fn server() -> Option<Nats> {
    if !Nats::is_available() {
        return None;
    }
    Some(Nats::start().await)
}

async fn engine(nats: &Nats) -> JetStream {
    at_last(|| JetStream::builder(&nats.url())).await
}

/// A server on a busy machine may take longer to make its streams than whoever connects waits.
async fn at_last(builder: impl Fn() -> JetStreamBuilder) -> JetStream {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        match builder().connect().await {
            Ok(engine) => return engine,
            Err(error) if error.to_string().contains("in time") && std::time::Instant::now() < deadline => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// What a node follows, and what it was given.
struct Node {
    tail: Tail,
    fed: Vec<Fed>,
}

impl Node {
    /// One that wants all the past, caught up.
    async fn start(engine: &JetStream) -> Self {
        Self::with(engine, Past::new(usize::MAX, usize::MAX, Duration::from_secs(3600))).await
    }

    async fn with(engine: &JetStream, past: Past) -> Self {
        let mut node = Self { tail: engine.tail(past), fed: Vec::new() };
        node.until_head().await;
        assert!(matches!(node.fed[0], Fed::Begin { .. }), "{:?}", node.fed);
        node
    }

    /// What comes until this is so, that included.
    async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Fed) -> bool) -> Vec<Fed> {
        let from = self.fed.len();
        loop {
            let next = timeout(PATIENCE, self.tail.next()).await;
            let next = next.unwrap_or_else(|_| panic!("no {what}: {:?}", brief(&self.fed[from..])));
            let next = next.expect("a tail never ends");
            self.fed.push(next.clone());
            if is_so(&next) {
                return self.fed[from..].to_vec();
            }
        }
    }

    /// What comes until everything is given that was there when this was called.
    async fn until_head(&mut self) -> Vec<Fed> {
        let called = std::time::Instant::now();
        self.until("head", |fed| matches!(fed, Fed::Head { asked, .. } if *asked >= called)).await
    }

    async fn until_away(&mut self) {
        self.until("away", |fed| matches!(fed, Fed::Away { .. })).await;
    }

    /// The records so far.
    fn records(&self) -> Vec<(EventId, String)> {
        records(&self.fed)
    }

    fn begin(&self) -> (EventId, bool) {
        let Fed::Begin { start, is_first } = self.fed[0] else { panic!("{:?}", self.fed[0]) };
        (start, is_first)
    }

    /// Whether nothing was lost: no hole, and no seam that leaves something behind.
    fn is_whole(&self) -> bool {
        let mut at = self.begin().0;
        self.fed.iter().all(|fed| match fed {
            Fed::Record { id, .. } => {
                let is_next = id.epoch() == at.epoch() && id.sequence() == at.sequence() + 1;
                at = *id;
                is_next
            }
            Fed::Seam { start, kept } => {
                let is_intact = *kept == Some(at.sequence()) && start.sequence() == at.sequence() + 1;
                at = *start;
                is_intact
            }
            Fed::Hole { .. } => false,
            _ => true,
        })
    }
}

fn records(fed: &[Fed]) -> Vec<(EventId, String)> {
    let record = |fed: &Fed| match fed {
        Fed::Record { id, record, .. } => Some((*id, String::from_utf8(record.to_vec()).unwrap())),
        _ => None,
    };
    fed.iter().filter_map(record).collect()
}

fn seams(fed: &[Fed]) -> Vec<(EventId, Option<u64>)> {
    let seam = |fed: &Fed| match fed {
        Fed::Seam { start, kept } => Some((*start, *kept)),
        _ => None,
    };
    fed.iter().filter_map(seam).collect()
}

/// Records are long.
fn brief(fed: &[Fed]) -> String {
    let text: Vec<_> =
        fed.iter().map(|fed| format!("{fed:?}").chars().take(120).collect::<String>()).collect();
    text[text.len().saturating_sub(20)..].join("\n")
}

fn key() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("key-{}-{}", rand::random::<u64>(), NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn publish(engine: &JetStream, record: &str) -> Result<Published, EngineError> {
    engine.publish(Publication::new(key(), record.to_owned())).await
}

/// As a hub does it: until it is there, under one key.
async fn publish_surely(engine: &JetStream, record: &str) -> Published {
    let key = key();
    let publication = Publication::new(key, record.to_owned());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match engine.publish(publication.clone()).await {
            Ok(published) => return published,
            Err(error) if tokio::time::Instant::now() > deadline => panic!("{error}: {error:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// The server's own view of the stream, by its maker's client.
async fn streams(addr: SocketAddr) -> jetstream::Context {
    let client = async_nats::connect(format!("nats://{addr}")).await.unwrap();
    jetstream::new(client)
}
