//! How a client behaves, drawn from its seed.

use rand::{RngExt, rngs::StdRng};

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Temper {
    /// How likely it pauses after a chunk, and for how many milliseconds at most.
    pub(crate) pauses: (f64, u64),
    /// How likely a connection is cut, and after how many bytes at most.
    pub(crate) cuts: (f64, usize),
    /// How likely it changes its topics after a chunk.
    pub(crate) changes: f64,
}

impl Temper {
    pub(crate) fn new(rng: &mut StdRng) -> Self {
        let pauses = match rng.random_range(0..5) {
            0 | 1 => (0.0, 1),
            2 => (0.3, 20),
            3 => (0.05, 400),
            _ => (0.01, 1000),
        };
        let cuts = match rng.random_range(0..4) {
            0 => (0.0, 1),
            1 => (0.95, 500),
            2 => (0.8, 5_000),
            _ => (0.7, 100_000),
        };
        let changes = if rng.random_bool(0.2) { 0.05 } else { 0.0 };
        Self { pauses, cuts, changes }
    }
}
