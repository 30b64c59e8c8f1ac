//! Runtimes that die or stand still.

use super::*;

/// Many that sleep, each in a task of its own; what they read comes through the channel.
fn sleepers(runtime: &runtime::Runtime, hub: &Hub, count: usize) -> mpsc::UnboundedReceiver<String> {
    sleep_in(runtime, (0..count).map(|_| Client::open(hub, &["a"], None)).collect())
}

fn sleep_in(runtime: &runtime::Runtime, clients: Vec<Client>) -> mpsc::UnboundedReceiver<String> {
    let count = clients.len();
    let (tx, rx) = mpsc::unbounded_channel();
    let (ready, mut asleep) = mpsc::unbounded_channel();
    for mut client in clients {
        let (tx, ready) = (tx.clone(), ready.clone());
        runtime.spawn(async move {
            drop(client.drain());
            ready.send(()).unwrap();
            while let Some(bytes) = client.stream.next().await {
                client.parser.push(&bytes);
                for message in client.parser.messages() {
                    if tx.send(message.data).is_err() {
                        return;
                    }
                }
            }
        });
    }
    runtime.block_on(async {
        for _ in 0..count {
            asleep.recv().await.unwrap();
        }
    });
    rx
}

/// [`sleepers`] that were polled first in one runtime and live in another.
fn moved(
    from: &runtime::Runtime,
    to: &runtime::Runtime,
    hub: &Hub,
    count: usize,
) -> mpsc::UnboundedReceiver<String> {
    let clients = (0..count).map(|_| Client::open(hub, &["a"], None)).map(|mut client| {
        from.block_on(async { drop(client.drain()) });
        client
    });
    sleep_in(to, clients.collect())
}

async fn all_read(rx: &mut mpsc::UnboundedReceiver<String>, count: usize, data: &str) {
    for n in 0..count {
        let read = timeout(SOON, rx.recv()).await.unwrap_or_else(|_| panic!("{n} of {count} were woken"));
        assert_eq!(read.unwrap(), data);
    }
}

fn multi_thread() -> runtime::Runtime {
    runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn those_on_another_runtime_are_woken_when_the_first_is_gone() {
    const COUNT: usize = 400;
    let hub = builder().build();
    let first = multi_thread();
    let early = sleepers(&first, &hub, 1);
    let second = multi_thread();
    let mut late = sleepers(&second, &hub, COUNT);
    publish(&hub, &["a"], "before");
    second.block_on(all_read(&mut late, COUNT, "before"));
    drop((first, early));
    assert_eq!(hub.stats().subscribers, COUNT);
    for data in ["one", "two"] {
        publish(&hub, &["a"], data);
        second.block_on(all_read(&mut late, COUNT, data));
    }
}

/// Driven only inside `block_on`.
fn current_thread() -> runtime::Runtime {
    runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_stands_still_delays_no_other() {
    const COUNT: usize = 400;
    let hub = builder().build();
    let (first, second) = (current_thread(), multi_thread());
    let mut early = sleepers(&first, &hub, 2);
    let mut late = sleepers(&second, &hub, COUNT);
    for data in ["one", "two"] {
        publish(&hub, &["a"], data);
        second.block_on(all_read(&mut late, COUNT, data));
    }
    first.block_on(async {
        let mut read = Vec::new();
        while read.len() < 4 {
            read.push(timeout(SOON, early.recv()).await.unwrap().unwrap());
        }
        read.sort_unstable();
        assert_eq!(read, ["one", "one", "two", "two"]);
    });
}

#[test]
fn there_may_be_any_number_of_runtimes() {
    let hub = builder().build();
    let mut all: Vec<_> = (0..70).map(|_| current_thread()).map(|rt| (sleepers(&rt, &hub, 1), rt)).collect();
    publish(&hub, &["a"], "x");
    for (rx, runtime) in &mut all {
        runtime.block_on(all_read(rx, 1, "x"));
    }
    // Whose runtime is gone is not missed by those who shared its task.
    let rest = all.split_off(6);
    drop(all);
    publish(&hub, &["a"], "y");
    for (mut rx, runtime) in rest {
        runtime.block_on(all_read(&mut rx, 1, "y"));
    }
    assert_eq!(hub.stats().subscribers, 0);
}

#[test]
fn what_a_dying_runtime_still_had_to_wake_is_woken() {
    const COUNT: usize = 400;
    let hub = builder().build();
    // The others have slept there once, and live in the second.
    let first = current_thread();
    let early = sleepers(&first, &hub, 1);
    let second = multi_thread();
    let mut late = moved(&first, &second, &hub, COUNT);
    publish(&hub, &["a"], "x");
    drop((first, early));
    second.block_on(all_read(&mut late, COUNT, "x"));
}

#[test]
fn publishing_while_a_runtime_dies_wakes_everyone() {
    let hub = builder().build();
    let second = multi_thread();
    let stop = Arc::new(AtomicBool::new(false));
    for round in 0..40 {
        let first = multi_thread();
        let early = sleepers(&first, &hub, 1);
        let mut late = sleepers(&second, &hub, 30);
        let publisher = {
            let (hub, stop) = (hub.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    publish(&hub, &["a"], "noise");
                    thread::sleep(Duration::from_micros(50));
                }
                publish(&hub, &["a"], "end");
            })
        };
        thread::sleep(Duration::from_millis(2));
        stop.store(true, Ordering::SeqCst);
        drop((first, early));
        publisher.join().unwrap();
        stop.store(false, Ordering::SeqCst);
        second.block_on(async {
            let mut ends = 0;
            while ends < 30 {
                let read = timeout(SOON, late.recv()).await;
                let read = read.unwrap_or_else(|_| panic!("round {round}: {ends} of 30 saw the end"));
                ends += usize::from(read.unwrap() == "end");
            }
        });
    }
}
