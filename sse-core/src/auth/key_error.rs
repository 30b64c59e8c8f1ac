//! [`KeyError`]: why a key was not taken.

use std::fmt;

/// Why a key, or a set of keys, was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// It is not a key of a kind that is known here.
    Format,
    /// It is too small, or its exponent is bad.
    Weak,
    /// It is for something else: another algorithm, encryption, signing alone.
    Purpose,
    /// Its id is longer than 128 bytes or not printable ASCII.
    Id,
    /// Two keys have the same id.
    Duplicate,
    /// The set has secrets (`oct`) among public keys: whoever may read the one must not have the other.
    Mixed,
    /// The set has no key that can be used.
    Empty,
    /// The set has more than 64 keys or 256 KiB.
    TooLarge,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Format => "not a secret, public key or JWK of a kind that is known",
            Self::Weak => "the key is too small, or its exponent is bad",
            Self::Purpose => "the key is for something else",
            Self::Id => "a key's id must be 1 to 128 bytes of printable ASCII",
            Self::Duplicate => "two keys have the same id",
            Self::Mixed => "a set of public keys must not have secrets in it",
            Self::Empty => "there is no key in the set that can be used",
            Self::TooLarge => "a key set may have at most 64 keys and 256 KiB",
        })
    }
}

impl std::error::Error for KeyError {}
