//! A log in a Redis Cluster: it is found wherever it is, and goes on when its server is gone.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use sse_core::Fed;
use sse_redis::Redis as Log;
use sse_tests::{redis::Redis, redis_cluster::RedisCluster};

use crate::{
    PATIENCE,
    connecting::said,
    log, needs_redis, publish, publish_sometime,
    reader::{Reader, all, records},
    traffic::Traffic,
};

/// Servers are soon given up, and store what they accept.
const QUICK: [&str; 6] = ["--cluster-node-timeout", "2000", "--appendonly", "yes", "--appendfsync", "always"];

/// Its servers are many, and the machine may be busy.
pub(crate) async fn log_in(cluster: &RedisCluster) -> Log {
    Log::builder(cluster.url()).timeout(Duration::from_secs(5)).connect().await.unwrap()
}

/// An address at which nobody is.
fn nobody() -> String {
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    format!("redis://{free}")
}

async fn error(url: impl Into<String>) -> String {
    said(&Log::connect(url).await.expect_err("no log"))
}

#[tokio::test]
async fn any_of_its_servers_leads_to_the_log() {
    needs_redis!();
    let cluster = RedisCluster::start(2, 1).await;
    let first = log_in(&cluster).await;
    publish(&first, "0").await;
    for (n, node) in cluster.nodes.iter().enumerate() {
        let log = log(node).await;
        publish(&log, &(n + 1).to_string()).await;
        let feds = Reader::new(&log, all()).until_head().await;
        assert_eq!(records(&feds).len(), n + 2, "{feds:?}");
        assert!(!feds.iter().any(|fed| matches!(fed, Fed::Seam { .. })), "it is one server: {feds:?}");
    }
    // One that is not there, in the address or beside it; and one that says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let silent = format!("redis://{}", silent.local_addr().unwrap());
    for (n, url) in [nobody(), silent].into_iter().enumerate() {
        let log = Log::builder(&url).cluster_nodes([nobody(), cluster.url()]).connect().await.unwrap();
        publish(&log, &format!("beside {n}")).await;
        let log = Log::connect(format!("{url},{}", cluster.nodes[3].addr())).await.unwrap();
        publish(&log, &format!("in the address {n}")).await;
        Reader::caught_up(&log).await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_when_a_program_starts() {
    needs_redis!();
    let cluster = RedisCluster::start_with(2, 0, &["--cluster-require-full-coverage", "no"]).await;
    for node in &cluster.nodes {
        let text = error(format!("{}/1", node.url())).await;
        assert!(text.contains("leave it out") && text.contains("a cluster, which has none"), "{text}");
    }
    let alone = Redis::start_with(&[]).await;
    let text = said(&Log::builder(alone.url()).cluster_nodes([nobody()]).connect().await.unwrap_err());
    assert!(text.contains("in no cluster"), "{text}");
    let text = said(&Log::builder(nobody()).cluster_nodes([nobody()]).connect().await.unwrap_err());
    assert!(text.contains("No Redis answers at 127.0.0.1:") && text.contains("(a cluster)"), "{text}");
    let sentinel = Redis::sentinel(&cluster.nodes[1], "shop").await;
    let text = said(&Log::builder("redis://shop").sentinels([sentinel.url()]).connect().await.unwrap_err());
    assert!(text.contains("no sentinels"), "{text}");
    // The server that has the log is what must be fit.
    cluster.nodes[1].ask("CONFIG SET maxmemory-policy allkeys-lru").await;
    cluster.nodes[1].ask("CONFIG SET maxmemory 100mb").await;
    let text = error(cluster.url()).await;
    let addr = cluster.nodes[1].addr().to_string();
    assert!(text.contains(&addr) && text.contains("noeviction"), "{text}");
    cluster.nodes[1].ask("CONFIG SET maxmemory-policy noeviction").await;
    // While it is on its way.
    cluster.begin_to_move(1, 0).await;
    let text = error(cluster.url()).await;
    assert!(text.contains("being moved"), "{text}");
    assert_eq!(cluster.nodes[1].ask("CLUSTER SETSLOT 8273 STABLE").await, "OK");
    publish(&log_in(&cluster).await, "a").await;
    // Nobody has its slot.
    cluster.nodes[1].ask("FLUSHALL").await;
    // What its owner has said of it before may still be on its way to the other.
    let deadline = Instant::now() + PATIENCE;
    let text = loop {
        for node in cluster.nodes.iter().rev() {
            node.ask("CLUSTER DELSLOTS 8273").await;
        }
        let text = error(cluster.url()).await;
        if text.contains("has slot 8273") {
            break text;
        }
        assert!(text.contains("does not work") && Instant::now() < deadline, "{text}");
    };
    assert!(text.contains("--cluster fix"), "{text}");
    for node in &cluster.nodes {
        assert_eq!(node.ask("CONFIG SET cluster-require-full-coverage yes").await, "OK");
        // It looks when slots change.
        assert_eq!(node.ask("CLUSTER DELSLOTS 1").await, "OK");
        node.until("CLUSTER INFO", |info| info.contains("cluster_state:fail")).await;
    }
    // Of another log nothing is missing, but the cluster does not work.
    let text = said(&Log::builder(cluster.url()).name("shop").connect().await.unwrap_err());
    assert!(text.contains("does not work") && text.contains("--cluster check"), "{text}");
}

#[tokio::test]
async fn addresses_that_are_told_and_not_reached() {
    needs_redis!();
    let cluster = RedisCluster::start(2, 0).await;
    let nowhere = nobody();
    let (_, port) = nowhere.rsplit_once(':').unwrap();
    for node in &cluster.nodes {
        node.ask(&format!("CONFIG SET cluster-announce-port {port}")).await;
    }
    for node in &cluster.nodes {
        node.until("CLUSTER SLOTS", |slots| slots.lines().filter(|line| *line == port).count() == 2).await;
    }
    let text = error(cluster.url()).await;
    assert!(text.contains(&format!(":{port}, which is not reached")), "{text}");
    assert!(text.contains("cluster-announce-ip"), "{text}");
}

#[tokio::test]
async fn one_password_for_all_and_one_right_more() {
    needs_redis!();
    let cluster = RedisCluster::start_with(2, 0, &["--cluster-require-full-coverage", "no"]).await;
    let readme = include_str!("../../../sse-redis/README.md");
    let rule = readme.lines().find(|line| line.starts_with("ACL SETUSER")).unwrap();
    for node in &cluster.nodes {
        assert_eq!(node.ask_words(&rule.split_whitespace().collect::<Vec<_>>()).await, "OK");
    }
    let hosts = format!("{},{}", cluster.nodes[0].addr(), cluster.nodes[1].addr());
    let url = format!("redis://sse:password@{hosts}");
    let text = error(&url).await;
    assert!(text.contains("+cluster|slots"), "{text}");
    let text = error(format!("redis://sse:password@{}", cluster.nodes[0].addr())).await;
    assert!(text.contains("+cluster|slots"), "{text}");
    assert!(readme.contains("+cluster|slots"), "it stands in the README");
    for node in &cluster.nodes {
        node.ask("ACL SETUSER sse +cluster|slots").await;
    }
    let log = Log::connect(&url).await.unwrap();
    publish(&log, "a").await;
    assert!(!format!("{log:?}").contains("password"), "{log:?}");
    // Only where the log is not.
    cluster.nodes[1].ask("ACL SETUSER sse resetpass").await;
    let text = error(&url).await;
    assert!(text.contains("name or password"), "{text}");
}

#[tokio::test]
async fn a_server_that_was_told_of_leads_there_when_the_first_is_gone() {
    needs_redis!();
    let mut cluster = RedisCluster::start_with(3, 0, &["--cluster-require-full-coverage", "no"]).await;
    let log = log_in(&cluster).await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    cluster.nodes[0].kill().await;
    cluster.nodes[1].ask("CLIENT KILL TYPE normal SKIPME yes").await;
    publish_sometime(&log, "b").await;
    assert_eq!(reader.record().await, "b");
    // Where the log goes, the reader goes, though its own server had answered.
    cluster.begin_to_move(1, 2).await;
    while cluster.move_keys(1, 2, 10).await > 0 {}
    cluster.end_moving(1, 2).await;
    cluster.nodes[1].kill().await;
    publish_sometime(&log, "c").await;
    assert!(matches!(reader.news().await, Fed::Seam { kept: Some(_), .. }));
    assert_eq!(reader.record().await, "c");
}

#[tokio::test]
async fn a_replica_takes_over_from_a_primary_that_is_gone() {
    needs_redis!();
    let mut cluster = RedisCluster::start_with(3, 1, &QUICK).await;
    let log = log_in(&cluster).await;
    let mut reader = Reader::caught_up(&log).await;
    let last = publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    until_copied(&cluster, 1, 4).await;
    cluster.nodes[1].kill().await;
    reader.until_away().await;
    publish_sometime(&log, "b").await;
    assert!(matches!(reader.news().await, Fed::Seam { kept, .. } if kept == Some(last.sequence())));
    assert_eq!(reader.record().await, "b");
    assert_eq!(cluster.place_of_log().await, 4);
    // It comes back as a replica of the other, and takes over in its turn.
    cluster.nodes[1].run().await;
    cluster.nodes[1].until("INFO replication", |info| info.contains("master_link_status:up")).await;
    let last = publish(&log, "c").await;
    assert_eq!(reader.record().await, "c");
    cluster.hand_over_to(1).await;
    publish_sometime(&log, "d").await;
    assert!(matches!(reader.news().await, Fed::Seam { kept, .. } if kept == Some(last.sequence())));
    assert_eq!(reader.record().await, "d");
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(records(&feds), ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn what_a_replica_lacks_that_takes_over_is_told() {
    needs_redis!();
    let mut cluster = RedisCluster::start_with(3, 1, &QUICK).await;
    let log = log_in(&cluster).await;
    let mut reader = Reader::caught_up(&log).await;
    let kept = publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    until_copied(&cluster, 1, 4).await;
    // Nothing reaches the replica any more, neither what is sent later nor what is under way.
    cluster.nodes[4].freeze();
    cluster.nodes[1].ask("CLIENT KILL TYPE replica").await;
    for record in ["lost 1", "lost 2", "lost 3"] {
        publish(&log, record).await;
        assert_eq!(reader.record().await, record);
    }
    cluster.nodes[1].kill().await;
    cluster.nodes[4].thaw();
    for n in 0..6 {
        publish_sometime(&log, &format!("new {n}")).await;
    }
    let seam = reader.news().await;
    assert!(matches!(seam, Fed::Seam { kept: upto, .. } if upto == Some(kept.sequence())), "{seam:?}");
    for n in 0..6 {
        assert_eq!(reader.record().await, format!("new {n}"));
    }
}

/// Waits until the replica has all that its primary has.
async fn until_copied(cluster: &RedisCluster, primary: usize, replica: usize) {
    let offset = |info: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
        line.and_then(|offset| offset.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let there = offset(&cluster.nodes[primary].ask("INFO replication").await);
    cluster.nodes[replica].until("INFO replication", |info| offset(info) >= there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handed_over_under_traffic() {
    needs_redis!();
    let cluster = RedisCluster::start(3, 1).await;
    let traffic = Traffic::begin(async || log_in(&cluster).await).await;
    // And back; not more often, since one that takes over twice within a minute counts the votes of the first time again and
    // is put back by the others.
    for place in [4, 1] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.hand_over_to(place).await;
        let other = &cluster.nodes[5 - place];
        other.until("INFO replication", |info| info.contains("master_link_status:up")).await;
    }
    assert_eq!(traffic.end(&cluster).await.exact_seams(), 2);
}

/// How many bytes, as `INFO replication` has them.
fn replicated(info: &str, field: &str) -> Option<u64> {
    info.lines().find_map(|line| line.trim().strip_prefix(field)?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_frozen_under_traffic() {
    needs_redis!();
    let mut cluster = RedisCluster::start_with(3, 1, &QUICK).await;
    let traffic = Traffic::begin(async || log_in(&cluster).await).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    cluster.nodes[1].kill().await;
    cluster.nodes[4].until("INFO replication", |info| info.contains("role:master")).await;
    cluster.nodes[1].run().await;
    cluster.nodes[1].until("INFO replication", |info| info.contains("master_link_status:up")).await;
    // A second epoch has begun on it, and its replica has that.
    let has_begun = |log: &str| log.lines().skip(3).step_by(5).filter(|name| *name == "p").count() > 1;
    cluster.nodes[4].until("XRANGE {sse}:log - +", has_begun).await;
    let offset = replicated(&cluster.nodes[4].ask("INFO replication").await, "master_repl_offset:");
    cluster.nodes[1].until("INFO replication", |info| replicated(info, "slave_repl_offset:") >= offset).await;
    // One that stands still is replaced, and does when it goes on what it was last sent.
    cluster.nodes[4].freeze();
    cluster.nodes[1].until("INFO replication", |info| info.contains("role:master")).await;
    cluster.nodes[4].thaw();
    cluster.nodes[4].until("INFO replication", |info| info.contains("master_link_status:up")).await;
    let told = traffic.end(&cluster).await;
    // What no replica had may be lost, which the reader was told: `end` looks.
    println!("{} told, {} accepted and lost", told.feds.len(), told.lost.len());
    assert!(told.feds.iter().filter(|fed| matches!(fed, Fed::Seam { .. })).count() >= 2);
}

#[tokio::test]
async fn all_of_it_is_restarted_with_its_data() {
    needs_redis!();
    let mut cluster = RedisCluster::start_with(3, 0, &QUICK).await;
    let log = log_in(&cluster).await;
    let mut reader = Reader::caught_up(&log).await;
    let last = publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    for node in &mut cluster.nodes {
        node.kill().await;
    }
    reader.until_away().await;
    for node in &mut cluster.nodes {
        node.run().await;
    }
    publish_sometime(&log, "b").await;
    assert!(matches!(reader.news().await, Fed::Seam { kept, .. } if kept == Some(last.sequence())));
    assert_eq!(reader.record().await, "b");
    let feds = Reader::new(&log_in(&cluster).await, all()).until_head().await;
    assert_eq!(records(&feds), ["a", "b"]);
}

#[tokio::test]
async fn over_tls_by_the_names_that_its_servers_tell() {
    needs_redis!();
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
    std::fs::write(&certificate, identity.cert.pem()).unwrap();
    std::fs::write(&key, identity.signing_key.serialize_pem()).unwrap();
    let (cluster, ports) = RedisCluster::start_tls("localhost", &certificate, &key).await;
    for port in ports {
        let log = Log::builder(format!("rediss://localhost:{port}"));
        let log = log.root_certificate(identity.cert.pem()).timeout(Duration::from_secs(20));
        let log = log.connect().await.unwrap();
        publish(&log, &port.to_string()).await;
        Reader::caught_up(&log).await;
    }
    assert_eq!(cluster.nodes[1].ask("XLEN {sse}:log").await, "3");
}
