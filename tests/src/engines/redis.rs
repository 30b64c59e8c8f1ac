//! [`RedisLog`]: a Redis, and the log in it as `redis-cli` sees it.

use bytes::Bytes;
use sse_core::EventId;

use crate::redis::Redis;

/// The stream of a hub whose name is the default.
const STREAM: &str = "{sse}:log";

/// A Redis of the test's own.
#[derive(Debug)]
pub struct RedisLog(Redis);

impl RedisLog {
    pub(super) async fn start() -> Option<Self> {
        if !Redis::is_available() {
            return None;
        }
        Some(Self(Redis::start().await))
    }

    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    /// An entry is four fields behind its id: `e`, its epoch, and `r` with a record, or `p` where an epoch begins.
    pub(super) async fn records(&self) -> Vec<(EventId, Bytes)> {
        let text = self.0.ask_words(&["XRANGE", STREAM, "-", "+"]).await;
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
        // One of them asks this.
        self.0.ask("CLIENT LIST").await.lines().count() - 1
    }

    /// The commands that were processed, but for those of this test.
    pub(super) async fn traffic(&self) -> u64 {
        let stats = self.0.ask("INFO commandstats").await;
        let ours = ["xread", "xadd", "evalsha", "eval", "xrange", "xinfo", "time", "ping"];
        let calls = stats.lines().filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let calls = rest.strip_prefix("calls=")?.split(',').next()?;
            ours.iter().any(|our| name.starts_with(our)).then(|| calls.parse::<u64>().expect("a number"))
        });
        calls.sum()
    }

    pub(super) async fn stop(&mut self) {
        self.0.kill().await;
    }

    pub(super) async fn start_again(&mut self) {
        self.0.run().await;
    }

    pub(super) async fn start_empty(&mut self) {
        std::fs::remove_dir_all(self.0.folder().join("appendonlydir")).expect("a folder");
        self.0.run().await;
    }

    pub(super) fn freeze(&self) {
        self.0.freeze();
    }

    pub(super) fn thaw(&self) {
        self.0.thaw();
    }

    pub(super) async fn trim(&self, keep: usize) {
        self.0.ask(&format!("XTRIM {STREAM} MAXLEN = {keep}")).await;
    }
}
