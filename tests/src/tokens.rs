//! Tokens as an identity provider would make them, and an application that takes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use sse_core::{Auth, AuthBuilder, Grants, Key, Tickets, Verifier};

/// Signs every token here.
pub const SECRET: &str = "a secret of the tests, longer than the hash";

/// The private key of an identity provider that exists in the tests alone.
const PROVIDER_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEII3SrmE48FLIGCId+9bulkM40ofFMpABg9iKUY/vcao8
-----END PRIVATE KEY-----
";

/// The key set that it publishes.
pub const PROVIDER_KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"one",
    "x":"SVMYjUoUtQc4QT8wXqYRetydPaSgkgLsR571IdxsZHA"}]}"#;

/// Takes the tokens of this module, from a header, from the cookie `token` and as a ticket.
pub fn auth() -> AuthBuilder {
    let verifier = Verifier::builder()
        .algorithms([sse_core::Algorithm::HS256])
        .keys(Key::hmac(SECRET).expect("a secret"))
        .issuer("sse-example")
        .audience("sse-example")
        .build()
        .expect("a verifier");
    Auth::builder(verifier)
        .cookie("token")
        .tickets(Tickets::new("/private").cookie("ticket"))
        .grants(Grants::claim("topics"))
}

/// A token for a subject and its topics.
#[derive(Clone, Debug)]
pub struct Token {
    subject: String,
    topics: Vec<String>,
    id: Option<String>,
    /// Seconds from now.
    expires: i64,
}

impl Token {
    /// Good for ten minutes.
    pub fn new(subject: &str, topics: &[&str]) -> Self {
        let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
        Self { subject: subject.into(), topics, id: None, expires: 600 }
    }

    /// With an id.
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Expires so many seconds from now. Servers are 30 s late.
    pub fn expires(mut self, seconds: i64) -> Self {
        self.expires = seconds;
        self
    }

    /// Signs it.
    pub fn sign(&self) -> String {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&Header::default(), &self.claims(), &key).expect("a token")
    }

    /// Has the identity provider sign it.
    pub fn sign_by_provider(&self) -> String {
        let key = EncodingKey::from_ed_pem(PROVIDER_KEY.as_bytes()).expect("a key");
        let header = Header { kid: Some("one".into()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, &self.claims(), &key).expect("a token")
    }

    fn claims(&self) -> serde_json::Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as i64;
        let mut claims = json!({
            "iss": "sse-example", "aud": "sse-example", "sub": self.subject,
            "iat": now, "exp": now + self.expires, "topics": self.topics,
        });
        if let Some(id) = &self.id {
            claims["jti"] = json!(id);
        }
        claims
    }

    /// The value of an `Authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.sign())
    }
}
