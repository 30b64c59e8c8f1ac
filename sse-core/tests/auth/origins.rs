//! Pages of other sites, and other hosts.

use super::{Build, answer, authorize, bearer, builder, field, get, token, with_cookie};

const APP: &str = "https://app.example";

fn auth() -> sse_core::Auth {
    builder().allowed_origins([APP]).build().unwrap()
}

#[tokio::test]
async fn a_cookie_counts_for_our_own_pages_alone() {
    let status = async |fields: &[(&'static str, &str)], cookie: bool| {
        let ada = token("ada");
        let head = if cookie { with_cookie(&ada) } else { bearer(&ada) };
        let head = head.header("host", "api.example");
        let head = fields.iter().fold(head, |head, (name, value)| head.header(name, *value));
        answer(&authorize(&auth(), &head).await).0
    };
    let (origin, site, mode) = ("origin", "sec-fetch-site", "sec-fetch-mode");
    for good in [
        &[][..],
        &[(origin, APP), (site, "cross-site"), (mode, "cors")],
        &[(origin, "https://api.example")],
        &[(origin, "http://api.example")],
        &[(site, "same-origin"), (mode, "cors")],
        &[(site, "same-origin"), (mode, "same-origin")],
        &[(origin, "https://sister.example"), (site, "same-site"), (mode, "cors")],
        &[(origin, "https://behind-a-proxy.example"), (site, "same-origin"), (mode, "cors")],
    ] {
        assert_eq!(status(good, true).await, 200, "{good:?}");
    }
    for bad in [
        &[(origin, "https://evil.test")][..],
        &[(origin, "https://evil.test"), (site, "cross-site"), (mode, "cors")],
        &[(origin, "https://app.example.evil.test")],
        &[(origin, "https://api.example.evil.test")],
        &[(origin, "https://api.example:8443")],
        &[(origin, "https://APP.example")],
        &[(origin, "null")],
        &[(origin, "null"), (site, "same-origin")],
        &[(origin, APP), (origin, APP)],
        &[(site, "cross-site")],
        &[(site, "cross-site"), (mode, "no-cors")],
        &[(site, "same-origin"), (mode, "no-cors")],
        &[(site, "none"), (mode, "navigate")],
        &[(origin, APP), (mode, "navigate")],
        &[(site, "same-origin"), (site, "cross-site")],
    ] {
        assert_eq!(status(bad, true).await, 403, "{bad:?}");
        // A header is nothing that a browser sends by itself.
        assert_eq!(status(bad, false).await, 200, "{bad:?}");
    }
}

#[tokio::test]
async fn what_changes_something_takes_the_same_origin() {
    let ada = token("ada");
    let (origin, site, mode) = ("origin", "sec-fetch-site", "sec-fetch-mode");
    let head = |method: &'static str, fields: &[(&'static str, &'static str)]| {
        let head = with_cookie(&ada).header("host", "api.example").at(method, "/notify");
        fields.iter().fold(head, |head, (name, value)| head.header(name, *value))
    };
    let neighbour = [(origin, "https://sister.example"), (site, "same-site"), (mode, "cors")];
    for (method, status) in [("GET", 200), ("HEAD", 200), ("POST", 403), ("PUT", 403), ("DELETE", 403)] {
        assert_eq!(answer(&authorize(&auth(), &head(method, &neighbour)).await).0, status, "{method}");
    }
    for (status, fields) in [
        (200, &[][..]),
        (200, &[(origin, APP), (site, "cross-site"), (mode, "cors")]),
        (200, &[(origin, APP), (site, "same-site"), (mode, "cors")]),
        (200, &[(origin, "https://api.example"), (site, "same-origin"), (mode, "cors")]),
        (200, &[(origin, "https://api.example")]),
        (403, &[(site, "same-site")]),
        (403, &[(origin, "https://sister.example")]),
    ] {
        assert_eq!(answer(&authorize(&auth(), &head("POST", fields)).await).0, status, "{fields:?}");
        // Who signs in has no token yet, and yet is one of ours.
        let checked = auth().check_origin(&head("POST", fields)).map_err(|refusal| refusal.status());
        assert_eq!(checked, if status == 200 { Ok(()) } else { Err(403) }, "{fields:?}");
    }
    // A form of our own navigates.
    let form = [(origin, "https://api.example"), (site, "same-origin"), (mode, "navigate")];
    assert_eq!(auth().check_origin(&head("POST", &form)), Ok(()));
    let forged = [(origin, "https://evil.test"), (site, "cross-site"), (mode, "navigate")];
    assert_eq!(auth().check_origin(&head("POST", &forged)).unwrap_err().status(), 403);
}

#[tokio::test]
async fn only_listed_origins_read_the_answers() {
    let headers = async |origin: &str, good: bool| {
        let token = if good { token("ada") } else { "x".into() };
        let answered = authorize(&auth(), &bearer(&token).header("origin", origin)).await;
        let pairs: Vec<(String, String)> = match &answered {
            Ok(client) => {
                client.request().response_headers().map(|(name, value)| (name.into(), value.into())).collect()
            }
            Err(refusal) => refusal.headers().map(|(name, value)| (name.into(), value.into())).collect(),
        };
        pairs
    };
    let has = |pairs: &[(String, String)], name: &str, value: &str| {
        pairs.iter().any(|(key, found)| key == name && found == value)
    };
    for good in [true, false] {
        let listed = headers(APP, good).await;
        assert!(has(&listed, "access-control-allow-origin", APP), "{good} {listed:?}");
        assert!(has(&listed, "access-control-allow-credentials", "true"), "{good}");
        assert!(has(&listed, "vary", "origin"), "{good}");
        let other = headers("https://evil.test", good).await;
        assert!(other.iter().all(|(name, _)| !name.starts_with("access-control")), "{good} {other:?}");
        assert!(has(&other, "vary", "origin"), "{good}");
    }
}

#[tokio::test]
async fn streams_and_their_refusals_bear_the_same_fields() {
    let hub = sse_core::Hub::new();
    let client = authorize(&auth(), &bearer(&token("ada")).header("origin", APP)).await.unwrap();
    let stream = hub.open(&client, "news").unwrap();
    let allow = ("access-control-allow-origin", APP);
    assert!(stream.headers().any(|(name, value)| (name, &*value) == allow));
    assert!(stream.headers().any(|(name, value)| (name, &*value) == ("content-type", "text/event-stream")));
    let forbidden = hub.open(&client, "user/eve").unwrap_err();
    assert_eq!((forbidden.status(), field(&forbidden, allow.0)), (403, Some(APP)));
    let malformed = hub.open(&client, "a\nb").unwrap_err();
    assert_eq!((malformed.status(), field(&malformed, allow.0)), (400, Some(APP)));
}

#[test]
fn preflights_need_no_token() {
    let asked = |origin: &str| auth().preflight(&get().header("origin", origin));
    let yes = asked(APP);
    assert_eq!((yes.status(), yes.body()), (204, ""));
    assert_eq!(field(&yes, "access-control-allow-origin"), Some(APP));
    assert_eq!(field(&yes, "access-control-allow-credentials"), Some("true"));
    assert!(field(&yes, "access-control-allow-headers").unwrap().contains("authorization"));
    assert!(field(&yes, "vary").unwrap().contains("origin"));
    let no = asked("https://evil.test");
    assert_eq!(no.status(), 403);
    assert!(no.headers().all(|(name, _)| !name.starts_with("access-control")));
}

#[tokio::test]
async fn other_hosts_are_misdirected() {
    let auth = builder().allowed_hosts(["localhost", "127.0.0.1:8080", "[::1]"]).build().unwrap();
    let status = async |host: &str| {
        let head = bearer(&token("ada")).header("host", host);
        let answered = authorize(&auth, &head).await;
        answer(&answered).0
    };
    for good in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080", "[::1]"] {
        assert_eq!(status(good).await, 200, "{good}");
    }
    for bad in
        ["evil.test", "evil.test:8080", "127.0.0.1:8081", "127.0.0.1", "localhost.evil.test", "", "[::2]"]
    {
        assert_eq!(status(bad).await, 421, "{bad}");
    }
    assert_eq!(answer(&authorize(&auth, &bearer(&token("ada"))).await).0, 421);
    assert_eq!(auth.preflight(&get().header("host", "evil.test")).status(), 421);
}
