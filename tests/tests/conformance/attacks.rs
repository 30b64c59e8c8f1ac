//! What nobody means to do, one thing after another, over sockets. After each the server answers, others notice nothing,
//! and nothing is left of it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sse_tests::{
    http::{self, Answer},
    servers::{Framework, User},
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use super::sessions::{Served, ends};

/// Somebody else's stream, which goes on whatever happens.
async fn bystander(served: &Served) -> Answer {
    served.open(&User::new("bob", "bob")).await
}

async fn still_gets(served: &Served, other: &mut Answer, text: &str) {
    served.server.hub.publish("user/bob", text).await.unwrap();
    let end = format!("data: {text}\n");
    other.until(|text| text.contains(&end) && text.ends_with("\n\n")).await;
}

pub(crate) async fn eighty_page_loads_of_one_person_are_ended_by_one_word(framework: Framework) {
    let served = Served::start(framework).await;
    let mut other = bystander(&served).await;
    let ada = User::new("ada", "1");
    let pages = join_all((0..80).map(|_| served.open(&ada))).await;
    assert_eq!(served.server.hub.lifecycle().streams(), 81);
    // Half of them go by themselves, as a page does.
    let mut pages: Vec<_> =
        pages.into_iter().enumerate().filter(|(n, _)| n % 2 == 0).map(|(_, page)| page).collect();
    served.is_idle(41).await;
    let last = pages.pop().unwrap();
    assert_eq!(served.app.auth.revocations().revoke_session("1").await.unwrap(), 40);
    ends(last).await;
    join_all(pages.into_iter().map(|mut page| async move { page.rest().await })).await;
    assert_eq!(served.app.auth.revocations().revoke_session("1").await.unwrap(), 0);
    assert_eq!(served.app.auth.revocations().end_subject("ada").await.unwrap(), 0);
    still_gets(&served, &mut other, "after").await;
    served.is_idle(1).await;
}

/// A request whose answer, if any, nobody waits for.
async fn ask(served: &Served, cookie: &str) -> TcpStream {
    let mut socket = TcpStream::connect(served.server.addr).await.unwrap();
    let request = format!("GET /session HTTP/1.1\r\nHost: x\r\nCookie: session={cookie}\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

pub(crate) async fn an_application_that_panics_or_hangs_takes_nobody_else_down(framework: Framework) {
    let served = Served::start(framework).await;
    let mut other = bystander(&served).await;
    let hanging = join_all((0..50).map(|_| ask(&served, "hangs"))).await;
    join_all((0..10).map(|_| ask(&served, "panics"))).await;
    still_gets(&served, &mut other, "while they hang").await;
    let ada = User::new("ada", "1");
    let stream = served.open(&ada).await;
    assert_eq!(served.server.hub.lifecycle().streams(), 2, "who is not let in holds no place");
    drop(hanging);
    assert_eq!(served.app.auth.revocations().revoke_subject("ada").await.unwrap(), 1);
    ends(stream).await;
    still_gets(&served, &mut other, "after").await;
    served.is_idle(1).await;
}

pub(crate) async fn who_reads_nothing_holds_nobody_up_while_their_right_ends(framework: Framework) {
    let served = Served::start(framework).await;
    let mut other = bystander(&served).await;
    let revoked = join_all((0..10).map(|n| {
        let (served, user) = (&served, User::new("eve", &n.to_string()));
        async move { ask(served, user.cookie().trim_start_matches("session=")).await }
    }))
    .await;
    let start = Instant::now();
    while served.server.hub.lifecycle().streams() < 11 {
        assert!(start.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(5)).await;
    }
    // More than sockets hold.
    let payload = "x".repeat(50_000);
    for n in 0..300 {
        served.server.hub.publish("user/eve", format!("{n} {payload}")).await.unwrap();
    }
    let start = Instant::now();
    assert_eq!(served.app.auth.revocations().revoke_subject("eve").await.unwrap(), 10);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    still_gets(&served, &mut other, "while they read nothing").await;
    assert_eq!(
        served.send("GET", "/session", &[("Cookie", &User::new("eve", "1").cookie())]).await.status,
        401
    );
    let mut again = served.open(&User::new("ada", "1")).await;
    assert!(again.goes_on_for(Duration::from_millis(50)).await);
    drop((revoked, again));
    still_gets(&served, &mut other, "after").await;
    served.is_idle(1).await;
}

pub(crate) async fn signing_out_and_back_in_again_and_again_leaves_nothing_behind(framework: Framework) {
    let served = Served::start(framework).await;
    let mut other = bystander(&served).await;
    for n in 0..40 {
        let ada = User::new("ada", &n.to_string());
        let stream = served.open(&ada).await;
        let mut out = served.send("POST", "/session/out", &[("Cookie", &ada.cookie())]).await;
        assert_eq!((out.status, out.rest().await.as_str()), (200, "1"), "{n}");
        let mut stream = stream;
        timeout(Duration::from_secs(20), stream.rest()).await.expect("it ends");
        // The same cookie, at once and twice; and a place that it must not take.
        for _ in 0..2 {
            let accept = [("Cookie", &*ada.cookie()), ("Accept", "text/event-stream")];
            assert_eq!(served.send("GET", "/session", &accept).await.status, 204, "{n}");
            assert_eq!(served.send("POST", "/session/out", &accept[..1]).await.status, 401, "{n}");
        }
    }
    still_gets(&served, &mut other, "after").await;
    assert_eq!(http::get(served.server.addr, "/blank").await.status, 200);
    served.is_idle(1).await;
}
