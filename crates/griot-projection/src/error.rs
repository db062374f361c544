//! What can go wrong with a projection, and what to do about it.

use std::error::Error;
use std::sync::Arc;

use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_events::BrokerError;
use griot_journal::JournalError;

/// The error that a database's client gave.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// An error of a projection or a read model.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProjectionError {
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    /// The database that the read model is in did not do what it was asked.
    #[error("the read model's database failed: {0}")]
    Target(#[source] Cause),
    /// What the handlers published did not go out, or the broker cannot be listened to.
    #[error("the broker of a projection failed: {0}")]
    Broker(#[from] BrokerError),
    /// Another runner took the slice over. It goes on there; nothing of this one's last batch is stored.
    #[error("{slice} is run by another runner, under epoch {current}, not {held}: leave it there")]
    Fenced {
        /// Which slice.
        slice: String,
        /// The epoch of the one that was told.
        held: Epoch,
        /// The owner's.
        current: Epoch,
    },
    /// The tables were made by another version of the projection.
    #[error(
        "the tables of the projection {projection} are of version {stored}, and this is version \
         {version}: rebuild it"
    )]
    OtherVersion {
        /// The projection.
        projection: String,
        /// The version that made the tables.
        stored: u32,
        /// The version that is to run.
        version: u32,
    },
    /// It was started with another number of slices than is stored.
    #[error(
        "the projection {projection} has {stored} slices, not {slices}: keep to that number, or rebuild it"
    )]
    OtherSlices {
        /// The projection.
        projection: String,
        /// The number that it has.
        stored: u32,
        /// The number it was started with.
        slices: u32,
    },
    /// The tables know more than the journal.
    #[error(
        "the tables of the projection {projection} stand at offset {offset}, which this journal has not come to: they are of another journal, or this one lost its end; choose another place for them, or rebuild them there"
    )]
    OtherJournal {
        /// The projection.
        projection: String,
        /// Where its tables stand.
        offset: Offset,
    },
    /// Nobody has run the projection yet.
    #[error("nothing is known of the projection {projection}: run it once")]
    Unknown {
        /// The projection.
        projection: String,
    },
    /// The database of the read model is not there yet. It is tried again all the while.
    #[error("the read model {projection} is not there yet and is waited for: {reason}")]
    Awaited {
        /// The projection.
        projection: String,
        /// What is missing.
        reason: String,
    },
    /// It does not get on: the event that was waited for will not be seen until somebody resumes it.
    #[error("the projection {projection} is {state}: resume it")]
    Held {
        /// The projection.
        projection: String,
        /// Its state, and why.
        state: String,
    },
    /// The entity's events are parked from an earlier one on.
    #[error("{entity} is parked from event {seq} on ({reason}): repair the cause, then retry it")]
    Parked {
        /// Whose.
        entity: EntityId,
        /// The first event that was not handled.
        seq: Seq,
        /// Why.
        reason: String,
    },
    /// It was not seen in time. It may be soon.
    #[error("the projection {projection} did not show event {seq} of {entity} in time: try again")]
    Late {
        /// The projection.
        projection: String,
        /// Whose event.
        entity: EntityId,
        /// Which.
        seq: Seq,
    },
    /// It has not come yet to where the journal was. It may soon.
    #[error("the projection {projection} is behind its journal: try again")]
    Behind {
        /// The projection.
        projection: String,
    },
    /// A limit, a name or a number that cannot be.
    #[error("{what} cannot be: {reason}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// Why, and what to do.
        reason: &'static str,
    },
}

impl ProjectionError {
    /// An error of a target's client.
    pub fn target(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Target(Arc::new(error))
    }
}
