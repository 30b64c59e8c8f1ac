//! [`Kept`]: the records that were kept for nodes that start later.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    api::ApiError,
    link::Link,
    reader::{Clock, Delivery, From, LIFETIME, Reader},
};

/// How long a kept record may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// The two places of kept records, one behind the other: the log's own are newer.
pub(super) struct Kept {
    pub(super) reader: Reader,
    pub(super) is_log: bool,
    pub(super) is_empty: bool,
    pub(super) deadline: Instant,
}

impl Kept {
    /// The rest of it, once something came.
    pub(super) fn after(reader: Reader, is_log: bool) -> Self {
        Self { reader, is_log, is_empty: false, deadline: Instant::now() + PATIENCE }
    }
}

/// What is kept: first in the stream that holds it beyond the log, then in the log, which the other one copies.
pub(super) async fn kept_of(link: &Link, in_log: bool) -> Result<Kept, ApiError> {
    let subjects = link.names.all_kept(link.base);
    let reader = if in_log {
        link.read(&link.names.log(), From::LastOfEach(&subjects)).await?
    } else {
        link.read(&link.names.kept_log(link.base), From::All(&subjects)).await?
    };
    Ok(Kept { is_empty: reader.pending == 0, reader, is_log: in_log, deadline: Instant::now() + PATIENCE })
}

pub(super) async fn next_kept(kept: &mut Option<Kept>) -> Result<Option<Delivery>, ApiError> {
    match kept {
        None => std::future::pending().await,
        Some(kept) if kept.is_empty => Ok(None),
        Some(kept) => match timeout_at(kept.deadline, kept.reader.next()).await {
            Ok(delivery) => delivery.map(Some),
            Err(_) => Err(ApiError::TimedOut),
        },
    }
}

/// Whether it is still of use, by the server's clock.
pub(super) fn is_alive(delivery: &Delivery, clock: Clock) -> bool {
    let lifetime = delivery.headers.as_ref().and_then(|headers| headers.get(LIFETIME));
    let lifetime = lifetime.and_then(|lifetime| lifetime.as_str().parse().ok());
    lifetime.is_none_or(|lifetime| clock.age(delivery.time) < Duration::from_millis(lifetime))
}
