//! `griot journal copy`: a history carried from one journal to another.

use std::fmt::{self, Display};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use griot::journal::{Archive, Copied, copy, last_offset};

use super::JournalUrl;
use super::scan::bar;
use crate::failure::Failure;
use crate::url::UrlParser;

/// Copies all that a journal holds to another: events with their sequences, offsets and times, keys with their answers,
/// effects and which of them are settled, deletions, epochs.
///
/// It goes on where the target ends, so it may be interrupted in any way and begun again, and again once more has
/// happened. Offsets stay what they were, so read models and the embedded broker's groups go on where they were, too.
/// Snapshots are not copied: they are a cache, and are made anew.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  griot journal copy --from embedded:/var/lib/griot --to postgres://griot@db.internal/griot
  griot journal copy --from postgres://griot@db.internal/griot --to embedded:/var/lib/griot-2

To move a running system:
  1. From PostgreSQL, MySQL or Cassandra: copy while it runs, which takes as long as it takes. (A server has its embedded log to
     itself, so from there this step is left out.)
  2. Stop the service: SIGTERM, and wait for its end.
  3. Copy, again: what is not there yet.
  4. Start the service with --journal TO, and the same --data-dir and --read-model; where TO is embedded:DIR, with
     --data-dir DIR, and --read-model where it was.
Nothing may write to TO before step 4, and nothing to FROM after step 2: what is acknowledged there is not copied.
Orders under way go on, and a repeated Idempotency-Key gets its first answer.")]
pub(super) struct Copy {
    /// The journal to copy: `embedded:DIR`, the log in a data directory, `postgres://HOST[:PORT]/DATABASE`,
    /// `mysql://HOST[:PORT]/DATABASE`, or `cassandra://HOST[:PORT][,…]/KEYSPACE`
    #[arg(long, value_name = "URL", value_parser = UrlParser::<Place>::new())]
    from: Place,

    /// Where to: an empty journal, or what an earlier copy left
    #[arg(long, value_name = "URL", value_parser = UrlParser::<Place>::new())]
    to: Place,
}

/// A journal, with its directory where it is in one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    url: JournalUrl,
    directory: PathBuf,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == griot::journals::EMBEDDED {
            return Err("say which directory: embedded:DIR".to_owned());
        }
        let (url, directory) = match text.strip_prefix("embedded:") {
            Some(directory) => (griot::journals::EMBEDDED, directory),
            None => (text, ""),
        };
        Ok(Self {
            url: url.parse()?,
            directory: directory.into(),
        })
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.url.is_embedded() {
            return write!(f, "embedded:{}", self.directory.display());
        }
        f.write_str(&self.url.shown())
    }
}

impl Place {
    async fn open(&self) -> Result<Arc<dyn Archive>, Failure> {
        Ok(self.url.open(&self.directory).await?.archive)
    }
}

impl Copy {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { from, to } = self;
        if from == to {
            return Err(Failure::Configuration(format!(
                "--to: {to} is what --from says, too"
            )));
        }
        if from.url.is_embedded() {
            there_is_one(&from.directory)?;
        }
        let (source, target) = (from.open().await?, to.open().await?);
        let copied = carry(&*source, &*target).await;
        let closed = async { tokio::join!(source.close(), target.close()) };
        closed.await;
        let Copied {
            appends,
            events,
            last_offset,
        } = copied.map_err(|source| Failure::Copy {
            from: from.to_string(),
            to: to.to_string(),
            source: Box::new(source),
        })?;
        writeln!(
            stdout(),
            "copied {events} events in {appends} appends; the copy ends at offset {last_offset}"
        )
        .map_err(Failure::Output)
    }
}

async fn carry(
    source: &dyn Archive,
    target: &dyn Archive,
) -> Result<Copied, griot::journal::CopyError> {
    let end = last_offset(source).await;
    let end = end.map_err(griot::journal::CopyError::Source)?;
    let bar = bar(end.get(), "events");
    let copied = copy(source, target, |offset| bar.set_position(offset.get())).await;
    bar.finish_and_clear();
    copied
}

fn there_is_one(directory: &Path) -> Result<(), Failure> {
    if directory.join("journal").is_dir() {
        return Ok(());
    }
    let text = format!("--from: there is no journal in {}", directory.display());
    Err(Failure::Configuration(text))
}
