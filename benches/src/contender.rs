//! [`Contender`]: a server with its clients that is driven in turn with others, and [`Slice`]: one such turn.

use std::{path::Path, time::Instant};

use crate::{Fan, Process};

#[derive(Debug)]
pub struct Contender {
    pub name: String,
    pub process: Process,
    pub fan: Fan,
}

/// What a server showed in one turn.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// CPU time of a delivered event, in microseconds.
    pub micros: f64,
    /// Reads that it took the clients to have a delivered event.
    pub reads: f64,
    /// Delivered events.
    pub per_second: f64,
}

impl Contender {
    pub fn start(programs: &Path, name: &str, clients: usize) -> Self {
        let process = Process::start(programs, name);
        let mut fan = Fan::new(process.addr);
        fan.subscribe(clients, 64);
        Self { name: name.to_owned(), process, fan }
    }

    /// Drives it once; `drive` says how many events were delivered.
    fn turn(&mut self, drive: impl Fn(&mut Fan) -> u64) -> Slice {
        let (cpu, reads, start) = (self.process.cpu(), self.fan.reads, Instant::now());
        let events = drive(&mut self.fan) as f64;
        Slice {
            per_second: events / start.elapsed().as_secs_f64(),
            micros: (self.process.cpu() - cpu).as_secs_f64() * 1e6 / events,
            reads: (self.fan.reads - reads) as f64 / events,
        }
    }
}

/// Drives all by turns, so that what slows the machine down slows all of them down; of each, its slices.
pub fn by_turns(
    contenders: &mut [Contender],
    rounds: usize,
    drive: impl Fn(&mut Fan) -> u64,
) -> Vec<Vec<Slice>> {
    let mut slices: Vec<Vec<Slice>> = vec![Vec::new(); contenders.len()];
    // The first round warms up.
    for round in 0..=rounds {
        for (contender, slices) in contenders.iter_mut().zip(&mut slices) {
            let slice = contender.turn(&drive);
            if round > 0 {
                slices.push(slice);
            } else if let Some(latencies) = &mut contender.fan.latencies {
                latencies.clear();
            }
        }
    }
    slices
}
