//! How a record's body is written: little-endian, lengths and small numbers as LEB128.
//!
//! `FORMAT.md` has every field. The decoder takes any bytes and never panics.

use std::borrow::Cow;

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, EntityId, Offset, Publication, Seq, Timestamp};

use crate::{Answer, Append, Batch, Commit, EventRecord, Metadata};

/// Where bytes are written to.
pub(crate) struct Pen<'a>(pub(crate) &'a mut Vec<u8>);

impl Pen<'_> {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn fixed(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "LEB128 takes seven bits at a time"
    )]
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn pairs(&mut self, pairs: &[(String, String)]) {
        self.count(pairs.len());
        for (name, value) in pairs {
            self.text(name);
            self.text(value);
        }
    }

    fn effect_id(&mut self, id: EffectId) {
        self.number(id.seq.get());
        self.number(u64::from(id.n));
    }

    /// Writes an append whose first event has the offset `first`.
    pub(crate) fn append(&mut self, append: &Append, first: Offset) {
        self.text(append.entity.as_str());
        self.number(append.expected.get());
        self.number(first.get());
        self.fixed(append.at.as_micros().cast_unsigned());
        self.count(append.events.len());
        for event in &append.events {
            self.text(&event.name);
            self.number(u64::from(event.version));
            self.count(event.tags.len());
            for tag in &event.tags {
                self.text(tag);
            }
            self.bytes(&event.payload);
        }
        self.count(append.effects.len());
        for record in &append.effects {
            self.effect_id(record.id);
            self.effect(&record.effect);
        }
        self.count(append.settled.len());
        for &id in &append.settled {
            self.effect_id(id);
        }
        self.count(usize::from(append.answer.is_some()));
        if let Some(answer) = &append.answer {
            self.text(&answer.key);
            self.fixed(answer.fingerprint);
            self.bytes(&answer.reply);
        }
        self.pairs(&append.metadata);
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Call { name, payload } => {
                self.byte(CALL);
                self.text(name);
                self.bytes(payload);
            }
            Effect::Timer { due, name, payload } => {
                self.byte(TIMER);
                self.fixed(due.as_micros().cast_unsigned());
                self.text(name);
                self.bytes(payload);
            }
            Effect::Message { to, name, payload } => {
                self.byte(MESSAGE);
                self.text(to.as_str());
                self.text(name);
                self.bytes(payload);
            }
            Effect::Publication(publication) => {
                self.byte(PUBLICATION);
                self.text(&publication.topic);
                self.count(usize::from(publication.key.is_some()));
                if let Some(key) = &publication.key {
                    self.text(key);
                }
                self.pairs(&publication.headers);
                self.bytes(&publication.payload);
            }
            // `Effect` may grow; this crate and griot-core are released together, and a test
            // writes one of each.
            _ => self.byte(0),
        }
    }
}

const CALL: u8 = 1;
const TIMER: u8 = 2;
const MESSAGE: u8 = 3;
const PUBLICATION: u8 = 4;

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
        let id = cursor.effect_id()?;
        if skim_effect(&mut cursor)? {
            effects.push(id);
        }
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

/// Passes over an effect; says whether it awaits an outcome.
fn skim_effect(cursor: &mut Cursor<'_>) -> Option<bool> {
    let kind = cursor.byte()?;
    match kind {
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
    cursor.bytes()?;
    Some(kind != PUBLICATION)
}

/// How many bytes a batch takes at most, as it is written.
pub(crate) fn size(batch: &Batch) -> usize {
    let text = |text: &str| text.len().saturating_add(NUMBER_BYTES);
    let pairs = |pairs: &[(String, String)]| -> usize {
        pairs
            .iter()
            .map(|(name, value)| text(name).saturating_add(text(value)))
            .sum()
    };
    let append = |append: &Append| -> usize {
        let events = append.events.iter().map(|event| {
            let tags: usize = event.tags.iter().map(|tag| text(tag)).sum();
            FIXED_BYTES + text(&event.name) + tags + event.payload.len()
        });
        let effects = append.effects.iter().map(|record| match &record.effect {
            Effect::Call { name, payload } | Effect::Timer { name, payload, .. } => {
                FIXED_BYTES + text(name) + payload.len()
            }
            Effect::Message { to, name, payload } => {
                FIXED_BYTES + text(to.as_str()) + text(name) + payload.len()
            }
            Effect::Publication(publication) => {
                let key = publication.key.as_deref().map_or(0, text);
                let headers = pairs(&publication.headers);
                FIXED_BYTES + text(&publication.topic) + key + headers + publication.payload.len()
            }
            _ => usize::MAX >> 1,
        });
        let answer = append.answer.as_ref();
        let answer = answer.map_or(0, |answer| {
            FIXED_BYTES + text(&answer.key) + answer.reply.len()
        });
        let settled = append.settled.len() * 2 * NUMBER_BYTES;
        let rest = answer + settled + pairs(&append.metadata) + text(append.entity.as_str());
        events
            .chain(effects)
            .fold(rest + 2 * FIXED_BYTES, usize::saturating_add)
    };
    batch
        .appends
        .iter()
        .map(append)
        .fold(0, usize::saturating_add)
}

/// The longest LEB128 number.
const NUMBER_BYTES: usize = 10;
/// More than the numbers of an event, an effect or an answer take beside their texts.
const FIXED_BYTES: usize = 5 * NUMBER_BYTES;
