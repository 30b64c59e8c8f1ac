//! [`Verifier`]: whether a token is good.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

#[cfg(feature = "jwks")]
use super::jwks::Newer;
use super::{
    algorithm::Algorithm,
    claims::{Claims, Registered},
    config_error::ConfigError,
    denial::Denial,
    digest::Digest,
    key::Key,
    key_set::Found,
    keys::{Keys, Source},
    stamp::{NEVER, Stamp},
    token_header::TokenHeader,
};
use crate::{clock::Clock, refusal::Refusal};

/// How far the clocks of issuer and server may differ. The same when a token is accepted and when its stream
/// is closed: were it shorter for the latter, a client could come back in a loop.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);

/// A stream that would be closed sooner is not opened.
const LEAST_LEFT: Duration = Duration::from_secs(5);

/// Longest token, in bytes.
pub(super) const MAX_TOKEN: usize = 8 << 10;

/// Decides whether a token is good: its signature and every claim. Cheap to clone.
///
/// ```
/// # fn f() -> Result<(), sse_core::ConfigError> {
/// use sse_core::{Algorithm, Key, Verifier};
///
/// # let secret = [0; 32];
/// let verifier = Verifier::builder()
///     .algorithms([Algorithm::HS256])
///     .keys(Key::hmac(secret)?)
///     .issuer("https://issuer.example")
///     .audience("https://app.example")
///     .build()?;
/// # Ok(()) }
/// # #[cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc-rs"))] f().unwrap();
/// ```
///
/// A token must be a signed JWT of at most 8 KiB in the compact form, with an algorithm on the list and a key
/// that is for that algorithm. `sub`, `exp`, `iss` and `aud` must be there unless the builder is told otherwise, `nbf`
/// and `iat` are checked where they are, and a claim of another type than it should have makes the token invalid. Thirty seconds are
/// allowed between the clocks; what expires within five seconds is refused. Critical headers (`crit`) are
/// refused, and keys or addresses of keys in the token (`jwk`, `jku`, `x5c`, `x5u`) mean nothing.
#[derive(Clone)]
pub struct Verifier(Arc<Rules>);

struct Rules {
    algorithms: Vec<Algorithm>,
    keys: Keys,
    /// `None`: any.
    issuer: Option<String>,
    /// `None`: any, or none.
    audience: Option<String>,
    access_token_profile: bool,
    needs_subject: bool,
    needs_expiry: bool,
    max_lifetime: Duration,
    clock: Clock,
}

impl Verifier {
    /// All four of algorithms, keys, issuer and audience must be said.
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder {
            algorithms: Vec::new(),
            keys: None,
            issuer: None,
            audience: None,
            access_token_profile: false,
            needs_subject: true,
            needs_expiry: true,
            max_lifetime: Duration::from_secs(31 * 86_400),
            clock: Clock::system(),
        }
    }

    /// Verifies a token that came in some other way than [`Auth`](crate::Auth) knows.
    ///
    /// Waits only for keys that are being fetched.
    ///
    /// # Errors
    /// A [`Refusal`]: 401 for whatever is wrong with the token, 503 when there are no keys.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        Ok(self.check(token).await?)
    }

    pub(super) async fn check(&self, token: &str) -> Result<Claims, Denial> {
        let rules = &*self.0;
        if token.len() > MAX_TOKEN {
            return Err(Denial::Invalid("the token is longer than 8 KiB"));
        }
        let (message, signature) = token.rsplit_once('.').ok_or(NOT_JWT)?;
        let (header, payload) = message.split_once('.').ok_or(NOT_JWT)?;
        let header = TokenHeader::read(header)?;
        if !rules.algorithms.contains(&header.algorithm) {
            return Err(Denial::Invalid("the algorithm is not on the list"));
        }
        header.check_type(rules.access_token_profile)?;
        let signed = self.is_signed(&header, message, signature).await?;
        if !signed {
            return Err(Denial::Invalid("the signature is not right"));
        }
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| NOT_JWT)?;
        let claims: Registered = serde_json::from_slice(&payload)
            .map_err(|_| Denial::Invalid("a claim stands there twice or is of another type"))?;
        let stamp = rules.stamp(claims, message)?;
        Ok(Claims::new(stamp, payload))
    }

    async fn is_signed(&self, header: &TokenHeader, message: &str, signature: &str) -> Result<bool, Denial> {
        let id = header.key_id.as_deref();
        let algorithm = header.algorithm;
        let verify = |found: Found<'_>| match found {
            Found::Key(key) => Ok(key.verifies(algorithm, message, signature)),
            Found::Unfit => Err(Denial::Invalid("there is no one key for the algorithm")),
            Found::Unknown => Err(UNKNOWN_KEY),
        };
        match &self.0.keys.0 {
            Source::Fixed(set) => verify(set.find(id, algorithm)),
            #[cfg(feature = "jwks")]
            Source::Remote(remote) => {
                let set = remote.current().await.map_err(Denial::Keys)?;
                match (verify(set.find(id, algorithm)), id) {
                    (Err(UNKNOWN_KEY), Some(id)) => match remote.newer(id, algorithm).await {
                        Newer::Set(newer) => verify(newer.find(Some(id), algorithm)),
                        Newer::Unknown => Err(UNKNOWN_KEY),
                        Newer::Later(after) => Err(Denial::Keys(after)),
                    },
                    (done, _) => done,
                }
            }
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// How long what was revoked is to be remembered. Where tokens live for ever, so do their revocations, and those
    /// of a subject and a topic: a token from before could come back at any time.
    pub(super) fn max_lifetime(&self) -> Duration {
        if self.0.needs_expiry { self.0.max_lifetime } else { NEVER }
    }
}

const NOT_JWT: Denial = Denial::Invalid("not a signed JWT in the compact form");
const UNKNOWN_KEY: Denial = Denial::Invalid("the key is not known");

impl Rules {
    /// Checks the claims; the order is that of what one wants to read in the log.
    fn stamp(&self, claims: Registered, message: &str) -> Result<Stamp, Denial> {
        let invalid = |reason| Err(Denial::Invalid(reason));
        let now = self.clock.now();
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let latest = (since_1970 + LEEWAY).as_secs_f64();

        let (expires_at, ends_at) = match claims.exp {
            None if self.needs_expiry => return invalid("exp is missing"),
            None => (Stamp::never(), Stamp::never()),
            Some(exp) if exp > (since_1970 + self.max_lifetime + LEEWAY).as_secs_f64() => {
                return invalid("exp lies further ahead than the longest lifetime allowed");
            }
            Some(exp) => {
                let Ok(exp) = Duration::try_from_secs_f64(exp) else {
                    return invalid("exp is out of range");
                };
                let expires_at = SystemTime::UNIX_EPOCH + exp;
                (expires_at, expires_at + LEEWAY)
            }
        };
        if now + LEAST_LEFT > ends_at {
            return invalid("expired");
        }
        if claims.nbf.is_some_and(|nbf| nbf > latest) {
            return invalid("nbf lies in the future");
        }
        if claims.iat.is_some_and(|iat| iat > latest) {
            return invalid("iat lies in the future");
        }
        if let Some(issuer) = &self.issuer
            && claims.iss.as_ref() != Some(issuer)
        {
            return invalid("iss is missing or another");
        }
        if let Some(audience) = &self.audience {
            let named = claims.aud.as_ref().is_some_and(|aud| aud.as_slice().contains(audience));
            if !named {
                return invalid("aud is missing or another");
            }
        }
        // An empty one is not the same as none.
        if claims.sub.as_ref().map_or(self.needs_subject, String::is_empty) {
            return invalid("sub is missing or empty");
        }
        if self.access_token_profile
            && (claims.iat.is_none() || claims.jti.is_none() || !claims.client_id.is_string())
        {
            return invalid("iat, jti or client_id is missing");
        }
        let by_id = claims.jti.as_deref().map(Digest::of_token_id);
        // Nobody's token is its own only fellow: what is done to a subject must not hit all of those without one.
        let subject_key = claims.sub.as_deref().map(Digest::of_subject);
        let alone = || Digest::of(&["no sub", claims.jti.as_deref().unwrap_or(message)]);
        Ok(Stamp {
            subject_key: subject_key.unwrap_or_else(alone),
            subject: claims.sub.unwrap_or_default().into(),
            key: by_id.unwrap_or_else(|| Digest::of_signed(message)),
            id: claims.jti.map(Into::into),
            session: claims.sid.as_deref().map(Digest::of_session),
            session_id: claims.sid.map(Into::into),
            issued_at: claims.iat,
            expires_at,
            ends_at,
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithms", &self.0.algorithms)
            .field("issuer", &self.0.issuer)
            .field("audience", &self.0.audience)
            .finish_non_exhaustive()
    }
}

/// What a [`Verifier`] accepts.
#[derive(Clone, Debug)]
pub struct VerifierBuilder {
    algorithms: Vec<Algorithm>,
    keys: Option<Keys>,
    issuer: Option<Option<String>>,
    audience: Option<Option<String>>,
    access_token_profile: bool,
    needs_subject: bool,
    needs_expiry: bool,
    max_lifetime: Duration,
    clock: Clock,
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
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(Some(issuer.into()));
        self
    }

    /// **Any issuer, or none.** Whoever has a key can issue tokens for this server.
    #[must_use]
    pub fn accept_any_issuer(mut self) -> Self {
        self.issuer = Some(None);
        self
    }

    /// Who the tokens are for (`aud`): this server, by the name that the issuer knows it by. A token for several
    /// must name it among them.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(Some(audience.into()));
        self
    }

    /// **Any audience, or none.** A token that its issuer meant for another service opens streams here.
    #[must_use]
    pub fn no_audience(mut self) -> Self {
        self.audience = Some(None);
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
    /// key away. Once there are more than there is [room](crate::Revocations) for, every token is refused until the
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
        let issuer = self.issuer.ok_or(ConfigError::Issuer)?;
        let audience = self.audience.ok_or(ConfigError::Audience)?;
        if issuer.as_deref() == Some("") {
            return Err(ConfigError::Issuer);
        }
        if audience.as_deref() == Some("") {
            return Err(ConfigError::Audience);
        }
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
        Ok(Verifier(Arc::new(Rules {
            algorithms: self.algorithms,
            keys,
            issuer,
            audience,
            access_token_profile: self.access_token_profile,
            needs_subject: self.needs_subject,
            needs_expiry: self.needs_expiry,
            max_lifetime: self.max_lifetime,
            clock: self.clock,
        })))
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

#[cfg(all(test, not(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc-rs"))))]
mod tests {
    use super::*;

    #[test]
    fn without_cryptography_there_is_no_verifier() {
        let verifier = Verifier::builder()
            .algorithms([Algorithm::HS256])
            .keys(Key::hmac([7; 32]).unwrap())
            .issuer("issuer")
            .audience("audience");
        assert_eq!(verifier.build().map(|_| ()), Err(ConfigError::CryptoProvider));
    }
}
