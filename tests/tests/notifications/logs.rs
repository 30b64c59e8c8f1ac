//! What the examples log.

use std::time::Duration;

use serde_json::{Value, json};
use sse_tests::{examples::Example, http, servers::Framework};

use crate::{By, Pass, open, post};

/// At every level, and whatever is asked: no token, ticket or cookie is in the log.
pub(crate) async fn no_log_shows_a_secret(framework: Framework, by: By) {
    for level in ["off", "critical", "normal", "debug"] {
        let env = [("ROCKET_LOG_LEVEL", level), ("RUST_LOG", "trace")];
        let mut example = by.start_with(framework, &env).await;
        let secrets = match by {
            By::Token => token_and_ticket(&example).await,
            By::Session => session(&example).await,
        };
        example.signal("TERM").await;
        assert_eq!(example.code(Duration::from_secs(30)).await, Some(0));
        let log = example.output();
        assert!(secrets.iter().all(|secret| secret.len() >= 12), "{secrets:?}");
        for secret in &secrets {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{level}");
        }
        // It is the log, and what was asked for stands in it.
        if framework == Framework::Rocket && level != "off" && level != "critical" {
            let asked = match by {
                By::Token => "/events?ticket=-",
                By::Session => "/events?topic=user/bob",
            };
            assert!(log.contains(asked) && log.contains("/nowhere?x=1"), "{log}");
            assert!(by == By::Session || log.contains("/nowhere?x=1&ticket=-&y"), "{log}");
        }
    }
}

/// Every request that bears a session's cookie; what must not be seen of it.
async fn session(example: &Example) -> Vec<String> {
    let addr = example.addr;
    let by = By::Session;
    let (ada, other) = (by.sign_in(addr, "ada").await, by.sign_in(addr, "ada").await);
    for path in ["/events?topic=user/bob", "/notify", "/nowhere?x=1", "/"] {
        for method in ["OPTIONS", "HEAD", "POST", "PUT"] {
            for from in ["same-origin", "cross-site"] {
                let headers = [ada.header(), ("Sec-Fetch-Site", from.as_bytes())];
                http::send(addr, method, path, &headers, b"").await;
            }
        }
    }
    drop(open(addr, &ada).await);
    http::send(addr, "GET", "/events?topic=user/bob", &[ada.header()], b"").await;
    assert_eq!(post(addr, "/logout", Some(&ada), &json!({})).await.status, 204);
    assert_eq!(http::send(addr, "GET", "/events", &[ada.header()], b"").await.status, 401);
    let changed = format!("{}x", other.1);
    assert_eq!(http::send(addr, "GET", "/events", &[("Cookie", changed.as_bytes())], b"").await.status, 401);
    let words = [&ada, &other].into_iter().flat_map(|Pass(_, cookie)| {
        cookie.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| word.len() >= 12)
    });
    let words: Vec<_> = words.map(str::to_owned).collect();
    assert!(words.len() >= 2);
    words
}

/// Every request that bears a token or a ticket; what must not be seen of them.
async fn token_and_ticket(example: &Example) -> Vec<String> {
    let addr = example.addr;
    let ada = By::Token.sign_in(addr, "ada").await;
    let bearer = &ada.1;
    let token = bearer.strip_prefix("Bearer ").unwrap();
    let mut answer = post(addr, "/ticket", Some(&ada), &json!({})).await;
    let ticket: Value = serde_json::from_str(&answer.rest().await).unwrap();
    let ticket = ticket["ticket"].as_str().unwrap();
    let login = format!("sse_token={token}");
    let requests: [&[(&str, &str)]; 3] = [
        &[],
        &[("Cookie", &login)],
        &[("Origin", "https://app.example"), ("Access-Control-Request-Method", "GET")],
    ];
    let secrets =
        [format!("ticket={ticket}"), format!("x=1&ticket={ticket}&y"), format!("access_token={token}")];
    for path in ["/events", "/notify", "/nowhere", "/"] {
        for query in &secrets {
            for method in ["OPTIONS", "HEAD", "POST", "PUT"] {
                for headers in requests {
                    let headers: Vec<_> =
                        headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                    http::send(addr, method, &format!("{path}?{query}"), &headers, b"").await;
                }
            }
        }
    }
    // Used, used up, and back with its cookie.
    let path = format!("/events?{}", secrets[0]);
    let opened = http::get(addr, &path).await;
    assert_eq!(opened.status, 200, "nothing before has used it");
    let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(http::get(addr, &path).await.status, 401);
    let session = [("Cookie", cookie.as_bytes())];
    assert_eq!(http::send(addr, "GET", &path, &session, b"").await.status, 200);
    http::send(addr, "GET", "/events?topic=user/bob", &[("Authorization", bearer.as_bytes())], b"").await;
    http::send(addr, "GET", "/events", &[("Authorization", format!("{bearer}x").as_bytes())], b"").await;
    assert_eq!(post(addr, "/logout", Some(&ada), &json!({})).await.status, 204);

    let parts = token.split('.').map(|part| &part[part.len() - 12..]);
    let (_, session) = cookie.split_once('=').unwrap();
    parts.chain([ticket, session]).map(str::to_owned).collect()
}
