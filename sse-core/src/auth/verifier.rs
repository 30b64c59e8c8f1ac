//! [`Verifier`]: whether a token is good.

mod builder;

use std::{
    collections::HashSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;

pub use self::builder::VerifierBuilder;
#[cfg(feature = "jwks")]
use super::jwks::Newer;
use super::{
    algorithm::Algorithm,
    claims::{Claims, Object, OneOrMany, Registered},
    config_error::ConfigError,
    denial::{Asker, Denial},
    digest::Digest,
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
///
/// **Several issuers.** One verifier may have [several names](VerifierBuilder::issuers) for whoever holds its keys. For
/// issuers that are not the same party, and so have keys of their own, there is a verifier each, and
/// [`by_issuer`](Self::by_issuer).
#[derive(Clone)]
pub struct Verifier {
    rules: Arc<Rules>,
    /// Those of other issuers.
    others: Arc<[Arc<Rules>]>,
}

struct Rules {
    algorithms: Vec<Algorithm>,
    keys: Keys,
    issuers: Accepted,
    audiences: Accepted,
    access_token_profile: bool,
    needs_subject: bool,
    needs_expiry: bool,
    max_lifetime: Duration,
    clock: Clock,
}

/// Which names a claim may have.
#[derive(Clone, Debug)]
enum Accepted {
    /// Or none.
    Any,
    /// One of these.
    Of(Vec<String>),
}

impl Accepted {
    fn has(&self, names: &[String]) -> bool {
        match self {
            Self::Any => true,
            Self::Of(accepted) => names.iter().any(|name| accepted.contains(name)),
        }
    }
}

impl Verifier {
    /// All four of algorithms, keys, issuer and audience must be said.
    pub fn builder() -> VerifierBuilder {
        VerifierBuilder {
            algorithms: Vec::new(),
            keys: None,
            issuers: None,
            audiences: None,
            access_token_profile: false,
            needs_subject: true,
            needs_expiry: true,
            max_lifetime: Duration::from_secs(31 * 86_400),
            clock: Clock::system(),
        }
    }

    /// Verifiers of several issuers as one. A token is for the one of its issuer (`iss`, to the letter), and for no
    /// other: **no issuer can make tokens in another's name**, and each has algorithms, audiences and whatever else is
    /// said of its own. A token of none of them is refused before any key is looked at.
    ///
    /// ```
    /// # fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// # use sse_core::{Algorithm, Key, Verifier};
    /// # let (staff, partner) = ([1; 32], [2; 32]);
    /// let staff = Verifier::builder()
    ///     .algorithms([Algorithm::HS256])
    ///     .keys(Key::hmac(staff)?)
    ///     .issuer("https://staff.example")
    ///     .audience("https://app.example");
    /// let partner = Verifier::builder()
    ///     .algorithms([Algorithm::HS256])
    ///     .keys(Key::hmac(partner)?)
    ///     .issuer("https://partner.example")
    ///     .audience("https://app.example");
    /// let verifier = Verifier::by_issuer([staff.build()?, partner.build()?])?;
    /// # Ok(()) }
    /// # #[cfg(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc-rs"))] f().unwrap();
    /// ```
    ///
    /// What surprises: a subject is unique with its issuer alone. **Two issuers may know two people by the same
    /// `sub`**, and both get `user/ada` where [grants](crate::Grants::from_fn) are made of it alone; let those have `iss`
    /// in them too ([`Claims::issuer`](crate::Claims::issuer)). [Revocations](crate::Revocations) go by subject, `sid`
    /// and `jti` whoever issued them: one may end more than was meant, never less.
    ///
    /// What is revoked is remembered for the longest of their lifetimes, and streams expire by the first one's clock.
    ///
    /// # Errors
    /// [`ConfigError::Issuer`] where one of them takes any issuer, or there is none;
    /// [`ConfigError::SameIssuer`] where two are for the same.
    pub fn by_issuer(verifiers: impl IntoIterator<Item = Self>) -> Result<Self, ConfigError> {
        let rules: Vec<_> =
            verifiers.into_iter().flat_map(|verifier| verifier.all().cloned().collect::<Vec<_>>()).collect();
        let mut seen = HashSet::new();
        for rules in &rules {
            let Accepted::Of(issuers) = &rules.issuers else {
                return Err(ConfigError::Issuer);
            };
            let own: HashSet<&String> = issuers.iter().collect();
            if let Some(twice) = own.into_iter().find(|issuer| !seen.insert(*issuer)) {
                return Err(ConfigError::SameIssuer(twice.clone()));
            }
        }
        let (first, others) = rules.split_first().ok_or(ConfigError::Issuer)?;
        Ok(Self { rules: Arc::clone(first), others: others.into() })
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Rules>> {
        [&self.rules].into_iter().chain(&*self.others)
    }

    /// Verifies a token that came in some other way than [`Auth`](crate::Auth) knows.
    ///
    /// Waits only for keys that are being fetched.
    ///
    /// # Errors
    /// A [`Refusal`]: 401 for whatever is wrong with the token, 503 when there are no keys.
    pub async fn verify(&self, token: &str) -> Result<Claims, Refusal> {
        self.check(token).await.map_err(|denial| denial.answer(Asker::default()))
    }

    pub(super) async fn check(&self, token: &str) -> Result<Claims, Denial> {
        if token.len() > MAX_TOKEN {
            return Err(Denial::Invalid("the token is longer than 8 KiB"));
        }
        let (message, signature) = token.rsplit_once('.').ok_or(NOT_JWT)?;
        let (header, payload) = message.split_once('.').ok_or(NOT_JWT)?;
        let header = TokenHeader::read(header)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| NOT_JWT)?;
        let rules = self.rules(&payload)?;
        if !rules.algorithms.contains(&header.algorithm) {
            return Err(Denial::Invalid("the algorithm is not on the list"));
        }
        header.check_type(rules.access_token_profile)?;
        let signed = rules.is_signed(&header, message, signature).await?;
        if !signed {
            return Err(Denial::Invalid("the signature is not right"));
        }
        let Object(mut claims): Object<Registered> =
            serde_json::from_slice(&payload).map_err(|_| MALFORMED)?;
        let issuer = claims.iss.take();
        let stamp = rules.stamp(claims, issuer.as_ref(), message)?;
        Ok(Claims::new(stamp, issuer, payload))
    }

    /// By which rules a token is to be judged. What it says of its issuer is not verified yet; they look at it again.
    fn rules(&self, payload: &[u8]) -> Result<&Rules, Denial> {
        #[derive(Deserialize)]
        struct Named {
            iss: Option<String>,
        }

        if self.others.is_empty() {
            return Ok(&self.rules);
        }
        let Object(named): Object<Named> = serde_json::from_slice(payload).map_err(|_| MALFORMED)?;
        let issued = |rules: &&Arc<Rules>| rules.issuers.has(named.iss.as_slice());
        self.all().find(issued).map(|rules| &**rules).ok_or(ISSUER)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.rules.clock
    }

    /// How long what was revoked is to be remembered. Where tokens live for ever, so do their revocations, and those
    /// of a subject and a topic: a token from before could come back at any time.
    pub(super) fn max_lifetime(&self) -> Duration {
        let lifetime = |rules: &Arc<Rules>| if rules.needs_expiry { rules.max_lifetime } else { NEVER };
        self.all().map(lifetime).max().unwrap_or(NEVER)
    }
}

const NOT_JWT: Denial = Denial::Invalid("not a signed JWT in the compact form");
const UNKNOWN_KEY: Denial = Denial::Invalid("the key is not known");

const MALFORMED: Denial = Denial::Invalid("a claim stands there twice or is of another type");
const ISSUER: Denial = Denial::Invalid("iss is missing or another");

impl Rules {
    async fn is_signed(&self, header: &TokenHeader, message: &str, signature: &str) -> Result<bool, Denial> {
        let id = header.key_id.as_deref();
        let algorithm = header.algorithm;
        let verify = |found: Found<'_>| match found {
            Found::Key(key) => Ok(key.verifies(algorithm, message, signature)),
            Found::Unfit => Err(Denial::Invalid("there is no one key for the algorithm")),
            Found::Unknown => Err(UNKNOWN_KEY),
        };
        match &self.keys.0 {
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

    /// Checks the claims; the order is that of what one wants to read in the log.
    fn stamp(&self, claims: Registered, issuer: Option<&String>, message: &str) -> Result<Stamp, Denial> {
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
        if !self.issuers.has(issuer.map_or(&[], std::slice::from_ref)) {
            return Err(ISSUER);
        }
        if !self.audiences.has(claims.aud.as_ref().map_or(&[], OneOrMany::as_slice)) {
            return invalid("aud is missing or another");
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
        f.debug_list().entries(self.all()).finish()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("algorithms", &self.algorithms)
            .field("issuers", &self.issuers)
            .field("audiences", &self.audiences)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(feature = "jwt-rust-crypto", feature = "jwt-aws-lc-rs"))))]
mod tests {
    use super::{
        super::{algorithm::Algorithm, key::Key},
        *,
    };

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
