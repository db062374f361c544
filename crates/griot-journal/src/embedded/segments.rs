//! Segment files: how they are named, made ahead of their need, and found again.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};

use griot_core::Offset;

use super::frame::{SEGMENT_HEADER_BYTES, SegmentHeader, VERSION};
use super::options::Preparation;
use crate::index::Place;
use crate::storage::is_full;
use crate::{JournalError, Storage, StorageFile};

/// A segment file that frames may be written to.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) salt: u64,
    pub(crate) capacity: u64,
}

/// Where a journal's segments lie, and how new ones are made.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    pub(crate) storage: Arc<dyn Storage>,
    /// The data directory.
    pub(crate) root: PathBuf,
    pub(crate) segment_bytes: u64,
    /// Has a segment that is being made given up.
    pub(crate) cancelled: Arc<AtomicBool>,
}

/// Files that are not yet segments end so.
pub(crate) const UNFINISHED: &str = ".new";

impl Maker {
    pub(crate) fn directory(&self) -> PathBuf {
        self.root.join("journal")
    }

    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.directory().join(format!("{number:020}.log"))
    }

    /// Makes a segment: all of it zeros on the disk, so that no later sync has metadata to write.
    pub(crate) fn make(&self, number: u64, bytes: u64) -> Result<Segment, JournalError> {
        let path = self.path(number);
        let fresh = path.with_extension("log.new");
        self.fill(&path, &fresh, number, bytes).map_err(|error| {
            // It would only take space; it is removed at the next start where that fails, too.
            drop(self.storage.remove(&fresh));
            self.failed("make the segment", &path, error)
        })
    }

    fn fill(&self, path: &Path, fresh: &Path, number: u64, bytes: u64) -> io::Result<Segment> {
        let file = self.storage.create(fresh)?;
        let salt = self.storage.salt();
        let header = SegmentHeader {
            version: VERSION,
            number,
            salt,
        };
        file.write_at(&header.encode(), 0)?;
        let mut position = u64::try_from(SEGMENT_HEADER_BYTES).unwrap_or(0);
        let zeros = vec![0; ZEROS_BYTES];
        while position < bytes {
            let left = usize::try_from(bytes.saturating_sub(position)).unwrap_or(usize::MAX);
            let chunk = zeros.get(..left).unwrap_or(&zeros);
            file.write_at(chunk, position)?;
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            position = position.saturating_add(u64::try_from(chunk.len()).unwrap_or(0));
        }
        file.sync()?;
        self.storage.rename(fresh, path)?;
        self.storage.sync_dir(&self.directory())?;
        Ok(Segment {
            number,
            file,
            salt,
            capacity: position,
        })
    }

    pub(crate) fn failed(
        &self,
        action: &'static str,
        path: &Path,
        error: io::Error,
    ) -> JournalError {
        if is_full(&error) {
            return JournalError::Full {
                path: self.root.clone(),
            };
        }
        JournalError::Io {
            action,
            path: path.to_owned(),
            source: Arc::new(error),
        }
    }
}

/// What a failed write or sync of the log comes to: nobody knows what is on the disk.
pub(crate) fn poisoned(action: &str, path: &Path, error: &io::Error) -> JournalError {
    JournalError::Poisoned {
        reason: format!("cannot {action} {}: {error}", path.display()),
    }
}

/// How much is zeroed with one write.
const ZEROS_BYTES: usize = 1 << 20;

/// Makes the next segment ahead of its need.
#[derive(Debug)]
pub(crate) struct Preparer {
    maker: Maker,
    ahead: Option<Ahead>,
    /// One that is there already.
    ready: Option<Segment>,
}

#[derive(Debug)]
struct Ahead {
    /// `None` once no more are wanted.
    ask: Option<Sender<u64>>,
    made: Receiver<Result<Segment, JournalError>>,
    asked: bool,
    cancelled: Arc<AtomicBool>,
    worker: Option<JoinHandle<()>>,
}

impl Preparer {
    pub(crate) fn new(maker: Maker, preparation: Preparation, ready: Option<Segment>) -> Self {
        let ahead = (preparation == Preparation::Ahead)
            .then(|| Ahead::start(maker.clone()))
            .flatten();
        Self {
            maker,
            ahead,
            ready,
        }
    }

    /// Has the segment `number` made in the background.
    pub(crate) fn prepare(&mut self, number: u64) {
        let there = self
            .ready
            .as_ref()
            .is_some_and(|ready| ready.number == number);
        if let Some(ahead) = self.ahead.as_mut().filter(|ahead| !there && !ahead.asked) {
            ahead.asked = ahead
                .ask
                .as_ref()
                .is_some_and(|ask| ask.send(number).is_ok());
        }
    }

    /// Gives the segment `number` with room for `bytes` beside its header.
    pub(crate) fn take(&mut self, number: u64, bytes: u64) -> Result<Segment, JournalError> {
        let needed = bytes.saturating_add(u64::try_from(SEGMENT_HEADER_BYTES).unwrap_or(0));
        let mut prepared = self.ready.take().map(Ok);
        if let Some(ahead) = self.ahead.as_mut().filter(|ahead| ahead.asked) {
            ahead.asked = false;
            prepared = ahead.made.recv().ok().or(prepared);
        }
        match prepared {
            Some(Ok(segment)) if segment.number == number && segment.capacity >= needed => {
                Ok(segment)
            }
            Some(Err(error)) if needed <= self.maker.segment_bytes => Err(error),
            _ => self
                .maker
                .make(number, self.maker.segment_bytes.max(needed)),
        }
    }
}

impl Ahead {
    /// `None` where no thread can be had: segments are then made when they are needed.
    fn start(maker: Maker) -> Option<Self> {
        let (ask, asked) = channel::<u64>();
        let (tell, made) = channel();
        let cancelled = Arc::clone(&maker.cancelled);
        let work = move || {
            for number in asked {
                if tell.send(maker.make(number, maker.segment_bytes)).is_err() {
                    return;
                }
            }
        };
        let builder = thread::Builder::new().name("griot-segments".to_owned());
        let worker = builder.spawn(work).ok()?;
        Some(Self {
            ask: Some(ask),
            made,
            asked: false,
            cancelled,
            worker: Some(worker),
        })
    }
}

impl Drop for Ahead {
    /// Waits for the thread: it must not touch the directory once that is another's.
    fn drop(&mut self) {
        self.ask = None;
        self.cancelled.store(true, Ordering::Relaxed);
        if let Some(worker) = self.worker.take()
            && worker.join().is_err()
        {
            tracing::error!("the maker of the journal's segments panicked");
        }
    }
}

/// The segments as readers see them.
#[derive(Debug)]
pub(crate) struct Segments {
    maker: Maker,
    known: RwLock<BTreeMap<u64, Readable>>,
}

/// A segment as far as it is durable.
#[derive(Clone, Debug)]
pub(crate) struct Readable {
    pub(crate) file: Arc<dyn StorageFile>,
    /// Where its durable frames end.
    pub(crate) end: u64,
    /// Frames to begin a scan at: the offset of their first event, and where they are.
    marks: Vec<(Offset, u64)>,
}

/// How far apart the marks are, in bytes.
const MARKS_APART_BYTES: u64 = 64 << 10;

impl Segments {
    pub(crate) fn new(maker: Maker) -> Self {
        Self {
            maker,
            known: RwLock::default(),
        }
    }

    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.maker.path(number)
    }

    pub(crate) fn add(&self, number: u64, file: Arc<dyn StorageFile>) {
        let end = u64::try_from(SEGMENT_HEADER_BYTES).unwrap_or(0);
        let readable = Readable {
            file,
            end,
            marks: Vec::new(),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(number, readable);
    }

    /// Lets readers see the frame that lies at `position` and ends at `end`.
    pub(crate) fn advance(&self, number: u64, position: u64, end: u64, first: Offset) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(readable) = known.get_mut(&number) {
            readable.end = end;
            let last = readable.marks.last();
            if last.is_none_or(|&(_, at)| position.saturating_sub(at) >= MARKS_APART_BYTES) {
                readable.marks.push((first, position));
            }
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<(Arc<dyn StorageFile>, u64)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let readable = known.get(&number)?;
        Some((Arc::clone(&readable.file), readable.end))
    }

    /// A frame at or before the one that holds the event at `offset`.
    pub(crate) fn before(&self, offset: Offset) -> Option<Place> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        for (&number, readable) in known.iter().rev() {
            let after = readable
                .marks
                .partition_point(|&(first, _)| first <= offset);
            if let Some(&(_, at)) = after
                .checked_sub(1)
                .and_then(|mark| readable.marks.get(mark))
            {
                return Some(Place::new(number, at));
            }
        }
        let (&number, _) = known.first_key_value()?;
        Some(Place::new(
            number,
            u64::try_from(SEGMENT_HEADER_BYTES).ok()?,
        ))
    }
}

impl Segments {
    /// How many segments are in use, and how many bytes their frames take.
    pub(crate) fn count(&self) -> (u64, u64) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let header = u64::try_from(SEGMENT_HEADER_BYTES).unwrap_or(0);
        let bytes = known
            .values()
            .map(|readable| readable.end.saturating_sub(header))
            .sum();
        (u64::try_from(known.len()).unwrap_or(u64::MAX), bytes)
    }
}

impl Place {
    const POSITION_BITS: u32 = 40;

    pub(crate) fn new(segment: u64, position: u64) -> Self {
        Self(segment << Self::POSITION_BITS | position)
    }

    pub(crate) fn segment(self) -> u64 {
        self.0 >> Self::POSITION_BITS
    }

    pub(crate) fn position(self) -> u64 {
        self.0 & ((1 << Self::POSITION_BITS) - 1)
    }
}
