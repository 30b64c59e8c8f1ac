//! What the examples answer, whoever asks.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use sse_tests::{
    http::{self, Answer},
    servers::Framework,
};

use crate::{By, Pass, open, post};

pub(crate) async fn the_contract_is_kept(framework: Framework, by: By) {
    let mut example = by.start(framework).await;
    let addr = example.addr;
    let (ada, bob) = (by.sign_in(addr, "ada").await, by.sign_in(addr, "bob").await);
    let mut of_ada = open(addr, &ada).await;
    let mut of_bob = open(addr, &bob).await;

    let note = json!({ "to": "ada", "title": "tea", "body": "now?" });
    assert_eq!(post(addr, "/notify", Some(&bob), &note).await.status, 202);
    let expected = json!({ "from": "bob", "to": "ada", "title": "tea", "body": "now?" });
    assert_eq!(next(&mut of_ada).await, expected);
    let all = json!({ "to": null, "title": "all", "body": "" });
    let mut answer = post(addr, "/notify", Some(&ada), &all).await;
    assert!(answer.rest().await.starts_with("{\"id\":\""));
    assert_eq!(next(&mut of_ada).await["title"], "all");
    assert_eq!(next(&mut of_bob).await["title"], "all", "what was for ada did not reach bob");

    for (path, pass, body, status) in [
        ("/login", None, json!({ "user": "Ada\n" }), 400),
        ("/login", None, json!({ "user": "" }), 400),
        ("/notify", None, note.clone(), 401),
        ("/notify", Some(&ada), json!({ "to": "../x", "title": "", "body": "" }), 400),
        ("/logout", None, json!({}), 401),
    ] {
        let mut answer = post(addr, path, pass, &body).await;
        assert_eq!(answer.status, status, "{path} {body}");
        assert!(answer.rest().await.ends_with('.'), "{path} {body}");
    }
    assert_eq!(http::get(addr, "/events").await.status, 401);
    assert_eq!(http::get(addr, "/events?access_token=x").await.status, 401);

    only_what_is_granted_can_be_asked_for(addr, by, &ada).await;
    // A form of another site cannot sign its visitors in.
    let form = [("Content-Type", &b"text/plain"[..]), ("Origin", b"https://evil.example")];
    let forged = http::send(addr, "POST", "/login", &form, br#"{"user":"eve","x":"="}"#).await;
    assert_eq!((forged.status, forged.header("set-cookie")), (403, None));

    if by == By::Token {
        a_ticket_opens_the_stream_and_nothing_else(addr, &bob, &note).await;
    }

    for (path, expected) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "sse_streams_open 2")] {
        let mut answer = http::get(addr, path).await;
        assert_eq!(answer.status, 200, "{path}");
        let text = answer.rest().await;
        assert!(
            text.contains(expected) || path == "/metrics" && text.contains("sse_streams_open "),
            "{path}: {text}"
        );
    }

    assert_eq!(next(&mut of_bob).await["title"], "asked for");
    let before = Instant::now();
    let out = post(addr, "/logout", Some(&ada), &json!({})).await;
    assert_eq!(out.status, 204);
    let cookie = out.header("set-cookie").unwrap();
    assert!(cookie.contains("=;") && cookie.contains("Max-Age=0"), "{cookie}");
    of_ada.rest().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    // Neither does what was kept of it.
    assert_eq!(post(addr, "/notify", Some(&ada), &note).await.status, 401);
    assert_eq!(http::send(addr, "GET", "/events", &[ada.header()], b"").await.status, 401);
    // As a browser's `EventSource` asks: it is told not to come back.
    let accept = [ada.header(), ("Accept", b"text/event-stream")];
    // Where the application has forgotten the session itself, its own word comes first.
    let is_forgotten = by == By::Session && framework == Framework::Warp;
    let expected = if is_forgotten { 401 } else { 204 };
    assert_eq!(http::send(addr, "GET", "/events", &accept, b"").await.status, expected);
    // The same person can sign in again at once.
    open(addr, &by.sign_in(addr, "ada").await).await;
    assert!(of_bob.is_silent_for(Duration::from_millis(100)).await);

    example.signal("TERM").await;
    of_bob.rest().await;
    assert_eq!(example.code(Duration::from_secs(10)).await, Some(0));
}

async fn a_ticket_opens_the_stream_and_nothing_else(addr: SocketAddr, bob: &Pass, note: &Value) {
    assert_eq!(post(addr, "/ticket", None, &json!({})).await.status, 401);
    let mut answer = post(addr, "/ticket", Some(bob), &json!({})).await;
    let ticket: Value = serde_json::from_str(&answer.rest().await).unwrap();
    assert_eq!(ticket["expires_in"], 30);
    let query = format!("ticket={}", ticket["ticket"].as_str().unwrap());
    for path in ["/notify", "/logout", "/ticket"] {
        assert_eq!(post(addr, &format!("{path}?{query}"), None, note).await.status, 401, "{path}");
    }
    let path = format!("/events?{query}");
    assert_eq!(http::send(addr, "HEAD", &path, &[], b"").await.status, 200);
    assert_eq!(http::get(addr, &path).await.status, 200);
    assert_eq!(http::get(addr, &path).await.status, 401);
}

async fn only_what_is_granted_can_be_asked_for(addr: SocketAddr, by: By, ada: &Pass) {
    let get = async |query: &str| {
        let path = format!("/events?{query}");
        http::send(addr, "GET", &path, &[ada.header()], b"").await
    };
    for query in ["topic=user/bob", "topic=news&topic=user/bob", "topic=user%2Fbob&topic=user/ada", "topic=*"]
    {
        let mut answer = get(query).await;
        assert_eq!(answer.status, 403, "{query}");
        let challenge = (by == By::Token).then_some("Bearer error=\"insufficient_scope\"");
        assert_eq!(answer.header("www-authenticate"), challenge);
        assert_eq!(answer.rest().await, "That is not granted.");
    }
    assert_eq!(get("topic=").await.status, 400);
    // One of two: what is for all does not come.
    let mut own = get("topic=user/ada").await;
    own.until(|text| text.contains("\n\n")).await;
    for to in [None, Some("ada")] {
        let note = json!({ "to": to, "title": "asked for", "body": "" });
        assert_eq!(post(addr, "/notify", Some(ada), &note).await.status, 202);
    }
    assert_eq!(next(&mut own).await["to"], "ada");
}

/// The stream ends within a second of its session, and the cookie opens no other; whoever signs in again is let in.
pub(crate) async fn a_session_ends_in_time(framework: Framework) {
    const TTL: Duration = Duration::from_secs(4);
    let ttl = TTL.as_secs().to_string();
    let by = By::Session;
    let example = by.start_with(framework, &[("SESSION_TTL", &ttl)]).await;
    // It begins between the two.
    let before = Instant::now();
    let ada = by.sign_in(example.addr, "ada").await;
    let after = Instant::now();
    let mut stream = open(example.addr, &ada).await;
    let text = stream.until(|text| text.contains("\n\n")).await;
    assert_eq!(http::events(&text)[0].kind, "sse-auth");
    stream.rest().await;
    assert!(before.elapsed() >= TTL && after.elapsed() < TTL + Duration::from_secs(1));
    for (method, path) in [("GET", "/events"), ("POST", "/notify"), ("POST", "/logout")] {
        let mut answer = http::send(example.addr, method, path, &[ada.header()], b"").await;
        assert_eq!(answer.status, 401, "{method} {path}");
        assert!(answer.rest().await.ends_with("please sign in.") || framework == Framework::Rocket);
    }
    open(example.addr, &by.sign_in(example.addr, "ada").await).await;
}

async fn next(answer: &mut Answer) -> Value {
    let text = answer.until(|text| text.contains("\n\n")).await;
    let seen = http::events(&text);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].kind, "notification");
    let mut note: Value = serde_json::from_str(&seen[0].data).unwrap();
    // When it was sent, by the server's clock, which is ours.
    let at = note.as_object_mut().unwrap().remove("at").and_then(|at| at.as_u64()).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert!(now - u128::from(at) < 60_000, "{at}");
    note
}
