//! What they are told who come back after their right was taken away.

use sse_core::{Auth, Authorized, Hub, Identity, Refusal, Topic};

use super::{Build, Head, auth, authorize, bearer, builder, clock, field, get, token, with_cookie};

/// As every `EventSource` asks, and as anybody else may.
const ACCEPTS: [(&str, bool); 7] = [
    ("text/event-stream", true),
    ("Text/Event-Stream; charset=utf-8", true),
    ("application/json, text/event-stream;q=0.5", true),
    ("*/*", false),
    ("text/*", false),
    ("application/json", false),
    ("", false),
];

fn accepting(head: Head, accept: &str) -> Head {
    if accept.is_empty() { head } else { head.header("accept", accept) }
}

/// What is said to who accepts events: to stay away, and nothing else.
fn is_204(refusal: &Refusal) -> bool {
    let describes = ["content-type", "www-authenticate", "retry-after"];
    refusal.status() == 204
        && refusal.body().is_empty()
        && field(refusal, "cache-control") == Some("no-store")
        && describes.iter().all(|name| field(refusal, name).is_none())
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_told_to_stay_away_where_a_stream_is_asked_for() {
    for how in ["token", "id", "subject"] {
        let auth = auth();
        let claims = authorize(&auth, &bearer(&token("ada"))).await.unwrap();
        let claims = claims.claims().unwrap();
        match how {
            "token" => auth.revocations().revoke_token(claims).await.unwrap(),
            "id" => auth.revocations().revoke_token_id(claims.token_id().unwrap()).await.unwrap(),
            _ => auth.revocations().revoke_subject("ada").await.unwrap(),
        };
        for (accept, is_stream) in ACCEPTS {
            for head in [bearer(&token("ada")), with_cookie(&token("ada"))] {
                let refusal = authorize(&auth, &accepting(head, accept)).await.unwrap_err();
                assert_eq!(is_204(&refusal), is_stream, "{how} {accept}: {refusal:?}");
                if !is_stream {
                    assert_eq!(refusal.to_string(), "401 The token is not valid.");
                    assert_eq!(field(&refusal, "www-authenticate"), Some("Bearer error=\"invalid_token\""));
                }
            }
        }
        // Whatever else is wrong keeps its reason.
        for head in [get(), bearer("x"), bearer(&format!("{}x", token("ada")))] {
            let refusal = authorize(&auth, &accepting(head, "text/event-stream")).await.unwrap_err();
            assert_eq!(refusal.status(), 401);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cookie_that_was_revoked_counts_for_more_than_one_that_is_none() {
    let auth = auth();
    auth.revocations().revoke_subject("ada").await.unwrap();
    for cookies in [["tossed", &token("ada")], [&token("ada"), "tossed"]] {
        let head = get().header("cookie", format!("sse_token={}; sse_token={}", cookies[0], cookies[1]));
        let refusal = authorize(&auth, &accepting(head, "text/event-stream")).await.unwrap_err();
        assert!(is_204(&refusal), "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_listed_origin_can_read_it() {
    let auth = builder().allowed_origins(["https://app.example"]).build().unwrap();
    let client = authorize(&auth, &bearer(&token("ada"))).await.unwrap();
    auth.revocations().revoke(&client).await.unwrap();
    let head = accepting(bearer(&token("ada")), "text/event-stream").header("origin", "https://app.example");
    let refusal = authorize(&auth, &head).await.unwrap_err();
    assert!(is_204(&refusal));
    assert_eq!(field(&refusal, "access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(field(&refusal, "access-control-allow-credentials"), Some("true"));
    assert_eq!(field(&refusal, "vary"), Some("origin"));
}

fn sessions() -> Auth {
    Auth::sessions().clock(clock()).build().unwrap()
}

fn ada() -> Identity {
    let topics = Identity::new("ada").topics(["news", "team/*"]).unwrap();
    topics.session("1").signed_in_at(clock()())
}

fn admit(auth: &Auth, hub: &Hub, accept: &str, who: Identity) -> Result<Authorized<Identity>, Refusal> {
    auth.admit(&accepting(get(), accept), hub.lifecycle(), who)
}

#[tokio::test(start_paused = true)]
async fn a_revoked_session_is_told_to_stay_away_where_a_stream_is_asked_for() {
    for how in ["client", "session", "subject"] {
        let (auth, hub) = (sessions(), Hub::new());
        let before = ACCEPTS.map(|(accept, _)| admit(&auth, &hub, accept, ada()).unwrap());
        tokio::time::advance(std::time::Duration::from_secs(3)).await;
        match how {
            "client" => auth.revocations().revoke(&before[0]).await.unwrap(),
            "session" => auth.revocations().revoke_session("1").await.unwrap(),
            _ => auth.revocations().revoke_subject("ada").await.unwrap(),
        };
        let old = || ada().signed_in_at(clock()() - std::time::Duration::from_secs(60));
        for ((accept, is_stream), client) in ACCEPTS.into_iter().zip(before) {
            let refusal = admit(&auth, &hub, accept, old()).unwrap_err();
            // Whoever was let in before is told the same once they open a stream.
            for refusal in [refusal, hub.open(&client, "news").unwrap_err()] {
                assert_eq!(is_204(&refusal), is_stream, "{how} {accept}: {refusal:?}");
                if !is_stream {
                    assert_eq!(refusal.to_string(), "401 The session is over, please sign in.");
                    assert_eq!(field(&refusal, "www-authenticate"), Some("Session"));
                }
            }
        }
        // One that is over by itself is the application's to renew.
        let over = Identity::new("bob").until(clock()() - std::time::Duration::from_secs(1));
        assert_eq!(admit(&auth, &hub, "text/event-stream", over).unwrap_err().status(), 401);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_left_but_topics_that_were_revoked_is_told_to_stay_away() {
    let (auth, hub) = (sessions(), Hub::new());
    auth.revocations().revoke_topic(&Topic::new("news").unwrap()).await.unwrap();
    auth.revocations().revoke_topic(&Topic::new("team/1").unwrap()).await.unwrap();
    for (accept, is_stream) in ACCEPTS {
        let client = admit(&auth, &hub, accept, ada()).unwrap();
        // Those that it has by name, and what is asked for.
        let refusals = [
            client.granted_topics().unwrap_err(),
            hub.open(&client, "news").unwrap_err(),
            hub.open(&client, ["news", "team/1"]).unwrap_err(),
        ];
        for refusal in refusals {
            assert_eq!(is_204(&refusal), is_stream, "{accept}: {refusal:?}");
            if !is_stream {
                assert_eq!(refusal.to_string(), "403 That is not granted.");
                assert_eq!(field(&refusal, "www-authenticate"), None);
            }
        }
        for topics in [&["news", "team/2"][..], &["news", "user/bob"], &["user/bob"]] {
            let refusal = hub.open(&client, topics).unwrap_err();
            assert_eq!(refusal.to_string(), "403 That is not granted.", "{accept} {topics:?}");
            assert_eq!(field(&refusal, "www-authenticate"), None);
        }
        assert!(hub.open(&client, "team/2").is_ok());
    }
}

#[tokio::test]
async fn where_no_tokens_are_taken_nobody_is_asked_for_one() {
    let (auth, hub) = (sessions(), Hub::new());
    let refusal = auth.authorize(&bearer(&token("ada")), hub.lifecycle()).await.unwrap_err();
    assert_eq!(refusal.to_string(), "401 Please sign in.");
    assert_eq!(field(&refusal, "www-authenticate"), Some("Session"));
    let nobody = admit(&auth, &hub, "", Identity::new("eve")).unwrap();
    for refusal in [nobody.granted_topics().unwrap_err(), nobody.granted("news").unwrap_err()] {
        assert_eq!((refusal.status(), field(&refusal, "www-authenticate")), (403, None));
    }
}
