//! What is written is read back, and nothing that is read can make the decoder panic.

use std::time::{Duration, Instant};

use bytes::Bytes;
use griot_core::{Effect, EffectId, EffectRecord, EntityId, Offset, Publication, Seq, Timestamp};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{Cursor, Pen, read_commit, size, skim};
use crate::embedded::frame::{FrameHeader, FrameWriter, RawRecord, SegmentHeader};
use crate::embedded::verdict::judge;
use crate::{Answer, Append, Batch, EventRecord, ShardId};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), "[a-z]{1,12}", "\\PC{0,20}"]
}

fn payload() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..300).prop_map(Bytes::from)
}

fn id() -> impl Strategy<Value = EntityId> {
    "[a-zü/ ]{1,30}".prop_map(|id| EntityId::new("account", &id).unwrap())
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..3)
}

fn moment() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp::from_micros)
}

fn effect_id() -> impl Strategy<Value = EffectId> {
    (any::<u64>(), any::<u32>()).prop_map(|(seq, n)| EffectId { seq: Seq(seq), n })
}

fn event() -> impl Strategy<Value = EventRecord> {
    (text(), any::<u16>(), vec(text(), 0..3), payload()).prop_map(
        |(name, version, tags, payload)| EventRecord {
            name: name.into(),
            version,
            tags,
            payload,
        },
    )
}

fn effect() -> impl Strategy<Value = Effect> {
    prop_oneof![
        (text(), payload()).prop_map(|(name, payload)| Effect::Call {
            name: name.into(),
            payload
        }),
        (moment(), text(), payload()).prop_map(|(due, name, payload)| Effect::Timer {
            due,
            name: name.into(),
            payload
        }),
        (id(), text(), payload()).prop_map(|(to, name, payload)| Effect::Message {
            to,
            name: name.into(),
            payload
        }),
        (text(), option::of(text()), pairs(), payload()).prop_map(
            |(topic, key, headers, payload)| {
                Effect::Publication(Publication {
                    topic,
                    key,
                    headers,
                    payload,
                })
            }
        ),
    ]
}

prop_compose! {
    fn append()(
        entity in id(),
        expected in any::<u64>(),
        at in moment(),
        events in vec(event(), 0..4),
        effects in vec((effect_id(), effect()), 0..4),
        settled in vec(effect_id(), 0..4),
        answer in option::of((text(), any::<u64>(), payload())),
        metadata in pairs(),
    ) -> Append {
        Append {
            entity,
            expected: Seq(expected),
            at,
            events,
            effects: effects.into_iter().map(|(id, effect)| EffectRecord { id, effect }).collect(),
            settled,
            answer: answer.map(|(key, fingerprint, reply)| Answer { key, fingerprint, reply }),
            metadata,
        }
    }
}

fn written(append: &Append, first: u64) -> Bytes {
    let mut bytes = Vec::new();
    Pen(&mut bytes).append(append, Offset(first));
    Bytes::from(bytes)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(append in append(), first in 1_u64..) {
        let bytes = written(&append, first);
        let commit = read_commit(&bytes, 0).unwrap();
        let before = u64::from(append.events.is_empty());
        prop_assert_eq!(commit.offset, Offset(first - before));
        let skimmed = skim(Cursor(&bytes)).unwrap();
        prop_assert_eq!(skimmed.entity, append.entity.as_str());
        prop_assert_eq!(skimmed.events, u64::try_from(append.events.len()).unwrap());
        prop_assert_eq!(&skimmed.settled, &append.settled);
        prop_assert_eq!(skimmed.key, append.answer.as_ref().map(|answer| answer.key.as_str()));
        let effects = append.effects.iter().map(|record| &record.id);
        prop_assert!(skimmed.effects.iter().eq(effects));
        prop_assert_eq!(commit.append, append);
    }

    #[test]
    fn the_size_that_is_foretold_is_not_exceeded(append in append()) {
        let mut frame = FrameWriter::new();
        let before = frame.size();
        frame.append(&append, Offset(u64::MAX));
        let grown = frame.size() - before;
        let shard = ShardId { kind: "account".into(), number: 0 };
        let batch = Batch { shard, epoch: griot_core::Epoch(1), appends: vec![append] };
        prop_assert!(grown <= size(&batch), "{} > {}", grown, size(&batch));
    }

    #[test]
    fn a_record_that_is_cut_short_is_not_read(append in append(), cut in any::<prop::sample::Index>()) {
        let bytes = written(&append, 1);
        let cut = cut.index(bytes.len());
        prop_assert_eq!(read_commit(&bytes.slice(..cut), 0), None);
    }

    #[test]
    fn a_frame_reads_back_and_any_change_of_it_is_noticed(
        appends in vec(append(), 1..5),
        salt in any::<u64>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let mut frame = FrameWriter::new();
        for append in &appends {
            frame.append(append, Offset(1));
        }
        let mut bytes = frame.finish(salt, 7, Offset(1)).to_vec();
        let header = FrameHeader::decode(&bytes).unwrap();
        prop_assert_eq!((header.salt, header.number, header.size()), (salt, 7, bytes.len()));
        let records = header.records(&bytes).unwrap();
        let mut at = 0;
        for append in &appends {
            let record = RawRecord::decode(records, at).unwrap();
            prop_assert!(record.checks_out());
            let body = Bytes::copy_from_slice(record.body);
            prop_assert_eq!(&read_commit(&body, 1).unwrap().append, append);
            at = record.next();
        }
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let header = FrameHeader::decode(&bytes);
        prop_assert!(header.and_then(|header| header.records(&bytes).map(<[u8]>::len)).is_none());
    }
}

/// Seeded garbage, and real records with a few bytes changed, for ten seconds.
#[test]
fn no_bytes_make_a_decoder_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let entity = EntityId::new("account", "a").unwrap();
    let event = EventRecord {
        name: "Happened".into(),
        version: 1,
        tags: vec!["tag".to_owned()],
        payload: Bytes::from_static(b"payload"),
    };
    let effect = Effect::Message {
        to: entity.clone(),
        name: "m".into(),
        payload: Bytes::new(),
    };
    let real = Append {
        entity,
        expected: Seq(3),
        at: Timestamp::from_micros(1),
        events: vec![event.clone(), event],
        effects: vec![EffectRecord {
            id: EffectId { seq: Seq(3), n: 0 },
            effect,
        }],
        settled: vec![EffectId { seq: Seq(1), n: 0 }],
        answer: Some(Answer {
            key: "k".to_owned(),
            fingerprint: 1,
            reply: Bytes::new(),
        }),
        metadata: vec![("a".to_owned(), "b".to_owned())],
    };
    let mut frame = FrameWriter::new();
    frame.append(&real, Offset(1));
    let frame = frame.finish(9, 1, Offset(1)).to_vec();
    let body = written(&real, 1);
    let until = Instant::now() + Duration::from_secs(10);
    let mut survived = 0_u64;
    while Instant::now() < until {
        let mut bytes = match random.u8(..3) {
            0 => vec![0; random.usize(..200)],
            1 => body.to_vec(),
            _ => frame.clone(),
        };
        let changes = if bytes.first() == Some(&0) { 200 } else { 5 };
        for _ in 0..random.usize(1..=changes) {
            if let Some(at) = bytes.len().checked_sub(1).map(|last| random.usize(..=last)) {
                bytes[at] = random.u8(..);
            }
        }
        bytes.truncate(random.usize(..=bytes.len()));
        let header = FrameHeader::decode(&bytes);
        let _ = header.map(|header| header.records(&bytes).map(<[u8]>::len));
        let _ = SegmentHeader::decode(&bytes);
        let _ = RawRecord::decode(&bytes, random.usize(..300)).map(|record| record.checks_out());
        judge(&bytes, random.usize(..100), 9, 1);
        let _ = skim(Cursor(&bytes));
        let _ = read_commit(&Bytes::from(bytes), random.usize(..3));
        survived += 1;
    }
    assert!(survived > 1000);
}
