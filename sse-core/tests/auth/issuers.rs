//! Several issuers, each with keys and rules of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use sse_core::{
    Algorithm, Auth, ConfigError, Grants, Hub, Key, Keys, TopicPattern, Verifier, VerifierBuilder,
};

use super::{Build, DATA, answer, authorize, bearer, clock, get, text};

const STAFF: &str = "https://staff.example";
const PARTNER: &str = "https://partner.example";
const JOBS: &str = "https://jobs.example";

fn rsa(keys: impl Into<Keys>) -> VerifierBuilder {
    // A clock that stands still: some of these are a matter of a second.
    let now = clock()();
    Verifier::builder().algorithms([Algorithm::RS256]).keys(keys).audience("sse-example").clock(move || now)
}

fn staff() -> Verifier {
    rsa(Key::pem(text("/pem/rsa")).unwrap()).issuer(STAFF).build().unwrap()
}

fn partner_keys() -> Keys {
    Keys::jwks(DATA["sets"]["partner"].to_string()).unwrap()
}

fn all_three() -> Verifier {
    let partner = rsa(partner_keys()).issuers([PARTNER, "https://partner-before.example"]);
    let jobs = rsa(Key::hmac(text("/secret")).unwrap())
        .algorithms([Algorithm::HS256])
        .issuer(JOBS)
        .audience("jobs")
        .optional_expiry();
    Verifier::by_issuer([staff(), partner.build().unwrap(), jobs.build().unwrap()]).unwrap()
}

#[tokio::test]
async fn no_issuer_makes_tokens_in_anothers_name() {
    let auth = Auth::builder(all_three()).build().unwrap();
    let mut wrong = String::new();
    for case in DATA["by_issuer"].as_array().unwrap() {
        let answered = authorize(&auth, &bearer(case["token"].as_str().unwrap())).await;
        if u64::from(answer(&answered).0) != case["expect"].as_u64().unwrap() {
            wrong += &format!("{}: {:?}\n", case["name"], answer(&answered));
        }
        if let Ok(client) = answered {
            assert_eq!(client.claims().unwrap().issuer(), case["issuer"].as_str());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// What [`Verifier::by_issuer`] is for: the same keys in one pot let each speak for the other.
#[tokio::test]
async fn keys_in_one_pot_speak_for_every_issuer() {
    let rsa_key = Key::pem(text("/pem/rsa")).unwrap().with_id("staff").unwrap();
    let partner = Key::jwk(DATA["sets"]["partner"]["keys"][0].to_string()).unwrap();
    let pot = rsa(Keys::new([rsa_key, partner]).unwrap()).issuers([STAFF, PARTNER]).build().unwrap();
    let case = |name: &str| {
        let mut cases = DATA["by_issuer"].as_array().unwrap().iter();
        cases.find(|case| case["name"] == name).unwrap()["token"].as_str().unwrap().to_owned()
    };
    let forged = case("mix-up: and naming partner's key");
    assert_eq!(pot.verify(&forged).await.unwrap().issuer(), Some(STAFF));
    assert_eq!(all_three().verify(&forged).await.unwrap_err().status(), 401);
}

/// Grants can tell two of one name apart.
#[tokio::test]
async fn a_subject_is_its_issuers() {
    #[derive(serde::Deserialize)]
    struct Mine {
        iss: String,
        sub: String,
    }

    let grants =
        Grants::from_fn(|mine: Mine| Ok([TopicPattern::exact(format!("{}/{}", mine.iss, mine.sub))?]));
    let auth = Auth::builder(all_three()).grants(grants).build().unwrap();
    let open = async |at: usize, topic: &str| {
        let token = DATA["by_issuer"][at]["token"].as_str().unwrap();
        let client = authorize(&auth, &bearer(token)).await.unwrap();
        assert_eq!(client.subject(), "ada");
        Hub::new().open(&client, topic).map(|_| ()).map_err(|refusal| refusal.status())
    };
    assert_eq!(open(0, "https://staff.example/ada").await, Ok(()));
    assert_eq!(open(1, "https://staff.example/ada").await, Err(403));
    assert_eq!(open(1, "https://partner.example/ada").await, Ok(()));

    // Nor can it be told which of these two cookies the site has set.
    let cookie = |at: usize| format!("__Host-sse_token={}", DATA["by_issuer"][at]["token"].as_str().unwrap());
    let cookies = |at: [usize; 2]| get().header("cookie", at.map(cookie).join("; "));
    assert_eq!(answer(&authorize(&auth, &cookies([0, 1])).await).0, 400);
    assert_eq!(answer(&authorize(&auth, &cookies([1, 2])).await).0, 200);
}

#[tokio::test]
async fn keys_are_fetched_for_the_token_of_their_issuer_alone() {
    let counted = || {
        let fetches = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&fetches);
        let keys = Keys::remote(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            async { Ok::<_, String>(DATA["sets"]["partner"].to_string()) }
        });
        (keys, fetches)
    };
    let ((partner_keys, partners), (other_keys, others)) = (counted(), counted());
    let partner = rsa(partner_keys).issuer(PARTNER).build().unwrap();
    let other = rsa(other_keys).issuer("https://elsewhere.example").build().unwrap();
    let verifier = Verifier::by_issuer([other, partner, staff()]).unwrap();
    for case in DATA["by_issuer"].as_array().unwrap() {
        let is_partners = case["issuer"] == PARTNER;
        if !is_partners {
            let _ = verifier.verify(case["token"].as_str().unwrap()).await;
        }
    }
    assert_eq!((partners.load(Ordering::SeqCst), others.load(Ordering::SeqCst)), (0, 0));
    assert!(verifier.verify(DATA["by_issuer"][1]["token"].as_str().unwrap()).await.is_ok());
    assert_eq!((partners.load(Ordering::SeqCst), others.load(Ordering::SeqCst)), (1, 0));
}

/// Where one of them takes tokens that never expire, nothing that was revoked is forgotten.
#[tokio::test]
async fn the_longest_lifetime_counts_for_revocations() {
    let ahead = Arc::new(AtomicUsize::new(0));
    let (jump, start) = (Arc::clone(&ahead), clock());
    let now = move || start() + Duration::from_secs(jump.load(Ordering::SeqCst) as u64);
    let lenient = |now: Arc<dyn Fn() -> SystemTime + Send + Sync>| {
        rsa(Key::hmac(text("/secret")).unwrap())
            .algorithms([Algorithm::HS256])
            .issuer(JOBS)
            .audience("jobs")
            .optional_expiry()
            .clock(move || now())
            .build()
            .unwrap()
    };
    let now: Arc<dyn Fn() -> SystemTime + Send + Sync> = Arc::new(now);
    let clock = Arc::clone(&now);
    let first = rsa(partner_keys()).issuer(PARTNER).clock(move || clock()).build().unwrap();
    let auth = Auth::builder(Verifier::by_issuer([first, lenient(now)]).unwrap()).build().unwrap();
    let head = bearer(DATA["by_issuer"][3]["token"].as_str().unwrap());
    let client = authorize(&auth, &head).await.unwrap();
    auth.revocations().revoke(&client).await.unwrap();
    ahead.store(1000 * 86_400, Ordering::SeqCst);
    for n in 0..12_000 {
        auth.revocations().revoke_token_id(&n.to_string()).await.unwrap();
    }
    assert_eq!(answer(&authorize(&auth, &head).await).0, 401);
}

#[test]
fn issuers_must_be_told_apart() {
    let named = |names: &[&str]| rsa(partner_keys()).issuers(names.iter().copied()).build().unwrap();
    let error = |verifiers: Vec<Verifier>| Verifier::by_issuer(verifiers).map(|_| ()).unwrap_err();
    assert_eq!(error(Vec::new()), ConfigError::Issuer);
    let any = rsa(partner_keys()).accept_any_issuer().build().unwrap();
    assert_eq!(error(vec![named(&["a"]), any.clone()]), ConfigError::Issuer);
    assert_eq!(error(vec![any]), ConfigError::Issuer);
    assert_eq!(error(vec![named(&["a", "b"]), named(&["c", "b"])]), ConfigError::SameIssuer("b".into()));
    // Those that are several already count by each of them.
    let two = Verifier::by_issuer([named(&["a", "a"]), named(&["b"])]).unwrap();
    assert_eq!(error(vec![two.clone(), named(&["b"])]), ConfigError::SameIssuer("b".into()));
    assert!(Verifier::by_issuer([two, named(&["c"])]).is_ok());
}
