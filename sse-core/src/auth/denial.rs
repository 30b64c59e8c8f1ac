//! Refusals of authorisation, each in one form: what was wrong stands in the log alone.
//!
//! The form depends on who asks: see [`Asker`].

use std::time::Duration;

#[cfg(feature = "jwt")]
use super::claims::ClaimsError;
use crate::{
    metrics::{self, Refused},
    refusal::{Field, Refusal},
    request::Request,
};

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
    /// Taken back: the token, the session, the ticket that came of one.
    Revoked,
    /// A session of the application's own that is over.
    Over(&'static str),
    /// A good token, or a good session, that does not allow this.
    Scope(&'static str),
    /// All that is asked for was granted, and taken back.
    RevokedTopics,
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
    /// The other nodes cannot be reached at the moment.
    #[cfg(feature = "jwt")]
    Away,
}

impl Denial {
    /// As what it is counted.
    fn refused(&self) -> Refused {
        match self {
            #[cfg(feature = "jwt")]
            Self::Missing => Refused::NoToken,
            #[cfg(feature = "jwt")]
            Self::Malformed(_) => Refused::Malformed,
            Self::Invalid(_) | Self::Over(_) => Refused::Invalid,
            Self::Revoked | Self::RevokedTopics => Refused::Revoked,
            Self::Scope(_) => Refused::NotGranted,
            Self::CrossSite(_) | Self::Host => Refused::Origin,
            #[cfg(feature = "jwks")]
            Self::Keys(_) => Refused::NoKeys,
            #[cfg(feature = "jwt")]
            Self::Full => Refused::Full,
            #[cfg(feature = "jwt")]
            Self::Away => Refused::EngineAway,
        }
    }

    /// When to come back, where that helps.
    pub(super) fn retry(&self) -> Option<Duration> {
        match self {
            #[cfg(feature = "jwks")]
            Self::Keys(after) => Some(*after),
            #[cfg(feature = "jwt")]
            Self::Full => Some(Duration::from_secs(5)),
            #[cfg(feature = "jwt")]
            Self::Away => Some(Duration::from_secs(2)),
            _ => None,
        }
    }
}

/// To whom it is said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asker {
    /// Known by a session of the application's own, and by no token.
    pub(super) by_session: bool,
    accepts_events: bool,
    is_browser: bool,
}

impl Asker {
    pub(super) fn new(request: &Request, by_session: bool) -> Self {
        Self { by_session, accepts_events: request.accepts_events(), is_browser: request.is_browser() }
    }
}

const CHALLENGE: &str = "www-authenticate";

/// A 401 has to name a scheme (RFC 9110 §15.5.2); there is none for cookies.
const SESSION: &str = "Session";

impl Denial {
    /// The answer to this one: in the form that its client obeys.
    pub(super) fn answer(self, asker: Asker) -> Refusal {
        metrics::refused(self.refused());
        let is_revoked = matches!(self, Self::Revoked | Self::RevokedTopics);
        if is_revoked && asker.accepts_events {
            tracing::info!(status = 204, reason = "revoked", "told a client not to come back");
            return Refusal::stop_reconnecting();
        }
        let retry = self.retry().filter(|_| asker.is_browser);
        let refusal = self.in_words(asker.by_session);
        retry.map_or(refusal, |retry| {
            // Not all of them at once.
            Refusal::come_back(retry.max(Duration::from_secs(2)).mul_f64(rand::random_range(1.0..1.5)))
        })
    }

    /// The answer to those who read a status and a sentence. Says in the log what was wrong.
    fn in_words(self, by_session: bool) -> Refusal {
        let refused = |status, reason| {
            tracing::info!(status, reason, "refused a request");
            status
        };
        match self {
            #[cfg(feature = "jwt")]
            Self::Missing if by_session => {
                Refusal::of(refused(401, "no session"), "Please sign in.").with(CHALLENGE, SESSION)
            }
            #[cfg(feature = "jwt")]
            Self::Missing => {
                Refusal::of(refused(401, "no token"), "A token is needed.").with(CHALLENGE, "Bearer")
            }
            #[cfg(feature = "jwt")]
            Self::Malformed(reason) => {
                Refusal::of(refused(400, reason), "The request does not carry its token as it should.")
                    .with(CHALLENGE, "Bearer error=\"invalid_request\"")
            }
            Self::Revoked if by_session => Self::Over("revoked").in_words(true),
            Self::Revoked => Self::Invalid("revoked").in_words(false),
            Self::Invalid(reason) => Refusal::of(refused(401, reason), "The token is not valid.")
                .with(CHALLENGE, "Bearer error=\"invalid_token\""),
            Self::Over(reason) => Refusal::of(refused(401, reason), "The session is over, please sign in.")
                .with(CHALLENGE, SESSION),
            Self::RevokedTopics => Self::Scope("a topic was revoked").in_words(by_session),
            Self::Scope(reason) => {
                let refusal = Refusal::of(refused(403, reason), "That is not granted.");
                match by_session {
                    true => refusal,
                    false => refusal.with(CHALLENGE, "Bearer error=\"insufficient_scope\""),
                }
            }
            Self::CrossSite(reason) => {
                Refusal::of(refused(403, reason), "The request comes from another site.")
            }
            Self::Host => {
                let status = refused(421, "the host is not on the list");
                Refusal::of(status, "This server does not answer to that host.")
            }
            #[cfg(feature = "jwks")]
            Self::Keys(after) => {
                refused(503, "there are no keys, or not this one yet");
                Refusal::unavailable(after, "Tokens cannot be verified at the moment, please come back.")
            }
            #[cfg(feature = "jwt")]
            Self::Full => {
                refused(503, "there are too many tickets or streams of tickets");
                let after = Duration::from_secs(5);
                Refusal::unavailable(after, "There is no room at the moment, please come back.")
            }
            #[cfg(feature = "jwt")]
            Self::Away => {
                refused(503, "tickets wait for the engine, which does not answer");
                let after = Duration::from_secs(2);
                Refusal::unavailable(after, "The server cannot reach the others, please come back.")
            }
        }
    }
}

#[cfg(feature = "jwt")]
impl From<ClaimsError> for Refusal {
    fn from(_: ClaimsError) -> Self {
        Denial::Invalid("the claims are not of the form that the application expects")
            .answer(Asker::default())
    }
}

/// The refusal, with these fields.
pub(super) fn refuse(denial: Denial, fields: &[Field], asker: Asker) -> Refusal {
    let refusal = denial.answer(asker);
    fields.iter().fold(refusal, |refusal, (name, value)| refusal.with(name, value.clone()))
}
