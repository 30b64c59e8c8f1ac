//! One run: a hub, a crowd, some rounds, and the judgement.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::RecvTimeoutError,
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use sse_core::Hub;
use sse_tests::servers::{App, Framework};
use tokio::{
    runtime::{self, Handle, Runtime},
    sync::{mpsc, watch},
    time::sleep,
};

use crate::{
    client::{Client, Phase},
    door::Door,
    judge::{Figures, Trial, judge},
    published::{Book, Published},
    publisher::{self, Done},
    quiet::Quiet,
    setup::Setup,
    status::Status,
};

/// How long nothing at all may move. On a busy machine a second is nothing.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many clients have a life in runtimes that end under them.
const VISITORS: usize = 3;

/// # Errors
/// What went wrong, for whom, on which hub.
pub(crate) fn run(seed: u64, framework: Option<Framework>) -> Result<Figures, String> {
    let setup = Setup::new(seed, framework.is_some());
    let mut run = Run::start(setup, framework);
    let outcome = run.play();
    run.phase.send_replace(Phase::Over);
    run.lives.store(false, Ordering::SeqCst);
    let outcome = outcome.and_then(|()| run.judge());
    // What stands still cannot be waited for.
    run.runtimes.drain(..).for_each(Runtime::shutdown_background);
    outcome.map_err(|what| format!("{what}\n{:?}", run.setup))
}

struct Run {
    setup: Setup,
    hub: Hub,
    rng: StdRng,
    /// The first has several threads.
    runtimes: Vec<Runtime>,
    phase: watch::Sender<Phase>,
    lives: Arc<AtomicBool>,
    statuses: Vec<Arc<Status>>,
    settled: mpsc::UnboundedReceiver<usize>,
    gone: mpsc::UnboundedReceiver<Client>,
    clients: Vec<Client>,
    numbers: Arc<AtomicU64>,
    published: Vec<Published>,
    stopped: Option<Instant>,
}

impl Run {
    fn start(setup: Setup, framework: Option<Framework>) -> Self {
        let hub = setup.hub();
        let multi = runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
        let multi = multi.expect("a runtime");
        let lives = Arc::new(AtomicBool::new(true));
        let locals: Vec<Handle> = (0..2).map(|_| local(&lives)).collect();
        let (phase, phases) = watch::channel(Phase::Act);
        let (done, settled) = mpsc::unbounded_channel();
        let (go, gone) = mpsc::unbounded_channel();
        let doors: Vec<Door> = match framework {
            None => vec![Door::Memory(hub.clone())],
            Some(framework) => multi.block_on(sockets(framework, &hub)),
        };
        let mut statuses = Vec::new();
        for index in 0..setup.clients {
            let status = Arc::new(Status::default());
            statuses.push(Arc::clone(&status));
            let door = doors[index % doors.len()].clone();
            let parts = (phases.clone(), done.clone(), status);
            let mut client = Client::new((index, &setup), &hub, door, parts.0, parts.1, parts.2);
            let go = go.clone();
            if framework.is_none() && index < VISITORS {
                let (lives, phases) = (Arc::clone(&lives), phases.clone());
                let rng = StdRng::seed_from_u64(setup.seed ^ index as u64);
                thread::spawn(move || {
                    visit(&mut client, &lives, &phases, rng);
                    client.leave();
                    go.send(client).ok();
                });
                continue;
            }
            let life = async move {
                client.run().await;
                client.leave();
                go.send(client).ok();
            };
            match (framework, locals.get(index % 6)) {
                (None, Some(local)) => drop(local.spawn(life)),
                _ => drop(multi.spawn(life)),
            }
        }
        Self {
            rng: StdRng::seed_from_u64(setup.seed),
            setup,
            hub,
            runtimes: vec![multi],
            phase,
            lives,
            statuses,
            settled,
            gone,
            clients: Vec::new(),
            numbers: Arc::default(),
            published: Vec::new(),
            stopped: None,
        }
    }

    /// # Errors
    /// Somebody stands still.
    fn play(&mut self) -> Result<(), String> {
        let tasks = self.runtimes[0].handle().clone();
        for round in 1..=self.setup.rounds {
            let done = publisher::start(&self.setup, round, &self.hub, &self.numbers, &tasks);
            let stops = self.setup.stops && round == self.setup.rounds;
            if stops {
                thread::sleep(Duration::from_millis(self.rng.random_range(1..200)));
                self.stopped = Some(Instant::now());
                self.hub.lifecycle().stop();
                self.phase.send_replace(Phase::Stop);
            }
            self.publish(&done)?;
            if stops || self.is_wrong() {
                break;
            }
            self.settle(round)?;
            if self.is_wrong() {
                break;
            }
            self.phase.send_replace(Phase::Act);
        }
        if self.stopped.is_none() {
            self.phase.send_replace(Phase::Over);
        }
        self.go()
    }

    fn is_wrong(&self) -> bool {
        self.statuses.iter().any(|status| status.wrong.load(Ordering::Relaxed))
    }

    fn publish(&mut self, done: &Done) -> Result<(), String> {
        loop {
            match done.recv_timeout(PATIENCE) {
                Ok(published) => self.published.extend(published),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => return Err(self.stands_still("publishers do")),
            }
        }
    }

    /// Nobody publishes any more: whoever was not woken is found.
    fn settle(&mut self, round: usize) -> Result<(), String> {
        let book = Book::new(self.published.clone())?;
        let head = self.hub.position().to_string();
        if !head.ends_with(&format!("-{}", book.len())) {
            return Err(format!("{} were published, and the hub's head is {head}", book.len()));
        }
        self.phase.send_replace(Phase::Settle(Arc::new(Quiet::new(&self.setup, &book))));
        let mut left: Vec<bool> = vec![true; self.setup.clients];
        let mut watch = Watch::new(&self.statuses);
        while left.contains(&true) {
            if let Ok(index) = self.settled.try_recv() {
                left[index] = false;
            } else if let Ok(client) = self.gone.try_recv() {
                self.clients.push(client);
                return Ok(());
            } else if self.is_wrong() {
                return Ok(());
            } else if watch.is_still(&self.statuses) {
                let left: Vec<usize> = (0..left.len()).filter(|index| left[*index]).collect();
                return Err(self.stands_still(&format!("round {round}: {left:?} have not got everything")));
            } else {
                thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// All clients end.
    fn go(&mut self) -> Result<(), String> {
        let mut watch = Watch::new(&self.statuses);
        while self.clients.len() < self.setup.clients {
            if let Ok(client) = self.gone.try_recv() {
                self.clients.push(client);
            } else if watch.is_still(&self.statuses) {
                return Err(self.stands_still(&format!("{} have ended", self.clients.len())));
            } else {
                thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    fn judge(&mut self) -> Result<Figures, String> {
        let book = Book::new(std::mem::take(&mut self.published))?;
        let trial = Trial { setup: &self.setup, book: &book, stopped: self.stopped };
        let mut figures = Figures::default();
        for client in &self.clients {
            figures += judge(trial, &client.entries).map_err(|what| format!("{what}\n{client:?}"))?;
        }
        self.hub.lifecycle().stop();
        let begun = Instant::now();
        while self.hub.lifecycle().streams() > 0 || self.hub.stats().subscribers > 0 {
            if begun.elapsed() > PATIENCE {
                return Err(format!("all have gone, and {:?} are left", self.hub.stats()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(figures)
    }

    /// What there is to say of a run that does not go on.
    fn stands_still(&self, what: &str) -> String {
        let mut text = format!("nothing has moved for {PATIENCE:?}: {what}\n");
        // The hub itself may be locked for ever.
        let (hub, seen) = (self.hub.clone(), Arc::new(Mutex::new(String::from("locked"))));
        let sees = Arc::clone(&seen);
        thread::spawn(move || {
            let now = format!("{:?} {:?} {:?}", hub.position(), hub.stats(), hub.lifecycle());
            *sees.lock().expect("not poisoned") = now;
        });
        thread::sleep(Duration::from_secs(1));
        let seen = seen.lock().expect("not poisoned");
        writeln!(text, "hub: {seen}, published {}", self.published.len()).ok();
        for (index, status) in self.statuses.iter().enumerate().filter(|(_, status)| !status.rests()) {
            writeln!(text, "client {index}: {status}").ok();
        }
        text + &sockets_that_wait()
    }
}

/// The sockets of this machine whose peer or owner does not read, and how many there are in each state: on which side
/// the bytes lie says who stands still.
fn sockets_that_wait() -> String {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap_or_default();
    let mut states = BTreeMap::<&str, usize>::new();
    let mut text = String::new();
    for line in table.lines().skip(1) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, local, remote, state, queues, ..] = fields[..] else {
            continue;
        };
        *states.entry(state).or_default() += 1;
        if queues != "00000000:00000000" {
            writeln!(text, "socket {local} → {remote}, state {state}, to send:to read {queues}").ok();
        }
    }
    writeln!(text, "sockets by state: {states:?}").ok();
    text
}

/// Whether anything moves.
struct Watch {
    seen: u64,
    since: Instant,
}

impl Watch {
    fn new(statuses: &[Arc<Status>]) -> Self {
        Self { seen: progress(statuses), since: Instant::now() }
    }

    fn is_still(&mut self, statuses: &[Arc<Status>]) -> bool {
        let seen = progress(statuses);
        if seen != self.seen {
            *self = Self { seen, since: Instant::now() };
        }
        self.since.elapsed() > PATIENCE
    }
}

fn progress(statuses: &[Arc<Status>]) -> u64 {
    statuses.iter().map(|status| status.progress.load(Ordering::Relaxed)).sum()
}

/// A runtime of one thread, as long as the run lives.
fn local(lives: &Arc<AtomicBool>) -> Handle {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let handle = runtime.handle().clone();
    let lives = Arc::clone(lives);
    thread::spawn(move || {
        runtime.block_on(async {
            while lives.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(20)).await;
            }
        });
    });
    handle
}

/// A client in one runtime after another: each ends in the middle of everything.
fn visit(client: &mut Client, lives: &AtomicBool, phases: &watch::Receiver<Phase>, mut rng: StdRng) {
    while lives.load(Ordering::SeqCst) {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let stay = Duration::from_millis(rng.random_range(1..150));
        let is_over = runtime.block_on(async {
            let leave = async {
                sleep(stay).await;
                while !matches!(*phases.borrow(), Phase::Act) {
                    sleep(stay).await;
                }
            };
            tokio::select! {
                () = client.run() => true,
                () = leave => false,
            }
        });
        if is_over {
            return;
        }
    }
}

/// A server, and clients of it over both versions of HTTP; streams of HTTP/2 share connections.
async fn sockets(framework: Framework, hub: &Hub) -> Vec<Door> {
    let server = framework.serve(App::new(hub.clone())).await;
    let addr = server.addr;
    // It stops with the hub.
    std::mem::forget(server);
    let new = |http2: bool| {
        let builder = reqwest::Client::builder().no_proxy();
        let builder = if http2 { builder.http2_prior_knowledge() } else { builder.http1_only() };
        builder.build().expect("a client")
    };
    [false, false, true, false, false, true].map(|http2| Door::Socket { client: new(http2), addr }).to_vec()
}
