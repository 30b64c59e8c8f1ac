//! One-time tickets.

use std::time::Duration;

use sse_core::{Auth, Authorized, Hub, Refusal, Tickets, Topic, Topics};

use super::{Head, answer, authorize, builder, field, token};

fn auth() -> Auth {
    builder()
        .tickets(Tickets::new("/events").cookie("sse_ticket"))
        .allowed_origins(["https://app.example"])
        .build()
        .unwrap()
}

async fn ticket(auth: &Auth, topics: &str) -> String {
    let client = authorize(auth, &Head::bearer(&token("ada"))).await.unwrap();
    let ticket = auth.issue_ticket(&client, topics).unwrap();
    assert_eq!((ticket.as_str().len(), ticket.expires_in().as_secs()), (32, 30));
    ticket.as_str().to_owned()
}

fn with(ticket: &str) -> Head {
    Head::get().query(format!("ticket={ticket}"))
}

/// The cookie that an answer sets, as the browser sends it back.
fn cookie(client: &Authorized) -> Option<String> {
    let set = client.response_headers().find(|(name, _)| *name == "set-cookie")?.1;
    for part in ["; Path=/events;", "; HttpOnly", "; SameSite=Strict"] {
        assert!(set.contains(part), "{set}");
    }
    Some(set.split(';').next().unwrap().to_owned())
}

const INVALID: (u16, &str) = (401, "Bearer error=\"invalid_token\"");

#[tokio::test(start_paused = true)]
async fn a_ticket_opens_its_topics_once_and_its_cookie_again() {
    let (hub, auth) = (Hub::new(), auth());
    let ticket = ticket(&auth, "news").await;
    let client = authorize(&auth, &with(&ticket)).await.unwrap();
    assert_eq!(client.subject(), "ada");
    assert_eq!(client.granted_topics().unwrap(), Topics::new(["news"]).unwrap());
    assert!(!client.allows(&Topic::new("user/ada").unwrap()));
    assert_eq!(hub.open(&client, "user/ada").unwrap_err().status(), 403);
    let stream = hub.open(&client, "news").unwrap();
    assert!(stream.headers().any(|(name, _)| name == "set-cookie"));

    let cookie = cookie(&client).unwrap();
    assert_eq!(answer(&authorize(&auth, &with(&ticket)).await), INVALID);
    // Long after the ticket's own time, and again and again.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(100)).await;
        let again = authorize(&auth, &with(&ticket).header("cookie", cookie.clone())).await.unwrap();
        assert_eq!(again.subject(), "ada");
        assert!(hub.open(&again, "news").is_ok());
        assert_eq!(self::cookie(&again), None);
    }
    // Not by another site's page, not with another ticket, not without one, not beyond the token.
    let foreign = with(&ticket).header("cookie", cookie.clone()).header("origin", "https://evil.test");
    assert_eq!(answer(&authorize(&auth, &foreign).await).0, 403);
    let other = self::ticket(&auth, "news").await;
    let (name, value) = cookie.split_once('=').unwrap();
    let head = with(&other).header("cookie", cookie.clone());
    assert_eq!(
        authorize(&auth, &head).await.map(|_| ()),
        Ok(()),
        "a ticket of its own, and another's cookie"
    );
    assert_eq!(
        answer(&authorize(&auth, &Head::get().header("cookie", cookie.clone())).await),
        (401, "Bearer")
    );
    let spent = self::ticket(&auth, "news").await;
    let its_own = self::cookie(&authorize(&auth, &with(&spent)).await.unwrap()).unwrap();
    let its_name = its_own.split_once('=').unwrap().0;
    let swapped = with(&spent).header("cookie", format!("{its_name}={value}"));
    assert_eq!(answer(&authorize(&auth, &swapped).await), INVALID);
    let guessed = with(&ticket).header("cookie", format!("{name}={}0", &value[1..]));
    assert_eq!(answer(&authorize(&auth, &guessed).await), INVALID);
    tokio::time::sleep(Duration::from_secs(700)).await;
    let late = with(&ticket).header("cookie", cookie);
    assert_eq!(answer(&authorize(&auth, &late).await), INVALID);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_good_for_thirty_seconds() {
    let auth = auth();
    let (early, late) = (ticket(&auth, "news").await, ticket(&auth, "news").await);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(answer(&authorize(&auth, &with(&early)).await).0, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(answer(&authorize(&auth, &with(&late)).await), INVALID);
    for none in ["0".repeat(32), "x".into(), "%00".into()] {
        assert_eq!(answer(&authorize(&auth, &with(&none)).await), INVALID, "{none}");
    }
    assert_eq!(answer(&authorize(&auth, &with("")).await), (401, "Bearer"));
    let two = Head::bearer(&token("ada")).query(format!("ticket={early}"));
    assert_eq!(answer(&authorize(&auth, &two).await).0, 400);
}

#[tokio::test(start_paused = true)]
async fn revoking_reaches_tickets_and_what_came_of_them() {
    let auth = auth();
    let (used, unused) = (ticket(&auth, "news").await, ticket(&auth, "news").await);
    let client = authorize(&auth, &with(&used)).await.unwrap();
    let cookie = cookie(&client).unwrap();
    auth.revocations().revoke_token(client.claims());
    assert_eq!(answer(&authorize(&auth, &with(&unused)).await), INVALID);
    assert_eq!(answer(&authorize(&auth, &with(&used).header("cookie", cookie)).await), INVALID);
}

#[tokio::test]
async fn tickets_are_for_who_shows_a_token() {
    let auth = auth();
    let status = |result: Result<_, Refusal>| result.map(|_: sse_core::Ticket| ()).unwrap_err().status();
    let by_cookie = authorize(&auth, &Head::cookie(&token("ada"))).await.unwrap();
    assert_eq!(status(auth.issue_ticket(&by_cookie, "news")), 401);
    let ticket = ticket(&auth, "news").await;
    let by_ticket = authorize(&auth, &with(&ticket)).await.unwrap();
    assert_eq!(status(auth.issue_ticket(&by_ticket, "news")), 401);
    let head = Head::bearer(&token("ada")).header("origin", "https://app.example");
    let client = authorize(&auth, &head).await.unwrap();
    let forbidden = auth.issue_ticket(&client, "user/eve").map(|_| ()).unwrap_err();
    assert_eq!(forbidden.status(), 403);
    assert_eq!(field(&forbidden, "access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(status(super::auth().issue_ticket(&client, "news")), 500);
}

#[tokio::test]
async fn one_subject_cannot_take_all_the_room() {
    let auth = auth();
    let client = authorize(&auth, &Head::bearer(&token("ada"))).await.unwrap();
    let out = (0..100).take_while(|_| auth.issue_ticket(&client, "news").is_ok()).count();
    assert_eq!(out, 32);
    let full = auth.issue_ticket(&client, "news").map(|_| ()).unwrap_err();
    assert_eq!((full.status(), field(&full, "retry-after")), (503, Some("5")));
    let eve = authorize(&auth, &Head::bearer(&token("eve"))).await.unwrap();
    assert!(auth.issue_ticket(&eve, "news").is_ok());
}
