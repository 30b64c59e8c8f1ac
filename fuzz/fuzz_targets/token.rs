//! Whatever stands where a token is looked for, nobody is let in without one that we have signed.
#![no_main]

use std::{net::SocketAddr, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use sse_core::{Algorithm, Auth, Grants, Key, Keys, Lifecycle, RequestHead, Tickets, Verifier};
use tokio::runtime::{Builder, Runtime};

/// The parts of a request that authorisation looks at, one after another, each ended by a 0xff.
struct Head<'a> {
    fields: Vec<(&'static str, &'a [u8])>,
    query: String,
}

const FIELDS: [&str; 7] =
    ["authorization", "cookie", "origin", "sec-fetch-site", "sec-fetch-mode", "host", "authorization"];

impl<'a> Head<'a> {
    fn new(data: &'a [u8]) -> Self {
        let mut parts = data.split(|&byte| byte == 0xff);
        let query = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let fields = FIELDS.into_iter().zip(parts).filter(|(_, value)| !value.is_empty()).collect();
        Self { fields, query }
    }
}

impl RequestHead for Head<'_> {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields.iter().filter(move |(field, _)| *field == name).map(|(_, value)| *value)
    }

    fn query(&self) -> Option<&str> {
        Some(&self.query)
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

static AUTH: LazyLock<Option<Auth>> = LazyLock::new(|| {
    let verifier = Verifier::builder()
        .algorithms([Algorithm::HS256])
        .keys(Key::hmac([7; 32]).ok()?)
        .issuer("sse-example")
        .audience("sse-example")
        .build()
        .ok()?;
    Auth::builder(verifier)
        .cookie("token")
        .tickets(Tickets::new("/events").cookie("ticket"))
        .grants(Grants::claim("topics"))
        .allow_query_token()
        .allowed_origins(["https://app.example"])
        .build()
        .ok()
});

static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| Builder::new_current_thread().build().ok());

fuzz_target!(|data: &[u8]| {
    let (Some(auth), Some(runtime)) = (&*AUTH, &*RUNTIME) else {
        panic!("no rules to test");
    };
    let head = Head::new(data);
    let refusal =
        runtime.block_on(auth.authorize(&head, &Lifecycle::new())).map(|client| client.subject().to_owned());
    let refusal = refusal.expect_err("nobody has signed this");
    assert!((400..504).contains(&refusal.status()) && !refusal.body().is_empty());
    let _ = auth.preflight(&head);
    // The same bytes as key material: refused or taken, never a panic.
    let _ = Keys::jwks(data);
    let _ = Key::jwk(data);
    let _ = Key::pem(String::from_utf8_lossy(data));
});
