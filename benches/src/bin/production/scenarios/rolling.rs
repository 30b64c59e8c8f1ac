//! A server is replaced by another while its clients look on.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    task::LocalSet,
    time::{sleep, timeout},
};

use super::{Scale, number};
use crate::{
    balancer::{Backend, Balancer},
    crowd::now,
    figure::Figure,
    plot,
    processes::{Crowd, Server},
    publisher::Publisher,
    server::{ITEMS, Settings},
};

/// How the two are called in their events.
const NAMES: [&str; 2] = ["old", "new"];

/// Between two events.
const APART: Duration = Duration::from_millis(20);

pub(super) async fn run(scale: Scale, framework: &str) -> Vec<Figure> {
    LocalSet::new().run_until(restart(scale, framework)).await
}

async fn restart(scale: Scale, framework: &str) -> Vec<Figure> {
    let (clients, window) = scale.of((2_000, 10_000), (100, 4_000));
    let settings = Settings { notice: 1_000, window, ..Settings::default() };
    let balancer = Balancer::start();
    let mut old = Server::start(framework, &settings).await;
    let first = balancer.add(old.addr).await;
    let mut crowd = Crowd::returning(balancer.addr, clients).await;

    // Every server's numbers are its own: a publisher that has no answer cannot tell whether the event counts, and
    // says the same number to nobody again.
    let said = std::cell::Cell::new([0_u64; 2]);
    let unanswered = std::cell::Cell::new(0);
    let publish = async {
        let mut publishers = [None, None];
        let start = Instant::now();
        for n in 0_u32.. {
            sleep((start + APART * n).saturating_duration_since(Instant::now())).await;
            let Some(backend) = balancer.ready() else { continue };
            let which = usize::from(backend.addr != first.addr);
            let publisher = publishers[which].get_or_insert_with(|| Publisher::new(backend.addr));
            let mut numbers = said.get();
            let body = format!("{} {}", NAMES[which], numbers[which] + 1);
            match publisher.post("/publish", &body).await {
                Ok(202) => numbers[which] += 1,
                _ => unanswered.set(unanswered.get() + 1),
            }
            said.set(numbers);
        }
    };
    let roll = async {
        // In the short form it has said half of it before the signal: the window is too short for all.
        let own = || Crowd::hold(balancer.addr, 1, 0, "/own");
        let early = if scale == Scale::Short { Some(own().await) } else { None };
        sleep(Duration::from_secs(2)).await;
        let new = Server::start(framework, &settings).await;
        let second = balancer.add(new.addr).await;
        let own = match early {
            Some(early) => early,
            // At the old process still, with all of it to say.
            None => own().await,
        };
        let signal = now();
        old.terminate();
        let gone = old.exit(Duration::from_millis(window) + Duration::from_secs(20)).await;
        // Whoever left last has its `retry` to wait, and is then sent what is said meanwhile.
        sleep(scale.of(Duration::from_secs(7), Duration::ZERO)).await;
        (new, second, signal, gone, own)
    };
    let (new, second, signal, gone, mut own) = tokio::select! {
        rolled = roll => rolled,
        () = publish => unreachable!("it goes on"),
    };
    // What is under way arrives.
    let [old_last, new_last] = said.get();
    let finish = format!("finish {}:{old_last} {}:{new_last}", NAMES[0], NAMES[1]);
    let verdict = timeout(Duration::from_secs(60), crowd.ask(&finish)).await.expect("an answer");
    let verdict: serde_json::Value = serde_json::from_str(&verdict).expect("JSON");
    let own = own.stats().await;
    let is_whole = number(&own, "events") == ITEMS && number(&own, "whole") == 1;
    drop(new);

    let seconds = reconnects(&second, signal);
    let (busiest, mean) = flatness(&seconds);
    if scale == Scale::Full {
        plot::write(framework, &seconds);
    }
    let right = number(&verdict, "right");
    vec![
        Figure::counted(
            "clients with every event once, or told of what they lack",
            &clients.to_string(),
            right.to_string(),
            right == clients,
        ),
        Figure::counted(
            "events twice; losses of which nobody was told",
            "0; 0",
            format!("{}; {}", number(&verdict, "twice"), number(&verdict, "silent")),
            number(&verdict, "twice") + number(&verdict, "silent") == 0,
        ),
        Figure::seen(
            "clients with all of the new process from its first event on",
            number(&verdict, "from_first").to_string(),
        ),
        Figure::seen(
            "gaps told; connects",
            format!("{}; {}", number(&verdict, "gaps"), number(&verdict, "connects")),
        ),
        Figure::seen("events of the old process, of the new; publishes unanswered", {
            format!("{old_last}, {new_last}; {}", unanswered.get())
        }),
        Figure::counted(
            "an own stream of 4 s, begun at the old process before the signal",
            &format!("{ITEMS} of {ITEMS}, whole"),
            format!("{} of {ITEMS}, {}", number(&own, "events"), if is_whole { "whole" } else { "cut" }),
            is_whole,
        ),
        Figure::seen("reconnects accepted by the new process, each second", {
            seconds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }),
        Figure::timed(
            "busiest second × the mean",
            "≤ 2",
            format!("{:.2}", busiest / mean),
            busiest <= 2.0 * mean,
        ),
        Figure::counted(
            "exit of the old process",
            "status 0",
            gone.map_or_else(|| "none".to_owned(), |status| status.to_string()),
            gone.is_some_and(|status| status.success()),
        ),
    ]
}

/// How many were accepted in each second since the signal, up to the last.
fn reconnects(backend: &Rc<Backend>, signal: u64) -> Vec<usize> {
    let mut seconds = Vec::new();
    for at in backend.accepted.borrow().iter() {
        let second = (at.saturating_sub(signal) / 1_000_000_000) as usize;
        if seconds.len() <= second {
            seconds.resize(second + 1, 0);
        }
        seconds[second] += 1;
    }
    seconds
}

/// The busiest second, and the mean of those from the first with any on.
fn flatness(seconds: &[usize]) -> (f64, f64) {
    let from_first: Vec<usize> = seconds.iter().copied().skip_while(|&count| count == 0).collect();
    let busiest = from_first.iter().copied().max().unwrap_or_default();
    (busiest as f64, from_first.iter().sum::<usize>() as f64 / from_first.len().max(1) as f64)
}
