//! The server is away and comes back with what it had: nothing is lost, nothing comes twice.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sse_core::{Engine, Fed, Publication};
use sse_nats::JetStream;
use sse_tests::{engines::frozen_for, proxy::Proxy};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

use crate::{Node, brief, engine, key, publish, publish_surely, seams, server};

/// Each text once.
fn is_once(node: &Node, expected: impl IntoIterator<Item = String>) {
    let mut counts = BTreeMap::new();
    for (_, text) in node.records() {
        *counts.entry(text).or_insert(0) += 1;
    }
    let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for text in expected {
        assert!(counts.contains_key(&text), "{text} is missing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_restarted_with_its_data() {
    let Some(mut nats) = server().await else { return };
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    let again = Publication::new("again", "again");
    let first = engine.publish(again.clone()).await.unwrap();
    for round in 0..4 {
        for number in 0..50 {
            publish_surely(&engine, &format!("{round} {number}")).await;
        }
        let from = node.fed.len();
        nats.kill();
        node.until_away().await;
        let error = publish(&engine, "never").await.unwrap_err();
        assert!(!error.may_be_published(), "there is no connection: {error:?}");
        nats.restart().await;
        node.until_head().await;
        let aways = node.fed[from..].iter().filter(|fed| matches!(fed, Fed::Away { .. })).count();
        assert_eq!(aways, 1, "{}", brief(&node.fed[from..]));
        assert_eq!(seams(&node.fed[from..]).len(), 1, "another server, another epoch");
    }
    let repeated = engine.publish(again).await.unwrap();
    assert!(!repeated.is_new);
    assert_eq!(repeated.id, first.id, "in the epoch that it was published in");
    node.until_head().await;
    assert!(node.is_whole(), "{:?}", seams(&node.fed));
    is_once(&node, (0..4).flat_map(|round| (0..50).map(move |number| format!("{round} {number}"))));
    assert!(node.records().iter().all(|(_, text)| text != "never"), "what was refused is not sent later");
    let late = Node::start(&crate::engine(&nats).await).await;
    assert!(late.is_whole());
    assert_eq!(late.records(), node.records(), "the same ids");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen() {
    let Some(nats) = server().await else { return };
    let pause = frozen_for(8);
    let engine = engine(&nats).await;
    let mut node = Node::start(&engine).await;
    let mut sure = vec!["before".to_owned()];
    publish(&engine, "before").await.unwrap();
    let start = node.fed.len();
    nats.freeze();
    let (frozen, mut unknown) = (std::time::Instant::now(), Vec::new());
    while frozen.elapsed() < pause {
        let text = format!("while frozen {}", unknown.len());
        let publication = Publication::new(key(), text.clone());
        match engine.publish(publication.clone()).await {
            Ok(_) => panic!("it is frozen"),
            Err(error) if error.may_be_published() => unknown.push((publication, text)),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
    assert!(!unknown.is_empty(), "the first ones were sent");
    node.until_away().await;
    nats.thaw();
    node.until_head().await;
    for (publication, text) in unknown {
        while engine.publish(publication.clone()).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
        sure.push(text);
    }
    node.until_head().await;
    assert!(node.is_whole());
    assert!(seams(&node.fed[start..]).is_empty(), "the same server goes on");
    is_once(&node, sure);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_in_mid_record() {
    let Some(nats) = server().await else { return };
    // Behind the handshake, anywhere in the records.
    let cuts = std::iter::repeat_with(|| rand::random_range(12_000..60_000)).take(60);
    let proxy = Proxy::start(nats.addr(), cuts).await.unwrap();
    let publisher = engine(&nats).await;
    let engine = JetStream::connect(&format!("nats://{}", proxy.addr())).await.unwrap();
    let mut node = Node::start(&engine).await;
    let mut texts = Vec::new();
    while proxy.cuts() < 12 {
        for _ in 0..20 {
            let text = format!("{} {}", texts.len(), "x".repeat(2_000));
            publish(&publisher, &text).await.unwrap();
            texts.push(text);
        }
        node.until_head().await;
        assert!(texts.len() < 10_000, "not cut: {proxy:?}");
    }
    assert!(node.is_whole(), "{}", brief(&node.fed));
    let got: Vec<_> = node.records().into_iter().map(|(_, text)| text).collect();
    assert!(got == texts, "each once, in order");
}

/// A link that went dead tells nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent() {
    let Some(nats) = server().await else { return };
    let proxy = Proxy::start(nats.addr(), std::iter::empty()).await.unwrap();
    let publisher = engine(&nats).await;
    let engine = JetStream::connect(&format!("nats://{}", proxy.addr())).await.unwrap();
    let mut node = Node::start(&engine).await;
    for round in 0..3 {
        proxy.silence_all();
        publish(&publisher, &format!("round {round}")).await.unwrap();
        let text = format!("own {round}");
        publish_surely(&engine, &text).await;
        node.until(
            "own record",
            |fed| matches!(fed, Fed::Record { record, .. } if record == text.as_bytes()),
        )
        .await;
    }
    node.until_head().await;
    assert!(node.is_whole());
    is_once(&node, (0..3).flat_map(|round| [format!("round {round}"), format!("own {round}")]));
}

/// The server sends each record twice, which no server does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_delivered_twice_is_given_once() {
    let Some(nats) = server().await else { return };
    let addr = doubling::start(nats.addr()).await;
    let publisher = engine(&nats).await;
    let engine = JetStream::connect(&format!("nats://{addr}")).await.unwrap();
    let mut node = Node::start(&engine).await;
    for number in 0..100 {
        publish(&publisher, &number.to_string()).await.unwrap();
    }
    node.until_head().await;
    assert!(node.is_whole());
    assert_eq!(node.records().len(), 100);
    assert!(doubling::DOUBLED.load(std::sync::atomic::Ordering::SeqCst) >= 100);
}

/// Between a client and a server of NATS: what is delivered from a stream goes on twice.
mod doubling {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::{
        io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
    };

    pub(super) static DOUBLED: AtomicUsize = AtomicUsize::new(0);

    pub(super) async fn start(upstream: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(upstream).await.unwrap();
                tokio::spawn(forward(client, server));
            }
        });
        addr
    }

    async fn forward(client: TcpStream, server: TcpStream) -> Option<()> {
        let (mut from_client, mut to_client) = client.into_split();
        let (from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut from_server = BufReader::new(from_server);
        loop {
            let mut line = String::new();
            if from_server.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let mut frame = line.clone().into_bytes();
            let words: Vec<_> = line.split_whitespace().collect();
            if matches!(words[0], "MSG" | "HMSG") {
                let length: usize = words.last()?.parse().ok()?;
                let mut payload = vec![0; length + 2];
                from_server.read_exact(&mut payload).await.ok()?;
                frame.extend(payload);
                if line.contains("$JS.ACK.") {
                    DOUBLED.fetch_add(1, Ordering::SeqCst);
                    frame.extend(frame.clone());
                }
            }
            to_client.write_all(&frame).await.ok()?;
        }
    }
}

/// Whoever comes back finds out whether the log is the same, and does not read large records for that which it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_come_back_costs_little() {
    let Some(nats) = server().await else { return };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let (cut, sent) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (cuts, counted, upstream) = (Arc::clone(&cut), Arc::clone(&sent), nats.addr());
    let link = tokio::spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let client = tokio::select! {
                client = listener.accept() => client.unwrap().0,
                () = cuts.notified() => { open.abort_all(); continue }
            };
            let counted = Arc::clone(&counted);
            open.spawn(async move {
                let (mut from, mut to) = client.into_split();
                let (mut answers, mut asks) = TcpStream::connect(upstream).await.unwrap().into_split();
                let forth = async {
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(count @ 1..) = answers.read(&mut buffer).await {
                        counted.fetch_add(count, Ordering::SeqCst);
                        if to.write_all(&buffer[..count]).await.is_err() {
                            break;
                        }
                    }
                };
                tokio::select! { () = forth => {}, _ = copy(&mut from, &mut asks) => {} }
            });
        }
    });
    let engine = JetStream::connect(&url).await.unwrap();
    let mut node = Node::start(&engine).await;
    let large = "x".repeat(900_000);
    for _ in 0..40 {
        engine.publish(Publication::new(key(), large.clone())).await.unwrap();
    }
    node.until_head().await;
    assert!(sent.load(Ordering::SeqCst) > 40 * large.len());
    sent.store(0, Ordering::SeqCst);
    cut.notify_one();
    node.until_away().await;
    node.until_head().await;
    assert!(node.is_whole());
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < large.len(), "{sent} bytes");
    link.abort();
}
