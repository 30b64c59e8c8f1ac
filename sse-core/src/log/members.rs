//! [`Members`]: the topics of a subscription.

use super::look::Member;

/// The topics of a subscription, most often one.
#[derive(Debug)]
pub(super) enum Members {
    One(Member),
    Any(Vec<Member>),
}

impl Members {
    pub(super) fn new(members: Vec<Member>) -> Self {
        match members[..] {
            [member] => Self::One(member),
            _ => Self::Any(members),
        }
    }

    pub(super) fn as_slice(&self) -> &[Member] {
        match self {
            Self::One(member) => std::slice::from_ref(member),
            Self::Any(members) => members,
        }
    }

    pub(super) fn change(&mut self, change: impl FnOnce(&mut Vec<Member>)) {
        let mut members = self.as_slice().to_vec();
        change(&mut members);
        *self = Self::new(members);
    }
}
