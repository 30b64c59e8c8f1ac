//! Three nodes, one on each framework and each a process of its own, on one engine: clients that are cut and come back at
//! any of them, events published through all of them, nodes that are killed and started again, and the engine too. The
//! clock of one node is an hour ahead.
//!
//! Truth is the engine's log, read by other means. What was acknowledged is in it; what is unknown at most once; what was
//! said to be unpublished, not. Each client has every event of its topics once and in order, or a gap that names it.
//!
//! `SSE_CLUSTER_SECONDS`, `SSE_CLUSTER_CLIENTS` and `SSE_CLUSTER_RATE` (events a second) say how much: 10, 60 and 100; an
//! hour's walk is 60, 300 and 200.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test: a failure is a failed test"
)]

mod node;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use node::{Node, Said};
use rand::seq::IteratorRandom as _;
use sse_core::{Hub, PublishError, test::EventReader};
use sse_tests::{
    engines::{Figures, Judge, Kind, Logged, Running, Sent},
    servers::Framework,
};
use tokio::{
    sync::Mutex as AsyncMutex,
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

const TOPICS: usize = 50;

/// Longer than anything takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Each has its turn: two would only make each other slow.
static TURN: AsyncMutex<()> = AsyncMutex::const_new(());

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect(name))
}

struct Cluster {
    nodes: Vec<Node>,
    /// Of this process: a fourth node.
    own: Hub,
    is_over: AtomicBool,
    said: Mutex<HashMap<String, Said>>,
    /// How often clients came back.
    returns: AtomicUsize,
}

impl Cluster {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    async fn publish(&self, topic: &str, data: &str) -> Said {
        match rand::random_range(0..=self.nodes.len()) {
            0 => match self.own.publish(topic, data).await {
                Ok(id) => Said::Published(id.to_string()),
                Err(PublishError::Unknown) => Said::Unknown,
                Err(_) => Said::NotPublished,
            },
            node => self.nodes[node - 1].publish(topic, data).await,
        }
    }
}

struct Seen {
    topics: Vec<String>,
    start: Option<String>,
    sent: Vec<Sent>,
}

/// A client that is cut again and again, and comes back at any node that runs.
async fn read(cluster: Arc<Cluster>, http: reqwest::Client) -> Seen {
    let topics = (0..TOPICS).sample(&mut rand::rng(), rand::random_range(1..7));
    let mut topics: Vec<_> = topics.into_iter().map(|topic| format!("t{topic}")).collect();
    topics.push("end".into());
    let query: Vec<_> = topics.iter().map(|topic| format!("topic={topic}")).collect();
    let query = query.join("&");
    let mut seen = Seen { topics, start: None, sent: Vec::new() };
    let mut id: Option<String> = None;
    let deadline = || Instant::now() + PATIENCE;
    let mut silent_until = deadline();
    loop {
        assert!(Instant::now() < silent_until, "nothing comes any more to {id:?}");
        let addr = cluster.nodes.iter().filter_map(Node::addr).choose(&mut rand::rng());
        let Some(addr) = addr else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let request = http.get(format!("http://{addr}/events?{query}"));
        let request = id.iter().fold(request, |request, id| request.header("last-event-id", id));
        let Ok(Ok(answer)) = timeout(Duration::from_secs(10), request.send()).await else {
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        cluster.returns.fetch_add(1, Ordering::SeqCst);
        let mut events = EventReader::from_body(answer.bytes_stream()).within(PATIENCE).with_positions();
        let until = Instant::now() + Duration::from_millis(rand::random_range(100..4000));
        loop {
            // In the end it stays where it is, but not for ever: that node may have been killed unseen.
            let cut = if cluster.is_over() { Instant::now() + Duration::from_secs(10) } else { until };
            let Ok(Ok(event)) = timeout_at(cut, events.next()).await else { break };
            silent_until = deadline();
            if !event.last_event_id.is_empty() {
                id = Some(event.last_event_id.clone());
                if seen.start.is_none() {
                    // From here on it is owed all.
                    seen.start = id.clone();
                    if event.name != "sse-position" {
                        continue;
                    }
                }
            }
            match event.name.as_str() {
                "sse-position" => {}
                "sse-gap" => seen.sent.push(Sent::Gap(event.data)),
                _ => {
                    let is_last = event.data.starts_with("end");
                    seen.sent.push(Sent::Event(event.last_event_id, event.data));
                    if is_last {
                        return seen;
                    }
                }
            }
        }
    }
}

/// Publishes so many events a second, each in a task of its own.
async fn publish(cluster: Arc<Cluster>, rate: u64) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate as u32);
    let mut tasks = JoinSet::new();
    let mut n = 0;
    while !cluster.is_over() {
        ticks.tick().await;
        let (cluster, data) = (Arc::clone(&cluster), format!("event-{n}"));
        tasks.spawn(async move {
            let said = cluster.publish(&format!("t{}", rand::random_range(0..TOPICS)), &data).await;
            cluster.said.lock().expect("not poisoned").insert(data, said);
        });
        while tasks.try_join_next().is_some() {}
        n += 1;
    }
    tasks.join_all().await;
}

async fn cluster(kind: Kind) {
    let _turn = TURN.lock().await;
    let (seconds, clients) = (number("SSE_CLUSTER_SECONDS", 10), number("SSE_CLUSTER_CLIENTS", 60));
    let rate = number("SSE_CLUSTER_RATE", 100);
    let Some(mut engine) = Running::start(kind).await else { return };
    let url = engine.url();
    let own = Hub::builder().engine(engine.connect().await).build().await.expect("the engine answers");
    let nodes = Framework::ALL.map(|framework| match framework {
        Framework::Warp => Node::ahead(framework, &url),
        _ => Node::new(framework, &url),
    });
    for node in &nodes {
        assert!(node.start().await, "the node starts");
    }
    let cluster = Arc::new(Cluster {
        nodes: nodes.into(),
        own,
        is_over: AtomicBool::new(false),
        said: Mutex::default(),
        returns: AtomicUsize::new(0),
    });
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("a client");
    let mut readers = JoinSet::new();
    for _ in 0..clients {
        readers.spawn(read(Arc::clone(&cluster), http.clone()));
    }
    let publisher = tokio::spawn(publish(Arc::clone(&cluster), rate));
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut kills, mut restarts) = (0, 0);
    while Instant::now() < until {
        sleep(Duration::from_millis(rand::random_range(500..2500))).await;
        let node = &cluster.nodes[kills % cluster.nodes.len()];
        node.kill().await;
        kills += 1;
        if kills % 4 == 2 {
            engine.stop().await;
            sleep(Duration::from_millis(rand::random_range(100..1500))).await;
            engine.start_again().await;
            restarts += 1;
        }
        let deadline = Instant::now() + PATIENCE;
        while !node.start().await {
            assert!(Instant::now() < deadline, "the node does not start");
        }
    }
    cluster.is_over.store(true, Ordering::SeqCst);
    timeout(PATIENCE, publisher).await.expect("the publishers are told").expect("no panic");
    let mut seen = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    for n in 0.. {
        let _ = cluster.own.publish("end", format!("end-{n}")).await;
        let second = Instant::now() + Duration::from_secs(1);
        while let Ok(Some(reader)) = timeout_at(second, readers.join_next()).await {
            seen.push(reader.expect("no panic"));
        }
        if readers.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{} clients never see the end", readers.len());
    }
    let records = engine.records().await;
    let log = records.iter().filter_map(|(id, record)| Logged::read(*id, record)).collect();
    let judge = Judge::new(log, []);
    let counts = judge.counts();
    let said = std::mem::take(&mut *cluster.said.lock().expect("not poisoned"));
    let (mut published, mut unknown, mut unknown_in_log, mut not_published) = (0, 0, 0, 0);
    for (data, said) in &said {
        let count = counts.get(data.as_str()).copied().unwrap_or(0);
        let most = match said {
            Said::Published(id) => {
                published += 1;
                assert!(
                    judge.knows(id) && count == 1,
                    "{data} is {count} times in the log, acknowledged as {id}"
                );
                1
            }
            Said::Unknown => {
                unknown += 1;
                unknown_in_log += count;
                1
            }
            Said::NotPublished => {
                not_published += 1;
                0
            }
        };
        assert!(count <= most, "{data} is {count} times in the log: {said:?}");
    }
    let mut figures = Figures::default();
    for seen in &seen {
        let start = seen.start.as_deref().unwrap_or_default();
        match judge.judge(&seen.topics, start, &seen.sent) {
            Ok(more) => figures += more,
            Err(what) => panic!("{what}\n{:?} from {start}: {:?}", seen.topics, seen.sent),
        }
    }
    println!(
        "{kind:?}: {clients} clients, {seconds} s, {rate} events a second over {TOPICS} topics; {kills} nodes killed, \
         {restarts} restarts of the engine, {} connections of clients; {} publications: {published} acknowledged, {unknown} \
         unknown ({unknown_in_log} in the log), {not_published} not published; {} events in the log; delivered {}, gaps {}, \
         named by them {}, lost in silence 0, twice 0",
        cluster.returns.load(Ordering::SeqCst),
        said.len(),
        judge.len(),
        figures.events,
        figures.gaps,
        figures.excused,
    );
    assert_eq!(seen.len() as u64, clients);
    assert!(figures.events > 0 && published > 0);
    for node in &cluster.nodes {
        node.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_redis() {
    cluster(Kind::Redis).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_nats() {
    cluster(Kind::Nats).await;
}
