//! An operator of NATS, as `nsc` is one: signs an account, and users of it, whose credentials are files.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::Nats;

/// An operator with one account that has JetStream, and the system's, which servers want for their own.
#[derive(Debug)]
pub struct Operator {
    key: KeyPair,
    account: KeyPair,
    system: KeyPair,
}

impl Default for Operator {
    fn default() -> Self {
        Self { key: KeyPair::new_operator(), account: KeyPair::new_account(), system: KeyPair::new_account() }
    }
}

impl Operator {
    /// A server with JetStream that knows of it.
    pub async fn start(&self) -> Nats {
        Nats::start_with(&format!("jetstream {{ store_dir: \"STORE\" }}\n{}", self.configuration())).await
    }

    fn configuration(&self) -> String {
        let own = signed(&self.key, &self.key, "operator", None, json!({ "type": "operator", "version": 2 }));
        let account = |storage: i64| {
            json!({ "type": "account", "version": 2, "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
                "leaf": -1, "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
            } })
        };
        let system = signed(&self.key, &self.system, "SYS", None, account(0));
        let account = signed(&self.key, &self.account, "account", None, account(-1));
        let (of_system, of_account) = (self.system.public_key(), self.account.public_key());
        format!(
            "operator: {own}\nsystem_account: {of_system}\nresolver: MEMORY\n\
             resolver_preload: {{ {of_system}: {system}, {of_account}: {account} }}\n",
        )
    }

    /// The file of a new user, and what must not be told of it: its seed.
    ///
    /// # Panics
    /// Never.
    pub fn credentials(&self, lifetime: Duration) -> (String, String) {
        let user = KeyPair::new_user();
        let claims = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
        let jwt = signed(&self.account, &user, "user", Some(lifetime), claims);
        let seed = user.seed().expect("it has one");
        let file = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        (file, seed)
    }
}

fn signed(
    issuer: &KeyPair,
    subject: &KeyPair,
    name: &str,
    lifetime: Option<Duration>,
    nats: Value,
) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
    let mut claims = json!({
        "jti": format!("{:032x}", rand::random::<u128>()),
        "iat": now.as_secs(),
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": name,
        "nats": nats,
    });
    if let Some(lifetime) = lifetime {
        claims["exp"] = (now + lifetime).as_secs().into();
    }
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let text = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let signature = issuer.sign(text.as_bytes()).expect("it has a seed");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
