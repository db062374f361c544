//! A group of batches as the procedure `griot_append` takes it: rows of numbers in JSON, and one string of bytes that
//! all texts and payloads lie in.

use std::collections::HashMap;

use griot_core::{Effect, EffectRecord, stable_hash};
use griot_journal::{Append, Batch, EventRecord};
use serde::Serialize;

use crate::link::Question;

const APPEND: &str = "call griot_append(?, ?, ?, ?, ?, ?, ?, ?)";

/// Where a text begins in the bytes, counted from 1, and its length.
type Slice = (usize, usize);

/// Key, its hash, the fingerprint, the reply.
type Answer = (Slice, u64, u64, Slice);

/// Fields stand in the order in which the procedure counts them.
#[derive(Serialize)]
struct AppendRow(
    usize,          // its batch
    Slice,          // the shard's kind
    u32,            // the shard's number
    u64,            // the epoch
    Slice,          // the entity
    usize,          // how much of that is its kind
    u64,            // the expected sequence
    usize,          // events of this entity before it, in the group
    usize,          // its events
    usize,          // events before it, in the group
    i64,            // when
    Slice,          // metadata, JSON
    Slice,          // settled effects, JSON
    Option<Answer>, // the answer
);

/// Append, sequence, name, version, tags in JSON, payload.
type EventRow = (usize, u64, Slice, u16, Slice, Slice);

/// Append, position, sequence, number, kind, name, due, target, key, headers in JSON, payload.
type EffectRow = (
    usize,
    usize,
    u64,
    u32,
    &'static str,
    Slice,
    Option<i64>,
    Option<Slice>,
    Option<Slice>,
    Option<Slice>,
    Slice,
);

/// Append, sequence, number.
type SettledRow = (usize, u64, u32);

#[derive(Default)]
pub(crate) struct Wire<'a> {
    appends: Vec<AppendRow>,
    events: Vec<EventRow>,
    effects: Vec<EffectRow>,
    settleds: Vec<SettledRow>,
    bytes: Vec<u8>,
    /// Where each entity's name lies, and how many events it has in the group so far.
    entities: HashMap<&'a str, (Slice, usize)>,
}

impl<'a> Wire<'a> {
    pub(crate) fn of(batches: &[&'a Batch]) -> Result<Self, serde_json::Error> {
        let mut wire = Self::default();
        for (batch, number) in batches.iter().zip(1..) {
            let kind = wire.slice(batch.shard.kind.as_bytes());
            for append in &batch.appends {
                wire.push(number, kind, batch, append)?;
            }
        }
        Ok(wire)
    }

    fn push(
        &mut self,
        number: usize,
        kind: Slice,
        batch: &Batch,
        append: &'a Append,
    ) -> Result<(), serde_json::Error> {
        let (name, earlier) = self.entity(append);
        let settled: Vec<_> = append.settled.iter().map(|id| (id.seq, id.n)).collect();
        let answer = append.answer.as_ref().map(|answer| {
            (
                self.slice(answer.key.as_bytes()),
                stable_hash(answer.key.as_bytes()),
                answer.fingerprint,
                self.slice(&answer.reply),
            )
        });
        let row = AppendRow(
            number,
            kind,
            batch.shard.number,
            batch.epoch.get(),
            name,
            append.entity.kind().len(),
            append.expected.get(),
            earlier,
            append.events.len(),
            self.events.len(),
            append.at.as_micros(),
            self.json(&append.metadata)?,
            self.json(&settled)?,
            answer,
        );
        self.appends.push(row);
        let own = self.appends.len();
        for (event, position) in append.events.iter().zip(1_u64..) {
            let seq = append.expected.get().saturating_add(position);
            self.event(own, seq, event)?;
        }
        for (effect, position) in append.effects.iter().zip(1..) {
            self.effect(own, position, effect)?;
        }
        let settled = append.settled.iter().map(|id| (own, id.seq.get(), id.n));
        self.settleds.extend(settled);
        Ok(())
    }

    /// The name of an append's entity, and how many events of it are before this append.
    fn entity(&mut self, append: &'a Append) -> (Slice, usize) {
        let name = append.entity.as_str();
        let (slice, before) = match self.entities.get(name) {
            Some(&known) => known,
            None => (self.slice(name.as_bytes()), 0),
        };
        let count = before.saturating_add(append.events.len());
        self.entities.insert(name, (slice, count));
        (slice, before)
    }

    fn event(
        &mut self,
        own: usize,
        seq: u64,
        event: &EventRecord,
    ) -> Result<(), serde_json::Error> {
        let name = self.slice(event.name.as_bytes());
        let tags = self.json(&event.tags)?;
        let payload = self.slice(&event.payload);
        let row = (own, seq, name, event.version, tags, payload);
        self.events.push(row);
        Ok(())
    }

    fn effect(
        &mut self,
        own: usize,
        position: usize,
        record: &EffectRecord,
    ) -> Result<(), serde_json::Error> {
        let name = self.slice(record.effect.name().as_bytes());
        let (mut due_at, mut target, mut key, mut headers) = (None, None, None, None);
        let (kind, payload): (_, &[u8]) = match &record.effect {
            Effect::Call { payload, .. } => ("call", payload),
            Effect::Timer { due, payload, .. } => {
                due_at = Some(due.as_micros());
                ("timer", payload)
            }
            Effect::Message { to, payload, .. } => {
                target = Some(self.slice(to.as_str().as_bytes()));
                ("message", payload)
            }
            Effect::Publication(publication) => {
                let given = publication.key.as_deref();
                key = given.map(|key| self.slice(key.as_bytes()));
                headers = Some(self.json(&publication.headers)?);
                ("publication", &publication.payload)
            }
            // The table takes no such kind: a newer griot has to teach it first.
            _ => ("unknown", &[]),
        };
        let payload = self.slice(payload);
        let id = record.id;
        self.effects.push((
            own,
            position,
            id.seq.get(),
            id.n,
            kind,
            name,
            due_at,
            target,
            key,
            headers,
            payload,
        ));
        Ok(())
    }

    fn slice(&mut self, text: &[u8]) -> Slice {
        let begins = self.bytes.len().saturating_add(1);
        self.bytes.extend_from_slice(text);
        (begins, text.len())
    }

    fn json(&mut self, value: &impl Serialize) -> Result<Slice, serde_json::Error> {
        let before = self.bytes.len();
        serde_json::to_writer(&mut self.bytes, value)?;
        let length = self.bytes.len().saturating_sub(before);
        Ok((before.saturating_add(1), length))
    }

    /// The call of the procedure, with all of it, and its size in bytes.
    pub(crate) fn call(&self) -> Result<(Question<'static>, usize), serde_json::Error> {
        /// Lengths, types and the procedure's name beside the parameters.
        const REST: usize = 1024;
        let rows = [
            serde_json::to_string(&self.appends)?,
            serde_json::to_string(&self.events)?,
            serde_json::to_string(&self.effects)?,
            serde_json::to_string(&self.settleds)?,
        ];
        let texts: usize = rows.iter().map(String::len).sum();
        let answers = self.appends.iter().filter(|row| row.13.is_some()).count();
        let call = rows.into_iter().fold(sqlx::query(APPEND), Question::bind);
        let call = call
            .bind(&*self.bytes)
            .bind(count(self.appends.len()))
            .bind(count(self.events.len()))
            .bind(count(answers));
        Ok((call, texts + self.bytes.len() + REST))
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
