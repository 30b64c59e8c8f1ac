//! Figures, not tests: `cargo test --release -p sse-tests --test redis -- --ignored --nocapture figures`.

use std::{sync::Arc, time::Duration, time::Instant};

use sse_core::{Engine, Fed, Publication};
use sse_redis::Redis as Log;
use sse_tests::redis::Redis;

use crate::{log, needs_redis, reader::Reader};

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    println!("{what}: p50 {:?}, p99 {:?}, {} times", at(0.5), at(0.99), times.len());
}

/// The server's processor time so far.
async fn cpu(redis: &Redis) -> Duration {
    let info = redis.ask("INFO cpu").await;
    let seconds = |name: &str| -> f64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().parse().unwrap()
    };
    Duration::from_secs_f64(seconds("used_cpu_sys") + seconds("used_cpu_user"))
}

fn publication(n: usize) -> Publication {
    Publication::new(format!("key {n}"), "x".repeat(200))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "figures"]
async fn figures() {
    needs_redis!();
    for (kind, options) in [
        ("in memory", &[][..]),
        ("appendfsync everysec", &["--appendonly", "yes"]),
        ("appendfsync always", &["--appendonly", "yes", "--appendfsync", "always"]),
    ] {
        println!("-- {kind}");
        let redis = Redis::start_with(options).await;
        let log = Arc::new(log(&redis).await);
        let mut times = Vec::new();
        let before = cpu(&redis).await;
        for n in 0..3000 {
            let start = Instant::now();
            log.publish(publication(n)).await.unwrap();
            times.push(start.elapsed());
        }
        let spent = cpu(&redis).await - before;
        print("publish, one after another", times);
        println!("server: {:?} for each", spent / 3000);
        concurrent(&redis, &log).await;
        latency(&log).await;
    }
}

async fn concurrent(redis: &Redis, log: &Arc<Log>) {
    let (before, start) = (cpu(redis).await, Instant::now());
    let publishers = (0..64).map(|publisher| {
        let log = Arc::clone(log);
        tokio::spawn(async move {
            for n in 0..500 {
                log.publish(publication(1_000_000 * (publisher + 1) + n)).await.unwrap();
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    let spent = cpu(redis).await - before;
    println!("64 publishers: {:.0} a second, server {:?} for each", 32_000.0 / took, spent / 32_000);
}

async fn latency(log: &Arc<Log>) {
    let mut reader = Reader::caught_up(log).await;
    let mut times = Vec::new();
    for n in 0..500 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let start = Instant::now();
        let publisher = Arc::clone(log);
        let published = tokio::spawn(async move { publisher.publish(publication(n + 500_000_000)).await });
        loop {
            if let Fed::Record { .. } = reader.next().await {
                break;
            }
        }
        times.push(start.elapsed());
        published.await.unwrap().unwrap();
    }
    print("publish to tail, idle", times);
}
