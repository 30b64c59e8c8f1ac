//! [`TokenHeader`]: what a token says of itself, read with suspicion.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{algorithm::Algorithm, claims::Object, denial::Denial, key::is_key_id};

/// Longest header, in bytes of JSON.
const MAX_HEADER: usize = 2 << 10;

/// A header that may be looked into further.
pub(super) struct TokenHeader {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    kind: Option<String>,
}

/// Keys and addresses of keys (`jwk`, `jku`, `x5c`, `x5u`) are not even read.
#[derive(Deserialize)]
struct Members {
    alg: String,
    #[serde(default, deserialize_with = "text")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "text")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "is_present")]
    crit: bool,
    #[serde(default, deserialize_with = "is_present")]
    b64: bool,
    #[serde(default, deserialize_with = "is_present")]
    zip: bool,
    #[serde(default, deserialize_with = "is_present")]
    enc: bool,
}

impl TokenHeader {
    /// Reads the first part of a token.
    pub(super) fn read(encoded: &str) -> Result<Self, Denial> {
        let invalid = |reason| Err(Denial::Invalid(reason));
        if encoded.len() > MAX_HEADER * 4 / 3 {
            return invalid("the header is longer than 2 KiB");
        }
        let members = URL_SAFE_NO_PAD.decode(encoded).ok();
        let Some(Object(members)) =
            members.and_then(|json| serde_json::from_slice::<Object<Members>>(&json).ok())
        else {
            return invalid("the header is malformed");
        };
        if members.crit || members.b64 || members.zip || members.enc {
            return invalid("the header asks for what is not understood here");
        }
        if members.kid.as_deref().is_some_and(|id| !is_key_id(id)) {
            return invalid("kid is not the id of a key");
        }
        let Some(algorithm) = Algorithm::from_name(&members.alg) else {
            return invalid("the algorithm is not known");
        };
        Ok(Self { algorithm, key_id: members.kid, kind: members.typ })
    }

    /// Whether the token is of a kind that opens anything here
    /// ([RFC 8725 §3.11](https://www.rfc-editor.org/rfc/rfc8725#section-3.11)).
    pub(super) fn check_type(&self, access_token: bool) -> Result<(), Denial> {
        let kind = self.kind.as_deref().map(str::to_ascii_lowercase);
        let allowed = match kind.as_deref() {
            Some("at+jwt" | "application/at+jwt") => true,
            None | Some("jwt" | "application/jwt") => !access_token,
            Some(_) => false,
        };
        if allowed { Ok(()) } else { Err(Denial::Invalid("typ is that of another kind of token")) }
    }
}

/// A text; `null` is none.
fn text<'de, D: Deserializer<'de>>(value: D) -> Result<Option<String>, D::Error> {
    String::deserialize(value).map(Some)
}

/// Whatever the value.
fn is_present<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(value).map(|_| true)
}
