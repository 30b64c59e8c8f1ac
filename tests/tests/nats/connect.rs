//! What is wrong with a server is one sentence that names the remedy, and no secret.

use std::{sync::Arc, time::Duration};

use sse_nats::JetStream;
use sse_tests::nats::Nats;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::{Node, engine, publish, server, streams};

/// The sentence, which has these words in it.
async fn refused(builder: sse_nats::JetStreamBuilder, words: &[&str]) {
    let debug = format!("{builder:?}");
    assert!(!debug.contains("secret"), "{debug}");
    let Err(error) = builder.connect().await else { panic!("no error with {words:?}") };
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"), "{text}");
    assert!(!text.contains('\n') && text.contains(": "), "one sentence with a remedy: {text}");
    println!("{text}");
}

#[tokio::test]
async fn no_such_address() {
    for url in ["", "http://ada:secret@127.0.0.1", "nats://ada:secret@:4222", "nats://[::1"] {
        refused(JetStream::builder(url), &["nats://127.0.0.1:4222"]).await;
    }
    refused(
        JetStream::builder("nats://ada:secret@nowhere.invalid:4222"),
        &["nowhere.invalid:4222", "correct"],
    )
    .await;
}

#[tokio::test]
async fn nothing_listens_or_something_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let url = format!("nats://ada:secret@{addr}");
    let web = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.ok();
        }
    });
    refused(JetStream::builder(&url), &[&addr.to_string(), "speaks like a NATS server", "port"]).await;
    web.abort();
    let _ = web.await;
    refused(JetStream::builder(&url), &[&addr.to_string(), "no NATS server is reached", "start it"]).await;
}

#[tokio::test]
async fn a_server_that_is_too_old() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    // No such server can be installed any more, so it is one that says so.
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let hello = b"INFO {\"server_id\":\"x\",\"version\":\"2.8.4\",\"headers\":true,\"max_payload\":1048576}\r\n";
            write.write_all(hello).await.unwrap();
            let mut lines = BufReader::new(read).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") {
                    write.write_all(b"PONG\r\n").await.unwrap();
                }
            }
        }
    });
    refused(JetStream::builder(&url), &["2.8.4", "upgrade", "2.9"]).await;
}

#[tokio::test]
async fn credentials() {
    if !Nats::is_available() {
        return;
    }
    let nats = Nats::start_with(
        "jetstream { store_dir: \"STORE\" }\nauthorization { user: ada, password: \"se:cr@et\" }",
    )
    .await;
    let addr = nats.addr();
    refused(JetStream::builder(&format!("nats://{addr}")), &["credentials", "correct"]).await;
    refused(JetStream::builder(&format!("nats://ada:secret@{addr}")), &["credentials", "correct"]).await;
    let engine = JetStream::connect(&format!("nats://ada:se%3Acr%40et@{addr}")).await.unwrap();
    assert!(!format!("{engine:?}").contains("cr@et"));
    publish(&engine, "x").await.unwrap();
    let nats =
        Nats::start_with("jetstream { store_dir: \"STORE\" }\nauthorization { token: \"t0ken\" }").await;
    let addr = nats.addr();
    refused(JetStream::builder(&format!("nats://secret@{addr}")), &["credentials", "correct"]).await;
    JetStream::connect(&format!("nats://t0ken@{addr}")).await.unwrap();
}

#[tokio::test]
async fn no_jetstream() {
    if !Nats::is_available() {
        return;
    }
    let nats = Nats::start_with("").await;
    refused(JetStream::builder(&nats.url()), &["JetStream", "-js"]).await;
    let nats = Nats::start_with(
        "jetstream { store_dir: \"STORE\" }\n\
         accounts { WITH { jetstream: enabled, users: [{ user: a, password: b }] }\n\
         WITHOUT { users: [{ user: c, password: secret }] } }",
    )
    .await;
    refused(JetStream::builder(&format!("nats://c:secret@{}", nats.addr())), &["JetStream", "account"]).await;
    JetStream::connect(&format!("nats://a:b@{}", nats.addr())).await.unwrap();
}

#[tokio::test]
async fn no_permission() {
    if !Nats::is_available() {
        return;
    }
    // All that README.md lists; without each of them it is that which is named.
    let publish = [
        "sse-hub.>",
        "sse-hub-epochs.>",
        "$JS.API.STREAM.INFO.*",
        "$JS.API.STREAM.CREATE.*",
        "$JS.API.STREAM.MSG.GET.*",
        "$JS.API.CONSUMER.CREATE.*",
        "$JS.API.CONSUMER.DELETE.*.*",
        "$JS.API.CONSUMER.MSG.NEXT.*.*",
    ];
    let quoted = |subjects: &[&str]| format!("{subjects:?}");
    let readme = include_str!("../../../sse-nats/README.md");
    for subject in publish {
        assert!(readme.contains(subject), "{subject} is not in the README");
    }
    let with = |publish: &[&str], subscribe: &[&str]| {
        format!(
            "jetstream {{ store_dir: \"STORE\" }}\nauthorization {{ users: [{{ user: ada, password: secret, \
             permissions: {{ publish: {}, subscribe: {} }} }}] }}",
            quoted(publish),
            quoted(subscribe)
        )
    };
    let url = |nats: &Nats| format!("nats://ada:secret@{}", nats.addr());
    for missing in publish {
        let rest: Vec<_> = publish.into_iter().filter(|subject| *subject != missing).collect();
        let nats = Nats::start_with(&with(&rest, &["_INBOX.>"])).await;
        let named = missing.trim_end_matches(['*', '>', '.']);
        if named.contains("CONSUMER.DELETE") || named == "sse-hub-epochs" {
            // What is not deleted is forgotten; an epoch is written down when one begins.
            JetStream::builder(&url(&nats)).connect().await.unwrap();
        } else {
            refused(JetStream::builder(&url(&nats)), &["denies", named, "permission"]).await;
        }
    }
    let nats = Nats::start_with(&with(&publish, &["nothing"])).await;
    refused(JetStream::builder(&url(&nats)), &["denies", "subscribe to _INBOX.>", "permission"]).await;
    let nats = Nats::start_with(&with(&publish, &["_INBOX.>"])).await;
    let engine = JetStream::connect(&url(&nats)).await.unwrap();
    let mut node = Node::start(&engine).await;
    crate::publish(&engine, "x").await.unwrap();
    node.until_head().await;
    assert_eq!(node.records().len(), 1);
}

#[tokio::test]
async fn no_room() {
    if !Nats::is_available() {
        return;
    }
    let nats = Nats::start_with("jetstream { store_dir: \"STORE\", max_file_store: 10M }").await;
    refused(JetStream::builder(&nats.url()), &["room", "max_bytes"]).await;
    let small = JetStream::builder(&nats.url()).max_bytes(5 << 20).max_kept_bytes(1 << 20);
    small.connect().await.unwrap();
    // More servers than there are.
    let many =
        JetStream::builder(&nats.url()).name("many").max_bytes(1 << 20).max_kept_bytes(1 << 20).replicas(3);
    refused(many, &["replicas"]).await;
}

#[tokio::test]
async fn somebody_elses_stream() {
    let Some(nats) = server().await else { return };
    let streams = streams(nats.addr()).await;
    let config = async_nats::jetstream::stream::Config {
        name: "sse-hub".into(),
        subjects: vec!["theirs".into()],
        ..Default::default()
    };
    streams.create_stream(config).await.unwrap();
    refused(JetStream::builder(&nats.url()), &["sse-hub", "not made by this library", "name"]).await;
    let config = async_nats::jetstream::stream::Config {
        name: "other".into(),
        subjects: vec!["sse-shop.>".into()],
        ..Default::default()
    };
    streams.create_stream(config).await.unwrap();
    refused(JetStream::builder(&nats.url()).name("shop"), &["subjects", "name"]).await;
}

#[tokio::test]
async fn settings() {
    for (builder, word) in [
        (JetStream::builder("nats://h").name("a b"), "name"),
        (JetStream::builder("nats://h").replicas(9), "replicas"),
        (JetStream::builder("nats://h").retention(Duration::ZERO), "retention"),
        (JetStream::builder("nats://h").duplicate_window(Duration::from_secs(99_999)), "retention"),
    ] {
        refused(builder, &[word]).await;
    }
}

/// Not built with cryptography, so there is an error and no panic.
#[tokio::test]
async fn tls_without_cryptography() {
    if !Nats::is_available() {
        return;
    }
    let nats = Nats::start().await;
    refused(JetStream::builder(&format!("tls://ada:secret@{}", nats.addr())), &["TLS", "feature"]).await;
    let engine = engine(&nats).await;
    publish(&engine, "x").await.unwrap();
}

/// Whether a node may read is tried where no record comes in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn amid_traffic() {
    let Some(nats) = server().await else { return };
    let busy = Arc::new(engine(&nats).await);
    let publishers: Vec<_> = (0..8)
        .map(|_| {
            let busy = Arc::clone(&busy);
            tokio::spawn(async move {
                loop {
                    publish(&busy, "traffic").await.unwrap();
                }
            })
        })
        .collect();
    for number in 0..5 {
        let connected = JetStream::builder(&nats.url()).connect().await;
        connected.unwrap_or_else(|error| panic!("{number}: {error}"));
    }
    for publisher in publishers {
        publisher.abort();
        assert!(publisher.await.unwrap_err().is_cancelled(), "records came all the time");
    }
}

/// One hub's epochs would be another one's log.
#[tokio::test]
async fn names_that_run_into_each_other() {
    let Some(nats) = server().await else { return };
    let named = |name: &str| JetStream::builder(&nats.url()).name(name);
    let _log = named("hub-epochs").connect().await.unwrap();
    refused(named("hub"), &["sse-hub-epochs", "another hub's", "name"]).await;
    let _log = named("shop").connect().await.unwrap();
    refused(named("shop-epochs"), &["sse-shop-epochs", "another hub's", "name"]).await;
}
