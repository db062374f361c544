//! Tells a write that was cut off from damage.
//!
//! A disk that loses power leaves, of an unsynced write, some sectors new and the others as they
//! were, which is zero; or the beginning new and the rest zero. So the bytes behind the last whole
//! frame are an unfinished write if they could be explained so, and no later frame is whole:
//! a later frame is only written after the one before it is synced.

use super::frame::{FrameHeader, HEADER_BYTES, RawRecord};

/// What the bytes behind the last whole frame are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The beginning of a frame whose write was cut off; nobody was told that it is stored.
    Unfinished,
    /// Something that was whole once.
    Damaged {
        /// Where, in bytes from the segment's start.
        at: usize,
        /// Why it is thought so.
        reason: &'static str,
    },
}

/// What a disk writes whole or not at all, in bytes. Larger sectors are several of these.
const SECTOR_BYTES: usize = 512;

/// Judges the bytes of a segment from `at` on, where no whole frame lies; `number` is that of the
/// frame that should.
pub(crate) fn judge(bytes: &[u8], at: usize, salt: u64, number: u64) -> Verdict {
    let rest = bytes.get(at..).unwrap_or_default();
    let header = FrameHeader::decode(rest).filter(|header| header.salt == salt);
    if later_frame(rest, salt, number) {
        let at = header.map_or(at, |header| first_bad(rest, &header, at));
        let reason = "it does not check out, although a later frame is whole";
        return Verdict::Damaged { at, reason };
    }
    let size = header.map_or(HEADER_BYTES, |header| header.size());
    let Some(frame) = rest.get(..size) else {
        // The file ends within it.
        return Verdict::Unfinished;
    };
    if frame.last() == Some(&0) || has_unwritten_sector(frame, at) {
        return Verdict::Unfinished;
    }
    Verdict::Damaged {
        at: header.map_or(at, |header| first_bad(rest, &header, at)),
        reason: "it does not check out, although all of it was written",
    }
}

/// Whether a whole frame of this segment, or the header of one, lies further on.
fn later_frame(rest: &[u8], salt: u64, number: u64) -> bool {
    (1..rest.len()).any(|from| {
        rest.get(from) == Some(&b'g')
            && rest
                .get(from..)
                .and_then(FrameHeader::decode)
                .is_some_and(|header| header.salt == salt && header.number > number)
    })
}

/// Whether all of a sector within the frame, which lies at `at`, is zero.
fn has_unwritten_sector(frame: &[u8], at: usize) -> bool {
    let first = SECTOR_BYTES
        .saturating_sub(at % SECTOR_BYTES)
        .min(frame.len());
    let (head, rest) = frame.split_at(first);
    std::iter::once(head)
        .chain(rest.chunks(SECTOR_BYTES))
        .any(|sector| sector.iter().all(|&byte| byte == 0))
}

/// Where the first record of a frame lies that does not check out; the frame itself if all do.
fn first_bad(rest: &[u8], header: &FrameHeader, at: usize) -> usize {
    let end = HEADER_BYTES.saturating_add(header.length).min(rest.len());
    let records = rest.get(HEADER_BYTES..end).unwrap_or_default();
    let mut from = 0;
    for _ in 0..header.count {
        match RawRecord::decode(records, from) {
            Some(record) if record.checks_out() => from = record.next(),
            _ => return at.saturating_add(HEADER_BYTES).saturating_add(from),
        }
    }
    at
}
