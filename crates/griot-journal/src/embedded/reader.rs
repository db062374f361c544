//! Reads records back, and checks every one of them.

use std::sync::Arc;

use bytes::Bytes;
use griot_core::Offset;

use super::frame::{APPEND, FrameHeader, HEADER_BYTES, RECORD_BYTES, RawRecord};
use super::segments::Segments;
use super::wire::{Cursor, read_commit};
use crate::index::Place;
use crate::{Commit, JournalError};

/// Reads a journal's durable records. It keeps a window of what it read last, which grows while
/// reads follow each other.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    segments: &'a Segments,
    window: Option<Window>,
    ahead: usize,
}

#[derive(Debug)]
struct Window {
    segment: u64,
    start: u64,
    bytes: Bytes,
}

/// More than stands before the number of a record's events.
const PEEK_BYTES: usize = 2048;
const AHEAD_BYTES_MIN: usize = 4 << 10;
const AHEAD_BYTES_MAX: usize = 256 << 10;

impl<'a> Reader<'a> {
    pub(crate) fn new(segments: &'a Segments) -> Self {
        Self {
            segments,
            window: None,
            ahead: AHEAD_BYTES_MIN,
        }
    }

    /// Reads the commit at a place.
    pub(crate) fn commit(&mut self, place: Place) -> Result<Commit, JournalError> {
        let body = self.record(place)?;
        self.decode(place, &body)
    }

    fn decode(&self, place: Place, body: &Bytes) -> Result<Commit, JournalError> {
        let commit = (body.first() == Some(&APPEND))
            .then(|| read_commit(body, 1))
            .flatten();
        commit.ok_or_else(|| self.corrupt(place, "a record that checks out cannot be decoded"))
    }

    /// Reads the body of the record at a place.
    fn record(&mut self, place: Place) -> Result<Bytes, JournalError> {
        let head = self.bytes(place, RECORD_BYTES)?;
        let length = head
            .first_chunk::<4>()
            .map_or(0, |length| u32::from_le_bytes(*length));
        let whole = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .saturating_add(RECORD_BYTES);
        let whole = self.bytes(place, whole)?;
        match RawRecord::decode(&whole, 0) {
            Some(record) if record.checks_out() => Ok(whole.slice(RECORD_BYTES..)),
            _ => Err(self.corrupt(place, "a record's checksum does not match")),
        }
    }

    /// Reads the header of the frame at a place; `None` where the durable frames of that segment end.
    pub(crate) fn frame(&mut self, place: Place) -> Result<Option<FrameHeader>, JournalError> {
        let Some((_, end)) = self.segments.get(place.segment()) else {
            return Ok(None);
        };
        if place.position() >= end {
            return Ok(None);
        }
        let bytes = self.bytes(place, HEADER_BYTES)?;
        match FrameHeader::decode(&bytes) {
            Some(header) => Ok(Some(header)),
            None => Err(self.corrupt(place, "a frame's header does not check out")),
        }
    }

    /// Reads commits of the frame at a place: those with events beyond `after`, up to the one with
    /// which there are `limit` events.
    pub(crate) fn commits(
        &mut self,
        place: Place,
        header: &FrameHeader,
        after: Offset,
        limit: usize,
    ) -> Result<Vec<Commit>, JournalError> {
        let mut commits: Vec<Commit> = Vec::new();
        let mut events = 0_usize;
        let mut at = Place(place.0.saturating_add(bytes_of(HEADER_BYTES)));
        for _ in 0..header.count {
            if events >= limit {
                break;
            }
            let (length, last) = self.peek(at)?;
            if last.is_some_and(|last| last > after) {
                let body = self.record(at)?;
                let commit = self.decode(at, &body)?;
                events = events.saturating_add(commit.append.events.len());
                commits.push(commit);
            }
            at = Place(at.0.saturating_add(bytes_of(RECORD_BYTES.saturating_add(length))));
        }
        Ok(commits)
    }

    /// Reads all commits of the frame at a place.
    pub(crate) fn all_commits(
        &mut self,
        place: Place,
        header: &FrameHeader,
    ) -> Result<Vec<Commit>, JournalError> {
        let mut commits = Vec::new();
        let mut at = Place(place.0.saturating_add(bytes_of(HEADER_BYTES)));
        for _ in 0..header.count {
            let body = self.record(at)?;
            if body.first() == Some(&APPEND) {
                commits.push(self.decode(at, &body)?);
            }
            let size = bytes_of(RECORD_BYTES.saturating_add(body.len()));
            at = Place(at.0.saturating_add(size));
        }
        Ok(commits)
    }

    /// The length of a record's body, and the offset of its last event if it has any. It is not
    /// checked: what is passed over by it only stands before what is looked for.
    fn peek(&mut self, place: Place) -> Result<(usize, Option<Offset>), JournalError> {
        let head = self.bytes(place, RECORD_BYTES)?;
        let length = head
            .first_chunk::<4>()
            .map_or(0, |length| u32::from_le_bytes(*length));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let start = self.bytes(place, length.saturating_add(RECORD_BYTES).min(PEEK_BYTES))?;
        let mut cursor = Cursor(start.get(RECORD_BYTES..).unwrap_or_default());
        if cursor.byte() != Some(APPEND) {
            return Ok((length, None));
        }
        let (first, events) = cursor
            .offsets()
            .ok_or_else(|| self.corrupt(place, "a record's beginning cannot be decoded"))?;
        let last = events
            .checked_sub(1)
            .map(|beyond| first.get().saturating_add(beyond));
        Ok((length, last.map(Offset)))
    }

    fn bytes(&mut self, place: Place, count: usize) -> Result<Bytes, JournalError> {
        if let Some(bytes) = self
            .window
            .as_ref()
            .and_then(|window| window.get(place, count))
        {
            return Ok(bytes);
        }
        let follows = self
            .window
            .take()
            .is_some_and(|window| window.follows(place));
        self.ahead = if follows {
            self.ahead.saturating_mul(2).min(AHEAD_BYTES_MAX)
        } else {
            AHEAD_BYTES_MIN
        };
        // Asked anew each time, since the end moves on.
        let (file, end) = self
            .segments
            .get(place.segment())
            .ok_or_else(|| self.corrupt(place, "the segment is not there"))?;
        let room = usize::try_from(end.saturating_sub(place.position())).unwrap_or(usize::MAX);
        if count > room {
            return Err(self.corrupt(place, "a record reaches beyond the end of its segment"));
        }
        let mut buffer = vec![0; count.max(self.ahead).min(room)];
        let read = file
            .read_at(&mut buffer, place.position())
            .map_err(|error| JournalError::Io {
                action: "read",
                path: self.segments.path(place.segment()),
                source: Arc::new(error),
            })?;
        buffer.truncate(read);
        let window = Window {
            segment: place.segment(),
            start: place.position(),
            bytes: Bytes::from(buffer),
        };
        let bytes = window.get(place, count);
        self.window = Some(window);
        bytes.ok_or_else(|| self.corrupt(place, "the file ends early"))
    }

    pub(crate) fn corrupt(&self, place: Place, reason: &str) -> JournalError {
        JournalError::Corrupt {
            path: self.segments.path(place.segment()),
            position: place.position(),
            reason: reason.to_owned(),
        }
    }
}

impl Window {
    fn get(&self, place: Place, count: usize) -> Option<Bytes> {
        if place.segment() != self.segment {
            return None;
        }
        let from = usize::try_from(place.position().checked_sub(self.start)?).ok()?;
        let to = from.checked_add(count)?;
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }

    /// Whether a place lies in the window or shortly behind it.
    fn follows(&self, place: Place) -> bool {
        let end = self.start.saturating_add(bytes_of(self.bytes.len()));
        place.segment() == self.segment
            && place.position() >= self.start
            && place.position() <= end.saturating_add(bytes_of(AHEAD_BYTES_MIN))
    }
}

fn bytes_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
