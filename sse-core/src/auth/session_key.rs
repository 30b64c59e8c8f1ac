//! [`SessionKey`]: which session of a ticket a request was let in by.

use std::sync::Weak;

use super::{digest::Digest, ticket_store::Store};

/// Which session it is.
#[derive(Clone)]
pub(super) struct SessionKey {
    pub(super) store: Weak<Store>,
    pub(super) key: Digest,
}

impl SessionKey {
    /// Takes note of an open stream, until that is dropped.
    pub(super) fn open(&self) -> OpenSession {
        if let Some(store) = self.store.upgrade() {
            store.opened(&self.key);
        }
        OpenSession(self.clone())
    }
}

/// A session in use.
pub(super) struct OpenSession(SessionKey);

impl Drop for OpenSession {
    fn drop(&mut self) {
        if let Some(store) = self.0.store.upgrade() {
            store.closed(&self.0.key);
        }
    }
}
