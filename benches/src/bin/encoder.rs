//! Encoding one event: ours beside a hand-written minimum, `memcpy` and the frameworks' encoders. Those of
//! actix-web-lab and Rocket cannot be reached alone: theirs is a body that is read to its end.
//!
//! `encoder` measures time, by turns. Under callgrind it is one shape and one way for instructions:
//! `encoder <shape> <way> <times>`; it starts itself so when valgrind is there.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a benchmark may fail where it stands")]

use std::{hint::black_box, process::Command, sync::LazyLock, time::Instant};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use memchr::memchr2;
use sse_benches::{Report, median};
use sse_warp::{Event, Frame};

struct Shape {
    title: &'static str,
    name: Option<&'static str>,
    data: String,
    /// Of the encoded event.
    len: usize,
    event: Event,
    warp: warp::sse::Event,
}

const ID: &str = "0123456789abcdef-12345";

fn shapes() -> [Shape; 3] {
    let line = "x".repeat(101);
    [
        ("id, name and 100 bytes", Some("update"), "x".repeat(100)),
        ("4 KiB in 41 lines", None, [line.as_str(); 41].join("\n")),
        ("64 KiB on one line", None, "x".repeat(64 << 10)),
    ]
    .map(|(title, name, data)| {
        let (event, warp) = (event(name, &data), warp_event(name, &data));
        Shape { title, name, data, len: Frame::from(&event).len(), event, warp }
    })
}

type Way = fn(&Shape, usize);

fn repeat(way: impl Fn(&Shape) -> Bytes) -> impl Fn(&Shape, usize) {
    move |shape, times| {
        for _ in 0..times {
            black_box(way(black_box(shape)));
        }
    }
}

const WAYS: [(&str, Way); 7] = [
    ("ours", |shape, times| repeat(ours)(shape, times)),
    ("ours, with building the event", |shape, times| repeat(ours_built)(shape, times)),
    ("minimum", |shape, times| repeat(minimum)(shape, times)),
    ("memcpy", |shape, times| repeat(copy)(shape, times)),
    ("actix-web-lab, with building the event", actix),
    ("warp", |shape, times| repeat(warp)(shape, times)),
    ("Rocket, with building the event", rocket),
];

fn event(name: Option<&'static str>, data: &str) -> Event {
    let mut event = Event::new(data);
    if let Some(name) = name {
        event = event.name(name).expect("a name");
    }
    event.id(ID).expect("an id")
}

fn ours(shape: &Shape) -> Bytes {
    Frame::from(&shape.event).into_bytes()
}

fn ours_built(shape: &Shape) -> Bytes {
    Frame::from(&event(shape.name, &shape.data)).into_bytes()
}

/// One allocation of the size that is known beforehand, and one pass.
fn minimum(shape: &Shape) -> Bytes {
    let mut out = Vec::with_capacity(shape.len);
    if let Some(name) = shape.name {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    let mut rest = shape.data.as_bytes();
    loop {
        let end = memchr2(b'\r', b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
        match end {
            Some(end) if rest[end..].starts_with(b"\r\n") => rest = &rest[end + 2..],
            Some(end) => rest = &rest[end + 1..],
            None => break,
        }
    }
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(ID.as_bytes());
    out.extend_from_slice(b"\n\n");
    out.into()
}

fn copy(shape: &Shape) -> Bytes {
    Bytes::copy_from_slice(shape.data.as_bytes())
}

/// Its encoder is private: events are driven through a response's body.
fn actix(shape: &Shape, times: usize) {
    use actix_web::{Responder, body::MessageBody, test::TestRequest};
    use actix_web_lab::sse;

    let event = || {
        let mut data = sse::Data::new(shape.data.as_str()).id(ID);
        if let Some(name) = shape.name {
            data.set_event(name);
        }
        sse::Event::Data(data)
    };
    let events = futures_util::stream::iter((0..times).map(move |_| event()));
    let events = events.map(Ok::<_, std::convert::Infallible>).collect::<Vec<_>>().now_or_never();
    let response = sse::Sse::from_stream(futures_util::stream::iter(events.expect("events")))
        .respond_to(&TestRequest::default().to_http_request());
    let mut body = Box::pin(response.into_body());
    while let Some(event) = std::future::poll_fn(|cx| body.as_mut().poll_next(cx)).now_or_never().flatten() {
        black_box(event.is_ok());
    }
}

fn warp_event(name: Option<&'static str>, data: &str) -> warp::sse::Event {
    let event = warp::sse::Event::default().data(data).id(ID);
    match name {
        Some(name) => event.event(name),
        None => event,
    }
}

fn warp(shape: &Shape) -> Bytes {
    shape.warp.to_string().into()
}

fn rocket(shape: &Shape, times: usize) {
    use rocket::{
        config::{Config, LogLevel},
        local::asynchronous::Client,
        response::{
            Responder,
            stream::{Event, EventStream},
        },
        tokio::io::AsyncReadExt,
    };

    static CLIENT: LazyLock<Client> = LazyLock::new(|| {
        let quiet = Config { log_level: LogLevel::Off, ..Config::debug_default() };
        rocket::execute(Client::untracked(rocket::custom(quiet))).expect("a client")
    });
    let event = |_| {
        let event = Event::data(shape.data.clone()).id(ID);
        match shape.name {
            Some(name) => event.event(name),
            None => event,
        }
    };
    let request = CLIENT.get("/");
    let events = EventStream::from(futures_util::stream::iter((0..times).map(event))).heartbeat(None);
    let mut response = events.respond_to(request.inner()).expect("a response");
    let mut buffer = vec![0; 4096];
    while black_box(response.body_mut().read(&mut buffer).now_or_never())
        .is_some_and(|n| n.is_ok_and(|n| n > 0))
    {}
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [shape, way, times] = &args[..] {
        let shape = &shapes()[shape.parse::<usize>().expect("a number")];
        let way = WAYS[way.parse::<usize>().expect("a number")].1;
        way(shape, times.parse().expect("a number"));
        return;
    }

    let mut report = Report::new("Encoder");
    for (index, shape) in shapes().iter().enumerate() {
        report.text(&format!("## {}\n", shape.title));
        let times = 100_000_000 / (shape.len + 2000);
        let mut nanos: Vec<Vec<f64>> = vec![Vec::new(); WAYS.len()];
        for _ in 0..15 {
            for (way, nanos) in WAYS.iter().zip(&mut nanos) {
                let start = Instant::now();
                way.1(shape, times / 15);
                nanos.push(start.elapsed().as_nanos() as f64 / (times / 15) as f64);
            }
        }
        let rows: Vec<Vec<String>> = WAYS
            .iter()
            .enumerate()
            .map(|(way, (name, _))| {
                let ratio = nanos[way].iter().zip(&nanos[2]).map(|(own, minimum)| own / minimum).collect();
                vec![
                    (*name).to_owned(),
                    format!("{:.0}", median(nanos[way].clone())),
                    format!("{:.2}", median(ratio)),
                    instructions(index, way).map_or_else(|| "–".to_owned(), |n| format!("{n:.0}")),
                ]
            })
            .collect();
        report.table(&["", "ns", "× minimum", "instructions"], &rows);
    }
    report.finish("encoder");
}

/// Instructions for one event, by the difference of two runs under callgrind.
fn instructions(shape: usize, way: usize) -> Option<f64> {
    let count = |times: u32| -> Option<f64> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().ok()?)
            .args([shape.to_string(), way.to_string(), times.to_string()])
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let sum = text.lines().find_map(|line| line.split_once("Collected :"))?;
        sum.1.trim().parse().ok()
    };
    Some((count(1100)? - count(100)?) / 1000.0)
}
