//! [`Claims`]: what a verified token says.

use std::{
    fmt,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::stamp::Stamp;

/// The claims of a token that was verified. Cheap to clone.
///
/// `Debug` shows none of them.
#[derive(Clone)]
pub struct Claims {
    stamp: Arc<Stamp>,
    issuer: Option<Arc<str>>,
    payload: Arc<[u8]>,
}

impl Claims {
    pub(super) fn new(stamp: Stamp, issuer: Option<String>, payload: Vec<u8>) -> Self {
        Self { stamp: Arc::new(stamp), issuer: issuer.map(Into::into), payload: payload.into() }
    }

    /// Who issued the token (`iss`): one of those that the verifier accepts, or whatever it says where that is
    /// [any](crate::VerifierBuilder::accept_any_issuer).
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Who the token is about (`sub`). Empty for a token that does not say it, which a verifier refuses unless it is
    /// told [otherwise](crate::VerifierBuilder::optional_subject); never else.
    pub fn subject(&self) -> &str {
        &self.stamp.subject
    }

    /// The token's own id (`jti`).
    pub fn token_id(&self) -> Option<&str> {
        self.stamp.id.as_deref()
    }

    /// When the token expires (`exp`); streams end up to the verifier's leeway later. `None` for **a token that never
    /// does**, which a verifier refuses unless it is told [otherwise](crate::VerifierBuilder::optional_expiry).
    pub fn expires_at(&self) -> Option<SystemTime> {
        Some(self.stamp.expires_at).filter(|at| *at != Stamp::never())
    }

    /// When the token was issued (`iat`), as far as it says so.
    pub fn issued_at(&self) -> Option<SystemTime> {
        let since = Duration::try_from_secs_f64(self.stamp.issued_at?).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    /// The claims as a type of the application's own.
    ///
    /// ```
    /// # fn f(claims: &sse_core::Claims) -> Result<(), sse_core::ClaimsError> {
    /// #[derive(serde::Deserialize)]
    /// struct Mine {
    ///     tenant: String,
    /// }
    ///
    /// let mine: Mine = claims.parse()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ClaimsError`] when they are of another form; as an answer it is that of a token that is not valid.
    pub fn parse<C: DeserializeOwned>(&self) -> Result<C, ClaimsError> {
        serde_json::from_slice(&self.payload).map_err(|_| ClaimsError(()))
    }

    /// All of them, as JSON.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    pub(super) fn stamp(&self) -> &Arc<Stamp> {
        &self.stamp
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

/// The claims of a token are not of the form that the application expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimsError(());

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claims of the token are of another form")
    }
}

impl std::error::Error for ClaimsError {}

/// The claims that every token is checked for. A member that stands there twice, or is of another type, makes
/// the token malformed: nothing malformed counts as absent.
#[derive(Deserialize)]
pub(super) struct Registered {
    #[serde(default, deserialize_with = "present")]
    pub(super) exp: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub(super) nbf: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub(super) iat: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    pub(super) iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) aud: Option<OneOrMany>,
    #[serde(default, deserialize_with = "present")]
    pub(super) sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) jti: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) sid: Option<String>,
    #[serde(default)]
    pub(super) client_id: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// `null` is not absent either.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    value: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// An object and nothing else: by itself a type with named members can be read from a list of their values too.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        value.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, members: M) -> Result<Self::Value, M::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Object)
    }
}
