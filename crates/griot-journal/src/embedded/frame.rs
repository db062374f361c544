//! Frames: what is written and synced at once. `FORMAT.md` has every field.

use griot_core::{EntityId, Epoch, Offset, Seq};

use super::wire::{Cursor, Pen};
use crate::{Append, ShardId};

/// Before a frame's records.
pub(crate) const HEADER_BYTES: usize = 48;
/// After them.
pub(crate) const FOOTER_BYTES: usize = 4;
/// Before a record's body: its length and its checksum.
pub(crate) const RECORD_BYTES: usize = 8;

const MAGIC: u32 = u32::from_le_bytes(*b"grfr");
/// Ends a frame, and a frame's header. No byte of it is zero, nor is when one bit of it is
/// flipped: where the last byte is zero, the end was never written.
const END: [u8; 4] = [0xa5, 0x5a, 0xa5, 0x5a];

pub(crate) const APPEND: u8 = 1;
pub(crate) const CLAIM: u8 = 2;
pub(crate) const DELETION: u8 = 3;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Of its records, in bytes.
    pub(crate) length: usize,
    /// Its segment's.
    pub(crate) salt: u64,
    /// Its place among all frames of the log, from 1.
    pub(crate) number: u64,
    /// The offset of the first event in it or after it.
    pub(crate) first: Offset,
    /// How many records.
    pub(crate) count: u32,
    /// Of its records, all together.
    pub(crate) checksum: u32,
}

impl FrameHeader {
    /// The whole frame's size.
    pub(crate) fn size(&self) -> usize {
        self.length.saturating_add(HEADER_BYTES + FOOTER_BYTES)
    }

    fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        let fields: [&[u8]; 7] = [
            &MAGIC.to_le_bytes(),
            &length.to_le_bytes(),
            &self.salt.to_le_bytes(),
            &self.number.to_le_bytes(),
            &self.first.get().to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.checksum.to_le_bytes(),
        ];
        fill(&mut bytes, &fields);
        bytes
    }

    /// Reads a header at the start of `bytes`, if there is one that checks out.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let mut cursor = sealed(bytes)?;
        let magic = u32::from_le_bytes(cursor.take(4)?.try_into().ok()?);
        let length = u32::from_le_bytes(cursor.take(4)?.try_into().ok()?);
        let header = Self {
            length: usize::try_from(length).ok()?,
            salt: cursor.fixed()?,
            number: cursor.fixed()?,
            first: Offset(cursor.fixed()?),
            count: u32::from_le_bytes(cursor.take(4)?.try_into().ok()?),
            checksum: u32::from_le_bytes(cursor.take(4)?.try_into().ok()?),
        };
        (magic == MAGIC).then_some(header)
    }

    /// The records of the frame whose header this is, at the start of `bytes`: all of the frame is
    /// there and checks out, or `None`.
    pub(crate) fn records<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let frame = bytes.get(..self.size())?;
        let (rest, footer) = frame.split_last_chunk::<FOOTER_BYTES>()?;
        let records = rest.get(HEADER_BYTES..)?;
        (*footer == END && crc32fast::hash(records) == self.checksum).then_some(records)
    }
}

/// The header of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: u32,
    pub(crate) number: u64,
    pub(crate) salt: u64,
}

/// The format that this program writes, and the highest that it reads.
pub(crate) const VERSION: u32 = 1;
/// The size of a segment's header.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 48;
const SEGMENT_MAGIC: &[u8; 8] = b"griotlog";

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        let fields: [&[u8]; 4] = [
            SEGMENT_MAGIC,
            &u64::from(self.version).to_le_bytes(),
            &self.number.to_le_bytes(),
            &self.salt.to_le_bytes(),
        ];
        fill(&mut bytes, &fields);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = sealed(bytes.get(..SEGMENT_HEADER_BYTES)?)?;
        let magic = cursor.take(SEGMENT_MAGIC.len())?;
        let header = Self {
            version: u32::try_from(cursor.fixed()?).ok()?,
            number: cursor.fixed()?,
            salt: cursor.fixed()?,
        };
        (magic == SEGMENT_MAGIC).then_some(header)
    }
}

/// Fills the start of a header with its fields, and its end with its checksum and the end mark.
fn fill(header: &mut [u8], fields: &[&[u8]]) {
    let body: Vec<u8> = fields.concat();
    if let Some((content, end)) = header.split_last_chunk_mut::<8>() {
        for (to, from) in content.iter_mut().zip(body) {
            *to = from;
        }
        let checksum = crc32fast::hash(content).to_le_bytes();
        for (to, from) in end.iter_mut().zip(checksum.into_iter().chain(END)) {
            *to = from;
        }
    }
}

/// The content of a header whose checksum and end are right.
fn sealed(header: &[u8]) -> Option<Cursor<'_>> {
    let (content, end) = header.split_last_chunk::<8>()?;
    let (checksum, mark) = end.split_first_chunk::<4>()?;
    let right = crc32fast::hash(content) == u32::from_le_bytes(*checksum) && *mark == END;
    right.then_some(Cursor(content))
}

/// A record of a frame, as it lies there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    /// Where it begins, counted from the frame's first record.
    pub(crate) at: usize,
    pub(crate) checksum: u32,
    /// Its kind and its content.
    pub(crate) body: &'a [u8],
}

impl<'a> RawRecord<'a> {
    /// Reads the record at the start of `bytes`.
    pub(crate) fn decode(bytes: &'a [u8], at: usize) -> Option<Self> {
        let mut cursor = Cursor(bytes.get(at..)?);
        let length = u32::from_le_bytes(cursor.take(4)?.try_into().ok()?);
        let checksum = u32::from_le_bytes(cursor.take(4)?.try_into().ok()?);
        let body = cursor.take(usize::try_from(length).ok()?)?;
        (!body.is_empty()).then_some(Self { at, checksum, body })
    }

    pub(crate) fn checks_out(&self) -> bool {
        crc32fast::hash(self.body) == self.checksum
    }

    /// Where the next one begins.
    pub(crate) fn next(&self) -> usize {
        self.at
            .saturating_add(RECORD_BYTES)
            .saturating_add(self.body.len())
    }
}

/// A frame that is being written. Its buffer is used again and again.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl FrameWriter {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; HEADER_BYTES],
            count: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How large the frame would be if it ended here.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len().saturating_add(FOOTER_BYTES)
    }

    /// Forgets the records, and gives memory back where one frame needed very much of it.
    pub(crate) fn clear(&mut self) {
        self.truncate((HEADER_BYTES, 0));
        self.bytes.shrink_to(KEPT_BYTES);
    }

    /// What to give to [`truncate`](Self::truncate) to come back to here.
    pub(crate) fn mark(&self) -> (usize, u32) {
        (self.bytes.len(), self.count)
    }

    pub(crate) fn truncate(&mut self, (length, count): (usize, u32)) {
        self.bytes.truncate(length);
        self.count = count;
    }

    /// Adds an append; returns where it lies in the frame.
    pub(crate) fn append(&mut self, append: &Append, first: Offset) -> usize {
        self.record(APPEND, |pen| pen.append(append, first))
    }

    /// Adds a claim.
    pub(crate) fn claim(&mut self, shard: &ShardId, epoch: Epoch) {
        self.record(CLAIM, |pen| {
            pen.text(&shard.kind);
            pen.number(u64::from(shard.number));
            pen.number(epoch.get());
        });
    }

    /// Adds a deletion.
    pub(crate) fn deletion(&mut self, entity: &EntityId, to: Seq) {
        self.record(DELETION, |pen| {
            pen.text(entity.as_str());
            pen.number(to.get());
        });
    }

    fn record(&mut self, kind: u8, write: impl FnOnce(&mut Pen<'_>)) -> usize {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD_BYTES]);
        let mut pen = Pen(&mut self.bytes);
        pen.byte(kind);
        write(&mut pen);
        if let Some((head, body)) = self
            .bytes
            .get_mut(at..)
            .and_then(<[u8]>::split_first_chunk_mut::<RECORD_BYTES>)
        {
            let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
            let checksum = crc32fast::hash(body).to_le_bytes();
            for (to, from) in head.iter_mut().zip(length.into_iter().chain(checksum)) {
                *to = from;
            }
        }
        self.count = self.count.saturating_add(1);
        at
    }

    /// Ends the frame: all of its bytes.
    pub(crate) fn finish(&mut self, salt: u64, number: u64, first: Offset) -> &[u8] {
        let records = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        let header = FrameHeader {
            length: records.len(),
            salt,
            number,
            first,
            count: self.count,
            checksum: crc32fast::hash(records),
        };
        if let Some(head) = self.bytes.first_chunk_mut::<HEADER_BYTES>() {
            *head = header.encode();
        }
        self.bytes.extend_from_slice(&END);
        &self.bytes
    }
}

/// How much of a frame's buffer is kept for the next one.
const KEPT_BYTES: usize = 8 << 20;
