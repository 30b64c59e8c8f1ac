//! Anything at all, in any place: an answer, and never a panic.

use std::net::SocketAddr;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use proptest::{collection::vec, prelude::*};
use sse_core::{Auth, Key, Keys, Lifecycle, RequestHead, Tickets};

use super::{Build, DATA, answer, authorize, bearer, builder, get, text, token};

fn auth() -> Auth {
    let auth = builder().allow_query_token().tickets(Tickets::new("/"));
    auth.allowed_origins(["https://app.example"]).allowed_hosts(["localhost"]).build().unwrap()
}

/// A request whose fields hold what those of the crate `http` may not: an adapter may show anything.
#[derive(Default)]
struct Raw {
    headers: Vec<(&'static str, Vec<u8>)>,
    query: String,
}

impl Raw {
    fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl RequestHead for Raw {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_slice())
    }

    fn query(&self) -> Option<&str> {
        Some(&self.query)
    }

    fn peer(&self) -> Option<SocketAddr> {
        None
    }
}

fn status(head: &Raw) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { answer(&auth().authorize(head, &Lifecycle::new()).await).0 })
}

/// Of an adapter that does not show it.
#[tokio::test]
async fn a_ticket_opens_nothing_where_there_is_no_path() {
    let auth = auth();
    let shown = bearer(&token("ada")).header("host", "localhost");
    let client = authorize(&auth, &shown).await.unwrap();
    let ticket = auth.issue_ticket(&client, "news").await.unwrap();
    let query = format!("ticket={}", ticket.as_str());
    let without = Raw { query: query.clone(), ..Raw::default() }.header("host", "localhost");
    assert_eq!(answer(&auth.authorize(&without, &Lifecycle::new()).await).0, 401);
    let with = get().header("host", "localhost").at("GET", "/").query(query);
    assert_eq!(answer(&authorize(&auth, &with).await).0, 200);
}

proptest! {
    #[test]
    fn any_bytes_in_any_field(
        fields in vec((0..8_usize, vec(any::<u8>(), 0..64)), 0..6),
        query in "(ticket|access_token|topic|%|=|&|\\PC){0,8}",
    ) {
        const NAMES: [&str; 8] = [
            "authorization", "cookie", "origin", "host", "sec-fetch-site", "sec-fetch-mode", "last-event-id", "accept",
        ];
        let mut head = Raw { query, ..Raw::default() };
        for (name, value) in fields {
            let prefix = ["Bearer ", "sse_token=", "", "localhost"][name.min(2) + usize::from(name == 3)];
            head = head.header(NAMES[name], [prefix.as_bytes(), &value].concat());
        }
        prop_assert!([400, 401, 403, 421].contains(&status(&head)));
        let _ = auth().preflight(&head);
    }

    #[test]
    fn a_token_with_one_byte_changed(at in 0..10_000_usize, byte in any::<u8>()) {
        let good = token("ada");
        let mut bytes = good.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let changed = bytes != good.as_bytes();
        let cookie = [b"sse_token=".as_slice(), &bytes].concat();
        let head = Raw::default().header("host", "localhost").header("cookie", cookie);
        let status = status(&head);
        prop_assert_eq!(status == 200, !changed, "{} at {}", byte, at);
    }

    #[test]
    fn a_token_of_any_header_and_payload(header in "\\PC{0,40}", payload in "\\PC{0,40}") {
        let token = format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        prop_assert_eq!(status(&Raw::default().header("authorization", format!("Bearer {token}")).header("host", "localhost")), 401);
    }

    #[test]
    fn keys_of_any_bytes(der in vec(any::<u8>(), 0..100), cut in 0..500_usize, flip in any::<u8>()) {
        let pem = |der: &[u8]| format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", STANDARD.encode(der));
        let _ = Key::pem(pem(&der));
        let good = text("/pem/rsa");
        let body: String = good.lines().filter(|line| !line.starts_with('-')).collect();
        let mut good = STANDARD.decode(body).unwrap();
        prop_assert!(Key::pem(pem(&good)).is_ok());
        let cut = cut % good.len();
        good[cut] ^= flip;
        let _ = Key::pem(pem(&good));
        prop_assert!(Key::pem(pem(&good[..cut])).is_err());

        let mut set = DATA["sets"]["mixed"].to_string().into_bytes();
        let at = cut * 7 % set.len();
        set[at] ^= flip;
        let _ = Keys::jwks(&set);
        prop_assert!(Keys::jwks(&set[..at]).is_err());
    }
}
