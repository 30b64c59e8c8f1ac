//! [`Denials`]: what the server denies on a connection. It says so by the way and not in an answer.

use std::collections::VecDeque;

use tokio::sync::watch;

/// How many are remembered, the newest.
const MAX: usize = 32;

/// What was denied, and how often.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denials(VecDeque<(String, u64)>);

impl Denials {
    pub(crate) fn note(&mut self, operation: String) {
        if let Some((_, count)) = self.0.iter_mut().find(|(denied, _)| *denied == operation) {
            *count += 1;
            return;
        }
        if self.0.len() == MAX {
            self.0.pop_front();
        }
        self.0.push_back((operation, 1));
    }

    pub(crate) fn forget(&mut self, operation: &str) {
        self.0.retain(|(denied, _)| denied != operation);
    }

    /// Whether publishing to a subject was denied.
    pub(crate) fn of_publish(&self, subject: &str) -> Option<String> {
        self.0.iter().map(|(denied, _)| denied).find(|denied| is_publish(denied, subject)).cloned()
    }

    /// How often something was denied without which no answer comes from a subject.
    pub(crate) fn count(&self, subject: &str) -> u64 {
        self.0.iter().filter(|(denied, _)| is_about(denied, subject)).map(|(_, count)| count).sum()
    }

    fn about(&self, subject: &str) -> Option<String> {
        self.0.iter().map(|(denied, _)| denied).rfind(|denied| is_about(denied, subject)).cloned()
    }
}

/// Resolves when something is or was denied without which no answer comes from a subject.
pub(crate) async fn denied(denials: &mut watch::Receiver<Denials>, subject: &str) -> String {
    denied_again(denials, subject, 0).await
}

/// The same for what is denied more often than before.
pub(crate) async fn denied_again(
    denials: &mut watch::Receiver<Denials>,
    subject: &str,
    before: u64,
) -> String {
    loop {
        {
            let denials = denials.borrow_and_update();
            if denials.count(subject) > before
                && let Some(operation) = denials.about(subject)
            {
                return operation;
            }
        }
        if denials.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Answers come to an inbox: a connection that may not subscribe to it gets none at all.
fn is_about(denied: &str, subject: &str) -> bool {
    is_publish(denied, subject) || denied.starts_with("subscribe to _INBOX.")
}

fn is_publish(denied: &str, subject: &str) -> bool {
    denied.strip_prefix("publish to ").is_some_and(|denied| denied == subject)
}

/// What a line of the server's says that it denies: `Permissions Violation for Publish to "x"`.
pub(crate) fn denied_operation(line: &str) -> Option<String> {
    let rest = line.trim_matches('\'').strip_prefix("Permissions Violation for ")?;
    let (verb, rest) = rest.split_once(" to ")?;
    let verb = match verb {
        "Publish" => "publish",
        "Subscription" => "subscribe",
        _ => return None,
    };
    let subject = rest.trim_start_matches('"').split('"').next()?;
    // Each connection has an inbox of its own.
    let subject = if subject.starts_with("_INBOX.") { "_INBOX.>" } else { subject };
    Some(format!("{verb} to {subject}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_is_read_from_the_servers_line() {
        let denied =
            denied_operation("Permissions Violation for Publish to \"$JS.API.STREAM.INFO.sse-hub\"").unwrap();
        assert_eq!(denied, "publish to $JS.API.STREAM.INFO.sse-hub");
        assert!(is_about(&denied, "$JS.API.STREAM.INFO.sse-hub"));
        assert!(!is_about(&denied, "$JS.API.STREAM.INFO.sse-hub2"));
        assert!(!is_about(&denied, "sse-hub"));
        let denied = denied_operation("Permissions Violation for Subscription to \"_INBOX.a.*\"").unwrap();
        assert_eq!(denied, "subscribe to _INBOX.>");
        assert!(is_about(&denied, "anything"));
        assert_eq!(denied_operation("Stale Connection"), None);
    }

    #[test]
    fn the_newest_are_remembered() {
        let mut denials = Denials::default();
        denials.note("publish to a".into());
        for number in 0..100 {
            denials.note(format!("publish to n{number}"));
        }
        assert_eq!(denials.0.len(), MAX);
        assert_eq!(denials.of_publish("a"), None);
        assert_eq!(denials.of_publish("n99").as_deref(), Some("publish to n99"));
        denials.note("publish to n99".into());
        assert_eq!((denials.count("n99"), denials.count("n98"), denials.count("a")), (2, 1, 0));
        denials.note("subscribe to _INBOX.>".into());
        assert_eq!((denials.count("n99"), denials.count("a")), (3, 1));
        denials.forget("publish to n99");
        assert_eq!(denials.of_publish("n99"), None);
    }
}
