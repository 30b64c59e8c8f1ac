//! [`Digest`]: by what tokens, subjects and tickets are remembered.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

#[cfg(not(feature = "jwt"))]
use super::sha256::sha256;

/// 128 bits of SHA-256: a memory or a log that somebody else reads holds no token, and nobody finds two that are alike.
/// All nodes have the same, whatever they were built with.
///
/// What is remembered takes the same room however long it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Digest([u8; 16]);

impl Digest {
    #[cfg(feature = "jwt")]
    pub(super) const LOWEST: Self = Self([0; 16]);
    #[cfg(feature = "jwt")]
    pub(super) const HIGHEST: Self = Self([u8::MAX; 16]);

    /// Of several parts, each at its place; the first says what the others are.
    #[cfg(not(feature = "jwt"))]
    pub(super) fn of(parts: &[&str]) -> Self {
        let mut message = Vec::with_capacity(parts.iter().map(|part| part.len() + 1).sum());
        for part in parts {
            message.extend_from_slice(part.as_bytes());
            message.push(0);
        }
        Self::cut(sha256(&message))
    }

    /// Of several parts, each at its place; the first says what the others are.
    #[cfg(feature = "jwt")]
    pub(super) fn of(parts: &[&str]) -> Self {
        use sha2::{Digest as _, Sha256};

        let separated = |hash: Sha256, part: &&str| hash.chain_update(part).chain_update([0]);
        Self::cut(parts.iter().fold(Sha256::new(), separated).finalize().into())
    }

    fn cut(hash: [u8; 32]) -> Self {
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash[..16]);
        Self(digest)
    }

    pub(super) fn of_subject(subject: &str) -> Self {
        Self::of(&["sub", subject])
    }

    pub(super) fn of_session(id: &str) -> Self {
        Self::of(&["sid", id])
    }

    #[cfg(feature = "jwt")]
    pub(super) fn of_token_id(id: &str) -> Self {
        Self::of(&["jti", id])
    }

    /// Of nothing that there is a second time: of one request, of one node.
    pub(super) fn random() -> Self {
        Self(rand::random())
    }

    /// Of a token without an id: its header and payload.
    ///
    /// Not its signature, which is not always the only good one: with (r, s) of ECDSA, (r, n − s) is good too.
    #[cfg(any(test, feature = "jwt"))]
    pub(super) fn of_signed(message: &str) -> Self {
        Self::of(&["jws", message])
    }

    pub(super) fn of_topic(topic: &str) -> Self {
        Self::of(&["topic", topic])
    }

    #[cfg(test)]
    pub(super) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// 32 hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let is_digest = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(&digits, 16).ok().filter(|_| is_digest);
        Ok(Self(number.ok_or_else(|| D::Error::custom("no digest"))?.to_be_bytes()))
    }
}
