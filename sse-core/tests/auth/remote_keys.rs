//! Keys that are fetched.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use sse_core::{Algorithm, Auth, FetchedKeys, Keys};

use super::{Build, DATA, answer, authorize, bearer, field, text, verifier};

/// What the issuer answers, and how often it was asked.
#[derive(Clone)]
struct Issuer {
    document: Arc<Mutex<Result<Vec<u8>, &'static str>>>,
    asked: Arc<AtomicUsize>,
    takes: Duration,
}

impl Issuer {
    fn new(document: impl Into<Vec<u8>>) -> Self {
        Self {
            document: Arc::new(Mutex::new(Ok(document.into()))),
            asked: Arc::default(),
            takes: Duration::from_millis(100),
        }
    }

    fn with(name: &str) -> Self {
        Self::new(DATA["sets"][name].to_string())
    }

    fn set(&self, document: Result<Vec<u8>, &'static str>) {
        *self.document.lock().unwrap() = document;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn auth(&self) -> Auth {
        let issuer = self.clone();
        let keys = Keys::remote(move || {
            let issuer = issuer.clone();
            async move {
                issuer.asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(issuer.takes).await;
                let document = issuer.document.lock().unwrap().clone()?;
                Ok::<_, &'static str>(FetchedKeys::new(document, Some(Duration::from_secs(600))))
            }
        });
        // Tokens of a quarter of an hour, for tests of days.
        let now = super::clock()();
        let verifier = verifier().algorithms([Algorithm::RS256]).keys(keys).clock(move || now);
        Auth::builder(verifier.build().unwrap()).build().unwrap()
    }
}

async fn status(auth: &Auth, kid: &str) -> u16 {
    answer(&authorize(auth, &bearer(&text(&format!("/rs_by_kid/{kid}")))).await).0
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_unknown_ids_cause_two_fetches() {
    let issuer = Issuer::with("two_rsa");
    let auth = issuer.auth();
    // Nothing is asked before there is a need; then once for all.
    assert_eq!(issuer.asked(), 0);
    let all: Vec<u16> = join_all((0..100).map(|_| status(&auth, "a"))).await;
    assert_eq!((all, issuer.asked()), (vec![200; 100], 1));

    let started = tokio::time::Instant::now();
    let tokens: Vec<String> = (0..10_000).map(random_kid).collect();
    let answers = join_all(tokens.iter().map(|token| {
        let auth = &auth;
        async move { answer(&authorize(auth, &bearer(token)).await).0 }
    }))
    .await;
    assert!(answers.iter().all(|status| *status == 503), "they may be newer than the set");
    assert!(issuer.asked() <= 2, "{}", issuer.asked());
    assert!(started.elapsed() < Duration::from_secs(1));
    // Nor one after the other.
    for n in 10_000..10_200 {
        assert_eq!(answer(&authorize(&auth, &bearer(&random_kid(n))).await).0, 503);
    }
    assert!(issuer.asked() <= 2, "{}", issuer.asked());
    // Good ones are served meanwhile, and afterwards.
    assert_eq!(status(&auth, "a").await, 200);
    // What cannot be an id is not even asked for, however much time has passed.
    tokio::time::sleep(Duration::from_secs(31)).await;
    let asked = issuer.asked();
    for case in DATA["cases"].as_array().unwrap() {
        if matches!(case["name"].as_str(), Some("kid is line break" | "kid is NUL" | "kid is empty")) {
            let head = bearer(case["token"].as_str().unwrap());
            assert_eq!(answer(&authorize(&auth, &head).await).0, 401);
        }
    }
    assert_eq!(issuer.asked(), asked);
    // Others cause one more by then.
    tokio::time::sleep(Duration::from_secs(31)).await;
    join_all((20_000..20_100).map(|n| {
        let auth = &auth;
        async move { authorize(auth, &bearer(&random_kid(n))).await.map(|_| ()) }
    }))
    .await;
    assert!(issuer.asked() <= 3, "{}", issuer.asked());
}

/// A token with an id of its own; the signature is never looked at.
fn random_kid(n: usize) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    let token = text("/random_kids/0");
    let (_, rest) = token.split_once('.').unwrap();
    let header = format!("{{\"alg\":\"RS256\",\"kid\":\"{n:x}-{}\"}}", n.wrapping_mul(0x9e37_79b9));
    format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header))
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_found_by_its_id_and_nobody_is_sent_away_before() {
    let issuer = Issuer::with("mixed");
    let auth = issuer.auth();
    assert_eq!(status(&auth, "r").await, 200);
    let late = bearer(&text("/rs_by_kid/late"));
    let asks = async || authorize(&auth, &late).await.map(|_| ()).map_err(|refusal| refusal.status());
    // The issuer signs with a key that its document does not have yet.
    let refused = authorize(&auth, &late).await.unwrap_err();
    assert_eq!((refused.status(), issuer.asked()), (503, 2));
    let seconds: u64 = field(&refused, "retry-after").unwrap().parse().unwrap();
    assert!((29..=30).contains(&seconds), "{seconds}");
    issuer.set(Ok(DATA["late_set"].to_string().into()));
    // It is too early to ask again. An EventSource is told to come back.
    assert_eq!((asks().await, issuer.asked()), (Err(503), 2));
    let browser = bearer(&text("/rs_by_kid/late"));
    let browser = browser.header("accept", "text/event-stream").header("sec-fetch-mode", "cors");
    let soft = authorize(&auth, &browser).await.unwrap_err();
    assert_eq!((soft.status(), field(&soft, "content-type")), (200, Some("text/event-stream")));
    assert!(soft.body().starts_with("retry: "), "{}", soft.body());
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((asks().await, issuer.asked()), (Ok(()), 3));
    // One that never comes is none in the end.
    let never = bearer(&text("/random_kids/0"));
    let asks = async || answer(&authorize(&auth, &never).await).0;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(asks().await);
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert_eq!((answers[0], answers[7]), (503, 401), "{answers:?}");
    assert!(issuer.asked() <= 6, "{}", issuer.asked());
}

#[tokio::test(start_paused = true)]
async fn a_set_is_renewed_in_the_background_and_a_key_that_left_is_gone() {
    let issuer = Issuer::with("mixed");
    let auth = issuer.auth();
    assert_eq!(status(&auth, "r").await, 200);
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!((status(&auth, "r").await, issuer.asked()), (200, 1));
    // The last fifth of ten minutes. Nobody asks meanwhile, and nobody waits.
    issuer.set(Ok(DATA["sets"]["two_rsa"].to_string().into()));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(issuer.asked(), 2);
    let started = tokio::time::Instant::now();
    assert_eq!(status(&auth, "a").await, 200);
    assert!(started.elapsed() < issuer.takes);
    assert_ne!(status(&auth, "r").await, 200);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!((status(&auth, "a").await, status(&auth, "r").await), (200, 401));
    // And not for ever after everybody has gone.
    let asked = issuer.asked();
    drop(auth);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert!(issuer.asked() <= asked + 1, "{} {asked}", issuer.asked());
}

#[tokio::test(start_paused = true)]
async fn known_keys_answer_at_once_while_the_issuer_is_away() {
    let mut issuer = Issuer::with("mixed");
    issuer.takes = Duration::from_secs(1);
    let auth = issuer.auth();
    assert_eq!(status(&auth, "r").await, 200);
    // Slow to fail, and for longer than the set is to be used.
    issuer.set(Err("connection refused"));
    for _ in 0..1200 {
        tokio::time::sleep(Duration::from_millis(900)).await;
        let started = tokio::time::Instant::now();
        assert_eq!(status(&auth, "r").await, 200);
        assert!(started.elapsed() < Duration::from_millis(10), "{:?}", started.elapsed());
    }
    assert!(issuer.asked() > 10, "{}", issuer.asked());
}

#[tokio::test(start_paused = true)]
async fn the_last_good_set_stays_for_a_day() {
    // Good in itself, but for its size.
    let mut ten_megabytes = DATA["late_set"].to_string().into_bytes();
    ten_megabytes.resize(10 << 20, b' ');
    let secret = DATA["sets"]["short_oct"].to_string().into_bytes();
    let with_oct = DATA["sets"]["with_secret"].to_string().into_bytes();
    let twice = DATA["sets"]["duplicate"].to_string().into_bytes();
    let empty = b"{\"keys\":[]}".to_vec();
    let bad: [Result<Vec<u8>, &str>; 8] = [
        Err("connection refused"),
        Ok(ten_megabytes),
        Ok(empty),
        Ok(b"<html>".to_vec()),
        Ok(b"{}".to_vec()),
        Ok(secret),
        Ok(with_oct),
        Ok(twice),
    ];
    for document in bad {
        let issuer = Issuer::with("mixed");
        let auth = issuer.auth();
        assert_eq!(status(&auth, "r").await, 200);
        issuer.set(document);
        for _ in 0..23 {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(status(&auth, "r").await, 200);
        }
        assert!(issuer.asked() > 20);
        tokio::time::sleep(Duration::from_secs(3700)).await;
        let refused = authorize(&auth, &bearer(&text("/rs_by_kid/r"))).await.unwrap_err();
        assert_eq!(refused.status(), 503);
        assert!(field(&refused, "retry-after").is_some());
        assert_eq!(field(&refused, "www-authenticate"), None);
        // Also while it is too early to ask again.
        assert_eq!(status(&auth, "r").await, 503);
        issuer.set(Ok(DATA["sets"]["mixed"].to_string().into()));
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(status(&auth, "r").await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn without_keys_there_is_a_503_and_few_attempts() {
    let issuer = Issuer::with("mixed");
    issuer.set(Err("connection refused"));
    let auth = issuer.auth();
    for _ in 0..600 {
        assert_eq!(status(&auth, "r").await, 503);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // One minute, waits of about 1, 2, 4, 8, 16, 30 s.
    assert!((4..=10).contains(&issuer.asked()), "{}", issuer.asked());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_hangs_or_panics_has_failed() {
    let mut issuer = Issuer::with("mixed");
    issuer.takes = Duration::from_secs(3600);
    let auth = issuer.auth();
    let started = tokio::time::Instant::now();
    assert_eq!(status(&auth, "r").await, 503);
    assert!(started.elapsed() <= Duration::from_secs(6));

    let keys =
        Keys::remote(|| async { if true { panic!("on purpose") } else { Ok::<Vec<u8>, String>(vec![]) } });
    assert!(!keys.warm_up().await);
    let document = DATA["sets"]["mixed"].to_string();
    let keys = Keys::remote(move || std::future::ready(Ok::<_, String>(document.clone())));
    assert!(keys.warm_up().await);
}

#[tokio::test(start_paused = true)]
async fn of_two_keys_with_one_id_neither_is_taken() {
    let key = |set: &str, n: usize| DATA["sets"][set]["keys"][n].clone();
    // The second is too weak to be of use, and yet there.
    for other in [key("duplicate", 1), key("small", 0)] {
        let keys = [key("duplicate", 0), key("two_rsa", 0), other];
        let auth = Issuer::new(serde_json::json!({ "keys": keys }).to_string()).auth();
        assert_eq!(status(&auth, "a").await, 200);
        assert_ne!(status(&auth, "r").await, 200);
    }
}

#[tokio::test]
async fn secrets_are_never_taken_from_elsewhere() {
    let keys = |name: &str| {
        let document = DATA["sets"][name].to_string();
        Keys::remote(move || std::future::ready(Ok::<_, String>(document.clone())))
    };
    let build = verifier().algorithms([Algorithm::HS256, Algorithm::RS256]).keys(keys("mixed")).build();
    assert!(build.is_err());
    // Among public keys they spoil the document.
    assert!(keys("mixed").warm_up().await);
    assert!(!keys("with_secret").warm_up().await);
    assert!(!keys("secret").warm_up().await);
}
