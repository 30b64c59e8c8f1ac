//! The notifications examples: their contract, and what a person sees of them in a browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};
use sse_core::Hub;
use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    examples::Example,
    http::{self, Answer},
    proxy::Proxy,
    servers::{App, Framework},
    tokens::{self, Token},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

async fn start(framework: Framework) -> Example {
    Example::start_with(framework, "notifications", &[("JWT_SECRET", tokens::SECRET)]).await
}

async fn post(addr: SocketAddr, path: &str, token: Option<&str>, body: &Value) -> Answer {
    let bearer = token.map(|token| format!("Bearer {token}")).unwrap_or_default();
    let mut headers = vec![("Content-Type", &b"application/json"[..])];
    headers.extend(token.map(|_| ("Authorization", bearer.as_bytes())));
    http::send(addr, "POST", path, &headers, body.to_string().as_bytes()).await
}

async fn sign_in(addr: SocketAddr, user: &str) -> String {
    let mut answer = post(addr, "/login", None, &json!({ "user": user })).await;
    assert_eq!(answer.status, 200);
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    for part in ["sse_token=ey", "HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{part}");
    }
    let answer: Value = serde_json::from_str(&answer.rest().await).unwrap();
    answer["token"].as_str().unwrap().to_owned()
}

async fn open(addr: SocketAddr, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut answer = http::send(addr, "GET", "/events", &[("Authorization", bearer.as_bytes())], b"").await;
    assert_eq!(answer.status, 200);
    answer.until(|text| text.contains("\n\n")).await;
    answer
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

async fn the_contract_is_kept(framework: Framework) {
    let mut example = start(framework).await;
    let addr = example.addr;
    let (ada, bob) = (sign_in(addr, "ada").await, sign_in(addr, "bob").await);
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

    for (path, token, body, status) in [
        ("/login", None, json!({ "user": "Ada\n" }), 400),
        ("/login", None, json!({ "user": "" }), 400),
        ("/notify", None, note.clone(), 401),
        ("/notify", Some(&ada), json!({ "to": "../x", "title": "", "body": "" }), 400),
        ("/ticket", None, json!({}), 401),
        ("/logout", None, json!({}), 401),
    ] {
        let mut answer = post(addr, path, token.map(String::as_str), &body).await;
        assert_eq!(answer.status, status, "{path} {body}");
        assert!(answer.rest().await.ends_with('.'), "{path} {body}");
    }
    assert_eq!(http::get(addr, "/events").await.status, 401);
    assert_eq!(http::get(addr, "/events?access_token=x").await.status, 401);

    only_what_is_granted_can_be_asked_for(addr, &ada).await;
    // A form of another site cannot sign its visitors in.
    let form = [("Content-Type", &b"text/plain"[..]), ("Origin", b"https://evil.example")];
    let forged = http::send(addr, "POST", "/login", &form, br#"{"user":"eve","x":"="}"#).await;
    assert_eq!((forged.status, forged.header("set-cookie")), (403, None));

    let mut answer = post(addr, "/ticket", Some(&bob), &json!({})).await;
    let ticket: Value = serde_json::from_str(&answer.rest().await).unwrap();
    assert_eq!(ticket["expires_in"], 30);
    let query = format!("ticket={}", ticket["ticket"].as_str().unwrap());
    for path in ["/notify", "/logout", "/ticket"] {
        assert_eq!(post(addr, &format!("{path}?{query}"), None, &note).await.status, 401, "{path}");
    }
    let path = format!("/events?{query}");
    assert_eq!(http::send(addr, "HEAD", &path, &[], b"").await.status, 200);
    assert_eq!(http::get(addr, &path).await.status, 200);
    assert_eq!(http::get(addr, &path).await.status, 401);

    for (path, expected) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "sse_streams 2")] {
        let mut answer = http::get(addr, path).await;
        assert_eq!(answer.status, 200, "{path}");
        let text = answer.rest().await;
        assert!(
            text.contains(expected) || path == "/metrics" && text.contains("sse_streams"),
            "{path}: {text}"
        );
    }

    assert_eq!(next(&mut of_bob).await["title"], "asked for");
    let before = Instant::now();
    assert_eq!(post(addr, "/logout", Some(&ada), &json!({})).await.status, 204);
    of_ada.rest().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(post(addr, "/notify", Some(&ada), &note).await.status, 401);
    // The same person can sign in again at once.
    open(addr, &sign_in(addr, "ada").await).await;
    assert!(of_bob.is_silent_for(Duration::from_millis(100)).await);

    example.signal("TERM").await;
    of_bob.rest().await;
    assert_eq!(example.code(Duration::from_secs(10)).await, Some(0));
}

async fn only_what_is_granted_can_be_asked_for(addr: SocketAddr, ada: &str) {
    let bearer = format!("Bearer {ada}");
    let get = async |query: &str| {
        let path = format!("/events?{query}");
        http::send(addr, "GET", &path, &[("Authorization", bearer.as_bytes())], b"").await
    };
    for query in ["topic=user/bob", "topic=news&topic=user/bob", "topic=user%2Fbob&topic=user/ada", "topic=*"]
    {
        let mut answer = get(query).await;
        assert_eq!(answer.status, 403, "{query}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"insufficient_scope\""));
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

/// Keys of an identity provider, fetched over HTTP from this machine.
async fn keys_can_be_fetched(framework: Framework) {
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", provider.local_addr().unwrap());
    let fetches = tokio::spawn(async move {
        for _ in 0..10 {
            let (mut socket, _) = provider.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let keys = tokens::PROVIDER_KEYS;
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{keys}",
                keys.len()
            );
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let env = [("JWKS_URL", &*url)];
    let example = Example::start_featured(framework, "notifications", "fetched-keys", &env).await;
    let token = Token::new("ada", &["news"]).sign_by_provider();
    open(example.addr, &token).await;
    let ours = format!("Bearer {}", Token::new("ada", &["news"]).sign());
    let answer = http::send(example.addr, "GET", "/events", &[("Authorization", ours.as_bytes())], b"").await;
    assert_eq!(answer.status, 401);
    assert_eq!(post(example.addr, "/login", None, &json!({ "user": "ada" })).await.status, 404);
    fetches.abort();
}

async fn two_people_in_chromium(framework: Framework) {
    two_people_in(Client::Chromium, framework).await;
}

async fn two_people_in_firefox(framework: Framework) {
    two_people_in(Client::Firefox, framework).await;
}

/// The form, which says why it is there.
const ENDED: &str = "!document.getElementById('signin').hidden
    && document.getElementById('why').textContent.startsWith('Your session has ended')";

/// Two people in two tabs, side by side.
async fn two_people_in(client: Client, framework: Framework) {
    let Some(browser) = clients::browser(client).await else {
        return;
    };
    let example = start(framework).await;
    let url = format!("http://{}/", example.addr);
    browser.client().goto(&url).await.unwrap();
    let ada = browser.client().window().await.unwrap();
    let bob = browser.client().new_window(true).await.unwrap().handle;
    to(&browser, &bob).await;
    browser.client().goto(&url).await.unwrap();
    enter(&browser, "bob").await;
    to(&browser, &ada).await;
    enter(&browser, "ada").await;

    // For one, and for all.
    to(&browser, &bob).await;
    send(&browser, "ada", "only for ada").await;
    send(&browser, "", "for everybody").await;
    browser.wait_for("document.querySelectorAll('#inbox li').length === 1").await;
    assert_eq!(titles(&browser).await, json!(["for everybody"]));
    to(&browser, &ada).await;
    browser.wait_for("document.querySelectorAll('#inbox li').length === 2").await;
    assert_eq!(titles(&browser).await, json!(["for everybody", "only for ada"]));
    let ages = browser
        .run(
            "return [...document.querySelectorAll('#inbox time')].filter(time => time.textContent)
                 .map(time => Math.abs(Date.now() - Date.parse(time.dateTime)))",
        )
        .await;
    let ages: Vec<f64> = serde_json::from_value(ages).unwrap();
    assert!(ages.len() == 2 && ages.iter().all(|age| *age < 60_000.0), "{ages:?}");

    // A cut: what was missed arrives, once, and says so.
    browser.run("document.getElementById('cut').click()").await;
    browser.wait_for("document.getElementById('state').dataset.state === 'cut'").await;
    to(&browser, &bob).await;
    send(&browser, "ada", "missed 1").await;
    send(&browser, "ada", "missed 2").await;
    to(&browser, &ada).await;
    browser.wait_for("document.querySelectorAll('#inbox li').length >= 4").await;
    assert_eq!(titles(&browser).await, json!(["missed 2", "missed 1", "for everybody", "only for ada"]));
    assert_eq!(browser.run("return document.querySelectorAll('#inbox li.missed').length").await, 2);

    // The cookie is that of who signed in last: ada. Native EventSource goes on where fetch was.
    browser.run("document.getElementById('native').click()").await;
    browser.wait_for("document.getElementById('state').dataset.state === 'open'").await;
    send(&browser, "ada", "to myself").await;
    browser.wait_for("document.querySelectorAll('#inbox li').length >= 5").await;
    assert_eq!(titles(&browser).await[0], "to myself");
    browser.run("document.getElementById('native').click()").await;
    browser.wait_for("document.getElementById('state').dataset.state === 'open'").await;

    // Signing out ends the stream here and there, and offers to sign in again: at once.
    let slowest = browser
        .client()
        .execute_async(
            "const [done] = arguments;
             const before = performance.now();
             const form = document.getElementById('signin');
             new MutationObserver(() => { if (!form.hidden) done(performance.now() - before); })
                 .observe(form, { attributes: true });
             document.getElementById('logout').click();",
            Vec::new(),
        )
        .await
        .unwrap();
    assert!(slowest.as_f64().unwrap() < 1000.0, "{slowest} ms");
    let out = "return [document.getElementById('state').dataset.state, document.getElementById('inside').hidden,
                       document.getElementById('logout').hidden, document.querySelectorAll('#inbox li').length,
                       document.activeElement === document.getElementById('login').user]";
    assert_eq!(browser.run(out).await, json!(["out", true, true, 0, true]));
    while streams(example.addr).await != "sse_streams 1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    to(&browser, &bob).await;
    send(&browser, "ada", "while ada was out").await;
    assert_eq!(browser.run("return document.getElementById('state').dataset.state").await, "open");

    // Somebody else in the same tab sees nothing of it.
    to(&browser, &ada).await;
    enter(&browser, "grace").await;
    assert_eq!(browser.run("return document.getElementById('who').textContent").await, "grace");
    send(&browser, "grace", "to myself").await;
    browser.wait_for("document.querySelectorAll('#inbox li').length === 1").await;

    // A session that ended elsewhere: after a reload too there is a form that says so.
    let token = browser.run("return sessionStorage.getItem('token')").await;
    for _ in 0..2 {
        browser
            .run(&format!(
                "sessionStorage.setItem('user', 'grace'); sessionStorage.setItem('token', {token});
                 fetch('/logout', {{ method: 'POST', headers: {{ Authorization: 'Bearer ' + {token} }} }})"
            ))
            .await;
        browser.wait_for(ENDED).await;
        // As a tab that has heard nothing of it.
        browser
            .run(&format!(
                "sessionStorage.setItem('user', 'grace'); sessionStorage.setItem('token', {token})"
            ))
            .await;
        browser.client().refresh().await.unwrap();
    }
    browser.wait_for(ENDED).await;
    enter(&browser, "grace").await;
    browser.close().await;
}

/// A cookie that expires and is renewed in time: the browser's own reconnect loses nothing. One that is not: the
/// browser stays away.
async fn a_renewed_cookie_loses_nothing(framework: Framework) {
    let Some(browser) = clients::browser(Client::Chromium).await else {
        return;
    };
    let example = start(framework).await;
    browser.client().goto(&format!("http://{}/healthz", example.addr)).await.unwrap();
    // Servers are thirty seconds late: seven are left.
    set_cookie(&browser, &Token::new("ada", &["news"]).expires(-23).sign()).await;
    browser
        .run(
            "window.titles = []; window.opens = 0; window.notices = 0;
             window.events = new EventSource('/events');
             events.onopen = () => { opens += 1; };
             events.addEventListener('sse-auth', () => { notices += 1; });
             events.addEventListener('notification', event => titles.push(JSON.parse(event.data).title));",
        )
        .await;
    browser.wait_for("opens === 1 && notices === 1").await;
    let bob = Token::new("bob", &[]).sign();
    let mut sent = Vec::new();
    let mut renewed = false;
    let deadline = Instant::now() + Duration::from_secs(30);
    while browser.run("return opens").await == 1 {
        assert!(Instant::now() < deadline, "the stream does not end");
        if !renewed && sent.len() == 20 {
            set_cookie(&browser, &Token::new("ada", &["news"]).expires(-12).sign()).await;
            renewed = true;
        }
        sent.push(publish(example.addr, &bob, sent.len()).await);
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    sent.push(publish(example.addr, &bob, sent.len()).await);
    browser.wait_for(&format!("titles.length >= {}", sent.len())).await;
    assert_eq!(browser.run("return titles").await, json!(sent));

    // Nobody renews it again.
    browser.wait_for("events.readyState === EventSource.CLOSED").await;
    assert_eq!(browser.run("return opens").await, 2);
    browser.close().await;
}

/// A page of another site can neither read the stream nor open it with the cookie.
async fn another_site_stays_outside(framework: Framework) {
    let Some(browser) = clients::browser(Client::Chromium).await else {
        return;
    };
    let example = start(framework).await;
    browser.client().goto(&format!("http://{}/healthz", example.addr)).await.unwrap();
    set_cookie(&browser, &Token::new("ada", &["news"]).sign()).await;
    browser.run("window.events = new EventSource('/events')").await;
    browser.wait_for("events.readyState === EventSource.OPEN").await;
    let before = streams(example.addr).await;

    // The same machine under another name is another site. The first page stays open in its own tab.
    let elsewhere = Example::start(Framework::Actix, "quickstart").await;
    let other = browser.client().new_window(true).await.unwrap().handle;
    to(&browser, &other).await;
    browser.client().goto(&format!("http://localhost:{}/", elsewhere.addr.port())).await.unwrap();
    let addr = example.addr;
    browser
        .run(&format!(
            "window.opened = 0; window.failed = 0; window.read = '';
             for (const credentials of ['include', 'omit'])
               fetch('http://{addr}/events', {{ credentials }})
                 .then(async answer => {{ read += await answer.text(); }}, () => {{ failed += 1; }});
             fetch('http://{addr}/events', {{ credentials: 'include', mode: 'no-cors' }})
               .then(answer => {{ failed += Number(answer.type === 'opaque'); }});
             for (const withCredentials of [true, false]) {{
               const events = new EventSource('http://{addr}/events', {{ withCredentials }});
               events.onopen = () => {{ opened += 1; }};
               events.onerror = () => {{ failed += Number(events.readyState === EventSource.CLOSED); }};
             }}"
        ))
        .await;
    browser.wait_for("failed === 5").await;
    assert_eq!(browser.run("return [opened, read]").await, json!([0, ""]));
    assert_eq!(streams(addr).await, before);
    browser.close().await;
}

/// Whatever is logged, at every level, and whatever is asked: no token, ticket or cookie is in it.
async fn no_log_shows_a_secret(framework: Framework) {
    for level in ["off", "critical", "normal", "debug"] {
        let env = [("JWT_SECRET", tokens::SECRET), ("ROCKET_LOG_LEVEL", level), ("RUST_LOG", "trace")];
        let mut example = Example::start_with(framework, "notifications", &env).await;
        let addr = example.addr;
        let token = sign_in(addr, "ada").await;
        let bearer = format!("Bearer {token}");
        let mut answer = post(addr, "/ticket", Some(&token), &json!({})).await;
        let ticket: Value = serde_json::from_str(&answer.rest().await).unwrap();
        let ticket = ticket["ticket"].as_str().unwrap();
        let login = format!("sse_token={token}");
        let requests: [&[(&str, &str)]; 3] = [
            &[],
            &[("Cookie", &login)],
            &[("Origin", "https://app.example"), ("Access-Control-Request-Method", "GET")],
        ];
        let secrets =
            [format!("ticket={ticket}"), format!("x=1&ticket={ticket}&y"), format!("access_token={token}")];
        for path in ["/events", "/notify", "/nowhere", "/"] {
            for query in &secrets {
                for method in ["OPTIONS", "HEAD", "POST", "PUT"] {
                    for headers in requests {
                        let headers: Vec<_> =
                            headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                        http::send(addr, method, &format!("{path}?{query}"), &headers, b"").await;
                    }
                }
            }
        }
        // Used, used up, and back with its cookie.
        let path = format!("/events?{}", secrets[0]);
        let opened = http::get(addr, &path).await;
        assert_eq!(opened.status, 200, "nothing before has used it");
        let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        assert_eq!(http::get(addr, &path).await.status, 401);
        let session = [("Cookie", cookie.as_bytes())];
        assert_eq!(http::send(addr, "GET", &path, &session, b"").await.status, 200);
        http::send(addr, "GET", "/events?topic=user/bob", &[("Authorization", bearer.as_bytes())], b"").await;
        http::send(addr, "GET", "/events", &[("Authorization", format!("{bearer}x").as_bytes())], b"").await;
        assert_eq!(post(addr, "/logout", Some(&token), &json!({})).await.status, 204);
        example.signal("TERM").await;
        assert_eq!(example.code(Duration::from_secs(30)).await, Some(0));

        let log = example.output();
        let parts = token.split('.').map(|part| &part[part.len() - 12..]);
        let (_, session) = cookie.split_once('=').unwrap();
        for secret in parts.chain([ticket, session]) {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{level}");
        }
        // It is the log, and what was asked for stands in it.
        if framework == Framework::Rocket && level != "off" && level != "critical" {
            assert!(log.contains("/events?ticket=-") && log.contains("/nowhere?x=1&ticket=-&y"), "{log}");
        }
    }
}

/// A page of another site that is on the list: its stream, opened with a ticket, comes back after a cut. With a cookie
/// of its own site's alone it could not.
async fn a_listed_page_of_another_site_comes_back(framework: Framework) {
    let Some(browser) = clients::browser(Client::Chromium).await else {
        return;
    };
    let page = Framework::Actix.serve(App::new(Hub::new())).await;
    let origin = format!("http://127.0.0.1:{}", page.addr.port());
    for (across, expected) in [(true, 2), (false, 1)] {
        let rules = tokens::auth().allowed_origins([origin.as_str()]);
        let rules = if across { rules.cross_site_cookies() } else { rules };
        let server = framework.serve(App { auth: rules.build().unwrap(), ..App::new(Hub::new()) }).await;
        let proxy = Proxy::start(server.addr, std::iter::empty()).await.unwrap();
        let bearer = Token::new("ada", &["news"]).bearer();
        let bearer = [("Authorization", bearer.as_bytes())];
        let ticket = http::send(server.addr, "POST", "/ticket", &bearer, b"").await.rest().await;

        browser.client().goto(&format!("{origin}/blank")).await.unwrap();
        // Another name is another site.
        let port = proxy.addr().port();
        browser
            .run(&format!(
                "window.opens = 0; window.seen = [];
                 window.events = new EventSource('http://localhost:{port}/private?ticket={ticket}', {{ withCredentials: true }});
                 events.onopen = () => {{ opens += 1; }};
                 events.onmessage = event => seen.push(event.data);"
            ))
            .await;
        browser.wait_for("opens === 1").await;
        server.hub.publish("news", "first").await.unwrap();
        browser.wait_for("seen.length === 1").await;
        proxy.cut_all();
        if across {
            browser.wait_for("opens === 2").await;
            server.hub.publish("news", "second").await.unwrap();
            browser.wait_for("seen.length === 2").await;
        } else {
            browser.wait_for("events.readyState === EventSource.CLOSED").await;
        }
        assert_eq!(browser.run("events.close(); return opens").await, expected, "{across}");
    }
    browser.close().await;
}

async fn streams(addr: SocketAddr) -> String {
    let metrics = http::get(addr, "/metrics").await.rest().await;
    metrics.lines().find(|line| line.starts_with("sse_streams")).unwrap().to_owned()
}

async fn to(browser: &Browser, window: &WindowHandle) {
    browser.client().switch_to_window(window.clone()).await.unwrap();
}

async fn enter(browser: &Browser, user: &str) {
    let script = format!(
        "const form = document.getElementById('login'); form.user.value = '{user}'; form.requestSubmit();"
    );
    browser.run(&script).await;
    browser.wait_for("document.getElementById('state').dataset.state === 'open'").await;
}

async fn send(browser: &Browser, user: &str, title: &str) {
    let script = format!(
        "const form = document.getElementById('notify'); form.to.value = '{user}'; form.title.value = '{title}';
         form.requestSubmit();"
    );
    browser.run(&script).await;
    // The form is emptied when it was sent.
    browser.wait_for("document.getElementById('notify').title.value === ''").await;
}

async fn titles(browser: &Browser) -> Value {
    browser
        .run("return [...document.querySelectorAll('#inbox strong')].map(title => title.textContent)")
        .await
}

async fn set_cookie(browser: &Browser, token: &str) {
    browser.run(&format!("document.cookie = 'sse_token={token}; path=/; SameSite=Strict'")).await;
}

async fn publish(addr: SocketAddr, token: &str, n: usize) -> String {
    let title = n.to_string();
    let note = json!({ "to": null, "title": title, "body": "" });
    assert_eq!(post(addr, "/notify", Some(token), &note).await.status, 202);
    title
}

sse_tests::on_each_framework! {
    the_contract_is_kept
    keys_can_be_fetched
    two_people_in_chromium
    two_people_in_firefox
    a_renewed_cookie_loses_nothing
    another_site_stays_outside
    no_log_shows_a_secret
    a_listed_page_of_another_site_comes_back
}
