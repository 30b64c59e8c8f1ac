//! Unix sockets, as a proxy on the same machine may use them.

use std::{
    net::SocketAddr,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use actix_web::{App as ActixApp, HttpServer, web};
use futures_util::stream;
use rocket::config::Config;
use sse_core::{Hub, Lifecycle, Limits, StreamOptions, TrustedProxies};
use sse_tests::http::{self, Answer};
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt,
    net::UnixStream,
    time::{sleep, timeout},
};
use warp::Filter;

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
enum Server {
    Actix,
    Warp,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actix_serves_streams() {
    serves_streams(Server::Actix).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn warp_serves_streams() {
    serves_streams(Server::Warp).await;
}

/// Serves `/events` until the hub's lifecycle stops.
fn serve(server: Server, hub: &Hub, path: &Path) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    let hub = hub.clone();
    match server {
        Server::Actix => tokio::task::spawn_blocking(move || {
            let events = async |request: sse_actix::SseRequest, hub: web::Data<Hub>| {
                assert_eq!(request.peer(), None);
                request.subscribe(&hub, "news")
            };
            actix_web::rt::System::new().block_on(async move {
                let stop = hub.lifecycle().stopped();
                HttpServer::new(move || {
                    let app = ActixApp::new().configure(sse_actix::with_hub(&hub));
                    app.route("/events", web::get().to(events))
                })
                .workers(1)
                .h1_allow_half_closed(false)
                .shutdown_signal(stop)
                .shutdown_timeout(1)
                .listen_uds(listener)
                .unwrap()
                .run()
                .await
                .unwrap();
            });
        }),
        Server::Warp => {
            let events = |request: sse_warp::SseRequest, hub: Hub| {
                assert_eq!(request.peer(), None);
                request.subscribe(&hub, "news")
            };
            let routes =
                warp::path!("events").and(sse_warp::request(&hub)).and(sse_warp::with_hub(&hub)).map(events);
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let connections = stream::unfold(listener, async |listener| {
                let accepted = listener.accept().await.map(|(socket, _)| (socket, None::<SocketAddr>));
                Some((accepted, listener))
            });
            tokio::spawn(sse_warp::serve(warp::service(routes), &hub).run_on(connections))
        }
    }
}

async fn get(path: &Path, headers: &[(&str, &[u8])]) -> Answer {
    let socket = UnixStream::connect(path).await.unwrap();
    http::send_to("localhost", Box::new(socket), "GET", "/events", headers, b"").await
}

async fn streams_become(hub: &Hub, wanted: usize) {
    let start = Instant::now();
    while hub.lifecycle().streams() != wanted {
        assert!(start.elapsed() < PATIENCE, "{} are open", hub.lifecycle().streams());
        sleep(Duration::from_millis(10)).await;
    }
}

async fn serves_streams(server: Server) {
    let folder = TempDir::new().unwrap();
    let path: PathBuf = folder.path().join("socket");
    // The proxy says where a client is: there is no address to trust.
    let limits =
        Limits::builder().max_streams_per_address(1).trusted_proxies(TrustedProxies::hops(1)).build();
    let hub = Hub::builder()
        .lifecycle(&Lifecycle::builder().limits(&limits).build())
        .stream_options(StreamOptions::new().max_age(Duration::from_secs(3)))
        .build();
    let served = serve(server, &hub, &path);

    let mut answer = get(&path, &[("X-Forwarded-For", b"192.0.2.1")]).await;
    assert_eq!(answer.status, 200);
    answer.until(|text| text.contains("\n\n")).await;
    assert_eq!(get(&path, &[("X-Forwarded-For", b"192.0.2.1")]).await.status, 429);
    let id = hub.publish("news", "one").await.unwrap().to_string();
    answer.until(|text| text.contains(&id) && text.ends_with("\n\n")).await;
    drop(answer);
    streams_become(&hub, 0).await;
    let last = hub.publish("news", "two").await.unwrap().to_string();
    let mut answer = get(&path, &[("Last-Event-ID", id.as_bytes())]).await;
    answer.until(|text| text.contains("data: two\n") && text.contains(&last)).await;
    drop(answer);
    streams_become(&hub, 0).await;

    // Whoever reads nothing has no time of TCP's: it is the stream's age that frees what it holds.
    let mut unread = UnixStream::connect(&path).await.unwrap();
    unread.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    streams_become(&hub, 1).await;
    for _ in 0..200 {
        hub.publish("news", "x".repeat(50_000)).await.unwrap();
    }
    streams_become(&hub, 0).await;

    let mut answer = get(&path, &[]).await;
    answer.until(|text| text.contains("\n\n")).await;
    hub.lifecycle().stop();
    assert!(http::without_jitter(&answer.rest().await).ends_with("retry: N\n"));
    answer.closed().await.unwrap();
    timeout(PATIENCE, served).await.expect("it ends").unwrap();
    drop(unread);
}

/// Rocket 0.5 has none, and says so before it starts.
#[tokio::test]
async fn rocket_refuses_one() {
    let config = Config::figment().merge(("address", "unix:/tmp/rocket.sock")).merge(("log_level", "off"));
    let rocket = rocket::custom(config).attach(sse_rocket::with_hub(&Hub::new()));
    let error = rocket.launch().await.unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::Config(_)), "{error:?}");
}
