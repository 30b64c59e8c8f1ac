//! [`Key`]: one key, and what it must be like before it is trusted with anything.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde::Deserialize;

use super::{algorithm::Algorithm, key_error::KeyError, material::Material, pem};

/// A key that tokens are verified with.
///
/// Whatever it is made from, the same is asked of it: RSA of 2048 to 8192 bits with an odd exponent of at least
/// 65537, a secret at least as long as the hash
/// ([RFC 7518 §3.2](https://www.rfc-editor.org/rfc/rfc7518#section-3.2)), a point on P-256 or P-384, Ed25519.
/// It verifies the algorithms of its own kind and no other, so a public key can never pass as a secret.
///
/// The feature `jwt-rust-crypto` verifies RSA up to 4096 bits only.
#[derive(Clone)]
pub struct Key {
    id: Option<Box<str>>,
    algorithm: Option<Algorithm>,
    material: Material,
    decoding: DecodingKey,
}

impl Key {
    /// A secret of 32 bytes or more, shared with whoever issues the tokens.
    ///
    /// Its length decides what it may verify: HS256 from 32 bytes, HS384 from 48, HS512 from 64. A text that a
    /// person can remember is no secret: take random bytes.
    ///
    /// # Errors
    /// [`KeyError::Weak`] for a shorter one, [`KeyError::Format`] for a PEM file.
    pub fn hmac(secret: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let secret = secret.as_ref();
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError::Format);
        }
        Self::checked(None, None, Material::Secret { len: secret.len(), bytes: secret.to_vec() })
    }

    /// A public key in PEM: RSA, P-256, P-384 or Ed25519, as `PUBLIC KEY` or `RSA PUBLIC KEY`.
    ///
    /// # Errors
    /// [`KeyError::Format`] for anything else, private keys and certificates too; [`KeyError::Weak`] for one
    /// that is too small.
    pub fn pem(pem: impl AsRef<str>) -> Result<Self, KeyError> {
        Self::checked(None, None, pem::read(pem.as_ref()).ok_or(KeyError::Format)?)
    }

    /// A key as JSON ([RFC 7517](https://www.rfc-editor.org/rfc/rfc7517)).
    ///
    /// Its `kid` and `alg` bind it; `use` and `key_ops`, where present, must allow verifying.
    ///
    /// # Errors
    /// [`KeyError::Format`] when it is no such key, [`KeyError::Purpose`] when it is for something else,
    /// [`KeyError::Weak`] when it is too small.
    pub fn jwk(json: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let jwk: Jwk = serde_json::from_slice(json.as_ref()).map_err(|_| KeyError::Format)?;
        Self::from_jwk(jwk)
    }

    /// Gives the key an id: a token that names one (`kid`) is verified with the key of that id alone.
    ///
    /// # Errors
    /// [`KeyError::Id`] unless it is 1 to 128 bytes of printable ASCII.
    pub fn with_id(mut self, id: impl Into<String>) -> Result<Self, KeyError> {
        let id = id.into();
        if !is_key_id(&id) {
            return Err(KeyError::Id);
        }
        self.id = Some(id.into());
        Ok(self)
    }

    /// Binds the key to one algorithm.
    ///
    /// # Errors
    /// [`KeyError::Purpose`] when it is not one of its kind.
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Result<Self, KeyError> {
        if !self.material.fits(algorithm) {
            return Err(KeyError::Purpose);
        }
        self.algorithm = Some(algorithm);
        Ok(self)
    }

    pub(super) fn from_jwk(jwk: Jwk) -> Result<Self, KeyError> {
        let purpose = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.operations.as_ref().is_none_or(|all| all.iter().any(|operation| operation == "verify"));
        if !purpose {
            return Err(KeyError::Purpose);
        }
        if jwk.id.as_deref().is_some_and(|id| !is_key_id(id)) {
            return Err(KeyError::Id);
        }
        let algorithm = match jwk.algorithm.as_deref() {
            Some(name) => Some(Algorithm::from_name(name).ok_or(KeyError::Purpose)?),
            None => None,
        };
        let number = |field: &Option<String>| {
            field.as_deref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(KeyError::Format)
        };
        let material = match (jwk.kind.as_str(), jwk.curve.as_deref()) {
            ("RSA", None) => Some(Material::rsa(&number(&jwk.n)?, &number(&jwk.e)?)),
            ("EC", Some("P-256")) => Material::p256(&point(&number(&jwk.x)?, &number(&jwk.y)?)),
            ("EC", Some("P-384")) => Material::p384(&point(&number(&jwk.x)?, &number(&jwk.y)?)),
            ("OKP", Some("Ed25519")) => Material::ed25519(&number(&jwk.x)?),
            ("oct", None) => {
                let bytes = number(&jwk.k)?;
                Some(Material::Secret { len: bytes.len(), bytes })
            }
            _ => None,
        };
        Self::checked(jwk.id.map(Into::into), algorithm, material.ok_or(KeyError::Format)?)
    }

    fn checked(
        id: Option<Box<str>>,
        algorithm: Option<Algorithm>,
        mut material: Material,
    ) -> Result<Self, KeyError> {
        if material.is_weak() {
            return Err(KeyError::Weak);
        }
        if algorithm.is_some_and(|algorithm| !material.fits(algorithm)) {
            return Err(KeyError::Purpose);
        }
        let decoding = material.take();
        Ok(Self { id, algorithm, material, decoding })
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    #[cfg(feature = "jwks")]
    pub(super) fn is_secret(&self) -> bool {
        matches!(self.material, Material::Secret { .. })
    }

    /// Whether it may verify this algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|own| own == algorithm) && self.material.fits(algorithm)
    }

    /// Whether it signed this.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        let message = message.as_bytes();
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, algorithm.foreign()).unwrap_or(false)
    }
}

/// The kind and size of a key alone.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.material {
            Material::Secret { .. } => "HMAC",
            Material::Rsa { .. } => "RSA",
            Material::P256(_) => "P-256",
            Material::P384(_) => "P-384",
            Material::Ed25519(_) => "Ed25519",
        };
        f.debug_struct("Key").field("id", &self.id).field("kind", &kind).finish_non_exhaustive()
    }
}

/// A key in a JWK set. Members that are not known, among them those that point elsewhere, mean nothing.
#[derive(Deserialize)]
pub(super) struct Jwk {
    #[serde(rename = "kty")]
    kind: String,
    #[serde(rename = "kid", default)]
    id: Option<String>,
    #[serde(rename = "alg", default)]
    algorithm: Option<String>,
    #[serde(rename = "use", default)]
    usage: Option<String>,
    #[serde(rename = "key_ops", default)]
    operations: Option<Vec<String>>,
    #[serde(rename = "crv", default)]
    curve: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    k: Option<String>,
}

fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    if x.len() == y.len() { [&[4], x, y].concat() } else { Vec::new() }
}

/// Ids are map keys and nothing else; yet one of 10 kB or with a line break is no id that anybody gave.
pub(super) fn is_key_id(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}
