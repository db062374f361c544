//! A group of batches as the columns that the function `append` takes: one array per parameter.

use std::borrow::Cow;
use std::collections::HashMap;

use griot_core::{Effect, EffectRecord, stable_hash};
use griot_journal::{Answer, Append, Batch, EventRecord};
use sqlx::types::Json;

use crate::link::Question;
use crate::text::escaped;

const APPEND: &str = "select * from append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, \
    $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37)";

type Text<'a> = Cow<'a, str>;
/// None where it is empty, as most are: reading JSON costs the server a microsecond each.
type List<T> = Option<Json<Vec<T>>>;
type Pair<'a> = (Text<'a>, Text<'a>);

/// Fields stand in the order of the parameters.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    shards: Shards<'a>,
    appends: Appends<'a>,
    rows: Rows<'a>,
    answers: Answers<'a>,
    effects: Effects<'a>,
    settled: Settled,
    /// How many events each entity has in the group so far.
    counted: HashMap<&'a str, i64>,
}

#[derive(Default)]
struct Shards<'a> {
    kinds: Vec<Text<'a>>,
    numbers: Vec<i64>,
    epochs: Vec<i64>,
}

#[derive(Default)]
struct Appends<'a> {
    batches: Vec<i32>,
    names: Vec<&'a str>,
    expecteds: Vec<i64>,
    /// Events of the same entity before it, in the group.
    befores: Vec<i64>,
    ats: Vec<i64>,
}

/// One for each event, and for each append without.
#[derive(Default)]
struct Rows<'a> {
    appends: Vec<i32>,
    /// How many events there are up to it, in the group.
    places: Vec<i64>,
    seqs: Vec<i64>,
    closes: Vec<bool>,
    names: Vec<Option<Text<'a>>>,
    versions: Vec<Option<i32>>,
    tags: Vec<List<Text<'a>>>,
    payloads: Vec<Option<&'a [u8]>>,
    metadatas: Vec<List<Pair<'a>>>,
    settleds: Vec<List<(u64, u32)>>,
}

#[derive(Default)]
struct Answers<'a> {
    appends: Vec<i32>,
    keys: Vec<Text<'a>>,
    key_hashes: Vec<i64>,
    fingerprints: Vec<i64>,
    replies: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Effects<'a> {
    appends: Vec<i32>,
    positions: Vec<i32>,
    seqs: Vec<i64>,
    ns: Vec<i64>,
    kinds: Vec<&'static str>,
    names: Vec<Text<'a>>,
    dues: Vec<Option<i64>>,
    targets: Vec<Option<&'a str>>,
    keys: Vec<Option<Text<'a>>>,
    headers: Vec<List<Pair<'a>>>,
    payloads: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Settled {
    appends: Vec<i32>,
    seqs: Vec<i64>,
    ns: Vec<i64>,
}

impl<'a> Columns<'a> {
    pub(crate) fn of(batches: &[&'a Batch]) -> Self {
        let mut columns = Self::default();
        for (batch, number) in batches.iter().zip(1..) {
            let shards = &mut columns.shards;
            shards.kinds.push(escaped(&batch.shard.kind));
            shards.numbers.push(batch.shard.number.into());
            shards.epochs.push(number_or_none(batch.epoch.get()));
            for append in &batch.appends {
                columns.push(number, append);
            }
        }
        columns
    }

    fn push(&mut self, batch: i32, append: &'a Append) {
        let events = i64::from(count(append.events.len()));
        let counted = self.counted.entry(append.entity.as_str()).or_default();
        let before = *counted;
        *counted = before.saturating_add(events);
        let appends = &mut self.appends;
        appends.batches.push(batch);
        appends.names.push(append.entity.as_str());
        appends
            .expecteds
            .push(number_or_none(append.expected.get()));
        appends.befores.push(before);
        appends.ats.push(append.at.as_micros());
        let own = count(appends.batches.len());
        self.rows.push(own, append);
        if let Some(answer) = &append.answer {
            self.answers.push(own, answer);
        }
        for (effect, position) in append.effects.iter().zip(1..) {
            self.effects.push(own, position, effect);
        }
        for id in &append.settled {
            self.settled.appends.push(own);
            self.settled.seqs.push(id.seq.get().cast_signed());
            self.settled.ns.push(id.n.into());
        }
    }

    /// The call of the function, with all of it.
    pub(crate) fn call(&self) -> Question<'static> {
        let Self {
            shards,
            appends,
            rows,
            answers,
            effects,
            settled,
            ..
        } = self;
        sqlx::query(APPEND)
            .bind(&shards.kinds)
            .bind(&shards.numbers)
            .bind(&shards.epochs)
            .bind(&appends.batches)
            .bind(&appends.names)
            .bind(&appends.expecteds)
            .bind(&appends.befores)
            .bind(&appends.ats)
            .bind(&rows.appends)
            .bind(&rows.places)
            .bind(&rows.seqs)
            .bind(&rows.closes)
            .bind(&rows.names)
            .bind(&rows.versions)
            .bind(&rows.tags)
            .bind(&rows.payloads)
            .bind(&rows.metadatas)
            .bind(&rows.settleds)
            .bind(&answers.appends)
            .bind(&answers.keys)
            .bind(&answers.key_hashes)
            .bind(&answers.fingerprints)
            .bind(&answers.replies)
            .bind(&effects.appends)
            .bind(&effects.positions)
            .bind(&effects.seqs)
            .bind(&effects.ns)
            .bind(&effects.kinds)
            .bind(&effects.names)
            .bind(&effects.dues)
            .bind(&effects.targets)
            .bind(&effects.keys)
            .bind(&effects.headers)
            .bind(&effects.payloads)
            .bind(&settled.appends)
            .bind(&settled.seqs)
            .bind(&settled.ns)
    }
}

impl<'a> Rows<'a> {
    fn push(&mut self, own: i32, append: &'a Append) {
        let mut seq = number_or_none(append.expected.get());
        let mut place = self.places.last().copied().unwrap_or(0);
        let last = append.events.len().saturating_sub(1);
        for number in 0..=last {
            let event = append.events.get(number);
            let counts = i64::from(event.is_some());
            (seq, place) = (seq.saturating_add(counts), place.saturating_add(counts));
            self.appends.push(own);
            self.places.push(place);
            self.seqs.push(seq);
            self.closes.push(number == last);
            self.push_event(event);
            self.metadatas.push(some(pairs(&append.metadata)));
            // Once is enough: the last row is the one that an append is read by.
            let settled = append.settled.iter().filter(|_| number == last);
            let settled = settled.map(|id| (id.seq.get(), id.n));
            self.settleds.push(some(settled.collect()));
        }
    }

    fn push_event(&mut self, event: Option<&'a EventRecord>) {
        self.names.push(event.map(|event| escaped(&event.name)));
        self.versions.push(event.map(|event| event.version.into()));
        let tags = event.map_or_else(Vec::new, |event| {
            event.tags.iter().map(|tag| escaped(tag)).collect()
        });
        self.tags.push(some(tags));
        self.payloads.push(event.map(|event| &*event.payload));
    }
}

impl<'a> Answers<'a> {
    fn push(&mut self, append: i32, answer: &'a Answer) {
        self.appends.push(append);
        self.keys.push(escaped(&answer.key));
        self.key_hashes
            .push(stable_hash(answer.key.as_bytes()).cast_signed());
        self.fingerprints.push(answer.fingerprint.cast_signed());
        self.replies.push(&answer.reply);
    }
}

impl<'a> Effects<'a> {
    fn push(&mut self, append: i32, position: i32, record: &'a EffectRecord) {
        self.appends.push(append);
        self.positions.push(position);
        self.seqs.push(record.id.seq.get().cast_signed());
        self.ns.push(record.id.n.into());
        self.names.push(escaped(record.effect.name()));
        let (mut due_at, mut target, mut key, mut headers) = (None, None, None, None);
        let (kind, payload): (_, &[u8]) = match &record.effect {
            Effect::Call { payload, .. } => ("call", payload),
            Effect::Timer { due, payload, .. } => {
                due_at = Some(due.as_micros());
                ("timer", payload)
            }
            Effect::Message { to, payload, .. } => {
                target = Some(to.as_str());
                ("message", payload)
            }
            Effect::Publication(publication) => {
                key = publication.key.as_deref().map(escaped);
                headers = Some(Json(pairs(&publication.headers)));
                ("publication", &publication.payload)
            }
            // The table takes no such kind: a newer griot has to teach it first.
            _ => ("unknown", &[]),
        };
        self.kinds.push(kind);
        self.dues.push(due_at);
        self.targets.push(target);
        self.keys.push(key);
        self.headers.push(headers);
        self.payloads.push(payload);
    }
}

fn pairs(pairs: &[(String, String)]) -> Vec<Pair<'_>> {
    pairs
        .iter()
        .map(|(name, value)| (escaped(name), escaped(value)))
        .collect()
}

fn some<T>(list: Vec<T>) -> List<T> {
    (!list.is_empty()).then_some(Json(list))
}

/// A number that no entity or shard has, where it is beyond those that they can have.
fn number_or_none(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

/// A batch is bounded by its bytes, far below this number of parts.
fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}
