//! How far a rebuild is: a bar on the terminal, or a line now and then.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use griot::projection::Progress;
use indicatif::ProgressBar;

use crate::journal::bar;

/// Between two lines, where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What is shown of a rebuild while it goes on.
pub(super) enum Shown {
    Bar(ProgressBar),
    Lines {
        name: String,
        begun: Instant,
        last: Instant,
    },
}

impl Shown {
    /// Of the read model `name`.
    pub(super) fn begin(name: &str) -> Self {
        if stderr().is_terminal() {
            return Self::Bar(bar(0, "events"));
        }
        let (name, begun) = (name.to_owned(), Instant::now());
        Self::Lines {
            name,
            begun,
            last: begun,
        }
    }

    /// It has come so far.
    pub(super) fn at(&mut self, Progress { offset, end }: Progress) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(end.get());
                bar.set_position(offset.get());
            }
            Self::Lines { name, begun, last } if last.elapsed() >= LINE_EVERY => {
                let seconds = begun.elapsed().as_secs();
                eprintln!("{name}: {offset} of {end} events after {seconds} s");
                *last = Instant::now();
            }
            Self::Lines { .. } => {}
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
