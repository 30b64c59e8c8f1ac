//! Two futures, of which the first to end counts.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

/// Both at once, until one has ended: its output. Tokio's `select!` would be a macro crate for every application to
/// compile.
pub(super) async fn first<T>(one: impl Future<Output = T>, other: impl Future<Output = T>) -> T {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Pending => other.as_mut().poll(cx),
        ready => ready,
    })
    .await
}
