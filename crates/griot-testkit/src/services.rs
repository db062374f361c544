//! The program `scripts/services`, which starts, stops and kills real servers.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test has nowhere else to go"
)]

mod own;

use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::time::timeout;

pub use own::OwnServer;

use crate::probe::DEADLINE;

/// Servers of one folder: those of the checkout, or some of one's own.
#[derive(Clone, Debug)]
pub struct Services {
    program: PathBuf,
    folder: Option<PathBuf>,
}

impl Services {
    /// The servers that run already.
    pub fn running(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            folder: None,
        }
    }

    /// Servers of one's own, with all they keep in a folder.
    pub fn within(program: impl Into<PathBuf>, folder: &Path) -> Self {
        Self {
            program: program.into(),
            folder: Some(folder.to_owned()),
        }
    }

    /// Says what it prints.
    ///
    /// # Panics
    ///
    /// When it fails or takes too long.
    pub async fn say(&self, arguments: &[&str]) -> String {
        let mut command = Command::from(self.command(arguments));
        let done = timeout(DEADLINE, command.output()).await;
        let done = done.expect("services answer in time").unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{arguments:?}: {said}");
        String::from_utf8(done.stdout).unwrap()
    }

    /// The same where nobody can wait, whatever comes of it.
    pub fn say_at_last(&self, arguments: &[&str]) {
        drop(self.command(arguments).output());
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(arguments);
        if let Some(folder) = &self.folder {
            command.env("GRIOT_SERVICES", folder);
        }
        command
    }
}
