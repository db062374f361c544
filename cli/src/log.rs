//! Log lines on stderr.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::EnvFilter;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Sends log lines to stderr from now on; `RUST_LOG` chooses which. If it is unset, those of `least`
/// and above.
pub(crate) fn start(format: Format, least: Level) {
    let least = || EnvFilter::new(least.as_str());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| least());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match format {
        Format::Text => lines.init(),
        Format::Json => lines.json().flatten_event(true).init(),
    }
}
