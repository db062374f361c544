//! Log lines on stderr.

use std::io::{IsTerminal, stderr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// How a log line looks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What spans go to beside the log lines; `None` is nothing.
pub(crate) type SpanLayer = Option<Box<dyn Layer<Registry> + Send + Sync>>;

/// Sends log lines to stderr from now on; `RUST_LOG` chooses which. If it is unset, those of `least`
/// and above. Spans of any level go to `spans`.
pub(crate) fn start(format: Format, least: Level, spans: SpanLayer) {
    let least = || EnvFilter::new(least.as_str());
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| least());
    let has_colours = stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(has_colours);
    let lines = match format {
        Format::Text if has_colours => lines.boxed(),
        // The same text. What paints it costs as much where it paints nothing, at each field of each span.
        Format::Text => {
            let fields = debug_fn(|writer, field, value| match field.name() {
                "message" => write!(writer, "{value:?}"),
                name => write!(writer, "{name}={value:?}"),
            });
            lines.fmt_fields(fields.delimited(" ")).boxed()
        }
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter))
        .init();
}
