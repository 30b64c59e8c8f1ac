//! What the connections that a server accepts have of its listener.

use std::{net::SocketAddr, time::Duration};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::Socket;
use sse_core::{Hub, ListenOptions};
use sse_tests::{
    http,
    servers::{App, Framework},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, process::Command};

sse_tests::on_each_framework! {
    connections_have_the_options
    options_can_be_turned_off
    many_may_wait_to_be_accepted
}

/// The server's end of a connection, which stands in this process too.
pub(crate) fn servers_end(client: &TcpStream) -> Socket {
    let process = pidfd_open(getpid(), PidfdFlags::empty()).expect("a system that allows it");
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let Some(number) = entry.unwrap().file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(descriptor) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let socket = Socket::from(descriptor);
        let is = |addr: std::io::Result<socket2::SockAddr>, of: SocketAddr| {
            addr.is_ok_and(|addr| addr.as_socket() == Some(of))
        };
        if is(socket.local_addr(), client.peer_addr().unwrap())
            && is(socket.peer_addr(), client.local_addr().unwrap())
        {
            return socket;
        }
    }
    panic!("the server has not accepted it");
}

/// A connection on which an event stream has begun.
pub(crate) async fn opened(addr: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut some = [0; 16];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut some).await.unwrap();
    client
}

async fn connections_have_the_options(framework: Framework) {
    let options = ListenOptions::new()
        .user_timeout(Duration::from_secs(77))
        .unsent(12_345)
        .tcp_keep_alive(Duration::from_secs(33));
    let server = framework.serve(App { listen: options, ..App::new(Hub::new()) }).await;
    let client = opened(server.addr).await;
    let socket = servers_end(&client);
    assert!(socket.tcp_nodelay().unwrap());
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(77)));
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), 12_345);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(33));
}

async fn options_can_be_turned_off(framework: Framework) {
    let options = ListenOptions::new().user_timeout(None).unsent(None).tcp_keep_alive(None);
    let server = framework.serve(App { listen: options, ..App::new(Hub::new()) }).await;
    let client = opened(server.addr).await;
    let socket = servers_end(&client);
    assert_eq!((socket.tcp_user_timeout().unwrap(), socket.tcp_notsent_lowat().unwrap()), (None, 0));
    assert!(!socket.keepalive().unwrap());
}

/// As `ss` sees it, which asks the system.
async fn many_may_wait_to_be_accepted(framework: Framework) {
    let listen = ListenOptions::new().backlog(777);
    let server = framework.serve(App { listen, ..App::new(Hub::new()) }).await;
    http::get(server.addr, "/events").await;
    let filter = format!("sport = :{}", server.addr.port());
    let Ok(output) = Command::new("ss").args(["-Hltn", &filter]).output().await else {
        sse_tests::left_out(
            "the program ss",
            &["the backlog of a listener: there is no ss (Debian: iproute2)".to_owned()],
        );
        return;
    };
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(table.split_whitespace().nth(2), Some("777"), "{table}");
}
