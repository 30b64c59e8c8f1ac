//! What an engine loses is told, and what it does not lose is not.

use std::{
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use sse_core::{Auth, EngineHubBuilder, Hub, Identity};
use sse_tests::engines::{Kind, Running};
use tokio::runtime;

use super::{
    client::{Client, numbered},
    node::{PATIENCE, builder, has, node, publish_at_last, until},
};

pub(crate) async fn a_restart_with_its_data_is_no_gap(kind: Kind) {
    let Some(mut log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await];
    let mut clients = [Client::new(&nodes[0], &["news"]).await, Client::new(&nodes[1], &["news", "b"]).await];
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(nodes[n % 2].publish("news", format!("news-{n}")).await.expect("it is there"));
    }
    log.stop().await;
    until("the nodes notice", || nodes.iter().all(|hub| hub.away_for().is_some())).await;
    log.start_again().await;
    for n in 10..20 {
        publish_at_last(&nodes[n % 2], "news", &format!("news-{n}")).await;
    }
    for client in &mut clients {
        assert_eq!(client.upto("news-19").await, numbered("news", 0..20));
    }
    // Neither for those who come back, at whatever node.
    for hub in &nodes {
        let mut client = Client::after(hub, &["news"], ids[4]);
        assert_eq!(client.upto("news-19").await, numbered("news", 5..20));
    }
    let later = node(&log).await;
    for last in [0, 4, 9] {
        let mut client = Client::after(&later, &["news"], ids[last]);
        assert_eq!(client.upto("news-19").await, numbered("news", last + 1..20));
    }
}

pub(crate) async fn a_restart_without_data_is_told(kind: Kind) {
    let Some(mut log) = Running::start(kind).await else { return };
    let nodes = [node(&log).await, node(&log).await];
    let mut clients = [Client::new(&nodes[0], &["news"]).await, Client::new(&nodes[1], &["news"]).await];
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(nodes[n % 2].publish("news", format!("news-{n}")).await.expect("it is there"));
    }
    for client in &mut clients {
        client.upto("news-9").await;
    }
    log.stop().await;
    until("the nodes notice", || nodes.iter().all(|hub| hub.away_for().is_some())).await;
    log.start_empty().await;
    for n in 0..5 {
        publish_at_last(&nodes[n % 2], "news", &format!("new-{n}")).await;
    }
    let mut expected = numbered("new", 0..5);
    expected.insert(0, "gap:restarted".into());
    for client in &mut clients {
        assert_eq!(client.upto("new-4").await, expected);
    }
    // An old id is not taken for a new one, though its place was given again.
    for id in [ids[0], ids[2], ids[9]] {
        for hub in &nodes {
            let mut client = Client::after(hub, &["news"], id);
            let came = client.upto("new-4").await;
            assert!(came.contains(&"gap:restarted".into()), "{came:?}");
            assert!(came.ends_with(&expected[1..]), "{came:?}");
        }
    }
    let later = node(&log).await;
    let mut client = Client::after(&later, &["news"], ids[2]);
    assert_eq!(client.upto("new-4").await, expected);
}

/// A node whose runtime stands still, so that it reads nothing, until it is let go.
struct Stalled {
    hub: Hub,
    go: Option<std::sync::mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Stalled {
    async fn new(log: Arc<Running>, auth: Option<Auth>) -> Self {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let hub = runtime.block_on(async {
                let builder = builder().engine(log.connect().await).ready_timeout(PATIENCE);
                let builder = auth.iter().fold(builder, EngineHubBuilder::share);
                builder.build().await.expect("the engine answers")
            });
            drop(log);
            sender.send(hub).expect("the test waits");
            // Nobody drives the runtime.
            gone.recv().expect("the test lets it go");
            runtime.block_on(async {
                while gone.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            });
        });
        let hub = receiver.await.expect("a hub");
        Self { hub, go: Some(go), thread: Some(thread) }
    }

    fn go(&self) {
        self.go.as_ref().expect("it is not ended").send(()).expect("it waits");
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.go = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// More than anyone reads ahead.
async fn publish_many(publisher: &Hub) {
    for tens in 0..300 {
        let some = (0..10).map(|n| publisher.publish("news", format!("news-{}", tens * 10 + n)));
        for published in futures_util::future::join_all(some).await {
            published.expect("it is there");
        }
    }
}

pub(crate) async fn trimmed_under_a_reader(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let log = Arc::new(log);
    let stalled = Stalled::new(Arc::clone(&log), None).await;
    let mut client = Client::new(&stalled.hub, &["news", "other"]).await;
    let publisher = node(&log).await;
    publish_many(&publisher).await;
    log.trim(20).await;
    stalled.go();
    publisher.publish("news", "end").await.expect("it is there");
    let came = client.upto("end").await;
    let gaps = came.iter().filter(|came| came.starts_with("gap")).count();
    assert!(came.contains(&"gap:trimmed".into()) && gaps == 1, "{gaps} gaps, {} came", came.len());
    // Nothing twice, and nothing missing but at the gap: before it all, behind it all that was kept.
    let gap = came.iter().position(|came| came.starts_with("gap")).expect("a gap");
    let distinct: std::collections::BTreeSet<_> = came.iter().collect();
    assert_eq!(distinct.len(), came.len());
    assert!(came.len() - gap >= 20, "{} came, the gap at {gap}", came.len());
    let end = has(&stalled.hub, publisher.publish("other", "last").await.expect("it is there"));
    end.await;
    assert_eq!(client.short().await, "last");
}

/// Also where the records that said so were trimmed before they came.
pub(crate) async fn what_was_revoked_meanwhile_is_known(kind: Kind) {
    let Some(log) = Running::start(kind).await else { return };
    let log = Arc::new(log);
    let auths = [0, 1].map(|_| Auth::sessions().build().expect("it is whole"));
    let stalled = Stalled::new(Arc::clone(&log), Some(auths[0].clone())).await;
    let publisher = builder().engine(log.connect().await).share(&auths[1]);
    let publisher = publisher.ready_timeout(PATIENCE).build().await.expect("the engine answers");
    let long_ago = SystemTime::now() - Duration::from_secs(60);
    let who = |name: &str| {
        let who = Identity::new(name).topics(["news"]).expect("a topic");
        who.session(format!("session of {name}")).signed_in_at(long_ago)
    };
    let request = http::Request::get("/events").body(()).expect("a request");
    let admit = |name| auths[0].admit(&request, stalled.hub.lifecycle(), who(name));
    let open = |name| {
        let stream = stalled.hub.open(&admit(name).expect("it is good"), "news").expect("it is granted");
        Client::reading(stream, &["news"], None)
    };
    let mut revoked = [open("ada"), open("bob")];
    let mut stays = open("eve");

    publish_many(&publisher).await;
    let revocations = auths[1].revocations();
    revocations.revoke_subject("ada").await.expect("it is there");
    revocations.revoke_session("session of bob").await.expect("it is there");
    publish_many(&publisher).await;
    log.trim(20).await;
    assert!(admit("ada").is_ok(), "it has heard of nothing yet");
    stalled.go();
    let last = publisher.publish("news", "last").await.expect("it is there");
    for client in &mut revoked {
        while client.try_next(PATIENCE).await.expect("it ends").is_ok() {}
    }
    has(&stalled.hub, last).await;
    assert!(admit("ada").is_err() && admit("bob").is_err() && admit("eve").is_ok());
    assert!(stays.upto("last").await.contains(&"gap:trimmed".to_owned()));

    // And to a node that starts when the log has nothing of it any more.
    let late = Auth::sessions().build().expect("it is whole");
    let hub = builder().engine(log.connect().await).share(&late);
    let hub = hub.ready_timeout(PATIENCE).build().await.expect("the engine answers");
    let admit = |name| late.admit(&request, hub.lifecycle(), who(name));
    assert!(admit("ada").is_err() && admit("bob").is_err() && admit("eve").is_ok());
}
