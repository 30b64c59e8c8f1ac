//! [`Record`]: what stands in an engine's log, and how it is written there.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    frame::Draft,
    topic::{Topic, Topics},
};

/// The version that is written. This one and the next are read, so that two can run side by side.
const VERSION: u8 = 1;

const EVENT: &str = "event";

/// The kind of what an `Auth` tells. `topic` is kept free for topics that end: no version knows it yet, so all skip it.
pub(crate) const AUTH: &str = "auth";

/// What a node reads in the log.
#[derive(Debug)]
pub(crate) enum Record {
    Event(Topics, Draft),
    Notice(Notice),
    /// Of a kind that this version does not know.
    Unknown,
}

/// What the nodes of a hub tell each other beside events: who was signed out, which ticket was used.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    /// Whom it is for: [`AUTH`].
    pub(crate) kind: &'static str,
    pub(crate) body: Value,
}

/// What this node cannot read: to its clients it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Whether it is known to be an event, and so nothing that nodes tell each other.
    pub(crate) is_event: bool,
}

/// JSON, so that people can read it where it lies, and later versions can add to it.
#[derive(Debug, Deserialize, Serialize)]
struct Written<'a> {
    v: u8,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    topics: Vec<Cow<'a, str>>,
    /// The event as it is sent, without its id and the blank line.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    frame: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    body: Value,
}

/// What can be read of every version.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

impl Record {
    pub(crate) fn event(topics: &Topics, draft: &Draft) -> Bytes {
        write(&Written {
            v: VERSION,
            kind: EVENT.into(),
            topics: topics.iter().map(|topic| topic.as_str().into()).collect(),
            frame: draft.text().into(),
            body: Value::Null,
        })
    }

    #[cfg_attr(
        not(feature = "auth"),
        allow(dead_code, reason = "without authorisation there is nothing to tell")
    )]
    pub(crate) fn notice(notice: &Notice) -> Bytes {
        write(&Written {
            v: VERSION,
            kind: notice.kind.into(),
            topics: Vec::new(),
            frame: "".into(),
            body: notice.body.clone(),
        })
    }

    /// # Errors
    /// [`Unreadable`] for an event of a version from further ahead, or what is no record at all.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let Ok(written) = serde_json::from_slice::<Written<'_>>(bytes) else {
            return match serde_json::from_slice::<Kind<'_>>(bytes) {
                Ok(Kind { kind }) if kind != EVENT => Ok(Self::Unknown),
                kind => Err(Unreadable { is_event: kind.is_ok() }),
            };
        };
        let lost = Unreadable { is_event: true };
        let is_known = (VERSION..=VERSION + 1).contains(&written.v);
        if written.kind != EVENT {
            let is_known = is_known && written.kind == AUTH;
            let notice = || Notice { kind: AUTH, body: written.body };
            return Ok(if is_known { Self::Notice(notice()) } else { Self::Unknown });
        }
        if !is_known || written.topics.is_empty() {
            return Err(lost);
        }
        let topics = written.topics.iter().map(Topic::new).collect::<Result<Vec<_>, _>>();
        let draft = Draft::of_text(&written.frame).ok_or(lost)?;
        Ok(Self::Event(Topics::of(topics.map_err(|_| lost)?), draft))
    }
}

fn write(written: &Written<'_>) -> Bytes {
    // Text and values of JSON alone: it cannot fail.
    serde_json::to_vec(written).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Event, id::EventId};

    #[test]
    fn an_event_comes_back_as_it_was() {
        let topics = Topics::new(["news", "user/ä"]).unwrap();
        let event = Event::new("one\n two\r\n\n\"three\"").name("näme").unwrap().comment("c\nd");
        let draft = Draft::new(&event);
        let written = Record::event(&topics, &draft);
        let id = EventId { epoch: 1, seq: 2 };
        let Ok(Record::Event(read, again)) = Record::read(&written) else { panic!() };
        assert_eq!(read.iter().collect::<Vec<_>>(), topics.iter().collect::<Vec<_>>());
        assert_eq!(again.seal(id), draft.seal(id));
    }

    #[test]
    fn a_notice_comes_back_as_it_was() {
        let notice = Notice { kind: AUTH, body: serde_json::json!({"a": [1, "b"]}) };
        let Ok(Record::Notice(read)) = Record::read(&Record::notice(&notice)) else { panic!() };
        assert_eq!(read, notice);
    }

    #[test]
    fn what_is_from_further_ahead_is_skipped_or_lost() {
        let next = br#"{"v":2,"kind":"event","topics":["a"],"frame":"data: x\n","more":{}}"#;
        assert!(matches!(Record::read(next), Ok(Record::Event(..))));
        assert!(matches!(Record::read(br#"{"v":3,"kind":"new","topics":["a"]}"#), Ok(Record::Unknown)));
        assert!(matches!(Record::read(br#"{"v":2,"kind":"auth","more":1}"#), Ok(Record::Notice(_))));
        for unknown in [r#"{"v":1,"kind":"topic","body":{"topic":"a"}}"#, r#"{"v":2,"kind":"new"}"#] {
            assert!(matches!(Record::read(unknown.as_bytes()), Ok(Record::Unknown)), "{unknown}");
        }
        for bad in [
            r#"{"v":3,"kind":"event","topics":["a"],"frame":"data: x\n"}"#,
            r#"{"v":1,"kind":"event","topics":[],"frame":"data: x\n"}"#,
            r#"{"v":1,"kind":"event","topics":["a\n"],"frame":"data: x\n"}"#,
            r#"{"v":1,"kind":"event","topics":["a"]}"#,
            r#"{"v":1,"kind":"event","topics":["a"],"frame":"data: x"}"#,
            r#"{"v":1,"kind":"event","topics":["a"],"frame":"data: x\n\n"}"#,
            r#"{"v":1,"kind":"event","topics":["a"],"frame":"data: x\n\ndata: forged\n"}"#,
            r#"{"v":1,"kind":"event","topics":["a"],"frame":"\ndata: x\n"}"#,
            r#"{"v":1,"kind":"event","topics":["a"],"frame":"data: x\r\n"}"#,
            r#"{"v":1,"kind":"event","topics":["a"],"frame":"id: 1\ndata: x\n"}"#,
            r#"{"v":1,"kind":"event","topics":["a"],"frame":"data: x\nid: 1\n"}"#,
            r#"{"v":300,"kind":"event","topics":{"more":1}}"#,
            r#"{"v":1,"v":1,"kind":"event","topics":["a"],"frame":"data: x\n"}"#,
        ] {
            let read = Record::read(bad.as_bytes());
            assert!(matches!(read, Err(Unreadable { is_event: true })), "{bad}: {read:?}");
        }
        for bad in ["", "\u{0}", "{}", "[]", r#"{"v":1,"kind":"event","kind":"new"}"#, "\u{fffd}\u{fffd}"] {
            let read = Record::read(bad.as_bytes());
            assert!(matches!(read, Err(Unreadable { is_event: false })), "{bad}: {read:?}");
        }
        // Of whatever shape, what is no event is none of the clients' business.
        for other in [
            r#"{"v":300,"kind":"new"}"#,
            r#"{"v":3,"kind":"new","topics":{"a":1},"frame":[]}"#,
            r#"{"v":"three","kind":"new"}"#,
        ] {
            assert!(matches!(Record::read(other.as_bytes()), Ok(Record::Unknown)), "{other}");
        }
    }

    #[test]
    fn what_is_large_or_deep_does_no_harm() {
        let deep = |kind: &str| {
            let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
            format!(r#"{{"v":1,"kind":"{kind}","body":{open}{close}}}"#)
        };
        assert!(matches!(Record::read(deep("event").as_bytes()), Err(Unreadable { is_event: true })));
        assert!(matches!(Record::read(deep("new").as_bytes()), Ok(Record::Unknown)));
        let text = "x".repeat(10 << 20);
        assert!(Record::read(text.as_bytes()).is_err());
        let topics = (0..1_000_000).map(|n| format!("\"t/{n}\"")).collect::<Vec<_>>().join(",");
        let crowd = format!(r#"{{"v":1,"kind":"event","topics":[{topics}],"frame":"data: x\n"}}"#);
        assert!(matches!(Record::read(crowd.as_bytes()), Ok(Record::Event(..))));
    }
}
