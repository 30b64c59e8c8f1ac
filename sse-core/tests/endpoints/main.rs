//! Random endpoints on random hubs against an oracle: every start, policy and cap, filters of all kinds,
//! subscriptions that are read on this side, chunks of many limits, cuts in the middle of an event, topics that come
//! and go, events that expire, and a server that stops.
//!
//! What must hold: of its topics a client is given every event once that its filter lets through, or is told by a gap
//! that it is lost; ids never go back; nobody sleeps while something is due; nobody is kept busy by nothing; a filter
//! is asked once about each event of a connection; and who comes back is told of no loss that is none.
//!
//! `SSE_ENDPOINTS_CASES` says how many hubs there are, `SSE_ENDPOINTS_SEED` gives one of them again.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test: a failure is a failed test")]

mod client;
#[path = "../get/mod.rs"]
mod get;
mod published;
#[path = "../spec/mod.rs"]
mod spec;

use std::time::Duration;

use client::Client;
use published::Published;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    task::{unconstrained, yield_now},
    time::advance,
};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn every_endpoint_gives_each_event_once_or_tells_of_its_loss() {
    let cases = number("SSE_ENDPOINTS_CASES").unwrap_or(60);
    let seeds = match number("SSE_ENDPOINTS_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = rand::random::<u32>().into();
            first..first + cases
        }
    };
    for seed in seeds {
        let case = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(unconstrained(run(seed)));
        });
        assert!(case.is_ok(), "again with SSE_ENDPOINTS_SEED={seed}");
    }
}

/// Lets the wake tasks do what they have to.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

async fn run(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut published = Published::new(&mut rng);
    let mut clients: Vec<Client> = Vec::new();
    let steps = rng.random_range(50..400);
    for _ in 0..steps {
        match rng.random_range(0..20) {
            0..7 => {
                for _ in 0..rng.random_range(1..6) {
                    published.publish(&mut rng);
                }
            }
            7 if clients.len() < 6 => clients.push(Client::new(&mut rng, clients.len(), &mut published)),
            8 => {
                let seconds = [1, 5, 16, 40][rng.random_range(0..4)];
                advance(Duration::from_secs(seconds)).await;
                published.pass(seconds);
            }
            _ if clients.is_empty() => {}
            9 => {
                let index = rng.random_range(0..clients.len());
                clients[index].cut(&mut rng, &mut published);
            }
            10 => {
                let index = rng.random_range(0..clients.len());
                clients[index].change_topics(&mut rng, &published);
            }
            11 => {
                settle().await;
                for client in &mut clients {
                    client.come_to_rest(&mut published);
                }
            }
            12 => {
                // Whoever has had a silence of its own is where nothing of what it was left out counts any more.
                for client in &mut clients {
                    client.come_to_rest(&mut published);
                }
                advance(Duration::from_secs(16)).await;
                published.pass(16);
                settle().await;
                for client in &mut clients {
                    client.come_to_rest(&mut published);
                    client.check_position(&published);
                }
            }
            _ => {
                let index = rng.random_range(0..clients.len());
                clients[index].poll(&mut rng, &mut published);
            }
        }
        settle().await;
        clients.iter_mut().for_each(|client| client.check_sleep(&mut published));
    }
    if rng.random_bool(0.5) {
        for client in &mut clients {
            client.come_to_rest(&mut published);
        }
    }
    published.hub.lifecycle().stop();
    settle().await;
    for client in &mut clients {
        client.check_sleep(&mut published);
        client.end(&mut published);
    }
    assert_eq!(published.hub.lifecycle().streams(), 0);
    drop(clients);
    assert_eq!(published.hub.stats().subscribers, 0);
}
