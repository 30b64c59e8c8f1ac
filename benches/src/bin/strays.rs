//! Clients that do not behave: thousands that open a stream and leave at once, and those that never read.
//!
//! `strays [--rate 2300] [--seconds 60] [--stalled 1000] [--only ours-actix,ours-rocket,ours-warp]`
//!
//! Run in a network namespace of its own (`unshare -n`, with `lo` up), or beside nothing else that has TCP buffers: the
//! kernel's figure is the machine's.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use sse_benches::{Args, Process, Report, pin, programs};

const OURS: [&str; 3] = ["ours-actix", "ours-rocket", "ours-warp"];

fn main() {
    let args = Args::new();
    let rate = args.number("--rate", 2300);
    let span = Duration::from_secs(args.number("--seconds", 60) as u64);
    let stalled = args.number("--stalled", 1000);
    let programs = programs();
    pin(1);

    let mut rows = Vec::new();
    for name in args.servers(&OURS) {
        let process = Process::start(&programs, name);
        let opened = churn(process.addr, rate, span);
        let peak = process.peak();
        let settled = {
            thread::sleep(Duration::from_secs(20));
            process.resident()
        };
        drop(process);
        let process = Process::start(&programs, name);
        let [kernel, held] = stall(process.addr, stalled);
        let cut = all_cut(process.addr);
        rows.push(vec![
            name.to_owned(),
            format!("{:.0}", opened as f64 / span.as_secs_f64()),
            format!("{:.0}", peak / 1024.0),
            format!("{:.0}", settled / 1024.0),
            format!("{kernel:.0}"),
            format!("{held:.0}"),
            cut.map_or_else(|| "–".to_owned(), |cut| format!("{cut:.0}")),
        ]);
    }
    let mut report = Report::new("Clients that do not behave");
    report.text(&format!(
        "Up to {rate} clients a second for {} s that open `/events`, read the first bytes and leave: how many a second, \
         the server's memory in MB at its peak and 20 s later. Then {stalled} clients that read the first bytes and no \
         more while 32 MB are published: MB of TCP buffers in the kernel, of both ends, and of the sending end's queues \
         alone; seconds until the server has cut all of them.\n",
        span.as_secs()
    ));
    report.table(&["server", "opened a second", "peak", "later", "kernel", "sending", "all cut"], &rows);
    report.finish("strays");
}

/// Opens streams at this rate and leaves; how many were opened.
fn churn(addr: SocketAddr, rate: usize, span: Duration) -> u64 {
    const THREADS: usize = 16;
    let opened = AtomicU64::new(0);
    let pause = Duration::from_secs_f64(THREADS as f64 / rate as f64);
    let end = Instant::now() + span;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut next = Instant::now();
                while next < end {
                    thread::sleep(next.saturating_duration_since(Instant::now()));
                    // Who cannot keep up does not make up for it.
                    next = (next + pause).max(Instant::now() - pause);
                    opened.fetch_add(u64::from(open(addr).is_some()), Ordering::Relaxed);
                }
            });
        }
    });
    opened.into_inner()
}

/// A connection on which a stream has begun.
fn open(addr: SocketAddr) -> Option<TcpStream> {
    let mut socket = TcpStream::connect(addr).ok()?;
    socket.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut head = [0; 64];
    (socket.read(&mut head).ok()? > 0).then_some(socket)
}

/// What so many clients that do not read cost the kernel, in MB: in all, and in the queues of the sending end.
fn stall(addr: SocketAddr, clients: usize) -> [f64; 2] {
    let before = kernel();
    let sockets: Vec<_> = (0..clients).map(|_| open(addr).expect("a stream")).collect();
    let event = vec![b'x'; 64 << 10];
    for _ in 0..512 {
        let mut publisher = TcpStream::connect(addr).expect("a connection");
        let head = format!(
            "POST /publish HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            event.len()
        );
        publisher.write_all(head.as_bytes()).expect("it listens");
        publisher.write_all(&event).expect("it listens");
        publisher.read_to_end(&mut Vec::new()).expect("an answer");
    }
    thread::sleep(Duration::from_secs(2));
    let figures = [kernel() - before, queued(addr.port())];
    // Open until the server cuts them.
    std::mem::forget(sockets);
    figures
}

/// The kernel's memory for TCP, in MB.
fn kernel() -> f64 {
    let stat = std::fs::read_to_string("/proc/net/sockstat").expect("what the kernel counts");
    let line = stat.lines().find(|line| line.starts_with("TCP:")).expect("a line");
    let pages: f64 = line.rsplit(' ').next().expect("a number").parse().expect("a number");
    pages * 4096.0 / 1e6
}

/// The connections to this port as `/proc/net/tcp` has them: bytes in the queue of each.
fn queues(port: u16) -> Vec<u64> {
    let local = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").expect("what the kernel lists");
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            (fields.next()? == local && fields.nth(1)? == "01").then_some(())?;
            u64::from_str_radix(fields.next()?.split(':').next()?, 16).ok()
        })
        .collect()
}

fn queued(port: u16) -> f64 {
    queues(port).into_iter().sum::<u64>() as f64 / 1e6
}

/// After how many seconds none is left; nothing after three minutes.
fn all_cut(addr: SocketAddr) -> Option<f64> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(180) {
        if queues(addr.port()).is_empty() {
            return Some(start.elapsed().as_secs_f64());
        }
        thread::sleep(Duration::from_millis(200));
    }
    None
}
