//! SIGINT and SIGTERM: the first asks for an orderly end, the second for one at once.

use std::io::ErrorKind;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Both signals that ask a program to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over from the operating system's default, which is to end at once.
    ///
    /// # Errors
    ///
    /// [`Failure::Signals`] when the operating system refuses the handlers.
    pub(crate) fn take() -> Result<Self, Failure> {
        let take = |kind| signal(kind).map_err(Failure::Signals);
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// Waits for the next signal and gives the exit code that shells report for it.
    ///
    /// # Cancel safety
    ///
    /// A signal is never lost by dropping the future.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}

/// What comes of a command that a signal ends at once. Whoever reads what it prints may stop reading at any time.
///
/// # Errors
///
/// Those of `doing`, and [`Failure::Interrupted`] after a signal.
pub(crate) async fn unless_signalled(
    doing: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let mut signals = Signals::take()?;
    let done = tokio::select! {
        done = doing => done,
        code = signals.next() => Err(Failure::Interrupted { code }),
    };
    match done {
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
