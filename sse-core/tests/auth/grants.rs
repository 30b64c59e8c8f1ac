//! Which topics a token opens.

use sse_core::{Grants, Hub, Refusal, Topic, TopicPattern, Topics};

use super::{Build, answer, authorize, bearer, builder, field, text, token};

async fn client(grants: Grants, name: &str) -> Result<sse_core::Authorized, Refusal> {
    let auth = builder().grants(grants).build().unwrap();
    authorize(&auth, &bearer(&text(&format!("/grants/{name}")))).await
}

async fn opens(grants: Grants, name: &str, topics: &[&str]) -> bool {
    let client = client(grants, name).await.unwrap();
    let each = topics.iter().all(|topic| client.allows(&Topic::new(topic).unwrap()));
    let opened = Hub::new().open(&client, topics);
    if let Err(refusal) = &opened {
        assert_eq!(refusal.status(), 403);
        assert_eq!(field(refusal, "www-authenticate"), Some("Bearer error=\"insufficient_scope\""));
    }
    assert_eq!(each, opened.is_ok());
    assert_eq!(each, client.granted(topics).is_ok());
    each
}

#[tokio::test]
async fn a_claim_names_topics_and_prefixes() {
    let claim = || Grants::claim("topics");
    assert!(opens(claim(), "claim", &["news", "user/ada", "team/a", "team/a/b"]).await);
    for other in ["user/eve", "newsletter", "team", "user/ada/x"] {
        assert!(!opens(claim(), "claim", &[other]).await, "{other}");
        assert!(!opens(claim(), "claim", &["news", other]).await, "{other}");
    }
    assert!(opens(claim(), "one", &["news"]).await);
    assert!(!opens(claim(), "absent", &["news"]).await);
    assert!(opens(claim(), "many_64", &["t0", "t63"]).await);
    for malformed in ["malformed", "control", "many_65"] {
        let refused = client(claim(), malformed).await;
        assert_eq!(answer(&refused), (401, "Bearer error=\"invalid_token\""), "{malformed}");
    }
    let own = client(claim(), "claim").await.unwrap().granted_topics().unwrap();
    assert_eq!(own, Topics::new(["news", "user/ada"]).unwrap());
    assert_eq!(client(claim(), "absent").await.unwrap().granted_topics().unwrap_err().status(), 403);
}

/// What a client asks for it gets, or nothing.
#[tokio::test]
async fn the_query_chooses_among_what_is_granted() {
    let asks = async |grants: Grants, name: &str, query: &str| {
        let head = bearer(&text(&format!("/grants/{name}"))).query(query);
        let client = authorize(&builder().grants(grants).build().unwrap(), &head).await.unwrap();
        client.granted_topics().map_err(|refusal| {
            (refusal.status(), field(&refusal, "www-authenticate").unwrap_or_default().to_owned())
        })
    };
    let claim = || Grants::claim("topics");
    let topics = |names: &[&str]| Ok(Topics::new(names).unwrap());
    let refused = || Err((403, "Bearer error=\"insufficient_scope\"".to_owned()));
    assert_eq!(asks(claim(), "claim", "last_event_id=x").await, topics(&["news", "user/ada"]));
    assert_eq!(asks(claim(), "claim", "topic=news").await, topics(&["news"]));
    // A pattern of the token.
    assert_eq!(asks(claim(), "claim", "topic=team/a&topic=news").await, topics(&["news", "team/a"]));
    assert_eq!(asks(claim(), "claim", "topic=user/bob").await, refused());
    assert_eq!(asks(claim(), "claim", "topic=news&topic=user%2Fbob").await, refused());
    assert_eq!(asks(claim(), "absent", "").await, refused());
    assert_eq!(asks(claim(), "absent", "topic=news").await, refused());
    assert_eq!(asks(Grants::every_topic(), "absent", "topic=x").await, topics(&["x"]));
    for bad in ["topic=", "topic=%ff", "topic=%0a", &"topic=news&".repeat(33)] {
        assert_eq!(asks(claim(), "claim", bad).await, Err((400, String::new())), "{bad}");
    }
}

#[tokio::test]
async fn mercure_has_a_claim_of_its_own() {
    let mercure = Grants::mercure;
    assert!(opens(mercure(), "mercure", &["https://example.com/books/1"]).await);
    assert!(!opens(mercure(), "mercure", &["https://example.com/books/1/2"]).await);
    // A star within is a star.
    assert!(opens(mercure(), "mercure", &["news*"]).await);
    assert!(!opens(mercure(), "mercure", &["newsletter"]).await);
    assert!(opens(mercure(), "mercure_all", &["whatever"]).await);
    assert!(!opens(mercure(), "claim", &["news"]).await);
    assert_eq!(answer(&client(mercure(), "mercure_unknown_form").await).0, 401);
}

#[tokio::test]
async fn an_application_has_rules_of_its_own() {
    #[derive(serde::Deserialize)]
    struct Mine {
        sub: String,
    }

    #[derive(serde::Deserialize)]
    struct Other {
        #[expect(dead_code, reason = "never there")]
        tenant: String,
    }

    let own = || Grants::from_fn(|mine: Mine| Ok([TopicPattern::exact(format!("user/{}", mine.sub))?]));
    assert!(opens(own(), "claim", &["user/ada"]).await);
    assert!(!opens(own(), "claim", &["news"]).await);
    let wrong = Grants::from_fn(|_: Other| Ok([TopicPattern::exact("news")?]));
    assert_eq!(answer(&client(wrong, "claim").await).0, 401);
    let many = Grants::from_fn(|_: Mine| Ok(vec![TopicPattern::exact("news")?; 65]));
    assert_eq!(answer(&client(many, "claim").await).0, 401);
    assert!(opens(Grants::every_topic(), "absent", &["whatever"]).await);

    let client = client(own(), "claim").await.unwrap();
    assert_eq!(client.claims().unwrap().parse::<Mine>().unwrap().sub, "ada");
    let refusal = Refusal::from(client.claims().unwrap().parse::<Other>().map(|_| ()).unwrap_err());
    assert_eq!(refusal.status(), 401);
}

#[tokio::test]
async fn without_grants_no_topic_opens() {
    let auth = sse_core::Auth::builder(super::verifier().build().unwrap()).build().unwrap();
    let client = authorize(&auth, &bearer(&token("ada"))).await.unwrap();
    assert_eq!(Hub::new().open(&client, "news").unwrap_err().status(), 403);
}
