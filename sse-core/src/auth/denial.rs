//! Refusals of authorisation, each in one form: what was wrong stands in the log alone.

use std::time::Duration;

#[cfg(feature = "jwt")]
use super::claims::ClaimsError;
use crate::refusal::{Field, Refusal};

/// Why a request was not let in.
///
/// The status and the challenge are those of [RFC 6750 §3](https://www.rfc-editor.org/rfc/rfc6750#section-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// Nothing that could be a token.
    #[cfg(feature = "jwt")]
    Missing,
    /// Not to be read as a request with one token.
    #[cfg(feature = "jwt")]
    Malformed(&'static str),
    /// Anything wrong with the token; all of it looks the same from outside.
    Invalid(&'static str),
    /// A session of the application's own that was revoked, or is over.
    Over(&'static str),
    /// A good token, or a good session, that does not allow this.
    Scope(&'static str),
    /// A cookie that another site's page has sent.
    CrossSite(&'static str),
    /// A host name that is not ours.
    Host,
    /// No keys at the moment, or not the one that is asked for.
    #[cfg(feature = "jwks")]
    Keys(Duration),
    /// No room at the moment.
    #[cfg(feature = "jwt")]
    Full,
}

impl Denial {
    /// When to come back, where that helps.
    pub(super) fn retry(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "jwks")]
            Self::Keys(after) => Some(*after),
            #[cfg(feature = "jwt")]
            Self::Full => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

const CHALLENGE: &str = "www-authenticate";

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            #[cfg(feature = "jwt")]
            Denial::Missing => {
                tracing::info!(status = 401, reason = "no token", "refused a request");
                Self::of(401, "A token is needed.").with(CHALLENGE, "Bearer")
            }
            #[cfg(feature = "jwt")]
            Denial::Malformed(reason) => {
                tracing::info!(status = 400, reason, "refused a request");
                Self::of(400, "The request does not carry its token as it should.")
                    .with(CHALLENGE, "Bearer error=\"invalid_request\"")
            }
            Denial::Invalid(reason) => {
                tracing::info!(status = 401, reason, "refused a request");
                Self::of(401, "The token is not valid.").with(CHALLENGE, "Bearer error=\"invalid_token\"")
            }
            // A 401 has to name a scheme (RFC 9110 §15.5.2); there is none for cookies.
            Denial::Over(reason) => {
                tracing::info!(status = 401, reason, "refused a request");
                Self::of(401, "The session is over, please sign in.").with(CHALLENGE, "Session")
            }
            Denial::Scope(reason) => {
                tracing::info!(status = 403, reason, "refused a request");
                Self::of(403, "That is not granted.").with(CHALLENGE, "Bearer error=\"insufficient_scope\"")
            }
            Denial::CrossSite(reason) => {
                tracing::info!(status = 403, reason, "refused a request");
                Self::of(403, "The request comes from another site.")
            }
            Denial::Host => {
                tracing::info!(status = 421, reason = "the host is not on the list", "refused a request");
                Self::of(421, "This server does not answer to that host.")
            }
            #[cfg(feature = "jwks")]
            Denial::Keys(after) => {
                tracing::info!(
                    status = 503,
                    reason = "there are no keys, or not this one yet",
                    "refused a request"
                );
                Self::unavailable(after, "Tokens cannot be verified at the moment, please come back.")
            }
            #[cfg(feature = "jwt")]
            Denial::Full => {
                tracing::info!(
                    status = 503,
                    reason = "there are too many tickets or streams of tickets",
                    "refused a request"
                );
                Self::unavailable(Duration::from_secs(5), "There is no room at the moment, please come back.")
            }
        }
    }
}

#[cfg(feature = "jwt")]
impl From<ClaimsError> for Refusal {
    fn from(_: ClaimsError) -> Self {
        Denial::Invalid("the claims are not of the form that the application expects").into()
    }
}

/// The refusal, with these fields; for a browser's `EventSource` in the form that it obeys.
pub(super) fn refuse(denial: Denial, fields: &[Field], is_browser: bool) -> Refusal {
    let retry = denial.retry().filter(|_| is_browser);
    let mut refusal = Refusal::from(denial);
    if let Some(retry) = retry {
        // Not all of them at once.
        let retry = retry.max(Duration::from_secs(2)).mul_f64(rand::random_range(1.0..1.5));
        refusal = Refusal::come_back(retry);
    }
    fields.iter().fold(refusal, |refusal, (name, value)| refusal.with(name, value.clone()))
}
