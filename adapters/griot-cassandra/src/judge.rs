//! What becomes of batches, given what is stored. Pure.

use std::collections::HashMap;

use griot_core::{EntityId, Epoch, Offset, Seq};
use griot_journal::adapter::Outcome;
use griot_journal::{Answer, Append, AppendError, Appended, Batch, ShardId};

/// What is stored of the shards, entities and keys of some batches.
#[derive(Debug, Default)]
pub(crate) struct Known<'a> {
    pub(crate) epochs: HashMap<&'a ShardId, Epoch>,
    pub(crate) seqs: HashMap<&'a EntityId, Seq>,
    pub(crate) answers: HashMap<(&'a EntityId, &'a str), Answer>,
}

/// What becomes of them.
#[derive(Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) outcomes: Vec<Outcome>,
    /// The appends to store, by their places among all.
    pub(crate) taken: Vec<(usize, &'a Append)>,
    /// The journal's, after them.
    pub(crate) last_offset: Offset,
}

/// One batch after the other, each wholly or not at all.
pub(crate) fn judge<'a>(
    batches: &[&'a Batch],
    mut known: Known<'a>,
    last_offset: Offset,
) -> Judged<'a> {
    let (mut outcomes, mut taken) = (Vec::with_capacity(batches.len()), Vec::new());
    let (mut last_offset, mut place) = (last_offset.get(), 0_usize);
    for &batch in batches {
        let outcome = known.check(batch).map(|seqs| {
            known.seqs.extend(seqs);
            for append in &batch.appends {
                if let Some(answer) = &append.answer {
                    let key = (&append.entity, &*answer.key);
                    known.answers.insert(key, answer.clone());
                }
                last_offset = last_offset.saturating_add(count(append));
            }
            taken.extend((place..).zip(&batch.appends));
            Appended {
                last_offset: Offset(last_offset),
            }
        });
        place = place.saturating_add(batch.appends.len());
        outcomes.push(outcome);
    }
    Judged {
        outcomes,
        taken,
        last_offset: Offset(last_offset),
    }
}

pub(crate) fn count(append: &Append) -> u64 {
    u64::try_from(append.events.len()).unwrap_or(u64::MAX)
}

impl<'a> Known<'a> {
    /// The sequences that the batch's entities would have.
    fn check(&self, batch: &'a Batch) -> Result<HashMap<&'a EntityId, Seq>, AppendError> {
        let current = self.epochs.get(&batch.shard).copied();
        let current = current.unwrap_or(Epoch::ZERO);
        if current != batch.epoch {
            return Err(AppendError::Fenced {
                shard: batch.shard.clone(),
                held: batch.epoch,
                current,
            });
        }
        let mut seqs = HashMap::new();
        for append in &batch.appends {
            let entity = &append.entity;
            let key = append.answer.as_ref().map(|answer| &*answer.key);
            if let Some(first) = key.and_then(|key| self.answers.get(&(entity, key))) {
                return Err(AppendError::Answered {
                    entity: entity.clone(),
                    answer: first.clone(),
                });
            }
            let actual = seqs.get(entity).or_else(|| self.seqs.get(entity));
            let actual = actual.copied().unwrap_or(Seq::ZERO);
            if actual != append.expected {
                return Err(AppendError::Conflict {
                    entity: entity.clone(),
                    expected: append.expected,
                    actual,
                });
            }
            seqs.insert(entity, Seq(actual.get().saturating_add(count(append))));
        }
        Ok(seqs)
    }
}

#[cfg(test)]
mod tests {
    use griot_core::Timestamp;
    use griot_journal::EventRecord;

    use super::*;

    fn append(entity: &str, expected: u64, key: &str) -> Append {
        let event = EventRecord {
            name: "Happened".into(),
            version: 1,
            tags: Vec::new(),
            payload: bytes::Bytes::new(),
        };
        Append {
            entity: entity.parse().unwrap(),
            expected: Seq(expected),
            at: Timestamp::from_micros(0),
            events: vec![event],
            effects: Vec::new(),
            settled: Vec::new(),
            answer: (!key.is_empty()).then(|| Answer {
                key: key.to_owned(),
                fingerprint: expected,
                reply: bytes::Bytes::new(),
            }),
            metadata: Vec::new(),
        }
    }

    fn batch(appends: Vec<Append>) -> Batch {
        Batch {
            shard: ShardId {
                kind: "account".into(),
                number: 0,
            },
            epoch: Epoch(1),
            appends,
        }
    }

    fn judged(batches: &[Batch]) -> (Vec<Outcome>, Vec<usize>, Offset) {
        let batches: Vec<_> = batches.iter().collect();
        let mut known = Known::default();
        known.epochs.insert(&batches[0].shard, Epoch(1));
        let judged = judge(&batches, known, Offset(10));
        let places = judged.taken.iter().map(|&(place, _)| place).collect();
        (judged.outcomes, places, judged.last_offset)
    }

    #[test]
    fn a_batch_rests_on_those_before_it_and_one_that_is_wrong_leaves_nothing() {
        let (outcomes, places, last_offset) = judged(&[
            batch(vec![append("account/a", 0, ""), append("account/a", 1, "")]),
            batch(vec![append("account/b", 0, ""), append("account/a", 1, "")]),
            batch(vec![append("account/b", 0, ""), append("account/a", 2, "")]),
        ]);
        let offsets: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().ok().map(|it| it.last_offset.get()))
            .collect();
        assert_eq!(offsets, [Some(12), None, Some(14)]);
        assert_eq!((places, last_offset), (vec![0, 1, 4, 5], Offset(14)));
        assert!(matches!(
            outcomes[1],
            Err(AppendError::Conflict { actual: Seq(2), .. })
        ));
    }

    #[test]
    fn a_key_is_answered_by_the_first_batch_that_was_taken_with_it() {
        let (outcomes, ..) = judged(&[
            batch(vec![append("account/a", 7, "k")]),
            batch(vec![append("account/a", 0, "k")]),
            batch(vec![append("account/a", 0, "k")]),
            batch(vec![append("account/b", 0, "k")]),
        ]);
        assert!(matches!(outcomes[0], Err(AppendError::Conflict { .. })));
        assert!(outcomes[1].is_ok() && outcomes[3].is_ok());
        let Err(AppendError::Answered { answer, .. }) = &outcomes[2] else {
            panic!("{:?}", outcomes[2])
        };
        assert_eq!(answer.fingerprint, 0);
    }

    #[test]
    fn an_epoch_that_is_not_the_shards_is_fenced() {
        let mut stale = batch(vec![append("account/a", 0, "")]);
        let current = stale.clone();
        stale.epoch = Epoch(2);
        let (outcomes, places, _) = judged(&[current, stale]);
        assert!(
            matches!(outcomes[1], Err(AppendError::Fenced { current, .. }) if current == Epoch(1))
        );
        assert_eq!(places, [0]);
    }
}
