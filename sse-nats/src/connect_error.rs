//! [`ConnectError`]: why there is no engine, and what to do about it.

use std::{error::Error, fmt};

use crate::api::ApiError;

/// JetStream was not reached, or is not fit for a hub. One sentence that names the remedy, without credentials.
#[non_exhaustive]
pub struct ConnectError {
    text: String,
}

impl ConnectError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    pub(crate) fn setting(text: String) -> Self {
        Self { text }
    }

    pub(crate) fn url(why: &str) -> Self {
        Self::new(format!(
            "the address of the NATS server is not one, since {why}: write it like nats://127.0.0.1:4222"
        ))
    }

    /// What stood in the way of a call of JetStream's.
    pub(crate) fn api(server: &str, what: &str, error: &ApiError) -> Self {
        Self::new(match error {
            ApiError::NoResponders => format!(
                "the NATS server at {server} has no JetStream for this account: start it with `-js` or a block \
                 `jetstream {{}}`, and enable JetStream for the account"
            ),
            ApiError::Denied(operation) | ApiError::Unanswerable(operation) => {
                format!("the NATS server at {server} denies {operation}: give the user this permission")
            }
            ApiError::Refused { err_code: 10039 | 10076 | 10035, .. } => format!(
                "the NATS server at {server} has no JetStream for this account: enable it in the server's configuration, \
                 with `jetstream: enabled` in the account"
            ),
            ApiError::Refused { err_code: 10008 | 10009, description, .. } => format!(
                "the NATS server at {server} has no leader to {what} ({description}): start most of the cluster's servers, \
                 and try again"
            ),
            ApiError::Refused { err_code: 10023 | 10028 | 10047 | 10002 | 10110, description, .. } => {
                format!(
                    "the NATS server at {server} has no room to {what} ({description}): give JetStream or the account more \
                 storage, or set a smaller `max_bytes` or `max_kept_bytes`"
                )
            }
            ApiError::Refused { err_code: 10065, description, .. } => format!(
                "the NATS server at {server} refuses to {what} ({description}): another stream has these subjects, so set \
                 another `name`"
            ),
            ApiError::Refused { err_code: 10005 | 10074 | 10052, description, .. } => format!(
                "the NATS server at {server} refuses to {what} ({description}): set `replicas` to no more than the \
                 cluster has servers"
            ),
            ApiError::Refused { description, .. } => format!(
                "the NATS server at {server} refuses to {what} ({description}): its own log tells more"
            ),
            ApiError::TooLarge => format!(
                "the NATS server at {server} takes nothing large enough to {what}: set a greater `max_payload`"
            ),
            ApiError::TimedOut | ApiError::UnderWay => format!(
                "the NATS server at {server} did not answer in time when asked to {what}: look at its log, and in a \
                 cluster whether JetStream has a leader"
            ),
            ApiError::Closed(reason) => format!(
                "the connection to the NATS server at {server} ended when it was asked to {what} ({reason}): try again"
            ),
            ApiError::Malformed => format!(
                "the NATS server at {server} gave an answer that is not understood when asked to {what}: use \
                 nats-server 2.9 or newer"
            ),
        })
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As it is displayed: this is what a `main` that returns it prints.
impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for ConnectError {}
