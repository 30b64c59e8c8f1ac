//! What the tests of an application are told of a stream: the events as a client has them, or why there are none.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test: a failure is a failed test")]

mod get;
mod spec;

use std::{convert::Infallible, time::Duration};

use futures_util::{FutureExt, Stream, stream};
use get::{get, resume};
use proptest::prelude::*;
use spec::{Message, Parser};
use sse_core::{
    Event, EventStream, Hub, Request, Subscription, TopicPattern,
    test::{Body, ClientEvent, EventReader, ReadErrorKind},
};
use tokio::time::{Instant, sleep};

fn body(pieces: &[&[u8]]) -> EventReader<impl Stream<Item = Result<Vec<u8>, Infallible>> + use<>> {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Infallible>(piece.to_vec())).collect();
    EventReader::from_body(stream::iter(pieces))
}

fn open(hub: &Hub, last: Option<&str>) -> EventReader<Body<Subscription>> {
    EventReader::new(hub.open(&Request::new(&resume(last), hub.lifecycle()), "news").unwrap())
}

#[tokio::test]
async fn events_of_a_hub_live_and_after_a_cut() {
    let hub = Hub::new();
    let mut reader = open(&hub, None);
    let first = hub.publish("news", "hello").await.unwrap();
    let event = reader.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.data.as_str(), event.id), ("message", "hello", Some(first)));
    assert_eq!((event.seq(), event.last_event_id.as_str()), (Some(1), first.to_string().as_str()));
    assert!(event.retry.is_some());
    drop(reader);

    let named = Event::new(" a\nb").name("numbers").unwrap();
    let missed = hub.publish(["news", "other"], named).await.unwrap();
    let mut reader = open(&hub, Some(&event.last_event_id));
    let live = hub.publish("news", "").await.unwrap();
    let events = reader.take(2).await.unwrap();
    let seen: Vec<_> = events.iter().map(|e| (e.name.as_str(), e.data.as_str(), e.id, e.seq())).collect();
    assert_eq!(seen, [("numbers", " a\nb", Some(missed), Some(2)), ("message", "", Some(live), Some(3))]);
    assert!(events[0].retry.is_some() && events[1].retry.is_none());

    // Another life of the log: a gap is an event of interest.
    let other = Hub::new();
    let gap = open(&other, Some(&event.last_event_id)).next().await.unwrap();
    assert_eq!((gap.name.as_str(), gap.id), ("sse-gap", Some(other.position())));
}

#[tokio::test]
async fn positions_are_given_where_they_are_asked_for() {
    let hub = Hub::new();
    let position = open(&hub, None).with_positions().next().await.unwrap();
    assert_eq!((position.name.as_str(), position.id), ("sse-position", Some(hub.position())));
    assert_eq!((position.seq(), position.data.as_str()), (Some(0), "{}"));
    assert!(position.retry.is_some());

    // What is left out leaves the reconnection time behind.
    let mut reader = open(&hub, None);
    assert!(reader.next().now_or_never().is_none());
    hub.publish("news", "a").await.unwrap();
    hub.publish("news", "b").await.unwrap();
    let events = reader.take(2).await.unwrap();
    assert!(events[0].retry.is_some() && events[1].retry.is_none());
}

#[tokio::test]
async fn values_that_are_owed_have_their_positions_id() {
    let hub = Hub::builder().latest(TopicPattern::new("value/*").unwrap()).build();
    let mut reader = EventReader::new(
        hub.open(&Request::new(&get(), hub.lifecycle()), ["value/temperature", "value/wind"]).unwrap(),
    );
    hub.publish("value/temperature", "20").await.unwrap();
    hub.publish("value/wind", "3").await.unwrap();
    let live = reader.take(2).await.unwrap();
    let mut late = EventReader::new(
        hub.open(&Request::new(&get(), hub.lifecycle()), ["value/temperature", "value/wind"]).unwrap(),
    );
    let [first, last] = late.take(2).await.unwrap().try_into().unwrap();
    assert_eq!((first.data.as_str(), last.data.as_str()), ("20", "3"));
    // The client's own text has a mark; the id can be compared all the same.
    assert!(first.last_event_id.ends_with('~'), "{first:?}");
    assert_eq!((first.id, last.id), (Some(hub.position()), live[1].id));
}

#[tokio::test]
async fn the_rest_of_an_own_stream() {
    let request = Request::new(&get(), Hub::new().lifecycle());
    let steps = [Event::new("1").id("a").unwrap(), Event::new("2"), Event::new("").name("end").unwrap()];
    let mut reader = EventReader::new(EventStream::open(&request, stream::iter(steps)).unwrap());
    let events = reader.rest().await.unwrap();
    let seen = |event: &ClientEvent| (event.name.clone(), event.data.clone(), event.last_event_id.clone());
    let expected = [("message", "1", "a"), ("message", "2", "a"), ("end", "", "a")];
    let expected = expected.map(|(name, data, id)| (name.to_owned(), data.to_owned(), id.to_owned()));
    assert_eq!(events.iter().map(seen).collect::<Vec<_>>(), expected);
    assert!(events.iter().all(|event| event.id.is_none() && event.seq().is_none()));
    assert_eq!(reader.rest().await.unwrap(), []);
    let error = reader.next().await.unwrap_err();
    assert_eq!(error.kind(), &ReadErrorKind::Ended);
    let shown = error.to_string();
    let opening = "the stream ended, and no event came; so far came 3 events in ";
    assert!(shown.starts_with(opening) && shown.ends_with("| event: end\n| data: \n| \n"), "{shown}");
    assert_eq!(format!("{error:?}"), shown);
}

#[tokio::test(start_paused = true)]
async fn silence_is_an_error_and_not_a_hang() {
    let hub = Hub::new();
    let mut reader = open(&hub, None);
    let started = Instant::now();
    let error = reader.next().await.unwrap_err();
    assert_eq!(error.kind(), &ReadErrorKind::Silent(Duration::from_secs(10)));
    assert!((10..11).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    let shown = error.to_string();
    assert!(shown.starts_with("no event came within 10s; so far came 1 event in "), "{shown}");
    assert!(shown.contains("\n| event: sse-position\n"), "{shown}");

    // Keep-alives do not put it off, and what comes later is not lost.
    let mut reader = reader.within(Duration::from_secs(100));
    let started = Instant::now();
    assert!(reader.next().await.unwrap_err().to_string().ends_with("| :\n| :\n"));
    assert!((100..101).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    let id = hub.publish("news", "late").await.unwrap();
    assert_eq!(reader.next().await.unwrap().id, Some(id));
    // Nor by events, where the end is waited for.
    let publisher = hub.clone();
    tokio::spawn(async move {
        loop {
            sleep(Duration::from_secs(1)).await;
            publisher.publish("news", "again").await.unwrap();
        }
    });
    let started = Instant::now();
    let error = reader.within(Duration::from_secs(20)).rest().await.unwrap_err();
    assert_eq!(error.kind(), &ReadErrorKind::Silent(Duration::from_secs(20)));
    assert!((20..21).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());

    let nothing = stream::pending::<Result<&str, Infallible>>();
    let error = EventReader::from_body(nothing).within(Duration::MAX).next().now_or_never();
    assert!(error.is_none());
    let nothing = stream::pending::<Result<&str, Infallible>>();
    let error = EventReader::from_body(nothing).next().await.unwrap_err();
    assert_eq!(error.to_string(), "no event came within 10s; nothing at all came");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_stream_is_shown() {
    let said = || stream::iter([Ok::<_, Infallible>("Not here, \n"), Ok("\x1b[31mnowhere.")]);
    let mut reader = EventReader::from_answer(404, Some(b"text/plain; charset=utf-8"), said());
    for _ in 0..2 {
        let error = reader.next().await.unwrap_err();
        let (status, content_type) = (404, "text/plain; charset=utf-8".to_owned());
        assert_eq!(error.kind(), &ReadErrorKind::NoStream { status, content_type });
        assert_eq!(
            error.to_string(),
            "the answer is no event stream, but a 404 of text/plain; charset=utf-8; \
             so far came 0 events in 24 bytes:\n| Not here, \n| \\u{1b}[31mnowhere.\n"
        );
    }
    assert!(reader.rest().await.is_err());
    // One that does not end, and one without anything.
    let endless = stream::pending::<Result<&str, Infallible>>();
    let error = EventReader::from_answer(200, None, endless).next().await.unwrap_err();
    let empty = "the answer is no event stream, but a 200 without a content type; nothing at all came";
    assert_eq!(error.to_string(), empty);
    let event = stream::iter([Ok::<_, Infallible>("data: a\n\n")]);
    let mut reader = EventReader::from_answer(200, Some(b"Text/Event-Stream; charset=utf-8"), event);
    assert_eq!(reader.next().await.unwrap().data, "a");
}

#[tokio::test]
async fn a_body_that_fails_is_shown() {
    let failing = stream::iter([Ok("data: a\n\ndata: b"), Err("cut off")]);
    let mut reader = EventReader::from_body(failing);
    assert_eq!(reader.next().await.unwrap().data, "a");
    for _ in 0..2 {
        let error = reader.next().await.unwrap_err();
        assert_eq!(error.kind(), &ReadErrorKind::Body("cut off".into()));
        assert!(error.to_string().ends_with("| data: a\n| \n| data: b\n"), "{error}");
    }
    let mut reader = body(&[b"data: a\n\n", b"data: \xff\n\n", b"data: b\n\n"]);
    assert_eq!(reader.next().await.unwrap().data, "a");
    let error = reader.next().await.unwrap_err();
    assert_eq!(error.kind(), &ReadErrorKind::Body("it is not UTF-8".into()));
    // Of much, the end.
    let much = format!(": {}\n:the end\n", "x".repeat(5000));
    let shown = body(&[much.as_bytes()]).next().await.unwrap_err().to_string();
    assert!(shown.contains("0 events in 5012 bytes, of which the last are:\n| xxx"), "{shown}");
    assert!(shown.len() < 2200 && shown.ends_with("x\n| :the end\n"), "{shown}");
}

/// A listener's name, data and last event id.
type Heard<'a> = (&'a str, &'a str, &'a str);

/// Streams in all forms that the standard allows, and what it leaves out.
#[tokio::test]
async fn what_others_send_is_read_as_the_standard_says() {
    let cases: [(&[u8], &[Heard<'_>]); 9] = [
        ("\u{feff}data: a\n\n".as_bytes(), &[("message", "a", "")]),
        ("data: \u{feff}\n\n\u{feff}data: b\n\n".as_bytes(), &[("message", "\u{feff}", "")]),
        (
            b"data: a\r\rdata:b\r\n\r\ndata\n\n",
            &[("message", "a", ""), ("message", "b", ""), ("message", "", "")],
        ),
        (b"data: a\r\n\r", &[("message", "a", "")]),
        (b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", &[("message", "a", "1"), ("message", "b", "1")]),
        (b": c\n:\ndata: a\n: c\n\n: c\n\n", &[("message", "a", "")]),
        (b"event: x\n\ndata: a\n\nevent: y\ndata:  b\n\n", &[("message", "a", ""), ("y", " b", "")]),
        (b"other: x\ndatax: y\n data: z\n\ndata: cut", &[]),
        ("data: é\u{10ffff}\n\n".as_bytes(), &[("message", "é\u{10ffff}", "")]),
    ];
    for (bytes, expected) in cases {
        for length in 1..=bytes.len() {
            let mut reader = body(&bytes.chunks(length).collect::<Vec<_>>());
            let events = reader.rest().await.unwrap();
            let seen: Vec<_> = events
                .iter()
                .map(|event| (event.name.as_str(), event.data.as_str(), event.last_event_id.as_str()))
                .collect();
            assert_eq!(seen, expected, "{:?} by {length}", String::from_utf8_lossy(bytes));
        }
    }
    // Each as soon as it is whole, whatever stands behind it.
    let whole = stream::iter([Ok::<_, Infallible>("data: a\r\r")]);
    let mut reader = EventReader::from_body(futures_util::StreamExt::chain(whole, stream::pending()));
    assert_eq!(reader.next().now_or_never().unwrap().unwrap().data, "a");
}

/// Lines in which what could go wrong is frequent. Left out is what the parser does not tell and the library does not
/// send: an id that is empty, or without data.
fn block() -> impl Strategy<Value = String> {
    let end = || prop::sample::select(vec!["\n", "\r", "\r\n"]);
    let value = || {
        let part =
            prop::sample::select(vec!["a", ":", " ", "\0", "é", "\u{feff}", "data: ", "\u{2028}", "7"]);
        prop::collection::vec(part, 1..5).prop_map(|parts| parts.concat())
    };
    let field = prop::sample::select(vec!["data", "event", "id", "retry", "", "other", "\u{feff}data"]);
    let line = (field, prop::sample::select(vec![":", ": "]), value(), end())
        .prop_map(|(field, colon, value, end)| format!("{field}{colon}_{value}{end}"));
    (prop::collection::vec(line, 0..5), end(), end())
        .prop_map(|(lines, data, end)| format!("{}data: x{data}{end}{end}", lines.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_one_that_is_written_from_the_standard(
        blocks in prop::collection::vec(block(), 1..5),
        length in 1usize..12,
    ) {
        let bytes = blocks.concat().into_bytes();
        let mut parser = Parser::default();
        parser.push(&bytes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut reader = body(&bytes.chunks(length).collect::<Vec<_>>());
        let events = runtime.block_on(reader.rest()).unwrap();
        let seen = |event: ClientEvent| {
            Message { name: event.name, data: event.data, last_event_id: event.last_event_id }
        };
        prop_assert_eq!(events.into_iter().map(seen).collect::<Vec<_>>(), parser.messages());
    }
}

#[tokio::test]
async fn what_was_made_by_serde_is_read_by_it() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Progress {
        Step { done: u32 },
    }

    let hub = Hub::new();
    let mut reader = open(&hub, None);
    hub.publish("news", Event::typed(&Progress::Step { done: 3 }).unwrap()).await.unwrap();
    let event = reader.next().await.unwrap();
    assert_eq!(event.typed::<Progress>().unwrap(), Progress::Step { done: 3 });
    assert_eq!(event.json::<std::collections::BTreeMap<String, u32>>().unwrap()["done"], 3);
    assert!(event.json::<String>().is_err());
}

/// Some frameworks' tests move between threads.
#[test]
fn a_reader_goes_where_its_body_goes() {
    fn is_send<T: Send>(_: &T) {}

    is_send(&open(&Hub::new(), None));
    is_send(&async { open(&Hub::new(), None).next().await });
}
