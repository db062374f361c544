//! What a simulated disk holds: what is durable, and what is only written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{Fault, PowerCut};

/// A file of one life of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    number: usize,
    life: u64,
}

#[derive(Clone, Debug, Default)]
struct File {
    name: String,
    /// As it is read now.
    content: Vec<u8>,
    /// As it was at its last sync.
    durable: Vec<u8>,
    /// What was written since.
    unsynced: Vec<(usize, Vec<u8>)>,
}

impl File {
    /// Makes what was written durable.
    fn settle(&mut self) {
        for (position, bytes) in self.unsynced.drain(..) {
            overwrite(&mut self.durable, &bytes, position);
        }
    }
}

#[derive(Clone, Debug)]
enum NameChange {
    Put(PathBuf, usize),
    Remove(PathBuf),
}

impl NameChange {
    fn path(&self) -> &Path {
        match self {
            Self::Put(path, _) | Self::Remove(path) => path,
        }
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Put(path, number) => drop(names.insert(path, number)),
            Self::Remove(path) => drop(names.remove(&path)),
        }
    }
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) random: fastrand::Rng,
    pub(super) operations: u64,
    pub(super) trace: Vec<String>,
    pub(super) faults: HashMap<u64, Fault>,
    pub(super) space: Option<u64>,
    pub(super) locks: HashSet<PathBuf>,
    pub(super) held: bool,
    pub(super) waiting: usize,
    /// Counts reboots.
    pub(super) life: u64,
    dark: bool,
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    unsynced_names: Vec<NameChange>,
}

const SECTOR_BYTES: usize = 512;
/// How much of a write its line in the trace tells apart.
const DIGESTED_BYTES: usize = 64 << 10;

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            operations: 0,
            trace: Vec::new(),
            faults: HashMap::new(),
            space: None,
            locks: HashSet::new(),
            held: false,
            waiting: 0,
            life: 0,
            dark: false,
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
        }
    }

    /// Counts an operation, and says what goes wrong with it.
    fn operation(&mut self, what: String) -> io::Result<Option<Fault>> {
        if self.dark {
            return Err(no_power());
        }
        self.operations += 1;
        self.trace.push(what);
        match self.faults.remove(&self.operations) {
            Some(Fault::PowerCut) => {
                self.dark = true;
                Ok(Some(Fault::PowerCut))
            }
            other => Ok(other),
        }
    }

    /// As [`operation`](Self::operation), for one that does nothing where it fails.
    fn whole_operation(&mut self, what: String) -> io::Result<()> {
        self.operation(what)?
            .map_or(Ok(()), |fault| Err(failure(fault)))
    }

    /// # Errors
    ///
    /// Where the power was cut since.
    pub(super) fn check_life(&self, life: u64) -> io::Result<()> {
        if life == self.life {
            Ok(())
        } else {
            Err(no_power())
        }
    }

    fn file(&mut self, id: FileId) -> io::Result<&mut File> {
        if self.dark {
            return Err(no_power());
        }
        self.check_life(id.life)?;
        self.files
            .get_mut(id.number)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(super) fn create(&mut self, path: &Path) -> io::Result<FileId> {
        self.whole_operation(format!("create {}", path.display()))?;
        let number = self.files.len();
        self.files.push(File {
            name: short(path),
            ..File::default()
        });
        self.put(path, number);
        Ok(FileId {
            number,
            life: self.life,
        })
    }

    fn put(&mut self, path: &Path, number: usize) {
        self.names.insert(path.to_owned(), number);
        self.unsynced_names
            .push(NameChange::Put(path.to_owned(), number));
    }

    fn unput(&mut self, path: &Path) -> io::Result<usize> {
        let number = self.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
        self.unsynced_names
            .push(NameChange::Remove(path.to_owned()));
        Ok(number)
    }

    pub(super) fn open(&mut self, path: &Path) -> io::Result<FileId> {
        let &number = self.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(FileId {
            number,
            life: self.life,
        })
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole_operation(format!("rename {} to {}", from.display(), to.display()))?;
        let number = self
            .names
            .get(from)
            .copied()
            .ok_or(io::ErrorKind::NotFound)?;
        self.put(to, number);
        self.unput(from)?;
        if let Some(file) = self.files.get_mut(number) {
            file.name = short(to);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.whole_operation(format!("remove {}", path.display()))?;
        self.unput(path).map(drop)
    }

    pub(super) fn list(&self, directory: &Path) -> Vec<String> {
        let inside = self
            .names
            .keys()
            .filter(|path| path.parent() == Some(directory));
        inside.map(|path| short(path)).collect()
    }

    pub(super) fn sync_dir(&mut self, directory: &Path) -> io::Result<()> {
        self.whole_operation(format!("sync {}", directory.display()))?;
        // Only the names in it: another directory's may be lost all the same.
        let (synced, left) = std::mem::take(&mut self.unsynced_names)
            .into_iter()
            .partition(|change| change.path().parent() == Some(directory));
        self.unsynced_names = left;
        let synced: Vec<NameChange> = synced;
        for change in synced {
            change.apply(&mut self.durable_names);
        }
        Ok(())
    }

    pub(super) fn size(&mut self, id: FileId) -> io::Result<u64> {
        let bytes = self.file(id)?.content.len();
        Ok(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    pub(super) fn read_at(
        &mut self,
        id: FileId,
        buffer: &mut [u8],
        position: u64,
    ) -> io::Result<usize> {
        let from = usize::try_from(position).unwrap_or(usize::MAX);
        let content = &self.file(id)?.content;
        let rest = content.get(from..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    pub(super) fn write_at(&mut self, id: FileId, bytes: &[u8], position: u64) -> io::Result<()> {
        let name = self.file(id)?.name.clone();
        let digest = griot_core::stable_hash(bytes.get(..DIGESTED_BYTES).unwrap_or(bytes));
        let count = bytes.len();
        let fault = self.operation(format!("write {name} {position}+{count} {digest:x}"))?;
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        let mut room = bytes.len();
        if let Some(space) = self.space {
            let used: usize = self.files.iter().map(|file| file.content.len()).sum();
            let free = usize::try_from(space)
                .unwrap_or(usize::MAX)
                .saturating_sub(used);
            let end = self
                .files
                .get(id.number)
                .map_or(0, |file| file.content.len());
            room = room.min(end.saturating_add(free).saturating_sub(position));
        }
        let written = match fault {
            None => room,
            Some(Fault::Error) => 0,
            Some(Fault::Full) => self.random.usize(..bytes.len().max(1)),
            // The machine may have got any part of it to the disk.
            Some(Fault::PowerCut) => bytes.len(),
        };
        let number = id.number;
        if let (Some(file), Some(part)) = (self.files.get_mut(number), bytes.get(..written)) {
            overwrite(&mut file.content, part, position);
            file.unsynced.push((position, part.to_vec()));
        }
        match fault {
            Some(fault) => Err(failure(fault)),
            None if room < bytes.len() => Err(io::ErrorKind::StorageFull.into()),
            None => Ok(()),
        }
    }

    pub(super) fn sync(&mut self, id: FileId) -> io::Result<()> {
        let name = self.file(id)?.name.clone();
        let fault = self.operation(format!("sync {name}"))?;
        let Some(file) = self.files.get_mut(id.number) else {
            return Ok(());
        };
        match fault {
            None => {
                file.settle();
                Ok(())
            }
            // As Linux does: the pages count as clean, are still read, and never reach the disk.
            Some(fault @ (Fault::Error | Fault::Full)) => {
                file.unsynced.clear();
                Err(failure(fault))
            }
            Some(fault) => Err(failure(fault)),
        }
    }

    pub(super) fn reboot(&mut self, cut: PowerCut) {
        let random = &mut self.random;
        for file in &mut self.files {
            if cut == PowerCut::Everything {
                file.settle();
                continue;
            }
            let unsynced = std::mem::take(&mut file.unsynced);
            for (position, bytes) in unsynced {
                survive(random, cut, &mut file.durable, &bytes, position);
            }
            file.content.clone_from(&file.durable);
        }
        let kept = match cut {
            PowerCut::Nothing => 0,
            PowerCut::Everything => self.unsynced_names.len(),
            PowerCut::Beginnings | PowerCut::Sectors => random.usize(..=self.unsynced_names.len()),
        };
        for change in self.unsynced_names.drain(..).take(kept) {
            change.apply(&mut self.durable_names);
        }
        self.unsynced_names.clear();
        self.names.clone_from(&self.durable_names);
        self.faults.clear();
        self.locks.clear();
        self.dark = false;
        self.life += 1;
    }

    pub(super) fn copy(&self) -> Self {
        let mut copy = Self::new(0);
        copy.random = self.random.clone();
        copy.files.clone_from(&self.files);
        for file in &mut copy.files {
            file.durable.clone_from(&file.content);
            file.unsynced.clear();
        }
        copy.names.clone_from(&self.names);
        copy.durable_names.clone_from(&self.names);
        copy
    }

    pub(super) fn content(&self, path: &Path) -> Vec<u8> {
        let number = self.names.get(path);
        let file = number.and_then(|&number| self.files.get(number));
        file.map_or_else(Vec::new, |file| file.content.clone())
    }

    pub(super) fn names(&self) -> Vec<PathBuf> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn edit(&mut self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let number = self.names.get(path).copied();
        if let Some(file) = number.and_then(|number| self.files.get_mut(number)) {
            change(&mut file.content);
            file.durable.clone_from(&file.content);
            file.unsynced.clear();
        }
    }

    pub(super) fn lose(&mut self, path: &Path) {
        self.names.remove(path);
        self.durable_names.remove(path);
    }
}

/// Applies what is left of an unsynced write.
fn survive(
    random: &mut fastrand::Rng,
    cut: PowerCut,
    durable: &mut Vec<u8>,
    bytes: &[u8],
    position: usize,
) {
    match cut {
        PowerCut::Nothing | PowerCut::Everything => {}
        PowerCut::Beginnings => {
            let kept = random.usize(..=bytes.len());
            overwrite(durable, bytes.get(..kept).unwrap_or_default(), position);
        }
        PowerCut::Sectors => {
            let mut from = 0;
            while from < bytes.len() {
                let at = position + from;
                let to = bytes.len().min(from + SECTOR_BYTES - at % SECTOR_BYTES);
                if random.bool() {
                    overwrite(durable, bytes.get(from..to).unwrap_or_default(), at);
                }
                from = to;
            }
        }
    }
}

fn overwrite(content: &mut Vec<u8>, bytes: &[u8], position: usize) {
    let end = position + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(position..end) {
        place.copy_from_slice(bytes);
    }
}

fn short(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn no_power() -> io::Error {
    io::Error::other("the power is cut")
}

fn failure(fault: Fault) -> io::Error {
    match fault {
        Fault::Error => io::Error::other("an error that was planned"),
        Fault::Full => io::ErrorKind::StorageFull.into(),
        Fault::PowerCut => no_power(),
    }
}
