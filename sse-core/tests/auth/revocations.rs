//! What was taken back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use futures_core::Stream;
use futures_util::StreamExt;
use sse_core::{Algorithm, Auth, EventStream, Grants, Hub, Key, Revocations, Subscription, Topic};
use tokio::time::{Instant, timeout};

use super::{answer, auth, authorize, bearer, text, token, verifier};

async fn status(auth: &Auth, name: &str) -> u16 {
    answer(&authorize(auth, &bearer(&token(name))).await).0
}

async fn open(hub: &Hub, auth: &Auth, name: &str) -> EventStream<Subscription> {
    let client = auth.authorize(&bearer(&token(name)), hub.lifecycle()).await.unwrap();
    hub.open(&client, client.granted_topics().unwrap()).unwrap()
}

/// Whether the stream ends within a second, by itself.
async fn ends(stream: EventStream<Subscription>) -> bool {
    timeout(Duration::from_secs(1), stream.for_each(|_| async {})).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn signing_out_ends_one_token() {
    let (hub, auth) = (Hub::new(), auth());
    let (signed_out, other) = (open(&hub, &auth, "ada").await, open(&hub, &auth, "ada_again").await);
    let client = authorize(&auth, &bearer(&token("ada"))).await.unwrap();
    assert_eq!(auth.revocations().revoke(&client).await.unwrap(), 1);
    assert!(ends(signed_out).await);
    assert!(!ends(other).await);
    assert_eq!(status(&auth, "ada").await, 401);
    // Signed in again.
    assert_eq!(status(&auth, "ada_again").await, 200);

    // A token without an id is revoked all the same.
    let client = authorize(&auth, &bearer(&token("ada_without_iat"))).await.unwrap();
    assert_eq!(auth.revocations().revoke(&client).await.unwrap(), 0);
    assert_eq!(status(&auth, "ada_without_iat").await, 401);
    assert_eq!(auth.revocations().revoke_token_id("ada-2").await.unwrap(), 0);
    assert_eq!(status(&auth, "ada_again").await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_stream_is_woken_at_once() {
    let (hub, auth) = (Hub::new(), auth());
    // A task of its own: nothing but the revocation may wake it.
    let stream = open(&hub, &auth, "ada").await;
    let ended = tokio::spawn(async move {
        stream.for_each(|_| async {}).await;
        Instant::now()
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    let revoked = Instant::now();
    auth.revocations().revoke_subject("ada").await.unwrap();
    let after = ended.await.unwrap() - revoked;
    assert!(after < Duration::from_millis(100), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_subject_can_sign_in_again_at_once() {
    let (hub, auth) = (Hub::new(), auth());
    let (ada, eve) = (open(&hub, &auth, "ada").await, open(&hub, &auth, "eve").await);
    // Of this very second, and used.
    assert_eq!(status(&auth, "ada_now").await, 200);
    assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 1);
    assert!(ends(ada).await);
    assert!(!ends(eve).await);
    for old in ["ada", "ada_again", "ada_now", "ada_without_iat"] {
        assert_eq!(status(&auth, old).await, 401, "{old}");
    }
    for new in ["ada_now_too", "ada_later", "eve"] {
        assert_eq!(status(&auth, new).await, 200, "{new}");
    }
    // Once more: what was good a moment ago is not.
    auth.revocations().revoke_subject("ada").await.unwrap();
    assert_eq!(status(&auth, "ada_now_too").await, 401);
    // Issued ahead of our clock, but used before.
    assert_eq!(status(&auth, "ada_later").await, 401);
}

#[tokio::test(start_paused = true)]
async fn a_topic_can_be_taken_from_everybody() {
    let (hub, auth) = (Hub::new(), auth());
    let client = authorize(&auth, &bearer(&token("ada"))).await.unwrap();
    let with = hub.open(&client, ["news", "user/ada"]).unwrap();
    let without = hub.open(&client, "user/ada").unwrap();
    let news = Topic::new("news").unwrap();
    assert!(client.allows(&news));
    assert_eq!(auth.revocations().revoke_topic(&news).await.unwrap(), 1);
    assert!(ends(with).await);
    assert!(!ends(without).await);
    assert!(!client.allows(&news));
    assert_eq!(hub.open(&client, "news").unwrap_err().status(), 403);
    let eve = authorize(&auth, &bearer(&token("eve"))).await.unwrap();
    assert_eq!(hub.open(&eve, ["news", "user/eve"]).unwrap_err().status(), 403);
    assert!(hub.open(&eve, "user/eve").is_ok());
    // A token issued since then.
    let later = authorize(&auth, &bearer(&token("ada_later"))).await.unwrap();
    assert!(hub.open(&later, "news").is_ok());
}

/// Revokes once more when it is woken, and one of many panics.
struct Unruly(Revocations, usize, Arc<AtomicUsize>);

impl Wake for Unruly {
    fn wake(self: Arc<Self>) {
        super::now(self.0.revoke_subject("eve"));
        self.2.fetch_add(1, Ordering::SeqCst);
        assert_ne!(self.1, 5, "a waker that panics");
    }
}

#[tokio::test]
async fn each_stream_is_woken_whatever_another_s_waker_does() {
    let (hub, auth) = (Hub::new(), auth());
    let woken = Arc::<AtomicUsize>::default();
    let mut streams = Vec::new();
    for n in 0..40 {
        let mut stream = Box::pin(open(&hub, &auth, "ada").await);
        let waker = Waker::from(Arc::new(Unruly(auth.revocations().clone(), n, Arc::clone(&woken))));
        while stream.as_mut().poll_next(&mut Context::from_waker(&waker)).is_ready() {}
        streams.push(stream);
    }
    assert_eq!(auth.revocations().revoke_subject("ada").await.unwrap(), 40);
    assert_eq!(woken.load(Ordering::SeqCst), 40);
}

/// What signs for P-256 as well as (r, s) does: (r, n − s).
fn flipped(token: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (message, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for (digit, n) in signature[32..].iter_mut().zip(N).rev() {
        let difference = i16::from(n) - i16::from(*digit) - borrow;
        borrow = i16::from(difference < 0);
        *digit = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test(start_paused = true)]
async fn another_signature_of_the_same_token_is_the_same_token() {
    let case =
        super::DATA["cases"].as_array().unwrap().iter().find(|case| case["name"] == "good ES256").unwrap();
    let token = case["token"].as_str().unwrap();
    let auth = || {
        let verifier = verifier().algorithms([Algorithm::ES256]).keys(Key::pem(text("/pem/p256")).unwrap());
        Auth::builder(verifier.build().unwrap()).grants(Grants::claim("topics")).build().unwrap()
    };
    let status = async |auth: &Auth, token: &str| answer(&authorize(auth, &bearer(token)).await).0;
    let other = flipped(token);
    assert_ne!(token, other);
    assert_eq!(token, flipped(&other));

    // By the token, and by the subject within the second that it was issued in.
    let auth = auth();
    let client = authorize(&auth, &bearer(token)).await.unwrap();
    assert_eq!(client.claims().unwrap().token_id(), None);
    assert_eq!(status(&auth, &other).await, 200);
    auth.revocations().revoke(&client).await.unwrap();
    assert_eq!((status(&auth, token).await, status(&auth, &other).await), (401, 401));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_remembered_until_it_expires_and_no_longer() {
    let auth = auth();
    let exp =
        std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(super::DATA["now"].as_u64().unwrap() + 900);
    assert_eq!(auth.revocations().revoke_token_id_until("ada-1", exp).await.unwrap(), 0);
    tokio::time::sleep(Duration::from_secs(890)).await;
    assert_eq!(status(&auth, "ada").await, 401);
    assert_eq!(status(&auth, "ada_again").await, 200);
    // Within the leeway.
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(status(&auth, "ada").await, 401);
}

/// Ordinary traffic: everybody signs out, day after day.
#[tokio::test(start_paused = true)]
async fn many_sign_outs_refuse_nobody_else() {
    let auth = auth();
    let now = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(super::DATA["now"].as_u64().unwrap());
    for n in 0..150_000_u32 {
        let exp = now + Duration::from_secs(900 + u64::from(n % 86_400));
        auth.revocations().revoke_token_id_until(&format!("signed-out-{n}"), exp).await.unwrap();
    }
    for name in ["ada", "ada_now", "ada_without_iat", "eve"] {
        assert_eq!(status(&auth, name).await, 200, "{name}");
    }
    auth.revocations().revoke_token_id("ada-1").await.unwrap();
    assert_eq!(status(&auth, "ada").await, 401);
}
