//! `griot journal`: what is in a journal, whichever it is.

mod copy;
mod kinds;
mod look;
mod scan;
mod state;
mod survey;
mod url;
mod which;

use clap::{Args, Subcommand};
use griot::core::{EntityId, Seq, Timestamp};

use crate::failure::Failure;
use crate::signals::unless_signalled;
pub(crate) use scan::bar;
pub(crate) use url::JournalUrl;
use which::Which;
pub(crate) use which::{DataDir, JournalFlag};

/// Looks into a journal: which entities there are, what happened to each, how it was at any moment, and
/// whether all of it is sound; copies all of it to another.
///
/// The embedded log is read while no server has its directory; a journal on a database at any time.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot journal streams --kind order --limit 10
  griot journal events order/01981c2e-7d3a-7000-8000-000000000001
  griot journal events alarm-user/ann --json | jq .data
  griot journal state order/01981c2e-7d3a-7000-8000-000000000001 --seq 3
  griot journal state alarm-user/ann --at 2026-01-31T12:00:00Z
  griot journal verify --data-dir /var/lib/griot
  griot journal stats --journal postgres://griot@db.internal/griot
  griot journal copy --from embedded:/var/lib/griot --to postgres://griot@db.internal/griot

Exit codes: 0 done, 1 it could not be done or something is wrong, 2 a flag or a value is wrong.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Streams(look::Streams),
    Events(look::Events),
    State(state::State),
    Verify(survey::Verify),
    Stats(survey::Stats),
    Copy(copy::Copy),
}

/// Does what `arguments` say. Whoever reads what is printed may stop reading at any time.
///
/// # Errors
///
/// [`Failure::Journal`] when the journal cannot be used, [`Failure::Verdict`] when something is not there or wrong,
/// [`Failure::Interrupted`] after a signal.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    unless_signalled(Box::pin(async {
        match arguments.what {
            What::Streams(streams) => streams.run().await,
            What::Events(events) => events.run().await,
            What::State(state) => state.run().await,
            What::Verify(verify) => verify.run().await,
            What::Stats(stats) => stats.run().await,
            What::Copy(copy) => copy.run().await,
        }
    }))
    .await
}

/// An entity, as people write it.
pub(crate) fn entity(text: &str) -> Result<EntityId, String> {
    let wrong = |_| {
        format!(
            "`{text}` is no entity: write KIND/ID, such as order/0190b5a4-7c3e-7a10-8f00-0123456789ab"
        )
    };
    text.parse().map_err(wrong)
}

fn seq(text: &str) -> Result<Seq, String> {
    let wrong = |_| format!("`{text}` is not a whole number");
    text.parse().map(Seq).map_err(wrong)
}

fn moment(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| format!("`{text}` is not a time like 2026-01-31T12:00:00Z");
    text.parse().map_err(wrong)
}
