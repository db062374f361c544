//! Writing.

use griot_core::{Effect, EffectId, Offset};

use super::{CALL, MESSAGE, PUBLICATION, TIMER};
use crate::{Append, Batch};

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
