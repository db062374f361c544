//! `griot read-model list` and `status`: which read models there are, and how far each is.

use std::fmt::Display;
use std::io::{Write, stdout};
use std::sync::Arc;

use clap::Args;
use griot::journal::{Journal, MemoryJournal};
use griot::journals::Opened;
use griot::projection::{Lag, Parked, ProjectionError, ReadModel, Standing, State};
use griot::sql::SqlTarget;

use super::Place;
use super::known::{ALL, Known, named};
use crate::failure::Failure;
use crate::journal::{JournalFlag, JournalUrl};
use crate::url::UrlParser;

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

/// Prints where read models stand: state, version, offset in the journal, events that were handled, parked entities, and
/// how far each is behind its journal, in events and seconds.
///
/// What a read model stopped at is below its line, and each parked entity with the first event that waits.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot read-model status
  griot read-model status orders-list --read-model postgres://griot@db.internal/griot

`behind` counts the events of the journal that were not looked at, of whatever kind, and `seconds` how long ago the first of
them happened. Both need the journal, which --journal or GRIOT_JOURNAL names. An embedded log is opened only where one of them
says `embedded`, since no server can start at that moment. Of a running server they are metrics, griot_projection_lag_events
and griot_projection_lag_seconds.")]
pub(super) struct Status {
    /// Which, as `griot read-model list` prints it; all unless said
    #[arg(value_name = "NAME", value_parser = named)]
    known: Option<Known>,

    #[command(flatten)]
    place: Place,

    /// The journal, to tell how far they are behind it: as of `griot serve`; none unless said
    #[arg(
        long,
        value_name = "URL",
        env = "GRIOT_JOURNAL",
        hide_env_values = true,
        value_parser = UrlParser::<JournalUrl>::new(),
    )]
    journal: Option<JournalUrl>,
}

/// What is known of a read model.
struct Looked {
    name: String,
    slices: Vec<Slice>,
    parked: Vec<Parked>,
    /// Why it is not known how far it is behind, though the journal could be asked.
    unknown: Option<ProjectionError>,
}

/// A slice of it, and how far it is behind, where the journal can be asked.
struct Slice {
    standing: Standing,
    lag: Option<Lag>,
}

impl Status {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let asked = self.known.map_or(ALL.to_vec(), |known| vec![known]);
        let target = self.place.attach().await?;
        let opened = self.open().await;
        let journal = opened.as_ref().ok().map(|opened| &opened.journal);
        let mut all = Vec::new();
        for known in asked {
            let looked = look(target.as_ref(), journal, &known).await;
            all.push(looked.map_err(|error| self.place.url().failed(error))?);
        }
        let mut out = stdout().lock();
        print(&mut out, &all).map_err(Failure::Output)?;
        match opened {
            Ok(opened) => opened.journal.close().await,
            Err(why) => eprintln!("how far they are behind is not known: {why}"),
        }
        for Looked { name, unknown, .. } in all {
            if let Some(error) = unknown {
                let why = self.why(error);
                eprintln!("how far {name} is behind is not known: {why}");
            }
        }
        Ok(())
    }

    /// Why a journal does not tell how far a read model is behind it.
    fn why(&self, error: ProjectionError) -> String {
        match (&self.journal, error) {
            (Some(journal), ProjectionError::Journal(error)) => {
                let directory = self.place.directory.path();
                journal.failed(directory, error).in_full()
            }
            (_, error) => error.to_string(),
        }
    }

    /// Opens the journal that is named; says in words for people why there is none.
    async fn open(&self) -> Result<Opened, String> {
        let Some(journal) = &self.journal else {
            let text = "name the journal with --journal; `embedded` is the log of a server that does not run";
            return Err(text.to_owned());
        };
        let opened = JournalFlag::of(journal).open(&self.place.directory).await;
        opened.map_err(|failure| failure.in_full())
    }
}

/// Where it stands; nowhere, where it never ran.
async fn look(
    target: Option<&SqlTarget>,
    journal: Option<&Arc<dyn Journal>>,
    known: &Known,
) -> Result<Looked, ProjectionError> {
    let mut looked = Looked {
        name: known.name(),
        slices: Vec::new(),
        parked: Vec::new(),
        unknown: None,
    };
    let Some(target) = target else {
        return Ok(looked);
    };
    let asked = journal.map_or_else(|| Arc::new(MemoryJournal::new()) as _, Arc::clone);
    let read_model = ReadModel::new(asked, target.clone(), &looked.name);
    let slices = match read_model.standing().await {
        Err(ProjectionError::Unknown { .. }) => return Ok(looked),
        slices => slices?,
    };
    for standing in slices {
        let mut lag = None;
        if journal.is_some() {
            match read_model.lag_of(&standing).await {
                Ok(known) => lag = Some(known),
                Err(error) => looked.unknown = Some(error),
            }
        }
        looked.slices.push(Slice { standing, lag });
    }
    looked.parked = read_model.parked().await?;
    Ok(looked)
}

fn print(out: &mut impl Write, all: &[Looked]) -> std::io::Result<()> {
    let row = |out: &mut dyn Write, name: &str, state: &str, numbers: [&dyn Display; 7]| {
        let [slice, version, offset, events, parked, behind, seconds] = numbers;
        writeln!(
            out,
            "{name:<24}{slice:>6}  {state:<14}{version:>8}{offset:>14}{events:>14}{parked:>8}{behind:>12}{seconds:>9}"
        )
    };
    let head: [&dyn Display; 7] = [
        &"slice", &"version", &"offset", &"events", &"parked", &"behind", &"seconds",
    ];
    row(out, "read model", "state", head)?;
    for Looked {
        name,
        slices,
        parked,
        ..
    } in all
    {
        if slices.is_empty() {
            row(out, name, "never ran", [&"-"; 7])?;
        }
        for (number, Slice { standing, lag }) in slices.iter().enumerate() {
            let state = match standing.state {
                State::Failed { .. } => "stopped".to_owned(),
                ref state => state.to_string(),
            };
            let count = u32::try_from(slices.len()).unwrap_or(u32::MAX);
            let own = |parked: &&Parked| {
                usize::try_from(parked.entity.shard(count)).is_ok_and(|shard| shard == number)
            };
            let waiting = parked.iter().filter(own).count();
            let (behind, seconds) = lag.map_or(("-".to_owned(), "-".to_owned()), |lag| {
                let seconds = lag.time.as_secs_f64();
                (lag.events.to_string(), format!("{seconds:.1}"))
            });
            let numbers: [&dyn Display; 7] = [
                &number,
                &standing.version,
                &standing.offset,
                &standing.events,
                &waiting,
                &behind,
                &seconds,
            ];
            row(out, name, &state, numbers)?;
            if let State::Failed { reason } = &standing.state {
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
