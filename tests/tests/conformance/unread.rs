//! Clients that read nothing: their bodies are stuck, and what they hold is freed at their time all the same.

use std::time::{Duration, Instant};

use sse_core::{Hub, StreamOptions};
use sse_tests::{
    http::{self, without_jitter},
    servers::{App, Framework, Server},
    tokens::Token,
};
use tokio::time::sleep;

/// A client, and what it does not read.
enum Unread {
    Http1(http::Answer),
    Http2(reqwest::Response),
}

async fn open(server: &Server, path: &str, http_2: bool) -> Unread {
    let token = Token::new("ada", &["news"]).bearer();
    if !http_2 {
        let headers: [(&str, &[u8]); 1] = [("Authorization", token.as_bytes())];
        let answer = http::send(server.addr, "GET", path, &headers, b"").await;
        assert_eq!(answer.status, 200);
        return Unread::Http1(answer);
    }
    // It takes no byte of the body.
    let client = reqwest::Client::builder().http2_prior_knowledge().http2_initial_stream_window_size(0);
    let url = format!("http://{}{path}", server.addr);
    let answer = client.build().unwrap().get(url).header("Authorization", token).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    Unread::Http2(answer)
}

/// More than sockets hold.
async fn fill(hub: &Hub) {
    for _ in 0..200 {
        hub.publish("news", "x".repeat(50_000)).await.unwrap();
    }
}

fn held(server: &Server) -> (usize, usize) {
    (server.hub.lifecycle().streams(), server.hub.stats().subscribers)
}

async fn is_freed(server: &Server) {
    let start = Instant::now();
    while held(server) != (0, 0) {
        // The next keep-alive is further away.
        assert!(start.elapsed() < Duration::from_secs(12), "{:?} are still held", held(server));
        sleep(Duration::from_millis(10)).await;
    }
    println!("freed after {:?}", start.elapsed());
}

/// The stream ends cleanly for whoever reads after all.
async fn ends(unread: Unread) {
    match unread {
        Unread::Http1(mut answer) => {
            let text = answer.rest().await;
            assert!(without_jitter(&text).ends_with("\n\nretry: N\n"));
        }
        // It never will.
        Unread::Http2(answer) => drop(answer),
    }
}

async fn is_freed_at_its_age(framework: Framework, http_2: bool) {
    let options = StreamOptions::new().max_age(Duration::from_secs(2));
    let hub = Hub::builder().stream_options(options).build();
    let server = framework.serve(App::new(hub)).await;
    let unread = open(&server, "/events", http_2).await;
    fill(&server.hub).await;
    is_freed(&server).await;
    ends(unread).await;
}

pub(crate) async fn whoever_reads_nothing_is_freed_at_his_age(framework: Framework) {
    is_freed_at_its_age(framework, false).await;
}

pub(crate) async fn whoever_reads_nothing_over_http_2_is_freed_at_his_age(framework: Framework) {
    is_freed_at_its_age(framework, true).await;
}

async fn is_freed_when_revoked(framework: Framework, http_2: bool) {
    let app = App::new(Hub::new());
    let auth = app.auth.clone();
    let server = framework.serve(app).await;
    let unread = open(&server, "/private", http_2).await;
    fill(&server.hub).await;
    assert_eq!(held(&server), (1, 1));
    assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 1);
    is_freed(&server).await;
    assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 0);
    ends(unread).await;
}

pub(crate) async fn whoever_reads_nothing_is_freed_when_revoked(framework: Framework) {
    is_freed_when_revoked(framework, false).await;
}

pub(crate) async fn whoever_reads_nothing_over_http_2_is_freed_when_revoked(framework: Framework) {
    is_freed_when_revoked(framework, true).await;
}
