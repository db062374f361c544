//! `griot read-model`: the tables that services keep, how far they are, and how they are made anew.

mod known;
mod progress;
mod rebuild;
mod serving;
mod standing;
mod steer;
mod url;

use clap::{Args, Subcommand};
use griot::sql::SqlTarget;

use crate::failure::Failure;
use crate::journal::DataDir;
use crate::signals::unless_signalled;
use crate::url::UrlParser;
pub(crate) use serving::{begun, url};
pub(crate) use url::ReadModelUrl;

/// The tables that services keep for others to query: how far they are, and how they are made anew.
///
/// A read model is named by the projection that keeps it, and lies in a file of SQLite in the data directory, or
/// where --read-model says. All of this may be asked while a server runs, save what needs its embedded log.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot read-model list
  griot read-model status --data-dir /var/lib/griot
  griot read-model rebuild orders-list --journal postgres://griot@db.internal/griot --read-model postgres://griot@db.internal/griot
  griot read-model rebuild carts-items --dry-run      what would differ
  griot read-model pause orders-list                  until somebody resumes it, also over a restart
  griot read-model resume orders-list                 also where it stopped at an event
  griot read-model retry orders-list order/0190b5a4-7c3e-7a10-8f00-0123456789ab

Exit codes: 0 done, 1 it could not be done, 2 a flag or a value is wrong.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    List(standing::List),
    Status(standing::Status),
    Rebuild(rebuild::Rebuild),
    Pause(steer::Pause),
    Resume(steer::Resume),
    Retry(steer::Retry),
}

/// Where the read model is.
#[derive(Args, Clone, Debug)]
struct Place {
    /// The read model: a file of SQLite, `sqlite://PATH`, `postgres://HOST[:PORT]/DATABASE`, or
    /// `mysql://HOST[:PORT]/DATABASE`; `read-model.sqlite` in the data directory unless said
    #[arg(
        long,
        value_name = "URL",
        env = "GRIOT_READ_MODEL",
        hide_env_values = true,
        value_parser = UrlParser::<ReadModelUrl>::new(),
    )]
    read_model: Option<ReadModelUrl>,

    #[command(flatten)]
    directory: DataDir,
}

impl Place {
    fn url(&self) -> ReadModelUrl {
        let said = self.read_model.clone();
        said.unwrap_or_else(|| ReadModelUrl::in_directory(self.directory.path()))
    }

    /// Opens it as it is: no table is made or changed. `None` where no service ever kept anything there; a file must be
    /// there.
    async fn attach(&self) -> Result<Option<SqlTarget>, Failure> {
        let url = self.url();
        if url.file().is_some_and(|file| !file.is_file()) {
            return Err(Failure::Verdict(format!(
                "there is no read model at {url}; name it with --read-model, or its directory with --data-dir"
            )));
        }
        let attached = url.attach().await;
        attached.map_err(|error| url.failed(error))
    }
}

/// Does what `arguments` say. Whoever reads what is printed may stop reading at any time.
///
/// # Errors
///
/// [`Failure::ReadModel`] and [`Failure::Journal`] when one of them cannot be used, [`Failure::Verdict`] when
/// something is not there, [`Failure::Interrupted`] after a signal.
pub(crate) async fn run(arguments: Arguments) -> Result<(), Failure> {
    unless_signalled(Box::pin(async {
        match arguments.what {
            What::List(list) => list.run(),
            What::Status(status) => status.run().await,
            What::Rebuild(rebuild) => rebuild.run().await,
            What::Pause(pause) => pause.run().await,
            What::Resume(resume) => resume.run().await,
            What::Retry(retry) => retry.run().await,
        }
    }))
    .await
}
