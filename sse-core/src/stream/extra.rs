//! [`Extra`]: what only some streams have.

use bytes::Bytes;

use crate::{lease::Lease, lifecycle::Permit, refusal::Field};

/// What only some streams have: all of them are counted in bytes.
#[derive(Default)]
pub(super) struct Extra {
    /// Of an authorised request: until when, and who may end it.
    pub(super) lease: Option<Lease>,
    /// Of a hub that another server than the request's ends.
    pub(super) permit: Option<Permit>,
    /// An event that did not fit into the last chunk.
    pub(super) held: Option<Bytes>,
    /// Header fields beyond those of every stream.
    pub(super) headers: Box<[Field]>,
    /// What is sent in place of the comment that keeps the connection alive.
    pub(super) keep_alive: Option<Bytes>,
    /// What is sent last when the server stops.
    pub(super) farewell: Option<Bytes>,
}

impl Extra {
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        let is_used = self.lease.is_some()
            || self.permit.is_some()
            || !self.headers.is_empty()
            || self.keep_alive.is_some()
            || self.farewell.is_some();
        is_used.then(|| Box::new(self))
    }

    /// Whether nothing in it is due, but for what the wall clock says.
    pub(super) fn is_calm(&self) -> bool {
        self.held.is_none()
            && !self.lease.as_ref().is_some_and(|lease| lease.is_revoked() || lease.is_questioned())
            && !self.permit.as_ref().is_some_and(Permit::is_stopping)
    }

    /// Whether nothing more may be sent.
    pub(super) fn is_over(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_over)
    }
}
