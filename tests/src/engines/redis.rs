//! [`RedisLog`]: a Redis, and the log in it as `redis-cli` sees it.

use bytes::Bytes;
use sse_core::EventId;

use crate::{redis::Redis, redis_cluster::RedisCluster};

/// The stream of a hub whose name is the default.
const STREAM: &str = "{sse}:log";

/// A Redis of the test's own, or a cluster of them.
#[derive(Debug)]
pub struct RedisLog {
    /// Nodes are given the address of the first; the last one has the log.
    servers: Vec<Redis>,
}

impl RedisLog {
    pub(super) async fn start() -> Option<Self> {
        if !Redis::is_available() {
            return None;
        }
        Some(Self { servers: vec![Redis::start().await] })
    }

    /// Two servers, each of which has a part of the slots.
    pub(super) async fn start_cluster() -> Option<Self> {
        if !Redis::is_available() {
            return None;
        }
        let cluster = RedisCluster::start_with(2, 0, &["--appendonly", "yes", "--appendfsync", "always"]);
        Some(Self { servers: cluster.await.nodes })
    }

    fn server(&self) -> &Redis {
        self.servers.last().expect("a server")
    }

    pub(super) fn url(&self) -> String {
        self.servers[0].url()
    }

    /// An entry is four fields behind its id: `e`, its epoch, and `r` with a record, or `p` where an epoch begins.
    pub(super) async fn records(&self) -> Vec<(EventId, Bytes)> {
        let text = self.server().ask_words(&["XRANGE", STREAM, "-", "+"]).await;
        let lines: Vec<_> = text.lines().collect();
        let entry = |entry: &[&str]| {
            let &[id, "e", epoch, "r", record] = entry else { return None };
            let (_, n) = id.split_once('-').expect("an id");
            let epoch = u64::from_str_radix(epoch, 16).expect("an epoch");
            Some((EventId::new(epoch, n.parse().expect("a number")), Bytes::from(record.to_owned())))
        };
        lines.chunks(5).filter_map(entry).collect()
    }

    pub(super) async fn connections(&self) -> usize {
        let mut count = 0;
        for server in &self.servers {
            // One of them asks this.
            count += server.ask("CLIENT LIST").await.lines().count() - 1;
        }
        count
    }

    /// The commands that were processed, but for those of this test.
    pub(super) async fn traffic(&self) -> u64 {
        let stats = self.server().ask("INFO commandstats").await;
        let ours = ["xread", "xadd", "evalsha", "eval", "xrange", "xinfo", "time", "ping"];
        let calls = stats.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let calls = rest.strip_prefix("calls=")?.split(',').next()?;
            ours.iter().any(|our| name.starts_with(our)).then(|| calls.parse::<u64>().expect("a number"))
        });
        calls.sum()
    }

    pub(super) async fn stop(&mut self) {
        for server in &mut self.servers {
            server.kill().await;
        }
    }

    pub(super) async fn start_again(&mut self) {
        for server in &mut self.servers {
            server.run().await;
        }
        if self.servers.len() > 1 {
            for server in &self.servers {
                server.until("CLUSTER INFO", |info| info.contains("cluster_state:ok")).await;
            }
        }
    }

    pub(super) async fn start_empty(&mut self) {
        for server in &self.servers {
            std::fs::remove_dir_all(server.folder().join("appendonlydir")).expect("a folder");
        }
        self.start_again().await;
    }

    pub(super) fn freeze(&self) {
        self.servers.iter().for_each(Redis::freeze);
    }

    pub(super) fn thaw(&self) {
        self.servers.iter().for_each(Redis::thaw);
    }

    pub(super) async fn trim(&self, keep: usize) {
        self.server().ask(&format!("XTRIM {STREAM} MAXLEN = {keep}")).await;
    }
}
