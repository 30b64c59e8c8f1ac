//! [`Material`]: what a key is made of, and what it must be like before it is trusted with anything.

use jsonwebtoken::DecodingKey;

use super::algorithm::Algorithm;

/// What a key is made of, until it has been checked; its kind and size from then on.
#[derive(Clone)]
pub(super) enum Material {
    Secret { len: usize, bytes: Vec<u8> },
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl Material {
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Self {
        Self::Rsa { n: trimmed(n).to_vec(), e: trimmed(e).to_vec() }
    }

    /// An uncompressed point that lies on the curve: not every verifier looks, and none of its tokens would be good.
    pub(super) fn p256(point: &[u8]) -> Option<Self> {
        let is_point = point.first() == Some(&4) && p256::PublicKey::from_sec1_bytes(point).is_ok();
        is_point.then(|| Self::P256(point.to_vec()))
    }

    /// As [`p256`](Self::p256).
    pub(super) fn p384(point: &[u8]) -> Option<Self> {
        let is_point = point.first() == Some(&4) && p384::PublicKey::from_sec1_bytes(point).is_ok();
        is_point.then(|| Self::P384(point.to_vec()))
    }

    pub(super) fn ed25519(key: &[u8]) -> Option<Self> {
        (key.len() == 32).then(|| Self::Ed25519(key.to_vec()))
    }

    pub(super) fn is_weak(&self) -> bool {
        match self {
            Self::Secret { len, .. } => *len < 32,
            Self::Rsa { n, e } => {
                let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
                // Two to eight bytes, without leading zeros: at least 65537 is three bytes.
                let exponent = e.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
                !(2048..=8192).contains(&bits)
                    || e.len() > 8
                    || exponent < 65537
                    || exponent % 2 == 0
                    || n.last().is_none_or(|last| last % 2 == 0)
            }
            Self::P256(_) | Self::P384(_) | Self::Ed25519(_) => false,
        }
    }

    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};

        match (self, algorithm) {
            (Self::Secret { .. }, HS256) => true,
            (Self::Secret { len, .. }, HS384) => *len >= 48,
            (Self::Secret { len, .. }, HS512) => *len >= 64,
            (Self::Rsa { .. }, RS256 | RS384 | RS512 | PS256 | PS384 | PS512) => true,
            (Self::P256(_), ES256) | (Self::P384(_), ES384) | (Self::Ed25519(_), EdDSA) => true,
            _ => false,
        }
    }

    /// Moves the bytes to where they are verified with.
    pub(super) fn take(&mut self) -> DecodingKey {
        use std::mem::take;

        match self {
            Self::Secret { bytes, .. } => DecodingKey::from_secret(&take(bytes)),
            Self::Rsa { n, e } => DecodingKey::from_rsa_raw_components(&take(n), &take(e)),
            // "DER" here is the bare point, and the bare 32 bytes.
            Self::P256(point) | Self::P384(point) => DecodingKey::from_ec_der(&take(point)),
            Self::Ed25519(key) => DecodingKey::from_ed_der(&take(key)),
        }
    }
}

fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
