//! Enums go out as events, by name and data, and come back the same through a parser that knows nothing of them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod get;

use std::{collections::BTreeMap, convert::Infallible, error::Error};

use async_stream::{stream, try_stream};
use eventsource_stream::Eventsource;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use get::get;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use sse_core::{Event, EventError, EventStream, Frame, Hub, Item, Lifecycle, Request, Source, Start};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Progress {
    Started,
    Log(String),
    Pair(String, Option<i64>),
    Report { z: String, a: u64, files: BTreeMap<String, Vec<Kind>> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Plain,
    Named(String),
}

/// What the crate `eventsource-stream` makes of the bytes.
fn heard(bytes: Vec<u8>) -> Vec<eventsource_stream::Event> {
    let bytes = stream::iter([Ok::<_, Infallible>(bytes)]);
    bytes.eventsource().map(Result::unwrap).collect().now_or_never().unwrap()
}

/// Text in which what could go wrong is frequent.
fn text() -> impl Strategy<Value = String> {
    let hostile =
        vec!["\r", "\n", "\r\n\r\n", "\0", "\"", "\\", "\u{feff}", "\u{2028}", "data: ", "event: x\n"];
    let part = prop_oneof![
        prop::sample::select(hostile).prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        "[ -~]{0,6}",
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

fn progress() -> impl Strategy<Value = Progress> {
    let kind = prop_oneof![Just(Kind::Plain), text().prop_map(Kind::Named)];
    let files = prop::collection::btree_map(text(), prop::collection::vec(kind, 0..3), 0..3);
    prop_oneof![
        Just(Progress::Started),
        text().prop_map(Progress::Log),
        (text(), any::<Option<i64>>()).prop_map(|(text, number)| Progress::Pair(text, number)),
        (text(), any::<u64>(), files).prop_map(|(z, a, files)| Progress::Report { z, a, files }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_variant_comes_back_the_same(said in prop::collection::vec(progress(), 1..4)) {
        let frames = said.iter().flat_map(|said| Frame::from(Event::typed(said).unwrap()).into_bytes());
        let heard = heard(frames.collect());
        let read = heard.iter().map(|event| Event::parse(&*event.event, &event.data).unwrap());
        prop_assert_eq!(read.collect::<Vec<Progress>>(), said);
    }

    #[test]
    fn whatever_comes_is_read_or_refused(
        name in prop_oneof![prop::sample::select(vec!["started", "log", "pair", "report"]).prop_map(str::to_owned), text()],
        data in prop_oneof![text(), r#"[\[\]{}",:0-9a-z\\]{0,24}"#],
    ) {
        if let Ok(read) = Event::parse::<Progress>(&*name, &data) {
            let again = heard(Frame::from(Event::typed(&read).unwrap()).as_bytes().to_vec());
            prop_assert_eq!(&again[0].event, &name);
        }
    }
}

async fn sent<S: Stream<Item = I>, I: Item>(events: S) -> Vec<(String, String)> {
    let request = Request::new(&get(), &Lifecycle::new());
    read(EventStream::open(&request, events).unwrap()).await
}

async fn read<S: Source>(events: EventStream<S>) -> Vec<(String, String)> {
    let chunks: Vec<_> = events.collect().await;
    heard(chunks.concat()).into_iter().map(|event| (event.event, event.data)).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, data)| (name.to_string(), data.to_string())).collect()
}

#[tokio::test]
async fn own_streams_yield_anything_serializable() {
    let events = stream! {
        yield Event::json(&[1, 2]);
        yield Event::typed(&Progress::Started);
        yield Event::typed(&Progress::Pair("a".into(), None));
        // This ends it.
        yield Event::typed(&[1, 2]);
        yield Event::json("never");
    };
    let expected = pairs(&[("message", "[1,2]"), ("started", "null"), ("pair", r#"["a",null]"#)]);
    assert_eq!(sent(events).await, expected);
}

#[tokio::test]
async fn question_marks_on_errors_of_several_kinds_have_one_type() {
    fn squares(numbers: &'static str) -> impl Stream<Item = Result<Event, Box<dyn Error + Send + Sync>>> {
        try_stream! {
            for number in numbers.split(',') {
                let number: u32 = number.parse()?;
                yield Event::json(&(number * number))?.name("square")?;
            }
        }
    }
    assert_eq!(sent(squares("2,3,x,4")).await, pairs(&[("square", "4"), ("square", "9")]));

    let request = Request::new(&get(), &Lifecycle::new());
    let events = try_stream! {
        let number: u32 = "5".parse()?;
        yield Event::typed(&Progress::Log(number.to_string()))?;
        yield Event::new("").name("end")?;
    };
    let events = EventStream::try_open(&request, events).unwrap();
    assert_eq!(read(events).await, pairs(&[("log", "\"5\""), ("end", "")]));
}

#[tokio::test]
async fn a_hub_publishes_what_its_subscribers_read_as_the_same_enum() {
    let hub = Hub::new();
    let mut subscription = hub.subscribe("job/7", Start::Now).unwrap();
    let said = Progress::Report { z: "a\n\r\0".into(), a: u64::MAX, files: BTreeMap::new() };
    hub.publish("job/7", Event::typed(&said)).await.unwrap();
    let received = subscription.next().await.unwrap();
    assert_eq!(received.typed::<Progress>(), Ok(said));

    assert!(hub.publish("job/7", Event::typed("text")).await.is_err());
    assert_eq!(hub.stats().events, 1);
}

#[test]
fn what_takes_events_takes_the_building_of_one() {
    fn take(event: impl TryInto<Event, Error: Into<EventError>>) -> Result<Event, EventError> {
        event.try_into().map_err(Into::into)
    }
    assert_eq!(take("1"), Ok(Event::new("1")));
    assert_eq!(take(Event::json(&1)), Ok(Event::new("1")));
    assert_eq!(take(Event::typed(&1)), Err(EventError::NotAnEnum));
}
