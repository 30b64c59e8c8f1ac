//! Permissions are taken away while processes are connected: it is said at once and clearly, and when they are back all
//! goes on where it was.

use std::{error::Error, time::Duration};

use sse_core::{Fed, Hub, PublishError, Start};
use sse_nats::JetStream;
use sse_tests::nats::Nats;
use tokio::time::{Instant, sleep};

use crate::{Node, PATIENCE, publish, publish_surely};

/// Far longer than anything here takes, so that whatever waits for it is found.
const LONG: Duration = Duration::from_secs(60);

/// A user who may do everything but this, and another who may do everything.
fn without(publish: &[&str], subscribe: &[&str]) -> String {
    format!(
        "jetstream {{ store_dir: \"STORE\" }}\nauthorization {{ users: [\n\
         {{ user: ada, password: secret, permissions: {{ publish: {{ deny: {publish:?} }}, \
         subscribe: {{ deny: {subscribe:?} }} }} }},\n{{ user: root, password: toor }}] }}"
    )
}

struct Denied {
    nats: Nats,
    engine: JetStream,
    node: Node,
    root: JetStream,
}

async fn start() -> Option<Denied> {
    start_with(LONG).await
}

async fn start_with(publish_timeout: Duration) -> Option<Denied> {
    if !Nats::is_available() {
        return None;
    }
    let nats = Nats::start_with(&without(&["none"], &["none"])).await;
    let url = |user: &str| format!("nats://{user}@{}", nats.addr());
    let engine =
        JetStream::builder(&url("ada:secret")).publish_timeout(publish_timeout).connect().await.unwrap();
    let root = JetStream::connect(&url("root:toor")).await.unwrap();
    let node = Node::start(&engine).await;
    publish(&engine, "before").await.unwrap();
    Some(Denied { nats, engine, node, root })
}

impl Denied {
    /// The reason that is given for an outage.
    async fn away(&mut self) -> String {
        let fed = self.node.until("away", |fed| matches!(fed, Fed::Away { .. })).await;
        let Some(Fed::Away { reason }) = fed.last() else { panic!("{fed:?}") };
        assert!(!reason.contains("secret"));
        reason.clone()
    }

    /// Once all is allowed again it goes on, and what was published meanwhile is there once.
    async fn goes_on(mut self, meanwhile: &[&str]) {
        self.nats.reconfigure(&without(&["none"], &["none"])).await;
        publish_surely(&self.engine, "after").await;
        self.node.until_head().await;
        assert!(self.node.is_whole());
        let texts: Vec<_> = self.node.records().into_iter().map(|(_, text)| text).collect();
        let expected: Vec<_> = ["before"].iter().chain(meanwhile).chain(&["after"]).copied().collect();
        assert_eq!(texts, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_publish() {
    let Some(mut denied) = start().await else { return };
    denied.nats.reconfigure(&without(&["sse-hub.>"], &["none"])).await;
    for text in ["one", "two", "three"] {
        let begun = Instant::now();
        let error = publish(&denied.engine, text).await.unwrap_err();
        assert!(error.is_final() && !error.may_be_published(), "{error:?}");
        assert!(begun.elapsed() < LONG / 2, "it is said at once: {:?}", begun.elapsed());
        let text = error.source().unwrap().to_string();
        assert!(text.contains("denies this user to publish to sse-hub."), "{text}");
        assert!(text.contains("give the user this permission") && !text.contains("secret"), "{text}");
    }
    // Nobody else is held up, and reading goes on.
    publish(&denied.root, "by another").await.unwrap();
    denied.node.until_head().await;
    assert_eq!(denied.node.records().len(), 2);
    denied.goes_on(&["by another"]).await;
}

/// What a hub says to who publishes, without trying for as long as it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_publish_by_a_hub() {
    let Some(denied) = start().await else { return };
    let Denied { nats, engine, root, .. } = denied;
    let hub = Hub::builder().engine(engine).publish_timeout(LONG).ready_timeout(PATIENCE);
    let hub = hub.build().await.unwrap();
    let other = Hub::builder().engine(root).ready_timeout(PATIENCE).build().await.unwrap();
    let mut events = hub.subscribe("news", Start::Now).unwrap();
    nats.reconfigure(&without(&["sse-hub.>"], &["none"])).await;
    let begun = Instant::now();
    assert_eq!(hub.publish("news", "one").await, Err(PublishError::NotPublished));
    // Many at once: of those that were under way when it was said one cannot know.
    let many = futures_util::future::join_all((0..20).map(|_| hub.publish("news", "many"))).await;
    assert!(
        many.iter().all(|said| matches!(said, Err(PublishError::NotPublished | PublishError::Unknown))),
        "{many:?}"
    );
    assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    other.publish("news", "by another").await.unwrap();
    assert_eq!(crate::hub::read(&mut events, 1).await, [" by another"], "clients go on");
    nats.reconfigure(&without(&["none"], &["none"])).await;
    let deadline = Instant::now() + PATIENCE;
    while hub.publish("news", "after").await.is_err() {
        assert!(Instant::now() < deadline);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(crate::hub::read(&mut events, 1).await, [" after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_look_at_the_log() {
    let Some(mut denied) = start().await else { return };
    denied.nats.reconfigure(&without(&["$JS.API.STREAM.INFO.>"], &["none"])).await;
    let reason = denied.away().await;
    assert!(reason.contains("denies this user to publish to $JS.API.STREAM.INFO.sse-hub"), "{reason}");
    publish(&denied.root, "meanwhile").await.unwrap();
    denied.goes_on(&["meanwhile"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_follow() {
    let Some(mut denied) = start().await else { return };
    denied.nats.reconfigure(&without(&["$JS.API.CONSUMER.MSG.NEXT.>"], &["none"])).await;
    // More than was asked for before.
    let mut meanwhile = Vec::new();
    for number in 0..300 {
        meanwhile.push(number.to_string());
        publish(&denied.root, &meanwhile[number]).await.unwrap();
    }
    let reason = denied.away().await;
    assert!(reason.contains("denies this user to publish to $JS.API.CONSUMER.MSG.NEXT.sse-hub"), "{reason}");
    let meanwhile: Vec<_> = meanwhile.iter().map(String::as_str).collect();
    denied.goes_on(&meanwhile).await;
}

/// Then no answer comes, also not to a record that was accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_be_answered() {
    let Some(mut denied) = start_with(Duration::from_secs(2)).await else { return };
    denied.node.until_head().await;
    denied.nats.reconfigure(&without(&["none"], &["_INBOX.>"])).await;
    // Whatever is said, it is not said that it is not there if it is.
    let error = publish(&denied.engine, "unanswered").await.unwrap_err();
    let is_unknown = error.may_be_published();
    let reason = denied.away().await;
    assert!(reason.contains("subscribe to _INBOX.>") || reason.contains("cut"), "{reason}");
    let root = Node::start(&denied.root).await;
    let is_there = root.records().iter().any(|(_, text)| text == "unanswered");
    assert!(is_unknown || !is_there, "{error:?}");
    let meanwhile: &[&str] = if is_there { &["unanswered"] } else { &[] };
    denied.goes_on(meanwhile).await;
}
