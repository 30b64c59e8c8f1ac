//! Where a token may stand.

use super::{Build, Head, answer, auth, authorize, bearer, builder, get, token, with_cookie};

const INVALID_REQUEST: (u16, &str) = (400, "Bearer error=\"invalid_request\"");
const INVALID_TOKEN: (u16, &str) = (401, "Bearer error=\"invalid_token\"");

#[tokio::test]
async fn the_first_that_is_there_decides() {
    let (ada, eve) = (token("ada"), token("eve"));
    let subject = async |head: &Head| authorize(&auth(), head).await.unwrap().subject().to_owned();
    assert_eq!(subject(&bearer(&ada)).await, "ada");
    assert_eq!(subject(&with_cookie(&ada)).await, "ada");
    assert_eq!(subject(&with_cookie(&eve).header("authorization", format!("bEARER  {ada}"))).await, "ada");
    // Another scheme is none of ours.
    assert_eq!(subject(&with_cookie(&eve).header("authorization", "Basic YTpi")).await, "eve");
    // HTTP/2 may split the cookies.
    let split = get().header("cookie", "a=b").header("cookie", format!("sse_token={ada}"));
    assert_eq!(subject(&split).await, "ada");

    let bad_header = with_cookie(&ada).header("authorization", "Bearer abc");
    assert_eq!(answer(&authorize(&auth(), &bad_header).await), INVALID_TOKEN);
}

#[tokio::test]
async fn requests_that_cannot_be_read() {
    let ada = token("ada");
    let long = "x".repeat((8 << 10) + 1);
    for head in [
        bearer(&ada).header("authorization", format!("Bearer {ada}")),
        bearer(&ada).header("authorization", "Basic YTpi"),
        bearer(&ada).query(format!("access_token={ada}")),
        bearer(""),
        bearer("a b"),
        bearer("a,b"),
        get().header("authorization", format!("Bearer\t{ada}")),
        with_cookie(&ada).header("authorization", format!("Bearer\t{ada}")),
        get().header("authorization", b"Bearer \xff".as_slice()),
        get().header("authorization", "Bearer"),
        bearer(&long),
        with_cookie(&long),
        with_cookie(&ada).header("cookie", (0..20).map(|n| format!("sse_token={n}; ")).collect::<String>()),
        get().query("access_token=a&access_token=b"),
        get().query("access_token=%ff"),
    ] {
        let answered = authorize(&auth(), &head).await;
        assert_eq!(answer(&answered), INVALID_REQUEST, "{head:?}");
    }
}

#[tokio::test]
async fn without_a_token_one_is_asked_for() {
    let ada = token("ada");
    for head in [
        get(),
        get().header("authorization", "Basic YTpi"),
        get().header("authorization", "Bearerx"),
        with_cookie(""),
        get().header("cookie", format!("xsse_token={ada}; sse_tokenx={ada}; sse_token")),
        // Neither is turned on.
        get().query(format!("access_token={ada}")),
        get().query("ticket=0123456789abcdef0123456789abcdef"),
    ] {
        assert_eq!(answer(&authorize(&auth(), &head).await), (401, "Bearer"), "{head:?}");
    }
    let no_cookie = builder().no_cookie().build().unwrap();
    assert_eq!(answer(&authorize(&no_cookie, &with_cookie(&ada)).await), (401, "Bearer"));
}

#[tokio::test]
async fn a_token_in_the_query_must_be_allowed() {
    let auth = builder().allow_query_token().build().unwrap();
    let head = get().query(format!("x=1&access_token={}", token("ada")));
    assert_eq!(authorize(&auth, &head).await.unwrap().subject(), "ada");
}

#[tokio::test]
async fn a_cookie_of_a_neighbour_locks_nobody_out() {
    let (ada, again, eve) = (token("ada"), token("ada_again"), token("eve"));
    let answered = async |cookies: &str| authorize(&auth(), &get().header("cookie", cookies)).await;
    for cookies in [
        format!("sse_token=x; sse_token={ada}"),
        format!("sse_token={ada}; sse_token=a.b.c"),
        format!("sse_token=; sse_token={ada}"),
        format!("sse_token={ada}; sse_token={ada}"),
        format!("sse_token={ada}; sse_token={again}"),
    ] {
        assert_eq!(answered(&cookies).await.unwrap().subject(), "ada", "{cookies}");
    }
    // Which of the two has signed in cannot be told.
    let cookies = format!("sse_token={ada}; sse_token={eve}");
    assert_eq!(answer(&answered(&cookies).await), INVALID_REQUEST);
    assert_eq!(answer(&answered("sse_token=x; sse_token=y").await), INVALID_TOKEN);
}

#[test]
fn secrets_are_taken_out_of_a_query() {
    let ticket = "0123456789abcdef0123456789ABCDEF";
    let redacted = |query: &str| sse_core::Auth::redact_query(query);
    for query in [
        format!("ticket={ticket}"),
        "ticket=%30123456789abcdef0123456789abcdef".into(),
        "access_token=x".into(),
    ] {
        let name = query.split('=').next().unwrap();
        assert_eq!(redacted(&query), Some(format!("{name}=-")));
        assert_eq!(redacted(&format!("a=1&{query}&b")), Some(format!("a=1&{name}=-&b")));
    }
    // A ticket of another kind is none of ours.
    for query in ["", "ticket=42", "ticket", "topic=news&x=access_token", "tickets=0"] {
        assert_eq!(redacted(query), None, "{query}");
    }
    // Near misses, which open nothing and are still good.
    let ticket = "0123456789abcdef0123456789abcdef";
    for near in [
        format!("Ticket={ticket}"),
        format!(";ticket={ticket}"),
        format!("tick%65t={ticket}"),
        format!("ticket=%20{ticket}"),
        format!("ticket={ticket}|"),
        format!("ticket=={ticket}"),
        format!("ticket=eyJhbGciOiJIUzI1NiJ9.{ticket}.x"),
        "access%5ftoken=abc".to_owned(),
        "ACCESS_TOKEN=abc".to_owned(),
    ] {
        let shown = redacted(&format!("a=1&{near}")).unwrap();
        assert!(shown.starts_with("a=1&") && shown.ends_with("=-"), "{near}: {shown}");
    }
}

#[test]
fn cookies_are_made_to_stay_where_they_are() {
    let seconds = std::time::Duration::from_secs;
    let plain = builder().insecure_for_loopback().build().unwrap();
    assert_eq!(
        plain.login_cookie("a.b-c_d", seconds(60)),
        "sse_token=a.b-c_d; Path=/; Max-Age=60; HttpOnly; SameSite=Strict"
    );
    let gone = "sse_token=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
    assert_eq!(plain.logout_cookie(), gone);
    assert_eq!(plain.login_cookie("a; Domain=evil.test", seconds(60)), gone);
    // Whatever the name, but where it was asked for.
    for (name, kind) in [("t", builder()), ("__Secure-t", builder()), ("__Host-t", builder())] {
        let secure = kind.cookie(name).build().unwrap().login_cookie("a", seconds(1));
        assert!(secure.ends_with("; SameSite=Strict; Secure"), "{secure}");
    }
    let across = builder().cross_site_cookies().build().unwrap().login_cookie("a", seconds(1));
    assert!(across.ends_with("; SameSite=None; Secure; Partitioned"), "{across}");
    let default = sse_core::Auth::builder(super::verifier().build().unwrap());
    assert!(default.clone().build().unwrap().logout_cookie().starts_with("__Host-sse_token=;"));
    let loopback = default.insecure_for_loopback().build().unwrap().logout_cookie();
    assert!(loopback.starts_with("sse_token=;") && !loopback.contains("Secure"), "{loopback}");
}
