//! [`CookieKind`]: what every cookie of ours is like.

use std::time::Duration;

use super::config_error::ConfigError;
use crate::request::RequestHead;

/// Most cookies of one name that are looked at.
const MAX_OF_ONE_NAME: usize = 16;

/// Most cookies that are looked at whose names begin alike: more than browsers keep of one site.
const MAX_OF_ALL: usize = 200;

/// Who gets a cookie back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CookieKind {
    /// Pages of the same site, over TLS.
    SameSite,
    /// Pages of other sites too, each site's for itself.
    CrossSite,
    /// Pages of the same site, without TLS.
    Insecure,
}

impl CookieKind {
    pub(super) fn is_secure(self) -> bool {
        self != Self::Insecure
    }

    /// Whether a cookie can have this name: a token of RFC 6265.
    pub(super) fn check(self, name: &str) -> Result<(), ConfigError> {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_letter) {
            return Err(ConfigError::Cookie);
        }
        let lower = name.to_ascii_lowercase();
        let is_prefixed = lower.starts_with("__secure-") || lower.starts_with("__host-");
        if is_prefixed && !self.is_secure() { Err(ConfigError::InsecureCookie) } else { Ok(()) }
    }

    /// The value of `Set-Cookie`.
    pub(super) fn set(self, name: &str, value: &str, path: &str, age: Duration) -> String {
        let rest = match self {
            Self::SameSite => "SameSite=Strict; Secure",
            Self::CrossSite => "SameSite=None; Secure; Partitioned",
            Self::Insecure => "SameSite=Strict",
        };
        format!("{name}={value}; Path={path}; Max-Age={}; HttpOnly; {rest}", age.as_secs())
    }
}

/// The cookies whose names begin so: the rest of each name, and its value.
pub(super) fn all(head: &impl RequestHead, prefix: &str) -> Vec<(String, String)> {
    let pairs = head.headers("cookie").flat_map(|field| field.split(|byte| *byte == b';'));
    let named = pairs.filter_map(|pair| {
        let (name, value) =
            std::str::from_utf8(pair.trim_ascii()).ok()?.strip_prefix(prefix)?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    named.take(MAX_OF_ALL).collect()
}

/// The values of the cookies of this name, but for empty ones, which some sites leave behind when they sign out.
/// `None` where there are too many.
///
/// Two of one name are no mistake of the client's: a neighbour under the same domain can set one too.
pub(super) fn values(head: &impl RequestHead, name: &str) -> Option<Vec<String>> {
    let pairs = head.headers("cookie").flat_map(|field| field.split(|byte| *byte == b';'));
    let values = pairs.filter_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
    });
    let mut values: Vec<String> = values.take(MAX_OF_ONE_NAME + 1).collect();
    values.dedup();
    (values.len() <= MAX_OF_ONE_NAME).then_some(values)
}
