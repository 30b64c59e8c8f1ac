//! Events that are enums: a variant's name is the event's name, its content the data.
//!
//! [`to_event`] takes serde's own, externally tagged form of an enum apart; [`from_event`] puts it together again.

use std::fmt;

use serde::{
    Serialize, Serializer,
    de::DeserializeOwned,
    ser::{self, Impossible, SerializeStructVariant, SerializeTupleVariant},
};

use crate::event::{Event, EventError, EventName};

/// The event of a variant.
pub(crate) fn to_event<T: Serialize + ?Sized>(value: &T) -> Result<Event, EventError> {
    let Variant { name, data } = value.serialize(Variants)?;
    Ok(Event::new(data).named(EventName::try_from(name)?))
}

/// The variant of an event; one without a name is a `message`, as in browsers.
pub(crate) fn from_event<T: DeserializeOwned>(name: Option<&str>, data: &str) -> serde_json::Result<T> {
    let name = serde_json::to_string(name.unwrap_or("message"))?;
    serde_json::from_str(&format!("{{{name}:{data}}}"))
}

/// A variant taken apart: its name, and its content as JSON.
struct Variant {
    name: &'static str,
    data: String,
}

/// Why something has no such parts.
#[derive(Debug)]
enum Failure {
    NotAnEnum,
    Json(String),
}

impl From<Failure> for EventError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotAnEnum => Self::NotAnEnum,
            Failure::Json(error) => Self::Json(error),
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEnum => f.write_str("not an enum"),
            Self::Json(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for Failure {}

impl ser::Error for Failure {
    fn custom<T: fmt::Display>(error: T) -> Self {
        Self::Json(error.to_string())
    }
}

/// Content that grows part by part.
struct Content {
    name: &'static str,
    data: String,
    end: char,
}

impl Content {
    fn begin(name: &'static str, start: char, end: char) -> Self {
        Self { name, data: start.to_string(), end }
    }

    fn push(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Failure> {
        if self.data.len() > 1 && !self.data.ends_with(':') {
            self.data.push(',');
        }
        self.data.push_str(&serde_json::to_string(value)?);
        Ok(())
    }

    fn finish(mut self) -> Variant {
        self.data.push(self.end);
        Variant { name: self.name, data: self.data }
    }
}

impl SerializeTupleVariant for Content {
    type Ok = Variant;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        self.push(value)
    }

    fn end(self) -> Result<Variant, Failure> {
        Ok(self.finish())
    }
}

impl SerializeStructVariant for Content {
    type Ok = Variant;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Failure> {
        self.push(key)?;
        self.data.push(':');
        self.push(value)
    }

    fn end(self) -> Result<Variant, Failure> {
        Ok(self.finish())
    }
}

/// Takes variants of enums and nothing else.
struct Variants;

/// What is no variant.
macro_rules! refuse {
    ($($name:ident($($kind:ty)?),)*) => {
        $(fn $name(self $(, _: $kind)?) -> Result<Variant, Failure> {
            Err(Failure::NotAnEnum)
        })*
    };
}

type Never = Impossible<Variant, Failure>;

impl Serializer for Variants {
    type Ok = Variant;
    type Error = Failure;
    type SerializeSeq = Never;
    type SerializeTuple = Never;
    type SerializeTupleStruct = Never;
    type SerializeTupleVariant = Content;
    type SerializeMap = Never;
    type SerializeStruct = Never;
    type SerializeStructVariant = Content;

    fn serialize_unit_variant(self, _: &'static str, _: u32, name: &'static str) -> Result<Variant, Failure> {
        Ok(Variant { name, data: "null".into() })
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<Variant, Failure> {
        Ok(Variant { name, data: serde_json::to_string(value)? })
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Content, Failure> {
        Ok(Content::begin(name, '[', ']'))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Content, Failure> {
        Ok(Content::begin(name, '{', '}'))
    }

    // What is only wrapped is looked into.
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Variant, Failure> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Variant, Failure> {
        value.serialize(self)
    }

    refuse! {
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_f32(f32),
        serialize_f64(f64),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_none(),
        serialize_unit(),
        serialize_unit_struct(&'static str),
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Never, Failure> {
        Err(Failure::NotAnEnum)
    }

    fn serialize_tuple(self, _: usize) -> Result<Never, Failure> {
        Err(Failure::NotAnEnum)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Never, Failure> {
        Err(Failure::NotAnEnum)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Never, Failure> {
        Err(Failure::NotAnEnum)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Never, Failure> {
        Err(Failure::NotAnEnum)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::frame::Frame;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Progress {
        Started,
        Line(String),
        Step { done: u64, of: Option<u64>, text: String },
        Pair(String, i64),
        Empty {},
        JobFailed(HashMap<String, String>),
    }

    #[derive(Serialize)]
    #[serde(tag = "type")]
    enum Tagged {
        A { a: u8 },
    }

    #[derive(Serialize)]
    enum Bad {
        #[serde(rename = "error")]
        Error,
        #[serde(rename = "a\nb")]
        Forged,
        #[serde(rename = "sse-gap")]
        Reserved,
        Keys(HashMap<(u8, u8), u8>),
    }

    fn encoded(event: &Event) -> String {
        String::from_utf8(Frame::from(event).as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_variant_is_an_event() {
        let event = |value: &Progress| encoded(&Event::typed(value).unwrap());
        assert_eq!(event(&Progress::Started), "event: started\ndata: null\n\n");
        assert_eq!(event(&Progress::Line("a\nb".into())), "event: line\ndata: \"a\\nb\"\n\n");
        let step = Progress::Step { done: 3, of: None, text: ":".into() };
        assert_eq!(event(&step), "event: step\ndata: {\"done\":3,\"of\":null,\"text\":\":\"}\n\n");
        assert_eq!(event(&Progress::Pair(":".into(), -1)), "event: pair\ndata: [\":\",-1]\n\n");
        assert_eq!(event(&Progress::Empty {}), "event: empty\ndata: {}\n\n");
        assert_eq!(event(&Progress::JobFailed(HashMap::new())), "event: job-failed\ndata: {}\n\n");
    }

    #[test]
    fn what_is_no_variant_is_refused() {
        assert_eq!(Event::typed(&1), Err(EventError::NotAnEnum));
        assert_eq!(Event::typed("text"), Err(EventError::NotAnEnum));
        assert_eq!(Event::typed(&HashMap::from([("step", 1)])), Err(EventError::NotAnEnum));
        assert_eq!(Event::typed(&Tagged::A { a: 1 }), Err(EventError::NotAnEnum));
        assert_eq!(Event::typed(&[Progress::Started]), Err(EventError::NotAnEnum));
        for bad in [Bad::Error, Bad::Forged, Bad::Reserved] {
            assert!(matches!(Event::typed(&bad), Err(EventError::Name(_))));
        }
        assert!(matches!(Event::typed(&Bad::Keys(HashMap::from([((1, 2), 3)]))), Err(EventError::Json(_))));
    }

    #[test]
    fn what_is_no_event_of_the_enum_is_an_error() {
        let read = from_event::<Progress>;
        assert!(read(Some("other"), "null").is_err());
        assert!(read(None, "null").is_err());
        assert!(read(Some("line"), "1").is_err());
        assert!(read(Some("line"), "").is_err());
        assert!(read(Some("line"), "\"a\",\"line\":\"b\"").is_err());
        assert!(read(Some("line"), "\"a\"}").is_err());
        assert!(read(Some("line\":\"x\",\"y"), "\"a\"").is_err());
        assert_eq!(read(Some("line"), " \"a\" ").unwrap(), Progress::Line("a".into()));
    }

    fn progress() -> impl Strategy<Value = Progress> {
        let text = || prop_oneof![any::<String>(), "[:,\\\\\"{}\\[\\]\r\n]{0,6}"];
        prop_oneof![
            Just(Progress::Started),
            Just(Progress::Empty {}),
            text().prop_map(Progress::Line),
            (any::<u64>(), any::<Option<u64>>(), text()).prop_map(|(done, of, text)| Progress::Step {
                done,
                of,
                text
            }),
            (text(), any::<i64>()).prop_map(|(text, n)| Progress::Pair(text, n)),
            proptest::collection::hash_map(text(), text(), 0..3).prop_map(Progress::JobFailed),
        ]
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(value in progress()) {
            let frame = Frame::from(&Event::typed(&value).unwrap());
            prop_assert_eq!(from_event::<Progress>(frame.name(), &frame.data()).unwrap(), value);
        }
    }
}
