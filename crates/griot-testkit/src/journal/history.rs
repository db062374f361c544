//! Histories of concurrent appends and reads, and whether one order explains them.
//!
//! An entity's stream is a register that only grows: each append moves it from one sequence to the
//! next, each read and each conflict shows one. So a history is linearizable exactly where every
//! operation agrees with the stream as it stands in the end, and no operation that began after
//! another had ended shows, or starts from, an earlier sequence.
//! (Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects", 1990.)

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use griot_core::{EntityId, Seq};
use griot_journal::{AppendError, Journal, SeqRange};

use super::{Writer, append_of, entity, happened};

const CLIENTS: u64 = 6;
const OPERATIONS: u64 = 25;
const ENTITIES: usize = 3;

pub(super) struct History {
    entities: Vec<EntityId>,
    operations: Vec<Operation>,
}

struct Operation {
    entity: usize,
    began: u64,
    ended: u64,
    saw: Saw,
}

enum Saw {
    /// It moved the stream from the sequence before this one to this one, by this payload.
    Appended(u64, String),
    /// It found the stream at this sequence, and these payloads in it, if it looked.
    Found(u64, Option<Vec<String>>),
}

impl History {
    pub(super) async fn record(journal: &Arc<dyn Journal>, seed: u64) -> Self {
        let writer = Writer::claim(journal).await.unwrap();
        let ids = (0..ENTITIES).map(|number| entity(&format!("history {seed} of {number}")));
        let entities: Vec<_> = ids.collect();
        let clock = Arc::new(AtomicU64::new(0));
        let clients = (0..CLIENTS).map(|client| {
            let client = Client {
                writer: writer.clone(),
                entities: entities.clone(),
                clock: Arc::clone(&clock),
                random: fastrand::Rng::with_seed(seed * CLIENTS + client),
                known: vec![0; ENTITIES],
                name: client,
            };
            tokio::spawn(client.run())
        });
        let mut operations = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            operations.extend(client.await.unwrap());
        }
        Self {
            entities,
            operations,
        }
    }

    pub(super) async fn check(&self, journal: &Arc<dyn Journal>) {
        for (number, id) in self.entities.iter().enumerate() {
            let events = journal.events(id, SeqRange::ALL).await.unwrap();
            let stream: Vec<String> = events
                .iter()
                .map(|event| String::from_utf8_lossy(&event.event.payload).into_owned())
                .collect();
            let own = self
                .operations
                .iter()
                .filter(|operation| operation.entity == number);
            let own: Vec<_> = own.collect();
            let mut acknowledged = 0;
            for operation in &own {
                match &operation.saw {
                    Saw::Appended(seq, payload) => {
                        acknowledged += 1;
                        let at = usize::try_from(*seq).unwrap() - 1;
                        assert_eq!(stream.get(at), Some(payload), "{id} at {seq}");
                    }
                    Saw::Found(seq, Some(payloads)) => {
                        let seen = stream.get(..usize::try_from(*seq).unwrap());
                        assert_eq!(seen, Some(payloads.as_slice()), "{id} at {seq}");
                    }
                    Saw::Found(..) => {}
                }
            }
            assert_eq!(
                acknowledged,
                stream.len(),
                "{id}: each event was acknowledged once"
            );
            check_order(&own);
        }
    }
}

/// No operation that began after another had ended starts from an earlier sequence.
fn check_order(operations: &[&Operation]) {
    for first in operations {
        for second in operations
            .iter()
            .filter(|second| second.began > first.ended)
        {
            let (Saw::Appended(left, _) | Saw::Found(left, _)) = &first.saw;
            let starts_from = match &second.saw {
                Saw::Appended(seq, _) => seq - 1,
                Saw::Found(seq, _) => *seq,
            };
            assert!(starts_from >= *left, "{starts_from} was seen after {left}");
        }
    }
}

struct Client {
    writer: Writer,
    entities: Vec<EntityId>,
    clock: Arc<AtomicU64>,
    random: fastrand::Rng,
    known: Vec<u64>,
    name: u64,
}

impl Client {
    async fn run(mut self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for number in 0..OPERATIONS {
            let entity = self.random.usize(..ENTITIES);
            let began = self.clock.fetch_add(1, Ordering::SeqCst);
            let saw = if self.random.u8(..3) == 0 {
                self.read(entity).await
            } else {
                self.append(entity, number).await
            };
            let ended = self.clock.fetch_add(1, Ordering::SeqCst);
            let (Saw::Appended(seq, _) | Saw::Found(seq, _)) = &saw;
            *self.known.get_mut(entity).unwrap() = *seq;
            operations.push(Operation {
                entity,
                began,
                ended,
                saw,
            });
        }
        operations
    }

    async fn read(&self, entity: usize) -> Saw {
        let id = self.entities.get(entity).unwrap();
        let events = self.writer.events(id, SeqRange::ALL).await.unwrap();
        let seq = events.last().map_or(Seq::ZERO, |event| event.seq);
        let payloads = events
            .iter()
            .map(|event| String::from_utf8_lossy(&event.event.payload).into_owned());
        Saw::Found(seq.get(), Some(payloads.collect()))
    }

    async fn append(&self, entity: usize, number: u64) -> Saw {
        let expected = *self.known.get(entity).unwrap();
        let payload = format!("{} of client {}", number, self.name);
        let mut append = append_of(self.entities.get(entity).unwrap(), expected, 0);
        append.events = vec![happened(payload.clone())];
        match self.writer.append(vec![append]).await {
            Ok(_) => Saw::Appended(expected + 1, payload),
            Err(AppendError::Conflict { actual, .. }) => Saw::Found(actual.get(), None),
            Err(other) => panic!("{other}"),
        }
    }
}
