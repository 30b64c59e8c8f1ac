//! [`Figure`]: one thing that was measured, beside its target.

/// One figure of one framework.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) target: String,
    pub(crate) value: String,
    /// Whether it meets its target; without one, nothing.
    pub(crate) met: Option<bool>,
    /// Whether it is a number that no load changes, and so a failure where it is not met.
    pub(crate) counted: bool,
}

impl Figure {
    /// One that is looked at, and depends on the machine.
    pub(crate) fn timed(what: &str, target: &str, value: String, met: bool) -> Self {
        Self { what: what.to_owned(), target: target.to_owned(), value, met: Some(met), counted: false }
    }

    /// One that must be met everywhere.
    pub(crate) fn counted(what: &str, target: &str, value: String, met: bool) -> Self {
        Self { counted: true, ..Self::timed(what, target, value, met) }
    }

    /// One without a target.
    pub(crate) fn seen(what: &str, value: String) -> Self {
        Self { met: None, ..Self::timed(what, "–", value, true) }
    }
}
