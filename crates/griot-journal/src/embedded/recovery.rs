//! Opening: reads every frame, rebuilds the index, and decides about what does not check out.
//!
//! Only the log's end may be unfinished, and only where a write that was cut off explains it.
//! Everything else is reported with its place, and nothing is changed.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::committer::Tail;
use super::frame::{
    APPEND, CLAIM, DELETION, FrameHeader, HEADER_BYTES, RawRecord, SEGMENT_HEADER_BYTES,
    SegmentHeader, VERSION,
};
use super::options::FIRST_SEGMENT_BYTES;
use super::segments::{Maker, Segment, Segments, UNFINISHED};
use super::verdict::{Verdict, judge};
use super::wire::{Cursor, skim};
use crate::index::{Index, Place};
use crate::{JournalError, ShardId};

/// The file that says that there is a log, beside the directory that holds it.
const BEGUN: &str = "BEGUN";

/// A log as it was found.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    pub(crate) tail: Tail,
    /// The segment behind the tail's, where it was made ahead.
    pub(crate) next: Option<Segment>,
}

/// Reads the log; a directory without one gets its first segment.
pub(crate) fn recover(maker: &Maker) -> Result<Recovered, JournalError> {
    let (numbers, mut unfinished) = find_segments(maker)?;
    // The start before this one may have failed to.
    sync_dir(maker, &maker.directory())?;
    let mut found = Vec::new();
    for number in numbers {
        found.push(open(maker, number)?);
    }
    let has_begun = has_begun(maker)?;
    if found.is_empty() {
        if has_begun {
            let path = maker.root.clone();
            return Err(JournalError::Missing { path });
        }
        remove(maker, unfinished.drain(..))?;
        sync_ancestors(maker)?;
        found.push(maker.make(1, maker.segment_bytes.min(FIRST_SEGMENT_BYTES))?);
    }
    let mut last = found.len().saturating_sub(1);
    while last > 0 && is_unused(maker, found.get(last))? {
        last = last.saturating_sub(1);
    }
    let mut walk = Walk {
        maker,
        index: Index::default(),
        segments: Segments::new(maker.clone()),
        number: 1,
        is_marked: true,
        bytes: Vec::new(),
    };
    let mut tail = None;
    for (at, segment) in found.iter().take(last.saturating_add(1)).enumerate() {
        tail = Some(walk.segment(segment, at == last)?);
    }
    let next = found.into_iter().nth(last.saturating_add(1));
    let Walk {
        index, segments, ..
    } = walk;
    // There is one segment at least, so there is a tail.
    let tail = tail.ok_or(JournalError::Closed)?;
    remove(maker, unfinished.drain(..))?;
    if !has_begun {
        begin(maker)?;
    }
    Ok(Recovered {
        index,
        segments,
        tail,
        next,
    })
}

/// Whether this directory was ever seen with a log.
fn has_begun(maker: &Maker) -> Result<bool, JournalError> {
    let names = maker.storage.list(&maker.root);
    let names = names.map_err(|error| maker.failed("list", &maker.root, error))?;
    Ok(names.iter().any(|name| name == BEGUN))
}

/// Says that there is a log, now that its first segment is durable. Should all of it go missing,
/// the next start can tell that from a directory that never had one.
fn begin(maker: &Maker) -> Result<(), JournalError> {
    let path = maker.root.join(BEGUN);
    let made = maker.storage.create(&path);
    made.map_err(|error| maker.failed("make", &path, error))?;
    sync_dir(maker, &maker.root)
}

/// Makes the directory's own name durable, and those of the directories above it that may be new.
fn sync_ancestors(maker: &Maker) -> Result<(), JournalError> {
    sync_dir(maker, &maker.root)?;
    for above in maker.root.ancestors().skip(1) {
        // One that cannot be opened was not made just now.
        drop(maker.storage.sync_dir(above));
    }
    Ok(())
}

fn sync_dir(maker: &Maker, directory: &Path) -> Result<(), JournalError> {
    let synced = maker.storage.sync_dir(directory);
    synced.map_err(|error| maker.failed("sync the directory", directory, error))
}

/// The numbers of the segments that are there: 1, 2, 3, … without a gap; and the files that were to
/// become segments, which only take space.
fn find_segments(maker: &Maker) -> Result<(Vec<u64>, Vec<PathBuf>), JournalError> {
    let directory = maker.directory();
    let names = maker
        .storage
        .list(&directory)
        .map_err(|error| maker.failed("list", &directory, error))?;
    let (mut numbers, mut unfinished) = (Vec::new(), Vec::new());
    for name in names {
        if name.ends_with(UNFINISHED) {
            unfinished.push(directory.join(name));
        } else if let Some(number) = name.strip_suffix(".log").and_then(|name| name.parse().ok()) {
            numbers.push(number);
        } else {
            tracing::warn!(name, "a file in the journal's directory is none of its own");
        }
    }
    numbers.sort_unstable();
    for (expected, &number) in (1..).zip(&numbers) {
        if number != expected {
            return Err(corrupt(
                maker,
                expected,
                0,
                "the segment is missing, but a later one is there",
            ));
        }
    }
    Ok((numbers, unfinished))
}

fn remove(maker: &Maker, paths: impl Iterator<Item = PathBuf>) -> Result<(), JournalError> {
    for path in paths {
        let removed = maker.storage.remove(&path);
        removed.map_err(|error| maker.failed("remove", &path, error))?;
    }
    Ok(())
}

fn open(maker: &Maker, number: u64) -> Result<Segment, JournalError> {
    let path = maker.path(number);
    let failed = |error| maker.failed("open", &path, error);
    let file = maker.storage.open(&path).map_err(failed)?;
    let capacity = file.size().map_err(failed)?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    file.read_at(&mut bytes, 0)
        .map_err(|error| maker.failed("read", &path, error))?;
    let Some(header) = SegmentHeader::decode(&bytes) else {
        return Err(corrupt(
            maker,
            number,
            0,
            "the segment's header does not check out",
        ));
    };
    if header.version > VERSION {
        return Err(JournalError::NewerVersion {
            path,
            found: header.version,
            supported: VERSION,
        });
    }
    if header.number != number {
        return Err(corrupt(
            maker,
            number,
            0,
            "the header is that of another segment",
        ));
    }
    Ok(Segment {
        number,
        file,
        salt: header.salt,
        capacity,
    })
}

/// Whether nothing was ever written behind a segment's header.
fn is_unused(maker: &Maker, segment: Option<&Segment>) -> Result<bool, JournalError> {
    let Some(segment) = segment else {
        return Ok(true);
    };
    let mut buffer = vec![0; 1 << 20];
    let mut position = Tail::START;
    while position < segment.capacity {
        let read = segment
            .file
            .read_at(&mut buffer, position)
            .map_err(|error| maker.failed("read", &maker.path(segment.number), error))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if read == 0 || bytes.iter().any(|&byte| byte != 0) {
            return Ok(read == 0);
        }
        position = position.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    Ok(true)
}

struct Walk<'a> {
    maker: &'a Maker,
    index: Index,
    segments: Segments,
    /// The next frame's number.
    number: u64,
    is_marked: bool,
    /// The segment that was read last.
    bytes: Vec<u8>,
}

impl Walk<'_> {
    /// Takes in a segment's frames, and says where they end.
    fn segment(&mut self, segment: &Segment, is_last: bool) -> Result<Tail, JournalError> {
        let bytes = self.read(segment)?;
        self.segments.add(segment.number, Arc::clone(&segment.file));
        let mut at = SEGMENT_HEADER_BYTES;
        let mut last_frame = at..at;
        while let Some((header, records)) = self.frame(segment, &bytes, at)? {
            self.records(segment, &header, records, at.saturating_add(HEADER_BYTES))?;
            let end = at.saturating_add(header.size());
            self.segments
                .advance(segment.number, bytes_of(at), bytes_of(end), header.first);
            self.number = self.number.saturating_add(1);
            self.is_marked = header.count == 0;
            last_frame = at..end;
            at = end;
        }
        let mut soiled = 0;
        if let Some(last) = bytes
            .iter()
            .rposition(|&byte| byte != 0)
            .filter(|&last| last >= at)
        {
            match judge(&bytes, at, segment.salt, self.number) {
                Verdict::Unfinished if is_last => {
                    soiled = last.saturating_add(1);
                    tracing::warn!(
                        file = %self.maker.path(segment.number).display(),
                        position = at,
                        bytes = soiled.saturating_sub(at),
                        "a write was cut off at the end of the log: its bytes are removed, nobody \
                         was told that they are stored"
                    );
                }
                Verdict::Unfinished => {
                    return Err(self.corrupt(
                        segment,
                        at,
                        "a frame that later ones follow is not whole",
                    ));
                }
                Verdict::Damaged { at, reason } => return Err(self.corrupt(segment, at, reason)),
            }
        }
        if is_last {
            self.write_again(segment, &bytes, last_frame)?;
        }
        self.bytes = bytes;
        Ok(Tail {
            segment: segment.clone(),
            position: bytes_of(at),
            number: self.number,
            soiled: bytes_of(soiled),
            is_marked: self.is_marked,
        })
    }

    fn read(&mut self, segment: &Segment) -> Result<Vec<u8>, JournalError> {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize(usize::try_from(segment.capacity).unwrap_or(usize::MAX), 0);
        let read = segment.file.read_at(&mut bytes, 0);
        let path = self.maker.path(segment.number);
        bytes.truncate(read.map_err(|error| self.maker.failed("read", &path, error))?);
        Ok(bytes)
    }

    /// Writes the last frame again, as it is, and syncs it. Its sync may have failed, and then the
    /// system reads it back from memory although the disk never got it, and never will.
    fn write_again(
        &self,
        segment: &Segment,
        bytes: &[u8],
        frame: Range<usize>,
    ) -> Result<(), JournalError> {
        let position = bytes_of(frame.start);
        let frame = bytes.get(frame).unwrap_or_default();
        if frame.is_empty() {
            return Ok(());
        }
        let path = self.maker.path(segment.number);
        let written = segment.file.write_at(frame, position);
        written.map_err(|error| self.maker.failed("write to", &path, error))?;
        let synced = segment.file.sync();
        synced.map_err(|error| self.maker.failed("sync", &path, error))
    }

    /// The whole frame at a position, if there is one; an error where it is not the one to come.
    fn frame<'b>(
        &self,
        segment: &Segment,
        bytes: &'b [u8],
        at: usize,
    ) -> Result<Option<(FrameHeader, &'b [u8])>, JournalError> {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(header) = FrameHeader::decode(rest) else {
            return Ok(None);
        };
        let Some(records) = header.records(rest) else {
            return Ok(None);
        };
        if header.salt != segment.salt || header.number != self.number {
            return Err(self.corrupt(segment, at, "the frame is not the one that comes here"));
        }
        if header.first != self.index.durable_offset().next() {
            return Err(self.corrupt(segment, at, "the frame's first event is not the next one"));
        }
        Ok(Some((header, records)))
    }

    fn records(
        &mut self,
        segment: &Segment,
        header: &FrameHeader,
        records: &[u8],
        start: usize,
    ) -> Result<(), JournalError> {
        let mut at = 0;
        for _ in 0..header.count {
            let record = RawRecord::decode(records, at);
            let position = start.saturating_add(at);
            let place = Place::new(segment.number, bytes_of(position));
            let taken = record.and_then(|record| self.record(record.body, place));
            taken.ok_or_else(|| {
                self.corrupt(
                    segment,
                    position,
                    "the record does not continue what is before it",
                )
            })?;
            at = record.map_or(at, |record| record.next());
        }
        if at != records.len() {
            let position = start.saturating_add(at);
            return Err(self.corrupt(segment, position, "the frame is longer than its records"));
        }
        Ok(())
    }

    /// Takes in a record; `None` where it makes no sense here.
    fn record(&mut self, body: &[u8], place: Place) -> Option<()> {
        let mut cursor = Cursor(body);
        match cursor.byte()? {
            APPEND => self.index.replay(&skim(cursor)?, place),
            CLAIM => {
                let kind = cursor.text()?.to_owned();
                let number = u32::try_from(cursor.number()?).ok()?;
                let shard = ShardId {
                    kind: kind.into(),
                    number,
                };
                let epoch = griot_core::Epoch(cursor.number()?);
                (epoch > self.index.epoch(&shard)).then(|| self.index.set_epoch(&shard, epoch))
            }
            DELETION => {
                let entity = cursor.text()?.parse().ok()?;
                self.index
                    .delete(&entity, griot_core::Seq(cursor.number()?));
                Some(())
            }
            _ => None,
        }
    }

    fn corrupt(&self, segment: &Segment, at: usize, reason: &str) -> JournalError {
        corrupt(self.maker, segment.number, bytes_of(at), reason)
    }
}

fn corrupt(maker: &Maker, number: u64, position: u64, reason: &str) -> JournalError {
    JournalError::Corrupt {
        path: maker.path(number),
        position,
        reason: reason.to_owned(),
    }
}

fn bytes_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
