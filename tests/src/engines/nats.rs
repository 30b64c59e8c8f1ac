//! [`NatsLog`]: a nats-server, and the log in it as a plain client sees it.

use std::net::SocketAddr;

use async_nats::jetstream::{self, consumer::pull::OrderedConfig, stream::Stream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value;
use sse_core::EventId;

use crate::{addrs::free_addr, nats::Nats};

/// The stream of a hub whose name is the default.
const STREAM: &str = "sse-hub";

/// A nats-server of the test's own.
#[derive(Debug)]
pub struct NatsLog {
    server: Nats,
    monitor: SocketAddr,
}

impl NatsLog {
    pub(super) async fn start() -> Option<Self> {
        if !Nats::is_available() {
            return None;
        }
        let monitor = free_addr();
        let configuration = format!("jetstream {{ store_dir: \"STORE\" }}\nhttp: \"{monitor}\"\n");
        Some(Self { server: Nats::start_with(&configuration).await, monitor })
    }

    pub(super) fn url(&self) -> String {
        self.server.url()
    }

    async fn stream(&self) -> Option<Stream> {
        let client = async_nats::connect(self.url()).await.expect("it answers");
        jetstream::new(client).get_stream(STREAM).await.ok()
    }

    /// A record of the subject `….epoch` says which epoch begins with it; the first one stands in the description.
    pub(super) async fn records(&self) -> Vec<(EventId, Bytes)> {
        let Some(mut stream) = self.stream().await else { return Vec::new() };
        let info = stream.info().await.expect("it answers");
        let description = info.config.description.clone().unwrap_or_default();
        let epoch = description.strip_prefix("sse-nats epoch=").expect("an epoch");
        let mut epoch = u64::from_str_radix(&epoch[..16], 16).expect("an epoch");
        let (last, count) = (info.state.last_sequence, info.state.messages);
        let mut records = Vec::new();
        if count == 0 {
            return records;
        }
        let consumer = stream.create_consumer(OrderedConfig::default()).await.expect("it answers");
        let mut messages = consumer.messages().await.expect("it answers");
        while let Some(message) = messages.next().await {
            let message = message.expect("it answers");
            let seq = message.info().expect("it has a place").stream_sequence;
            if message.subject.ends_with(".epoch") {
                let marker: Value = serde_json::from_slice(&message.payload).expect("JSON");
                epoch = marker["to"].as_u64().expect("an epoch");
            } else {
                records.push((EventId::new(epoch, seq), message.payload.clone()));
            }
            if seq >= last {
                break;
            }
        }
        records
    }

    async fn monitored(&self) -> Value {
        let answer = reqwest::get(format!("http://{}/varz", self.monitor)).await.expect("it answers");
        serde_json::from_str(&answer.text().await.expect("it answers")).expect("JSON")
    }

    pub(super) async fn connections(&self) -> usize {
        self.monitored().await["connections"].as_u64().expect("a number") as usize
    }

    pub(super) async fn traffic(&self) -> u64 {
        let varz = self.monitored().await;
        let number = |name: &str| varz[name].as_u64().expect("a number");
        number("in_msgs") + number("out_msgs")
    }

    pub(super) fn stop(&mut self) {
        self.server.kill();
    }

    pub(super) async fn start_again(&mut self) {
        self.server.restart().await;
    }

    pub(super) async fn start_empty(&mut self) {
        self.server.replace_store(None);
        self.server.restart().await;
    }

    pub(super) fn freeze(&self) {
        self.server.freeze();
    }

    pub(super) fn thaw(&self) {
        self.server.thaw();
    }

    /// Its streams cannot be purged, but made smaller for a moment.
    pub(super) async fn trim(&self, keep: usize) {
        let client = async_nats::connect(self.url()).await.expect("it answers");
        let context = jetstream::new(client);
        let mut stream = context.get_stream(STREAM).await.expect("a stream");
        let mut config = stream.info().await.expect("it answers").config.clone();
        for limit in [keep as i64, -1] {
            config.max_messages = limit;
            context.update_stream(&config).await.expect("it answers");
        }
    }
}
