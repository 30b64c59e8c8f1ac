//! Three nats-servers that are one cluster.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use futures_util::{StreamExt as _, future::join_all};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{Nats, PATIENCE};
use crate::addrs::free_addrs;

/// How long one question may take; a server without a leader leaves some unanswered.
const ONE_TRY: Duration = Duration::from_secs(3);
/// How many are started until one is whole.
const STARTS: usize = 5;

/// Three nats-servers with routes to each other, each with a store of its own; killed when dropped.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Nats>,
}

impl Cluster {
    /// Three of them, with one who leads.
    ///
    /// Where no stream can be on all of them, however they came up, there are others.
    ///
    /// # Panics
    /// When none of some clusters has room for a stream on all of its servers.
    pub async fn start() -> Self {
        for _ in 0..STARTS {
            let cluster = Self::begin().await;
            if cluster.has_room().await {
                return cluster;
            }
        }
        panic!("none of {STARTS} clusters has room for a stream on all of its servers");
    }

    async fn begin() -> Self {
        let addrs: [_; 6] = free_addrs();
        let (clients, routes) = addrs.split_at(3);
        let all: Vec<_> = routes.iter().map(|addr| format!("\"nats://{addr}\"")).collect();
        let server = |number: usize| {
            let configuration = format!(
                "server_name: n{number}\njetstream {{ store_dir: \"STORE\" }}\n\
                 cluster {{ name: tests, listen: \"{}\", routes: [{}] }}\n",
                routes[number],
                all.join(", "),
            );
            Nats::stopped(&configuration, clients[number])
        };
        let mut cluster = Self { servers: (0..3).map(server).collect() };
        cluster.start_all().await;
        cluster
    }

    /// Starts those that do not run, and waits until somebody leads.
    pub async fn start_all(&mut self) {
        let stopped = self.servers.iter_mut().filter(|server| !server.runs());
        join_all(stopped.map(Nats::restart)).await;
        self.has_leader().await;
    }

    /// Waits until JetStream answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn has_leader(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let context = self.context().await;
            // Not by the client's own types, which want what only newer servers say.
            let answer = timeout(ONE_TRY, context.request::<_, _, Value>("INFO", &())).await;
            if matches!(&answer, Ok(Ok(info)) if info["error"].is_null()) {
                return;
            }
            let logs: Vec<_> = self.servers.iter().map(Nats::log).collect();
            assert!(Instant::now() < deadline, "nobody leads: {answer:?} {logs:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether it makes a stream on all of its servers.
    async fn has_room(&self) -> bool {
        let context = self.context().await;
        let config = json!({ "name": "room", "subjects": ["room"], "num_replicas": 3, "storage": "memory" });
        let deadline = Instant::now() + PATIENCE / 4;
        while Instant::now() < deadline {
            let answer =
                timeout(ONE_TRY, context.request::<_, _, Value>("STREAM.CREATE.room", &config)).await;
            if matches!(&answer, Ok(Ok(made)) if made["error"].is_null()) {
                return timeout(ONE_TRY, context.delete_stream("room")).await.is_ok_and(|gone| gone.is_ok());
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// All of it: `nats://…,nats://…,nats://…`
    pub fn url(&self) -> String {
        (0..3).map(|number| self.url_of(number)).collect::<Vec<_>>().join(",")
    }

    /// One of it.
    pub fn url_of(&self, number: usize) -> String {
        self.servers[number].url()
    }

    /// One of it.
    pub fn server(&mut self, number: usize) -> &mut Nats {
        &mut self.servers[number]
    }

    /// A plain client of any that runs.
    pub async fn context(&self) -> jetstream::Context {
        let addrs: Vec<_> = (0..3).filter(|number| self.servers[*number].runs()).collect();
        let addrs: Vec<_> = addrs.into_iter().map(|number| self.url_of(number)).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match async_nats::connect(addrs.as_slice()).await {
                Ok(client) => return jetstream::new(client),
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Who leads a stream, and how many of the others have all of it; waits until somebody does.
    ///
    /// # Panics
    /// When nobody does.
    pub async fn leader(&self, stream: &str) -> (usize, usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let context = self.context().await;
            if let Ok(Ok(stream)) = timeout(ONE_TRY, context.get_stream(stream)).await
                && let Some(cluster) = &stream.cached_info().cluster
                && let Some(leader) = cluster.leader.as_deref().and_then(|name| name.strip_prefix('n'))
            {
                let current = cluster.replicas.iter().filter(|replica| replica.current).count();
                return (leader.parse().expect("a number"), current);
            }
            assert!(Instant::now() < deadline, "nobody leads {stream}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// One on which nothing waits: it leads neither a stream nor the cluster's own affairs.
    ///
    /// # Panics
    /// When each of them leads something, however often those that do step down.
    pub async fn bystander(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut led = [Vec::new(), Vec::new(), Vec::new()];
            let names: Vec<_> = self.context().await.stream_names().collect().await;
            for name in names {
                let name = name.expect("a name");
                let (leader, _) = self.leader(&name).await;
                led[leader].push(name);
            }
            let leads_all = |number: &usize| {
                let log = self.servers[*number].log();
                let last = log.lines().rfind(|line| line.contains("metadata leader")).map(str::to_owned);
                last.is_some_and(|line| line.contains("Self is new"))
            };
            let others = (0..3).filter(|number| !leads_all(number));
            let least = others.min_by_key(|number| led[*number].len()).expect("one leads");
            if led[least].is_empty() {
                return least;
            }
            assert!(Instant::now() < deadline, "each of them leads something: {led:?}");
            for name in &led[least] {
                self.step_down(name).await;
            }
        }
    }

    /// Waits until a stream is the same on all three.
    ///
    /// # Panics
    /// When it is not.
    pub async fn is_settled(&self, stream: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.leader(stream).await.1 < 2 {
            assert!(Instant::now() < deadline, "{stream} is not on all three");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Who leads a stream does so no longer. Returns who that was.
    ///
    /// # Panics
    /// When nobody leads it.
    pub async fn step_down(&self, stream: &str) -> usize {
        let (leader, _) = self.leader(stream).await;
        let context = self.context().await;
        let subject = format!("STREAM.LEADER.STEPDOWN.{stream}");
        let answer: Value = context.request(subject, &serde_json::json!({})).await.expect("an answer");
        assert_eq!(answer["success"], true, "{answer}");
        leader
    }
}
