//! [`Realm`]: the part of an [`Auth`] that all nodes of a hub have in common.

use std::{fmt, sync::Arc};

#[cfg(feature = "jwt")]
use super::ticket_store::Store;
use super::{Auth, revocation::Revocations, said::Words};
use crate::{
    nodes::{Loss, Nodes, Shared, Told},
    record::Notice,
};

/// What was revoked, and the tickets, under the name that all nodes know it by.
pub(super) struct Realm {
    name: Box<str>,
    revocations: Revocations,
    #[cfg(feature = "jwt")]
    tickets: Option<Arc<Store>>,
}

impl Auth {
    /// What a hub with an engine tells of all nodes, and tells them.
    pub(crate) fn shared_as(&self, name: &str) -> Arc<dyn Shared> {
        Arc::new(Realm {
            name: name.into(),
            revocations: self.0.revocations.clone(),
            #[cfg(feature = "jwt")]
            tickets: self.0.tokens.as_ref().and_then(|tokens| tokens.tickets.clone()),
        })
    }
}

impl Shared for Realm {
    fn join(&self, nodes: Nodes) {
        self.revocations.others().join(nodes, &self.name);
    }

    fn told(&self, notice: &Notice, when: Told) -> bool {
        let Some(words) = Words::read(notice) else {
            return false;
        };
        if *words.realm != *self.name {
            return true;
        }
        let joined = self.revocations.others().joined();
        match joined.filter(|joined| joined.has_said(&words)) {
            // What this node has taken back it has when it said so, and whoever came since is not meant.
            Some(joined) => {
                if let Told::Ago(_) = when {
                    self.revocations.tell_what_is_newer(&words.said, &joined);
                }
            }
            None => self.revocations.told(&words.said, when),
        }
        #[cfg(feature = "jwt")]
        if let Some(tickets) = &self.tickets {
            tickets.told(words.said, when);
        }
        true
    }

    fn lost(&self, loss: Loss) {
        #[cfg(feature = "jwt")]
        if let Some(tickets) = &self.tickets {
            tickets.void();
        }
        match loss {
            Loss::Missed => tracing::error!(
                "this node could not follow the engine for a while: what was revoked it is told again, but streams \
                 that others have ended without revoking anything may be open here"
            ),
            Loss::Seam { is_known } => {
                if let Some(joined) = self.revocations.others().joined() {
                    joined.tell_again(is_known);
                }
            }
        }
    }
}

impl fmt::Debug for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Realm").field("name", &self.name).finish_non_exhaustive()
    }
}
