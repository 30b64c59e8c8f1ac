//! Tokens as an identity provider would make them, and an application that takes them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use sse_core::{Auth, AuthBuilder, Grants, Key, Keys, Tickets, Verifier};

/// Signs every token here.
pub const SECRET: &str = "a secret of the tests, longer than the hash";

/// The private key of an identity provider that exists in the tests alone.
const PROVIDER_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEII3SrmE48FLIGCId+9bulkM40ofFMpABg9iKUY/vcao8
-----END PRIVATE KEY-----
";

/// A key for ECDSA, of the tests alone.
const P256_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgek62gJaJ2wPLG/sf
qAZHWNkLJJT70/xw/Bl3kHVtc3+hRANCAAQRf8HGzI8u53qxQzcVFCvqF18RNEDE
VXw0EOQxE7lrMothHBDWoydTqjpY53C+pV3Vgc7ZmDV0XcD7AyUZdz/D
-----END PRIVATE KEY-----
";

const P256_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEX/BxsyPLud6sUM3FRQr6hdfETRA
xFV8NBDkMRO5azKLYRwQ1qMnU6o6WOdwvqVd1YHO2Zg1dF3A+wMlGXc/ww==
-----END PUBLIC KEY-----
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
    with_verifier(verifier)
}

/// Takes tokens that are signed with ECDSA.
pub fn auth_p256() -> AuthBuilder {
    let verifier = Verifier::builder()
        .algorithms([sse_core::Algorithm::ES256])
        .keys(Key::pem(P256_PUBLIC_KEY).expect("a key"))
        .issuer("sse-example")
        .audience("sse-example")
        .build()
        .expect("a verifier");
    with_verifier(verifier)
}

/// Takes tokens of an issuer whose key set is fetched.
pub fn auth_remote(keys: Keys) -> AuthBuilder {
    let verifier = Verifier::builder()
        .algorithms([sse_core::Algorithm::EdDSA])
        .keys(keys)
        .issuer("sse-example")
        .audience("sse-example")
        .build()
        .expect("a verifier");
    with_verifier(verifier)
}

fn with_verifier(verifier: Verifier) -> AuthBuilder {
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

    /// Signs it with ECDSA, in the two ways that are both good: with (r, s) and with (r, n − s).
    pub fn sign_p256(&self) -> [String; 2] {
        const N: [u8; 32] = [
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
            0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
        ];
        let key = EncodingKey::from_ec_pem(P256_KEY.as_bytes()).expect("a key");
        let token =
            jsonwebtoken::encode(&Header::new(Algorithm::ES256), &self.claims(), &key).expect("a token");
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("a signature");
        let mut borrow = 0;
        for (digit, n) in signature[32..].iter_mut().zip(N).rev() {
            let difference = i16::from(n) - i16::from(*digit) - borrow;
            borrow = i16::from(difference < 0);
            *digit = difference.rem_euclid(256).try_into().expect("a byte");
        }
        let other = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        [token, other]
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
