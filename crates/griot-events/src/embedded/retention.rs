//! How long messages are kept.

use std::time::Duration;

/// How long messages are kept in the journal. By default for ever.
///
/// A message goes where it is older than `age_max`, or behind the newest `messages_max` of its slice:
/// but only once every group that is known in its topic has acknowledged it and all before it there,
/// unless `unacknowledged` says otherwise. A group is known from its first member on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Older ones may go.
    pub age_max: Option<Duration>,
    /// So many of each slice are kept; a topic has 16.
    pub messages_max: Option<u64>,
    /// What becomes of those that a group has not acknowledged.
    pub unacknowledged: Unacknowledged,
}

/// What becomes of messages that may go, and that a group has not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unacknowledged {
    /// They are kept, also for a group that never comes back.
    #[default]
    Kept,
    /// They go: **a group that is slower than this loses messages**.
    Deleted,
}
