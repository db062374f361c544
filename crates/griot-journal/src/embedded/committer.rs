//! The committer: one thread that gathers all that waits, checks it, writes it as one frame, syncs
//! once, and answers.

mod answer;

use std::collections::VecDeque;
use std::sync::Arc;

use griot_core::Offset;
use metrics::counter;

use super::frame::{FOOTER_BYTES, FrameWriter, HEADER_BYTES};
use super::options::FRAME_BYTES;
use super::queue::Request;
use super::reader::Reader;
use super::segments::{Preparer, Segment, poisoned};
use super::shared::Shared;
use answer::{Grouped, Outcome, Written};

use crate::index::{Log, Place, Refusal, Staged};
use crate::storage::is_full;
use crate::{Append, AppendError, Batch, Commit, DirectoryLock, JournalError, ShardId};

/// The log's end, where frames are written.
#[derive(Debug)]
pub(crate) struct Tail {
    pub(crate) segment: Segment,
    /// Where the next frame goes.
    pub(crate) position: u64,
    /// The next frame's number.
    pub(crate) number: u64,
    /// Up to where an unfinished write may have left bytes.
    pub(crate) soiled: u64,
    /// Whether the last frame says that everything before it is whole.
    pub(crate) is_marked: bool,
}

#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    tail: Tail,
    preparer: Preparer,
    frame: FrameWriter,
    staged: Vec<Staged>,
    group: Vec<Grouped>,
    pending: VecDeque<Request>,
    fresh: Vec<Request>,
    /// Held for as long as the committer lives.
    _lock: DirectoryLock,
}

impl Committer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        tail: Tail,
        preparer: Preparer,
        lock: DirectoryLock,
    ) -> Self {
        Self {
            shared,
            tail,
            preparer,
            frame: FrameWriter::new(),
            staged: Vec::new(),
            group: Vec::new(),
            pending: VecDeque::new(),
            fresh: Vec::new(),
            _lock: lock,
        }
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Works until the queue has ended, or until nobody knows what is on the disk.
    pub(crate) fn run(mut self) {
        loop {
            self.shared.queue.take(&mut self.fresh);
            if self.fresh.is_empty() {
                break;
            }
            self.pending.extend(self.fresh.drain(..));
            while !self.pending.is_empty() {
                if let Err(error) = self.commit() {
                    self.poison(&error);
                    return;
                }
                self.shared.queue.take_now(&mut self.fresh);
                self.pending.extend(self.fresh.drain(..));
            }
        }
        if let Err(error) = self.mark() {
            tracing::warn!(%error, "the journal could not mark its end at closing; nothing is lost");
        }
        self.shared.closed();
    }

    /// Commits one frame of what is pending.
    fn commit(&mut self) -> Result<(), JournalError> {
        if let Err(written) = self.wipe() {
            return self.answer(written);
        }
        self.gather();
        let written = self.write();
        self.answer(written)
    }

    /// Overwrites what an unfinished write may have left behind the log's end.
    fn wipe(&mut self) -> Result<(), Written> {
        if self.tail.soiled <= self.tail.position {
            return Ok(());
        }
        let count = self.tail.soiled.saturating_sub(self.tail.position);
        let zeros = vec![0; usize::try_from(count).unwrap_or(0)];
        let path = self.shared.segments.path(self.tail.segment.number);
        let maker = self.shared.maker();
        if let Err(error) = self.tail.segment.file.write_at(&zeros, self.tail.position) {
            let full = is_full(&error);
            return Err(if full {
                Written::Nothing(maker.failed("write to", &path, error))
            } else {
                Written::Unknown(poisoned("write to", &path, &error))
            });
        }
        match self.tail.segment.file.sync() {
            Ok(()) => self.tail.soiled = 0,
            Err(error) => return Err(Written::Unknown(poisoned("sync", &path, &error))),
        }
        Ok(())
    }

    /// Moves as much of what is pending as a frame takes into the group.
    fn gather(&mut self) {
        while let Some(request) = self.pending.pop_front() {
            if let Err(error) = self.make_room(request.bytes()) {
                let Some(error) = error else {
                    self.pending.push_front(request);
                    return;
                };
                // There is no room for it, and there was none for any that is larger: all that
                // waits is told now, rather than after as many attempts.
                let waiting = std::iter::once(request).chain(self.pending.drain(..));
                self.group.extend(waiting.map(|request| Grouped {
                    request,
                    outcome: Outcome::Refused(AppendError::Refused(error.clone())),
                }));
                return;
            }
            let Some(outcome) = self.stage(&request) else {
                self.pending.push_front(request);
                return;
            };
            self.group.push(Grouped { request, outcome });
        }
    }

    /// Sees to it that the frame and its segment have room for so many bytes more; `Err(None)`
    /// where the frame must be written first.
    fn make_room(&mut self, bytes: usize) -> Result<(), Option<JournalError>> {
        let size = self.frame.size();
        if !self.frame.is_empty() && size.saturating_add(bytes) > FRAME_BYTES {
            return Err(None);
        }
        // A mark must still fit behind the frame.
        let needed = size
            .saturating_add(bytes)
            .saturating_add(HEADER_BYTES + FOOTER_BYTES);
        let needed = u64::try_from(needed).unwrap_or(u64::MAX);
        if self.tail.position.saturating_add(needed) <= self.tail.segment.capacity {
            return Ok(());
        }
        if !self.frame.is_empty() {
            return Err(None);
        }
        let number = self.tail.segment.number.saturating_add(1);
        let segment = self.preparer.take(number, needed).map_err(Some)?;
        self.shared.segments.add(number, Arc::clone(&segment.file));
        self.tail.segment = segment;
        self.tail.position = Tail::START;
        counter!("griot_journal_segments_total").increment(1);
        Ok(())
    }

    /// Checks a request against all before it, and adds it to the frame. `None` where the frame
    /// must be written first.
    fn stage(&mut self, request: &Request) -> Option<Outcome> {
        Some(match request {
            Request::Append { batch, .. } => match self.stage_batch(batch) {
                Ok(count) => Outcome::Staged(count, self.shared.index().staged_offset()),
                Err(Refusal::Later) => return None,
                Err(Refusal::Error(error)) => Outcome::Refused(error),
            },
            Request::Claim { shard, .. } => self.stage_claim(shard),
            Request::Delete { entity, to, .. } => {
                self.frame.deletion(entity, *to);
                Outcome::Done
            }
            Request::Barrier { .. } => Outcome::Done,
        })
    }

    fn stage_batch(&mut self, batch: &Batch) -> Result<usize, Refusal> {
        let undurable = self.tail.place();
        let before = self.frame.mark();
        let mut log = FrameLog {
            frame: &mut self.frame,
            undurable,
            reader: None,
            shared: &self.shared,
        };
        let outcome = self
            .shared
            .index()
            .stage(batch, undurable, &mut log, &mut self.staged);
        if outcome.is_err() {
            self.frame.truncate(before);
        }
        outcome.map(|()| batch.appends.len())
    }

    fn stage_claim(&mut self, shard: &ShardId) -> Outcome {
        let mut index = self.shared.index();
        let before = index.epoch(shard);
        let epoch = before.next();
        index.set_epoch(shard, epoch);
        self.frame.claim(shard, epoch);
        Outcome::Claimed(before, epoch)
    }

    /// Writes the frame and syncs it.
    fn write(&mut self) -> Written {
        if self.frame.is_empty() {
            return Written::Durable;
        }
        let written = self.write_frame();
        self.tail.is_marked = false;
        written
    }

    fn write_frame(&mut self) -> Written {
        let first = self.shared.index().durable_offset().next();
        let Tail {
            segment,
            position,
            number,
            soiled,
            ..
        } = &mut self.tail;
        let bytes = self.frame.finish(segment.salt, *number, first);
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let end = position.saturating_add(size);
        let maker = self.shared.maker();
        let path = maker.path(segment.number);
        if let Err(error) = segment.file.write_at(bytes, *position) {
            if !is_full(&error) {
                return Written::Unknown(poisoned("write to", &path, &error));
            }
            // The frame's last byte was not written, and it is never zero: what was written of it
            // cannot be taken for a frame, whatever comes.
            *soiled = end;
            return Written::Nothing(maker.failed("write to", &path, error));
        }
        if let Err(error) = segment.file.sync() {
            return Written::Unknown(poisoned("sync", &path, &error));
        }
        self.shared
            .segments
            .advance(segment.number, *position, end, first);
        counter!("griot_journal_frames_total").increment(1);
        counter!("griot_journal_bytes_total").increment(size);
        *position = end;
        *number = number.saturating_add(1);
        if end > segment.capacity / PREPARE_AFTER {
            self.preparer.prepare(segment.number.saturating_add(1));
        }
        Written::Durable
    }

    /// Clears the log's end of what an unfinished write left, and writes a frame without records:
    /// it says that everything before it is whole.
    pub(crate) fn mark(&mut self) -> Result<(), JournalError> {
        self.frame.clear();
        let written = match self.wipe() {
            Ok(()) if self.tail.is_marked => Written::Durable,
            Ok(()) => self.write_frame(),
            Err(written) => written,
        };
        self.frame.clear();
        match written {
            Written::Durable => {
                self.tail.is_marked = true;
                Ok(())
            }
            Written::Nothing(error) | Written::Unknown(error) => Err(error),
        }
    }
}

/// The next segment is made once this part of the current one is written: a quarter.
const PREPARE_AFTER: u64 = 4;

impl Tail {
    /// Where a segment's first frame goes.
    pub(crate) const START: u64 = super::frame::SEGMENT_HEADER_BYTES as u64;

    fn place(&self) -> Place {
        Place::new(self.segment.number, self.position)
    }
}

/// The log as the index writes to it.
struct FrameLog<'a> {
    frame: &'a mut FrameWriter,
    /// Where the frame will lie.
    undurable: Place,
    reader: Option<Reader<'a>>,
    shared: &'a Shared,
}

impl Log for FrameLog<'_> {
    fn write(&mut self, append: &Append, first: Offset) -> Place {
        let at = u64::try_from(self.frame.append(append, first)).unwrap_or(u64::MAX);
        Place(self.undurable.0.saturating_add(at))
    }

    fn read(&mut self, place: Place) -> Result<Commit, JournalError> {
        let segments = &self.shared.segments;
        self.reader
            .get_or_insert_with(|| Reader::new(segments))
            .commit(place)
    }
}
