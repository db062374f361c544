//! A small disk, to be filled.

#![expect(clippy::unwrap_used, reason = "a test has nowhere else to go")]

use std::fs::{File, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The variable that says that no file system can be mounted here.
const NO_MOUNT: &str = "GRIOT_NO_MOUNT";

/// A file system of its own in memory, gone when it is dropped.
#[derive(Debug)]
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// With so many MiB. `None`, and a word about it, where the variable `GRIOT_NO_MOUNT` is set.
    ///
    /// # Panics
    ///
    /// When it cannot be mounted.
    pub fn mount(mebibytes: usize) -> Option<Self> {
        if std::env::var_os(NO_MOUNT).is_some() {
            println!("left out, since {NO_MOUNT} is set: a full disk");
            return None;
        }
        let directory = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        // What uses it may run as another user than the test.
        let options = format!("size={mebibytes}m,mode=755");
        mount.args(["-t", "tmpfs", "-o", &options, "griot-full-disk"]);
        let mounted = mount.arg(directory.path()).status();
        assert!(
            mounted.is_ok_and(|mounted| mounted.success()),
            "no tmpfs can be mounted: be root, run it in `unshare -rm`, or leave it out with {NO_MOUNT}=1"
        );
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        Some(Self(directory))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes so many bytes, and with `None` all that are left.
    ///
    /// # Panics
    ///
    /// When there are not so many.
    pub fn fill(&self, bytes: Option<usize>) {
        let mut options = File::options();
        let filler = options.create(true).append(true).open(self.filler());
        let mut filler = filler.unwrap();
        let zeros = vec![0; 4096];
        for _ in 0..bytes.map_or(usize::MAX, |bytes| bytes / zeros.len()) {
            match filler.write_all(&zeros) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull && bytes.is_none() => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Gives back what was taken.
    ///
    /// # Panics
    ///
    /// When nothing was.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        let _ = unmount.arg("--lazy").arg(self.path()).status();
    }
}
