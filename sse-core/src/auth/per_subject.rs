//! [`PerSubject`]: things of many subjects, each of whom may have only so many.

use std::collections::{BTreeSet, HashMap};

use super::digest::Digest;

/// Things by their keys, in an order by rank: of all, and of each subject.
///
/// Plain data: no clock and no lock. What is taken out is given back.
pub(super) struct PerSubject<T> {
    things: HashMap<Digest, Thing<T>>,
    by_rank: BTreeSet<(u64, Digest)>,
    by_owner: BTreeSet<(Digest, u64, Digest)>,
}

struct Thing<T> {
    owner: Digest,
    rank: u64,
    value: T,
}

impl<T> Default for PerSubject<T> {
    fn default() -> Self {
        Self { things: HashMap::new(), by_rank: BTreeSet::new(), by_owner: BTreeSet::new() }
    }
}

impl<T> PerSubject<T> {
    pub(super) fn len(&self) -> usize {
        self.things.len()
    }

    pub(super) fn find(&self, key: &Digest) -> Option<&T> {
        self.things.get(key).map(|thing| &thing.value)
    }

    pub(super) fn find_mut(&mut self, key: &Digest) -> Option<&mut T> {
        self.things.get_mut(key).map(|thing| &mut thing.value)
    }

    pub(super) fn insert(&mut self, key: Digest, owner: Digest, rank: u64, value: T) {
        self.remove(&key);
        self.by_rank.insert((rank, key));
        self.by_owner.insert((owner, rank, key));
        self.things.insert(key, Thing { owner, rank, value });
    }

    pub(super) fn remove(&mut self, key: &Digest) -> Option<T> {
        let thing = self.things.remove(key)?;
        self.by_rank.remove(&(thing.rank, *key));
        self.by_owner.remove(&(thing.owner, thing.rank, *key));
        Some(thing.value)
    }

    /// Gives a thing another rank.
    pub(super) fn rank(&mut self, key: &Digest, rank: u64) {
        if let Some(thing) = self.things.get_mut(key) {
            self.by_rank.remove(&(thing.rank, *key));
            self.by_owner.remove(&(thing.owner, thing.rank, *key));
            thing.rank = rank;
            self.by_rank.insert((rank, *key));
            self.by_owner.insert((thing.owner, rank, *key));
        }
    }

    /// Takes out the one of the lowest rank, if that is lower than this.
    pub(super) fn pop_below(&mut self, rank: u64) -> Option<T> {
        let (lowest, key) = *self.by_rank.first()?;
        if lowest < rank { self.remove(&key) } else { None }
    }

    /// The lowest rank.
    pub(super) fn lowest(&self) -> Option<u64> {
        self.by_rank.first().map(|(rank, _)| *rank)
    }

    /// Takes out all of which this is so.
    pub(super) fn take_if(&mut self, is_so: impl Fn(&T) -> bool) -> Vec<T> {
        let found = self.things.iter().filter(|(_, thing)| is_so(&thing.value));
        let keys: Vec<Digest> = found.map(|(key, _)| *key).collect();
        keys.iter().filter_map(|key| self.remove(key)).collect()
    }

    /// Takes out everything.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    /// Takes out the lowest of an owner who has so many or more.
    pub(super) fn pop_of(&mut self, owner: Digest, many: usize) -> Option<T> {
        let own = || self.by_owner.range((owner, 0, Digest::LOWEST)..=(owner, u64::MAX, Digest::HIGHEST));
        let key = own().next()?.2;
        if own().take(many).count() >= many { self.remove(&key) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u64) -> Digest {
        Digest::of(&[&n.to_string()])
    }

    #[test]
    fn each_owner_pays_with_its_own_lowest() {
        let mut shelf = PerSubject::default();
        let (ada, eve) = (digest(1000), digest(1001));
        for n in 0..10 {
            shelf.insert(digest(n), if n % 2 == 0 { ada } else { eve }, n, n);
        }
        assert_eq!(shelf.pop_of(ada, 6), None);
        assert_eq!(shelf.pop_of(ada, 5), Some(0));
        shelf.rank(&digest(2), 100);
        assert_eq!(shelf.pop_of(ada, 4), Some(4));
        assert_eq!(shelf.pop_of(digest(5000), 0), None);
        assert_eq!((shelf.pop_below(1), shelf.pop_below(2), shelf.pop_below(2)), (None, Some(1), None));
        assert_eq!((shelf.remove(&digest(2)), shelf.remove(&digest(2))), (Some(2), None));
        while shelf.pop_below(u64::MAX).is_some() {}
        assert!(shelf.len() == 0 && shelf.by_rank.is_empty() && shelf.by_owner.is_empty());
    }
}
