//! `crowd ask <address> <times> <id>`: one client that comes back again and again with the same old id, each time reads
//! what it is given of the past, and counts the bytes.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::timeout;

use super::{Buffer, h1::Connection, say, sse::Sse};

/// Others come from another address, which limits tell apart.
const FROM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1)), 0);

/// After how long without a byte it goes.
const QUIET: Duration = Duration::from_millis(300);

/// After how long it is enough, however often that was.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(addr: SocketAddr, times: usize, id: &str, buffer: &Buffer) {
    let (mut all, mut most, mut refused, mut ended, mut failed) = (0, 0, 0, 0, 0);
    let (start, mut came) = (Instant::now(), 0);
    while came < times && start.elapsed() < LIMIT {
        came += 1;
        let Ok(mut connection) = Connection::open(addr, "/events", id, Some(FROM)).await else {
            failed += 1;
            continue;
        };
        let (mut bytes, mut events, mut sse) = (0, 0, Sse::after(id.to_owned()));
        let mut is_past = true;
        let whole = loop {
            let read = connection.read(buffer, |body| {
                bytes += body.len();
                sse.read(body, |_, event| {
                    events += usize::from(event.name.is_empty());
                    // What tells the time is said now.
                    is_past &= !event.data.starts_with("at ");
                });
            });
            match timeout(QUIET, read).await {
                Ok(true) if is_past => {}
                Ok(true) => break false,
                Ok(false) => break connection.answer.is_whole(),
                Err(_) => break false,
            }
        };
        all += bytes;
        most = most.max(bytes);
        ended += usize::from(whole && events > 0);
        // Told to come back later: with a status, or by a stream that ends at once.
        refused += usize::from(connection.answer.status != 200 || (whole && events == 0));
    }
    say(
        &json!({ "came": came, "bytes": all, "most": most, "refused": refused, "ended": ended, "failed": failed }),
    );
}
