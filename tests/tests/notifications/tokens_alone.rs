//! What is about tokens, and has no counterpart in sessions.

use serde_json::json;
use sse_core::Hub;
use sse_tests::{
    clients::{self, Client},
    examples::Example,
    http,
    proxy::Proxy,
    servers::{App, Framework},
    tokens::{self, Token},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{Pass, open, post};

/// Keys of an identity provider, fetched over HTTP from this machine.
pub(crate) async fn keys_can_be_fetched(framework: Framework) {
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
    open(example.addr, &Pass("Authorization", format!("Bearer {token}"))).await;
    let ours = format!("Bearer {}", Token::new("ada", &["news"]).sign());
    let answer = http::send(example.addr, "GET", "/events", &[("Authorization", ours.as_bytes())], b"").await;
    assert_eq!(answer.status, 401);
    assert_eq!(post(example.addr, "/login", None, &json!({ "user": "ada" })).await.status, 404);
    fetches.abort();
}

/// A page of another site that is on the list: its stream, opened with a ticket, comes back after a cut. With a cookie
/// of its own site's alone it could not.
pub(crate) async fn a_listed_page_of_another_site_comes_back(framework: Framework) {
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
