//! What the spans of streams say.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    collections::HashMap,
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use futures_util::{StreamExt, stream};
use sse_core::{Auth, Event, EventStream, Hub, Identity, Request, Topics};
use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

fn ada(auth: &Auth, hub: &Hub) -> sse_core::Authorized<Identity> {
    let identity = Identity::new("ada").every_topic().session("session-secret");
    let head = http::Request::get("/events?topic=news&access_token=query-secret");
    let head = head.header("authorization", "Bearer header-secret").header("cookie", "id=cookie-secret");
    auth.admit(&head.body(()).unwrap(), hub.lifecycle(), identity).unwrap()
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
    // Alone in its process: whether a span is on is remembered for all threads.
    tracing::subscriber::set_global_default(capture.clone()).unwrap();
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
