//! `griot read-model pause`, `resume` and `retry`: what is asked of whoever runs a projection, by way of its database.

use std::io::{Write, stdout};
use std::sync::Arc;

use clap::Args;
use griot::core::EntityId;
use griot::journal::MemoryJournal;
use griot::projection::{ProjectionError, ReadModel};
use griot::sql::SqlTarget;

use super::Place;
use super::known::{Known, named};
use crate::failure::Failure;

/// Stops a read model after the batch that is under way, until it is resumed; also over a restart. `/readyz` of its
/// services answers 503 meanwhile.
#[derive(Args, Debug)]
pub(super) struct Pause {
    #[command(flatten)]
    which: Which,
}

/// Lets a read model get on, where it was paused and where it stopped at an event that could not be handled.
#[derive(Args, Debug)]
pub(super) struct Resume {
    #[command(flatten)]
    which: Which,
}

/// Asks for another try of parked entities: their events that wait are handled, in order.
#[derive(Args, Debug)]
pub(super) struct Retry {
    #[command(flatten)]
    which: Which,

    /// KIND/ID, as `griot read-model status` prints it; all that are parked unless said
    #[arg(value_name = "ENTITY", value_parser = crate::journal::entity)]
    entity: Option<EntityId>,
}

/// Which read model, and where it is.
#[derive(Args, Debug)]
struct Which {
    /// Which, as `griot read-model list` prints it
    #[arg(value_name = "NAME", value_parser = named)]
    known: Known,

    #[command(flatten)]
    place: Place,
}

impl Pause {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let read_model = self.which.open().await?;
        let paused = read_model.pause().await;
        self.which.say("paused", paused)
    }
}

impl Resume {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let read_model = self.which.open().await?;
        let resumed = read_model.resume().await;
        self.which.say("running", resumed)
    }
}

impl Retry {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let read_model = self.which.open().await?;
        let retrying = async {
            let mut parked = read_model.parked().await?;
            if let Some(entity) = &self.entity {
                parked.retain(|parked| parked.entity == *entity);
            }
            for parked in &parked {
                read_model.retry(&parked.entity).await?;
            }
            Ok(parked.len())
        };
        let count = retrying.await;
        let count = count.map_err(|error| self.which.place.url().failed(error))?;
        if let (0, Some(entity)) = (count, &self.entity) {
            return Err(Failure::Verdict(format!("{entity} is not parked")));
        }
        self.which.say(&format!("to try {count} again"), Ok(()))
    }
}

impl Which {
    async fn open(&self) -> Result<ReadModel<SqlTarget>, Failure> {
        let projection = self.known.name();
        let target = self.place.attach().await?;
        let target = target.ok_or_else(|| ProjectionError::Unknown {
            projection: projection.clone(),
        });
        let target = target.map_err(|error| self.place.url().failed(error))?;
        // Only what its database knows is asked: the journal may be a running server's.
        Ok(ReadModel::new(
            Arc::new(MemoryJournal::new()),
            target,
            &projection,
        ))
    }

    fn say(&self, what: &str, done: Result<(), ProjectionError>) -> Result<(), Failure> {
        done.map_err(|error| self.place.url().failed(error))?;
        let name = self.known.name();
        writeln!(stdout(), "{name} is {what}").map_err(Failure::Output)
    }
}
