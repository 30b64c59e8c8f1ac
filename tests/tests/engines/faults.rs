//! Faults that can be had at will in memory alone: each node has its own, and at the right moment.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use futures_util::stream;
use sse_core::{
    Engine, EngineError, EngineFuture, EventId, Fed, Keep, Past, Publication, PublishError, Published, Tail,
};
use sse_tests::engines::{Link, Memory, Stopped};
use tokio::{
    runtime,
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    client::{Client, numbered},
    node::{PATIENCE, builder, has, in_time, on, until},
};

/// Long enough for whatever might come too early.
const MOMENT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_client_ahead_of_its_node_is_held() {
    let log = Memory::new();
    let slow = log.connect();
    let (a, b) = (on(log.connect()).await, on(slow.clone()).await);
    slow.hold();
    let mut client = Client::new(&a, &["news"]).await;
    for n in 0..10 {
        a.publish("news", format!("news-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("news-4").await, numbered("news", 0..5));
    let mut client = client.again(&b);
    // Neither what it has, nor a position that would throw it back, nor a gap that there is not.
    assert_eq!(client.at_once(MOMENT).await, None);
    let id = client.id.clone();
    assert_eq!(client.id, id);
    slow.release();
    assert_eq!(client.upto("news-9").await, numbered("news", 5..10));
    // With the newest of all it has nothing to come.
    slow.hold();
    let newest = a.publish("news", "newest").await.unwrap();
    let mut client = Client::after(&b, &["news"], newest);
    assert_eq!(client.at_once(MOMENT).await, None);
    a.publish("news", "next").await.unwrap();
    slow.release();
    assert_eq!(client.short().await, "next");
}

/// Nothing of it is known: neither that there is such an event, nor that there is none.
#[tokio::test(start_paused = true)]
async fn whoever_is_held_too_long_comes_back_with_what_it_has() {
    let (hub, _engine, said, [_, new]) = in_another_epoch().await;
    let ahead = EventId::new(new, 7);
    let asked = std::time::Instant::now();
    let mut client = Client::after(&hub, &["news"], ahead);
    let answers = async {
        loop {
            said.send(Fed::Head { id: EventId::new(new, 6), asked }).unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        ends = client.ends() => assert!(ends),
        () = answers => {}
    }
    assert!(hub.away_for().is_none());
    assert_eq!(client.id, Some(ahead.to_string()));
}

/// An engine that says nothing is away, and while it is nobody's time runs.
#[tokio::test(start_paused = true)]
async fn whoever_is_ahead_of_a_node_that_hears_nothing_is_held() {
    let log = Memory::new();
    let slow = log.connect();
    let (a, b) = (on(log.connect()).await, on(slow.clone()).await);
    slow.hold();
    let ahead = a.publish("news", "first").await.unwrap();
    let mut client = Client::after(&b, &["news"], ahead);
    assert_eq!(client.at_once(Duration::from_secs(30)).await, None);
    assert!(b.away_for().is_some());
    a.publish("news", "next").await.unwrap();
    slow.release();
    assert_eq!(client.short().await, "next");
}

#[tokio::test]
async fn an_epoch_that_is_not_known_here_yet_is_waited_for() {
    let log = Memory::new();
    let slow = log.connect();
    let (a, b) = (on(log.connect()).await, on(slow.clone()).await);
    let first = a.publish("news", "first").await.unwrap();
    has(&b, first).await;
    slow.hold();
    log.restart();
    let second = a.publish("news", "second").await.unwrap();
    assert_ne!(first.epoch(), second.epoch());
    let mut client = Client::after(&b, &["news"], second);
    assert_eq!(client.at_once(MOMENT).await, None);
    let third = a.publish("news", "third").await.unwrap();
    slow.release();
    assert_eq!(client.short().await, "third");
    assert_eq!(client.id, Some(third.to_string()));
}

#[tokio::test]
async fn while_the_engine_is_away_nobody_is_judged() {
    let log = Memory::new();
    let cut = log.connect();
    let (a, b) = (on(log.connect()).await, on(cut.clone()).await);
    cut.stop(Stopped::Refuses);
    until("it notices", || b.away_for().is_some()).await;
    log.restart();
    let known = a.publish("news", "known").await.unwrap();
    let mut true_one = Client::after(&b, &["news"], known);
    let mut ahead = Client::after(&b, &["news"], format!("{:016x}-77", known.epoch()));
    let mut elsewhere = Client::after(&b, &["news"], "00000000000000aa-1");
    for client in [&mut true_one, &mut ahead, &mut elsewhere] {
        assert_eq!(client.at_once(MOMENT).await, None);
    }
    cut.start();
    // And nobody waits for ever.
    assert_eq!(ahead.short().await, "gap:unknown");
    assert_eq!(elsewhere.short().await, "gap:restarted");
    a.publish("news", "end").await.unwrap();
    assert_eq!(true_one.short().await, "end");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    let log = Memory::new();
    let link = log.connect();
    let hub = on(link.clone()).await;
    link.lose_answers(3);
    let id = hub.publish("news", "once").await.unwrap();
    let [(in_log, _)] = log.records()[..] else { panic!("{:?}", log.records()) };
    assert_eq!(in_log, id);
    link.refuse(2);
    hub.publish("news", "twice refused").await.unwrap();
    assert_eq!(log.records().len(), 2);
    link.refuse_for_ever();
    let begun = Instant::now();
    assert_eq!(hub.publish("news", "never").await, Err(PublishError::NotPublished));
    assert!(begun.elapsed() < Duration::from_secs(4), "it was of no use to try again");
}

#[tokio::test]
async fn what_is_unknown_can_be_found_out() {
    let log = Memory::new();
    let link = log.connect();
    let hub =
        builder().engine(link.clone()).publish_timeout(Duration::from_millis(200)).build().await.unwrap();
    let mut client = Client::new(&hub, &["news"]).await;
    for (how, is_there) in [(Stopped::SilentlyAccepts, true), (Stopped::Silent, false)] {
        link.stop(how);
        let key = format!("{how:?}");
        assert_eq!(hub.publish_once(&key, "news", key.as_str()).await, Err(PublishError::Unknown));
        link.start();
        let published = hub.publish_once(&key, "news", "again").await.unwrap();
        assert_eq!(published.is_new, !is_there);
        assert_eq!(client.short().await, if is_there { &key } else { "again" });
        assert_eq!(client.id, Some(published.id.to_string()));
    }
    link.stop(Stopped::Refuses);
    assert_eq!(hub.publish_once("c", "news", "c").await, Err(PublishError::NotPublished));
    // A refusal says nothing of the try before it.
    link.start();
    link.lose_answers(1);
    let refused = link.clone();
    let publishing = hub.publish("news", "in doubt");
    let stop = async {
        until("it was accepted", || log.records().len() == 3).await;
        refused.stop(Stopped::Refuses);
    };
    let (published, ()) = tokio::join!(publishing, stop);
    assert_eq!(published, Err(PublishError::Unknown));
    link.start();
    assert_eq!(client.short().await, "in doubt");
    hub.publish("news", "end").await.unwrap();
    assert_eq!(client.short().await, "end");
}

#[tokio::test]
async fn what_comes_twice_is_given_once() {
    let log = Memory::new();
    let link = log.connect();
    let hub = on(link.clone()).await;
    let mut client = Client::new(&hub, &["news"]).await;
    link.repeat(30);
    for n in 0..40 {
        hub.publish("news", format!("news-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("news-39").await, numbered("news", 0..40));
    // Also what comes again from before the engine was started anew.
    let last = hub.publish("news", "last").await.unwrap();
    has(&hub, last).await;
    log.restart();
    link.repeat(3);
    for n in 0..5 {
        hub.publish("news", format!("new-{n}")).await.unwrap();
    }
    assert_eq!(client.short().await, "last");
    assert_eq!(client.upto("new-4").await, numbered("new", 0..5));
}

/// However many restarts ago it was.
#[tokio::test]
async fn what_comes_again_of_an_epoch_long_ago_is_nothing_new() {
    let log = Memory::new();
    let link = log.connect();
    let hub = on(link.clone()).await;
    let mut client = Client::new(&hub, &["news"]).await;
    for n in 0..3 {
        hub.publish("news", format!("old-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("old-2").await, numbered("old", 0..3));
    for _ in 0..20 {
        log.restart();
    }
    link.repeat(1);
    for n in 0..3 {
        hub.publish("news", format!("new-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("new-2").await, numbered("new", 0..3));
}

#[tokio::test]
async fn sequences_that_are_missing_are_a_loss() {
    let log = Memory::new();
    let hub = on(log.connect()).await;
    let mut client = Client::new(&hub, &["news"]).await;
    let first = hub.publish("news", "first").await.unwrap();
    assert_eq!(client.short().await, "first");
    log.jump(3);
    hub.publish("news", "second").await.unwrap();
    assert_eq!(client.upto("second").await, ["gap:trimmed", "second"]);
    let mut client = Client::after(&hub, &["news"], first);
    assert_eq!(client.upto("second").await, ["gap:trimmed", "second"]);
    let id = format!("{:016x}-{}", first.epoch(), first.sequence() + 3);
    let mut client = Client::after(&hub, &["news"], id);
    assert_eq!(client.short().await, "second");
}

#[tokio::test]
async fn trimmed_before_it_was_read() {
    let log = Memory::new();
    let slow = log.connect();
    let (a, b) = (on(log.connect()).await, on(slow.clone()).await);
    let mut client = Client::new(&b, &["news"]).await;
    a.publish("news", "first").await.unwrap();
    assert_eq!(client.short().await, "first");
    slow.hold();
    for n in 0..10 {
        a.publish("news", format!("news-{n}")).await.unwrap();
    }
    log.trim(4);
    slow.release();
    let gap = client.next().await;
    assert_eq!(gap.name, "sse-gap");
    let gap: serde_json::Value = gap.json().unwrap();
    let (epoch, first) = (a.position().epoch(), 1);
    assert_eq!(gap["reason"], "trimmed");
    assert_eq!(gap["after"], format!("{epoch:016x}-{first}"));
    assert_eq!(gap["upto"], format!("{epoch:016x}-{}", first + 6));
    assert_eq!(client.upto("news-9").await, numbered("news", 6..10));
    // Across an epoch as well: of neither is anything invented.
    slow.hold();
    log.restart();
    for n in 10..20 {
        a.publish("news", format!("news-{n}")).await.unwrap();
    }
    log.trim(4);
    slow.release();
    assert_eq!(client.short().await, "gap:restarted");
    assert_eq!(client.upto("news-19").await, numbered("news", 16..20));
}

#[tokio::test]
async fn a_log_that_falls_back_takes_back_what_it_lost() {
    let log = Memory::new();
    let slow = log.connect();
    let (a, b) = (on(log.connect()).await, on(slow.clone()).await);
    let mut ids = Vec::new();
    let mut client = Client::new(&a, &["news"]).await;
    let mut behind = Client::new(&b, &["news"]).await;
    for n in 0..10 {
        ids.push(a.publish("news", format!("old-{n}")).await.unwrap());
    }
    assert_eq!(client.upto("old-9").await, numbered("old", 0..10));
    assert_eq!(behind.upto("old-9").await, numbered("old", 0..10));
    slow.hold();
    for n in 10..13 {
        ids.push(a.publish("news", format!("old-{n}")).await.unwrap());
    }
    assert_eq!(client.upto("old-12").await, numbered("old", 10..13));
    // Their places are given again.
    log.roll_back(4);
    for n in 0..4 {
        let id = a.publish("news", format!("new-{n}")).await.unwrap();
        assert_eq!(id.sequence(), ids[9 + n].sequence());
    }
    slow.release();
    let all = ["gap:restarted", "new-0", "new-1", "new-2", "new-3"];
    assert_eq!(client.upto("new-3").await, all);
    // This one had the last of them that was lost, and none of the others.
    assert_eq!(behind.upto("new-3").await, all);
    // Who had nothing of what was lost is told nothing.
    for hub in [&a, &b, &on(log.connect()).await] {
        let mut exact = Client::after(hub, &["news"], ids[8]);
        assert_eq!(exact.upto("new-3").await, numbered("new", 0..4));
        let mut exact = Client::after(hub, &["news"], ids[3]);
        let mut expected = numbered("old", 4..9);
        expected.extend(numbered("new", 0..4));
        assert_eq!(exact.upto("new-3").await, expected);
        for void in [9, 11, 12] {
            let mut lost = Client::after(hub, &["news"], ids[void]);
            assert_eq!(lost.upto("new-3").await, all, "{void}");
        }
    }
}

#[tokio::test]
async fn what_was_taken_back_is_told_however_late_its_client_looks() {
    let log = Memory::new();
    let hub = on(log.connect()).await;
    // As many seams as are remembered, more, and many more.
    for seams in [1, 8, 9, 30, 100] {
        let mut other = Client::new(&hub, &["news"]).await;
        hub.publish("news", "kept").await.unwrap();
        assert_eq!(other.short().await, "kept");
        let mut client = Client::new(&hub, &["news"]).await;
        let lost = hub.publish("news", "lost").await.unwrap();
        assert_eq!(client.short().await, "lost");
        has(&hub, lost).await;
        log.roll_back(1);
        for n in 0..seams {
            let id = hub.publish("news", format!("news-{n}")).await.unwrap();
            has(&hub, id).await;
            if n + 1 < seams {
                log.restart();
            }
        }
        let last = format!("news-{}", seams - 1);
        let mut expected = numbered("news", 0..seams);
        // Whoever had nothing of it is told nothing.
        if seams < 70 {
            assert_eq!(other.upto(&last).await, expected, "{seams} seams");
        }
        expected.insert(0, "gap:restarted".into());
        assert_eq!(client.upto(&last).await, expected, "{seams} seams");
    }
}

#[tokio::test]
async fn a_log_of_which_nothing_is_sure_is_told_as_such() {
    let log = Memory::new();
    let hub = on(log.connect()).await;
    let mut client = Client::new(&hub, &["news"]).await;
    let first = hub.publish("news", "first").await.unwrap();
    assert_eq!(client.short().await, "first");
    log.doubt();
    hub.publish("news", "second").await.unwrap();
    assert_eq!(client.upto("second").await, ["gap:restarted", "second"]);
    let mut client = Client::after(&hub, &["news"], first);
    assert_eq!(client.upto("second").await, ["gap:restarted", "second"]);
}

#[tokio::test]
async fn ten_restarts_one_after_the_other() {
    let log = Memory::new();
    let slow = log.connect();
    let (a, b) = (on(log.connect()).await, on(slow.clone()).await);
    let mut clients = [Client::new(&a, &["news"]).await, Client::new(&b, &["news"]).await];
    slow.hold();
    let mut ids = Vec::new();
    for n in 0..30 {
        ids.push(a.publish("news", format!("news-{n}")).await.unwrap());
        if n % 3 == 1 {
            log.restart();
        }
    }
    slow.release();
    for client in &mut clients {
        assert_eq!(client.upto("news-29").await, numbered("news", 0..30));
    }
    for hub in [&a, &b] {
        let mut client = Client::after(hub, &["news"], ids[15]);
        assert_eq!(client.upto("news-29").await, numbered("news", 16..30));
        // Of so many lives ago nothing is known: then that is told.
        let mut client = Client::after(hub, &["news"], ids[0]);
        let came = client.upto("news-29").await;
        assert!(came == numbered("news", 1..30) || came[0] == "gap:restarted", "{came:?}");
    }
}

#[tokio::test]
async fn clocks_that_are_wrong_lose_nothing() {
    let log = Memory::new();
    let (a, b) = (on(log.connect()).await, on(log.connect()).await);
    let mut client = Client::new(&b, &["news"]).await;
    let start = a.position();
    for n in 0..5 {
        a.publish("news", format!("news-{n}")).await.unwrap();
    }
    // Its clock falls: what is there is of the future.
    log.set_clock_back(Duration::from_secs(7200));
    for n in 5..10 {
        a.publish("news", format!("news-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("news-9").await, numbered("news", 0..10));
    let later = on(log.connect()).await;
    let mut client = Client::after(&later, &["news"], start);
    assert_eq!(client.upto("news-9").await, numbered("news", 0..10));
    // Records whose age by the engine's clock is more than any hub keeps, though they have only just come: its clock was
    // set forward. They are live all the same.
    let slow = log.connect();
    let node = on(slow.clone()).await;
    let mut client = Client::new(&node, &["news"]).await;
    slow.hold();
    for n in 10..15 {
        a.publish("news", format!("news-{n}")).await.unwrap();
    }
    log.let_pass(Duration::from_secs(7200));
    slow.release();
    assert_eq!(client.upto("news-14").await, numbered("news", 10..15));
}

#[tokio::test]
async fn what_is_too_old_is_not_begun_with() {
    let log = Memory::new();
    let first = on(log.connect()).await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(first.publish("news", format!("old-{n}")).await.unwrap());
    }
    log.let_pass(Duration::from_secs(3000));
    for n in 0..5 {
        ids.push(first.publish("news", format!("new-{n}")).await.unwrap());
    }
    let half = builder().max_age(Duration::from_secs(1000)).engine(log.connect()).build().await.unwrap();
    let mut client = Client::after(&half, &["news"], ids[4]);
    let mut expected = numbered("new", 0..5);
    assert_eq!(
        client.upto("new-4").await.split_first().map(|(gap, rest)| (gap.as_str(), rest)),
        Some(("gap:trimmed", &expected[..]))
    );
    let whole = on(log.connect()).await;
    let mut client = Client::after(&whole, &["news"], ids[4]);
    expected.splice(0..0, numbered("old", 5..10));
    assert_eq!(client.upto("new-4").await, expected);
}

#[tokio::test]
async fn records_of_other_versions() {
    let log = Memory::new();
    let hub = on(log.connect()).await;
    let mut client = Client::new(&hub, &["news"]).await;
    hub.publish("news", "first").await.unwrap();
    // Of a kind that is not known: of no concern to clients.
    for record in [r#"{"v":1,"kind":"new"}"#, r#"{"v":2,"kind":"new","more":[1]}"#, r#"{"v":9,"kind":"new"}"#]
    {
        log.append(record);
    }
    // An event of the next version, with what this one does not know.
    log.append(r#"{"v":2,"kind":"event","topics":["news"],"frame":"data: next\n","more":1}"#);
    hub.publish("news", "second").await.unwrap();
    assert_eq!(client.upto("second").await, ["first", "next", "second"]);
    // One from further ahead cannot be read; nor can what is no record.
    for record in [r#"{"v":9,"kind":"event","topics":["news"],"frame":"x"}"#, "", "\u{0}", "{}"] {
        let lost = log.append(record);
        hub.publish("news", "behind it").await.unwrap();
        let gap = client.next().await;
        let gap: serde_json::Value = gap.json().unwrap();
        assert_eq!((&gap["reason"], &gap["upto"]), (&"trimmed".into(), &lost.to_string().into()), "{record}");
        assert_eq!(client.short().await, "behind it");
    }
    // Whoever has an id that is no event's goes on from there.
    let control = log.append(r#"{"v":1,"kind":"new"}"#);
    has(&hub, control).await;
    let mut client = Client::after(&hub, &["news"], control);
    hub.publish("news", "end").await.unwrap();
    assert_eq!(client.short().await, "end");
    // And the next node sees the same.
    let later = on(log.connect()).await;
    let mut client = Client::after(&later, &["news"], control);
    assert_eq!(client.short().await, "end");
}

/// None may, but its hub goes on all the same.
#[tokio::test]
async fn a_tail_that_ends_is_followed_anew() {
    let log = Memory::new();
    let link = log.connect();
    let hub = on(link.clone()).await;
    let mut client = Client::new(&hub, &["news"]).await;
    for n in 0..5 {
        hub.publish("news", format!("news-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("news-4").await, numbered("news", 0..5));
    link.end_tail();
    until("it is said", || hub.away_for().is_some()).await;
    for n in 5..10 {
        hub.publish("news", format!("news-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("news-9").await, numbered("news", 5..10));
    // One that begins with what was before a restart tells nothing new.
    log.restart();
    for n in 10..15 {
        hub.publish("news", format!("news-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("news-14").await, numbered("news", 10..15));
    link.end_tail();
    for n in 15..20 {
        hub.publish("news", format!("news-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("news-19").await, numbered("news", 15..20));
    assert_eq!(log.tails(), 1);
    // Nor does it where this node has never seen the epoch that it begins with.
    let link = log.connect();
    let later = super::node::with(builder().max_events(3), link.clone()).await;
    let mut client = Client::new(&later, &["news"]).await;
    log.empty();
    hub.publish("news", "new-0").await.unwrap();
    assert_eq!(client.upto("new-0").await, ["gap:restarted", "new-0"]);
    log.restart();
    hub.publish("news", "new-1").await.unwrap();
    assert_eq!(client.short().await, "new-1");
    link.end_tail();
    until("it is said", || later.away_for().is_some()).await;
    log.restart();
    for n in 2..5 {
        hub.publish("news", format!("new-{n}")).await.unwrap();
    }
    assert_eq!(client.upto("new-4").await, numbered("new", 2..5));
    // Where it is nowhere any more, that is told.
    link.end_tail();
    log.empty();
    let lost = hub.publish("news", "newest-0").await.unwrap();
    has(&later, lost).await;
    hub.publish("news", "newest-1").await.unwrap();
    assert_eq!(client.upto("newest-1").await, ["gap:restarted", "newest-1"]);
}

#[tokio::test]
async fn the_runtime_dies_that_follows_the_engine() {
    let log = Memory::new();
    let link = log.connect();
    let inside = link.clone();
    let (hub, runtime) = tokio::task::spawn_blocking(move || {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let hub = builder().engine(inside).publish_timeout(Duration::from_millis(500));
        let hub = runtime.block_on(hub.unready_after(Duration::from_millis(100)).build()).unwrap();
        (hub, runtime)
    })
    .await
    .unwrap();
    let mut client = Client::new(&hub, &["news"]).await;
    hub.publish("news", "first").await.unwrap();
    assert_eq!(client.short().await, "first");
    let mut ahead = Client::after(&hub, &["news"], format!("{:016x}-99", hub.position().epoch()));
    runtime.shutdown_background();
    until("it is said", || hub.away_for().is_some()).await;
    until("it is not ready", || !hub.is_ready()).await;
    assert_eq!(log.tails(), 0);
    assert_eq!(client.at_once(MOMENT).await, None);
    assert_eq!(ahead.at_once(MOMENT).await, None);
    // A publisher is not left to wait either.
    let blocking = hub.clone();
    let blocking = thread::spawn(move || blocking.publish_blocking("news", "x"));
    let joined = tokio::task::spawn_blocking(move || blocking.join().unwrap());
    let failed = in_time("the publisher is told", joined).await.unwrap();
    assert_eq!(failed, Err(PublishError::NotPublished));
    // The engine takes what other runtimes bring.
    hub.publish("news", "second").await.unwrap();
    assert_eq!(log.records().len(), 2);
    // Stopping ends the streams as ever.
    hub.lifecycle().stop();
    assert!(client.ends().await);
    assert!(ahead.ends().await);
}

#[tokio::test]
async fn an_engine_that_does_not_answer_is_named() {
    let log = Memory::new();
    let link = log.connect();
    link.stop(Stopped::Silent);
    let hub = builder().engine(link.clone()).ready_timeout(MOMENT).build().await;
    let error = hub.unwrap_err().to_string();
    assert!(error.contains("memory") && error.contains("the test has stopped it"), "{error}");
    link.start();
    link.hold();
    let hub = builder().engine(link.clone()).ready_timeout(MOMENT).build().await;
    assert!(hub.unwrap_err().to_string().contains("memory"));
    until("nothing is left", || log.tails() == 0).await;
    // Who gives up waiting leaves nothing either.
    let building = builder().engine(link.clone()).build();
    assert!(tokio::time::timeout(MOMENT, building).await.is_err());
    until("nothing is left", || log.tails() == 0).await;
    // Nor where it has begun to read.
    let tasks = || runtime::Handle::current().metrics().num_alive_tasks();
    let at_rest = tasks();
    link.release();
    link.delay(PATIENCE);
    log.append(r#"{"v":1,"kind":"new"}"#);
    let building = builder().engine(link.clone()).build();
    assert!(tokio::time::timeout(MOMENT, building).await.is_err());
    until("nothing is left", || log.tails() == 0 && tasks() <= at_rest).await;
}

/// Between its beginning and its first head the tail is cut: the hub is not ready before all is there.
#[tokio::test]
async fn it_is_ready_when_it_has_caught_up() {
    let log = Memory::new();
    let first = on(log.connect()).await;
    for n in 0..500 {
        first.publish("news", format!("news-{n}")).await.unwrap();
    }
    let link = log.connect();
    link.delay(MOMENT);
    let last = first.publish("news", "last").await.unwrap();
    let hub = on(link).await;
    assert_eq!(hub.position(), last);
}

#[tokio::test]
async fn for_ever_is_a_time_like_any_other() {
    let log = Memory::new();
    let link = Endless(log.connect());
    let hub = builder()
        .engine(link)
        .publish_timeout(Duration::MAX)
        .ready_timeout(Duration::MAX)
        .unready_after(Duration::MAX)
        .build()
        .await
        .unwrap();
    hub.publish("news", "x").await.unwrap();
    let blocking = hub.clone();
    let blocking = tokio::task::spawn_blocking(move || blocking.publish_blocking("news", "y"));
    blocking.await.unwrap().unwrap();
    assert!(hub.is_ready());
}

/// It remembers keys for ever.
#[derive(Debug)]
struct Endless(Link);

impl sse_core::Engine for Endless {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn remembers_keys_for(&self) -> Duration {
        Duration::MAX
    }

    fn publish(
        &self,
        publication: sse_core::Publication,
    ) -> sse_core::EngineFuture<'_, Result<sse_core::Published, sse_core::EngineError>> {
        self.0.publish(publication)
    }

    fn tail(&self, past: sse_core::Past) -> sse_core::Tail {
        self.0.tail(past)
    }
}

/// What is kept beyond the log comes to the node that starts later, once more than once if need be, and no client sees
/// anything of it.
#[tokio::test]
async fn kept_records_come_before_a_node_is_ready() {
    use sse_core::{Engine as _, Publication};
    let log = Memory::new();
    let link = log.connect();
    let record = r#"{"v":1,"kind":"new","body":1}"#;
    let keep = Keep::new("a", PATIENCE);
    link.publish(Publication::new("t:1", record).keep(keep)).await.unwrap();
    let hub = on(link.clone()).await;
    let mut client = Client::new(&hub, &["news"]).await;
    log.trim(0);
    let later = on(log.connect()).await;
    let end = later.publish("news", "end").await.unwrap();
    assert_eq!(client.short().await, "end");
    assert_eq!(client.id, Some(end.to_string()));
}

/// Reconnecting clients of which nobody knows anything leave nothing behind, however long the engine is away.
#[tokio::test]
async fn a_crowd_that_waits_is_woken_and_freed() {
    let log = Memory::new();
    let link = log.connect();
    let hub = on(link.clone()).await;
    let ahead = format!("{:016x}-5", hub.position().epoch());
    link.stop(Stopped::Accepts);
    until("it notices", || hub.away_for().is_some()).await;
    let mut clients = Vec::new();
    for n in 0..500 {
        let mut client = Client::after(&hub, &["news"], &ahead);
        assert_eq!(client.at_once(Duration::from_millis(1)).await, None);
        if n % 2 == 0 {
            clients.push(client);
        }
    }
    for n in 0..10 {
        hub.publish("news", format!("news-{n}")).await.unwrap();
    }
    link.start();
    for client in &mut clients {
        assert_eq!(client.upto("news-9").await, numbered("news", 5..10));
    }
    drop(clients);
    until("all are gone", || hub.stats().subscribers == 0).await;
    sleep(Duration::from_millis(1)).await;
}

/// Says what a test has it say, and accepts everything under an id of the test's.
#[derive(Clone, Debug)]
struct Said {
    feds: Arc<Mutex<Option<mpsc::UnboundedReceiver<Fed>>>>,
    accepts: Arc<Mutex<EventId>>,
}

impl Said {
    fn new(id: EventId) -> (Self, mpsc::UnboundedSender<Fed>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let feds = Arc::new(Mutex::new(Some(receiver)));
        (Self { feds, accepts: Arc::new(Mutex::new(id)) }, sender)
    }
}

impl Engine for Said {
    fn name(&self) -> &'static str {
        "a test"
    }

    fn remembers_keys_for(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn publish(&self, _: Publication) -> EngineFuture<'_, Result<Published, EngineError>> {
        let id = *self.accepts.lock().unwrap();
        Box::pin(async move { Ok(Published::new(id, true)) })
    }

    fn tail(&self, _: Past) -> Tail {
        let feds = self.feds.lock().unwrap().take().expect("it is followed once");
        Box::pin(stream::unfold(feds, |mut feds| async move { Some((feds.recv().await?, feds)) }))
    }
}

/// A hub that is in the second of two epochs, of which the first is intact up to 5.
async fn in_another_epoch() -> (sse_core::Hub, Said, mpsc::UnboundedSender<Fed>, [u64; 2]) {
    let [old, new] = [1, 2];
    let (engine, said) = Said::new(EventId::new(new, 6));
    let head = |id| Fed::Head { id, asked: std::time::Instant::now() };
    said.send(Fed::Begin { start: EventId::new(old, 0), is_first: true }).unwrap();
    said.send(Fed::Hole { upto: EventId::new(old, 9) }).unwrap();
    said.send(head(EventId::new(old, 9))).unwrap();
    let builder = sse_core::Hub::builder().engine(engine.clone());
    let hub = builder.publish_timeout(Duration::from_secs(2)).build().await.unwrap();
    said.send(Fed::Seam { start: EventId::new(new, 6), kept: Some(5) }).unwrap();
    said.send(head(EventId::new(new, 6))).unwrap();
    until("it is there", || hub.position().epoch() == new).await;
    (hub, engine, said, [old, new])
}

/// A server that another one has replaced, and that does not know it.
#[tokio::test(start_paused = true)]
async fn what_is_accepted_where_the_log_has_ended_is_not_published() {
    let (hub, engine, _said, [old, new]) = in_another_epoch().await;
    for (id, is_there) in [((old, 5), true), ((old, 6), false), ((new, 7), true), ((3, 1), true)] {
        *engine.accepts.lock().unwrap() = EventId::new(id.0, id.1);
        let published = hub.publish("news", "x").await;
        let is_as_it_should_be = match &published {
            Ok(given) => is_there && *given == EventId::new(id.0, id.1),
            Err(error) => !is_there && *error == PublishError::Unknown,
        };
        assert!(is_as_it_should_be, "{id:?}: {published:?}");
    }
}

/// Nothing of it could be told to anybody, so it is as good as away.
#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_back_to_an_epoch_is_not_followed_in_silence() {
    let (hub, _engine, said, [old, new]) = in_another_epoch().await;
    let head = |id| Fed::Head { id, asked: std::time::Instant::now() };
    said.send(Fed::Seam { start: EventId::new(old, 9), kept: None }).unwrap();
    said.send(head(EventId::new(old, 9))).unwrap();
    until("it is noticed", || hub.away_for().is_some()).await;
    said.send(head(EventId::new(new, 6))).unwrap();
    until("it is back", || hub.away_for().is_none()).await;
}

/// However many records it gives: as long as it does not tell where it stands, nobody knows what is missing.
#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_tell_where_it_stands_is_away() {
    let (hub, _engine, said, [_, new]) = in_another_epoch().await;
    let head = |n| Fed::Head { id: EventId::new(new, n), asked: std::time::Instant::now() };
    for _ in 0..20 {
        said.send(head(6)).unwrap();
        sleep(Duration::from_secs(1)).await;
        assert!(hub.away_for().is_none());
    }
    sleep(Duration::from_millis(3900)).await;
    assert!(hub.away_for().is_none());
    sleep(Duration::from_millis(200)).await;
    assert!(hub.away_for().is_some(), "it has said nothing");
    said.send(head(6)).unwrap();
    until("it is back", || hub.away_for().is_none()).await;

    let records = async {
        for n in 7.. {
            let record = "not one that is known".into();
            said.send(Fed::Record { id: EventId::new(new, n), age: Duration::ZERO, record }).unwrap();
            sleep(Duration::from_millis(10)).await;
        }
    };
    let before = Instant::now();
    tokio::select! {
        () = until("it is away", || hub.away_for().is_some()) => {}
        () = records => {}
    }
    let took = before.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(6), "{took:?}");
}
