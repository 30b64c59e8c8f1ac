//! What a reader is told when another server takes over, at the same address or in the same place.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use sse_core::Fed;
use sse_redis::Redis as Log;
use sse_tests::{proxy::Proxy, redis::Redis};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

use crate::{
    PATIENCE, needs_redis, publish, publish_sometime,
    reader::{Reader, all, records},
    try_publish,
};

/// An address that leads now here, now there, as a balancer's or a name's does.
pub(crate) struct Address {
    addr: SocketAddr,
    target: Arc<Mutex<SocketAddr>>,
    task: AbortHandle,
}

impl Address {
    pub(crate) async fn of(redis: &Redis) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let target = Arc::new(Mutex::new(redis.addr()));
        let leads = Arc::clone(&target);
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let target = *leads.lock().unwrap();
                open.spawn(async move {
                    if let Ok(mut upstream) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut client, &mut upstream).await;
                    }
                });
            }
        });
        Self { addr, target, task: task.abort_handle() }
    }

    /// From now on. What is open stays so.
    pub(crate) fn leads_to(&self, redis: &Redis) {
        *self.target.lock().unwrap() = redis.addr();
    }

    pub(crate) async fn log(&self) -> Log {
        Log::connect(format!("redis://{}", self.addr)).await.unwrap()
    }
}

impl Drop for Address {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server, and one that copies it over a link that can be stopped.
pub(crate) async fn pair() -> (Redis, Redis, Proxy) {
    let master = Redis::start_with(&["--enable-debug-command", "yes"]).await;
    let link = Proxy::start(master.addr(), std::iter::empty()).await.unwrap();
    let (host, port) = (link.addr().ip(), link.addr().port());
    let replica = Redis::start_with(&["--replicaof", &format!("{host} {port}")]).await;
    replica.until("INFO replication", |info| info.contains("master_link_status:up")).await;
    (master, replica, link)
}

/// Waits until the replica has as many entries as its master.
pub(crate) async fn copied(master: &Redis, replica: &Redis) {
    let len = master.ask("XLEN {sse}:log").await;
    replica.until("XLEN {sse}:log", |answer| answer == len).await;
}

#[tokio::test]
async fn a_replica_that_lacks_the_last_writes_and_has_used_their_positions_again() {
    needs_redis!();
    let (mut master, replica, link) = pair().await;
    let address = Address::of(&master).await;
    let log = address.log().await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    let kept = publish(&log, "b").await;
    copied(&master, &replica).await;
    link.silence_all();
    for record in ["lost 1", "lost 2", "lost 3"] {
        publish(&log, record).await;
    }
    for record in ["a", "b", "lost 1", "lost 2", "lost 3"] {
        assert_eq!(reader.record().await, record);
    }
    assert_eq!(replica.ask("XLEN {sse}:log").await, "3");
    master.kill().await;
    replica.ask("REPLICAOF NO ONE").await;
    address.leads_to(&replica);
    for n in 0..10 {
        publish_sometime(&log, &format!("new {n}")).await;
    }
    let seam = reader.news().await;
    assert!(matches!(seam, Fed::Seam { kept: upto, .. } if upto == Some(kept.sequence())), "{seam:?}");
    for n in 0..10 {
        assert_eq!(reader.record().await, format!("new {n}"));
    }
    let feds = Reader::new(&log, all()).until_head().await;
    assert!(feds.contains(&seam) && records(&feds).len() == 12, "{feds:?}");
}

#[tokio::test]
async fn a_server_that_follows_another_and_leads_again_tells_all_that_happened() {
    needs_redis!();
    let (master, replica, link) = pair().await;
    let log = Log::connect(master.url()).await.unwrap();
    let mut reader = Reader::caught_up(&log).await;
    let kept = publish(&log, "a").await;
    copied(&master, &replica).await;
    link.silence_all();
    assert_eq!(reader.record().await, "a");
    // Both are written to now, by turns: from where the reader is, some of the other's entries are not seen.
    replica.ask("REPLICAOF NO ONE").await;
    let other = Log::connect(replica.url()).await.unwrap();
    let mut there = kept;
    for n in 0..8 {
        there = publish(&other, &format!("there {n}")).await;
        if n == 3 {
            publish(&log, "lost 1").await;
            publish(&log, "lost 2").await;
        }
    }
    assert_eq!(reader.record().await, "lost 1");
    assert_eq!(reader.record().await, "lost 2");
    // The reader's own server is made a copy of the other one, under its open connection.
    let addr = replica.addr();
    master.ask(&format!("REPLICAOF {} {}", addr.ip(), addr.port())).await;
    let error = try_publish(&log, "refused").await.unwrap_err();
    assert!(!error.may_be_published(), "{error:?}");
    master.until("INFO replication", |info| info.contains("master_link_status:up")).await;
    // As long as it is one, it cannot say what is newest.
    let (mut feds, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while !matches!(feds.last(), Some(Fed::Away { .. })) {
        assert!(Instant::now() < deadline, "it is taken for a master: {feds:?}");
        feds.push(reader.next().await);
    }
    master.ask("REPLICAOF NO ONE").await;
    publish_sometime(&log, "and on").await;
    while records(&feds).last().is_none_or(|last| last != "and on") {
        assert!(Instant::now() < deadline + PATIENCE, "{feds:?}");
        feds.push(reader.next().await);
    }
    feds.retain(|fed| !matches!(fed, Fed::Head { .. }));
    let away =
        feds.iter().filter(|fed| matches!(fed, Fed::Away { reason } if reason.contains("replica"))).count();
    assert!(away > 0, "{feds:?}");
    let expected = (0..8).map(|n| format!("there {n}")).chain(["and on".to_owned()]);
    assert_eq!(records(&feds), expected.collect::<Vec<_>>());
    let kept_each = |fed: &Fed| match fed {
        Fed::Seam { kept, .. } => Some(*kept),
        _ => None,
    };
    let seams: Vec<_> = feds.iter().filter_map(kept_each).collect();
    assert_eq!(seams, [Some(kept.sequence()), Some(there.sequence())], "{feds:?}");
}

#[tokio::test]
async fn the_other_side_of_a_split_ends_where_both_parted() {
    needs_redis!();
    let (mut master, replica, link) = pair().await;
    let address = Address::of(&master).await;
    let log = address.log().await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    copied(&master, &replica).await;
    link.silence_all();
    assert_eq!(reader.record().await, "a");
    // An epoch that the replica never hears of.
    assert_eq!(master.ask("DEBUG CHANGE-REPL-ID").await, "OK");
    publish(&log, "lost").await;
    assert!(matches!(reader.news().await, Fed::Seam { kept: Some(_), .. }));
    assert_eq!(reader.record().await, "lost");
    master.kill().await;
    replica.ask("REPLICAOF NO ONE").await;
    address.leads_to(&replica);
    publish_sometime(&log, "new").await;
    assert!(matches!(reader.news().await, Fed::Seam { kept: None, .. }));
    // And nothing that was given before comes again.
    assert_eq!(reader.record().await, "new");
}

#[tokio::test]
async fn a_handover_loses_nothing() {
    needs_redis!();
    let master = Redis::start_with(&[]).await;
    let replica = Redis::replica_of(&master).await;
    let address = Address::of(&master).await;
    let log = address.log().await;
    let mut reader = Reader::caught_up(&log).await;
    let last = publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    copied(&master, &replica).await;
    master.until("FAILOVER", |answer| answer == "OK").await;
    replica.until("INFO replication", |info| info.contains("role:master")).await;
    master.until("INFO replication", |info| info.contains("role:slave")).await;
    // New connections lead there; those that are open stay with the old one.
    address.leads_to(&replica);
    let error = try_publish(&log, "b").await.unwrap_err();
    assert!(!error.may_be_published() && !error.is_final(), "{error:?}");
    publish(&log, "b").await;
    assert!(matches!(reader.news().await, Fed::Seam { kept, .. } if kept == Some(last.sequence())));
    assert_eq!(reader.record().await, "b");
}

#[tokio::test]
async fn sentinels_are_asked_who_has_taken_over() {
    needs_redis!();
    let mut master = Redis::start_with(&[]).await;
    let replica = Redis::replica_of(&master).await;
    let sentinel = Redis::sentinel(&master, "shop").await;
    sentinel
        .until("SENTINEL REPLICAS shop", |answer| answer.contains(&replica.addr().port().to_string()))
        .await;
    // One that says nothing, and one that is not there, hold up nobody: also not who publishes.
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let silent = format!("redis://{}", silent.local_addr().unwrap());
    let nobody = "redis://127.0.0.1:1".to_owned();
    let sentinels = [silent, nobody, sentinel.url()];
    let log = Log::builder("redis://shop/0").sentinels(sentinels).connect().await.unwrap();
    let mut reader = Reader::caught_up(&log).await;
    let last = publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
    copied(&master, &replica).await;
    master.kill().await;
    reader.until_away().await;
    publish_sometime(&log, "b").await;
    assert!(matches!(reader.news().await, Fed::Seam { kept, .. } if kept == Some(last.sequence())));
    assert_eq!(reader.record().await, "b");
    assert!(replica.ask("INFO replication").await.contains("role:master"));
}
