//! [`ConfigError`]: what is wrong with a configuration.

use std::fmt;

#[cfg(feature = "jwt")]
use super::{algorithm::Algorithm, key_error::KeyError};

/// Why an [`Auth`](crate::Auth), or the verifier of its tokens, cannot be built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No algorithm was said.
    Algorithms,
    /// No keys were said.
    Keys,
    /// No issuer was said, or an empty name; `accept_any_issuer` is one.
    Issuer,
    /// No audience was said, or an empty name; `no_audience` is one.
    Audience,
    /// Two verifiers of `by_issuer` are for this issuer.
    SameIssuer(String),
    /// Access tokens of RFC 9068 have a subject and expire: it does not go together with
    /// `optional_subject` or
    /// `optional_expiry`.
    Profile,
    /// No key can verify this algorithm.
    #[cfg(feature = "jwt")]
    NoKeyFor(Algorithm),
    /// No cryptography is compiled in or installed: one of the features `jwt-rust-crypto` and
    /// `jwt-aws-lc-rs` is needed. Or `jsonwebtoken` has both of its backends, which another crate has asked for,
    /// and cannot choose: then too one of these features is needed.
    CryptoProvider,
    /// A key was not taken.
    #[cfg(feature = "jwt")]
    Key(KeyError),
    /// A name or path is none that a cookie can have.
    Cookie,
    /// A cookie whose name has a prefix, or one for other sites, is taken over TLS alone, and so does not go together
    /// with `insecure_for_loopback`.
    InsecureCookie,
    /// Not an origin as browsers write it: `https://app.example`, with the port unless it is the usual one.
    Origin(String),
    /// Not a host name, with or without a port.
    Host(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
                    Self::Algorithms => f.write_str("the algorithms of the tokens must be said"),
                    Self::Keys => f.write_str("the keys of the tokens must be said"),
                    Self::Issuer => f.write_str("the issuer of the tokens must be said"),
                    Self::Audience => f.write_str("the audience of the tokens must be said"),
                    Self::SameIssuer(issuer) => write!(f, "two verifiers are for the issuer {issuer:?}"),
                    Self::Profile => {
                f.write_str("access tokens of RFC 9068 have a subject and expire: neither can be optional")
            }
                    #[cfg(feature = "jwt")]
            Self::NoKeyFor(algorithm) => write!(f, "no key can verify {algorithm:?}"),
                    Self::CryptoProvider => f.write_str(
                "there is no cryptography, or `jsonwebtoken` has two backends and cannot choose: enable the feature \
                 `jwt-rust-crypto` or `jwt-aws-lc-rs` of this crate",
            ),
                    #[cfg(feature = "jwt")]
            Self::Key(error) => error.fmt(f),
                    Self::Cookie => f.write_str("a cookie cannot have that name or path"),
                    Self::InsecureCookie => {
                f.write_str("a cookie with a prefix in its name, or for other sites, must be secure")
            }
            Self::Origin(origin) => write!(f, "{origin:?} is not an origin"),
            Self::Host(host) => write!(f, "{host:?} is not a host"),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            #[cfg(feature = "jwt")]
            Self::Key(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(feature = "jwt")]
impl From<KeyError> for ConfigError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}
