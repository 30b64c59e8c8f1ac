//! [`Digest`]: by what tokens, subjects and tickets are remembered.

/// 128 bits: of SHA-256 where tokens and tickets are among what is remembered, so that a memory that somebody else
/// reads holds none of them. Else of a hash under keys that this process has drawn, so that nobody can look for two
/// that are alike.
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
        use std::{
            hash::{BuildHasher, RandomState},
            sync::LazyLock,
        };

        static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        let [low, high] = [0, 1].map(|half| KEYS[half].hash_one(parts));
        Self((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
    }

    /// Of several parts, each at its place; the first says what the others are.
    #[cfg(feature = "jwt")]
    pub(super) fn of(parts: &[&str]) -> Self {
        use sha2::{Digest as _, Sha256};

        let separated = |hash: Sha256, part: &&str| hash.chain_update(part).chain_update([0]);
        let hash: [u8; 32] = parts.iter().fold(Sha256::new(), separated).finalize().into();
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

    /// Of a session without an id: of this one request.
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
