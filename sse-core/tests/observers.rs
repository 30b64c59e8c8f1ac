//! Who is told when streams open, change their topics and end.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use sse_core::{
    Auth, EndReason, EventStream, Hub, Identity, Lifecycle, OpenStream, Request, StreamObserver, Topics,
};

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, stream: &OpenStream, what: &str) {
        let topics: Vec<_> = stream.topics().iter().map(sse_core::Topic::as_str).collect();
        let who = stream.subject().unwrap_or("nobody");
        self.0.lock().unwrap().push(format!("{who} [{}] {what}", topics.join(" ")));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl StreamObserver for Notes {
    fn opened(&self, stream: &OpenStream) {
        self.note(stream, "opened");
    }

    fn changed(&self, stream: &OpenStream, _: &Topics) {
        self.note(stream, "changed");
    }

    fn ended(&self, stream: &OpenStream, reason: EndReason) {
        self.note(stream, reason.as_str());
    }
}

/// Panics at everything.
struct Panics;

impl StreamObserver for Panics {
    fn opened(&self, _: &OpenStream) {
        panic!("opened");
    }

    fn ended(&self, _: &OpenStream, _: EndReason) {
        panic!("ended");
    }
}

fn ada(auth: &Auth, hub: &Hub) -> sse_core::Authorized<Identity> {
    let identity = Identity::new("ada").every_topic().session("session-secret");
    let head = http::Request::get("/events?topic=news&access_token=query-secret");
    let head = head.header("authorization", "Bearer header-secret").header("cookie", "id=cookie-secret");
    auth.admit(&head.body(()).unwrap(), hub.lifecycle(), identity).unwrap()
}

#[tokio::test(start_paused = true)]
async fn observers_are_told_in_order_and_once() {
    let (hub, auth, notes) = (Hub::new(), Auth::sessions().build().unwrap(), Notes::default());
    hub.lifecycle().observe(Panics);
    hub.lifecycle().observe(notes.clone());
    let stream = hub.open(&ada(&auth, &hub), ["news", "b"]).unwrap();
    assert_eq!(notes.take(), ["ada [b news] opened"]);
    let handle = stream.handle();
    handle.add(&"news".try_into().unwrap());
    assert_eq!(notes.take(), [""; 0], "it had that already");
    handle.add(&"c".try_into().unwrap());
    handle.remove(&Topics::new(["b", "news"]).unwrap());
    assert_eq!(notes.take(), ["ada [b c news] changed", "ada [c] changed"]);
    drop(stream);
    assert_eq!(notes.take(), ["ada [c] gone"]);
    handle.add(&"d".try_into().unwrap());
    assert_eq!(notes.take(), [""; 0]);

    let request = Request::new(&http::Request::new(()), hub.lifecycle());
    let mut own = Box::pin(EventStream::open(&request, stream::iter(["a"])).unwrap());
    while own.next().await.is_some() {}
    assert_eq!(notes.take(), ["nobody [] opened", "nobody [] finished"]);
    drop(own);
    assert_eq!(notes.take(), [""; 0]);

    // One that is opened with a subscription of the application's.
    let subscription = hub.subscribe("news", sse_core::Start::Now).unwrap();
    let handle = subscription.handle();
    handle.add(&"b".try_into().unwrap());
    let stream = EventStream::open(&request, subscription).unwrap();
    handle.add(&"c".try_into().unwrap());
    drop(stream);
    let expected = ["nobody [b news] opened", "nobody [b c news] changed", "nobody [b c news] gone"];
    assert_eq!(notes.take(), expected);

    let head = Request::new(&http::Request::head("/").body(()).unwrap(), hub.lifecycle());
    drop(hub.open(&head, "news").unwrap());
    assert_eq!(notes.take(), [""; 0], "a HEAD opens nothing");
}

/// Of streams that nobody polls too.
#[tokio::test(start_paused = true)]
async fn what_is_freed_unread_ends_for_its_reason() {
    let lifecycle = Lifecycle::builder().window(Duration::from_secs(5)).build();
    let hub = Hub::builder().lifecycle(&lifecycle).build();
    let (auth, notes) = (Auth::sessions().build().unwrap(), Notes::default());
    lifecycle.observe(notes.clone());
    let request = Request::new(&http::Request::new(()), &lifecycle);
    let hour = hub.stream_options().max_age(Duration::from_secs(3600));
    let short = hub.stream_options().max_age(Duration::from_secs(10));
    let aged = hub.open_with(&request, "a", short).unwrap();
    let revoked = hub.open(&ada(&auth, &hub), "b").unwrap();
    let left = hub.open_with(&request, "c", hour).unwrap();
    notes.take();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(notes.take(), ["nobody [a] max_age"]);
    auth.revocations().revoke_session("session-secret").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(notes.take(), ["ada [b] revoked"]);
    lifecycle.stop();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(notes.take(), ["nobody [c] stopping"]);
    // Polled after all, they say nothing more.
    for stream in [aged, revoked, left] {
        let mut stream = Box::pin(stream);
        while stream.next().await.is_some() {}
    }
    assert_eq!((notes.take(), hub.stats().subscribers), (vec![], 0));
}

/// An observer may ask the hub, and publish.
#[tokio::test(start_paused = true)]
async fn observers_may_use_the_hub() {
    struct Publishes(Hub);

    impl StreamObserver for Publishes {
        fn opened(&self, _: &OpenStream) {
            assert_eq!(self.0.lifecycle().streams(), 1);
            self.0.publish_now("news", "hello").unwrap();
        }

        fn ended(&self, _: &OpenStream, _: EndReason) {
            assert_eq!((self.0.lifecycle().streams(), self.0.stats().subscribers), (0, 0));
            self.0.publish_now("news", "goodbye").unwrap();
        }
    }

    let hub = Hub::new();
    hub.lifecycle().observe(Publishes(hub.clone()));
    let request = Request::new(&http::Request::new(()), hub.lifecycle());
    let mut stream = Box::pin(hub.open(&request, "news").unwrap());
    let first = stream.next().await.unwrap();
    assert!(String::from_utf8_lossy(&first).contains("data: hello"), "{first:?}");
    drop(stream);
    assert_eq!(hub.stats().events, 2);
}
