//! Tokens without a subject or an expiry, where the application takes them.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use sse_core::{Auth, EventStream, Grants, Hub, StreamOptions, Subscription, Tickets, Topic};
use tokio::time::timeout;

use super::{Build, answer, authorize, bearer, get, token, verifier};

const DAY: u64 = 86_400;

/// Takes whatever a hub of Mercure 0.x does, and how many seconds its clock is ahead.
fn lenient() -> (Auth, Arc<AtomicU64>) {
    let (clock, ahead) = (super::clock(), Arc::new(AtomicU64::new(0)));
    let jump = Arc::clone(&ahead);
    let verifier = verifier()
        .optional_subject()
        .optional_expiry()
        .accept_any_issuer()
        .no_audience()
        .clock(move || clock() + Duration::from_secs(jump.load(Ordering::SeqCst)))
        .build()
        .unwrap();
    let auth = Auth::builder(verifier).grants(Grants::claim("topics")).cookie("sse_token");
    (auth.tickets(Tickets::new("/events")).build().unwrap(), ahead)
}

async fn status(auth: &Auth, name: &str) -> u16 {
    answer(&authorize(auth, &bearer(&token(name))).await).0
}

async fn open(hub: &Hub, auth: &Auth, name: &str) -> Pin<Box<EventStream<Subscription>>> {
    let client = auth.authorize(&bearer(&token(name)), hub.lifecycle()).await.unwrap();
    Box::pin(hub.open(&client, client.granted_topics().unwrap()).unwrap())
}

async fn ends(stream: &mut Pin<Box<EventStream<Subscription>>>) -> bool {
    let rest = async { while stream.next().await.is_some() {} };
    timeout(Duration::from_secs(1), rest).await.is_ok()
}

#[tokio::test]
async fn a_token_of_mercure_0_opens_a_stream() {
    let verifier = || verifier().accept_any_issuer().no_audience();
    let auth = |verifier: sse_core::VerifierBuilder| {
        Auth::builder(verifier.build().unwrap()).grants(Grants::mercure()).build().unwrap()
    };
    let head = bearer(&token("mercure_0"));
    let both = auth(verifier().optional_subject().optional_expiry());
    let client = authorize(&both, &head).await.unwrap();
    assert!(Hub::new().open(&client, "https://example.com/books/1").is_ok());
    assert_eq!(Hub::new().open(&client, "news").unwrap_err().status(), 403);
    let claims = client.claims().unwrap();
    assert_eq!((claims.subject(), claims.expires_at(), claims.issued_at()), ("", None, None));
    // By default, and with only one of the two, it opens nothing.
    for strict in [verifier(), verifier().optional_subject(), verifier().optional_expiry()] {
        assert_eq!(answer(&authorize(&auth(strict), &head).await).0, 401);
    }
}

#[tokio::test(start_paused = true)]
async fn nobodys_tokens_are_not_revoked_together() {
    let (hub, (auth, _)) = (Hub::new(), lenient());
    let (mut first, mut second) = (open(&hub, &auth, "nobody_1").await, open(&hub, &auth, "nobody_2").await);
    let revocations = auth.revocations();
    assert_eq!(revocations.revoke_subject("").await.unwrap(), 0);
    assert_eq!(revocations.end_subject("").await.unwrap(), 0);
    assert!(!ends(&mut first).await && !ends(&mut second).await);

    let client = authorize(&auth, &bearer(&token("nobody_1"))).await.unwrap();
    assert_eq!(client.subject(), "");
    assert_eq!(revocations.revoke(&client).await.unwrap(), 1);
    assert!(ends(&mut first).await && !ends(&mut second).await);
    assert_eq!((status(&auth, "nobody_1").await, status(&auth, "nobody_2").await), (401, 200));
    assert_eq!(revocations.revoke_token_id("nobody-2").await.unwrap(), 1);
    assert!(ends(&mut second).await);

    // Without an id either: by all that it says.
    let client = authorize(&auth, &bearer(&token("mercure_0"))).await.unwrap();
    assert_eq!(revocations.revoke_token(client.claims().unwrap()).await.unwrap(), 0);
    assert_eq!((status(&auth, "mercure_0").await, status(&auth, "mercure_0_too").await), (401, 200));
}

#[tokio::test]
async fn two_cookies_of_nobody_are_of_two() {
    let (auth, _) = lenient();
    let cookies =
        |a: &str, b: &str| get().header("cookie", format!("sse_token={}; sse_token={}", token(a), token(b)));
    assert_eq!(answer(&authorize(&auth, &cookies("nobody_1", "nobody_2")).await).0, 400);
    assert_eq!(answer(&authorize(&auth, &cookies("nobody_1", "nobody_1")).await).0, 200);
}

#[tokio::test(start_paused = true)]
async fn what_never_expires_ends_with_the_stream_and_may_come_back() {
    let (auth, ahead) = lenient();
    let hub = Hub::builder().stream_options(StreamOptions::new().max_age(Duration::from_secs(100))).build();
    let mut stream = open(&hub, &auth, "ada_for_ever").await;
    ahead.store(3650 * DAY, Ordering::SeqCst);
    assert!(!ends(&mut stream).await);
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(ends(&mut stream).await);
    assert_eq!(status(&auth, "ada_for_ever").await, 200);
    // One with an `exp` has expired by then.
    assert_eq!(status(&auth, "ada").await, 401);
}

type Revoke<'a> = &'a dyn Fn(&Auth, &sse_core::Authorized) -> usize;

/// Longer than any token with an `exp` could live.
#[tokio::test(start_paused = true)]
async fn what_never_expires_stays_revoked() {
    let years = 5 * 365 * DAY;
    let revoke: [(&str, Revoke<'_>); 4] = [
        ("client", &|auth, client| super::now(auth.revocations().revoke(client))),
        ("token", &|auth, client| super::now(auth.revocations().revoke_token(client.claims().unwrap()))),
        ("id", &|auth, _| super::now(auth.revocations().revoke_token_id("ada-6"))),
        ("subject", &|auth, _| super::now(auth.revocations().revoke_subject("ada"))),
    ];
    for (what, revoke) in revoke {
        let (auth, ahead) = lenient();
        let client = authorize(&auth, &bearer(&token("ada_for_ever"))).await.unwrap();
        assert_eq!(revoke(&auth, &client), 0);
        for ahead_by in [0, years, 2 * years] {
            ahead.store(ahead_by, Ordering::SeqCst);
            // What is revoked meanwhile sweeps out what has run out.
            for n in 0..if ahead_by == years { 12_000 } else { 0 } {
                let until = super::clock()() + Duration::from_secs(ahead_by + 600);
                auth.revocations().revoke_token_id_until(&n.to_string(), until).await.unwrap();
                auth.revocations().revoke_subject(&n.to_string()).await.unwrap();
            }
            assert_eq!(status(&auth, "ada_for_ever").await, 401, "{what} {ahead_by}");
            assert_eq!(status(&auth, "nobody_1").await, 200, "{what} {ahead_by}");
        }
    }

    let (auth, ahead) = lenient();
    auth.revocations().revoke_topic(&Topic::new("news").unwrap()).await.unwrap();
    ahead.store(years, Ordering::SeqCst);
    let client = authorize(&auth, &bearer(&token("ada_for_ever"))).await.unwrap();
    assert_eq!(Hub::new().open(&client, "news").unwrap_err().status(), 403);
}

/// Each has a share of the tickets of its own.
#[tokio::test]
async fn nobody_has_tickets_too() {
    let (auth, _) = lenient();
    let client = authorize(&auth, &bearer(&token("nobody_1"))).await.unwrap();
    let ticket = auth.issue_ticket(&client, ["news"]).await.unwrap();
    let other = authorize(&auth, &bearer(&token("nobody_2"))).await.unwrap();
    for _ in 0..1000 {
        auth.issue_ticket(&other, ["news"]).await.unwrap();
    }
    let opened = authorize(&auth, &get().query(format!("ticket={}", ticket.as_str()))).await;
    assert_eq!(answer(&opened).0, 200);
}
