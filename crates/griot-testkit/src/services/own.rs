//! A server of a test's own.

#![expect(clippy::unwrap_used, reason = "a test has nowhere else to go")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Services;

/// A server on a free port, with data in a folder that is thrown away. Dropped, it is killed.
#[derive(Debug)]
pub struct OwnServer {
    services: Services,
    name: &'static str,
    url: String,
    folder: TempDir,
}

impl OwnServer {
    /// Starts the service that `program` knows by this name.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start(program: &Path, name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The server may run as another user than the test.
        let open = Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let services = Services::within(program, folder.path());
        let said = services.say(&["up", name]).await;
        let (_, url) = said.split_once('=').unwrap();
        Self {
            url: url.lines().next().unwrap().to_owned(),
            services,
            name,
            folder,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it keeps what it has.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join(self.name)
    }

    /// Stops it and starts it again: same port, same data.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&self) {
        self.services.say(&["restart", self.name]).await;
    }

    /// kill -9, and starts it again: same port, same data.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn kill(&self) {
        self.services.say(&["kill", self.name]).await;
        self.services.say(&["up", self.name]).await;
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.services.say_at_last(&["kill", self.name]);
    }
}
