//! A cluster of three, with the streams on all of them: servers are killed and changed under traffic, and what was
//! published, what each client was given and what the log holds are held against each other.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{StreamExt, stream};
use sse_core::{Engine, EventId, Hub, Publication, PublishError, Start, Subscription};
use sse_nats::{JetStream, JetStreamBuilder};
use sse_tests::{
    engines::Logged,
    left_out_here,
    nats::{Cluster, Nats},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::{
    Node, PATIENCE, brief,
    kept::{keep, kept},
    key, publish,
};

const STREAM: &str = "sse-hub";
/// The first servers whose replicas are alike when all of them have ended amid traffic: README.md of sse-nats tells.
const KEEP_ALIKE: (u32, u32) = (2, 10);

async fn cluster() -> Option<Cluster> {
    if !Nats::is_available() {
        return None;
    }
    Some(Cluster::start().await)
}

fn builder(url: &str) -> JetStreamBuilder {
    JetStream::builder(url).replicas(3).max_bytes(64 << 20).max_kept_bytes(1 << 20)
}

async fn engine(url: &str) -> JetStream {
    // Each try is several questions, of which a cluster on a busy machine may leave one unanswered.
    let deadline = Instant::now() + PATIENCE * 2;
    loop {
        match builder(url).connect().await {
            Ok(engine) => return engine,
            // The cluster may not be complete yet.
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn hub(url: &str) -> Hub {
    let engine = engine(url).await;
    Hub::builder().engine(engine).ready_timeout(PATIENCE).build().await.unwrap()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Publishes, again and again under one key, until it is there.
async fn publish_at_last(hub: &Hub, data: &str) -> EventId {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match hub.publish_once(data, "news", data).await {
            Ok(published) => return published.id,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// What a client was given, up to an event with this text.
async fn read_up_to(events: &mut Subscription, last: &str) -> Vec<(EventId, String)> {
    let mut given = Vec::new();
    loop {
        let event = timeout(PATIENCE, events.next()).await.unwrap_or_else(|_| panic!("no {last}: {given:?}"));
        let event = event.unwrap();
        assert!(!event.is_gap(), "nothing was lost: {} behind {:?}", event.data(), given.last());
        given.push((event.id(), event.data().into_owned()));
        if event.data() == last {
            return given;
        }
    }
}

/// Nodes that publish all the time, and a client on each.
struct Traffic {
    hubs: Vec<Hub>,
    is_over: Arc<AtomicBool>,
    said: Arc<Mutex<HashMap<String, Result<EventId, PublishError>>>>,
    publishers: Vec<JoinHandle<()>>,
    clients: Vec<JoinHandle<Vec<(EventId, String)>>>,
}

impl Traffic {
    /// A node on each of these addresses.
    async fn start(urls: &[String]) -> Self {
        let mut hubs = Vec::new();
        for url in urls {
            hubs.push(hub(url).await);
        }
        let clients = hubs.iter().map(|hub| {
            let mut events = hub.subscribe("news", Start::Now).unwrap();
            tokio::spawn(async move { read_up_to(&mut events, "end").await })
        });
        let clients: Vec<_> = clients.collect();
        let is_over = Arc::new(AtomicBool::new(false));
        let said = Arc::default();
        let publishers = (0..urls.len() * 4).map(|number| {
            let hub = hubs[number % hubs.len()].clone();
            tokio::spawn(publish_until(number, hub, Arc::clone(&is_over), Arc::clone(&said)))
        });
        let publishers = publishers.collect();
        Self { hubs, is_over, said, publishers, clients }
    }

    fn accepted(&self) -> usize {
        self.said.lock().unwrap().values().filter(|said| said.is_ok()).count()
    }

    /// Waits until some more was published.
    async fn flows(&self) {
        let before = self.accepted();
        until("events are published", || self.accepted() > before + 100).await;
    }

    fn are_away(&self) -> usize {
        self.hubs.iter().filter(|hub| hub.away_for().is_some()).count()
    }

    /// Nothing was lost, repeated or told to be lost.
    async fn judge(self, cluster: &Cluster) {
        until("all are back", || self.are_away() == 0).await;
        self.flows().await;
        self.is_over.store(true, Ordering::SeqCst);
        for publisher in self.publishers {
            publisher.await.unwrap();
        }
        publish_at_last(&self.hubs[0], "end").await;
        let log = log_of(cluster).await;
        let ids: HashMap<_, _> = log.iter().map(|(id, data)| (data.clone(), *id)).collect();
        let mut counts = BTreeMap::new();
        for (_, data) in &log {
            *counts.entry(data).or_insert(0) += 1;
        }
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        let (mut refused, mut unknown, mut of_those) = (0, 0, 0);
        for (data, said) in self.said.lock().unwrap().iter() {
            match said {
                Ok(id) => assert_eq!(ids.get(data), Some(id), "{data} was accepted as {id}"),
                Err(PublishError::Unknown) => {
                    unknown += 1;
                    of_those += usize::from(ids.contains_key(data));
                }
                Err(error) => {
                    refused += 1;
                    assert!(!ids.contains_key(data), "{data}: {error}, but it is there");
                }
            }
        }
        for client in self.clients {
            is_same(&client.await.unwrap(), &log);
        }
        // Who comes back anywhere, also to a node that starts now, has what it missed.
        let late = hub(&cluster.url()).await;
        for hub in self.hubs.iter().chain([&late]) {
            // A node keeps the last 10,000.
            let from = rand::random_range(log.len().saturating_sub(9_000)..log.len() - 1);
            let mut events = hub.subscribe("news", Start::After(log[from].0)).unwrap();
            is_same(&read_up_to(&mut events, "end").await, &log[from + 1..]);
        }
        println!(
            "{} events; {refused} not published, {unknown} unknown, of which {of_those} are there",
            log.len()
        );
    }
}

/// Each once, in the order of the log.
fn is_same(given: &[(EventId, String)], log: &[(EventId, String)]) {
    let place = given.iter().zip(log).position(|(given, logged)| given != logged);
    let place = place.unwrap_or_else(|| given.len().min(log.len()));
    let around =
        |all: &[(EventId, String)]| format!("{:?}", &all[place.saturating_sub(2)..all.len().min(place + 6)]);
    assert!(given == log, "at {place} of {}: {}, and in the log {}", log.len(), around(given), around(log));
}

async fn publish_until(
    number: usize,
    hub: Hub,
    is_over: Arc<AtomicBool>,
    said: Arc<Mutex<HashMap<String, Result<EventId, PublishError>>>>,
) {
    for count in 0.. {
        if is_over.load(Ordering::SeqCst) {
            break;
        }
        let data = format!("{number}/{count}");
        let published = hub.publish("news", data.clone()).await;
        said.lock().unwrap().insert(data, published);
        sleep(Duration::from_millis(10)).await;
    }
}

/// The events in the log, each asked for by itself of whoever leads the stream.
async fn log_of(cluster: &Cluster) -> Vec<(EventId, String)> {
    let context = cluster.context().await;
    let stream = context.get_stream(STREAM).await.unwrap();
    let info = stream.cached_info();
    let description = info.config.description.clone().unwrap();
    let epoch = u64::from_str_radix(&description["sse-nats epoch=".len()..][..16], 16).unwrap();
    assert_eq!(info.state.first_sequence, 1);
    let messages = stream::iter(1..=info.state.last_sequence).map(|seq| {
        let stream = &stream;
        async move { stream.get_raw_message(seq).await.unwrap_or_else(|error| panic!("{seq}: {error}")) }
    });
    let messages: Vec<_> = messages.buffered(16).collect().await;
    let events = messages.into_iter().filter_map(|message| {
        // In a cluster there is one epoch, or something was lost.
        assert!(!message.subject.ends_with(".epoch"), "a new epoch at {}", message.sequence);
        let event = Logged::read(EventId::new(epoch, message.sequence), &message.payload)?;
        Some((event.id, event.data))
    });
    events.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_is_no_loss() {
    let Some(cluster) = cluster().await else { return };
    let traffic = Traffic::start(&[cluster.url(), cluster.url_of(0), cluster.url_of(1)]).await;
    for _ in 0..5 {
        traffic.flows().await;
        cluster.is_settled(STREAM).await;
        cluster.step_down(STREAM).await;
    }
    traffic.judge(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_killed() {
    let Some(mut cluster) = cluster().await else { return };
    let traffic = Traffic::start(&[cluster.url(), cluster.url(), cluster.url()]).await;
    for _ in 0..3 {
        traffic.flows().await;
        cluster.is_settled(STREAM).await;
        let (leader, _) = cluster.leader(STREAM).await;
        cluster.server(leader).kill();
        traffic.flows().await;
        cluster.start_all().await;
    }
    traffic.judge(&cluster).await;
}

/// Which server an engine is connected to.
fn server_of(engine: &JetStream, cluster: &mut Cluster) -> Option<usize> {
    let text = format!("{engine:?}");
    (0..3).find(|number| text.contains(&format!("\"{}\"", cluster.server(*number).addr())))
}

/// They know of the others by what their only one has told them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_that_nodes_are_connected_to_is_killed() {
    let Some(mut cluster) = cluster().await else { return };
    let urls: Vec<_> = (0..3).map(|number| cluster.url_of(number)).collect();
    let traffic = Traffic::start(&urls).await;
    let engine = engine(&cluster.url_of(0)).await;
    let mut node = Node::start(&engine).await;
    for _ in 0..3 {
        traffic.flows().await;
        cluster.is_settled(STREAM).await;
        let mut server = None;
        until("it is connected", || {
            server = server_of(&engine, &mut cluster);
            server.is_some()
        })
        .await;
        let killed = server.unwrap();
        cluster.server(killed).kill();
        until("it is connected to another", || {
            server_of(&engine, &mut cluster).is_some_and(|server| server != killed)
        })
        .await;
        traffic.flows().await;
        cluster.start_all().await;
    }
    node.until_head().await;
    assert!(node.is_whole(), "{}", brief(&node.fed));
    traffic.judge(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_are_killed() {
    let Some(mut cluster) = cluster().await else { return };
    let traffic = Traffic::start(&[cluster.url(), cluster.url(), cluster.url()]).await;
    for number in 0..2 {
        traffic.flows().await;
        cluster.is_settled(STREAM).await;
        let left = (number + 2) % 3;
        for killed in (0..3).filter(|server| *server != left) {
            cluster.server(killed).kill();
        }
        until("all notice", || traffic.are_away() == 3).await;
        let failed = traffic.hubs[0].publish("news", format!("without a quorum {number}")).await;
        assert!(matches!(failed, Err(PublishError::NotPublished | PublishError::Unknown)), "{failed:?}");
        assert!(traffic.clients.iter().all(|client| !client.is_finished()), "clients stay");
        cluster.start_all().await;
        until("all are back", || traffic.are_away() == 0).await;
    }
    traffic.judge(&cluster).await;
}

/// Where a node reads is the cluster's choice: neither a server that does not answer nor one that has not come so far may
/// cost it anything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_starts_while_a_replica_stands_still_or_lags() {
    let Some(mut cluster) = cluster().await else { return };
    let first = engine(&cluster.url()).await;
    publish(&first, "before").await.unwrap();
    let frozen = cluster.bystander().await;
    let url = cluster.url_of((frozen + 1) % 3);
    let first = engine(&url).await;
    cluster.server(frozen).freeze();
    for number in 0..199 {
        publish(&first, &number.to_string()).await.unwrap();
    }
    keep(&first, "person", Duration::from_secs(3600), "signed out").await;
    for number in 0..2 {
        let late = builder(&url).connect().await.unwrap_or_else(|error| panic!("{number}: {error}"));
        is_full(number, &Node::start(&late).await);
    }
    cluster.server(frozen).thaw();
    for number in 2..6 {
        // It may ask for other leaders.
        let late = engine(&url).await;
        is_full(number, &Node::start(&late).await);
    }
}

fn is_full(number: usize, node: &Node) {
    assert!(node.is_whole(), "{number}: {}", brief(&node.fed));
    assert_eq!(kept(node).last().map(String::as_str), Some("signed out"), "{number}: {}", brief(&node.fed));
    assert_eq!(node.records().len(), 201, "{number}: {}", brief(&node.fed));
}

/// Who leads may know a key before the others have its record: to try it again is no proof that it is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_is_not_published() {
    let Some(mut cluster) = cluster().await else { return };
    drop(engine(&cluster.url()).await);
    cluster.is_settled(STREAM).await;
    let (leader, _) = cluster.leader(STREAM).await;
    let engine = engine(&cluster.url_of(leader)).await;
    publish(&engine, "before").await.unwrap();
    let others: Vec<_> = (0..3).filter(|number| *number != leader).collect();
    for number in &others {
        cluster.server(*number).freeze();
    }
    let publication = Publication::new(key(), "under way");
    for _ in 0..3 {
        let said = engine.publish(publication.clone()).await;
        let error = said.expect_err("one of three is not enough");
        println!("{:?}", error.source().map(ToString::to_string));
        assert!(error.may_be_published(), "it may come yet: {error:?}");
    }
    for number in &others {
        cluster.server(*number).thaw();
    }
    let deadline = Instant::now() + PATIENCE * 2;
    let published = loop {
        match engine.publish(publication.clone()).await {
            Ok(published) => break published,
            // It may be that its key was kept and its record was not: then it is free again after a while.
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    assert!(published.id.sequence() > 1, "{published:?}");
    let node = Node::start(&engine).await;
    let given: Vec<_> = node.records().into_iter().filter(|(_, text)| text == "under way").collect();
    assert_eq!(given, [(published.id, "under way".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_stopped_and_come_back_with_their_data() {
    all_end_and_come_back(Nats::terminate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_are_killed_and_come_back_with_their_data() {
    all_end_and_come_back(Nats::kill).await;
}

async fn all_end_and_come_back(end: fn(&mut Nats)) {
    if Nats::is_available() && Nats::version() < KEEP_ALIKE {
        let reason =
            "all of a cluster end amid traffic, since nats-server 2.9 does not always keep replicas alike";
        return left_out_here("replicas that are kept alike", reason);
    }
    let Some(mut cluster) = cluster().await else { return };
    let traffic = Traffic::start(&[cluster.url(), cluster.url(), cluster.url()]).await;
    for _ in 0..3 {
        traffic.flows().await;
        for number in 0..3 {
            end(cluster.server(number));
        }
        until("all notice", || traffic.are_away() == 3).await;
        cluster.start_all().await;
        until("all are back", || traffic.are_away() == 0).await;
    }
    traffic.judge(&cluster).await;
}
