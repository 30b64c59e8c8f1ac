//! [`Extra`]: what only some streams have.

use bytes::Bytes;

use tokio::time::Instant;

use crate::{
    batch::Held,
    end_reason::EndReason,
    lease::Lease,
    lifecycle::{Permit, Release},
    refusal::Field,
    source::{Feed, Source},
};

/// What only some streams have: all of them are counted in bytes.
#[derive(Default)]
pub(super) struct Extra {
    /// Of an authorised request: until when, and who may end it.
    pub(super) lease: Option<Lease>,
    /// Of a hub that another server than the request's ends.
    pub(super) permit: Option<Permit>,
    /// An event that did not fit into the last chunk.
    pub(super) held: Option<Held>,
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

    /// What this stream holds is to be freed when it must end, even if nobody polls it then.
    pub(super) fn hold<S: Source>(&self, source: Option<&S>, permit: Option<&Permit>, ends_at: Instant) {
        let Some(permit) = permit else {
            return;
        };
        let of_source = source.and_then(Feed::holding);
        let of_lease = self.lease.as_ref().map(|lease| lease.holding(permit.seat()));
        let of_other = self.permit.as_ref().map(|other| -> Box<dyn Release> { Box::new(other.seat()) });
        [of_source, of_lease, of_other].into_iter().flatten().for_each(|held| permit.hold(held));
        if let Some(other) = &self.permit {
            other.hold(Box::new(permit.seat()));
        }
        self.keep_until(permit, ends_at);
    }

    /// Until when it may hold it: not longer than it is authorised.
    pub(super) fn keep_until(&self, permit: &Permit, ends_at: Instant) {
        match self.lease.as_ref().map(Lease::deadline) {
            Some(leased) if leased < ends_at => permit.keep_until(leased, EndReason::Expired),
            _ => permit.keep_until(ends_at, EndReason::MaxAge),
        }
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
