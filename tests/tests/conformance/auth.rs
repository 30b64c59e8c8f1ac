//! Tokens, cookies, origins and tickets, as each adapter renders what the core decides.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use sse_core::{Auth, Hub};
use sse_tests::{
    http::{self, Answer, Seen, without_jitter},
    servers::{App, Framework, Server},
    tokens::{self, Token},
};

async fn serve(framework: Framework, auth: Auth) -> Server {
    framework.serve(App { auth, ..App::new(Hub::new()) }).await
}

async fn default(framework: Framework) -> Server {
    serve(framework, tokens::auth().build().unwrap()).await
}

async fn get(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    http::send(addr, "GET", path, &headers, b"").await
}

async fn opened(addr: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut answer = get(addr, path, headers).await;
    assert_eq!(answer.status, 200);
    answer.until(|text| text.contains("\n\n")).await;
    answer
}

/// What a stream brings up to an event that is published now.
async fn seen(server: &Server, answer: &mut Answer, topic: &str) -> Vec<Seen> {
    server.hub.publish(topic, "the last").await.unwrap();
    let text = answer.until(|text| text.contains("data: the last\n") && text.ends_with("\n\n")).await;
    let mut seen = http::events(&text);
    seen.pop();
    seen
}

/// What is sent, the status, and the challenge.
type Refused<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, Option<String>);

pub(crate) async fn refusals_are_what_the_core_says(framework: Framework) {
    let server = default(framework).await;
    let good = Token::new("ada", &["news"]).bearer();
    let bad = format!("{}x", Token::new("ada", &["news"]).bearer());
    let old = Token::new("ada", &["news"]).expires(-60).bearer();
    let other = Token::new("ada", &["other"]).bearer();
    let long = format!("Bearer {}", "x".repeat(9000));
    let challenge = |error: &str| Some(format!("Bearer error=\"{error}\""));
    let cases: [Refused<'_>; 8] = [
        ("no token", &[], 401, Some("Bearer".into())),
        ("a bad signature", &[("Authorization", &bad)], 401, challenge("invalid_token")),
        ("an old token", &[("Authorization", &old)], 401, challenge("invalid_token")),
        ("no bearer", &[("Authorization", "Bearer")], 400, challenge("invalid_request")),
        (
            "two tokens",
            &[("Authorization", &good), ("Authorization", &good)],
            400,
            challenge("invalid_request"),
        ),
        ("a long token", &[("Authorization", &long)], 400, challenge("invalid_request")),
        ("another topic", &[("Authorization", &other)], 403, challenge("insufficient_scope")),
        ("a cookie from elsewhere", &[("Cookie", "token=x"), ("Sec-Fetch-Site", "cross-site")], 403, None),
    ];
    for (what, headers, status, expected) in cases {
        let mut answer = get(server.addr, "/private", headers).await;
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(answer.header("www-authenticate"), expected.as_deref(), "{what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{what}");
        let body = answer.rest().await;
        assert!(body.ends_with('.') && !body.contains('\n'), "{what}: {body:?}");
    }
    assert_eq!(server.hub.lifecycle().streams(), 0);
}

pub(crate) async fn a_token_opens_what_it_grants_and_nothing_else(framework: Framework) {
    let server = default(framework).await;
    let token = Token::new("ada", &["user/ada", "team/*"]).bearer();
    let headers = [("Authorization", token.as_str())];
    let mut answer = opened(server.addr, "/private?topic=user/ada&topic=team/a", &headers).await;
    server.hub.publish("user/bob", "not mine").await.unwrap();
    server.hub.publish("team/b", "not asked for").await.unwrap();
    server.hub.publish("team/a", "ours").await.unwrap();
    let seen = seen(&server, &mut answer, "user/ada").await;
    assert_eq!(seen.iter().map(|seen| seen.data.as_str()).collect::<Vec<_>>(), ["ours"]);
    for path in ["/private?topic=user/bob", "/private?topic=user/ada&topic=team", "/private"] {
        assert_eq!(get(server.addr, path, &headers).await.status, 403, "{path}");
    }
}

pub(crate) async fn a_cookie_counts_from_our_own_pages_alone(framework: Framework) {
    let server = default(framework).await;
    let cookie = format!("a=b; token={}", Token::new("ada", &["news"]).sign());
    let own = format!("http://{}", server.addr);
    let good: [&[(&str, &str)]; 4] = [
        &[],
        &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "cors")],
        &[("Origin", &own)],
        &[("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "cors")],
    ];
    let bad: [&[(&str, &str)]; 5] = [
        &[("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "cors")],
        &[("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Site", "same-origin")],
        &[("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Site", "same-origin")],
        &[("Origin", "https://evil.example")],
        &[("Origin", "null")],
    ];
    for (cases, status) in [(&good[..], 200), (&bad[..], 403)] {
        for headers in cases {
            let headers = [&[("Cookie", cookie.as_str())], *headers].concat();
            let answer = get(server.addr, "/private", &headers).await;
            assert_eq!(answer.status, status, "{headers:?}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}

pub(crate) async fn listed_origins_can_read_every_answer(framework: Framework) {
    const APP: &str = "https://app.example";
    let server = serve(framework, tokens::auth().allowed_origins([APP]).build().unwrap()).await;
    let token = Token::new("ada", &["news"]).bearer();
    let answers: [&[(&str, &str)]; 3] = [&[("Authorization", &token)], &[("Authorization", "Bearer x")], &[]];
    for headers in answers {
        let listed = [headers, &[("Origin", APP)]].concat();
        let answer = get(server.addr, "/private", &listed).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert!(answer.header("vary").unwrap().eq_ignore_ascii_case("origin"));
        let other = [headers, &[("Origin", "https://app.example.evil")]].concat();
        let answer = get(server.addr, "/private", &other).await;
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    for (origin, status) in [(APP, 204), ("https://evil.example", 403)] {
        let headers = [
            ("Origin", origin.as_bytes()),
            ("Access-Control-Request-Method", b"GET"),
            ("Access-Control-Request-Headers", b"authorization,last-event-id"),
        ];
        let answer = http::send(server.addr, "OPTIONS", "/private", &headers, b"").await;
        assert_eq!(answer.status, status);
        let allowed = answer.header("access-control-allow-headers").unwrap_or_default();
        assert_eq!(allowed.contains("last-event-id"), status == 204);
        assert_eq!(answer.header("access-control-allow-origin"), (status == 204).then_some(APP));
    }
}

pub(crate) async fn a_host_that_is_not_ours_is_turned_away(framework: Framework) {
    let ours = serve(framework, tokens::auth().allowed_hosts(["127.0.0.1"]).build().unwrap()).await;
    let theirs = serve(framework, tokens::auth().allowed_hosts(["app.example"]).build().unwrap()).await;
    let token = Token::new("ada", &["news"]).bearer();
    let headers = [("Authorization", token.as_str())];
    assert_eq!(get(ours.addr, "/private", &headers).await.status, 200);
    assert_eq!(get(theirs.addr, "/private", &headers).await.status, 421);
    // HTTP/2 has no `Host`, but an authority.
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for (server, status) in [(&ours, 200), (&theirs, 421)] {
        let request = client.get(format!("http://{}/private", server.addr));
        assert_eq!(request.header("authorization", &token).send().await.unwrap().status(), status);
    }
}

pub(crate) async fn a_ticket_opens_once_and_its_cookie_again(framework: Framework) {
    let server = default(framework).await;
    let token = Token::new("ada", &["news"]).bearer();
    let headers = [("Authorization", token.as_bytes())];
    let mut answer = http::send(server.addr, "POST", "/ticket", &headers, b"").await;
    assert_eq!(answer.status, 200);
    let path = format!("/private?ticket={}", answer.rest().await);
    let first = opened(server.addr, &path, &[]).await;
    let cookie = first.header("set-cookie").unwrap().to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/private"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    drop(first);
    assert_eq!(get(server.addr, &path, &[]).await.status, 401, "a ticket is good for once");
    let pair = cookie.split(';').next().unwrap();
    opened(server.addr, &path, &[("Cookie", pair)]).await;
    assert_eq!(get(server.addr, &format!("{path}&topic=other"), &[("Cookie", pair)]).await.status, 403);
}

pub(crate) async fn an_expired_token_ends_its_stream(framework: Framework) {
    let auth = tokens::auth().expiry_notice(Duration::from_secs(4)).build().unwrap();
    let server = serve(framework, auth).await;
    // Thirty seconds late, as when it lets in.
    let token = Token::new("ada", &["news"]).expires(-23).bearer();
    let before = Instant::now();
    let mut answer = opened(server.addr, "/private", &[("Authorization", &token)]).await;
    let text = answer.until(|text| text.contains("\n\n")).await;
    assert_eq!(http::events(&text)[0].kind, "sse-auth");
    let rest = answer.rest().await;
    assert_eq!(without_jitter(&rest), "retry: N\n");
    let lasted = before.elapsed();
    assert!((5.5..8.5).contains(&lasted.as_secs_f64()), "{lasted:?}");
    assert_eq!(get(server.addr, "/private", &[("Authorization", &token)]).await.status, 401);
}

pub(crate) async fn a_revoked_token_ends_its_stream_and_opens_no_other(framework: Framework) {
    let auth = tokens::auth().build().unwrap();
    let server = serve(framework, auth.clone()).await;
    let one = Token::new("ada", &["news"]).id("one").bearer();
    let two = Token::new("ada", &["news"]).id("two").bearer();
    let mut first = opened(server.addr, "/private", &[("Authorization", &one)]).await;
    let mut second = opened(server.addr, "/private", &[("Authorization", &two)]).await;

    assert_eq!(auth.revocations().revoke_token_id("one"), 1);
    let before = Instant::now();
    first.rest().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(get(server.addr, "/private", &[("Authorization", &one)]).await.status, 401);
    assert!(second.is_silent_for(Duration::from_millis(200)).await);

    auth.revocations().revoke_subject("ada");
    let before = Instant::now();
    second.rest().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(get(server.addr, "/private", &[("Authorization", &two)]).await.status, 401);
    // Signing in again works at once.
    let three = Token::new("ada", &["news"]).id("three").bearer();
    opened(server.addr, "/private", &[("Authorization", &three)]).await;
}

pub(crate) async fn a_lost_topic_is_not_replayed(framework: Framework) {
    let server = default(framework).await;
    let start = server.hub.position().to_string();
    for (topic, text) in [("a", "1"), ("b", "2"), ("a", "3")] {
        server.hub.publish(topic, text).await.unwrap();
    }
    server.hub.publish(["a", "b"], "4").await.unwrap();
    let now = Token::new("ada", &["a"]).bearer();
    let headers = [("Authorization", now.as_str()), ("Last-Event-ID", &start)];
    let mut answer = get(server.addr, "/private?topic=a", &headers).await;
    let seen = seen(&server, &mut answer, "a").await;
    assert_eq!(seen.iter().map(|seen| seen.data.as_str()).collect::<Vec<_>>(), ["1", "3", "4"]);
    assert_eq!(get(server.addr, "/private?topic=a&topic=b", &headers).await.status, 403);
}
