//! [`wake_all`]: wakers are other people's code.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    task::Waker,
};

/// Wakes all of them, even if one panics: the others have nothing to do with it. To be called without a lock, for
/// a waker may come back to whoever holds it.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    static TOLD: AtomicBool = AtomicBool::new(false);

    let mut left = wakers.into_iter();
    while catch_unwind(AssertUnwindSafe(|| left.by_ref().for_each(Waker::wake))).is_err() {
        // It may do so for every event.
        if !TOLD.swap(true, Ordering::Relaxed) {
            tracing::error!("a task's waker panicked: its stream may stand still. Further ones are not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicUsize},
        task::Wake,
    };

    use super::*;

    struct Counts(Arc<AtomicUsize>, bool);

    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            assert!(!self.1, "this one panics");
        }
    }

    #[test]
    fn one_that_panics_takes_no_other_with_it() {
        let count = Arc::<AtomicUsize>::default();
        let waker = |n| Waker::from(Arc::new(Counts(Arc::clone(&count), [0, 17, 18, 39].contains(&n))));
        wake_all((0..40).map(waker));
        assert_eq!(count.load(Ordering::SeqCst), 40);
    }
}
