//! [`VerifierBuilder`]: what a [`Verifier`] accepts.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    super::{
        algorithm::Algorithm,
        config_error::ConfigError,
        key::Key,
        keys::{Keys, Source},
    },
    Accepted, Rules, Verifier,
};
use crate::clock::Clock;

/// What a [`Verifier`] accepts.
#[derive(Clone, Debug)]
pub struct VerifierBuilder {
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: Option<Keys>,
    pub(super) issuers: Option<Accepted>,
    pub(super) audiences: Option<Accepted>,
    pub(super) access_token_profile: bool,
    pub(super) needs_subject: bool,
    pub(super) needs_expiry: bool,
    pub(super) max_lifetime: Duration,
    pub(super) clock: Clock,
}

impl VerifierBuilder {
    /// The algorithms that are accepted. A token's own word on it counts for nothing.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        self
    }

    /// The keys: [`Keys`], or one [`Key`].
    #[must_use]
    pub fn keys(mut self, keys: impl Into<Keys>) -> Self {
        self.keys = Some(keys.into());
        self
    }

    /// Who issues the tokens (`iss`), to the letter.
    #[must_use]
    pub fn issuer(self, issuer: impl Into<String>) -> Self {
        self.issuers([issuer])
    }

    /// Who issues the tokens, where that one has several names: `iss` must be one of them, to the letter. For a provider
    /// that moves, or is known by two addresses. Of this and [`issuer`](Self::issuer) the last call counts.
    ///
    /// **Whoever has one of the keys can issue tokens under any of these names.** For issuers that must not speak for
    /// each other there is [`Verifier::by_issuer`].
    #[must_use]
    pub fn issuers<S: Into<String>>(mut self, issuers: impl IntoIterator<Item = S>) -> Self {
        self.issuers = Some(Accepted::Of(issuers.into_iter().map(Into::into).collect()));
        self
    }

    /// **Any issuer, or none.** Whoever has a key can issue tokens for this server.
    #[must_use]
    pub fn accept_any_issuer(mut self) -> Self {
        self.issuers = Some(Accepted::Any);
        self
    }

    /// Who the tokens are for (`aud`): this server, by the name that the issuer knows it by. A token for several
    /// must name it among them.
    #[must_use]
    pub fn audience(self, audience: impl Into<String>) -> Self {
        self.audiences([audience])
    }

    /// Who the tokens are for, where this server has several names: a token must name one of them. Of this and
    /// [`audience`](Self::audience) the last call counts.
    ///
    /// **Each name must mean this server alone**, whoever of the [issuers](Self::issuers) says it: a token for another
    /// service that one of them calls the same opens streams here.
    #[must_use]
    pub fn audiences<S: Into<String>>(mut self, audiences: impl IntoIterator<Item = S>) -> Self {
        self.audiences = Some(Accepted::Of(audiences.into_iter().map(Into::into).collect()));
        self
    }

    /// **Any audience, or none.** A token that its issuer meant for another service opens streams here.
    #[must_use]
    pub fn no_audience(mut self) -> Self {
        self.audiences = Some(Accepted::Any);
        self
    }

    /// Accepts access tokens of [RFC 9068](https://www.rfc-editor.org/rfc/rfc9068) alone: `typ` must be
    /// `at+jwt`, and `iat`, `jti` and `client_id` must be there, `sub` and `exp` in any case.
    ///
    /// Without this `typ` may be missing, `JWT` or `at+jwt`. Tokens for something else (`logout+jwt`) are
    /// refused either way.
    #[must_use]
    pub fn access_token_profile(mut self) -> Self {
        self.access_token_profile = true;
        self
    }

    /// Takes tokens **that name nobody** (no `sub`), too, as those of a hub of Mercure 0.x do.
    ///
    /// Whoever has such a token has a subject of their own, which nobody can name:
    /// [`Claims::subject`](crate::Claims::subject) is empty, and
    /// [`revoke_subject`](crate::Revocations::revoke_subject) ends nothing of theirs. By the token
    /// ([`revoke`](crate::Revocations::revoke), `revoke_token`, `revoke_token_id`), by its session (`sid`) and by a
    /// topic it is revoked like any other; the same token in several hands is one. A `sub` that is empty or not a text
    /// is refused as ever.
    #[must_use]
    pub fn optional_subject(mut self) -> Self {
        self.needs_subject = false;
        self
    }

    /// Takes tokens **that never expire** (no `exp`), too. Whoever gets hold of one is let in until it is revoked,
    /// or until its key is taken away.
    ///
    /// Their streams end at the [`max_age`](crate::StreamOptions::max_age) of every stream, and whoever comes back is let
    /// in again. There is no [notice](crate::AuthBuilder::expiry_notice) of an end.
    ///
    /// **What is revoked is remembered for as long as this process lives**, tokens, subjects and topics, for a token
    /// from before could come back at any time: not for [`max_lifetime`](Self::max_lifetime), which holds for tokens
    /// with an `exp` alone. After a restart all of them are good again, so such a token is best revoked by taking its
    /// key away. Where an engine shares it, it is kept there for as long as it can (`keep_for` of `sse-nats` is to be set
    /// for that). Once there are more than there is [room](crate::Revocations) for, every token is refused until the
    /// next restart.
    #[must_use]
    pub fn optional_expiry(mut self) -> Self {
        self.needs_expiry = false;
        self
    }

    /// The longest that a token may still live (default 31 days). One with an `exp` further ahead is refused:
    /// so long is remembered what was [revoked](crate::Revocations).
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime.clamp(Duration::from_secs(60), Duration::from_secs(10 * 365 * 86_400));
        self
    }

    /// The wall clock by which tokens are judged and streams expire (default: the system's). For tests, in which a
    /// token expires when they say so.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Clock::new(now);
        self
    }

    /// Checks the settings, and whether there is cryptography to verify with.
    ///
    /// # Errors
    /// [`ConfigError`] when something was not said or does not fit together.
    pub fn build(self) -> Result<Verifier, ConfigError> {
        if self.algorithms.is_empty() {
            return Err(ConfigError::Algorithms);
        }
        let keys = self.keys.ok_or(ConfigError::Keys)?;
        let issuers = self.issuers.filter(is_said).ok_or(ConfigError::Issuer)?;
        let audiences = self.audiences.filter(is_said).ok_or(ConfigError::Audience)?;
        if self.access_token_profile && !(self.needs_subject && self.needs_expiry) {
            return Err(ConfigError::Profile);
        }
        match &keys.0 {
            Source::Fixed(set) => {
                if let Some(without) = self.algorithms.iter().find(|algorithm| !set.serves(**algorithm)) {
                    return Err(ConfigError::NoKeyFor(*without));
                }
            }
            // Secrets are not taken from there.
            #[cfg(feature = "jwks")]
            Source::Remote(_) => {
                use Algorithm::{HS256, HS384, HS512};
                let secret = |algorithm: &&Algorithm| matches!(algorithm, HS256 | HS384 | HS512);
                if let Some(without) = self.algorithms.iter().find(secret) {
                    return Err(ConfigError::NoKeyFor(*without));
                }
            }
        }
        if !has_cryptography() {
            return Err(ConfigError::CryptoProvider);
        }
        let rules = Rules {
            algorithms: self.algorithms,
            keys,
            issuers,
            audiences,
            access_token_profile: self.access_token_profile,
            needs_subject: self.needs_subject,
            needs_expiry: self.needs_expiry,
            max_lifetime: self.max_lifetime,
            clock: self.clock,
        };
        Ok(Verifier { rules: Arc::new(rules), others: Arc::default() })
    }
}

/// Whether there is a name, and none that is empty.
fn is_said(accepted: &Accepted) -> bool {
    match accepted {
        Accepted::Any => true,
        Accepted::Of(names) => !names.is_empty() && !names.iter().any(String::is_empty),
    }
}

/// Verifies once. Where no backend can be chosen, `jsonwebtoken` panics, and would do so at the first request.
fn has_cryptography() -> bool {
    // It cannot choose where it has both backends, as when another crate has turned the other one on. One that the
    // application installed stays.
    #[cfg(feature = "jwt-aws-lc-rs")]
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    #[cfg(all(feature = "jwt-rust-crypto", not(feature = "jwt-aws-lc-rs")))]
    let _ = jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default();

    let verifies = || Key::hmac([0; 32]).is_ok_and(|key| key.verifies(Algorithm::HS256, PROBE.0, PROBE.1));
    catch_unwind(AssertUnwindSafe(verifies)).unwrap_or(false)
}

/// A message, and its HMAC-SHA-256 under 32 zero bytes.
const PROBE: (&str, &str) = ("probe", "CLeu6iX7suHJcSbU43REwUj3L4pxCY-3f45Yb7veQjQ");
