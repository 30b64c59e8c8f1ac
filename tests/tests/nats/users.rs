//! Users who prove who they are by a key: a seed, or a file of credentials that an operator has signed.

use std::{fs, time::Duration};

use nkeys::KeyPair;
use sse_core::Fed;
use sse_nats::{JetStream, JetStreamBuilder};
use sse_tests::nats::{Nats, Operator};
use tempfile::TempDir;

use crate::{Node, publish, publish_surely};

const HOUR: Duration = Duration::from_secs(3600);

/// The sentence, which has these words in it and not those.
async fn refused(builder: JetStreamBuilder, words: &[&str], secret: &str) {
    let debug = format!("{builder:?}");
    assert!(!debug.contains(secret), "{debug}");
    let Err(error) = builder.connect().await else { panic!("no error with {words:?}") };
    let (text, debug) = (error.to_string(), format!("{error:?}"));
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains(secret) && !debug.contains(secret), "{text} {debug}");
    assert!(!text.contains('\n') && text.contains(": "), "one sentence with a remedy: {text}");
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seed_of_an_nkey() {
    if !Nats::is_available() {
        return;
    }
    let user = KeyPair::new_user();
    let mut nats = Nats::start_with(&format!(
        "jetstream {{ store_dir: \"STORE\" }}\nauthorization {{ users: [{{ nkey: {} }}] }}",
        user.public_key()
    ))
    .await;
    let seed = user.seed().unwrap();
    let engine = JetStream::builder(&nats.url()).nkey_seed(&seed).connect().await.unwrap();
    assert!(!format!("{engine:?}").contains(&seed));
    let mut node = Node::start(&engine).await;
    publish(&engine, "first").await.unwrap();
    // Each connection is signed anew.
    nats.kill();
    node.until_away().await;
    nats.restart().await;
    publish_surely(&engine, "second").await;
    node.until_head().await;
    assert_eq!(node.records().len(), 2);

    let stranger = KeyPair::new_user();
    let (public, seed) = (stranger.public_key(), stranger.seed().unwrap());
    refused(JetStream::builder(&nats.url()).nkey_seed(&seed), &[&public, "add this key"], &seed).await;
    refused(JetStream::builder(&nats.url()), &["credentials", "correct"], &seed).await;
    let account = KeyPair::new_account().seed().unwrap();
    refused(JetStream::builder(&nats.url()).nkey_seed(&account), &["begins with SU"], &account).await;
    let both = JetStream::builder(&format!("nats://ada:pass@{}", nats.addr())).nkey_seed(&seed);
    refused(both, &["in the address", "take one"], &seed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_credentials() {
    if !Nats::is_available() {
        return;
    }
    let operator = Operator::default();
    let nats = operator.start().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("user.creds");
    let with = |file: &str| {
        fs::write(&path, file).unwrap();
        JetStream::builder(&nats.url()).credentials(&path)
    };
    let (file, seed) = operator.credentials(HOUR);
    let builder = with(&file);
    assert!(!format!("{builder:?}").contains(&seed));
    let engine = builder.connect().await.unwrap();
    assert!(!format!("{engine:?}").contains(&seed));
    let mut node = Node::start(&engine).await;
    publish(&engine, "x").await.unwrap();
    node.until_head().await;
    assert_eq!(node.records().len(), 1);

    // Of another operator's account; with another's seed; broken ones; none.
    let (other, secret) = Operator::default().credentials(HOUR);
    refused(with(&other), &["let in", "renew"], &secret).await;
    let mixed = file.replace(&seed, &secret);
    refused(with(&mixed), &["let in", "renew"], &secret).await;
    refused(with(&file.replace("JWT", "TEXT")), &["no JWT", "user.creds", "nsc"], &seed).await;
    refused(with(&file.replace("SEED", "KEY")), &["no seed", "user.creds"], &seed).await;
    refused(with(&file.replace(&seed, &seed[..20])), &["a seed that is none"], &seed[..20]).await;
    refused(with(""), &["no JWT"], &seed).await;
    let missing = JetStream::builder(&nats.url()).credentials(folder.path().join("missing.creds"));
    refused(missing, &["missing.creds", "not read"], &seed).await;
    refused(JetStream::builder(&nats.url()), &["credentials", "correct"], &seed).await;
}

/// Users' time runs out while they are connected. The file is read anew for each connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_renewed_while_the_process_runs() {
    if !Nats::is_available() {
        return;
    }
    let operator = Operator::default();
    let nats = operator.start().await;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("user.creds");
    fs::write(&path, operator.credentials(Duration::from_secs(10)).0).unwrap();
    let engine = JetStream::builder(&nats.url()).credentials(&path).connect().await.unwrap();
    let mut node = Node::start(&engine).await;
    publish_surely(&engine, "before").await;
    let fed = node.until("away", |fed| matches!(fed, Fed::Away { .. })).await;
    // That the time has run out is said in front of the end, and may be lost with it.
    let Some(Fed::Away { reason }) = fed.last() else { panic!("{fed:?}") };
    println!("{reason}");
    let error = publish(&engine, "meanwhile").await.unwrap_err();
    assert!(!error.may_be_published(), "{error:?}");
    fs::write(&path, operator.credentials(HOUR).0).unwrap();
    publish_surely(&engine, "after").await;
    node.until_head().await;
    assert!(node.is_whole());
    let texts: Vec<_> = node.records().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["before", "after"]);
}
