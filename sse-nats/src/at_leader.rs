//! A reader where a stream's leader is.
//!
//! What is accepted is what that one has. Another replica may not have come so far, and may have a record of its own at a
//! position: one that was under way when all of them were killed. It is the server that chooses where a reader is, so some
//! are made until one is there.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    api::ApiError,
    link::Link,
    reader::{From, Reader},
};

/// How many readers are made: of three servers one is not where it should be in 0.2 % of all cases.
const TRIES: usize = 16;
/// How long each may take, at first and at most: a replica that is not well never answers.
const FIRST_PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_PATIENCE: Duration = Duration::from_secs(2);

impl Link {
    /// A reader of one of the streams of this log, where its leader is.
    pub(crate) async fn read(&self, stream: &str, from: From<'_>) -> Result<Reader, ApiError> {
        if self.replicas > 1 {
            let mut patience = FIRST_PATIENCE;
            for _ in 0..TRIES {
                let info = self.info_of(stream).await?;
                let reader = match timeout(patience, Reader::open(self.api(), stream, from)).await {
                    Ok(Err(ApiError::TimedOut)) | Err(_) => {
                        patience = (patience * 2).min(LONGEST_PATIENCE);
                        continue;
                    }
                    Ok(opened) => opened?,
                };
                let is_there =
                    info.leader().zip(reader.server.as_deref()).is_none_or(|(leader, is)| leader == is);
                if is_there {
                    return Ok(reader);
                }
                reader.close().await;
            }
        }
        Reader::open(self.api(), stream, from).await
    }
}
