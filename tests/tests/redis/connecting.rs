//! What is wrong with a Redis is said when a program starts, in one sentence with the remedy.

use std::time::Duration;

use sse_redis::{ConnectError, Redis as Log};
use sse_tests::{proxy::Proxy, redis::Redis};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::{log, needs_redis, publish, reader::Reader};

/// Those that README.md says are needed.
const README: &str = include_str!("../../../sse-redis/README.md");

const PASSWORD: &str = "s3cret-pass";

async fn error(url: impl Into<String>) -> String {
    let error = Log::builder(url).timeout(Duration::from_millis(1500)).connect().await.expect_err("no log");
    said(&error)
}

pub(crate) fn said(error: &ConnectError) -> String {
    let whole = format!("{error} {error:?}");
    assert!(!whole.contains(PASSWORD), "{whole}");
    let text = error.to_string();
    assert!(
        text.starts_with(|c: char| c.is_uppercase()) && !text.contains('\n') && text.contains("; "),
        "{text}"
    );
    text
}

#[tokio::test]
async fn an_address_that_is_none() {
    for url in [
        "nonsense",
        "http://127.0.0.1:6379",
        "redis://",
        &format!("redis://user:{PASSWORD}@127.0.0.1:port/0"),
        &format!("redis://user:{PASSWORD}@127.0.0.1/first"),
        &format!("redis://user:{PASSWORD}#x@127.0.0.1/0"),
    ] {
        let text = error(url).await;
        assert!(text.contains("redis://user:password@host:6379/0"), "{text}");
    }
    let text = said(&Log::builder("redis://localhost").name("a}b").connect().await.unwrap_err());
    assert!(text.contains("name of a log"), "{text}");
}

#[tokio::test]
async fn nobody_there() {
    let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let text = error(format!("redis://user:{PASSWORD}@{free}")).await;
    assert!(text.contains(&format!("No Redis answers at {free}")) && text.contains("refused"), "{text}");
    // Somebody who says nothing, and somebody who speaks something else.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let text = error(format!("redis://{}", silent.local_addr().unwrap())).await;
    assert!(text.contains("No Redis answers") && text.contains("1.5s"), "{text}");
    let web = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = web.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = web.accept().await {
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let text = error(format!("redis://{addr}")).await;
    assert!(text.contains("No Redis answers"), "{text}");
    let text = error("redis://no-such-host.invalid").await;
    assert!(text.contains("No Redis answers at no-such-host.invalid:6379"), "{text}");
}

#[tokio::test]
async fn a_wrong_password_and_none() {
    needs_redis!();
    let redis = Redis::start_with(&["--requirepass", "another"]).await;
    let text = error(redis.url()).await;
    assert!(text.contains("wants a password"), "{text}");
    for user in ["", "default", "nobody"] {
        let text = error(format!("redis://{user}:{PASSWORD}@{}", redis.addr())).await;
        assert!(text.contains("name or password"), "{text}");
    }
    let log = Log::connect(format!("redis://:another@{}", redis.addr())).await.unwrap();
    assert!(
        !format!("{log:?} {:?}", Log::builder(format!("redis://:another@{}", redis.addr())))
            .contains("another")
    );
    publish(&log, "a").await;
    Reader::caught_up(&log).await;
}

#[tokio::test]
async fn a_redis_that_may_evict_the_log() {
    needs_redis!();
    let redis = Redis::start_with(&["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"]).await;
    let text = error(redis.url()).await;
    assert!(text.contains("CONFIG SET maxmemory-policy noeviction"), "{text}");
    // Without a limit nothing is evicted.
    redis.ask("CONFIG SET maxmemory 0").await;
    publish(&log(&redis).await, "a").await;
    redis.ask("CONFIG SET maxmemory-policy noeviction").await;
    redis.ask("CONFIG SET maxmemory 1mb").await;
    let text = error(redis.url()).await;
    assert!(text.contains("no memory left"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_no_master_by_itself() {
    needs_redis!();
    let master = Redis::start_with(&[]).await;
    let replica = Redis::replica_of(&master).await;
    let text = error(replica.url()).await;
    assert!(text.contains("replica") && text.contains("address of its master"), "{text}");
    let cluster = Redis::start_with(&["--cluster-enabled", "yes"]).await;
    let text = error(cluster.url()).await;
    assert!(text.contains("cluster"), "{text}");
    let sentinel = Redis::sentinel(&master, "shop").await;
    let text = error(sentinel.url()).await;
    assert!(text.contains("by `sentinels`"), "{text}");
    let by = |url: &str, sentinel: String| Log::builder(url).sentinels([sentinel]).connect();
    let text = said(&by("redis://other/0", sentinel.url()).await.unwrap_err());
    assert!(text.contains("No sentinel knows the master other"), "{text}");
    let text = said(&by("redis://shop/0", "nonsense".into()).await.unwrap_err());
    assert!(text.contains("address of a sentinel"), "{text}");
    let text = said(&by("redis://shop/0", "redis://127.0.0.1:1".into()).await.unwrap_err());
    assert!(text.contains("No Redis answers at shop"), "{text}");
    let log = by("redis://shop/0", sentinel.url()).await.unwrap();
    publish(&log, "a").await;
}

#[tokio::test]
async fn an_old_redis() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    // No package has one, so this one says that it is.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (addr, upstream) = (listener.local_addr().unwrap(), redis.addr());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_redis, mut to_redis) = TcpStream::connect(upstream).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_redis).await });
            tokio::spawn(async move {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from_redis.read(&mut buffer).await {
                    let name = b"redis_version:";
                    let at = buffer[..read].windows(name.len()).position(|part| part == name);
                    if let Some(at) = at {
                        buffer[at + name.len()] = b'6';
                    }
                    let _ = to_client.write_all(&buffer[..read]).await;
                }
            });
        }
    });
    let text = error(format!("redis://{addr}")).await;
    assert!(text.contains("is version 6.") && text.contains("7 or newer"), "{text}");
}

#[tokio::test]
async fn a_user_who_may_not_do_what_is_needed() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let rule = README.lines().find(|line| line.starts_with("ACL SETUSER")).expect("a rule in the README");
    let rule: Vec<&str> = rule.split_whitespace().collect();
    let user = rule[2];
    let password = rule.iter().find_map(|word| word.strip_prefix('>')).unwrap();
    redis.ask_words(&rule).await;
    let url = format!("redis://{user}:{password}@{}", redis.addr());
    let log = Log::connect(&url).await.unwrap();
    publish(&log, "a").await;
    Reader::caught_up(&log).await;
    // Everything in it is needed, and named where it is missing.
    let commands: Vec<&str> = rule.iter().filter_map(|word| word.strip_prefix('+')).collect();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        redis.ask(&format!("ACL SETUSER {user} -{command}")).await;
        let text = error(&url).await;
        assert!(text.contains(&format!("+{command}")) && text.contains("ACL SETUSER"), "{command}: {text}");
        redis.ask(&format!("ACL SETUSER {user} +{command}")).await;
    }
    redis.ask(&format!("ACL SETUSER {user} resetkeys ~other:*")).await;
    let text = error(&url).await;
    assert!(text.contains("~{sse}:*"), "{text}");
}

#[tokio::test]
async fn keys_that_somebody_else_has() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    redis.ask("SET {sse}:meta x").await;
    let text = error(redis.url()).await;
    assert!(text.contains("another name"), "{text}");
    let log = Log::builder(redis.url()).name("shop").connect().await.unwrap();
    publish(&log, "a").await;
}

#[tokio::test]
async fn tls() {
    needs_redis!();
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
    std::fs::write(&certificate, identity.cert.pem()).unwrap();
    std::fs::write(&key, identity.signing_key.serialize_pem()).unwrap();
    let port = rand::random_range(32_000..32_700_u16);
    let redis = Redis::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate.display().to_string(),
        "--tls-key-file",
        &key.display().to_string(),
        "--tls-auth-clients",
        "no",
    ])
    .await;
    let localhost = Proxy::start((redis.addr().ip(), port).into(), std::iter::empty()).await.unwrap();
    let url = format!("rediss://localhost:{}", localhost.addr().port());
    let text = error(&url).await;
    assert!(text.contains("not trusted") && text.contains("root_certificate"), "{text}");
    let text = said(&Log::builder(&url).root_certificate("none").connect().await.unwrap_err());
    assert!(text.contains("PEM"), "{text}");
    let log = Log::builder(&url).root_certificate(identity.cert.pem()).connect().await.unwrap();
    publish(&log, "a").await;
    Reader::caught_up(&log).await;
}
