//! `griot journal state`: an entity's state, now or at any moment.

use std::io::{Write, stdout};

use clap::Args;
use griot::core::{EntityId, Seq, Timestamp};
use griot::{EntityError, Griot, Moment};
use serde_json::json;

use super::{Which, entity, kinds, moment, seq};
use crate::failure::Failure;

/// Prints an entity's state as JSON: its events, folded as the service does it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot journal state alarm-user/ann
  griot journal state alarm-user/ann --seq 3                      after its third event
  griot journal state alarm-user/ann --at 2026-01-31T12:00:00Z    as it was then")]
pub(super) struct State {
    /// KIND/ID, as `griot journal streams` prints it
    #[arg(value_name = "ENTITY", value_parser = entity)]
    entity: EntityId,

    #[command(flatten)]
    which: Which,

    /// As it was after so many events
    #[arg(long, value_name = "N", value_parser = seq, conflicts_with = "at")]
    seq: Option<Seq>,

    /// As it was at this time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<Timestamp>,
}

impl State {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (kind, id) = (self.entity.kind(), self.entity.id().to_owned());
        let Some(recite) = kinds::of(kind) else {
            let text = format!(
                "`{kind}` is the kind of no service of this program, which knows {}; `griot journal events` shows any",
                kinds::names()
            );
            return Err(Failure::Configuration(text));
        };
        let opened = self.which.open().await?;
        let nothing = Griot::builder(opened.journal, opened.snapshots)
            .start()
            .await;
        let griot = nothing.map_err(|error| self.failed(error))?;
        let moment = match (self.seq, self.at) {
            (_, Some(at)) => Moment::At(at),
            (seq, None) => Moment::Seq(seq.unwrap_or(Seq::MAX)),
        };
        let recited = recite(griot, id, moment).await;
        let Some((state, seq)) = recited.map_err(|error| self.failed(error))? else {
            let text = format!("{}: nothing had happened to it by then", self.entity);
            return Err(Failure::Verdict(text));
        };
        let shown = json!({ "entity": self.entity, "seq": seq.get(), "state": state });
        writeln!(stdout(), "{shown:#}").map_err(Failure::Output)
    }

    fn failed(&self, error: EntityError) -> Failure {
        match error {
            EntityError::Journal(error) => self.which.failed(error),
            error => Failure::Verdict(format!("{}: {error}", self.entity)),
        }
    }
}
