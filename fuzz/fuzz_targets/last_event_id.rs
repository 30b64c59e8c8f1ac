//! Whatever a client says about where it is, it gets a stream: exactly what it lacks, or one gap.

#![no_main]

#[path = "../../sse-core/tests/spec/mod.rs"]
mod spec;

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::OnceLock,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_core::Stream;
use libfuzzer_sys::fuzz_target;
use spec::Parser;
use sse_core::{EventId, Hub, Request, RequestHead};
use tokio::runtime::Runtime;

struct Head<'a> {
    header: Option<&'a [u8]>,
    query: &'a str,
}

impl RequestHead for Head<'_> {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.header.filter(|_| name == "last-event-id").into_iter()
    }

    fn query(&self) -> Option<&str> {
        Some(self.query)
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

/// A hub of which the first events are gone, and all ids that it ever gave, the start of its log first.
struct World {
    runtime: Runtime,
    hub: Hub,
    ids: Vec<EventId>,
}

const PUBLISHED: usize = 20;
const KEPT: usize = 12;

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let hub = Hub::builder().max_events(KEPT).max_age(Duration::MAX).build();
        let mut ids = vec![hub.position()];
        ids.extend((1..=PUBLISHED).map(|n| hub.publish_now("a", n.to_string()).expect("published")));
        World { runtime, hub, ids }
    })
}

// The first byte says where the rest goes: into the header, the query, or both. `@` stands for the epoch of this
// hub, which cannot be guessed, and a hyphen.
fuzz_target!(|input: &[u8]| {
    let World { runtime, hub, ids } = world();
    let Some((&place, rest)) = input.split_first() else {
        return;
    };
    let start = ids[0].to_string();
    let epoch = start.strip_suffix('0').expect("the start of an epoch");
    let mut value = Vec::new();
    for &byte in rest {
        match byte {
            b'@' => value.extend_from_slice(epoch.as_bytes()),
            _ => value.push(byte),
        }
    }
    let text = String::from_utf8_lossy(&value);
    let query = match place & 3 {
        0 => String::new(),
        1 => format!("last_event_id={text}"),
        2 => format!("x=1&lastEventId={text}&lastEventId=2"),
        _ => text.clone().into_owned(),
    };
    let header = (place & 4 != 0).then_some(&*value);
    let request = Request::new(&Head { header, query: &query }, hub.lifecycle());
    let last = request.last_event_id().cloned();
    if let Some(header) = header.filter(|header| !header.is_empty()) {
        let readable = header.len() <= 1024 && std::str::from_utf8(header).is_ok();
        let read = last.as_ref().expect("a header that is there counts").as_str();
        assert_eq!(read.map(str::as_bytes), readable.then_some(header));
    }

    let _guard = runtime.enter();
    let mut stream = Box::pin(hub.open(&request, "a").expect("always a stream"));
    let mut bytes = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(chunk) = Pin::as_mut(&mut stream).poll_next(&mut context) {
        bytes.extend_from_slice(&chunk.expect("it stays open"));
    }
    assert!(bytes.starts_with(b":\nretry: "));
    let mut parser = Parser::default();
    parser.push(&bytes);
    let messages = parser.messages();
    let head = ids[PUBLISHED].to_string();
    assert_eq!(parser.last_event_id(), head);

    let gaps = messages.iter().filter(|message| message.name == "sse-gap").count();
    let data: Vec<usize> = messages
        .iter()
        .filter(|message| message.name == "message")
        .map(|message| message.data.parse().expect("a number"))
        .collect();
    let known = last.as_ref().and_then(|last| ids.iter().position(|id| Some(*id) == last.as_event_id()));
    match (last, known) {
        // Nothing is due: a position, so that nobody is without.
        (None, _) | (_, Some(PUBLISHED)) => {
            assert_eq!((messages.len(), messages[0].name.as_str()), (1, "sse-position"));
        }
        (_, Some(known)) => {
            let oldest = PUBLISHED - KEPT;
            assert_eq!(gaps, usize::from(known < oldest));
            assert_eq!(data, (known.max(oldest) + 1..=PUBLISHED).collect::<Vec<_>>());
        }
        (Some(last), None) => {
            assert_eq!((gaps, messages[0].name.as_str()), (1, "sse-gap"));
            let gap: serde_json::Value = serde_json::from_str(&messages[0].data).expect("JSON");
            // A position of an earlier life is answered with all that is kept, any other from now on.
            let ahead = last.as_event_id().is_some_and(|id| id.to_string().starts_with(epoch));
            let earlier = last.as_event_id().is_some() && !ahead;
            assert_eq!(gap["reason"], if earlier { "restarted" } else { "unknown" });
            assert_eq!(data.len(), if earlier { KEPT } else { 0 });
        }
    }
    drop(stream);
    assert_eq!((hub.stats().subscribers, hub.lifecycle().streams()), (0, 0));
});
