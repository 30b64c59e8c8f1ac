//! [`Way`]: how what the nodes of a hub tell each other gets to the engine.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::Feed;
use crate::{
    engine::{EngineFuture, Publication},
    hub::{Hub, PublishError, WeakHub},
    nodes::{Carry, Nodes, ShareError},
};

/// The way to the engine, which does not keep the hub.
#[derive(Debug)]
struct Way(WeakHub);

/// The way from this node to all.
pub(super) fn nodes(hub: &Hub) -> Nodes {
    Nodes::by(Way(hub.downgrade()))
}

impl Carry for Way {
    fn carry(&self, publication: Publication) -> EngineFuture<'static, Result<(), ShareError>> {
        let hub = self.0.upgrade();
        Box::pin(async move {
            let hub = hub.ok_or(ShareError::NotShared)?;
            let Some(runtime) = hub.0.feed.as_ref().map(Feed::runtime) else {
                return Err(ShareError::NotShared);
            };
            // A task of its own: who waits here may be gone at any time, with the client that has asked.
            let begins = Arc::new(AtomicBool::new(false));
            let has_begun = Arc::clone(&begins);
            let published = runtime.spawn(async move {
                begins.store(true, Ordering::SeqCst);
                match &hub.0.feed {
                    Some(feed) => feed.publish(&hub.0, publication).await,
                    None => Err(PublishError::NotPublished),
                }
            });
            match published.await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(PublishError::Unknown)) => Err(ShareError::Unknown),
                // That runtime has ended.
                Err(_) if has_begun.load(Ordering::SeqCst) => Err(ShareError::Unknown),
                Ok(Err(_)) | Err(_) => Err(ShareError::NotShared),
            }
        })
    }

    fn spawn(&self, task: EngineFuture<'static, ()>) {
        if let Some(hub) = self.0.upgrade()
            && let Some(feed) = &hub.0.feed
        {
            feed.runtime().spawn(task);
        }
    }

    fn is_away(&self) -> bool {
        self.0.upgrade().is_none_or(|hub| hub.away_for().is_some())
    }

    fn is_open(&self) -> bool {
        self.0.upgrade().is_some()
    }
}
