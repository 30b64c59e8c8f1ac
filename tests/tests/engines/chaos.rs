//! Nodes that come and go, clients that are cut and come back anywhere, and every fault that the engine in memory has, at
//! random; each client is held against the log.
//!
//! `SSE_ENGINES_SECONDS` says for how long (default 5).

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rand::seq::IteratorRandom as _;
use sse_core::{EventId, Hub, PublishError, test::ReadErrorKind};
use sse_tests::engines::{Figures, Judge, Link, Logged, Memory, Sent, Stopped};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};

use super::{
    client::Client,
    node::{PATIENCE, builder, has, on, publish_at_last},
};

const TOPICS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const CLIENTS: usize = 40;
const NODES: usize = 3;

/// A node, and how its engine can be spoilt for it.
#[derive(Clone)]
struct Node {
    hub: Hub,
    link: Link,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hub, link } = self;
        write!(f, "{} {:?} {:?} {:?}", hub.position(), hub.away_for(), hub.stats(), link)
    }
}

async fn start(log: &Memory, max_events: usize) -> Node {
    let link = log.connect();
    let hub = builder()
        .max_events(max_events)
        .engine(link.clone())
        .publish_timeout(Duration::from_millis(300))
        .ready_timeout(PATIENCE);
    Node { hub: hub.build().await.expect("the engine answers"), link }
}

struct World {
    nodes: [Mutex<Node>; NODES],
    is_over: AtomicBool,
    /// What was published, and what was said of it.
    published: Mutex<HashMap<String, Result<EventId, PublishError>>>,
}

impl World {
    fn any(&self) -> Node {
        self.nodes[rand::random_range(0..NODES)].lock().expect("not poisoned").clone()
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }
}

async fn publish(world: Arc<World>, publisher: usize) {
    let mut n = 0;
    while !world.is_over() {
        let hub = world.any().hub;
        let data = format!("{publisher}/{n}");
        let topics = TOPICS.into_iter().sample(&mut rand::rng(), rand::random_range(1..3));
        let said = match rand::random_range(0..4) {
            0 => hub.publish_once(&data, topics, data.as_str()).await.map(|published| published.id),
            _ => hub.publish(topics, data.as_str()).await,
        };
        world.published.lock().expect("not poisoned").insert(data, said);
        n += 1;
        sleep(Duration::from_millis(rand::random_range(0..15))).await;
    }
}

struct Record {
    topics: Vec<&'static str>,
    start: String,
    sent: Vec<Sent>,
    /// For whoever looks for what is wrong.
    trace: Vec<String>,
}

/// A client that goes from node to node until it has seen the end.
async fn read(world: Arc<World>) -> Record {
    let mut topics = TOPICS.into_iter().sample(&mut rand::rng(), rand::random_range(1..6));
    topics.push("end");
    let (mut sent, mut trace) = (Vec::new(), Vec::new());
    // From when on it is owed what comes: with its first position.
    let mut client = Client::open(&world.any().hub, &topics, None);
    let first = client.try_next(PATIENCE).await.expect("an event").expect("an event");
    let start = first.last_event_id;
    loop {
        let until = Instant::now() + Duration::from_millis(rand::random_range(1..300));
        loop {
            let is_over = world.is_over();
            let moment = if is_over { PATIENCE } else { until.saturating_duration_since(Instant::now()) };
            let event = match client.try_next(moment).await {
                Some(Ok(event)) => event,
                None if !is_over => break,
                Some(Err(ReadErrorKind::Ended)) => break,
                error => panic!("{error:?}: {:?} at {:?}; {trace:#?}", client.id, world.nodes),
            };
            trace.push(format!("{} {} {}", event.last_event_id, event.name, event.data));
            match event.name.as_str() {
                "sse-position" => {}
                "sse-gap" => sent.push(Sent::Gap(event.data)),
                _ => {
                    let is_last = event.data.starts_with("end");
                    sent.push(Sent::Event(event.last_event_id, event.data));
                    if is_last {
                        return Record { topics, start, sent, trace };
                    }
                }
            }
        }
        client = loop {
            let hub = world.any().hub;
            trace.push(format!("again with {:?} at {} {:?}", client.id, hub.position(), hub.away_for()));
            // One that was replaced just now lets nobody in.
            if let Some(again) = Client::try_open(&hub, &topics, client.id.as_deref()) {
                break again;
            }
            sleep(Duration::from_millis(1)).await;
        };
    }
}

/// One fault, for a while. Those that lose something are rare.
async fn fault(log: &Memory, world: &World) {
    let node = world.any();
    let pause = Duration::from_millis(rand::random_range(5..400));
    let how = [Stopped::Refuses, Stopped::Silent, Stopped::SilentlyAccepts, Stopped::Accepts];
    let how = how[rand::random_range(0..4)];
    match rand::random_range(0..26) {
        0..5 => {
            node.link.hold();
            sleep(pause).await;
            node.link.release();
        }
        5..9 => {
            node.link.stop(how);
            sleep(pause).await;
            node.link.start();
        }
        9 => {
            log.stop(how);
            sleep(pause).await;
            log.start();
        }
        10..12 => node.link.lose_answers(3),
        12 => node.link.refuse(3),
        13..15 => node.link.repeat(20),
        15 => node.link.end_tail(),
        16 => node.link.delay(pause / 10),
        17..19 => log.restart(),
        19..21 => log.roll_back(rand::random_range(0..6)),
        21 => log.trim(rand::random_range(20..200)),
        22 => log.doubt(),
        23 => log.empty(),
        24 => {
            log.append(r#"{"v":9,"kind":"event"}"#);
        }
        _ => {
            // A node is started anew, with another memory.
            let place = rand::random_range(0..NODES);
            let new = start(log, [5, 50, 10_000][rand::random_range(0..3)]).await;
            let old = std::mem::replace(&mut *world.nodes[place].lock().expect("not poisoned"), new);
            old.link.start();
            old.link.release();
            old.hub.lifecycle().stop();
        }
    }
}

/// Of all that was in the log.
fn judge(log: &Memory) -> Judge {
    let (mut void, mut kept) = (Vec::new(), Vec::new());
    for (id, record, is_void) in &log.history() {
        match Logged::read(*id, record) {
            Some(_) if *is_void => void.push(*id),
            event => kept.extend(event),
        }
    }
    Judge::new(kept, void).in_epochs(log.epochs())
}

fn is_event(record: &[u8]) -> bool {
    Logged::read(EventId::new(0, 0), record).is_some()
}

/// A gap comes before what is kept in front of it, and names an end of which nobody else has heard any more.
#[tokio::test]
async fn a_gap_whose_end_is_in_an_epoch_without_events_is_told_and_understood() {
    let log = Memory::new();
    let slow = log.connect();
    let (a, b) = (start(&log, 100).await.hub, on(slow.clone()).await);
    let mut ids = Vec::new();
    for n in 0..3 {
        ids.push(a.publish("a", format!("old-{n}")).await.expect("it is there"));
    }
    has(&b, ids[2]).await;
    slow.hold();
    a.publish("a", "never seen").await.expect("it is there");
    log.empty();
    log.restart();
    let newest = a.publish("a", "new").await.expect("it is there");
    slow.release();
    has(&b, newest).await;
    let mut client = Client::after(&b, &["a"], ids[0]);
    let mut sent = Vec::new();
    while sent.len() < 4 {
        let event = client.next().await;
        sent.push(match event.name.as_str() {
            "sse-gap" => Sent::Gap(event.data),
            _ => Sent::Event(event.last_event_id, event.data),
        });
    }
    let figures = judge(&log).judge(&["a".to_owned()], &ids[0].to_string(), &sent);
    let figures = figures.unwrap_or_else(|what| panic!("{what}: {sent:#?}"));
    assert_eq!((figures.events, figures.gaps, figures.excused), (3, 1, 1), "{sent:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_in_silence_and_nothing_comes_twice() {
    let seconds = std::env::var("SSE_ENGINES_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let log = Memory::new();
    let nodes = [start(&log, 10_000).await, start(&log, 50).await, start(&log, 10_000).await];
    let world = Arc::new(World {
        nodes: nodes.map(Mutex::new),
        is_over: AtomicBool::new(false),
        published: Mutex::default(),
    });
    let mut publishers = JoinSet::new();
    for publisher in 0..6 {
        publishers.spawn(publish(Arc::clone(&world), publisher));
    }
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(read(Arc::clone(&world)));
    }
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut faults = 0;
    while Instant::now() < until {
        fault(&log, &world).await;
        faults += 1;
        sleep(Duration::from_millis(rand::random_range(0..40))).await;
    }
    world.is_over.store(true, Ordering::SeqCst);
    publishers.join_all().await;
    // Again and again: it may be what is lost.
    let mut records = Vec::new();
    for n in 0.. {
        publish_at_last(&world.any().hub, "end", &format!("end-{n}")).await;
        let second = Instant::now() + Duration::from_secs(1);
        while let Ok(Some(record)) = timeout_at(second, clients.join_next()).await {
            records.push(record.expect("no panic"));
        }
        if clients.is_empty() {
            break;
        }
    }
    let judge = judge(&log);
    let void_count = log.history().iter().filter(|(_, record, is_void)| *is_void && is_event(record)).count();
    let published = world.published.lock().expect("not poisoned");
    let counts = judge.counts();
    for (data, said) in &*published {
        let is_true = match said {
            Ok(id) => judge.knows(&id.to_string()),
            Err(PublishError::Unknown) => true,
            Err(_) => !counts.contains_key(data.as_str()),
        };
        assert!(is_true, "{data}: {said:?}, and {:?} times in the log", counts.get(data.as_str()));
    }
    let mut figures = Figures::default();
    for record in &records {
        let topics: Vec<_> = record.topics.iter().map(|topic| (*topic).to_owned()).collect();
        match judge.judge(&topics, &record.start, &record.sent) {
            Ok(more) => figures += more,
            Err(what) => panic!("{what}\n{topics:?} from {}: {:#?}", record.start, record.trace),
        }
    }
    println!(
        "{faults} faults, {} publications, {} events in the log and {void_count} taken back, {figures:?}",
        published.len(),
        judge.len()
    );
    assert!(figures.events > 100, "{figures:?}");
}
