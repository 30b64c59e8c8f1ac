//! What the three notifications examples decide about who may see what: tokens, cookies, topics. Read from the
//! environment; no framework in here. The `sessions` examples take the functions at the end, and no token.
//!
//! To be copied as `auth.rs`, with `mod auth;` in `main.rs` and your adapter's name for `sse_core`.

#[cfg(feature = "fetched-keys")]
mod fetched;
mod metrics;

use std::{
    env,
    error::Error,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::json;
use sse_core::{Algorithm, Auth, Grants, Key, Keys, Limits, Refusal, Tickets, Topic, Verifier};

pub use self::metrics::{install_metrics, metrics};

/// The rules of this application.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "it holds a secret")]
pub struct Rules {
    /// Who may see what.
    pub auth: Auth,
    /// How long a token is good for.
    pub ttl: Duration,
    /// Signs the tokens of the demo's login. An application whose users sign in elsewhere has none.
    secret: Option<String>,
    issuer: String,
    audience: String,
}

impl Rules {
    /// `JWT_SECRET` (random when unset), or `JWKS_URL` for the keys of an identity provider (with the feature
    /// `fetched-keys`); `JWT_ISSUER`, `JWT_AUDIENCE`, and `TOKEN_TTL` in seconds.
    pub fn from_env() -> Result<Self, Box<dyn Error>> {
        let text = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let (issuer, audience) = (text("JWT_ISSUER", "sse-example"), text("JWT_AUDIENCE", "sse-example"));
        let ttl = ttl_from_env("TOKEN_TTL")?;

        let builder = Verifier::builder().issuer(&*issuer).audience(&*audience);
        let (builder, secret) = match env::var("JWKS_URL") {
            Ok(url) => {
                let algorithms = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
                (builder.algorithms(algorithms).keys(keys_at(&url)?), None)
            }
            Err(_) => {
                let secret = env::var("JWT_SECRET")
                    .unwrap_or_else(|_| Alphanumeric.sample_string(&mut rand::rng(), 64));
                (builder.algorithms([Algorithm::HS256]).keys(Key::hmac(&secret)?), Some(secret))
            }
        };
        let auth = Auth::builder(builder.build()?)
            .insecure_for_loopback() // With TLS, leave this out.
            .tickets(Tickets::new("/events"))
            .grants(Grants::claim("topics"))
            .allowed_hosts(["127.0.0.1", "localhost", "[::1]"])
            .expiry_notice(Duration::from_secs(20))
            .build()?;
        Ok(Self { auth, ttl, secret, issuer, audience })
    }

    /// A token for this user, who is not asked for a password: **a demo**. Yours comes from your sign-in.
    pub fn sign_in(&self, user: &str) -> Result<String, Refusal> {
        let Some(secret) = &self.secret else {
            return Err(Refusal::not_found("Sign in with the identity provider."));
        };
        let own = own_topic(user)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = json!({
            "iss": self.issuer, "aud": self.audience, "sub": user, "jti": random_id(),
            "iat": now, "exp": now + self.ttl.as_secs(), "topics": [own.as_str(), "news"],
        });
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims, &key)
            .map_err(|_| Refusal::internal_error("The token could not be made."))
    }
}

/// How many streams there may be: in all somewhat below `ulimit -n`, a few of each user, and not asked for too often.
/// Who faces the internet limits addresses too: behind a proxy, with `trusted_proxies`.
pub fn limits() -> Limits {
    let limits = Limits::builder().max_streams(10_000);
    limits.max_streams_per_subject(20).max_connects_per_minute_by_subject(120).build()
}

/// For how long a sign-in is good: this variable in seconds, at most a day; a quarter of an hour when unset.
pub fn ttl_from_env(name: &str) -> Result<Duration, Box<dyn Error>> {
    let seconds = env::var(name).unwrap_or_else(|_| "900".to_owned()).parse();
    let seconds: u64 = seconds.map_err(|_| format!("{name} must be a number of seconds"))?;
    Ok(Duration::from_secs(seconds.clamp(1, 86_400)))
}

/// An id that nobody guesses: of a token, of a session.
pub fn random_id() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 22)
}

/// The present time as JavaScript counts it.
pub fn now_millis() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}

/// The topic that a user's own notifications go to.
pub fn own_topic(user: &str) -> Result<Topic, Refusal> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if !(1..=32).contains(&user.len()) || !user.bytes().all(is_name) {
        return Err(Refusal::bad_request("A name has 1 to 32 of a-z, 0-9, - and _."));
    }
    Ok(Topic::new(format!("user/{user}"))?)
}

/// The keys that stand at this URL.
#[cfg(feature = "fetched-keys")]
fn keys_at(url: &str) -> Result<Keys, Box<dyn Error>> {
    fetched::keys(url)
}

#[cfg(not(feature = "fetched-keys"))]
fn keys_at(_: &str) -> Result<Keys, Box<dyn Error>> {
    Err("JWKS_URL needs `--features fetched-keys`".into())
}
