//! A Redis Cluster of the tests' own.

use std::{
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::redis::Redis;

/// Where the log of the default name is.
pub const SLOT: u16 = 8273;

/// The last slot of all.
const LAST: u16 = 16383;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Servers that share the slots, and copies of them.
#[derive(Debug)]
pub struct RedisCluster {
    /// The primaries, as it was started, and behind them their replicas in the same order. The second one has the log, which
    /// is in the first of its slots; the first has not.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one of so many primaries, at least two, each with so many replicas.
    pub async fn start(primaries: usize, replicas: usize) -> Self {
        Self::start_with(primaries, replicas, &[]).await
    }

    /// The same, with options for all of them.
    pub async fn start_with(primaries: usize, replicas: usize, options: &[&str]) -> Self {
        let common = ["--cluster-enabled", "yes", "--cluster-replica-validity-factor", "0"];
        // Within half of this time each hears from each.
        let at_first = ["--cluster-node-timeout", "3000"];
        let is_chosen = options.contains(&at_first[0]);
        let options = [&common, &at_first[..], options].concat();
        let nodes = join_all((0..primaries * (1 + replicas)).map(|_| Redis::start_with(&options))).await;
        let ports: Vec<_> = nodes.iter().map(|node| node.addr().port()).collect();
        let cluster = Self { nodes };
        cluster.share_slots(primaries).await;
        cluster.introduce(&ports).await;
        for (place, replica) in cluster.nodes.iter().enumerate().skip(primaries) {
            let id = cluster.nodes[place % primaries].ask("CLUSTER MYID").await;
            replica.until(&format!("CLUSTER REPLICATE {id}"), |answer| answer == "OK").await;
        }
        for replica in &cluster.nodes[primaries..] {
            replica.until("INFO replication", |info| info.contains("master_link_status:up")).await;
        }
        cluster.until_whole().await;
        if !is_chosen {
            // A busy machine makes nobody take over by itself.
            for node in &cluster.nodes {
                node.ask("CONFIG SET cluster-node-timeout 30000").await;
            }
        }
        cluster
    }

    /// Starts one of two primaries that speak TLS, also to each other, and tell a name in place of their addresses. With the
    /// ports for that.
    pub async fn start_tls(name: &str, certificate: &Path, key: &Path) -> (Self, Vec<u16>) {
        let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
        let (mut nodes, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let free = || {
                let port = || rand::random_range(20_000..32_000_u16);
                std::iter::repeat_with(port).find(|port| {
                    // That for the others of the cluster is so much above.
                    [*port, *port + 10_000].iter().all(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
                })
            };
            let (plain, tls) = (free().expect("a port"), free().expect("a port"));
            let tls_port = tls.to_string();
            let options = [
                &["--cluster-enabled", "yes", "--tls-cluster", "yes", "--tls-port", &tls_port][..],
                &[
                    "--tls-cert-file",
                    &certificate,
                    "--tls-key-file",
                    &key,
                    "--tls-ca-cert-file",
                    &certificate,
                ],
                &["--tls-auth-clients", "no", "--cluster-announce-hostname", name],
                &["--cluster-preferred-endpoint-type", "hostname"],
            ];
            nodes.push(Redis::start_at(([127, 0, 0, 1], plain).into(), &options.concat()).await);
            ports.push(tls);
        }
        let cluster = Self { nodes };
        cluster.share_slots(2).await;
        cluster.introduce(&ports).await;
        for node in &cluster.nodes {
            node.until("CLUSTER INFO", |info| info.contains("cluster_state:ok")).await;
            node.until("CLUSTER SLOTS", |slots| slots.lines().filter(|line| *line == name).count() == 2)
                .await;
        }
        (cluster, ports)
    }

    async fn share_slots(&self, primaries: usize) {
        // Bounds of equal parts behind the first, which ends in front of the log.
        let part = usize::from(LAST - SLOT) / (primaries - 1);
        for (place, node) in self.nodes[..primaries].iter().enumerate() {
            let from = if place == 0 { 0 } else { usize::from(SLOT) + (place - 1) * part };
            let until = usize::from(SLOT) + place * part - 1;
            let until = if place == primaries - 1 { usize::from(LAST) } else { until };
            let answers = [
                node.ask(&format!("CLUSTER ADDSLOTSRANGE {from} {until}")).await,
                node.ask(&format!("CLUSTER SET-CONFIG-EPOCH {}", place + 1)).await,
            ];
            assert_eq!(answers, ["OK", "OK"]);
        }
    }

    /// At the ports that they are told to others with.
    async fn introduce(&self, ports: &[u16]) {
        for (node, port) in self.nodes.iter().zip(ports).skip(1) {
            let meet = format!("CLUSTER MEET {} {port}", node.addr().ip());
            assert_eq!(self.nodes[0].ask(&meet).await, "OK");
        }
        for node in &self.nodes {
            let are_known =
                |text: &str| text.lines().count() == self.nodes.len() && !text.contains("handshake");
            node.until("CLUSTER NODES", are_known).await;
        }
    }

    /// Waits until all of them know where everything is.
    pub async fn until_whole(&self) {
        let ports = |text: &str| {
            let mut ports: Vec<_> = self.nodes.iter().map(|node| node.addr().port().to_string()).collect();
            ports.retain(|port| text.lines().any(|line| line == port));
            ports.len()
        };
        for node in &self.nodes {
            node.until("CLUSTER INFO", |info| info.contains("cluster_state:ok")).await;
            node.until("CLUSTER SLOTS", |slots| ports(slots) == self.nodes.len()).await;
        }
    }

    /// The address of one of them, which has not the log.
    pub fn url(&self) -> String {
        self.nodes[0].url()
    }

    /// The place of the one that has the log, by its own word, once there is one.
    pub async fn place_of_log(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (place, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.is_running()) {
                let nodes = node.ask("CLUSTER NODES").await;
                let own = nodes.lines().find(|line| line.contains("myself,master")).unwrap_or_default();
                let has = |range: &str| {
                    let (from, until) = range.split_once('-').unwrap_or((range, range));
                    let bound = |text: &str| text.parse::<u16>().ok();
                    bound(from).zip(bound(until)).is_some_and(|(from, until)| (from..=until).contains(&SLOT))
                };
                if own.split(' ').skip(8).any(has) {
                    return place;
                }
            }
            assert!(Instant::now() < deadline, "nobody has the log");
        }
    }

    /// The one that has the log.
    pub async fn of_log(&self) -> &Redis {
        &self.nodes[self.place_of_log().await]
    }

    /// Has a replica take over from its primary, with all that this has, and waits until all others have heard of it.
    pub async fn hand_over_to(&self, place: usize) {
        let replica = &self.nodes[place];
        self.promote(replica).await;
        let id = replica.ask("CLUSTER MYID").await;
        let leads = |nodes: &str| {
            let mut about = nodes.lines().filter(|line| line.contains(&id));
            // And the one that it has taken over from follows it.
            about.clone().count() == 2 && about.any(|line| line.starts_with(&id) && line.contains("master"))
        };
        for node in &self.nodes {
            node.until("CLUSTER NODES", leads).await;
        }
    }

    async fn promote(&self, replica: &Redis) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            replica.ask("CLUSTER FAILOVER").await;
            // On a busy machine the others may not vote in the five seconds that it is given.
            let again = Instant::now() + Duration::from_secs(6);
            while Instant::now() < again {
                if replica.ask("INFO replication").await.contains("role:master") {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
            assert!(Instant::now() < deadline, "it does not take over");
        }
    }

    /// Says to both that the log's slot moves from one to the other, none of its keys yet.
    pub async fn begin_to_move(&self, from: usize, to: usize) {
        let [from, to] = [&self.nodes[from], &self.nodes[to]];
        let (from_id, to_id) = (from.ask("CLUSTER MYID").await, to.ask("CLUSTER MYID").await);
        assert_eq!(to.ask(&format!("CLUSTER SETSLOT {SLOT} IMPORTING {from_id}")).await, "OK");
        assert_eq!(from.ask(&format!("CLUSTER SETSLOT {SLOT} MIGRATING {to_id}")).await, "OK");
    }

    /// Moves one of its keys.
    pub async fn move_key(&self, from: usize, to: usize, key: &str) {
        let addr = self.nodes[to].addr();
        let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
        let answer = self.nodes[from].ask_words(&["MIGRATE", &ip, &port, key, "0", "5000"]).await;
        assert!(answer == "OK" || answer == "NOKEY", "{key}: {answer}");
    }

    /// Moves so many of its keys, if there are any more.
    pub async fn move_keys(&self, from: usize, to: usize, count: usize) -> usize {
        let keys = self.nodes[from].ask(&format!("CLUSTER GETKEYSINSLOT {SLOT} {count}")).await;
        let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
        if !keys.is_empty() {
            let addr = self.nodes[to].addr();
            let (ip, port) = (addr.ip().to_string(), addr.port().to_string());
            let words = [&["MIGRATE", &ip, &port, "", "0", "5000", "KEYS"], &keys[..]].concat();
            let answer = self.nodes[from].ask_words(&words).await;
            assert!(answer == "OK" || answer == "NOKEY", "{keys:?}: {answer}");
        }
        keys.len()
    }

    /// Has the command of Redis' package move the first slot of one to another: the log's, when it is there.
    pub async fn reshard(&self, from: usize, to: usize) {
        let [from, to] = [&self.nodes[from], &self.nodes[to]];
        let (from_id, to_id) = (from.ask("CLUSTER MYID").await, to.ask("CLUSTER MYID").await);
        let addr = from.addr().to_string();
        let words = ["--cluster", "reshard", &addr, "--cluster-from", &from_id, "--cluster-to", &to_id];
        let said = from.ask_words(&[&words[..], &["--cluster-slots", "1", "--cluster-yes"]].concat()).await;
        assert!(said.contains(&format!("Moving slot {SLOT} from")), "{said}");
        let is_there = to.ask("CLUSTER NODES").await;
        let own = is_there.lines().find(|line| line.contains("myself")).unwrap_or_default();
        assert!(
            own.contains(&format!(" {SLOT}")) && !own.contains("-<-"),
            "it is not moved: {said}\n{is_there}"
        );
    }

    /// Says to both that the log's slot has moved.
    pub async fn end_moving(&self, from: usize, to: usize) {
        let id = self.nodes[to].ask("CLUSTER MYID").await;
        for place in [to, from] {
            assert_eq!(self.nodes[place].ask(&format!("CLUSTER SETSLOT {SLOT} NODE {id}")).await, "OK");
        }
    }
}
