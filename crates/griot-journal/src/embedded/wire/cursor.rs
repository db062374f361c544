//! Reading.

use std::borrow::Cow;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, EntityId, Offset, Publication, Seq, Timestamp};

use super::{CALL, MESSAGE, PUBLICATION, TIMER};
use crate::{Answer, Append, Commit, EventRecord, Metadata};

/// Where bytes are read from. Everything is `None` where they do not fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    pub(crate) fn fixed(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number of things to come, each of which takes a byte at least.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn effect_id(&mut self) -> Option<EffectId> {
        let seq = Seq(self.number()?);
        let n = u32::try_from(self.number()?).ok()?;
        Some(EffectId { seq, n })
    }

    pub(crate) fn moment(&mut self) -> Option<Timestamp> {
        Some(Timestamp::from_micros(self.fixed()?.cast_signed()))
    }

    /// Reads an append up to the number of its events: the offset of the first, and how many.
    pub(crate) fn offsets(&mut self) -> Option<(Offset, u64)> {
        self.bytes()?;
        self.number()?;
        let first = self.number()?;
        self.fixed()?;
        Some((Offset(first), self.number()?))
    }

    fn owned(&mut self) -> Option<String> {
        self.text().map(str::to_owned)
    }

    fn name(&mut self) -> Option<Cow<'static, str>> {
        self.owned().map(Cow::Owned)
    }

    fn pairs(&mut self) -> Option<Metadata> {
        let count = self.count()?;
        (0..count)
            .map(|_| Some((self.owned()?, self.owned()?)))
            .collect()
    }

    /// A payload, without copying it: `whole` holds the bytes that this reads.
    fn payload(&mut self, whole: &Bytes) -> Option<Bytes> {
        self.bytes().map(|bytes| whole.slice_ref(bytes))
    }
}

/// Reads the body of an append.
pub(crate) fn read_commit(whole: &Bytes, from: usize) -> Option<Commit> {
    let mut cursor = Cursor(whole.get(from..)?);
    let entity: EntityId = cursor.text()?.parse().ok()?;
    let expected = Seq(cursor.number()?);
    let first = cursor.number()?;
    let at = cursor.moment()?;
    let events = cursor.count()?;
    let events: Vec<_> = (0..events)
        .map(|_| read_event(&mut cursor, whole))
        .collect::<Option<_>>()?;
    let effects = cursor.count()?;
    let effects = (0..effects)
        .map(|_| read_effect(&mut cursor, whole))
        .collect::<Option<_>>()?;
    let settled = cursor.count()?;
    let settled = (0..settled)
        .map(|_| cursor.effect_id())
        .collect::<Option<_>>()?;
    let answer = match cursor.count()? {
        0 => None,
        _ => Some(Answer {
            key: cursor.owned()?,
            fingerprint: cursor.fixed()?,
            reply: cursor.payload(whole)?,
        }),
    };
    let metadata = cursor.pairs()?;
    let before = u64::from(events.is_empty());
    let offset = Offset(first.checked_sub(before)?);
    let append = Append {
        entity,
        expected,
        at,
        events,
        effects,
        settled,
        answer,
        metadata,
    };
    cursor.0.is_empty().then_some(Commit { append, offset })
}

fn read_event(cursor: &mut Cursor<'_>, whole: &Bytes) -> Option<EventRecord> {
    let name = cursor.name()?;
    let version = u16::try_from(cursor.number()?).ok()?;
    let tags = cursor.count()?;
    let tags = (0..tags).map(|_| cursor.owned()).collect::<Option<_>>()?;
    let payload = cursor.payload(whole)?;
    Some(EventRecord {
        name,
        version,
        tags,
        payload,
    })
}

fn read_effect(cursor: &mut Cursor<'_>, whole: &Bytes) -> Option<EffectRecord> {
    let id = cursor.effect_id()?;
    let effect = match cursor.byte()? {
        CALL => Effect::Call {
            name: cursor.name()?,
            payload: cursor.payload(whole)?,
        },
        TIMER => Effect::Timer {
            due: cursor.moment()?,
            name: cursor.name()?,
            payload: cursor.payload(whole)?,
        },
        MESSAGE => Effect::Message {
            to: cursor.text()?.parse().ok()?,
            name: cursor.name()?,
            payload: cursor.payload(whole)?,
        },
        PUBLICATION => {
            let topic = cursor.owned()?;
            let key = match cursor.count()? {
                0 => None,
                _ => Some(cursor.owned()?),
            };
            let headers = cursor.pairs()?;
            let payload = cursor.payload(whole)?;
            Effect::Publication(Publication {
                topic,
                key,
                headers,
                payload,
            })
        }
        _ => return None,
    };
    Some(EffectRecord { id, effect })
}

/// What the index needs of an append, without copying anything but its effects' names.
#[derive(Debug)]
pub(crate) struct Skimmed<'a> {
    pub(crate) entity: &'a str,
    pub(crate) expected: Seq,
    pub(crate) first: u64,
    pub(crate) events: u64,
    pub(crate) effects: Vec<EffectId>,
    pub(crate) settled: Vec<EffectId>,
    pub(crate) key: Option<&'a str>,
}

/// Reads as much of an append's body as the index needs.
pub(crate) fn skim(mut cursor: Cursor<'_>) -> Option<Skimmed<'_>> {
    let entity = cursor.text()?;
    let expected = Seq(cursor.number()?);
    let first = cursor.number()?;
    cursor.fixed()?;
    let events = cursor.count()?;
    for _ in 0..events {
        cursor.bytes()?;
        cursor.number()?;
        for _ in 0..cursor.count()? {
            cursor.bytes()?;
        }
        cursor.bytes()?;
    }
    let mut effects = Vec::new();
    for _ in 0..cursor.count()? {
        effects.push(cursor.effect_id()?);
        skim_effect(&mut cursor)?;
    }
    let settled = cursor.count()?;
    let settled = (0..settled)
        .map(|_| cursor.effect_id())
        .collect::<Option<_>>()?;
    let key = match cursor.count()? {
        0 => None,
        _ => Some(cursor.text()?),
    };
    let events = u64::try_from(events).ok()?;
    Some(Skimmed {
        entity,
        expected,
        first,
        events,
        effects,
        settled,
        key,
    })
}

/// Passes over an effect.
fn skim_effect(cursor: &mut Cursor<'_>) -> Option<()> {
    match cursor.byte()? {
        CALL => {
            cursor.bytes()?;
        }
        TIMER => {
            cursor.fixed()?;
            cursor.bytes()?;
        }
        MESSAGE => {
            cursor.bytes()?;
            cursor.bytes()?;
        }
        PUBLICATION => {
            cursor.bytes()?;
            if cursor.count()? > 0 {
                cursor.bytes()?;
            }
            for _ in 0..cursor.count()? {
                cursor.bytes()?;
                cursor.bytes()?;
            }
        }
        _ => return None,
    }
    cursor.bytes().map(drop)
}
