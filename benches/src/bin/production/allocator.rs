//! What allocates, by the features `jemalloc` and `mimalloc`; without them the system's.

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[cfg(all(feature = "jemalloc", not(feature = "mimalloc")))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const TUNABLES: &str = "GLIBC_TUNABLES";

/// Whether it is the system's, and nothing in the environment changes that.
pub(crate) fn is_as_it_is() -> bool {
    !cfg!(any(feature = "jemalloc", feature = "mimalloc")) && std::env::var_os(TUNABLES).is_none()
}

/// Its name, and how it is set.
pub(crate) fn name() -> String {
    if cfg!(feature = "mimalloc") {
        return "mimalloc".to_owned();
    }
    if cfg!(feature = "jemalloc") {
        return "jemalloc".to_owned();
    }
    std::env::var(TUNABLES).map_or_else(|_| "the system's".to_owned(), |set| format!("the system's, {set}"))
}
