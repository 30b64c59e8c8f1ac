//! Whatever an event holds, a client reads it back the same: two parsers that know nothing of the encoder judge.

#![allow(clippy::unwrap_used, reason = "tests")]

mod spec;

use std::{convert::Infallible, time::Duration};

use eventsource_stream::Eventsource;
use futures_util::{FutureExt, StreamExt, stream};
use proptest::prelude::*;
use spec::{Message, Parser, with_lf};
use sse_core::{Event, Frame, MAX_FIELD_BYTES};

/// An event's parts, as they were asked for.
#[derive(Clone, Debug)]
struct Said {
    data: String,
    name: Option<String>,
    id: Option<String>,
    retry: Option<Duration>,
    comment: Option<String>,
}

impl Said {
    fn frame(&self) -> Frame {
        let mut event = Event::new(self.data.clone());
        if let Some(name) = &self.name {
            event = event.name(name.clone()).unwrap();
        }
        if let Some(id) = &self.id {
            event = event.id(id.clone()).unwrap();
        }
        if let Some(retry) = self.retry {
            event = event.retry(retry);
        }
        if let Some(comment) = &self.comment {
            event = event.comment(comment.clone());
        }
        Frame::from(&event)
    }

    /// What a listener gets, where `id` is the last that was sent before.
    fn heard(&self, id: &str) -> Message {
        Message {
            name: self.name.clone().unwrap_or_else(|| "message".to_owned()),
            data: with_lf(&self.data),
            last_event_id: self.id.clone().unwrap_or_else(|| id.to_owned()),
        }
    }

    fn retry_ms(&self) -> Option<u64> {
        let clamped = self.retry?.clamp(Duration::from_millis(100), Duration::from_secs(86_400));
        Some(u64::try_from(clamped.as_millis()).unwrap())
    }
}

/// Text in which what could go wrong is frequent.
fn text() -> impl Strategy<Value = String> {
    let hostile = prop::sample::select(vec![
        "\r",
        "\n",
        "\r\n",
        "\n\n",
        "\0",
        " ",
        ":",
        "\t",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "\u{b}",
        "data",
        "data: ",
        "id: 1",
        "event:x",
        "retry: 1",
        "é",
        "\u{10ffff}",
    ]);
    let part = prop_oneof![
        2 => hostile.prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => "[ -~]{0,6}",
    ];
    prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

fn name() -> impl Strategy<Value = String> {
    let accepted = |name: &String| Event::new("").name(name.clone()).is_ok();
    prop_oneof![text(), "[^\r\n\0]{1,24}"].prop_filter("a name that the builder takes", accepted)
}

fn retry() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0u64..100_000_000).prop_map(Duration::from_millis),
        (0u64..5_000_000_000).prop_map(Duration::from_nanos),
    ]
}

fn said() -> impl Strategy<Value = Said> {
    use prop::option::of;
    (text(), of(name()), of("[!-~]{1,128}"), of(retry()), of(text()))
        .prop_map(|(data, name, id, retry, comment)| Said { data, name, id, retry, comment })
}

/// What stands on the wire.
#[derive(Clone, Debug)]
enum Sent {
    Event(Said),
    Comment(String),
    KeepAlive,
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        4 => said().prop_map(Sent::Event),
        1 => text().prop_map(Sent::Comment),
        1 => Just(Sent::KeepAlive),
    ]
}

/// Cuts the bytes into pieces of the given lengths, over and over.
fn pieces<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &length in lengths.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(length.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

fn by_spec(pieces: &[&[u8]]) -> Parser {
    let mut parser = Parser::default();
    pieces.iter().for_each(|piece| parser.push(piece));
    parser
}

/// What the crate `eventsource-stream` makes of it, and each event's own retry.
///
/// It panics on a byte order mark at the start of a stream. None of ours begins with one, so nothing has to be
/// left out here.
fn by_crate(pieces: &[&[u8]]) -> Vec<(Message, Option<Duration>)> {
    let bytes = stream::iter(pieces.iter().map(|piece| Ok::<_, Infallible>(piece.to_vec())));
    let events: Vec<_> = bytes.eventsource().collect().now_or_never().unwrap();
    events
        .into_iter()
        .map(Result::unwrap)
        .map(|event| (Message { name: event.event, data: event.data, last_event_id: event.id }, event.retry))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_event_comes_back_the_same(said in said(), lengths in prop::collection::vec(1usize..9, 1..6)) {
        let frame = said.frame();
        let bytes = frame.as_bytes();
        prop_assert_eq!(frame.len(), bytes.len());
        let text = std::str::from_utf8(bytes).unwrap();
        prop_assert!(!text.contains('\r'), "{:?}", text);
        // One blank line, and that at the end.
        prop_assert_eq!(text.find("\n\n"), Some(text.len() - 2), "{:?}", text);
        prop_assert!(!text.starts_with(['\n', '\u{feff}']), "{:?}", text);

        for lengths in [&[1][..], &lengths, &[usize::MAX]] {
            let pieces = pieces(bytes, lengths);
            let mut parser = by_spec(&pieces);
            prop_assert_eq!(parser.messages(), vec![said.heard("")]);
            prop_assert_eq!(parser.retry(), said.retry_ms());
            prop_assert!(!parser.is_amid());
            let comment = said.comment.iter().flat_map(|comment| {
                with_lf(comment).split('\n').map(|line| format!(" {line}")).collect::<Vec<_>>()
            });
            prop_assert_eq!(parser.comments(), comment.collect::<Vec<_>>());
            let retry = said.retry_ms().map(Duration::from_millis);
            prop_assert_eq!(by_crate(&pieces), vec![(said.heard(""), retry)]);
        }
    }

    #[test]
    fn frames_in_a_row_keep_apart(
        sent in prop::collection::vec(sent(), 1..12),
        lengths in prop::collection::vec(1usize..40, 1..6),
    ) {
        let (mut bytes, mut heard, mut retries, mut id) = (Vec::new(), Vec::new(), Vec::new(), String::new());
        for sent in &sent {
            match sent {
                Sent::Event(said) => {
                    bytes.extend_from_slice(said.frame().as_bytes());
                    let message = said.heard(&id);
                    id.clone_from(&message.last_event_id);
                    heard.push(message);
                    retries.push(said.retry_ms());
                }
                Sent::Comment(text) => bytes.extend_from_slice(Frame::comment(text).as_bytes()),
                Sent::KeepAlive => bytes.extend_from_slice(b":\n"),
            }
        }
        for lengths in [&[1][..], &lengths] {
            let pieces = pieces(&bytes, lengths);
            let mut parser = by_spec(&pieces);
            prop_assert_eq!(parser.messages(), heard.clone());
            prop_assert_eq!(parser.last_event_id(), &id);
            prop_assert_eq!(parser.retry(), retries.iter().copied().flatten().next_back());
            let own = retries.iter().map(|retry| retry.map(Duration::from_millis));
            let expected: Vec<_> = heard.iter().cloned().zip(own).collect();
            prop_assert_eq!(by_crate(&pieces), expected);
        }
    }

    #[test]
    fn any_name_and_any_id_is_refused_or_comes_back(text in prop_oneof![text(), "[!-~]{1,130}", ".{0,130}"]) {
        if let Ok(event) = Event::new("x").name(text.clone()) {
            let frame = Frame::from(event);
            let expected = Message { name: text.clone(), data: "x".into(), last_event_id: String::new() };
            prop_assert_eq!(by_spec(&[frame.as_bytes()]).messages(), vec![expected]);
        } else {
            let listed = matches!(text.as_str(), "" | "open" | "error") || text.starts_with("sse-");
            prop_assert!(listed || text.len() > MAX_FIELD_BYTES || text.contains(['\r', '\n', '\0']));
        }
        if let Ok(event) = Event::new("x").id(text.clone()) {
            let frame = Frame::from(event);
            let mut parser = by_spec(&[frame.as_bytes()]);
            let expected =
                Message { name: "message".into(), data: "x".into(), last_event_id: text.clone() };
            prop_assert_eq!(parser.messages(), vec![expected]);
        } else {
            let graphic = text.chars().all(|c| matches!(c, '!'..='~'));
            prop_assert!(text.is_empty() || text.len() > MAX_FIELD_BYTES || !graphic);
        }
    }

    #[test]
    fn a_comment_alone_is_no_event(text in text()) {
        let frame = Frame::comment(&text);
        let bytes = std::str::from_utf8(frame.as_bytes()).unwrap();
        // A blank line would be an empty message to some clients.
        prop_assert!(!bytes.contains('\r') && !bytes.contains("\n\n") && bytes.ends_with('\n'));
        let mut parser = by_spec(&[frame.as_bytes()]);
        parser.push(b"\n");
        prop_assert_eq!(parser.messages(), vec![]);
        prop_assert_eq!(by_crate(&[frame.as_bytes(), b"\n"]), vec![]);
        prop_assert_eq!(parser.comments().len(), with_lf(&text).split('\n').count());
    }
}
