//! Tokens, cookies, origins and tickets, as each adapter renders what the core decides.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use sse_core::{Auth, Hub, Keys};
use sse_tests::{
    http::{self, Answer, Seen, without_jitter},
    servers::{App, Framework, Server},
    tokens::{self, Token},
};

use super::sessions::says_nothing_but_stop;

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
    let tab = good.replacen(' ', "\t", 1);
    let challenge = |error: &str| Some(format!("Bearer error=\"{error}\""));
    let cases: [Refused<'_>; 9] = [
        ("no token", &[], 401, Some("Bearer".into())),
        ("a bad signature", &[("Authorization", &bad)], 401, challenge("invalid_token")),
        ("an old token", &[("Authorization", &old)], 401, challenge("invalid_token")),
        ("no bearer", &[("Authorization", "Bearer")], 400, challenge("invalid_request")),
        ("a tab", &[("Authorization", &tab)], 400, challenge("invalid_request")),
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
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{what}");
        if framework == Framework::Rocket {
            assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"), "{what}: Rocket's Shield");
        }
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
    for part in ["HttpOnly", "SameSite=Strict", "Path=/private", "Secure"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    drop(first);
    assert_eq!(get(server.addr, &path, &[]).await.status, 401, "a ticket is good for once");
    let pair = cookie.split(';').next().unwrap();
    opened(server.addr, &path, &[("Cookie", pair)]).await;
    assert_eq!(get(server.addr, &format!("{path}&topic=other"), &[("Cookie", pair)]).await.status, 403);

    // The cookie of a session that has gone is taken back beside the new one's.
    let prefix = pair.split_once('=').unwrap().0.rsplit_once('_').unwrap().0;
    let old = format!("{prefix}_0123456789ab=gone; {pair}");
    let ticket = http::send(server.addr, "POST", "/ticket", &headers, b"").await.rest().await;
    let answer = opened(server.addr, &format!("/private?ticket={ticket}"), &[("Cookie", &old)]).await;
    let set = answer.headers.iter().filter(|(name, _)| name == "set-cookie").map(|(_, value)| value.as_str());
    let [cleared, new] = set.collect::<Vec<_>>()[..] else {
        panic!("{:?}", answer.headers);
    };
    assert!(cleared.starts_with(&format!("{prefix}_0123456789ab=; Path=/private; Max-Age=0;")), "{cleared}");
    assert!(new.starts_with(prefix) && !new.contains("Max-Age=0"), "{new}");
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
    const APP: &str = "https://app.example";
    let auth = tokens::auth().allowed_origins([APP]).build().unwrap();
    let server = serve(framework, auth.clone()).await;
    let stays_away = async |token: &str| {
        let headers = [("Authorization", token), ("Accept", "text/event-stream"), ("Origin", APP)];
        for path in ["/private", "/whoami"] {
            let mut answer = get(server.addr, path, &headers).await;
            says_nothing_but_stop(&mut answer, Some(APP)).await;
            let answer = get(server.addr, path, &headers[..1]).await;
            let challenge = answer.header("www-authenticate");
            assert_eq!((answer.status, challenge), (401, Some("Bearer error=\"invalid_token\"")));
        }
    };
    let one = Token::new("ada", &["news"]).id("one").bearer();
    let two = Token::new("ada", &["news"]).id("two").bearer();
    let mut first = opened(server.addr, "/private", &[("Authorization", &one)]).await;
    let mut second = opened(server.addr, "/private", &[("Authorization", &two)]).await;

    assert_eq!(auth.revocations().revoke_token_id("one").await.unwrap(), 1);
    let before = Instant::now();
    first.rest().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    stays_away(&one).await;
    assert!(second.goes_on_for(Duration::from_millis(200)).await);

    auth.revocations().revoke_subject("ada").await.unwrap();
    let before = Instant::now();
    second.rest().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    stays_away(&two).await;
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

async fn send(addr: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    http::send(addr, method, path, &headers, b"").await
}

async fn ticket(addr: SocketAddr, token: &str) -> String {
    let mut answer = send(addr, "POST", "/ticket", &[("Authorization", token)]).await;
    assert_eq!(answer.status, 200);
    answer.rest().await
}

/// The cookie that an answer sets, as it is sent back.
fn cookie(answer: &Answer) -> String {
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

pub(crate) async fn another_signature_is_signed_out_too(framework: Framework) {
    let auth = tokens::auth_p256().build().unwrap();
    let server = serve(framework, auth.clone()).await;
    let [token, other] = Token::new("ada", &["news"]).sign_p256();
    let (token, other) = (format!("Bearer {token}"), format!("Bearer {other}"));
    assert_eq!(get(server.addr, "/whoami", &[("Authorization", &other)]).await.status, 200);
    let head = ::http::Request::get("/").header("authorization", &token).body(()).unwrap();
    let client = auth.authorize(&head, server.hub.lifecycle()).await.unwrap();
    auth.revocations().revoke(&client).await.unwrap();
    for token in [&token, &other] {
        assert_eq!(get(server.addr, "/whoami", &[("Authorization", token)]).await.status, 401);
        assert_eq!(get(server.addr, "/private", &[("Authorization", token)]).await.status, 401);
    }
}

pub(crate) async fn a_ticket_opens_its_stream_and_nothing_else(framework: Framework) {
    let server = default(framework).await;
    let ticket = ticket(server.addr, &Token::new("ada", &["news"]).bearer()).await;
    let at = |path: &str| format!("{path}?ticket={ticket}");
    for method in ["POST", "GET"] {
        assert_eq!(send(server.addr, method, &at("/whoami"), &[]).await.status, 401, "{method}");
    }
    let opened = opened(server.addr, &at("/private"), &[]).await;
    let cookie = cookie(&opened);
    for method in ["POST", "GET"] {
        let answer = send(server.addr, method, &at("/whoami"), &[("Cookie", &cookie)]).await;
        assert_eq!(answer.status, 401, "{method}");
    }
}

pub(crate) async fn head_requests_leave_tickets_alone(framework: Framework) {
    let server = default(framework).await;
    let bearer = Token::new("ada", &["news"]).bearer();
    let path = format!("/private?ticket={}", ticket(server.addr, &bearer).await);
    for headers in [&[][..], &[("Authorization", bearer.as_str())][..]] {
        let path = if headers.is_empty() { path.as_str() } else { "/private" };
        let mut answer = send(server.addr, "HEAD", path, headers).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.rest().await, "");
    }
    assert_eq!(send(server.addr, "HEAD", "/private", &[]).await.status, 401);
    assert_eq!(server.hub.lifecycle().streams(), 0);
    assert!(opened(server.addr, &path, &[]).await.header("set-cookie").is_some());
}

pub(crate) async fn every_page_load_has_room(framework: Framework) {
    let server = default(framework).await;
    let token = Token::new("ada", &["news"]).bearer();
    let mut last = None;
    for _ in 0..70 {
        let path = format!("/private?ticket={}", ticket(server.addr, &token).await);
        let answer = opened(server.addr, &path, &[]).await;
        last = Some((path, cookie(&answer)));
    }
    let (path, cookie) = last.unwrap();
    opened(server.addr, &path, &[("Cookie", &cookie)]).await;
}

pub(crate) async fn a_key_that_is_not_known_yet_lets_come_back(framework: Framework) {
    // Without the key that signs.
    let document = tokens::PROVIDER_KEYS.replace("\"one\"", "\"another\"");
    let keys = Keys::remote(move || std::future::ready(Ok::<_, String>(document.clone())));
    let server = serve(framework, tokens::auth_remote(keys).build().unwrap()).await;
    let token = format!("Bearer {}", Token::new("ada", &["news"]).sign_by_provider());
    for _ in 0..3 {
        let answer = get(server.addr, "/private", &[("Authorization", &token)]).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (503, None));
        assert!(answer.header("retry-after").is_some());
        let browser =
            [("Authorization", token.as_str()), ("Accept", "text/event-stream"), ("Sec-Fetch-Mode", "cors")];
        let mut answer = get(server.addr, "/private", &browser).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
        assert_eq!(answer.header("cache-control"), Some("no-store, no-transform"));
        assert_eq!(without_jitter(&answer.rest().await), "retry: N\n:\n");
    }
}

pub(crate) async fn a_neighbour_can_change_nothing_with_a_cookie(framework: Framework) {
    let server = default(framework).await;
    let cookie = format!("token={}", Token::new("ada", &["news"]).sign());
    let from = |site: &'static str| {
        [("Cookie", cookie.as_str()), ("Sec-Fetch-Site", site), ("Sec-Fetch-Mode", "cors")]
    };
    for (method, site, status) in
        [("GET", "same-site", 200), ("POST", "same-site", 403), ("POST", "same-origin", 200)]
    {
        assert_eq!(send(server.addr, method, "/whoami", &from(site)).await.status, status, "{method} {site}");
    }
}

pub(crate) async fn a_cookie_of_a_neighbour_locks_nobody_out(framework: Framework) {
    let server = default(framework).await;
    let token = Token::new("ada", &["news"]).sign();
    for cookies in [format!("token=tossed; token={token}"), format!("token={token}; token=tossed")] {
        let mut answer = get(server.addr, "/whoami", &[("Cookie", &cookies)]).await;
        assert_eq!((answer.status, answer.rest().await), (200, "ada".to_owned()), "{cookies}");
    }
}

pub(crate) async fn whoever_signs_in_does_so_on_our_own_page(framework: Framework) {
    let server = default(framework).await;
    let own = format!("http://{}", server.addr);
    let form = ("Content-Type", "text/plain");
    for (status, headers) in [
        (200, &[][..]),
        (200, &[("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Mode", "navigate")]),
        (403, &[("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site"), form]),
        (403, &[("Origin", "https://evil.example"), form]),
        (403, &[("Origin", "null"), form]),
        (403, &[("Sec-Fetch-Site", "same-site"), form]),
    ] {
        let mut answer = send(server.addr, "POST", "/login", headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
        assert!(status == 200 || answer.rest().await.ends_with('.'));
    }
}
