//! What is taken back on one node is on all.

use std::time::Duration;

use sse_core::{Hub, Identity, PublishError, Refusal, Request, ShareError, Topic};
use tokio::time::Instant;

use super::{
    super::{bearer, builder, field, get, logs::Records},
    Cluster, Node, Open, settle, until,
};

fn session(cluster: &Cluster, name: &str, id: &str) -> Identity {
    Identity::new(name).topics(["news"]).unwrap().session(id).signed_in_at(cluster.now())
}

fn open_session(node: &Node, who: Identity) -> Open {
    Open::new(node.hub.open(&node.admit(who).unwrap(), "news").unwrap())
}

#[tokio::test(start_paused = true)]
async fn who_signs_out_on_one_node_is_out_on_all_within_a_second() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let (ada, eve) = (cluster.hour("ada", "1"), cluster.hour("eve", "2"));
    for how in ["token", "id", "until", "session", "client"] {
        let token = cluster.hour("ada", how);
        let (here, there, other) = (a.open(&token).await, b.open(&token).await, b.open(&ada).await);
        let client = a.client(&token).await;
        let revocations = a.auth.revocations();
        let streams = match how {
            "token" => revocations.revoke_token(client.claims().unwrap()).await,
            "id" => revocations.revoke_token_id(how).await,
            "until" => revocations.revoke_token_id_until(how, cluster.now() + Duration::from_secs(9)).await,
            "session" => revocations.revoke_session(&format!("sid-{how}")).await,
            _ => revocations.revoke(&client).await,
        };
        assert_eq!(streams, Ok(1), "{how}");
        here.ends().await;
        let within = there.ends().await;
        assert!(within < Duration::from_secs(1), "{how}: {within:?}");
        assert_eq!((a.status(&token).await, b.status(&token).await), (401, 401), "{how}");
        assert_eq!((a.status(&ada).await, other.has_ended()), (200, false), "{how}");
    }
    // A whole subject, until it signs in again.
    let (one, two) = (b.open(&ada).await, b.open(&eve).await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    a.auth.revocations().revoke_subject("ada").await.unwrap();
    assert!(one.ends().await < Duration::from_secs(1));
    let again = cluster.hour("ada", "again");
    assert_eq!((b.status(&ada).await, b.status(&again).await, two.has_ended()), (401, 200, false));
    // Nothing in the log could be used, or says who it is about.
    let text = cluster.log.text();
    // Digests are hexadecimal: some have an "ada" in them.
    for secret in [ada.as_str(), "\"ada", "eve", "sid-", "session\":\"s", "until\":\"u"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_is_taken_from_all_and_sessions_by_their_ids() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let (one, two) =
        (open_session(&b, session(&cluster, "ada", "1")), open_session(&b, session(&cluster, "ada", "2")));
    a.sessions.revocations().revoke_session("1").await.unwrap();
    assert!(one.ends().await < Duration::from_secs(1));
    assert!(!two.has_ended() && b.admit(session(&cluster, "ada", "1")).is_err());
    // The other `Auth` is another.
    let token = cluster.hour("ada", "1");
    let by_token = b.open(&token).await;
    let news = Topic::new("news").unwrap();
    a.sessions.revocations().revoke_topic(&news).await.unwrap();
    two.ends().await;
    settle().await;
    assert!(!by_token.has_ended());
    let old = session(&cluster, "ada", "3").signed_in_at(cluster.now() - Duration::from_secs(10));
    assert_eq!(b.hub.open(&b.admit(old).unwrap(), "news").unwrap_err().status(), 403);
    assert!(b.hub.open(&b.admit(session(&cluster, "ada", "4")).unwrap(), "news").is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_ended_on_one_node_may_come_back_on_another() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let news = Topic::new("news").unwrap();
    for what in ["subject", "session", "topic"] {
        let who = || session(&cluster, "ada", "1");
        let (here, there) = (open_session(&a, who()), open_session(&b, who()));
        // Long on its way: who has come back meanwhile stays.
        for node in [&a, &b] {
            node.delay.send_replace(Duration::from_secs(5));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let revocations = a.sessions.revocations();
        let streams = match what {
            "subject" => revocations.end_subject("ada").await,
            "session" => revocations.end_session("1").await,
            _ => revocations.end_topic(&news).await,
        };
        assert_eq!(streams, Ok(1), "{what}");
        here.ends().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let again = [open_session(&a, who()), open_session(&b, who())];
        assert!(there.ends().await > Duration::from_secs(1), "{what}");
        for node in [&a, &b] {
            node.delay.send_replace(Duration::ZERO);
        }
        settle().await;
        assert!(again.iter().all(|stream| !stream.has_ended()), "{what}");
        drop(again);
        settle().await;
    }
    assert_eq!(cluster.log.kept(), 0);
    // A node that comes later takes it for what has passed.
    let later = cluster.node().await;
    let stream = open_session(&later, session(&cluster, "ada", "1"));
    settle().await;
    assert!(!stream.has_ended());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_twenty_minutes_later_knows_what_was_revoked() {
    let cluster = Cluster::new();
    let a = cluster.node().await;
    let hours = Duration::from_secs(7200);
    let tokens = ["token", "sid", "subject", "topic", "good"].map(|name| cluster.token(name, name, hours));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let revocations = a.auth.revocations();
    revocations.revoke_token(a.client(&tokens[0]).await.claims().unwrap()).await.unwrap();
    revocations.revoke_session("sid-sid").await.unwrap();
    revocations.revoke_subject("subject").await.unwrap();
    revocations.revoke_topic(&Topic::new("user/topic").unwrap()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1200)).await;
    // Beyond the window of events.
    cluster.log.trim();
    let b = cluster.node().await;
    for token in &tokens[..3] {
        assert_eq!(b.status(token).await, 401);
    }
    let client = b.client(&tokens[3]).await;
    assert_eq!(b.hub.open(&client, "user/topic").unwrap_err().status(), 403);
    assert!(b.hub.open(&client, "news").is_ok());
    assert_eq!(b.status(&tokens[4]).await, 200);
    assert_eq!(b.status(&cluster.token("subject", "new", hours)).await, 200);
    // Nothing is kept longer than it matters: a token's is, until it expires.
    assert_eq!(cluster.log.kept(), 4);
    tokio::time::sleep(hours).await;
    assert_eq!(cluster.log.kept(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_in_a_part_that_a_node_has_missed_it_is_told() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let tokens = ["id", "subject", "ended", "none"].map(|id| cluster.hour(id, id));
    let mut streams = Vec::new();
    for token in &tokens {
        streams.push(b.open(token).await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    b.delay.send(Duration::from_secs(60)).unwrap();
    settle().await;
    let revocations = a.auth.revocations();
    revocations.revoke_token_id("id").await.unwrap();
    revocations.revoke_subject("subject").await.unwrap();
    // Of this no record is kept.
    revocations.end_subject("ended").await.unwrap();
    a.hub.publish("news", "one").await.unwrap();
    settle().await;
    cluster.log.trim();
    b.delay.send(Duration::ZERO).unwrap();
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(streams.iter().map(Open::has_ended).collect::<Vec<_>>(), [true, true, false, false]);
    for (token, status) in tokens.iter().zip([401, 401, 200, 200]) {
        assert_eq!(b.status(token).await, status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_longer_revocation_is_not_cut_short_by_another() {
    let cluster = Cluster::new();
    let a = cluster.node().await;
    let token = cluster.hour("ada", "1");
    a.auth.revocations().revoke_token_id("1").await.unwrap();
    let soon = cluster.now() + Duration::from_secs(60);
    a.auth.revocations().revoke_token_id_until("1", soon).await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(cluster.log.kept(), 1);
    assert_eq!(cluster.node().await.status(&token).await, 401);
}

#[tokio::test(start_paused = true)]
async fn while_the_engine_is_away_it_is_an_error_and_told_when_it_is_back() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let (token, other) = (cluster.hour("ada", "1"), cluster.hour("ada", "2"));
    let (here, there) = (a.open(&token).await, b.open(&token).await);
    let ended = b.open(&other).await;
    let client = a.client(&token).await;
    cluster.log.away(true);
    settle().await;
    let start = Instant::now();
    let error = a.auth.revocations().revoke(&client).await.unwrap_err();
    assert_eq!(error, ShareError::NotShared);
    let took = start.elapsed();
    assert!(took > Duration::from_secs(3) && took < Duration::from_secs(6), "{took:?}");
    let refusal = Refusal::from(error);
    assert_eq!((refusal.status(), field(&refusal, "retry-after")), (503, Some("1")));
    // Here it holds at once, and there not yet.
    here.ends().await;
    assert_eq!((a.status(&token).await, b.status(&token).await), (401, 200));
    // What is to be ended now is not ended at some time later.
    assert!(a.auth.revocations().end_subject("ada").await.is_err());
    assert!(!there.has_ended() && !ended.has_ended());
    // Who asked is signed out here and cannot ask again: the node sees to it.
    cluster.log.away(false);
    there.ends().await;
    assert_eq!(b.status(&token).await, 401);
    settle().await;
    assert!(!ended.has_ended());
    assert_eq!(cluster.log.kept(), 1);
    // And works again.
    assert_eq!(a.auth.revocations().revoke_token_id("2").await, Ok(0));
    ended.ends().await;
    let tries = cluster.log.tries();
    settle().await;
    assert_eq!(cluster.log.tries(), tries, "nothing is left to be told");
}

/// That it never takes one of them holds up none of the others.
#[tokio::test(start_paused = true)]
async fn what_the_engine_refuses_for_ever_holds_up_nothing_else() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    cluster.log.keep_no_longer_than(Duration::from_secs(7200));
    let revocations = a.auth.revocations();
    // As long as a token can live, which is longer than that.
    for n in 0..5 {
        assert!(revocations.revoke_token_id(&format!("long-{n}")).await.is_err());
    }
    cluster.log.away(true);
    let until = cluster.now() + Duration::from_secs(3600);
    let ids: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    let away = ids.iter().map(|id| revocations.revoke_token_id_until(id, until));
    assert!(futures_util::future::join_all(away).await.iter().all(Result::is_err));
    cluster.log.away(false);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(cluster.log.kept(), ids.len());
    for id in &ids {
        assert_eq!(b.status(&cluster.token("ada", id, Duration::from_secs(600))).await, 401, "{id}");
    }
}

/// What was said first may come to the log last, and then it is what is kept.
#[tokio::test(start_paused = true)]
async fn a_revocation_that_was_long_under_way_hides_no_newer_one() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let news = Topic::new("news").unwrap();
    cluster.log.away(true);
    let (revocations, topic) = (a.auth.revocations().clone(), news.clone());
    let first = tokio::spawn(async move {
        tokio::join!(revocations.revoke_subject("ada"), revocations.revoke_topic(&topic))
    });
    tokio::time::sleep(Duration::from_secs(2)).await;
    let between = cluster.hour("ada", "between");
    let of_eve = cluster.hour("eve", "between");
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.log.away(false);
    b.auth.revocations().revoke_subject("ada").await.unwrap();
    b.auth.revocations().revoke_topic(&news).await.unwrap();
    assert_eq!(cluster.log.records(), 2, "the first is still under way");
    let (subject, topic) = first.await.unwrap();
    subject.unwrap();
    topic.unwrap();
    settle().await;
    for node in [&a, &b] {
        assert_eq!(node.status(&between).await, 401);
    }
    cluster.log.trim();
    let later = cluster.node().await;
    assert_eq!(later.status(&between).await, 401);
    let eve = later.client(&of_eve).await;
    assert!(later.hub.open(&eve, "news").is_err());
    assert!(later.hub.open(&eve, "user/eve").is_ok());
    assert_eq!(cluster.log.kept(), 2);
    // And that is that.
    let tries = cluster.log.tries();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(cluster.log.tries(), tries);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_changes_nothing() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let token = cluster.hour("ada", "1");
    let there = b.open(&token).await;
    cluster.log.lose_answers(1);
    assert_eq!(a.auth.revocations().revoke_token_id("1").await, Ok(0));
    there.ends().await;
    assert_eq!(cluster.log.records(), 1);
    // None comes: in doubt, and true.
    cluster.log.lose_answers(usize::MAX);
    assert_eq!(a.auth.revocations().revoke_token_id("2").await, Err(ShareError::Unknown));
    settle().await;
    assert_eq!(b.status(&cluster.hour("ada", "2")).await, 401);
}

#[tokio::test(start_paused = true)]
async fn who_signs_in_again_before_the_notice_comes_back_stays() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let old = cluster.hour("ada", "old");
    // Of this very second: used on either node before.
    let streams = [a.open(&old).await, b.open(&old).await];
    for node in [&a, &b] {
        node.delay.send_replace(Duration::from_secs(5));
    }
    tokio::time::sleep(Duration::from_millis(10)).await;
    let news = Topic::new("user/ada").unwrap();
    a.auth.revocations().revoke_subject("ada").await.unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let new = cluster.hour("ada", "new");
    let again = [a.open(&new).await, b.open(&new).await];
    for stream in &streams {
        stream.ends().await;
    }
    for node in [&a, &b] {
        node.delay.send_replace(Duration::ZERO);
        settle().await;
        assert_eq!((node.status(&old).await, node.status(&new).await), (401, 200));
    }
    assert!(again.iter().all(|stream| !stream.has_ended()));
    // A topic's notice ends nobody whose token is newer.
    a.delay.send_replace(Duration::from_secs(5));
    a.auth.revocations().revoke_topic(&news).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let newer = cluster.hour("ada", "newer");
    let open = Open::new(a.hub.open(&a.client(&newer).await, "user/ada").unwrap());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!open.has_ended());
}

/// The moment is that of the node that revokes; another's clock does not move it.
#[tokio::test(start_paused = true)]
async fn a_node_whose_clock_is_ahead_refuses_nobody_who_signs_in_again() {
    let cluster = Cluster::new();
    let a = cluster.node().await;
    let ahead = cluster.node_ahead(Duration::from_secs(20)).await;
    let old = cluster.hour("ada", "old");
    let there = ahead.open(&old).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    a.auth.revocations().revoke_subject("ada").await.unwrap();
    there.ends().await;
    assert_eq!((ahead.status(&old).await, ahead.status(&cluster.hour("ada", "new")).await), (401, 200));
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_has_lost_is_told_again() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    b.delay.send_replace(Duration::from_secs(3));
    let token = cluster.hour("ada", "1");
    a.auth.revocations().revoke_token_id("1").await.unwrap();
    // It was accepted, and is nowhere.
    cluster.log.fail_over(1);
    assert_eq!(cluster.log.kept(), 0);
    b.delay.send_replace(Duration::ZERO);
    until("it is told again", || cluster.log.kept() == 1).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(b.status(&token).await, 401);
    assert_eq!(cluster.node().await.status(&token).await, 401);
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_stops_nothing() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let token = cluster.hour("ada", "1");
    let there = b.open(&token).await;
    cluster.log.away(true);
    let client = a.client(&token).await;
    // The client goes away in the middle of signing out.
    let gone = tokio::time::timeout(Duration::from_secs(1), a.auth.revocations().revoke(&client)).await;
    assert!(gone.is_err());
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(!there.has_ended());
    cluster.log.away(false);
    there.ends().await;
}

/// Memory and the log have them for as long as they matter, whether anybody revokes anything afterwards or not.
#[tokio::test(start_paused = true)]
async fn ten_thousand_revocations_hold_on_all_nodes_and_leave() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    for n in 0..10_000 {
        let until = cluster.now() + Duration::from_secs(600);
        a.auth.revocations().revoke_token_id_until(&n.to_string(), until).await.unwrap();
    }
    settle().await;
    for n in (0..10_000).step_by(997) {
        assert_eq!(b.status(&cluster.hour("ada", &n.to_string())).await, 401, "{n}");
    }
    assert_eq!(b.status(&cluster.hour("ada", "other")).await, 200);
    assert_eq!(cluster.log.kept(), 10_000);
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(cluster.log.kept(), 0);
    // A request a second is enough for them to go: what is found is there.
    for _ in 0..256 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for node in [&a, &b] {
            assert_eq!(node.status(&cluster.hour("ada", "other")).await, 200);
        }
    }
    for n in (0..10_000).step_by(997) {
        let token = cluster.hour("ada", &n.to_string());
        assert_eq!((a.status(&token).await, b.status(&token).await), (200, 200), "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_hub_that_stands_nothing_is_shared() {
    let cluster = Cluster::new();
    let a = cluster.node().await;
    let Node { hub, auth, .. } = a;
    hub.publish("news", "one").await.unwrap();
    drop(hub);
    settle().await;
    assert_eq!(auth.revocations().revoke_token_id("1").await, Err(ShareError::NotShared));
    // One alone never fails.
    let alone = super::super::auth();
    assert_eq!(super::super::now(alone.revocations().revoke_token_id("1")), 0);
    let _: Result<_, PublishError> = Hub::new().publish("news", "one").await;
}

#[tokio::test(start_paused = true)]
async fn an_auth_that_the_hub_does_not_share_is_spoken_of_once() {
    // With one listener alone, `tracing` may take what another thread has first come by for disabled.
    let _second = tracing::Dispatch::new(Records::default());
    let records = Records::default();
    let _guard = tracing::subscriber::set_default(records.clone());
    let cluster = Cluster::new();
    let a = cluster.node().await;
    let count = || records.text().matches("EngineHubBuilder::share").count();
    drop(a.open(&cluster.hour("ada", "1")).await);
    drop(a.hub.open(&Request::new(&get(), a.hub.lifecycle()), "news").unwrap());
    assert_eq!(count(), 0);
    let alone = builder().build().unwrap();
    for _ in 0..3 {
        let head = bearer(&super::super::token("ada"));
        let client = alone.authorize(&head, a.hub.lifecycle()).await.unwrap();
        drop(a.hub.open(&client, "news").unwrap());
        assert_eq!(count(), 1);
    }
}
