//! [`Event::typed`] and [`Event::parse`]: an enum whose variants are events' names and whose contents are their data.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, DeserializeSeed, EnumAccess, IntoDeserializer, VariantAccess, Visitor},
    forward_to_deserialize_any,
    ser::{self, Impossible, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleVariant},
};

use crate::event::{Event, EventError, EventName};

impl Event {
    /// An event from a variant of an enum: the variant's name is the event's name, its content is the data, as JSON.
    /// [`parse`](Self::parse) is the way back.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    /// use sse_core::{Event, Frame};
    ///
    /// #[derive(Debug, PartialEq, Serialize, Deserialize)]
    /// #[serde(rename_all = "kebab-case")]
    /// enum Progress {
    ///     Started,
    ///     Step { done: u32, of: u32 },
    ///     LogLine(String),
    /// }
    ///
    /// let step = Event::typed(&Progress::Step { done: 3, of: 10 })?;
    /// assert_eq!(Frame::from(step).as_bytes(), "event: step\ndata: {\"done\":3,\"of\":10}\n\n");
    /// let started = Event::typed(&Progress::Started)?;
    /// assert_eq!(Frame::from(started).as_bytes(), "event: started\ndata: null\n\n");
    ///
    /// let line: Progress = Event::parse("log-line", "\"half way\"")?;
    /// assert_eq!(line, Progress::LogLine("half way".to_owned()));
    /// # Ok::<(), sse_core::EventError>(())
    /// ```
    ///
    /// The enum is represented as serde does by default (*externally tagged*): no `tag`, `content` or `untagged`.
    /// A variant without content has the data `null`.
    ///
    /// A variant whose name comes out as `open`, `error` or `sse-…` is refused like any other event of that name.
    /// Where an `error` event is really meant, use [`named`](Self::named) with [`EventName::ERROR`].
    ///
    /// # Errors
    /// [`EventError::NotAnEnum`] when `value` is something else, such as a struct, a map or an enum with a `tag`;
    /// [`EventError::Name`] when the variant's name is not a valid [`EventName`]; [`EventError::Json`] when the
    /// content cannot be serialized.
    pub fn typed<T: Serialize + ?Sized>(value: &T) -> Result<Self, EventError> {
        let mut json = Json::new(Vec::new());
        let name = value.serialize(Variants(&mut json)).map_err(|Failure(error)| error)?;
        let data =
            String::from_utf8(json.into_inner()).map_err(|error| EventError::Json(error.to_string()))?;
        Ok(Self::new(data).named(EventName::new(name)?))
    }

    /// Reads what [`typed`](Self::typed) made, from an event's name and data: for Rust clients, tests, and what a
    /// subscription receives ([`Received::typed`](crate::Received::typed)). An event without a name is a `message`, as
    /// it is in browsers.
    ///
    /// A variant without content takes any data, so that an old client can read an event that has gained some.
    /// With `#[serde(other)]` such a variant stands for all names that the enum does not list. Names that cannot be
    /// sent can be read: a variant `#[serde(rename = "sse-gap")]` reads the hub's own event.
    ///
    /// # Errors
    /// [`EventError::UnknownName`] when no variant has this name, which a client usually skips;
    /// [`EventError::Parse`] when the data is not the content of the variant; [`EventError::NotAnEnum`] when `T` is
    /// not an enum that [`typed`](Self::typed) takes.
    pub fn parse<'a, T: Deserialize<'a>>(
        name: impl Into<Option<&'a str>>,
        data: &'a str,
    ) -> Result<T, EventError> {
        let name = name.into().filter(|name| !name.is_empty()).unwrap_or("message");
        T::deserialize(Parts { name, data }).map_err(|Failure(error)| error)
    }
}

type Json = serde_json::Serializer<Vec<u8>>;

/// An error on the way through serde.
#[derive(Debug)]
struct Failure(EventError);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {}

impl ser::Error for Failure {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(EventError::Json(text.to_string()))
    }
}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(EventError::Parse(text.to_string()))
    }
}

fn not_written(error: serde_json::Error) -> Failure {
    ser::Error::custom(error)
}

fn not_read(error: serde_json::Error) -> Failure {
    de::Error::custom(error)
}

/// Takes a variant of an enum and nothing else: writes its content, returns its name.
struct Variants<'a>(&'a mut Json);

/// What serde calls for a value that is not a variant.
macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $ok:ty;)*) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$ok, Failure> {
            Err(Failure(EventError::NotAnEnum))
        }
    )*};
}

impl<'a> Serializer for Variants<'a> {
    type Ok = &'static str;
    type Error = Failure;
    type SerializeSeq = Impossible<&'static str, Failure>;
    type SerializeTuple = Impossible<&'static str, Failure>;
    type SerializeTupleStruct = Impossible<&'static str, Failure>;
    type SerializeMap = Impossible<&'static str, Failure>;
    type SerializeStruct = Impossible<&'static str, Failure>;
    type SerializeTupleVariant = Content<<&'a mut Json as Serializer>::SerializeTuple>;
    type SerializeStructVariant = Content<<&'a mut Json as Serializer>::SerializeStruct>;

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<&'static str, Failure> {
        self.0.serialize_unit().map_err(not_written)?;
        Ok(name)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        content: &T,
    ) -> Result<&'static str, Failure> {
        content.serialize(self.0).map_err(not_written)?;
        Ok(name)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Failure> {
        Ok(Content { name, json: self.0.serialize_tuple(len).map_err(not_written)? })
    }

    fn serialize_struct_variant(
        self,
        enum_name: &'static str,
        _: u32,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Failure> {
        Ok(Content { name, json: self.0.serialize_struct(enum_name, len).map_err(not_written)? })
    }

    /// A wrapper around an enum is the enum, as it is in JSON.
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<&'static str, Failure> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<&'static str, Failure> {
        Err(Failure(EventError::NotAnEnum))
    }

    refuse! {
        serialize_bool(bool) -> &'static str;
        serialize_i8(i8) -> &'static str;
        serialize_i16(i16) -> &'static str;
        serialize_i32(i32) -> &'static str;
        serialize_i64(i64) -> &'static str;
        serialize_i128(i128) -> &'static str;
        serialize_u8(u8) -> &'static str;
        serialize_u16(u16) -> &'static str;
        serialize_u32(u32) -> &'static str;
        serialize_u64(u64) -> &'static str;
        serialize_u128(u128) -> &'static str;
        serialize_f32(f32) -> &'static str;
        serialize_f64(f64) -> &'static str;
        serialize_char(char) -> &'static str;
        serialize_str(&str) -> &'static str;
        serialize_bytes(&[u8]) -> &'static str;
        serialize_none() -> &'static str;
        serialize_unit() -> &'static str;
        serialize_unit_struct(&'static str) -> &'static str;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
    }
}

/// The content of a variant with several fields, as it is written.
struct Content<J> {
    name: &'static str,
    json: J,
}

impl<J: SerializeTuple<Error = serde_json::Error>> SerializeTupleVariant for Content<J> {
    type Ok = &'static str;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failure> {
        self.json.serialize_element(value).map_err(not_written)
    }

    fn end(self) -> Result<&'static str, Failure> {
        self.json.end().map_err(not_written)?;
        Ok(self.name)
    }
}

impl<J: SerializeStruct<Error = serde_json::Error>> SerializeStructVariant for Content<J> {
    type Ok = &'static str;
    type Error = Failure;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Failure> {
        self.json.serialize_field(key, value).map_err(not_written)
    }

    fn end(self) -> Result<&'static str, Failure> {
        self.json.end().map_err(not_written)?;
        Ok(self.name)
    }
}

/// An event's name and data, to be read as a variant and nothing else.
struct Parts<'de> {
    name: &'de str,
    data: &'de str,
}

impl<'de> Parts<'de> {
    /// All of the data, read as JSON.
    fn content<T>(
        self,
        read: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'de>>) -> serde_json::Result<T>,
    ) -> Result<T, Failure> {
        let mut json = serde_json::Deserializer::from_str(self.data);
        let content = read(&mut json).map_err(not_read)?;
        json.end().map_err(not_read)?;
        Ok(content)
    }
}

impl<'de> Deserializer<'de> for Parts<'de> {
    type Error = Failure;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Failure> {
        Err(Failure(EventError::NotAnEnum))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Parts<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let name: de::value::StrDeserializer<'_, de::value::Error> = self.name.into_deserializer();
        let variant =
            seed.deserialize(name).map_err(|error| Failure(EventError::UnknownName(error.to_string())))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Parts<'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Failure> {
        self.content(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.content(|json| json.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.content(|json| json.deserialize_struct("", fields, visitor))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Said {
        NothingMuch,
        Text(String),
        Pair(u8, Option<String>),
        Named {
            z: u8,
            a: u8,
        },
        Empty {},
        Message(u8),
        Error(u8),
        #[serde(rename = "sse-gap")]
        Gap {
            reason: String,
        },
        #[serde(rename = "a\nb")]
        Forged,
        #[serde(skip)]
        Hidden,
        Keys(BTreeMap<(u8, u8), u8>),
    }

    fn parts(value: &impl Serialize) -> (String, String) {
        let event = Event::typed(value).unwrap();
        (event.name.unwrap().into_owned(), event.data)
    }

    #[test]
    fn a_variant_is_a_name_and_its_content_the_data() {
        let said = |value: &Said, name: &str, data: &str| {
            assert_eq!(parts(value), (name.to_owned(), data.to_owned()));
            assert_eq!(&Event::parse::<Said>(name, data).unwrap(), value);
        };
        said(&Said::NothingMuch, "nothing-much", "null");
        said(&Said::Text("a\n\r\0".into()), "text", r#""a\n\r\u0000""#);
        said(&Said::Pair(1, None), "pair", "[1,null]");
        said(&Said::Empty {}, "empty", "{}");
        said(&Said::Named { z: 1, a: 2 }, "named", r#"{"z":1,"a":2}"#);

        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Wrapper(Said);
        let wrapped = Wrapper(Said::Message(1));
        assert_eq!(parts(&wrapped), ("message".to_owned(), "1".to_owned()));
        for unnamed in [None, Some(""), Some("message")] {
            assert_eq!(Event::parse::<Wrapper>(unnamed, "1").unwrap(), wrapped);
        }
    }

    #[test]
    fn names_that_events_cannot_have_are_refused_but_read() {
        for value in [Said::Error(1), Said::Gap { reason: String::new() }, Said::Forged] {
            assert!(matches!(Event::typed(&value), Err(EventError::Name(_))), "{value:?}");
        }
        assert_eq!(Event::parse::<Said>("error", "1").unwrap(), Said::Error(1));
        let gap = Event::parse::<Said>("sse-gap", r#"{"reason":"lagged","topics":[]}"#).unwrap();
        assert_eq!(gap, Said::Gap { reason: "lagged".into() });
    }

    #[test]
    fn what_is_no_variant_is_refused() {
        #[derive(Serialize, Deserialize)]
        struct Struct {
            a: u8,
        }
        #[derive(Serialize, Deserialize)]
        #[serde(tag = "type")]
        enum Internal {
            A { a: u8 },
        }
        #[derive(Serialize, Deserialize)]
        #[serde(tag = "t", content = "c")]
        enum Adjacent {
            A(u8),
        }
        fn refused<T: Serialize + for<'a> Deserialize<'a>>(value: T) {
            assert_eq!(Event::typed(&value).unwrap_err(), EventError::NotAnEnum);
            let read = Event::parse::<T>("A", "{}").map(|_| ());
            assert_eq!(read.unwrap_err(), EventError::NotAnEnum);
        }
        refused(Struct { a: 1 });
        refused(Internal::A { a: 1 });
        refused(Adjacent::A(1));
        refused(BTreeMap::from([("A".to_owned(), 1)]));
        refused("A".to_owned());
        refused(Some(Said::NothingMuch));
        refused(vec![1]);
        refused((1u8, 2i128));
        refused(1u128);
        refused(());
    }

    #[test]
    fn what_cannot_be_written_or_read_says_why() {
        let keys = Said::Keys(BTreeMap::from([((1, 2), 3)]));
        for value in [keys, Said::Hidden] {
            assert!(matches!(Event::typed(&value), Err(EventError::Json(_))), "{value:?}");
        }
        let read = |name: &str, data: &str| Event::parse::<Said>(name, data).unwrap_err();
        assert!(
            matches!(read("sse-position", "{}"), EventError::UnknownName(why) if why.contains("nothing-much"))
        );
        assert!(matches!(read("", "x"), EventError::Parse(_)));
        assert!(matches!(read("hidden", "null"), EventError::UnknownName(_)));
        assert!(matches!(read(r#"text":"x","y"#, r#""a""#), EventError::UnknownName(_)));
        for data in ["", "null", r#""a" "b""#, r#""a","text":"b""#, "\"a\"}", "\"a", &"[".repeat(100_000)] {
            assert!(matches!(read("text", data), EventError::Parse(_)), "{data:.9}");
        }
        for data in ["[1]", "[1,null,2]", "{}"] {
            assert!(matches!(read("pair", data), EventError::Parse(_)), "{data}");
        }
    }

    #[test]
    fn a_variant_without_content_takes_any_data() {
        #[derive(Debug, PartialEq, Deserialize)]
        enum Old {
            A,
            #[serde(other)]
            Unknown,
        }
        for data in ["null", "", "{\"new\":1}", "not JSON"] {
            assert_eq!(Event::parse("A", data), Ok(Old::A), "{data}");
            assert_eq!(Event::parse("B", data), Ok(Old::Unknown), "{data}");
        }
    }
}
