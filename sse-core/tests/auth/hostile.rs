//! Anything at all, in any place: an answer, and never a panic.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use proptest::{collection::vec, prelude::*};
use sse_core::{Auth, Key, Keys, Tickets};

use super::{DATA, Head, answer, authorize, builder, text, token};

fn auth() -> Auth {
    let auth = builder().allow_query_token().tickets(Tickets::new("/"));
    auth.allowed_origins(["https://app.example"]).allowed_hosts(["localhost"]).build().unwrap()
}

fn status(head: &Head) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { answer(&authorize(&auth(), head).await).0 })
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
        let mut head = Head::get().query(query);
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
        let head = Head::get().header("host", "localhost").header("cookie", cookie);
        let status = status(&head);
        prop_assert_eq!(status == 200, !changed, "{} at {}", byte, at);
    }

    #[test]
    fn a_token_of_any_header_and_payload(header in "\\PC{0,40}", payload in "\\PC{0,40}") {
        let token = format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        prop_assert_eq!(status(&Head::bearer(&token).header("host", "localhost")), 401);
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
