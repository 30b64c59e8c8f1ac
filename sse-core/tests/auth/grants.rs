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
    for malformed in [
        "mercure_unknown_form",
        "mercure_list",
        "mercure_text",
        "mercure_null",
        "mercure_twice",
        "mercure_inner_twice",
        "mercure_number",
        "mercure_empty_text",
        "mercure_65",
    ] {
        assert_eq!(answer(&client(mercure(), malformed).await), INVALID, "{malformed}");
    }
}

#[tokio::test]
async fn mercure_1_has_authorization_details() {
    let v1 = Grants::mercure_v1;
    assert!(opens(v1(), "v1", &["news", "https://example.com/a", "https://example.com/books/1"]).await);
    assert!(opens(v1(), "v1", &["/users/42/a/b", "stars*"]).await);
    for other in [
        "https://example.com/books/1/2",
        "https://example.com/books/../a",
        "https://example.com/books/:id/",
        "https://evil.example/books/1",
        "/users/43/a",
        "/users/42/../43",
        "//users/42/a",
        "starship",
        "newsletter",
    ] {
        assert!(!opens(v1(), "v1", &[other]).await, "{other}");
    }
    // What stands there by its name is one's own.
    let own = client(v1(), "v1").await.unwrap().granted_topics().unwrap();
    assert_eq!(own, Topics::new(["news", "https://example.com/a", "stars*"]).unwrap());

    assert!(opens(v1(), "v1_several", &["news", "third"]).await);
    for all in ["v1_all", "v1_all_by_pattern"] {
        assert!(opens(v1(), all, &["whatever", "*"]).await, "{all}");
    }
    for some in ["v1_several", "v1_all_to_publish", "v1_unknown_action", "v1_other_types", "v1_payload"] {
        assert!(opens(v1(), some, &["news"]).await, "{some}");
        assert!(!opens(v1(), some, &["other"]).await, "{some}");
    }
    for none in ["v1_none", "v1_action_in_upper_case", "absent", "mercure_all"] {
        assert!(!opens(v1(), none, &["news"]).await, "{none}");
    }
    assert!(opens(v1(), "v1_64", &["t0", "t63"]).await);
    for many in ["v1_65", "v1_250"] {
        assert_eq!(answer(&client(v1(), many).await), INVALID, "{many}");
    }

    let malformed =
        super::DATA["grants"].as_object().unwrap().keys().filter(|name| name.starts_with("v1_bad: "));
    let mut count = 0;
    for name in malformed {
        assert_eq!(answer(&client(v1(), name).await), INVALID, "{name}");
        // It means nothing to the others.
        assert!(opens(Grants::claim("topics"), name, &["news"]).await, "{name}");
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[tokio::test]
async fn each_version_of_mercure_has_its_own_claim() {
    assert!(opens(Grants::mercure(), "both_versions", &["old"]).await);
    assert!(!opens(Grants::mercure(), "both_versions", &["new"]).await);
    assert!(opens(Grants::mercure_v1(), "both_versions", &["new"]).await);
    assert!(!opens(Grants::mercure_v1(), "both_versions", &["old"]).await);
}

const INVALID: (u16, &str) = (401, "Bearer error=\"invalid_token\"");

#[tokio::test]
async fn a_claim_may_stand_in_another() {
    let at = |path: &[&str]| Grants::claim_path(path.iter().copied());
    assert!(opens(at(&["a", "b", "c"]), "deep", &["news"]).await);
    assert!(!opens(at(&["a", "b", "c"]), "deep", &["other"]).await);
    assert!(opens(at(&["a", "c"]), "deep", &["other"]).await);
    for nothing in [&["a", "x"][..], &["x", "b", "c"], &["a", "b", "c."], &["a.b.c"], &["a.b", "c"]] {
        assert!(!opens(at(nothing), "deep", &["news"]).await, "{nothing:?}");
        assert!(!opens(at(nothing), "deep", &["other"]).await, "{nothing:?}");
    }
    for malformed in [&["a"][..], &["a", "b"], &["a", "b", "c", "d"], &["sub", "x"], &["exp"], &[]] {
        assert_eq!(answer(&client(at(malformed), "deep").await), INVALID, "{malformed:?}");
    }
    // A name is one, whatever is in it.
    let url = || Grants::claim("https://app.example/topics");
    assert!(opens(url(), "url", &["news"]).await);
    assert!(!opens(url(), "url", &["other"]).await);
    assert!(opens(at(&["https://app", "example/topics"]), "url", &["other"]).await);
    // Not the last of two.
    assert_eq!(answer(&client(Grants::claim("topics"), "topics_twice").await), INVALID);
    assert_eq!(answer(&client(Grants::claim("other"), "topics_twice").await).0, 200);
}

#[tokio::test]
async fn roles_open_what_the_application_says() {
    let roles = || {
        Grants::claim_words(["realm_access", "roles"], |role| match role {
            "editor" => Ok(vec![TopicPattern::exact("news")?, TopicPattern::prefix("drafts/")?]),
            _ => match role.strip_prefix("team:") {
                Some(team) => Ok(vec![TopicPattern::exact(team)?]),
                None => Ok(Vec::new()),
            },
        })
    };
    assert!(opens(roles(), "roles", &["news", "drafts/1", "red"]).await);
    for other in ["editor", "offline_access", "team:red", "drafts", "blue"] {
        assert!(!opens(roles(), "roles", &[other]).await, "{other}");
    }
    for all in ["roles_one", "roles_many", "roles_same"] {
        assert!(opens(roles(), all, &["news", "drafts/1"]).await, "{all}");
    }
    for none in ["roles_none", "roles_empty", "roles_empty_text", "roles_with_a_dot", "absent"] {
        assert!(!opens(roles(), none, &["news"]).await, "{none}");
    }
    // A team of that name, and no pattern.
    assert!(opens(roles(), "roles_star", &["*"]).await);
    for other in ["news", "red", "drafts/1"] {
        assert!(!opens(roles(), "roles_star", &[other]).await, "{other}");
    }
    for malformed in [
        "roles_team_empty",
        "roles_control",
        "roles_long",
        "roles_number",
        "roles_mixed",
        "roles_nested",
        "roles_null",
        "roles_object",
        "outer_list",
        "outer_text",
        "outer_null",
        "outer_number",
        "roles_twice",
        "outer_twice",
        "outer_twice_null",
        "roles_teams",
    ] {
        assert_eq!(answer(&client(roles(), malformed).await), INVALID, "{malformed}");
    }
    // A token of 10,000 entries is too long to be looked at.
    assert_eq!(answer(&client(roles(), "roles_10000").await).0, 400);
    // As they stand they are patterns.
    let patterns = || Grants::claim_path(["realm_access", "roles"]);
    assert!(opens(patterns(), "roles_star", &["whatever"]).await);
    assert_eq!(answer(&client(patterns(), "roles_empty_text").await), INVALID);
    let endless =
        Grants::claim_words(
            ["topics"],
            |_| Ok((0..).filter_map(|n| TopicPattern::exact(n.to_string()).ok())),
        );
    assert_eq!(answer(&client(endless, "claim").await), INVALID);
}

#[tokio::test]
async fn a_scope_names_topics_by_a_prefix() {
    let scope = || Grants::scope("sse:");
    assert!(opens(scope(), "scope", &["news", "team/a"]).await);
    for other in ["openid", "profile", "sse:news", "loud", "other", "team", "SSE:loud"] {
        assert!(!opens(scope(), "scope", &[other]).await, "{other}");
    }
    let own = client(scope(), "scope").await.unwrap().granted_topics().unwrap();
    assert_eq!(own, Topics::new(["news"]).unwrap());
    for one in ["scope_one", "scope_spaces", "scope_same", "scope_many"] {
        assert!(opens(scope(), one, &["news"]).await, "{one}");
    }
    assert!(opens(scope(), "scope_64", &["t0", "t63"]).await);
    assert!(opens(scope(), "scope_everything", &["whatever"]).await);
    // One word, and not one that begins so.
    for none in ["scope_empty", "scope_tab", "absent"] {
        assert!(!opens(scope(), none, &["news"]).await, "{none}");
    }
    for malformed in [
        "scope_new_line",
        "scope_prefix_alone",
        "scope_list",
        "scope_null",
        "scope_number",
        "scope_object",
        "scope_65",
        "scope_twice",
    ] {
        assert_eq!(answer(&client(scope(), malformed).await), INVALID, "{malformed}");
    }
    assert!(opens(Grants::scope(""), "scope", &["openid", "sse:news"]).await);

    let own = || {
        Grants::scope_words("scp", |word| {
            word.strip_prefix("sse:").map(|rest| TopicPattern::exact(format!("{rest}!"))).transpose()
        })
    };
    assert!(opens(own(), "scp", &["news!"]).await);
    for other in ["news", "other!", "other"] {
        assert!(!opens(own(), "scp", &[other]).await, "{other}");
    }
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
