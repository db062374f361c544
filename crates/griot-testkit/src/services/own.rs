//! A server of a test's own.

#![expect(clippy::unwrap_used, reason = "a test has nowhere else to go")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Services;
use crate::SmallDisk;

/// A server on a free port, with data in a folder that is thrown away. Dropped, it is killed.
#[derive(Debug)]
pub struct OwnServer {
    services: Services,
    name: &'static str,
    url: String,
    folder: PathBuf,
    /// Thrown away with it.
    _temporary: Option<TempDir>,
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
        let path = folder.path().to_owned();
        Self::begin(program, name, path, Some(folder)).await
    }

    /// The same with all that it has on this disk, which must outlive it.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn start_on(program: &Path, name: &'static str, disk: &SmallDisk) -> Self {
        Self::begin(program, name, disk.path().join("server"), None).await
    }

    async fn begin(
        program: &Path,
        name: &'static str,
        folder: PathBuf,
        temporary: Option<TempDir>,
    ) -> Self {
        let services = Services::within(program, &folder);
        let said = services.say(&["up", name]).await;
        let (_, url) = said.split_once('=').unwrap();
        Self {
            url: url.lines().next().unwrap().to_owned(),
            services,
            name,
            folder,
            _temporary: temporary,
        }
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it keeps what it has.
    pub fn folder(&self) -> PathBuf {
        self.folder.join(self.name)
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
        self.up().await;
    }

    /// Starts it again where it has ended: same port, same data.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn up(&self) {
        self.services.say(&["up", self.name]).await;
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.services.say_at_last(&["kill", self.name]);
    }
}
