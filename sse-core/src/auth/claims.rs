//! [`Claims`]: what a verified token says.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::digest::Digest;

/// The claims of a token that was verified. Cheap to clone.
///
/// `Debug` shows none of them.
#[derive(Clone)]
pub struct Claims {
    stamp: Arc<Stamp>,
    payload: Arc<[u8]>,
}

impl Claims {
    pub(super) fn new(stamp: Stamp, payload: Vec<u8>) -> Self {
        Self { stamp: Arc::new(stamp), payload: payload.into() }
    }

    /// Who the token is about (`sub`), never empty.
    pub fn subject(&self) -> &str {
        &self.stamp.subject
    }

    /// The token's own id (`jti`).
    pub fn token_id(&self) -> Option<&str> {
        self.stamp.id.as_deref()
    }

    /// When the token expires (`exp`). Streams end up to the verifier's leeway later.
    pub fn expires_at(&self) -> SystemTime {
        self.stamp.expires_at
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

/// What is remembered of a token while something is open in its name.
pub(super) struct Stamp {
    pub(super) subject: Box<str>,
    pub(super) subject_key: Digest,
    pub(super) id: Option<Box<str>>,
    /// Of the id, or where there is none, of what was signed.
    pub(super) key: Digest,
    /// Seconds since 1970; fractions are allowed.
    pub(super) issued_at: Option<f64>,
    pub(super) expires_at: SystemTime,
    /// [`expires_at`](Self::expires_at) and the leeway.
    pub(super) ends_at: SystemTime,
}

impl Stamp {
    /// A token without `iat` is as old as can be. Never zero: that is the floor of the beginning.
    pub(super) fn issued(&self) -> f64 {
        self.issued_at.unwrap_or(f64::MIN_POSITIVE).max(f64::MIN_POSITIVE)
    }

    /// Until when it matters that the token was revoked, in seconds since 1970.
    pub(super) fn until(&self) -> u32 {
        let since_1970 = self.ends_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u32::try_from(since_1970.as_secs()).map_or(u32::MAX, |seconds| seconds.saturating_add(1))
    }
}

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
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}
