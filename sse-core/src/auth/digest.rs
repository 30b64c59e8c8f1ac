//! [`Digest`]: by what tokens, subjects and tickets are remembered.

use sha2::{Digest as _, Sha256};

/// 128 bits of SHA-256.
///
/// What is remembered takes the same room however long it was, and a memory that somebody else reads holds no
/// ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Digest([u8; 16]);

impl Digest {
    pub(super) const LOWEST: Self = Self([0; 16]);
    pub(super) const HIGHEST: Self = Self([u8::MAX; 16]);

    /// Of several parts, each at its place; the first says what the others are.
    pub(super) fn of(parts: &[&str]) -> Self {
        let separated = |hash: Sha256, part: &&str| hash.chain_update(part).chain_update([0]);
        let hash: [u8; 32] = parts.iter().fold(Sha256::new(), separated).finalize().into();
        let mut digest = [0; 16];
        digest.copy_from_slice(&hash[..16]);
        Self(digest)
    }

    pub(super) fn of_subject(subject: &str) -> Self {
        Self::of(&["sub", subject])
    }

    pub(super) fn of_token_id(id: &str) -> Self {
        Self::of(&["jti", id])
    }

    /// Of a token without an id: its header and payload.
    ///
    /// Not its signature, which is not always the only good one: with (r, s) of ECDSA, (r, n − s) is good too.
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
