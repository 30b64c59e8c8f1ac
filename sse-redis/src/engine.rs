//! [`Redis`]: the engine.

use std::{fmt, sync::Arc, time::Duration};

use sse_core::{Engine, EngineError, EngineFuture, Past, Publication, Published, Tail};

use crate::{left::Left, publisher::Publisher, script::Script, server::Server, tail};

/// A log in Redis, for a hub. It has two connections: one to publish over, and one that reads for all of the node's
/// clients. The first is driven by the runtime that it was connected in, the other by that in which the hub was built.
pub struct Redis {
    server: Arc<Server>,
    script: Arc<Script>,
    left: Arc<Left>,
    publisher: Publisher,
}

impl Redis {
    pub(crate) fn new(server: Arc<Server>, script: Arc<Script>, clock: u64) -> Self {
        let left = Arc::<Left>::default();
        let publisher = Publisher::new(Arc::clone(&server), Arc::clone(&script), Arc::clone(&left), clock);
        Self { server, script, left, publisher }
    }
}

impl Engine for Redis {
    fn name(&self) -> &'static str {
        "Redis"
    }

    fn remembers_keys_for(&self) -> Duration {
        self.script.held().key_window
    }

    fn publish(&self, publication: Publication) -> EngineFuture<'_, Result<Published, EngineError>> {
        Box::pin(async move { self.publisher.publish(&publication).await })
    }

    fn tail(&self, past: Past) -> Tail {
        tail::tail(Arc::clone(&self.server), Arc::clone(&self.script), Arc::clone(&self.left), past)
    }
}

/// Without credentials.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("server", &self.server).finish_non_exhaustive()
    }
}
