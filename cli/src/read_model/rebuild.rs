//! `griot read-model rebuild`: the tables are made anew beside the live ones, compared, and swapped.

use std::fmt::Display;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use griot::journal::{Journal, JournalError};
use griot::projection::{self, Comparison, ProjectionError};
use griot::sql::SqlTarget;

use super::Place;
use super::known::{Known, named};
use super::progress::Shown;
use crate::failure::Failure;
use crate::journal::JournalFlag;

/// Makes a read model's tables anew from the journal, beside the live ones, compares them and swaps; prints what
/// differed.
///
/// The live tables are read and kept all the while, and readers see the old ones or the new ones. Nothing is
/// published and no effect is performed again. A rebuild that was interrupted goes on where it was.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot read-model rebuild orders-list
  griot read-model rebuild carts-items --dry-run
  griot read-model rebuild orders-list --journal postgres://griot@db.internal/griot

When to rebuild:
  - a new version of the program says that it is needed: its tables are of another version;
  - somebody wrote to the tables, or lost some: --dry-run says what would change.

A server has its embedded log to itself: stop it, rebuild, start it again. With the journal on a database the
rebuild goes on beside the running server, which goes on with the new tables by itself.

The journal has to be the one that the tables were made from. In the table, `only before` are the different rows that only the live table had, `only after` those that only the
rebuilt one has; a row that changed is one of each.")]
pub(super) struct Rebuild {
    /// Which, as `griot read-model list` prints it
    #[arg(value_name = "NAME", value_parser = named)]
    known: Known,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    journal: JournalFlag,

    /// Rebuild and compare, and leave the live tables as they are
    #[arg(long)]
    dry_run: bool,
}

/// What a rebuild came to.
struct Outcome {
    tables: Vec<Comparison>,
    events: u64,
    rebuilding: Duration,
    /// Comparing, and swapping or throwing away.
    ending: Duration,
}

impl Rebuild {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let journal = self.open_journal().await?;
        let url = self.place.url();
        let target = url.open((self.known.tables)()).await;
        let target = target.map_err(|error| url.failed(error))?;
        let outcome = self.rebuild(Arc::clone(&journal), target).await;
        journal.close().await;
        let outcome = outcome.map_err(|error| match error {
            ProjectionError::Journal(error) => self.journal.failed(&self.place.directory, error),
            error => url.failed(error),
        })?;
        self.print(&outcome).map_err(Failure::Output)
    }

    /// Opens the journal; an embedded one must be there, and nobody else's.
    async fn open_journal(&self) -> Result<Arc<dyn Journal>, Failure> {
        match self.journal.open(&self.place.directory).await {
            Ok(opened) => Ok(opened.journal),
            Err(Failure::Journal {
                source: JournalError::Locked { path },
                ..
            }) => Err(Failure::Verdict(format!(
                "a running server has the log in {}, and only it can read it: stop the server (SIGTERM), rebuild, and \
                 start it again; with the journal on a database (--journal postgres://…) a rebuild goes on beside it",
                path.display()
            ))),
            Err(failure) => Err(failure),
        }
    }

    async fn rebuild(
        &self,
        journal: Arc<dyn Journal>,
        target: SqlTarget,
    ) -> Result<Outcome, ProjectionError> {
        let begun = Instant::now();
        let projection = (self.known.projection)();
        let mut rebuild = projection::Rebuild::begin(journal, target, projection).await?;
        let before = rebuild.events().await?;
        let mut shown = Shown::begin(&self.known.name());
        rebuild.catch_up(|progress| shown.at(progress)).await?;
        drop(shown);
        let events = rebuild.events().await?.saturating_sub(before);
        let rebuilding = begun.elapsed();
        let begun = Instant::now();
        let tables = rebuild.compare().await?;
        if self.dry_run {
            rebuild.discard().await?;
        } else {
            rebuild.swap().await?;
        }
        Ok(Outcome {
            tables,
            events,
            rebuilding,
            ending: begun.elapsed(),
        })
    }

    fn print(&self, outcome: &Outcome) -> std::io::Result<()> {
        let mut out = stdout().lock();
        let mut row = |table: &str, numbers: [&dyn Display; 4]| {
            let [live, rebuilt, only_live, only_rebuilt] = numbers;
            writeln!(
                out,
                "{table:<24}{live:>14}{rebuilt:>14}{only_live:>14}{only_rebuilt:>14}"
            )
        };
        row(
            "table",
            [&"rows before", &"rows after", &"only before", &"only after"],
        )?;
        for of in &outcome.tables {
            row(
                &of.table,
                [&of.live, &of.rebuilt, &of.only_live, &of.only_rebuilt],
            )?;
        }
        let Outcome {
            events,
            rebuilding,
            ending,
            ..
        } = outcome;
        let seconds = rebuilding.as_secs_f64();
        let rate = u128::from(*events) * 1_000 / rebuilding.as_millis().max(1);
        let ended = if self.dry_run {
            "thrown away: --dry-run"
        } else {
            "swapped"
        };
        writeln!(
            out,
            "\n{events} events in {seconds:.2} s, {rate} events/s; compared and {ended} in {:.2} s",
            ending.as_secs_f64()
        )
    }
}
