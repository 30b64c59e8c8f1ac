//! A log that comes back to where it was before, and a server that goes on by itself while another one has taken over.

use std::time::Duration;

use futures_util::StreamExt as _;
use sse_core::{Engine as _, Fed, Hub, Keep, Publication, Start, Subscription};
use sse_redis::Redis as Log;
use sse_tests::redis::Redis;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    PATIENCE, log, needs_redis, publish, publish_sometime,
    reader::{Reader, all, records},
    replicas::{Address, copied, pair},
};

async fn hub(log: Log) -> Hub {
    Hub::builder().engine(log).build().await.unwrap()
}

async fn published(hub: &Hub, data: &str) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = hub.publish("news", data).await {
        assert!(Instant::now() < deadline, "{data}: {error}");
    }
}

/// What a client is given up to an event with this text.
async fn given(client: &mut Subscription, last: &str) -> Vec<String> {
    let mut given = Vec::new();
    while given.last().is_none_or(|event| event != last) {
        let event = timeout(PATIENCE, client.next()).await.unwrap_or_else(|_| panic!("no {last}: {given:?}"));
        let event = event.unwrap();
        given.push(if event.is_gap() { "gap".into() } else { event.data().into_owned() });
    }
    given
}

/// A switch to another server that is taken back: the first one stayed a master, and was written to meanwhile.
#[tokio::test]
async fn an_address_that_leads_back() {
    needs_redis!();
    let (master, replica, _link) = pair().await;
    let address = Address::of(&master).await;
    let (moves, stays) = (hub(address.log().await).await, hub(log(&master).await).await);
    let mut client = moves.subscribe("news", Start::Now).unwrap();
    let mut other = stays.subscribe("news", Start::Now).unwrap();
    published(&moves, "a").await;
    copied(&master, &replica).await;
    assert_eq!(given(&mut client, "a").await, ["a"]);
    for round in 0..3 {
        replica.ask("REPLICAOF NO ONE").await;
        address.leads_to(&replica);
        master.ask("CLIENT KILL TYPE normal").await;
        published(&moves, &format!("there {round}")).await;
        given(&mut client, &format!("there {round}")).await;
        published(&stays, &format!("missed {round}")).await;
        address.leads_to(&master);
        replica.ask("CLIENT KILL TYPE normal").await;
        let back = format!("back {round}");
        published(&moves, &back).await;
        let given = given(&mut client, &back).await;
        assert_eq!(given.iter().filter(|event| *event == "gap").count(), 1, "{given:?}");
        assert!(moves.away_for().is_none());
    }
    // Whoever has stayed has lost nothing.
    let given = given(&mut other, "back 2").await;
    assert!(!given.contains(&"gap".to_owned()), "{given:?}");
    for round in 0..3 {
        for event in ["missed", "back"] {
            assert!(given.contains(&format!("{event} {round}")), "{given:?}");
        }
    }
}

/// Under open connections, and from a copy that is older than what was there.
#[tokio::test]
async fn a_copy_that_is_put_back() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    publish(&log, "a").await;
    let keys = ["log", "meta", "epochs"];
    for key in keys {
        assert_eq!(redis.ask(&format!("COPY {{sse}}:{key} {{sse}}:copy-{key}")).await, "1");
    }
    publish(&log, "b").await;
    for record in ["a", "b"] {
        assert_eq!(reader.record().await, record);
    }
    redis.ask("DEL {sse}:log {sse}:meta {sse}:epochs").await;
    publish_sometime(&log, "c").await;
    let mut feds = Vec::new();
    while records(&feds).last().is_none_or(|last| last != "c") {
        feds.push(reader.next().await);
    }
    for key in keys {
        assert_eq!(redis.ask(&format!("RENAME {{sse}}:copy-{key} {{sse}}:{key}")).await, "OK");
    }
    publish_sometime(&log, "under the place of b").await;
    // The reader checks that no epoch comes again.
    let deadline = Instant::now() + PATIENCE;
    while !matches!(reader.news().await, Fed::Seam { kept: None, .. }) {
        assert!(Instant::now() < deadline, "it is not told");
    }
    reader.until_head().await;
    publish(&log, "d").await;
    assert_eq!(reader.record().await, "d");
}

/// Of what a node publishes, that is: its reader has gone to the new master, and nothing has broken the connection to the
/// old one.
#[tokio::test]
async fn a_master_that_goes_on_by_itself_is_left() {
    needs_redis!();
    let (master, replica, _link) = pair().await;
    let address = Address::of(&master).await;
    let hub = hub(address.log().await).await;
    let mut client = hub.subscribe("news", Start::Now).unwrap();
    published(&hub, "a").await;
    copied(&master, &replica).await;
    replica.ask("REPLICAOF NO ONE").await;
    address.leads_to(&replica);
    let before = hub.position().epoch();
    let deadline = Instant::now() + PATIENCE;
    while hub.position().epoch() == before {
        assert!(Instant::now() < deadline, "the reader stays");
        let clients = master.ask("CLIENT LIST TYPE normal").await;
        let reads = |client: &&str| client.contains("cmd=xread");
        for reader in clients.lines().filter(reads) {
            let id = reader.split(' ').find_map(|word| word.strip_prefix("id=")).unwrap();
            master.ask(&format!("CLIENT KILL ID {id}")).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
    // The address leads there once more.
    address.leads_to(&master);
    let late = hub.clone();
    let published = tokio::spawn(async move { late.publish("news", "b").await });
    sleep(Duration::from_millis(300)).await;
    address.leads_to(&replica);
    let id = published.await.unwrap().unwrap();
    assert_eq!(id.epoch(), hub.position().epoch());
    let given = given(&mut client, "b").await;
    assert_eq!(given.last().unwrap(), "b");
}

/// What may look at the log, and not read it.
#[tokio::test]
async fn a_reader_that_may_not_read_does_not_storm() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let mut reader = Reader::caught_up(&log).await;
    let connections = async || {
        let stats = redis.ask("INFO stats").await;
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    redis.ask("ACL SETUSER default -xread").await;
    let reason = reader.until_away().await;
    assert!(reason.contains("NOPERM") || reason.contains("xread"), "{reason}");
    let (before, since) = (connections().await, Instant::now());
    while since.elapsed() < Duration::from_secs(3) {
        let _ = timeout(Duration::from_millis(100), reader.next()).await;
    }
    // Those that ask here are among them.
    let made = connections().await - before;
    assert!(made < 30, "{made} in {:?}", since.elapsed());
    redis.ask("ACL SETUSER default +xread").await;
    publish(&log, "a").await;
    assert_eq!(reader.record().await, "a");
}

#[tokio::test]
async fn what_is_no_kept_record_keeps_nobody() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let keep = Keep::new("ada", Duration::from_secs(60));
    let kept = Publication::new("k", "signed out").keep(keep);
    log.publish(kept).await.unwrap();
    for (name, value) in [("x", "nonsense"), ("y", "1e9 x"), ("z", "")] {
        redis.ask(&format!("HSET {{sse}}:kept {name} \"{value}\"")).await;
    }
    let feds = Reader::new(&log, all()).until_head().await;
    let is_kept = |fed: &&Fed| matches!(fed, Fed::Kept { record } if record == "signed out");
    assert_eq!(feds.iter().filter(is_kept).count(), 1, "{feds:?}");
}

/// It has no place, and hides none.
#[tokio::test]
async fn somebody_elses_entry_in_front() {
    needs_redis!();
    let redis = Redis::start_with(&[]).await;
    let log = log(&redis).await;
    let a = publish(&log, "a").await;
    redis.ask("XTRIM {sse}:log MAXLEN 0").await;
    for _ in 0..40 {
        redis.ask("XADD {sse}:log * who knows").await;
    }
    publish(&log, "b").await;
    let feds = Reader::new(&log, all()).until_head().await;
    assert_eq!(records(&feds), ["b"]);
    assert!(matches!(feds[0], Fed::Begin { start, .. } if start == a), "{feds:?}");
}

/// Of several epochs that lie in front of a node some are known before they are read.
#[tokio::test]
async fn a_connection_that_breaks_between_epochs_ends_none() {
    needs_redis!();
    let redis = Redis::start_with(&["--enable-debug-command", "yes"]).await;
    let log = log(&redis).await;
    for epoch in 0..3 {
        redis.ask("DEBUG CHANGE-REPL-ID").await;
        for n in 0..300 {
            publish(&log, &format!("{epoch} {n}")).await;
        }
    }
    let epochs = redis.ask("LLEN {sse}:epochs").await;
    let mut reader = Reader::new(&log, all());
    let mut feds = Vec::new();
    for last in ["0 10", "1 10", "1 250", "2 100", "2 299"] {
        while records(&feds).last().is_none_or(|record| record != last) {
            feds.push(reader.next().await);
        }
        redis.ask("CLIENT KILL TYPE normal").await;
    }
    assert_eq!(records(&feds).len(), 900);
    publish_sometime(&log, "last").await;
    assert_eq!(reader.record().await, "last");
    assert_eq!(redis.ask("LLEN {sse}:epochs").await, epochs);
}
