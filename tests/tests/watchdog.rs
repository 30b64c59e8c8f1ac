//! Pages that notice a dead link: a connection that stays open and says nothing more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

use std::time::Duration;

use serde_json::json;
use sse_core::{Event, EventName, Hub, StreamOptions};
use sse_tests::{
    clients::{self, Client},
    examples::Example,
    http,
    proxy::Proxy,
    servers::{App, Framework},
    tokens,
};

/// What the documents give to copy.
fn recipe() -> &'static str {
    let text = include_str!("../../docs/production.md");
    let (_, code) = text.split_once("```js\n").expect("code");
    code.split_once("```").expect("its end").0
}

async fn watched_hub_reconnects(client: Client) {
    let Some(browser) = clients::browser(client).await else {
        return;
    };
    let ping = Event::new("{}").named(EventName::from_static("ping"));
    let options = StreamOptions::new().keep_alive(Duration::from_millis(300)).keep_alive_event(ping);
    let hub = Hub::builder().stream_options(options).build();
    let server = Framework::Warp.serve(App::new(hub)).await;
    let proxy = Proxy::start(server.addr, std::iter::empty()).await.unwrap();
    browser.client().goto(&format!("http://{}/blank", proxy.addr())).await.unwrap();
    let script = format!(
        "{}
         const seen = window.seen = [];
         window.opened = 0;
         const Native = EventSource;
         window.EventSource = class extends Native {{ constructor(url) {{ super(url); window.opened += 1; }} }};
         watch('/events', {{ message: event => seen.push(event.data) }}, 2000);",
        recipe()
    );
    browser.run(&script).await;
    server.hub.publish("news", "before").await.unwrap();
    // It may not be open yet.
    for n in 0.. {
        server.hub.publish("news", format!("try {n}")).await.unwrap();
        if browser.run("return window.seen.length").await != json!(0) {
            break;
        }
        assert!(n < 200, "no event arrives");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // While it is kept alive it stays.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(browser.run("return window.opened").await, json!(1));

    proxy.silence_all();
    server.hub.publish("news", "while silent").await.unwrap();
    browser.wait_for("window.opened >= 2").await;
    browser.wait_for("window.seen.includes('while silent')").await;
    server.hub.publish("news", "after").await.unwrap();
    browser.wait_for("window.seen.includes('after')").await;
    let twice = "return new Set(window.seen).size === window.seen.length";
    assert_eq!(browser.run(twice).await, json!(true));
    browser.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recipe_reconnects_in_chromium() {
    watched_hub_reconnects(Client::Chromium).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recipe_reconnects_in_firefox() {
    watched_hub_reconnects(Client::Firefox).await;
}

/// Its times are those of the example: 40 s without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_notifications_page_reconnects() {
    let Some(browser) = clients::browser(Client::Chromium).await else {
        return;
    };
    let example =
        Example::start_with(Framework::Warp, "notifications", &[("JWT_SECRET", tokens::SECRET)]).await;
    let proxy = Proxy::start(example.addr, std::iter::empty()).await.unwrap();
    browser.client().goto(&format!("http://{}/", proxy.addr())).await.unwrap();
    let sign_in =
        "const form = document.getElementById('login'); form.user.value = 'ada'; form.requestSubmit()";
    browser.run(sign_in).await;
    let open = "document.getElementById('state').dataset.state === 'open'";
    browser.wait_for(open).await;
    proxy.silence_all();
    tokio::time::sleep(Duration::from_secs(20)).await;
    // Not through the page, whose own requests may be on a silent connection.
    let token = browser.run("return sessionStorage.getItem('token')").await;
    let pass = format!("Bearer {}", token.as_str().unwrap());
    let headers = [("Authorization", pass.as_bytes()), ("Content-Type", b"application/json")];
    let note = json!({ "to": "ada", "title": "missed", "body": "" }).to_string();
    let answer = http::send(example.addr, "POST", "/notify", &headers, note.as_bytes()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(browser.run("return document.querySelectorAll('#inbox li').length").await, json!(0));
    tokio::time::sleep(Duration::from_secs(15)).await;
    browser.wait_for("document.querySelectorAll('#inbox li.missed').length === 1").await;
    browser.wait_for(open).await;
    browser.close().await;
}
