//! Why streams end, as whoever observes them is told it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use sse_core::{
    EndReason, Event, Hub, Lifecycle, OnGap, OnLag, OpenStream, Presence, Start, StreamObserver,
    StreamOptions,
};
use sse_tests::{
    http::{self, Answer},
    servers::{App, Framework, OwnStream, Server},
    tokens::Token,
};
use tokio::time::sleep;

/// Longer than a keep-alive and the time that clocks may differ by.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who opened streams, and why which ended.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    opened: usize,
    ended: Vec<(Option<String>, EndReason)>,
}

impl StreamObserver for Notes {
    fn opened(&self, _: &OpenStream) {
        self.0.lock().unwrap().opened += 1;
    }

    fn ended(&self, stream: &OpenStream, reason: EndReason) {
        self.0.lock().unwrap().ended.push((stream.subject().map(str::to_owned), reason));
    }
}

impl Notes {
    /// Until one has ended for this reason, and no other for any.
    async fn have(&self, subject: Option<&str>, reason: EndReason) {
        let start = Instant::now();
        loop {
            let ended = std::mem::take(&mut self.0.lock().unwrap().ended);
            if !ended.is_empty() {
                assert_eq!(ended, [(subject.map(str::to_owned), reason)]);
                return;
            }
            assert!(start.elapsed() < PATIENCE, "nothing has ended as {reason}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

fn own(name: &str) -> OwnStream {
    match name {
        "failed" => Box::pin(stream::iter([Ok(Event::new("a")), Err("nothing more".to_owned())])),
        "pending" => Box::pin(stream::iter([Ok(Event::new("a"))]).chain(stream::pending())),
        _ => Box::pin(stream::iter([Ok(Event::new("a"))])),
    }
}

async fn open(server: &Server, path: &str, headers: &[(&str, &[u8])]) -> Answer {
    let answer = http::send(server.addr, "GET", path, headers, b"").await;
    assert_eq!(answer.status, 200, "{path}");
    answer
}

/// Two tabs of one person are one, and who closes the last has left.
pub(crate) async fn who_is_there_is_known(framework: Framework) {
    let hub = Hub::new();
    let presence = Presence::builder().announce("news").build(&hub);
    let server = framework.serve(App::new(hub)).await;
    let [ada, bob] = ["ada", "bob"].map(|who| Token::new(who, &["news"]).bearer());
    let mut first = open(&server, "/private", &[("Authorization", ada.as_bytes())]).await;
    let mut second = open(&server, "/private", &[("Authorization", ada.as_bytes())]).await;
    let watching = open(&server, "/private", &[("Authorization", bob.as_bytes())]).await;
    let nobody = open(&server, "/events", &[]).await;
    assert_eq!(presence.who("news"), ["ada", "bob"]);
    assert_eq!(presence.anonymous("news"), 1);
    drop((watching, nobody));
    // Some learn of it when they write; whoever reads is told.
    let told = async |stream: &mut Answer, needle: &str| {
        let start = Instant::now();
        while !stream.until(|text| text.ends_with("\n\n")).await.contains(needle) {
            assert!(start.elapsed() < PATIENCE, "{needle}");
        }
    };
    told(&mut first, "event: join\ndata: {\"who\":\"bob\"}").await;
    let publishing = async {
        loop {
            server.hub.publish("news", "y".repeat(5_000)).await.unwrap();
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = publishing => {}
        () = told(&mut first, "event: leave\ndata: {\"who\":\"bob\"}") => {}
    }
    assert_eq!((presence.who("news"), presence.count("news")), (vec!["ada".to_owned()], 1));
    drop(first);
    second.until(|text| text.contains("join") && text.ends_with("\n\n")).await;
    assert!(presence.is_there("news", "ada"));
    server.hub.lifecycle().stop();
    second.rest().await;
    let start = Instant::now();
    while presence.is_there("news", "ada") {
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    while presence.anonymous("news") > 0 {
        assert!(start.elapsed() < PATIENCE);
        sleep(Duration::from_millis(5)).await;
    }
}

/// Every reason once, over sockets, and nothing else that ends.
pub(crate) async fn each_end_has_its_reason(framework: Framework) {
    let lifecycle = Lifecycle::builder().window(Duration::from_millis(100)).build();
    let notes = Notes::default();
    lifecycle.observe(notes.clone());
    let hub = Hub::builder().max_events(50).lifecycle(&lifecycle).build();
    let options = StreamOptions::new;
    let endpoints = [
        ("plain", options()),
        ("aged", options().max_age(Duration::from_secs(1))),
        ("gap", options().on_gap(OnGap::Close)),
        ("capped", options().start(Start::Oldest).max_replay_events(2)),
        ("lagging", options().on_lag(OnLag::Reconnect)),
    ];
    let app = App { own, endpoints: endpoints.into(), ..App::new(hub) };
    let (auth, opened) = (app.auth.clone(), Arc::clone(&app.opened));
    let server = framework.serve(app).await;
    let token = Token::new("ada", &["news"]).bearer();
    let ada = [("Authorization", token.as_bytes())];

    open(&server, "/own/finished", &[]).await.rest().await;
    notes.have(None, EndReason::Finished).await;
    open(&server, "/own/failed", &[]).await.rest().await;
    notes.have(None, EndReason::Failed).await;
    open(&server, "/with/aged", &[]).await.rest().await;
    notes.have(None, EndReason::MaxAge).await;
    open(&server, "/with/gap", &[("Last-Event-ID", b"nonsense")]).await.rest().await;
    notes.have(None, EndReason::Gap).await;

    for n in 0..5 {
        server.hub.publish("news", n.to_string()).await.unwrap();
    }
    open(&server, "/with/capped", &[]).await.rest().await;
    notes.have(None, EndReason::ReplayCap).await;

    opened.lock().unwrap().clear();
    let mut closed = open(&server, "/with/plain", &[]).await;
    assert!(opened.lock().unwrap()[0].end());
    closed.rest().await;
    notes.have(None, EndReason::Closed).await;

    let mut lagging = open(&server, "/with/lagging", &[]).await;
    lagging.until(|text| text.contains("\n\n")).await;
    for _ in 0..400 {
        server.hub.publish("news", "x".repeat(50_000)).await.unwrap();
    }
    lagging.rest().await;
    notes.have(None, EndReason::Lagged).await;

    let mut revoked = open(&server, "/private", &ada).await;
    assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 1);
    revoked.rest().await;
    notes.have(Some("ada"), EndReason::Revoked).await;

    let token = Token::new("bob", &["news"]).expires(1).bearer();
    let mut expired = open(&server, "/private", &[("Authorization", token.as_bytes())]).await;
    // As late as clocks may differ, with keep-alives meanwhile.
    expired.rest().await;
    notes.have(Some("bob"), EndReason::Expired).await;

    let mut gone = open(&server, "/with/plain", &[]).await;
    gone.until(|text| text.contains("\n\n")).await;
    drop(gone);
    // Some learn of it when they write.
    let start = Instant::now();
    while lifecycle.streams() > 0 {
        assert!(start.elapsed() < PATIENCE);
        server.hub.publish("news", "y".repeat(5_000)).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    notes.have(None, EndReason::Gone).await;

    let mut stopping = open(&server, "/own/pending", &[]).await;
    stopping.until(|text| text.contains("data: a")).await;
    lifecycle.stop();
    stopping.rest().await;
    notes.have(None, EndReason::Stopping).await;

    let state = notes.0.lock().unwrap();
    assert_eq!((state.opened, state.ended.len()), (11, 0));
}
