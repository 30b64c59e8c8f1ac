//! One of the three servers, in a process of its own: `production serve <framework>`, with [`Settings`] in its
//! environment.
//!
//! It prints its address, then an answer to each command on standard input, and ends with the input. Commands are
//! served by a thread of their own: they are answered even when the server's threads are not.

mod actix;
mod rocket;
mod warp;

use std::{
    fmt,
    io::{self, BufRead as _, Write as _},
    net::{IpAddr, SocketAddr},
    process, thread,
    time::{Duration, Instant},
};

use futures_util::{Stream, stream};
use sse_benches::{Channel, Encoded, channel};
use sse_core::{Event, EventStream, Hub, Lifecycle, Limits, ListenOptions, Refusal, Request, StreamOptions};

/// Where everything is published that a client does not ask for by name.
pub(crate) const NEWS: &str = "news";

/// What goes to the framework's own streaming bodies at `/bare`, which are no streams of ours, and to nobody else.
pub(crate) const BARE: &str = "bare";

/// How often the stream at `/own` says something, and how far apart.
pub(crate) const ITEMS: usize = 9;
const PAUSE: Duration = Duration::from_millis(500);

/// How a server is set, in milliseconds where it is a time; each is an environment variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) keep_alive: u64,
    pub(crate) max_age: u64,
    pub(crate) user_timeout: u64,
    pub(crate) notice: u64,
    pub(crate) window: u64,
    /// Connects a minute and address; 0 for any number.
    pub(crate) connects: u64,
    /// 1 where warp speaks HTTP/2 too, which the others do anyway; it costs memory, so it is off unless asked for.
    pub(crate) http2: u64,
}

impl Default for Settings {
    /// As the library has them.
    fn default() -> Self {
        Self {
            keep_alive: 15_000,
            max_age: 3_600_000,
            user_timeout: 90_000,
            notice: 0,
            window: 5_000,
            connects: 0,
            http2: 0,
        }
    }
}

impl Settings {
    pub(crate) fn variables(&self) -> [(&'static str, u64); 7] {
        [
            ("SSE_KEEP_ALIVE", self.keep_alive),
            ("SSE_MAX_AGE", self.max_age),
            ("SSE_USER_TIMEOUT", self.user_timeout),
            ("SSE_NOTICE", self.notice),
            ("SSE_WINDOW", self.window),
            ("SSE_CONNECTS", self.connects),
            ("SSE_HTTP2", self.http2),
        ]
    }

    fn from_env() -> Self {
        let value = |name| std::env::var(name).expect("a setting").parse().expect("a number");
        let [keep_alive, max_age, user_timeout, notice, window, connects, http2] =
            Self::default().variables().map(|(name, _)| value(name));
        Self { keep_alive, max_age, user_timeout, notice, window, connects, http2 }
    }
}

/// What the three serve.
#[derive(Clone)]
struct App {
    hub: Hub,
    bare: Channel<Encoded>,
    host: IpAddr,
    listen: ListenOptions,
    http2: bool,
}

impl App {
    fn new(settings: &Settings) -> Self {
        let millis = Duration::from_millis;
        let options =
            StreamOptions::new().keep_alive(millis(settings.keep_alive)).max_age(millis(settings.max_age));
        let mut lifecycle =
            Lifecycle::builder().notice(millis(settings.notice)).window(millis(settings.window));
        if let Ok(connects @ 1..) = u32::try_from(settings.connects) {
            lifecycle =
                lifecycle.limits(&Limits::builder().max_connects_per_minute_by_address(connects).build());
        }
        let listen = ListenOptions::new().user_timeout(millis(settings.user_timeout));
        let hub = Hub::builder().lifecycle(&lifecycle.build()).stream_options(options).build();
        let host = std::env::var("SSE_HOST")
            .map_or_else(|_| [127, 0, 0, 1].into(), |host| host.parse().expect("an address"));
        Self { hub, bare: channel(), host, listen, http2: settings.http2 == 1 }
    }

    fn addr(&self) -> SocketAddr {
        (self.host, 0).into()
    }

    /// What a balancer asks.
    fn is_ready(&self) -> bool {
        self.hub.lifecycle().is_ready()
    }

    /// A stream that says [`ITEMS`] things and is then whole.
    fn own(&self, request: &Request) -> Result<EventStream<impl Stream<Item = Event> + use<>>, Refusal> {
        let items = stream::unfold(0, |n| async move {
            if n == ITEMS {
                return None;
            }
            if n > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            Some((Event::new(if n + 1 == ITEMS { "done".to_owned() } else { n.to_string() }), n + 1))
        });
        EventStream::open(request, Box::pin(items))
    }

    /// Answers what the harness asks for on standard input, once the server listens.
    fn listens(&self, addr: SocketAddr) {
        say(&addr);
        let app = self.clone();
        thread::spawn(move || {
            for command in io::stdin().lock().lines() {
                match command {
                    Ok(command) => say(&app.answer(&command)),
                    Err(_) => break,
                }
            }
            // The harness is gone.
            process::exit(1);
        });
    }

    /// `streams`: how many are open. `position`: of the log. `publish <topic> <length> <count> <microseconds>`: that
    /// many events, so far apart.
    fn answer(&self, command: &str) -> String {
        match *command.split(' ').collect::<Vec<_>>() {
            ["streams"] => self.hub.lifecycle().streams().to_string(),
            ["position"] => self.hub.position().to_string(),
            ["publish", topic, length, count, apart] => {
                let number = |text: &str| text.parse::<u64>().expect("a number");
                let data = "x".repeat(number(length) as usize);
                let (start, apart) = (Instant::now(), Duration::from_micros(number(apart)));
                for n in 0..number(count) {
                    let due = start + apart * n as u32;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    match topic {
                        BARE => self.bare.publish(&data),
                        _ => drop(self.hub.publish_now(topic, data.as_str()).expect("a topic")),
                    }
                }
                "published".to_owned()
            }
            _ => panic!("no command {command}"),
        }
    }
}

fn say(what: &impl fmt::Display) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{what}").and_then(|()| out.flush());
}

pub(crate) fn run(framework: &str) {
    let app = App::new(&Settings::from_env());
    match framework {
        "actix" => actix::serve(app),
        "rocket" => rocket::serve(app),
        "warp" => warp::serve(app),
        other => panic!("no framework {other}"),
    }
}
