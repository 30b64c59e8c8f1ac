//! TLS on each server, by what the framework has for it: nothing is held back, the listener's options hold, whoever reads
//! nothing is cut, and a stream's end is the connection's clean one.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sse_core::{Event, Hub, ListenOptions, StreamOptions};
use sse_tests::{
    browser::Browser,
    clients::{self, Client},
    h2::{self, kind},
    http::{self, Answer},
    servers::{App, Framework, OwnStream, Server},
    tls::{Certificate, H2, HTTP_1_1},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::accepted::servers_end;

const PATIENCE: Duration = Duration::from_secs(60);

sse_tests::on_each_framework! {
    events_come_one_by_one_and_resume
    events_come_one_by_one_over_http_2_and_resume
    accepted_sockets_have_the_options
    a_client_that_reads_nothing_is_cut
    a_client_that_reads_nothing_over_http_2_is_cut
    a_stop_is_a_clean_end
    a_stop_is_a_clean_end_over_http_2
    what_is_no_tls_costs_nobody_anything
    who_does_not_get_on_is_cut
    chromium_reads_it
}

/// Nothing but events is written, so what is held back never comes.
fn quiet() -> Hub {
    Hub::builder().stream_options(StreamOptions::new().no_keep_alive()).build()
}

async fn serve(framework: Framework, app: App) -> (Server, Certificate) {
    let tls = Certificate::new();
    (framework.serve(App { tls: Some(tls.clone()), ..app }).await, tls)
}

async fn get(server: &Server, tls: &Certificate, path: &str, headers: &[(&str, &[u8])]) -> Answer {
    let stream = tls.connect(server.addr, HTTP_1_1).await;
    http::send_to("localhost", Box::new(stream), "GET", path, headers, b"").await
}

async fn events_come_one_by_one_and_resume(framework: Framework) {
    let (server, tls) = serve(framework, App::new(quiet())).await;
    let mut answer = get(&server, &tls, "/events", &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/event-stream")));
    answer.until(|text| text.contains("\n\n")).await;
    let mut ids = Vec::new();
    // Among them more than a record of TLS, and more than any buffer.
    for len in [1, 100, 4_000, 20_000, 100_000, 250_000].repeat(4) {
        let id = server.hub.publish("news", "x".repeat(len)).await.unwrap().to_string();
        let text = answer.until(|text| text.ends_with("\n\n") && text.contains(&id)).await;
        let seen = http::events(&text);
        assert_eq!((seen.len(), seen[0].data.len()), (1, len));
        ids.push(id);
    }
    drop(answer);
    let from = ids.len() - 3;
    let mut answer = get(&server, &tls, "/events", &[("Last-Event-ID", ids[from].as_bytes())]).await;
    let text = answer.until(|text| http::events(text).len() == 2).await;
    let seen: Vec<_> = http::events(&text).into_iter().filter_map(|seen| seen.id).collect();
    assert_eq!(seen, ids[from + 1..]);
}

async fn events_come_one_by_one_over_http_2_and_resume(framework: Framework) {
    let (server, tls) = serve(framework, App::new(quiet())).await;
    let client = tls.client();
    let url = format!("https://{}/events", server.addr);
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    let mut body = answer.bytes_stream();
    let mut more = async |until: &str| {
        let mut text = String::new();
        while !(text.ends_with("\n\n") && text.contains(until)) {
            let chunk = timeout(PATIENCE, body.next()).await.expect("it is held back").unwrap().unwrap();
            text += std::str::from_utf8(&chunk).unwrap();
        }
        text
    };
    more("sse-position").await;
    let mut ids = Vec::new();
    for len in [1, 100, 4_000, 20_000, 100_000, 250_000].repeat(4) {
        ids.push(server.hub.publish("news", "x".repeat(len)).await.unwrap().to_string());
        let seen = http::events(&more(ids.last().unwrap()).await);
        assert_eq!((seen.len(), seen[0].data.len()), (1, len));
    }
    let from = ids.len() - 3;
    let mut answer = client.get(&url).header("Last-Event-ID", &ids[from]).send().await.unwrap();
    let mut text = String::new();
    while http::events(&text).len() < 2 {
        let chunk = timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap();
        text += std::str::from_utf8(&chunk).unwrap();
    }
    let seen: Vec<_> = http::events(&text).into_iter().filter_map(|seen| seen.id).collect();
    assert_eq!(seen, ids[from + 1..]);
}

async fn accepted_sockets_have_the_options(framework: Framework) {
    let listen = ListenOptions::new()
        .user_timeout(Duration::from_secs(77))
        .unsent(12_345)
        .tcp_keep_alive(Duration::from_secs(33));
    let (server, tls) = serve(framework, App { listen, ..App::new(Hub::new()) }).await;
    for protocol in [HTTP_1_1, H2] {
        let stream = tls.connect(server.addr, protocol).await;
        let socket = servers_end(stream.get_ref().0);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(77)));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 12_345);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(33));
    }
}

/// More than any socket holds, at once.
fn flood(_: &str) -> OwnStream {
    Box::pin(futures_util::stream::repeat_with(|| Ok(Event::new("x".repeat(4000)))))
}

async fn small_socket(server: &Server) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(server.addr).await.unwrap()
}

async fn streams_become(server: &Server, wanted: usize) {
    let start = Instant::now();
    while server.hub.lifecycle().streams() != wanted {
        let open = server.hub.lifecycle().streams();
        assert!(start.elapsed() < PATIENCE, "{open} are open, not {wanted}");
        sleep(Duration::from_millis(10)).await;
    }
}

async fn serve_flood(framework: Framework) -> (Server, Certificate) {
    let listen = ListenOptions::new().user_timeout(Duration::from_secs(1));
    serve(framework, App { listen, own: flood, ..App::new(Hub::new()) }).await
}

async fn a_client_that_reads_nothing_is_cut(framework: Framework) {
    let (server, tls) = serve_flood(framework).await;
    let mut client = tls.connect_over(small_socket(&server).await, HTTP_1_1).await;
    client.write_all(b"GET /own/flood HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    client.flush().await.unwrap();
    streams_become(&server, 1).await;
    streams_become(&server, 0).await;
    drop(client);
}

/// It lets the server send as much as it likes, so that it is the socket that is full.
async fn a_client_that_reads_nothing_over_http_2_is_cut(framework: Framework) {
    const WINDOW: u32 = (1 << 31) - 1;
    let (server, tls) = serve_flood(framework).await;
    let client = tls.connect_over(small_socket(&server).await, H2).await;
    let settings = [(h2::INITIAL_WINDOW_SIZE, WINDOW)];
    let mut client = h2::Connection::open_on(Box::new(client), &settings).await;
    client.send(&h2::window(0, WINDOW - 65_535)).await.unwrap();
    client.get("/own/flood", &[]).await;
    streams_become(&server, 1).await;
    streams_become(&server, 0).await;
    drop(client);
}

async fn a_stop_is_a_clean_end(framework: Framework) {
    let (server, tls) = serve(framework, App::new(Hub::new())).await;
    let mut answer = get(&server, &tls, "/events", &[]).await;
    answer.until(|text| text.contains("\n\n")).await;
    server.hub.publish("news", "last").await.unwrap();
    let stopping = tokio::spawn(server.stop());
    let text = answer.rest().await;
    assert!(text.contains("data: last\n") && http::without_jitter(&text).ends_with("\n\nretry: N\n"));
    answer.closed().await.expect("TLS says that it is the end");
    stopping.await.unwrap();
}

async fn a_stop_is_a_clean_end_over_http_2(framework: Framework) {
    let (server, tls) = serve(framework, App::new(Hub::new())).await;
    let client = tls.connect(server.addr, H2).await;
    let mut client = h2::Connection::open_on(Box::new(client), &[]).await;
    let stream = client.get("/events", &[]).await;
    client.text(stream, |text| text.contains("\n\n")).await;
    server.hub.publish("news", "last").await.unwrap();
    let stopping = tokio::spawn(server.stop());
    let mut text = String::new();
    loop {
        let next = client.until(|next| next.stream == stream).await;
        assert_eq!(next.kind, kind::DATA, "{next:?}");
        text += std::str::from_utf8(&next.payload).unwrap();
        if next.ends_stream() {
            break;
        }
    }
    assert!(text.contains("data: last\n") && http::without_jitter(&text).ends_with("\n\nretry: N\n"));
    let end = client.closed().await;
    if framework == Framework::Actix {
        end.expect_err("actix-web ends HTTP/2's connections cleanly now: say so in the documents");
    } else {
        end.expect("TLS says that it is the end");
    }
    stopping.await.unwrap();
}

/// Who speaks no TLS, or begins and goes, is nobody to wait for, and the next is served.
async fn what_is_no_tls_costs_nobody_anything(framework: Framework) {
    let (server, tls) = serve(framework, App::new(Hub::new())).await;
    let mut silent = Vec::new();
    for begun in [&b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n"[..], h2::PREFACE, b"\x16\x03\x01\x02\x00", b""]
    {
        for _ in 0..50 {
            let mut client = TcpStream::connect(server.addr).await.unwrap();
            client.write_all(begun).await.unwrap();
            silent.push(client);
        }
    }
    let mut answer = get(&server, &tls, "/events", &[]).await;
    answer.until(|text| text.contains("\n\n")).await;
    assert_eq!(server.hub.lifecycle().streams(), 1);
    drop(silent);
    server.hub.publish("news", "after").await.unwrap();
    answer.until(|text| text.contains("data: after\n")).await;
}

/// A client that begins with TLS and does not get on is cut; Rocket 0.5 has no time for it, nor a setting.
async fn who_does_not_get_on_is_cut(framework: Framework) {
    // actix-web has three seconds of its own.
    let app = App { head_timeout: Some(Duration::from_secs(1)), ..App::new(Hub::new()) };
    let (server, _) = serve(framework, app).await;
    let mut client = TcpStream::connect(server.addr).await.unwrap();
    client.write_all(b"\x16\x03\x01").await.unwrap();
    let mut said = Vec::new();
    let patience = if framework == Framework::Rocket { Duration::from_secs(8) } else { PATIENCE };
    let end = timeout(patience, client.read_to_end(&mut said)).await;
    if framework == Framework::Rocket {
        assert!(end.is_err(), "Rocket cuts slow handshakes now: say so in the documents");
    } else {
        end.expect("it is still waited for").ok();
    }
}

/// A browser's own `EventSource`, over HTTP/2; it comes back by itself and has all that it missed.
async fn chromium_reads_it(framework: Framework) {
    if !clients::available().contains(&Client::Chromium) {
        return;
    }
    let browser = Browser::start_with(&["--ignore-certificate-errors"]).await.expect("Chromium starts");
    let options = StreamOptions::new().no_keep_alive().max_age(Duration::from_secs(3));
    let options = options.retry(Duration::from_secs(1));
    let (server, _) = serve(framework, App::new(Hub::builder().stream_options(options).build())).await;
    browser.client().goto(&format!("https://{}/blank", server.addr)).await.unwrap();
    browser
        .run(
            "window.ends = 0;
             window.seen = [];
             window.events = new EventSource('/events');
             events.onopen = () => window.isOpen = true;
             events.onerror = () => window.ends++;
             events.onmessage = event => seen.push(event.data);",
        )
        .await;
    browser.wait_for("window.isOpen").await;
    let mut expected = Vec::new();
    let mut n = 0;
    // Each is there before the next is published; some while it is away.
    while browser.run("return ends").await.as_u64() < Some(2) || n < 20 {
        n += 1;
        assert!(n < 1_000, "its stream never ends");
        server.hub.publish("news", n.to_string()).await.unwrap();
        expected.push(n.to_string());
        browser.wait_for(&format!("seen.includes('{n}')")).await;
    }
    assert_eq!(browser.run("return seen").await, serde_json::json!(expected));
    let protocol = "return performance.getEntriesByType('navigation')[0].nextHopProtocol";
    assert_eq!(browser.run(protocol).await, "h2");
    browser.close().await;
}
