//! Who is told when streams open, change their topics and end; and what their spans say.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "tests")]

use std::{
    collections::HashMap,
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use futures_util::{StreamExt, stream};
use sse_core::{
    Auth, EndReason, Event, EventStream, Hub, Identity, OpenStream, Request, StreamObserver, Topics,
};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Writes down what it is told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn note(&self, stream: &OpenStream, what: &str) {
        let topics: Vec<_> = stream.topics().iter().map(|topic| topic.as_str()).collect();
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

/// Everything that spans and events say, at every level.
#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Captured>>);

#[derive(Default)]
struct Captured {
    text: String,
    /// The spans of streams, with what was recorded in each.
    spans: HashMap<u64, HashMap<String, String>>,
    parents: usize,
    next: u64,
}

struct Fields<'a>(&'a mut String, Option<&'a mut HashMap<String, String>>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let value = format!("{value:?}").trim_matches('"').to_owned();
        let _ = write!(self.0, "{}={value} ", field.name());
        if let Some(fields) = &mut self.1 {
            fields.insert(field.name().to_owned(), value);
        }
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("sse_core")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let Captured { text, spans, parents, next } = &mut *self.0.lock().unwrap();
        *next += 1;
        *parents += usize::from(span.parent().is_some() || span.is_contextual());
        let fields = (span.metadata().name() == "sse.stream").then(|| spans.entry(*next).or_default());
        span.record(&mut Fields(text, fields));
        Id::from_u64(*next)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let Captured { text, spans, .. } = &mut *self.0.lock().unwrap();
        values.record(&mut Fields(text, spans.get_mut(&span.into_u64())));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().unwrap().text, None));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn a_span_tells_of_a_streams_life_and_no_secret() {
    let capture = Capture::default();
    let guard = tracing::subscriber::set_default(capture.clone());
    let (hub, auth) = (Hub::new(), Auth::sessions().build().unwrap());
    let topics = Topics::new(["topic-secret", "other-secret"]).unwrap();
    let mut stream = Box::pin(hub.open(&ada(&auth, &hub), &topics).unwrap());
    let mut bytes = stream.next().await.unwrap().len();
    for _ in 0..3 {
        hub.publish(&topics, Event::new("data-secret")).await.unwrap();
    }
    bytes += stream.next().await.unwrap().len();
    drop(stream);
    let refused = auth.admit(&http::Request::new(()), hub.lifecycle(), Identity::new("eve-secret")).unwrap();
    assert!(hub.open(&refused, &topics).is_err());
    let request = Request::new(&http::Request::new(()), hub.lifecycle());
    let mut own = Box::pin(EventStream::open(&request, stream::iter(["own-secret"])).unwrap());
    while own.next().await.is_some() {}
    drop(guard);
    let Captured { text, spans, parents, .. } = &*capture.0.lock().unwrap();
    assert!(!text.contains("secret") && !text.contains("ada"), "{text}");
    assert_eq!(
        (spans.len(), *parents),
        (2, 0),
        "a stream outlives its request, and keeps no span of it open"
    );
    let span = |key: u64, field: &str| spans[&key][field].clone();
    assert_eq!(
        (span(1, "topics"), span(1, "resumed"), span(1, "reason")),
        ("2".into(), "false".into(), "gone".into())
    );
    assert_eq!((span(1, "events"), span(1, "bytes")), ("3".into(), bytes.to_string()));
    assert!(span(1, "seconds").parse::<f64>().unwrap() >= 0.0);
    assert_eq!(
        (span(2, "topics"), span(2, "reason"), span(2, "events")),
        ("0".into(), "finished".into(), "1".into())
    );
}
