//! A node: a hub with an engine behind it, as a server has one.

use std::{future::Future, time::Duration};

use sse_core::{Engine, EventId, Hub, HubBuilder, StreamOptions};
use sse_tests::engines::Running;
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything takes, on however busy a machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn builder() -> HubBuilder {
    Hub::builder().stream_options(StreamOptions::new().keep_alive(Duration::from_secs(1)))
}

pub(crate) async fn node(log: &Running) -> Hub {
    on(log.connect().await).await
}

pub(crate) async fn on(engine: impl Engine) -> Hub {
    with(builder(), engine).await
}

pub(crate) async fn with(builder: HubBuilder, engine: impl Engine) -> Hub {
    builder.engine(engine).ready_timeout(PATIENCE).build().await.expect("the engine answers")
}

/// Waits for something that must come.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the node has this event.
pub(crate) async fn has(hub: &Hub, id: EventId) {
    until(&format!("{id} comes here"), || {
        let at = hub.position();
        at.epoch() == id.epoch() && at.sequence() >= id.sequence()
    })
    .await;
}

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// Publishes, again and again, until the engine accepts it.
pub(crate) async fn publish_at_last(hub: &Hub, topic: &str, data: &str) -> EventId {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match hub.publish_once(&format!("at-last/{data}"), topic, data).await {
            Ok(published) => return published.id,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(20)).await;
    }
}
