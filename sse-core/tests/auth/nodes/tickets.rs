//! A ticket of one node is good on another, once among all.

use std::time::Duration;

use sse_core::{Authorized, Refusal, Topics};
use tokio::{task::JoinSet, time::Instant};

use super::{
    super::{Build, Head, answer, field, get},
    Cluster, LONG, Node, settle,
};

async fn ticket(node: &Node, token: &str) -> String {
    let client = node.client(token).await;
    node.auth.issue_ticket(&client, "news").await.unwrap().as_str().to_owned()
}

fn with(ticket: &str) -> Head {
    get().query(format!("ticket={ticket}"))
}

/// As a browser asks.
fn by_browser(ticket: &str) -> Head {
    with(ticket)
        .header("accept", "text/event-stream")
        .header("sec-fetch-mode", "cors")
        .header("sec-fetch-site", "same-origin")
}

fn cookie(client: &Authorized) -> String {
    let mut fields = client.request().response_headers();
    let set = fields.find(|(name, _)| *name == "set-cookie").unwrap().1;
    set.split(';').next().unwrap().to_owned()
}

fn status(result: Result<Authorized, Refusal>) -> u16 {
    answer(&result).0
}

/// Waits until it is let in.
async fn comes(ask: impl AsyncFn() -> Result<Authorized, Refusal>) {
    let start = Instant::now();
    while ask().await.is_err() {
        assert!(start.elapsed() < LONG, "not in time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_good_on_another_node_and_so_is_its_cookie() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let token = cluster.hour("ada", "1");
    let ticket = ticket(&a, &token).await;
    let client = b.authorize(&with(&ticket)).await.unwrap();
    assert_eq!((client.subject(), client.granted_topics()), ("ada", Ok(Topics::new(["news"]).unwrap())));
    assert!(b.hub.open(&client, "news").is_ok() && b.hub.open(&client, "user/ada").is_err());
    let claims = client.claims().unwrap();
    let said: serde_json::Value = claims.parse().unwrap();
    assert_eq!(
        (claims.token_id(), claims.issuer(), &said["more"]),
        (Some("1"), Some("sse-example"), &"of the application's".into())
    );
    // One that starts now knows those that are out.
    let client_of_a = a.client(&token).await;
    let fresh = a.auth.issue_ticket(&client_of_a, "news").await.unwrap();
    let c = cluster.node().await;
    assert_eq!(status(c.authorize(&with(&ticket)).await), 401);
    assert_eq!(status(c.authorize(&with(fresh.as_str())).await), 200);
    // Used, everywhere.
    for node in [&a, &b] {
        assert_eq!(status(node.authorize(&with(&ticket)).await), 401);
    }
    // The browser comes back to whichever it is, long after.
    let back = with(&ticket).header("cookie", cookie(&client));
    for node in [&a, &b, &cluster.node().await] {
        assert_eq!(status(node.authorize(&back).await), 200);
    }
    tokio::time::sleep(Duration::from_secs(1200)).await;
    cluster.log.trim();
    let later = cluster.node().await;
    for node in [&a, &b, &later] {
        assert_eq!(status(node.authorize(&back).await), 200);
    }
    // Neither the ticket nor its cookie stands in the log.
    let text = cluster.log.text();
    for secret in [ticket.as_str(), &token, cookie(&client).split_once('=').unwrap().1] {
        assert!(!text.contains(secret), "{text}");
    }
    // Revoked on one, and out on all.
    a.auth.revocations().revoke_token_id("1").await.unwrap();
    settle().await;
    for node in [&a, &b, &later] {
        assert_eq!(status(node.authorize(&back).await), 401);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_token_on_all_nodes() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let ticket = ticket(&a, &cluster.token("ada", "1", Duration::from_secs(300))).await;
    let back = with(&ticket).header("cookie", cookie(&a.authorize(&with(&ticket)).await.unwrap()));
    assert_eq!(status(b.authorize(&back).await), 200);
    tokio::time::sleep(Duration::from_secs(331)).await;
    assert_eq!((status(a.authorize(&back).await), status(b.authorize(&back).await)), (401, 401));
    assert_eq!(cluster.log.kept(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_waited_for_and_so_is_a_cookie() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    b.delay.send_replace(Duration::from_millis(400));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ticket = ticket(&a, &cluster.hour("ada", "1")).await;
    let client = a.authorize(&with(&ticket)).await.unwrap();
    let start = Instant::now();
    let back = with(&ticket).header("cookie", cookie(&client));
    assert_eq!(status(b.authorize(&back).await), 200);
    assert!(start.elapsed() > Duration::from_millis(100));
    let other = self::ticket(&a, &cluster.hour("ada", "1")).await;
    assert_eq!(status(b.authorize(&with(&other)).await), 200);
    // What never was is waited for a second, by so many.
    b.delay.send_replace(Duration::ZERO);
    settle().await;
    let start = Instant::now();
    assert_eq!(status(b.authorize(&with(&"0".repeat(32))).await), 401);
    let took = start.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(2), "{took:?}");
    let start = Instant::now();
    let unknown: Vec<_> = (0..5_000).map(|n| with(&format!("{n:032x}"))).collect();
    let all = unknown.iter().map(|head| b.authorize(head));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.into_iter().all(|answer| status(answer) == 401));
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(cluster.log.records(), 4, "nothing of them in the log");
}

/// With real threads: who is first is not ours to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_hundred_tickets_at_two_nodes_at_once_have_a_winner_each() {
    let cluster = Cluster::new();
    let nodes = std::sync::Arc::new([cluster.node().await, cluster.node().await, cluster.node().await]);
    let mut winners = [0; 2];
    // A machine that stands still for seconds decides nothing, and lets nobody in.
    let mut undecided = 0;
    for n in 0..300 {
        let ticket = ticket(&nodes[0], &cluster.hour(&format!("user-{}", n % 20), &n.to_string())).await;
        for node in &nodes[..2] {
            comes(async || node.authorize(&with(&ticket).at("HEAD", "/events")).await).await;
        }
        let mut uses = JoinSet::new();
        // Twice on each.
        for which in [0, 1, 0, 1] {
            let (nodes, head) = (std::sync::Arc::clone(&nodes), with(&ticket));
            uses.spawn(async move { (which, nodes[which].authorize(&head).await) });
        }
        let (mut good, mut in_doubt) = (Vec::new(), false);
        while let Some(used) = uses.join_next().await {
            let (which, client) = used.unwrap();
            match client {
                Ok(client) => good.push((which, cookie(&client))),
                Err(refusal) if refusal.status() == 503 => in_doubt = true,
                Err(refusal) => assert_eq!(refusal.status(), 401, "{n}"),
            }
        }
        if good.is_empty() && in_doubt {
            undecided += 1;
            continue;
        }
        assert_eq!(good.len(), 1, "{n}");
        winners[good[0].0] += 1;
        // And its cookie is good on the third.
        let back = with(&ticket).header("cookie", good[0].1.clone());
        comes(async || nodes[2].authorize(&back).await).await;
    }
    println!("winners: {winners:?}, undecided: {undecided}");
    assert!(undecided < 300);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_loses_no_ticket() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let token = cluster.hour("ada", "1");
    let ticket = ticket(&a, &token).await;
    // The record was accepted, and the next try is told that it was there before.
    cluster.log.lose_answers(1);
    let client = b.authorize(&with(&ticket)).await.unwrap();
    let back = with(&ticket).header("cookie", cookie(&client));
    assert_eq!(status(a.authorize(&back).await), 200);
    assert_eq!(status(a.authorize(&with(&ticket)).await), 401);
    // No answer comes at all: the log has it.
    let other = self::ticket(&a, &token).await;
    cluster.log.lose_answers(usize::MAX);
    assert_eq!(status(b.authorize(&with(&other)).await), 200);
    assert_eq!(status(a.authorize(&with(&other)).await), 401);
}

#[tokio::test(start_paused = true)]
async fn while_the_engine_is_away_no_ticket_is_used_or_used_up() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let token = cluster.hour("ada", "1");
    let ticket = ticket(&a, &token).await;
    settle().await;
    cluster.log.away(true);
    settle().await;
    let refusal = b.authorize(&with(&ticket)).await.unwrap_err();
    assert_eq!((refusal.status(), field(&refusal, "retry-after")), (503, Some("2")));
    // Any status but 200 would be the end for a browser's `EventSource`.
    let refusal = b.authorize(&by_browser(&ticket)).await.unwrap_err();
    assert!(refusal.status() == 200 && refusal.body().starts_with("retry: "), "{refusal:?}");
    let refusal = a.auth.issue_ticket(&a.client(&token).await, "news").await.map(|_| ()).unwrap_err();
    assert_eq!(refusal.status(), 503);
    cluster.log.away(false);
    settle().await;
    assert_eq!(status(b.authorize(&by_browser(&ticket)).await), 200);
    assert_eq!(status(a.authorize(&with(&ticket)).await), 401);
}

#[tokio::test(start_paused = true)]
async fn what_the_engine_has_lost_voids_tickets_that_are_out() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let token = cluster.hour("ada", "1");
    let (used, unused) = (ticket(&a, &token).await, ticket(&a, &token).await);
    settle().await;
    // Its use was accepted, and is lost before the other node has read it.
    b.delay.send_replace(Duration::from_secs(1));
    settle().await;
    let client = a.authorize(&with(&used)).await.unwrap();
    cluster.log.fail_over(1);
    // The other still takes it for a good one, and the engine knows nothing of its use.
    assert_eq!(status(b.authorize(&with(&used)).await), 401);
    b.delay.send_replace(Duration::ZERO);
    tokio::time::sleep(Duration::from_secs(5)).await;
    for node in [&a, &b] {
        assert_eq!(status(node.authorize(&with(&unused)).await), 401);
    }
    assert_eq!(status(a.authorize(&with(&used).header("cookie", cookie(&client))).await), 200);
    assert_eq!(status(b.authorize(&with(&self::ticket(&a, &token).await)).await), 200);
}

/// As where a newer version publishes: of events, none is a notice that was lost.
#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_voids_no_ticket() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let token = cluster.hour("ada", "1");
    let one = ticket(&a, &token).await;
    for record in [
        r#"{"v":3,"kind":"event","topics":["news"],"frame":"data: x\n"}"#,
        r#"{"v":300,"kind":"event","topics":{}}"#,
        r#"{"v":300,"kind":"new","topics":{}}"#,
    ] {
        cluster.log.append(record);
    }
    settle().await;
    assert_eq!(status(b.authorize(&with(&one)).await), 200);
    // What may have been anything may have been the use of it.
    let two = ticket(&a, &token).await;
    cluster.log.append("{}");
    settle().await;
    assert_eq!(status(b.authorize(&with(&two)).await), 401);
}

#[tokio::test(start_paused = true)]
async fn each_node_has_only_so_many_of_a_subject() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let token = cluster.hour("ada", "1");
    let of_eve = ticket(&b, &cluster.hour("eve", "2")).await;
    let mut out = Vec::new();
    for _ in 0..33 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        out.push(ticket(&a, &token).await);
    }
    settle().await;
    assert_eq!(status(b.authorize(&with(&out[0])).await), 401);
    assert_eq!(status(b.authorize(&with(&of_eve)).await), 200);
    // Of sessions 64: more page loads push out the oldest.
    let mut sessions = Vec::new();
    for _ in 0..65 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let ticket = ticket(&a, &token).await;
        let client = a.authorize(&with(&ticket)).await.unwrap();
        sessions.push(with(&ticket).header("cookie", cookie(&client)));
    }
    settle().await;
    assert_eq!(status(b.authorize(&sessions[0]).await), 401);
    assert_eq!(
        (status(b.authorize(&sessions[1]).await), status(b.authorize(&sessions[64]).await)),
        (200, 200)
    );
}

/// Whoever connects has one, and by reloading a page one user has as many as they like.
#[tokio::test(start_paused = true)]
async fn sessions_leave_room_for_what_is_revoked() {
    let cluster = Cluster::new();
    cluster.log.keep_no_more_than(8);
    let [a, b] = cluster.nodes().await;
    let (ada, eve) = (cluster.hour("ada", "1"), cluster.hour("eve", "2"));
    let mut sessions = Vec::new();
    for _ in 0..20 {
        let ticket = ticket(&a, &ada).await;
        let client = b.authorize(&with(&ticket)).await.unwrap();
        sessions.push(with(&ticket).header("cookie", cookie(&client)));
    }
    settle().await;
    assert_eq!(cluster.log.kept(), 4);
    // On the nodes that run each is good, and on one that starts while the log has it.
    let late = cluster.node().await;
    for node in [&a, &b, &late] {
        for back in &sessions {
            assert_eq!(status(node.authorize(back).await), 200);
        }
    }
    a.auth.revocations().revoke_token_id("1").await.unwrap();
    b.auth.revocations().revoke_subject("eve").await.unwrap();
    settle().await;
    cluster.log.trim();
    for node in [&a, &b, &late, &cluster.node().await] {
        assert_eq!((node.status(&ada).await, node.status(&eve).await), (401, 401));
        assert_eq!(status(node.authorize(&sessions[19]).await), 401);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_request_leaves_a_ticket_alone_on_every_node() {
    let cluster = Cluster::new();
    let [a, b] = cluster.nodes().await;
    let ticket = ticket(&a, &cluster.hour("ada", "1")).await;
    for node in [&a, &b, &a] {
        assert_eq!(status(node.authorize(&with(&ticket).at("HEAD", "/events")).await), 200);
    }
    assert_eq!(status(b.authorize(&with(&ticket)).await), 200);
}
