//! Where a projection stands, as its target stores it.

use std::fmt;
use std::sync::Arc;

use griot_core::{EntityId, Epoch, Offset, Seq};

/// One of the slices that a projection's entities are dealt into, by the hash of their names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// The projection's name.
    pub projection: Arc<str>,
    /// Which, from 0.
    pub number: u32,
}

impl fmt::Display for Slice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}#{}", self.projection, self.number)
    }
}

/// Where a slice of a projection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The version of the projection that made the tables.
    pub version: u32,
    /// How many slices the projection has; 0 where it is one of [topics](crate::Listener), which a broker deals.
    pub slices: u32,
    /// The fencing number of the runner that owns the slice.
    pub epoch: Epoch,
    /// Every event of the journal up to here has been looked at.
    pub offset: Offset,
    /// How many events the handlers were given.
    pub events: u64,
    /// Whether it gets on.
    pub state: State,
}

impl Standing {
    /// Whether it is that of a projection of topics.
    pub(crate) fn is_of_topics(&self) -> bool {
        self.slices == 0
    }
}

/// Whether a slice gets on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It does, where a runner has it.
    Running,
    /// Somebody paused it.
    Paused,
    /// It stopped at an event that could not be handled.
    Failed {
        /// Which event, and why.
        reason: String,
    },
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => formatter.write_str("running"),
            Self::Paused => formatter.write_str("paused"),
            Self::Failed { reason } => write!(formatter, "stopped at {reason}"),
        }
    }
}

/// An entity whose events wait, from one on that could not be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Whose.
    pub entity: EntityId,
    /// The first event that is not in the tables.
    pub seq: Seq,
    /// Why it could not be handled.
    pub reason: String,
    /// Whether somebody asked for another try.
    pub asked: Asked,
}

/// Whether another try was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Not yet.
    No,
    /// It is to be tried at the next occasion.
    Retry,
}
