//! `crowd churn <address> <a second> <seconds>`: clients that open a stream and leave as soon as it stands.

use std::{
    cell::Cell,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{sync::Semaphore, task};

use super::{Buffer, h1::Connection, say};

/// How many may be under way; what more are due is left out, and shows in the number that came.
const AT_ONCE: usize = 512;

/// From how many addresses they come, so that none runs out of ports.
const ADDRESSES: usize = 64;

pub(super) async fn run(addr: SocketAddr, rate: usize, seconds: usize, buffer: &Buffer) {
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let (opened, failed) = (Rc::new(Cell::new(0_usize)), Rc::new(Cell::new(0_usize)));
    let (start, time) = (Instant::now(), Duration::from_secs(seconds as u64));
    let mut came = 0;
    while start.elapsed() < time {
        let due = (start.elapsed().as_secs_f64() * rate as f64) as usize;
        while came < due {
            let Ok(turn) = Arc::clone(&at_once).try_acquire_owned() else { break };
            came += 1;
            let from = SocketAddr::from(([127, 0, 1, (1 + came % ADDRESSES) as u8], 0));
            let (opened, failed, buffer) = (Rc::clone(&opened), Rc::clone(&failed), Rc::clone(buffer));
            task::spawn_local(async move {
                let stands = async {
                    let mut connection = Connection::open(addr, "/events", "", Some(from)).await.ok()?;
                    let mut stands = false;
                    while !stands && connection.read(&buffer, |_| stands = true).await {}
                    stands.then_some(())
                };
                let counted = if stands.await.is_some() { opened } else { failed };
                counted.set(counted.get() + 1);
                drop(turn);
            });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    let _ = at_once.acquire_many(AT_ONCE as u32).await;
    say(&json!({ "opened": opened.get(), "failed": failed.get(), "seconds": seconds }));
}
