//! `griot read-model list` and `status`: which read models there are, and how far each is.

use std::fmt::Display;
use std::io::{Write, stdout};

use clap::Args;
use griot::projection::{Parked, ProjectionError, Standing, State};

use super::Place;
use super::known::{ALL, Known, named};
use super::steer::of_target;
use crate::failure::Failure;

/// Prints the read models that this program keeps: name, service and tables.
#[derive(Args, Debug)]
pub(super) struct List {}

impl List {
    #[expect(clippy::unused_self, reason = "as the other commands")]
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut out = stdout().lock();
        let mut row = |name: &str, service: &str, tables: &str| {
            writeln!(out, "{name:<24}{service:<12}{tables}").map_err(Failure::Output)
        };
        row("read model", "service", "tables")?;
        for known in ALL {
            let tables = (known.projection)().tables().join(", ");
            row(&known.name(), known.service, &tables)?;
        }
        Ok(())
    }
}

/// Prints where read models stand: state, version, offset in the journal, events that were handled, parked entities.
///
/// What a read model stopped at is below its line, and each parked entity with the first event that waits.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot read-model status
  griot read-model status orders-list --read-model postgres://griot@db.internal/griot

How far a read model is behind is a metric of its server, griot_projection_lag_events and griot_projection_lag_seconds.")]
pub(super) struct Status {
    /// Which, as `griot read-model list` prints it; all unless said
    #[arg(value_name = "NAME", value_parser = named)]
    known: Option<Known>,

    #[command(flatten)]
    place: Place,
}

/// What is known of a read model.
struct Looked {
    name: String,
    slices: Vec<Standing>,
    parked: Vec<Parked>,
}

impl Status {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let asked = self.known.map_or(ALL.to_vec(), |known| vec![known]);
        let mut all = Vec::new();
        for known in asked {
            all.push(self.look(&known).await?);
        }
        let mut out = stdout().lock();
        print(&mut out, &all).map_err(Failure::Output)
    }

    /// Where it stands; nowhere, where it never ran.
    async fn look(&self, known: &Known) -> Result<Looked, Failure> {
        let read_model = of_target(self.place.open(known).await?, known);
        let looking = async { Ok((read_model.standing().await?, read_model.parked().await?)) };
        let (slices, parked) = match looking.await {
            Err(ProjectionError::Unknown { .. }) => (Vec::new(), Vec::new()),
            looked => looked.map_err(|error| self.place.url().failed(error))?,
        };
        let name = known.name();
        Ok(Looked {
            name,
            slices,
            parked,
        })
    }
}

fn print(out: &mut impl Write, all: &[Looked]) -> std::io::Result<()> {
    let row = |out: &mut dyn Write, name: &str, state: &str, numbers: [&dyn Display; 5]| {
        let [slice, version, offset, events, parked] = numbers;
        writeln!(
            out,
            "{name:<24}{slice:>6}  {state:<14}{version:>8}{offset:>14}{events:>14}{parked:>8}"
        )
    };
    let head: [&dyn Display; 5] = [&"slice", &"version", &"offset", &"events", &"parked"];
    row(out, "read model", "state", head)?;
    for Looked {
        name,
        slices,
        parked,
    } in all
    {
        if slices.is_empty() {
            row(out, name, "never ran", [&"-"; 5])?;
        }
        for (number, slice) in slices.iter().enumerate() {
            let state = match slice.state {
                State::Failed { .. } => "stopped".to_owned(),
                ref state => state.to_string(),
            };
            let count = u32::try_from(slices.len()).unwrap_or(u32::MAX);
            let own = |parked: &&Parked| {
                usize::try_from(parked.entity.shard(count)).is_ok_and(|shard| shard == number)
            };
            let waiting = parked.iter().filter(own).count();
            let numbers: [&dyn Display; 5] = [
                &number,
                &slice.version,
                &slice.offset,
                &slice.events,
                &waiting,
            ];
            row(out, name, &state, numbers)?;
            if let State::Failed { reason } = &slice.state {
                writeln!(out, "  stopped at {reason}")?;
            }
        }
        for Parked {
            entity,
            seq,
            reason,
            ..
        } in parked
        {
            writeln!(out, "  parked {entity} from event {seq} on: {reason}")?;
        }
    }
    Ok(())
}
