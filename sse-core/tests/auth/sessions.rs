//! Sessions of the application's own, in place of tokens.

use std::{pin::Pin, time::Duration};

use futures_util::StreamExt;
use sse_core::{Auth, Authorized, EventStream, Hub, Identity, Refusal, Subscription};
use tokio::time::timeout;

use super::{Build, bearer, clock, get};

fn auth() -> Auth {
    Auth::sessions().clock(clock()).build().unwrap()
}

fn ada(session: &str) -> Identity {
    let topics = Identity::new("ada").topics(["news", "team/*"]).unwrap();
    topics.exact_topic("user/ada").unwrap().session(session).signed_in_at(clock()())
}

fn admit(auth: &Auth, hub: &Hub, identity: Identity) -> Result<Authorized<Identity>, Refusal> {
    auth.admit(&get(), hub.lifecycle(), identity)
}

fn open(auth: &Auth, hub: &Hub, identity: Identity) -> Pin<Box<EventStream<Subscription>>> {
    let client = admit(auth, hub, identity).unwrap();
    Box::pin(hub.open(&client, client.granted_topics().unwrap()).unwrap())
}

/// Whether the stream ends within a second, by itself.
async fn ends(stream: &mut Pin<Box<EventStream<Subscription>>>) -> bool {
    timeout(Duration::from_secs(1), async { while stream.next().await.is_some() {} }).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn what_is_granted_is_what_the_application_says() {
    let (auth, hub) = (auth(), Hub::new());
    let client = admit(&auth, &hub, ada("1")).unwrap();
    assert_eq!(client.subject(), "ada");
    assert!(client.claims().is_none());
    for topic in ["news", "user/ada", "team/7"] {
        assert!(hub.open(&client, topic).is_ok(), "{topic}");
    }
    for topic in ["user/bob", "user/ada/x", "newsletter"] {
        let refusal = hub.open(&client, topic).unwrap_err();
        assert_eq!(refusal.to_string(), "403 That is not granted.");
    }
    let nobody = admit(&auth, &hub, Identity::new("eve")).unwrap();
    assert_eq!(nobody.granted_topics().unwrap_err().status(), 403);
    let root = admit(&auth, &hub, Identity::new("root").every_topic()).unwrap();
    assert!(hub.open(&root, "user/bob").is_ok());
    assert!(Identity::new("eve").topics([""]).is_err());
    assert!(!format!("{:?}", ada("secret")).contains("secret"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_its_session() {
    let (auth, hub) = (auth(), Hub::new());
    let identity = || ada("1").until(clock()() + Duration::from_secs(5));
    let mut stream = open(&auth, &hub, identity());
    assert!(!ends(&mut stream).await);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(ends(&mut stream).await);
    let over = admit(&auth, &hub, ada("1").until(clock()() - Duration::from_secs(1))).unwrap_err();
    assert_eq!(over.to_string(), "401 The session is over, please sign in.");
    assert!(over.headers().any(|field| field == ("www-authenticate", "Session")));
}

#[tokio::test(start_paused = true)]
async fn what_was_revoked_ends_and_stays_out() {
    let (auth, hub) = (auth(), Hub::new());
    let (mut first, mut second) = (open(&auth, &hub, ada("1")), open(&auth, &hub, ada("2")));
    let client = admit(&auth, &hub, ada("1")).unwrap();
    assert_eq!(auth.revocations().revoke(&client).await.unwrap(), 1);
    assert!(ends(&mut first).await && !ends(&mut second).await);
    assert_eq!(admit(&auth, &hub, ada("1")).unwrap_err().status(), 401);
    // Nor by what was let in before.
    assert_eq!(hub.open(&client, "news").unwrap_err().status(), 401);
    assert_eq!(auth.revocations().revoke_session("2").await.unwrap(), 1);
    assert!(ends(&mut second).await);
    assert_eq!(admit(&auth, &hub, ada("2")).unwrap_err().status(), 401);
    // All of hers; whoever signs in later is welcome.
    let mut third = open(&auth, &hub, ada("3"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 1);
    assert!(ends(&mut third).await);
    let before = ada("4").signed_in_at(clock()() - Duration::from_secs(3600));
    assert_eq!(admit(&auth, &hub, before).unwrap_err().status(), 401);
    let later = ada("5").signed_in_at(clock()() + Duration::from_secs(6));
    assert!(admit(&auth, &hub, later).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_session_without_an_id_is_revoked_alone() {
    let (auth, hub) = (auth(), Hub::new());
    let unnamed = || Identity::new("ada").topics(["news"]).unwrap();
    let client = admit(&auth, &hub, unnamed()).unwrap();
    let (mut stream, mut other) =
        (Box::pin(hub.open(&client, "news").unwrap()), open(&auth, &hub, unnamed()));
    assert_eq!(auth.revocations().revoke(&client).await.unwrap(), 1);
    assert!(ends(&mut stream).await && !ends(&mut other).await);
    assert!(admit(&auth, &hub, unnamed()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_ended_may_come_back() {
    let (auth, hub) = (auth(), Hub::new());
    let revocations = auth.revocations();
    let news = "news".to_owned();
    let ways: [(&str, &dyn Fn() -> usize); 3] = [
        ("subject", &|| super::now(revocations.end_subject("ada"))),
        ("session", &|| super::now(revocations.end_session("1"))),
        ("topic", &|| super::now(revocations.end_topic(&sse_core::Topic::new(&news).unwrap()))),
    ];
    for (what, end) in ways {
        let mut stream = open(&auth, &hub, ada("1"));
        let mut other = open(&auth, &hub, Identity::new("bob").topics(["other"]).unwrap().session("9"));
        assert_eq!(end(), 1, "{what}");
        assert!(ends(&mut stream).await && !ends(&mut other).await, "{what}");
        assert!(admit(&auth, &hub, ada("1")).is_ok(), "{what}");
    }
    let mut stream = open(&auth, &hub, ada("1"));
    let handle = stream.handle();
    hub.publish("news", "last").await.unwrap();
    assert!(handle.end());
    assert!(ends(&mut stream).await);
    assert!(!handle.end());
}

#[tokio::test]
async fn another_sites_page_is_turned_away_before_anybody_is_asked() {
    let (auth, hub) = (auth(), Hub::new());
    let from = |site: &'static str, mode: &'static str| {
        get().header("sec-fetch-site", site).header("sec-fetch-mode", mode)
    };
    for (head, status) in [
        (from("same-origin", "cors"), None),
        (from("cross-site", "cors"), Some(403)),
        (from("cross-site", "no-cors"), Some(403)),
        (from("same-origin", "navigate"), Some(403)),
    ] {
        assert_eq!(auth.screen(&head).err().map(|refusal| refusal.status()), status);
        let admitted = auth.admit(&head, hub.lifecycle(), ada("1"));
        assert_eq!(admitted.err().map(|refusal| refusal.status()), status);
    }
    let listed = Auth::sessions().allowed_origins(["https://app.example"]).build().unwrap();
    let head = from("cross-site", "cors").header("origin", "https://app.example");
    let client = listed.admit(&head, hub.lifecycle(), ada("1")).unwrap();
    let stream = hub.open(&client, "news").unwrap();
    assert!(
        stream
            .headers()
            .any(|(name, value)| { name == "access-control-allow-origin" && value == "https://app.example" })
    );
}

#[tokio::test]
async fn without_a_verifier_no_token_opens_anything() {
    let (auth, hub) = (auth(), Hub::new());
    let head = bearer(&super::token("ada"));
    assert_eq!(auth.authorize(&head, hub.lifecycle()).await.unwrap_err().status(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_tokens_session_is_revoked_by_its_id() {
    use jsonwebtoken::{EncodingKey, Header, encode};

    let (auth, hub) = (super::auth(), Hub::new());
    let now = clock()().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let token = |sid: &str| {
        let claims = serde_json::json!({
            "iss": "sse-example", "aud": "sse-example", "sub": "ada", "sid": sid, "jti": format!("jti-{sid}"),
            "iat": now, "exp": now + 600, "topics": ["news"],
        });
        let key = EncodingKey::from_secret(super::text("/secret").as_bytes());
        encode(&Header::default(), &claims, &key).unwrap()
    };
    let authorize = async |sid: &str| auth.authorize(&bearer(&token(sid)), hub.lifecycle()).await;
    let client = authorize("a").await.unwrap();
    let mut stream = Box::pin(hub.open(&client, "news").unwrap());
    assert_eq!(auth.revocations().revoke_session("a").await.unwrap(), 1);
    assert!(ends(&mut stream).await);
    assert_eq!(authorize("a").await.unwrap_err().status(), 401);
    assert!(authorize("b").await.is_ok());
}
