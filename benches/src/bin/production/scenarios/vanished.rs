//! Hosts that are gone without a word, in a network namespace.

use std::{
    process::{Command as Program, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::process::Command;

use super::{seconds, until_free};
use crate::{
    figure::Figure,
    processes::{Crowd, Server, this_program},
    publisher::Publisher,
    server::Settings,
};

const SERVER: &str = "10.213.0.1";
const CLIENTS: &str = "10.213.0.2";

const COUNT: usize = 1_000;

/// In milliseconds.
const KEEP_ALIVE: u64 = 2_000;
const USER_TIMEOUT: u64 = 5_000;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs itself again in a namespace, which ends with it.
pub(super) async fn run(framework: &str) -> Result<Vec<Figure>, String> {
    let output =
        Command::new("unshare").arg("--net").arg(this_program()).args(["inside", framework]).output().await;
    let output = output.map_err(|error| format!("unshare: {error}"))?;
    let seen: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    let Some(seen) = seen.filter(|_| output.status.success()) else {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("no network namespace can be had here: {}", why.trim()));
    };
    let figure = |one: &Value| {
        let (what, bound) =
            (one["what"].as_str().unwrap_or_default(), Duration::from_millis(one["bound"].as_u64()?));
        let time = one["time"].as_f64().map(Duration::from_secs_f64);
        let met = time.is_some_and(|time| time <= bound);
        Some(Figure::timed(what, &format!("≤ {:.1} s", bound.as_secs_f64()), seconds(time, LIMIT), met))
    };
    Ok(seen.as_array().into_iter().flatten().filter_map(figure).collect())
}

/// `production inside <framework>`: within a namespace of its own.
pub(crate) async fn inside(framework: &str) {
    ip("link set lo up");
    let mut seen = Vec::new();
    for (http, per_connection) in [("HTTP/1.1", "0"), ("HTTP/2", "50")] {
        for traffic in [true, false] {
            let time = vanish(framework, per_connection, traffic).await;
            seen.push(json!({
                "what": format!("{http}, {}: noticed after", if traffic { "50 events a second" } else { "idle" }),
                "bound": (KEEP_ALIVE + USER_TIMEOUT) * 11 / 10,
                "time": time.map(|time| time.as_secs_f64()),
            }));
        }
    }
    println!("{}", Value::from(seen));
}

async fn vanish(framework: &str, per_connection: &str, traffic: bool) -> Option<Duration> {
    let http2 = u64::from(per_connection != "0");
    let settings =
        Settings { keep_alive: KEEP_ALIVE, user_timeout: USER_TIMEOUT, http2, ..Settings::default() };
    // Made before the address exists: it waits to be told that it does.
    let mut clients = Command::new("unshare");
    clients.args(["--net", "sh", "-c", "read go && exec \"$@\"", "sh"]).arg(this_program());
    ip("link add v0 type veth peer name v1 address 02:00:00:00:00:02");
    ip(&format!("addr add {SERVER}/24 dev v0"));
    ip("link set v0 up");
    ip(&format!("neigh replace {CLIENTS} lladdr 02:00:00:00:00:02 dev v0 nud permanent"));
    let mut server = Server::start_at(framework, &settings, SERVER).await;
    let mut crowd = Crowd::hold_by(clients, server.addr, COUNT, per_connection);
    let namespace = crowd.pid().to_string();
    // It has left this namespace when its own has no v0.
    while same_namespace(&namespace) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ip(&format!("link set v1 netns {namespace}"));
    let within = |words: &str| {
        run_to_end(Program::new("nsenter").args(["-t", &namespace, "-n", "ip"]).args(words.split(' ')));
    };
    within(&format!("addr add {CLIENTS}/24 dev v1"));
    within("link set v1 up");
    assert_eq!(crowd.ask("go").await, "open");

    let mut publisher = Publisher::new(server.addr);
    publisher.tell_time(20, Duration::from_millis(50)).await;
    assert_eq!(server.streams().await, COUNT);
    // What comes for an address that is no longer here is dropped without an answer.
    within("addr flush dev v1");
    let time = until_free(&mut server, &mut publisher, traffic, LIMIT).await;
    crowd.kill().await;
    drop(server);
    // The pair ends with the clients' namespace, a moment later.
    let _ = Program::new("ip").args(["link", "del", "v0"]).stderr(Stdio::null()).status();
    time
}

fn same_namespace(pid: &str) -> bool {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    namespace(pid) == namespace("self")
}

fn ip(words: &str) {
    run_to_end(Program::new("ip").args(words.split(' ')));
}

fn run_to_end(program: &mut Program) {
    let status = program.stdout(Stdio::null()).status();
    assert!(status.is_ok_and(|status| status.success()), "{program:?} does not work here");
}
