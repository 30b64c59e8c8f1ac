//! [`KeySet`]: keys, each id once, and which of them a token is verified with.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{algorithm::Algorithm, key::Key, key_error::KeyError};

/// Most keys in a set.
const MAX_KEYS: usize = 64;

/// Largest key set, in bytes of JSON.
const MAX_SET_BYTES: usize = 256 << 10;

/// Keys, each id once.
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    pub(super) fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, KeyError> {
        let keys: Vec<Key> = keys.into_iter().take(MAX_KEYS + 1).collect();
        if keys.is_empty() {
            return Err(KeyError::Empty);
        }
        if keys.len() > MAX_KEYS {
            return Err(KeyError::TooLarge);
        }
        let mut ids: Vec<&str> = keys.iter().filter_map(Key::id).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(KeyError::Duplicate);
        }
        Ok(Self(keys))
    }

    pub(super) fn one(key: Key) -> Self {
        Self(vec![key])
    }

    /// A set as it is written: an id that stands there twice is an error.
    pub(super) fn read(json: &[u8]) -> Result<Self, KeyError> {
        let document = Document::read(json)?;
        if document.duplicates().next().is_some() {
            return Err(KeyError::Duplicate);
        }
        Self::new(document.keys())
    }

    /// A set as it came from elsewhere: no secrets, and neither of two keys with one id.
    #[cfg(feature = "jwks")]
    pub(super) fn from_remote(json: &[u8]) -> Result<Self, KeyError> {
        let document = Document::read(json)?;
        let duplicates: Vec<&str> = document.duplicates().collect();
        let mut keys = document.keys();
        keys.retain(|key| !key.is_secret() && key.id().is_none_or(|id| !duplicates.contains(&id)));
        Self::new(keys)
    }

    pub(super) fn keys(&self) -> &[Key] {
        &self.0
    }

    /// The key that a token is to be verified with.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let named = id.and_then(|id| self.0.iter().find(|key| key.id() == Some(id)));
        if let Some(key) = named {
            return if key.fits(algorithm) { Found::Key(key) } else { Found::Unfit };
        }
        // A key without an id stands for any id only while nothing else could be meant.
        let mut fitting =
            self.0.iter().filter(|key| key.fits(algorithm) && (id.is_none() || key.id().is_none()));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Found::Key(key),
            (Some(_), Some(_)) => Found::Unfit,
            (None, _) if id.is_some() => Found::Unknown,
            (None, _) => Found::Unfit,
        }
    }

    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        self.0.iter().any(|key| key.fits(algorithm))
    }
}

/// What a set has for a token.
pub(super) enum Found<'a> {
    Key(&'a Key),
    /// Keys, but none for this; other keys of the same set would not help.
    Unfit,
    /// No key of this id: a newer set may have it.
    Unknown,
}

/// A JWK set as it is written.
struct Document(Vec<(Kind, Option<Key>)>);

/// What of a key is looked at even if it is of no use.
#[derive(Default, Deserialize)]
struct Kind {
    #[serde(default)]
    kty: serde_json::Value,
    #[serde(default)]
    kid: serde_json::Value,
}

impl Document {
    fn read(json: &[u8]) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Members<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }

        if json.len() > MAX_SET_BYTES {
            return Err(KeyError::TooLarge);
        }
        let members: Members<'_> = serde_json::from_slice(json).map_err(|_| KeyError::Format)?;
        if members.keys.len() > MAX_KEYS {
            return Err(KeyError::TooLarge);
        }
        let kind = |json: &RawValue| serde_json::from_str::<Kind>(json.get()).unwrap_or_default();
        let key = |json: &RawValue| Key::from_jwk(serde_json::from_str(json.get()).ok()?).ok();
        let keys: Vec<_> = members.keys.iter().map(|json| (kind(json), key(json))).collect();
        let secrets = keys.iter().filter(|(kind, _)| kind.kty == "oct").count();
        let public = keys.iter().filter(|(kind, _)| kind.kty.is_string() && kind.kty != "oct").count();
        if secrets > 0 && public > 0 {
            return Err(KeyError::Mixed);
        }
        let left_out = keys.iter().filter(|(_, key)| key.is_none()).count();
        if left_out > 0 {
            tracing::info!(left_out, "keys in a JWK set that cannot be used");
        }
        Ok(Self(keys))
    }

    /// Ids that stand there twice. Those of keys that cannot be used count: which of the two a token means is no
    /// less open.
    fn duplicates(&self) -> impl Iterator<Item = &str> {
        let mut ids: Vec<&str> = self.0.iter().filter_map(|(kind, _)| kind.kid.as_str()).collect();
        ids.sort_unstable();
        let twice: Vec<&str> = ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        twice.into_iter()
    }

    /// The keys that can be used.
    fn keys(&self) -> Vec<Key> {
        self.0.iter().filter_map(|(_, key)| key.clone()).collect()
    }
}
