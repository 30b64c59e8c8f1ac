//! One claim, wherever in the token it stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

/// The claim at this path, member by member; `None` where one is missing.
///
/// A member on the path that stands there twice, or is no object where the path goes on, is an error: nothing malformed
/// counts as absent.
pub(super) fn find(payload: &[u8], path: &[Box<str>]) -> Result<Option<Value>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    let found = At(path).deserialize(&mut json)?;
    json.end()?;
    Ok(found)
}

/// The rest of the path.
struct At<'a>(&'a [Box<str>]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<Self::Value, D::Error> {
        match self.0.split_first() {
            None => Value::deserialize(value).map(Some),
            Some((name, rest)) => value.deserialize_map(Member { name, rest }),
        }
    }
}

struct Member<'a> {
    name: &'a str,
    rest: &'a [Box<str>],
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Self::Value, M::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            if name != self.name {
                members.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(M::Error::custom("a member stands there twice"));
            } else {
                found = Some(members.next_value_seed(At(self.rest))?);
            }
        }
        Ok(found.flatten())
    }
}
