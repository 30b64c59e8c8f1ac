//! Epochs: which life of its store the log is in.
//!
//! What a log is known by stands in its description and survives whatever becomes of the store, an older copy of it
//! included, in which positions are given a second time. So an epoch can end within a log: by a *marker*, a record of our
//! own that all nodes read in its order. It is written by the first node that reaches a server which was started since,
//! before any node publishes there, or by one that finds its last record replaced.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An epoch, and the position before its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) id: u64,
    pub(crate) since: u64,
}

/// An epoch ends, another one begins behind this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    pub(crate) from: Epoch,
    pub(crate) to: u64,
    /// Up to where the old one is intact: `None` is all that is in front of this.
    pub(crate) kept: Option<u64>,
    /// The server on which it was written; empty in a cluster.
    pub(crate) server: String,
}

impl Marker {
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok()
    }

    pub(crate) fn write(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(crate) fn begins(&self, seq: u64) -> Epoch {
        Epoch { id: self.to, since: seq }
    }

    pub(crate) fn kept(&self, seq: u64) -> u64 {
        self.kept.unwrap_or(u64::MAX).min(seq.saturating_sub(1))
    }
}

/// The last marker, where it does not leave with its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Present {
    pub(crate) epoch: Epoch,
    pub(crate) server: String,
}

impl Present {
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        serde_json::from_slice(data).ok()
    }

    pub(crate) fn write(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}
