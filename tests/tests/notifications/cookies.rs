//! The cookie in a real browser: until it expires, and for no other site.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::json;
use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    examples::Example,
    servers::Framework,
    tokens::Token,
};

use crate::{By, post, streams, to};

/// A cookie that expires and is renewed in time: the browser's own reconnect loses nothing. One that is not: the
/// browser stays away.
pub(crate) async fn a_renewed_cookie_loses_nothing(framework: Framework, by: By) {
    let Some(browser) = clients::browser(Client::Chromium).await else {
        return;
    };
    let example = by.start_with(framework, &[("SESSION_TTL", "16")]).await;
    browser.client().goto(&format!("http://{}/healthz", example.addr)).await.unwrap();
    // Servers are thirty seconds late for tokens: seven are left.
    sign_in(&browser, by, -23).await;
    let signed_in = Instant::now();
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
    let mut sent = Vec::new();
    let mut renewed = false;
    let deadline = Instant::now() + Duration::from_secs(30);
    while browser.run("return opens").await == 1 {
        assert!(Instant::now() < deadline, "the stream does not end");
        // What is renewed must last until the browser is back, some seconds after the first has expired.
        let is_due = match by {
            By::Token => sent.len() == 20,
            By::Session => signed_in.elapsed() > Duration::from_secs(8),
        };
        if !renewed && is_due {
            sign_in(&browser, by, -12).await;
            renewed = true;
        }
        sent.push(publish(example.addr, by, sent.len()).await);
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    sent.push(publish(example.addr, by, sent.len()).await);
    browser.wait_for(&format!("titles.length >= {}", sent.len())).await;
    assert_eq!(browser.run("return titles").await, json!(sent));

    // Nobody renews it again.
    browser.wait_for("events.readyState === EventSource.CLOSED").await;
    assert_eq!(browser.run("return opens").await, 2);
    browser.close().await;
}

/// A page of another site can neither read the stream nor open it with the cookie.
pub(crate) async fn another_site_stays_outside(framework: Framework, by: By) {
    let Some(browser) = clients::browser(Client::Chromium).await else {
        return;
    };
    let example = by.start(framework).await;
    browser.client().goto(&format!("http://{}/healthz", example.addr)).await.unwrap();
    sign_in(&browser, by, 600).await;
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

/// Gives the browser ada's cookie: one with a token that expires so many seconds from now, or that of a session which
/// lasts as long as the example's do.
async fn sign_in(browser: &Browser, by: By, expires: i64) {
    match by {
        By::Token => {
            let token = Token::new("ada", &["news"]).expires(expires).sign();
            browser.run(&format!("document.cookie = 'sse_token={token}; path=/; SameSite=Strict'")).await;
        }
        By::Session => {
            let script = "const [done] = arguments;
                          const headers = { 'Content-Type': 'application/json' };
                          fetch('/login', { method: 'POST', headers, body: JSON.stringify({ user: 'ada' }) })
                              .then(answer => done([answer.status, document.cookie]));";
            let done = browser.client().execute_async(script, Vec::new()).await.unwrap();
            assert_eq!(done, json!([200, ""]), "and no script sees it");
        }
    }
}

async fn publish(addr: SocketAddr, by: By, n: usize) -> String {
    let bob = by.sign_in(addr, "bob").await;
    let title = n.to_string();
    let note = json!({ "to": null, "title": title, "body": "" });
    assert_eq!(post(addr, "/notify", Some(&bob), &note).await.status, 202);
    title
}
