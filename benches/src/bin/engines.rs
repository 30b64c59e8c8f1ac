//! What an engine costs: from `publish` on one node to a client's socket on another, how much one node publishes, and what
//! the engine's server has to do for it.
//!
//! `engines [--events 2000] [--seconds 5] [--only memory,redis,nats]`. redis-server and nats-server are started here, on
//! loopback, with their files in a folder that is removed.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use sse_benches::{Args, Report, cpu, percentile};
use sse_warp::{Error, Hub, Sse, SseRequest};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};
use warp::Filter;

const KINDS: [&str; 3] = ["memory", "redis", "nats"];

/// The events beside the number: 200 bytes in all.
const PADDING: usize = 180;

/// Publications a second while the server's work at rest is measured: each wakes the server and every node by itself.
const PACE: u64 = 500;

/// How many nodes follow then, besides the two.
const MORE_NODES: usize = 8;

/// How many publish at once for the second figure.
const AT_ONCE: usize = 64;

fn main() {
    let args = Args::new();
    let events = args.number("--events", 2000);
    let seconds = args.number("--seconds", 5) as u64;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let rows: Vec<Vec<String>> = args
        .servers(&KINDS)
        .into_iter()
        .map(|kind| runtime.block_on(measured(kind, events, Duration::from_secs(seconds))))
        .collect();
    let mut report = Report::new("Engines");
    report.text(&format!(
        "An event of 200 bytes from `publish` on one node to a client's socket on another, {events} of them, 100 a second; \
         and how many a node publishes a second, one after the other and {AT_ONCE} at a time. In memory both are one node. \
         Two nodes, the client and the engine on one machine, release build; servers with the defaults of their packages, \
         Redis with `appendonly yes` (synced each second). The server's CPU is that of its process, at {PACE} publications a second, \
         each by itself, and {AT_ONCE} at a time without pause: for a publication, and for each node that follows, from \
         what two nodes and {} take.\n",
        2 + MORE_NODES
    ));
    report.table(
        &[
            "engine",
            "p50 µs",
            "p99 µs",
            "publishes/s, one by one",
            &format!("publishes/s, {AT_ONCE} at a time"),
            &format!("server's µs at {PACE}/s: a publish + a node"),
            &format!("server's µs, {AT_ONCE} at a time"),
        ],
        &rows,
    );
    report.finish("engines");
}

async fn measured(kind: &str, events: usize, time: Duration) -> Vec<String> {
    let server = Server::start(kind);
    let (from, to) = match kind {
        "memory" => {
            let hub = Hub::new();
            (hub.clone(), hub)
        }
        _ => (server.hub().await, server.hub().await),
    };
    let mut client = Client::new(serve(&to)).await;
    // The first few have connections to open and buffers to grow.
    for n in 0..100 {
        from.publish("news", data(n)).await.unwrap();
        client.event().await;
    }
    let mut latencies = Vec::with_capacity(events);
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0..events {
        ticks.tick().await;
        let start = Instant::now();
        from.publish("news", data(n)).await.unwrap();
        latencies.push((client.event().await - start).as_secs_f64() * 1e6);
    }
    drop(client);
    let [one, many] = [rate(&from, 1, time).await, rate(&from, AT_ONCE, time).await];
    let [at_rest, busy] = server.work(&from, time).await;
    vec![
        kind.to_owned(),
        format!("{:.0}", percentile(latencies.clone(), 50)),
        format!("{:.0}", percentile(latencies, 99)),
        format!("{one:.0}"),
        format!("{many:.0}"),
        at_rest,
        busy,
    ]
}

fn data(n: usize) -> String {
    format!("{n:020}{}", "x".repeat(PADDING))
}

async fn rate(hub: &Hub, at_once: usize, time: Duration) -> f64 {
    let start = Instant::now();
    published(hub, at_once, time).await / start.elapsed().as_secs_f64()
}

/// How many.
async fn published(hub: &Hub, at_once: usize, time: Duration) -> f64 {
    let (count, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let publishers: Vec<_> = (0..at_once)
        .map(|n| {
            let (hub, count, over) = (hub.clone(), Arc::clone(&count), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    hub.publish("other", data(n)).await.unwrap();
                    if count.fetch_add(1, Ordering::Relaxed) % 64 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            })
        })
        .collect();
    sleep(time).await;
    over.store(true, Ordering::Relaxed);
    for publisher in publishers {
        publisher.await.unwrap();
    }
    count.load(Ordering::Relaxed) as f64
}

/// [`PACE`] a second; how many.
async fn paced(hub: &Hub, time: Duration) -> f64 {
    let count = PACE * time.as_secs();
    let mut ticks = interval(Duration::from_secs(1) / PACE as u32);
    for n in 0..count {
        ticks.tick().await;
        hub.publish("other", data(n as usize)).await.unwrap();
    }
    count as f64
}

/// Microseconds of a server's CPU for each of what is published, at rest and busy.
async fn work(server: &Child, hub: &Hub, time: Duration) -> [f64; 2] {
    let before = cpu(server);
    let at_rest = paced(hub, time).await;
    let between = cpu(server);
    let busy = published(hub, AT_ONCE, time).await;
    let each = |spent: Duration, count: f64| spent.as_secs_f64() * 1e6 / count;
    [each(between - before, at_rest), each(cpu(server) - between, busy)]
}

/// The node's HTTP server.
fn serve(hub: &Hub) -> SocketAddr {
    fn events(request: SseRequest, hub: Hub) -> Result<Sse, Error> {
        request.subscribe(&hub, "news")
    }

    let events = warp::path!("events").and(sse_warp::request(hub)).and(sse_warp::with_hub(hub)).map(events);
    let listener = sse_warp::listener(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(sse_warp::serve(warp::service(events), hub).run(listener));
    address
}

/// Reads events from a socket.
struct Client(mpsc::Receiver<Instant>);

impl Client {
    async fn new(address: SocketAddr) -> Self {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let (sender, receiver) = mpsc::channel(1024);
        let mut lines = BufReader::new(socket).lines();
        while lines.next_line().await.unwrap().unwrap() != "event: sse-position" {}
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                // Not that of a position.
                if line.starts_with("data: 0") && sender.send(Instant::now()).await.is_err() {
                    break;
                }
            }
        });
        Self(receiver)
    }

    /// When the next one came.
    async fn event(&mut self) -> Instant {
        self.0.recv().await.expect("an event")
    }
}

/// The engine's server, if there is one.
struct Server {
    kind: String,
    port: u16,
    folder: PathBuf,
    child: Option<Child>,
}

impl Server {
    fn start(kind: &str) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("sse-engines-{kind}-{port}"));
        fs::create_dir_all(&folder).unwrap();
        let text = port.to_string();
        let path = folder.to_str().unwrap();
        let command = match kind {
            "redis" => Some(("redis-server", vec!["--port", &text, "--dir", path, "--appendonly", "yes"])),
            "nats" => Some(("nats-server", vec!["-js", "-a", "127.0.0.1", "-p", &text, "-sd", path])),
            _ => None,
        };
        let child = command.map(|(program, arguments)| {
            let started =
                Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            started.expect("redis-server and nats-server are installed")
        });
        if child.is_some() {
            let deadline = Instant::now() + Duration::from_secs(20);
            while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(Instant::now() < deadline, "{kind} does not listen");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Self { kind: kind.to_owned(), port, folder, child }
    }

    /// Microseconds of the server's CPU: for a publication and for a node that follows, at rest and busy.
    async fn work(&self, hub: &Hub, time: Duration) -> [String; 2] {
        let Some(child) = &self.child else { return ["–", "–"].map(str::to_owned) };
        let few = work(child, hub, time).await;
        let mut others = Vec::new();
        for _ in 0..MORE_NODES {
            others.push(self.hub().await);
        }
        let many = work(child, hub, time).await;
        [0, 1].map(|at| {
            let node = (many[at] - few[at]) / MORE_NODES as f64;
            format!("{:.0} + {node:.1}", few[at] - 2.0 * node)
        })
    }

    async fn hub(&self) -> Hub {
        let port = self.port;
        match self.kind.as_str() {
            "redis" => {
                let engine = sse_redis::Redis::connect(format!("redis://127.0.0.1:{port}")).await.unwrap();
                Hub::builder().engine(engine).build().await.unwrap()
            }
            _ => {
                let engine = sse_nats::JetStream::connect(&format!("nats://127.0.0.1:{port}")).await.unwrap();
                Hub::builder().engine(engine).build().await.unwrap()
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
