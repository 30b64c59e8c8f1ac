//! Tokens as an identity provider would make them, and an application that takes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use sse_core::{Algorithm, Auth, AuthBuilder, Grants, Key, Tickets, Verifier};

/// Signs every token here.
pub const SECRET: &str = "a secret of the tests, longer than the hash";

/// Takes the tokens of this module, from a header, from the cookie `token` and as a ticket.
pub fn auth() -> AuthBuilder {
    let verifier = Verifier::builder()
        .algorithms([Algorithm::HS256])
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
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() as i64;
        let mut claims = json!({
            "iss": "sse-example", "aud": "sse-example", "sub": self.subject,
            "iat": now, "exp": now + self.expires, "topics": self.topics,
        });
        if let Some(id) = &self.id {
            claims["jti"] = json!(id);
        }
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        jsonwebtoken::encode(&Header::default(), &claims, &key).expect("a token")
    }

    /// The value of an `Authorization` header.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.sign())
    }
}
