//! Sockets that are not one server's alone: an address that two share (`SO_REUSEPORT`), and a socket that was passed on.

use std::time::Duration;

use rocket::config::Config;
use sse_core::{Hub, ListenOptions, StreamOptions};
use sse_tests::{
    http,
    servers::{App, Framework},
};
use tokio::time::{sleep, timeout};
use warp::Filter;

use crate::accepted::{opened, servers_end};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_on_actix_takes_over() {
    a_new_server_takes_over(Framework::Actix).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_server_on_warp_takes_over() {
    a_new_server_takes_over(Framework::Warp).await;
}

/// A port that nobody has. Of one that is to be shared the system might give another's, who shares too.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Who comes while both listen comes to either, and once the old one has stopped, everybody to the new one.
async fn a_new_server_takes_over(framework: Framework) {
    let options = StreamOptions::new().keep_alive(Duration::from_millis(100));
    let app = |port| {
        let listen = ListenOptions::new().reuse_port(true);
        App { listen, port, ..App::new(Hub::builder().stream_options(options.clone()).build()) }
    };
    let old = framework.serve(app(free_port())).await;
    let new = framework.serve(app(old.addr.port())).await;
    let addr = old.addr;
    assert_eq!(addr, new.addr);
    let mut streams = Vec::new();
    let count = |server: &sse_tests::servers::Server| server.hub.lifecycle().streams();
    while count(&old) == 0 || count(&new) == 0 {
        assert!(streams.len() < 200, "all of them come to one");
        let mut stream = http::get(addr, "/events").await;
        stream.until(|text| text.contains("\n\n")).await;
        streams.push(stream);
    }
    let on_new = count(&new);
    old.stop().await;
    // The streams of the new one are as they were.
    assert_eq!(count(&new), on_new);
    for n in 1..=20 {
        let mut stream = http::get(addr, "/events").await;
        stream.until(|text| text.contains("\n\n")).await;
        streams.push(stream);
        assert_eq!(count(&new), on_new + n);
    }
    new.stop().await;
    // It closes its socket in its own time.
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        sleep(Duration::from_millis(10)).await;
    }
}

/// Its own socket asks for nothing of that, and a fairing comes too late: a server on an address that is taken says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rocket_shares_none() {
    let taken = ListenOptions::new().reuse_port(true).bind(("127.0.0.1", free_port())).unwrap();
    let config =
        Config::figment().merge(("port", taken.local_addr().unwrap().port())).merge(("log_level", "off"));
    let fairing = sse_rocket::with_hub(&Hub::new()).listen(ListenOptions::new().reuse_port(true));
    let error = rocket::custom(config).attach(fairing).launch().await.unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::Bind(_)), "{error:?}");
}

/// What listens already, as what systemd passes on, may be given its options too.
#[tokio::test]
async fn a_listener_that_was_passed_on_has_them() {
    let passed_on = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    ListenOptions::new().user_timeout(Duration::from_secs(7)).set_on(&passed_on).unwrap();
    let addr = passed_on.local_addr().unwrap();
    let hub = Hub::new();
    let routes = warp::path!("events").and(sse_warp::request(&hub)).and(sse_warp::with_hub(&hub));
    let routes = routes.map(|request: sse_warp::SseRequest, hub: Hub| request.subscribe(&hub, "news"));
    let served = tokio::spawn(sse_warp::serve(warp::service(routes), &hub).run(passed_on));
    let client = opened(addr).await;
    assert_eq!(servers_end(&client).tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
    hub.lifecycle().stop();
    timeout(Duration::from_secs(60), served).await.expect("it ends").unwrap().unwrap();
}
