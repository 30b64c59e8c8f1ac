//! [`Revoked`]: many things of one kind that were taken back, each until it is forgotten.

use std::collections::HashMap;

use super::digest::Digest;

/// How many parts there are. A part grows, and is looked through, by itself: no request waits for the whole.
const SHARDS: usize = 256;

/// Most entries of one part: two millions in all, in less than 100 MB.
const MAX_PER_SHARD: usize = 8192;

/// What is remembered of one thing.
pub(super) trait Entry: Copy {
    /// When it no longer matters, in seconds since 1970.
    fn until(&self) -> u32;

    /// Where there is no room, what has the lowest rank is forgotten.
    fn rank(&self) -> f64;

    /// This one and what was known before.
    fn with(self, other: Self) -> Self;
}

/// Until when a token that was revoked matters, in seconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Until(pub(super) u32);

impl Entry for Until {
    fn until(&self) -> u32 {
        self.0
    }

    fn rank(&self) -> f64 {
        self.0.into()
    }

    fn with(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

pub(super) struct Revoked<E> {
    shards: Vec<Shard<E>>,
    /// Which part is looked through next for what has run out, and when one was.
    next: usize,
    tidied: u32,
}

struct Shard<E> {
    entries: HashMap<Digest, E>,
    /// Look for what has run out once there are as many.
    sweep_at: usize,
}

impl<E> Default for Revoked<E> {
    fn default() -> Self {
        let shard = || Shard { entries: HashMap::new(), sweep_at: 32 };
        Self { shards: std::iter::repeat_with(shard).take(SHARDS).collect(), next: 0, tidied: 0 }
    }
}

impl<E: Entry> Revoked<E> {
    /// Returns what is known of it now, and the highest rank of those that had to be forgotten before their time, or
    /// zero.
    pub(super) fn insert(&mut self, key: Digest, entry: E, now: u32) -> (E, f64) {
        let shard = &mut self.shards[usize::from(key.bytes()[0]) % SHARDS];
        let mut forgotten: f64 = 0.0;
        if shard.entries.len() >= shard.sweep_at {
            shard.entries.retain(|_, old| old.until() > now);
            if shard.entries.len() >= MAX_PER_SHARD {
                let mut ranks: Vec<f64> = shard.entries.values().map(Entry::rank).collect();
                let middle = ranks.len() / 2;
                forgotten = *ranks.select_nth_unstable_by(middle, f64::total_cmp).1;
                shard.entries.retain(|_, old| old.rank() > forgotten);
            }
            shard.sweep_at = (shard.entries.len() * 2).clamp(32, MAX_PER_SHARD);
        }
        let entry = shard.entries.get(&key).map_or(entry, |old| entry.with(*old));
        shard.entries.insert(key, entry);
        (entry, forgotten)
    }

    /// Looks through one part for what has run out, once a second.
    pub(super) fn tidy(&mut self, now: u32) {
        if now <= self.tidied {
            return;
        }
        self.tidied = now;
        let shard = &mut self.shards[self.next];
        self.next = (self.next + 1) % SHARDS;
        if shard.entries.capacity() > 0 {
            shard.entries.retain(|_, entry| entry.until() > now);
            shard.entries.shrink_to(shard.entries.len() * 2);
            shard.sweep_at = (shard.entries.len() * 2).clamp(32, MAX_PER_SHARD);
        }
    }

    pub(super) fn find(&self, key: &Digest) -> Option<&E> {
        self.shards[usize::from(key.bytes()[0]) % SHARDS].entries.get(key)
    }
}

/// Whole seconds. Beyond the range is the end of it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "floats saturate")]
pub(super) fn whole(seconds: f64) -> u32 {
    seconds as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not through the hash, which takes long where nothing is optimised.
    fn key(n: u32) -> Digest {
        let mixed = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Digest::from_bytes(mixed.to_be_bytes())
    }

    fn len(revoked: &Revoked<Until>) -> usize {
        revoked.shards.iter().map(|shard| shard.entries.len()).sum()
    }

    #[test]
    fn hundreds_of_thousands_fit_and_none_is_forgotten() {
        let mut revoked = Revoked::default();
        for n in 0..300_000 {
            assert_eq!(revoked.insert(key(n), Until(10_000_000 + n), 0).1, 0.0);
        }
        for n in (0..300_000).step_by(97) {
            assert!(revoked.find(&key(n)).is_some(), "{n}");
        }
        assert!(revoked.find(&key(300_000)).is_none());
    }

    #[test]
    fn where_there_is_no_room_what_has_the_lowest_rank_goes() {
        let mut revoked = Revoked::default();
        let key = |n: u32| Digest::from_bytes(u128::from(n).to_be_bytes());
        let mut forgotten: f64 = 0.0;
        let all = MAX_PER_SHARD as u32 * 5 / 4;
        for n in 0..all {
            forgotten = forgotten.max(revoked.insert(key(n), Until(n + 1), 0).1);
        }
        assert!(len(&revoked) <= MAX_PER_SHARD);
        assert!(forgotten > 0.0 && forgotten < f64::from(all) * 0.75, "{forgotten}");
        // Whatever is not found has no higher rank than the highest that was forgotten.
        for n in 0..all {
            assert!(revoked.find(&key(n)).is_some() || f64::from(n + 1) <= forgotten, "{n}");
        }
    }

    #[test]
    fn what_has_run_out_leaves_by_itself() {
        let mut revoked = Revoked::default();
        for n in 0..20_000_u32 {
            revoked.insert(key(n), Until(1000 + n % 2), 0);
        }
        (1001..1001 + SHARDS as u32).for_each(|now| revoked.tidy(now));
        assert_eq!(len(&revoked), 0);
        let room: usize = revoked.shards.iter().map(|shard| shard.entries.capacity()).sum();
        assert_eq!(room, 0);
    }

    #[test]
    fn what_has_run_out_makes_room() {
        let mut revoked = Revoked::default();
        for n in 0..100_000_u32 {
            revoked.insert(key(n), Until(n + 10), n);
        }
        assert!(len(&revoked) < 20_000, "{}", len(&revoked));
    }
}
