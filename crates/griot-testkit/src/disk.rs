//! A simulated disk: it forgets what was not synced, tears writes, runs full, fails and flips bits,
//! all as its seed and its faults say.

mod state;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use griot_journal::{Storage, StorageFile, StorageLock};
use state::State;

/// What goes wrong with one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails, having done nothing. What a sync that fails was to make durable is
    /// still read back, as from a page cache, and is gone after a power cut unless written again.
    Error,
    /// There is no space left; a write has written a part of its bytes.
    Full,
    /// The power goes: this operation and every later one fails, until the disk is
    /// [rebooted](SimDisk::reboot).
    PowerCut,
}

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerCut {
    /// Nothing.
    Nothing,
    /// Everything, as when a process is killed and its machine goes on.
    Everything,
    /// Of each write its beginning, up to a byte that the seed chooses, and nothing after it.
    Beginnings,
    /// Of each write any of its sectors of 512 bytes, as the seed chooses.
    Sectors,
}

/// A simulated disk. Its clones are the same disk.
///
/// A clone that a program uses as its storage is of the life that it was made in: after a
/// [`reboot`](Self::reboot) it does nothing any more, as the power took the program with it.
///
/// Everything it does follows from its seed and from the order of the calls, so that a run can be
/// repeated: [`trace`](Self::trace) tells whether it was the same.
pub struct SimDisk {
    shared: Arc<Shared>,
    life: u64,
}

impl Clone for SimDisk {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            life: self.state().life,
        }
    }
}

struct Shared {
    state: Mutex<State>,
    gate: Condvar,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.operations();
        formatter
            .debug_struct("SimDisk")
            .field("operations", &operations)
            .finish_non_exhaustive()
    }
}

impl SimDisk {
    /// An empty disk.
    pub fn new(seed: u64) -> Self {
        Self::with(State::new(seed))
    }

    fn with(state: State) -> Self {
        let life = state.life;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            gate: Condvar::new(),
        });
        Self { shared, life }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many operations changed it so far: files made, renamed and removed, writes, and syncs.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// One line for each of them.
    pub fn trace(&self) -> Vec<String> {
        self.state().trace.clone()
    }

    /// Has the operation `number`, counted from 1, go wrong.
    pub fn fail_at(&self, number: u64, fault: Fault) {
        self.state().faults.insert(number, fault);
    }

    /// Has the `next` operation from now on, counted from 1, go wrong.
    pub fn fail_soon(&self, next: u64, fault: Fault) {
        let mut state = self.state();
        let number = state.operations.saturating_add(next);
        state.faults.insert(number, fault);
    }

    /// Lets files grow to so many bytes together, and no further; `None` for any number.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.state().space = bytes;
    }

    /// Ends a power cut, or makes one: what was not synced is left as `cut` says, and no fault is
    /// planned any more. Locks are free, and what was cloned or opened before is of another life.
    pub fn reboot(&self, cut: PowerCut) {
        self.state().reboot(cut);
    }

    /// Another disk with the same content, all of it durable.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self::with(self.state().copy())
    }

    /// The content of a file; empty where there is none.
    pub fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        self.state().content(path.as_ref())
    }

    /// The names of all files.
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        self.state().names()
    }

    /// Changes the content of a file, durably, behind everybody's back.
    pub fn edit(&self, path: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) {
        self.state().edit(path.as_ref(), change);
    }

    /// Removes a file, durably, behind everybody's back.
    pub fn lose(&self, path: impl AsRef<Path>) {
        self.state().lose(path.as_ref());
    }

    /// Flips one bit of a file.
    pub fn flip(&self, path: impl AsRef<Path>, bit: usize) {
        self.edit(path, |bytes| {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        });
    }

    /// Has every operation that would change the disk wait until [`release`](Self::release).
    pub fn hold(&self) {
        self.state().held = true;
    }

    /// Waits, blocking, until an operation waits.
    pub fn wait_until_held(&self) {
        let mut state = self.state();
        while state.waiting == 0 {
            state = self
                .shared
                .gate
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets operations go on.
    pub fn release(&self) {
        self.state().held = false;
        self.shared.gate.notify_all();
    }

    /// The state, for a program of this life.
    fn powered(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        state.check_life(self.life)?;
        Ok(state)
    }

    /// The state, for a change to names by a program of this life.
    fn writable(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.pass_gate();
        state.check_life(self.life)?;
        Ok(state)
    }

    /// Waits while operations are held.
    fn pass_gate(&self) -> MutexGuard<'_, State> {
        let mut state = self.state();
        if state.held {
            state.waiting += 1;
            self.shared.gate.notify_all();
            while state.held {
                state = self
                    .shared
                    .gate
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            state.waiting -= 1;
        }
        state
    }
}

impl Storage for SimDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<StorageLock>> {
        let mut state = self.powered()?;
        if !state.locks.insert(path.to_owned()) {
            return Ok(None);
        }
        drop(state);
        Ok(Some(Box::new(Lock {
            disk: self.clone(),
            path: path.to_owned(),
            life: self.life,
        })))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        Ok(self.powered()?.list(directory))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.writable()?.create(path)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.powered()?.open(path)?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.writable()?.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.writable()?.remove(path)
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        self.writable()?.sync_dir(directory)
    }

    fn salt(&self) -> u64 {
        self.state().random.u64(..)
    }
}

struct Lock {
    disk: SimDisk,
    path: std::path::PathBuf,
    life: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: state::FileId,
}

impl StorageFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        self.disk.state().size(self.file)
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.state().read_at(self.file, buffer, position)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.disk.pass_gate().write_at(self.file, bytes, position)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.pass_gate().sync(self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_its_power_does_nothing_any_more() {
        let disk = SimDisk::new(1);
        let (before, path) = (disk.clone(), Path::new("/data/log"));
        assert!(before.create(path).is_ok());
        disk.reboot(PowerCut::Everything);
        assert!(before.remove(path).is_err());
        assert!(before.create(path).is_err());
        assert!(disk.clone().remove(path).is_ok());
    }
}
