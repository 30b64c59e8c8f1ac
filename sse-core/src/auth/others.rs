//! [`Others`]: the way from an [`Auth`](super::Auth) to those of the other nodes.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{
    digest::Digest,
    outbox::{Letter, Outbox},
    said::{Said, Words},
};
use crate::{
    engine::Keep,
    nodes::{Nodes, ShareError},
    record::Notice,
};

/// How long is waited before what could not be told is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What an engine that fails may lose unseen: less than has been read of it since.
const UNCERTAIN: Duration = Duration::from_secs(60);

/// The way to the other nodes, once a hub with an engine shares this. Cheap to clone; clones are one.
#[derive(Clone, Default)]
pub(super) struct Others(Arc<RwLock<Option<Arc<Joined>>>>);

/// The same, where there is one.
pub(super) struct Joined {
    nodes: Nodes,
    realm: Box<str>,
    /// This node, by a number that it has drawn.
    node: Digest,
    outbox: Outbox,
}

impl Others {
    pub(super) fn join(&self, nodes: Nodes, realm: &str) {
        let joined = Arc::new(Joined {
            nodes,
            realm: realm.into(),
            node: Digest::random(),
            outbox: Outbox::default(),
        });
        let before = self.0.write().unwrap_or_else(PoisonError::into_inner).replace(joined);
        if before.is_some_and(|before| before.nodes.is_open()) {
            tracing::warn!("an `Auth` is shared by two hubs: what is revoked is told by the second alone");
        }
    }

    /// Nothing where this process is alone.
    pub(super) fn joined(&self) -> Option<Arc<Joined>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Joined {
    /// Tells all nodes.
    pub(super) async fn tell(&self, said: Said) -> Result<(), ShareError> {
        self.nodes.tell(&Digest::random().to_string(), &self.notice(said), None).await
    }

    /// Tells them, and those that start later, what is kept. What they cannot be told now they are when the
    /// engine is back.
    pub(super) async fn tell_kept(
        self: &Arc<Self>,
        said: Said,
        lifetime: Duration,
    ) -> Result<(), ShareError> {
        let letter = self.letter(said, lifetime).filter(|_| self.nodes.is_open());
        let letter = letter.ok_or(ShareError::NotShared)?;
        let (sender, told) = oneshot::channel();
        let joined = Arc::clone(self);
        // A task of its own: who waits here may be gone at any time, with the client that has asked.
        self.nodes.spawn(Box::pin(async move {
            let told = joined.send(&letter).await;
            match told {
                Ok(()) => joined.outbox.was_told(letter),
                Err(_) if joined.outbox.put(letter) => joined.serve(),
                Err(_) => {}
            }
            // Nobody waits any more where it cannot be sent.
            let _ = sender.send(told);
        }));
        told.await.unwrap_or(Err(ShareError::Unknown))
    }

    /// Tells them without waiting, as [`tell_kept`](Self::tell_kept).
    pub(super) fn tell_later(self: &Arc<Self>, said: Said, lifetime: Duration) {
        if let Some(letter) = self.letter(said, lifetime)
            && self.outbox.put(letter)
        {
            self.serve();
        }
    }

    /// Nothing where it is not kept.
    fn letter(&self, said: Said, lifetime: Duration) -> Option<Letter> {
        let now = Instant::now();
        let until = now.checked_add(lifetime).unwrap_or(now);
        let [kind, what] = said.name()?;
        let (name, key) = (self.name(&[&kind, &what]), Digest::random().to_string());
        Some(Letter { name, key, notice: self.notice(said), until })
    }

    /// The engine may have lost what it had accepted: it is told again. Where it is not known to have, the last of it.
    pub(super) fn tell_again(self: &Arc<Self>, is_known: bool) {
        if self.outbox.put_again(if is_known { Duration::MAX } else { UNCERTAIN }) {
            self.serve();
        }
    }

    /// Tells what is in the outbox, until nothing is.
    fn serve(self: &Arc<Self>) {
        let joined = Arc::clone(self);
        self.nodes.spawn(Box::pin(async move {
            while joined.nodes.is_open()
                && let Some(letter) = joined.outbox.next()
            {
                match joined.send(&letter).await {
                    Ok(()) => joined.outbox.done(letter),
                    // Jittered: all nodes see it come back at once.
                    Err(_) => sleep(AGAIN.mul_f64(rand::random_range(0.5..1.5))).await,
                }
            }
        }));
    }

    async fn send(&self, letter: &Letter) -> Result<(), ShareError> {
        let keep = Keep::new(letter.name.clone(), letter.lifetime());
        self.nodes.tell(&letter.key, &letter.notice, Some(keep)).await
    }

    /// Tells them what is told once, by this key.
    #[cfg(feature = "jwt")]
    pub(super) async fn tell_as(&self, key: &str, said: Said, keep: Option<Keep>) -> Result<(), ShareError> {
        self.nodes.tell(key, &self.notice(said), keep).await
    }

    fn notice(&self, said: Said) -> Notice {
        Words { realm: self.realm.to_string(), from: self.node, said }.write()
    }

    #[cfg(feature = "jwt")]
    pub(super) fn keep(&self, name: &[&str], lifetime: Duration) -> Keep {
        Keep::new(self.name(name), lifetime)
    }

    /// A name of this realm's for something.
    pub(super) fn name(&self, name: &[&str]) -> String {
        let parts: Vec<&str> = ["shared", &*self.realm].into_iter().chain(name.iter().copied()).collect();
        Digest::of(&parts).to_string()
    }

    #[cfg(feature = "jwt")]
    pub(super) fn is_away(&self) -> bool {
        self.nodes.is_away()
    }

    /// Whether this node has said it.
    pub(super) fn has_said(&self, words: &Words) -> bool {
        words.from == self.node
    }
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Others").field(&self.joined().is_some()).finish()
    }
}
