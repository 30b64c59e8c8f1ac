//! [`Spent`]: the tickets of the last minutes that were used, and by whom.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use super::digest::Digest;

/// For how long it is known: beyond the life of a ticket, and of whoever waits for what becomes of one.
const REMEMBERED_FOR: Duration = Duration::from_secs(120);

/// How many at the most.
const MOST: usize = 200_000;

/// The tickets that were used of late. Plain data: no clock and no lock.
#[derive(Default)]
pub(super) struct Spent {
    uses: HashMap<Digest, Use>,
    /// The oldest first.
    order: VecDeque<(Instant, Digest)>,
}

/// The first use of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Use {
    /// Whose it is.
    pub(super) nonce: Digest,
    /// Whether the ticket was good at that place of the log.
    pub(super) was_good: bool,
}

impl Spent {
    pub(super) fn find(&self, ticket: &Digest) -> Option<Use> {
        self.uses.get(ticket).copied()
    }

    /// Whether it is the first.
    pub(super) fn note(&mut self, ticket: Digest, first: Use, now: Instant) -> bool {
        while let Some((at, oldest)) = self.order.front()
            && (now.duration_since(*at) >= REMEMBERED_FOR || self.order.len() >= MOST)
        {
            self.uses.remove(oldest);
            self.order.pop_front();
        }
        let is_first = !self.uses.contains_key(&ticket);
        if is_first {
            self.uses.insert(ticket, first);
            self.order.push_back((now, ticket));
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_use_counts_and_is_forgotten_at_last() {
        let mut spent = Spent::default();
        let ticket = |n: usize| Digest::of(&["ticket", &n.to_string()]);
        let [first, second] =
            [1_u128, 2].map(|nonce| Use { nonce: Digest::from_bytes(nonce.to_be_bytes()), was_good: true });
        assert!(spent.note(ticket(0), first, Instant::now()));
        assert!(!spent.note(ticket(0), second, Instant::now()));
        assert_eq!(spent.find(&ticket(0)), Some(first));
        tokio::time::advance(REMEMBERED_FOR).await;
        assert!(spent.note(ticket(1), first, Instant::now()));
        assert_eq!(spent.find(&ticket(0)), None);
        assert_eq!((spent.uses.len(), spent.order.len()), (1, 1));
    }
}
