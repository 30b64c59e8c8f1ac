//! `crowd return <address> <clients>`: clients as pages are. Each comes back after the `retry` that it was told, with the
//! last id that it has, and keeps account of what it was sent.
//!
//! Events say `<process> <number>`: which server, and the how manieth of it. `finish <process>:<last> …` waits until each
//! client has the last of the last server, then tells how many have everything or were told of what they lack.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Buffer, Commands,
    h1::Connection,
    say,
    sse::{Event, Sse},
};

/// What a client waits when it was told nothing, or found nobody.
const RETRY: u64 = 3000;

/// How long the crowd is given to have all.
const PATIENCE: Duration = Duration::from_secs(40);

/// What one client has been sent.
#[derive(Debug, Default)]
struct Account {
    at: Option<(String, u64)>,
    stands: bool,
    /// Whether it was told of a loss since the last event.
    told: bool,
    gaps: usize,
    connects: usize,
    twice: usize,
    /// Breaks of which it was not told.
    silent: usize,
    /// Of the process that it is at, the first number that it was sent.
    first: u64,
}

impl Account {
    fn take(&mut self, event: &Event<'_>) {
        if event.name == "sse-gap" {
            self.told = true;
            self.gaps += 1;
        }
        let Some((process, number)) = event.data.split_once(' ').filter(|_| event.name.is_empty()) else {
            return;
        };
        let number: u64 = number.parse().expect("a number");
        match &self.at {
            Some((at, last)) if at == process => {
                self.twice += usize::from(number <= *last);
                self.silent += usize::from(number > last + 1 && !self.told);
            }
            // Another process has another log: what the old one said since is lost, of which the client must be told.
            Some(_) => {
                self.silent += usize::from(!self.told);
                self.first = number;
            }
            None => self.first = number,
        }
        self.told = false;
        self.at = Some((process.to_owned(), number));
    }

    fn has(&self, process: &str, number: u64) -> bool {
        self.at.as_ref().is_some_and(|(at, last)| at == process && *last >= number)
    }
}

pub(super) async fn run(addr: SocketAddr, clients: usize, buffer: &Buffer, mut commands: Commands) {
    let accounts: Rc<Vec<RefCell<Account>>> = Rc::new((0..clients).map(|_| RefCell::default()).collect());
    for client in 0..clients {
        let (accounts, buffer) = (Rc::clone(&accounts), Rc::clone(buffer));
        tokio::task::spawn_local(async move {
            // Not all in one instant, or the first of them are dropped and come a second later.
            sleep(Duration::from_micros(500 * client as u64)).await;
            live(addr, &accounts[client], &buffer).await;
        });
    }
    while !accounts.iter().all(|account| account.borrow().stands) {
        sleep(Duration::from_millis(10)).await;
    }
    say(&"open");

    while let Some(command) = commands.next().await {
        let told: Vec<(&str, u64)> = command
            .split(' ')
            .filter_map(|word| word.split_once(':'))
            .map(|(process, last)| (process, last.parse().expect("a number")))
            .collect();
        let &(process, last) = told.last().expect("a process");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && !accounts.iter().all(|account| account.borrow().has(process, last))
        {
            sleep(Duration::from_millis(50)).await;
        }
        say(&verdict(&accounts, process, last));
    }
}

/// One page.
async fn live(addr: SocketAddr, account: &RefCell<Account>, buffer: &Buffer) {
    let mut sse = Sse::default();
    loop {
        if let Ok(mut connection) = Connection::open(addr, "/events", &sse.id, None).await {
            sse = sse.come_back();
            let mut first = true;
            let mut going = true;
            while going {
                going = connection
                    .read(buffer, |bytes| {
                        let mut account = account.borrow_mut();
                        account.connects += usize::from(std::mem::take(&mut first));
                        account.stands = true;
                        sse.read(bytes, |_, event| account.take(&event));
                    })
                    .await;
            }
        }
        sleep(Duration::from_millis(sse.retry.unwrap_or(RETRY))).await;
    }
}

fn verdict(accounts: &[RefCell<Account>], process: &str, last: u64) -> Value {
    let count =
        |what: &dyn Fn(&Account) -> bool| accounts.iter().filter(|account| what(&account.borrow())).count();
    let sum = |what: &dyn Fn(&Account) -> usize| {
        accounts.iter().map(|account| what(&account.borrow())).sum::<usize>()
    };
    json!({
        "clients": accounts.len(),
        "arrived": count(&|account| account.has(process, last)),
        "right": count(&|account| account.has(process, last) && account.twice == 0 && account.silent == 0),
        "from_first": count(&|account| account.first == 1),
        "twice": sum(&|account| account.twice),
        "silent": sum(&|account| account.silent),
        "gaps": sum(&|account| account.gaps),
        "connects": sum(&|account| account.connects),
    })
}
