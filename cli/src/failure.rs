//! Why the program ends without having done what it was asked for.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use griot::events::BrokerError;
use griot::journal::{CopyError, JournalError};
use griot::projection::ProjectionError;

/// Everything that ends the program early; the text says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Failure {
    /// A configuration key or value is wrong, or two of them do not go together.
    #[error("{0}")]
    Configuration(String),
    /// A file that a flag names cannot be read.
    #[error("cannot read the file given with {flag}, {}; check its path and permissions", .path.display())]
    ConfigurationFile {
        /// The flag.
        flag: &'static str,
        /// The file as given.
        path: PathBuf,
        /// Why it cannot be read.
        source: std::io::Error,
    },
    /// The runtime's threads cannot be started.
    #[error("cannot start the worker threads; check the limits on threads and open files")]
    Runtime(#[source] std::io::Error),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}; choose another address with --listen, port 0 picks a free one"
    )]
    Listen {
        /// The address as given.
        address: SocketAddr,
        /// Why it cannot be listened on.
        source: std::io::Error,
    },
    /// A signal handler cannot be installed.
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
    /// The broker cannot be used.
    #[error(
        "cannot use the broker {url}, given with --broker; its adapter's README has every setting of its URL"
    )]
    Broker {
        /// Its URL, without a password.
        url: String,
        /// Why it cannot be used.
        source: BrokerError,
    },
    /// The journal cannot be used.
    #[error("cannot use the journal {journal}")]
    Journal {
        /// Its URL, without a password, or its directory.
        journal: String,
        /// Why it cannot be used.
        source: JournalError,
    },
    /// The read model cannot be used.
    #[error("cannot use the read model {url}, given with --read-model or beside the journal")]
    ReadModel {
        /// Its URL, without a password.
        url: String,
        /// Why it cannot be used.
        source: ProjectionError,
    },
    /// A journal could not be copied.
    #[error("cannot copy {from} to {to}; what was copied stays, begin again to go on")]
    Copy {
        /// The one that is read, without a password.
        from: String,
        /// The one that is written.
        to: String,
        /// Why.
        source: Box<CopyError>,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output")]
    Output(#[source] std::io::Error),
    /// The services did not start.
    #[error(
        "cannot start {services}; `griot serve --help` says what to do about a data directory that does not open"
    )]
    Service {
        /// Their names, as in `griot serve NAME`.
        services: String,
        /// Why it did not start.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The description of an API cannot be written.
    #[error("cannot write the description of the API")]
    Description(#[source] serde_json::Error),
    /// The HTTP client cannot be built.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The load ran, and its verdict is bad.
    #[error("{0}")]
    Verdict(String),
    /// Another signal came while the program was stopping.
    #[error(
        "stopped at once by a second signal; what was acknowledged is kept and goes on at the next start"
    )]
    Interrupted {
        /// The exit code that shells give to the signal.
        code: u8,
    },
}

impl Failure {
    /// 2 for what the caller wrote wrongly, 1 for what went wrong.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) | Self::ConfigurationFile { .. } => ExitCode::from(2),
            Self::Interrupted { code } => ExitCode::from(*code),
            _ => ExitCode::FAILURE,
        }
    }

    /// The failure and every cause below it, in one line.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }

    /// Prints the failure and every cause below it to stderr.
    pub(crate) fn print(&self) {
        eprintln!("error: {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            eprintln!("  because: {error}");
            cause = error.source();
        }
    }
}
