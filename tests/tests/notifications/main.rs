//! The examples `notifications` and `sessions`, which keep one contract, and what a person sees of them in a browser.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure is a failed test")]

mod contract;
mod cookies;
mod logs;
mod people;
mod tokens_alone;

use std::net::SocketAddr;

use contract::{a_session_ends_in_time, the_contract_is_kept};
use cookies::{a_renewed_cookie_loses_nothing, another_site_stays_outside};
use fantoccini::wd::WindowHandle;
use logs::no_log_shows_a_secret;
use people::{two_people_in_chromium, two_people_in_firefox};
use serde_json::{Value, json};
use sse_tests::{
    browser::Browser,
    examples::Example,
    http::{self, Answer},
    servers::Framework,
    tokens,
};
use tokens_alone::{a_listed_page_of_another_site_comes_back, keys_can_be_fetched};

/// How people are known after they have signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// `notifications`
    Token,
    /// `sessions`
    Session,
}

impl By {
    async fn start(self, framework: Framework) -> Example {
        self.start_with(framework, &[]).await
    }

    async fn start_with(self, framework: Framework, env: &[(&str, &str)]) -> Example {
        let env = [&[("JWT_SECRET", tokens::SECRET)], env].concat();
        let bin = match self {
            Self::Token => "notifications",
            Self::Session => "sessions",
        };
        Example::start_with(framework, bin, &env).await
    }

    /// Signs somebody in, as a program that keeps no cookies by itself.
    async fn sign_in(self, addr: SocketAddr, user: &str) -> Pass {
        let mut answer = post(addr, "/login", None, &json!({ "user": user })).await;
        assert_eq!(answer.status, 200);
        let cookie = answer.header("set-cookie").unwrap().to_owned();
        let name = if self == Self::Token { "sse_token=ey" } else { "session=" };
        for part in [name, "HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
            assert!(cookie.contains(part), "{part}: {cookie}");
        }
        let answer: Value = serde_json::from_str(&answer.rest().await).unwrap();
        match self {
            Self::Token => Pass("Authorization", format!("Bearer {}", answer["token"].as_str().unwrap())),
            Self::Session => {
                assert_eq!(answer, json!({}));
                Pass("Cookie", cookie.split(';').next().unwrap().to_owned())
            }
        }
    }
}

/// The header field that shows who asks.
pub(crate) struct Pass(&'static str, String);

impl Pass {
    fn header(&self) -> (&str, &[u8]) {
        (self.0, self.1.as_bytes())
    }
}

async fn post(addr: SocketAddr, path: &str, pass: Option<&Pass>, body: &Value) -> Answer {
    let mut headers = vec![("Content-Type", &b"application/json"[..])];
    headers.extend(pass.map(Pass::header));
    http::send(addr, "POST", path, &headers, body.to_string().as_bytes()).await
}

async fn open(addr: SocketAddr, pass: &Pass) -> Answer {
    let mut answer = http::send(addr, "GET", "/events", &[pass.header()], b"").await;
    assert_eq!(answer.status, 200);
    answer.until(|text| text.contains("\n\n")).await;
    answer
}

async fn streams(addr: SocketAddr) -> String {
    let metrics = http::get(addr, "/metrics").await.rest().await;
    metrics.lines().find(|line| line.starts_with("sse_streams_open ")).unwrap().to_owned()
}

async fn to(browser: &Browser, window: &WindowHandle) {
    browser.client().switch_to_window(window.clone()).await.unwrap();
}

/// Makes a test of each of these functions for each framework, with tokens and with sessions:
/// `with_tokens::actix::…`, `with_sessions::actix::…`.
macro_rules! with_both {
    ($($case:ident)*) => {
        with_both!(@by with_tokens Token $($case)*);
        with_both!(@by with_sessions Session $($case)*);
    };
    (@by $module:ident $by:ident $($case:ident)*) => {
        mod $module {
            $(async fn $case(framework: sse_tests::servers::Framework) {
                crate::$case(framework, crate::By::$by).await;
            })*
            sse_tests::on_each_framework! { $($case)* }
        }
    };
}

with_both! {
    the_contract_is_kept
    two_people_in_chromium
    two_people_in_firefox
    a_renewed_cookie_loses_nothing
    another_site_stays_outside
    no_log_shows_a_secret
}

// Keys of a provider and tickets are about tokens alone. A session ends on the second, a token half a minute late, which
// the tests of conformance wait for.
sse_tests::on_each_framework! {
    keys_can_be_fetched
    a_listed_page_of_another_site_comes_back
    a_session_ends_in_time
}
