//! A workload whose every step follows from its seed, and what must be true of it afterwards.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use griot_core::{EntityId, Epoch, Offset, Seq, Timestamp};
use griot_journal::{
    Append, AppendError, Batch, EmbeddedLog, EventRecord, Filter, Journal, JournalError, Options,
    Preparation, SeqRange, ShardId,
};
use griot_testkit::SimDisk;
use griot_testkit::journal::entity;

pub(crate) const ROOT: &str = "/data";
pub(crate) const SEGMENT_BYTES: u64 = 4096;

pub(crate) fn open(disk: &SimDisk) -> Result<EmbeddedLog, JournalError> {
    let options = Options {
        segment_bytes: SEGMENT_BYTES,
        preparation: Preparation::WhenNeeded,
    };
    EmbeddedLog::open_on(Arc::new(disk.clone()), ROOT, options)
}

pub(crate) fn segment(number: u64) -> String {
    format!("{ROOT}/journal/{number:020}.log")
}

pub(crate) fn shard() -> ShardId {
    ShardId {
        kind: "account".into(),
        number: 0,
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Acknowledged,
    Refused,
    Unknown,
}

/// Everything that was asked of a journal, and what it answered.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) batches: Vec<(Arc<Batch>, Fate)>,
    pub(crate) epochs: Vec<Epoch>,
}

/// Runs the workload of a seed until it is through or the journal stops.
pub(crate) async fn run(disk: &SimDisk, seed: u64) -> Record {
    let mut record = Record::default();
    if let Ok(journal) = open(disk) {
        let random = fastrand::Rng::with_seed(seed);
        let mut run = Run {
            disk,
            journal,
            random,
            record,
            seqs: HashMap::new(),
        };
        run.rounds().await;
        record = run.record;
    }
    record
}

struct Run<'a> {
    disk: &'a SimDisk,
    journal: EmbeddedLog,
    random: fastrand::Rng,
    record: Record,
    /// Each entity's sequence as far as it was acknowledged.
    seqs: Seqs,
}

impl Run<'_> {
    async fn rounds(&mut self) {
        let Ok(mut epoch) = self.journal.claim(&shard()).await else {
            return;
        };
        self.record.epochs.push(epoch);
        for _ in 0..4 {
            if !self.round(epoch).await {
                return;
            }
            if self.random.u8(..4) == 0 {
                let Ok(next) = self.journal.claim(&shard()).await else {
                    return;
                };
                epoch = next;
                self.record.epochs.push(epoch);
            }
        }
        self.journal.close().await;
    }

    /// Gives the committer one batch, and then, while it writes that, some more, so that those
    /// share a frame. Says whether the journal goes on.
    async fn round(&mut self, epoch: Epoch) -> bool {
        let mut staged = self.seqs.clone();
        let count = self.random.usize(1..4);
        let batches: Vec<_> = (0..count).map(|_| self.batch(epoch, &mut staged)).collect();
        self.disk.hold();
        let mut given = Vec::new();
        for batch in &batches {
            given.push(self.journal.append(Arc::clone(batch)));
            self.disk.wait_until_held();
        }
        self.disk.release();
        let mut goes_on = true;
        let mut fates = Vec::new();
        for answer in given {
            fates.push(match answer.await {
                Ok(_) => Fate::Acknowledged,
                Err(AppendError::Unknown(_)) => {
                    goes_on = false;
                    Fate::Unknown
                }
                Err(AppendError::Refused(JournalError::Poisoned { .. })) => {
                    goes_on = false;
                    Fate::Refused
                }
                Err(_) => Fate::Refused,
            });
        }
        for (batch, fate) in batches.into_iter().zip(fates) {
            for append in batch.appends.iter().filter(|_| fate == Fate::Acknowledged) {
                let events = u64::try_from(append.events.len()).unwrap();
                *self.seqs.entry(append.entity.clone()).or_default() += events;
            }
            self.record.batches.push((batch, fate));
        }
        goes_on
    }

    fn batch(&mut self, epoch: Epoch, staged: &mut Seqs) -> Arc<Batch> {
        let number = self.record.batches.len() * 10 + staged.len();
        let count = self.random.usize(1..4);
        let appends = (0..count).map(|_| {
            let id = entity(["a", "b", "c"][self.random.usize(..3)]);
            let seq = staged.entry(id.clone()).or_default();
            let expected = Seq(*seq);
            let events: Vec<_> = (0..self.random.usize(..3))
                .map(|event| {
                    let mut payload = format!("batch {number}, event {event} ").into_bytes();
                    let filler = self.random.u8(..2) * b'x';
                    payload.resize(payload.len() + self.random.usize(..400), filler);
                    griot_testkit::journal::happened(payload)
                })
                .collect();
            *seq += u64::try_from(events.len()).unwrap();
            Append {
                events,
                expected,
                ..griot_testkit::journal::append_of(&id, 0, 0)
            }
        });
        Arc::new(Batch {
            shard: shard(),
            epoch,
            appends: appends.collect(),
        })
    }
}

/// Opens the journal, holds it to what was answered before, and goes on with it.
pub(crate) async fn check(disk: &SimDisk, record: &Record) {
    let (journal, seqs) = verify(disk, record).await;
    go_on(&journal, record, &seqs).await;
    journal.close().await;
}

/// Opens the journal and holds it to what was answered before.
pub(crate) async fn verify(disk: &SimDisk, record: &Record) -> (EmbeddedLog, Seqs) {
    let journal = open(disk).unwrap_or_else(|error| panic!("{error}\n{}", disk.trace().join("\n")));
    let tail = journal
        .tail(Offset::ZERO, &Filter::default(), usize::MAX)
        .await
        .unwrap();
    let mut events = tail.events.into_iter().peekable();
    let mut seqs = Seqs::new();
    for (batch, fate) in &record.batches {
        let expected: Vec<_> = batch.appends.iter().flat_map(happenings).collect();
        let is_next = expected.first().is_some_and(|(id, seq, event)| {
            events
                .peek()
                .is_some_and(|found| (&found.entity, found.seq, &found.event) == (id, *seq, event))
        });
        match fate {
            Fate::Acknowledged => assert!(is_next || expected.is_empty(), "{batch:?} is lost"),
            Fate::Refused => assert!(!is_next, "{batch:?} was refused and is there"),
            Fate::Unknown => {}
        }
        if is_next {
            for (id, seq, event) in expected {
                let found = events.next().expect("a batch is whole or absent");
                assert_eq!((&found.entity, found.seq, &found.event), (&id, seq, &event));
                seqs.insert(id, seq.get());
            }
        }
    }
    assert_eq!(events.next(), None, "nothing is there that was not given");
    for (id, seq) in &seqs {
        assert_eq!(journal.last_seq(id).await.unwrap(), Seq(*seq));
        let events = journal.events(id, SeqRange::ALL).await.unwrap();
        assert_eq!(events.len(), usize::try_from(*seq).unwrap());
    }
    (journal, seqs)
}

/// Each entity's sequence.
pub(crate) type Seqs = HashMap<EntityId, u64>;

/// A journal that was recovered takes appends again.
async fn go_on(journal: &EmbeddedLog, record: &Record, seqs: &Seqs) {
    let epoch = journal.claim(&shard()).await.unwrap();
    assert!(record.epochs.iter().all(|before| *before < epoch));
    let id = entity("a");
    let expected = seqs.get(&id).copied().unwrap_or(0);
    let append = griot_testkit::journal::append_of(&id, expected, 1);
    let batch = Batch {
        shard: shard(),
        epoch,
        appends: vec![append],
    };
    journal.append(Arc::new(batch)).await.unwrap();
}

fn happenings(append: &Append) -> impl Iterator<Item = (EntityId, Seq, EventRecord)> {
    let first = append.expected.get() + 1;
    (first..)
        .zip(&append.events)
        .map(|(seq, event)| (append.entity.clone(), Seq(seq), event.clone()))
}

/// An append of one event to an entity.
pub(crate) fn one(id: &str, expected: u64, payload: impl Into<Bytes>) -> Append {
    Append {
        entity: entity(id),
        expected: Seq(expected),
        at: Timestamp::from_micros(1),
        events: vec![griot_testkit::journal::happened(payload)],
        effects: Vec::new(),
        settled: Vec::new(),
        answer: None,
        metadata: Vec::new(),
    }
}

/// Appends as one batch, under a new epoch.
pub(crate) async fn write(journal: &EmbeddedLog, appends: Vec<Append>) -> Result<(), AppendError> {
    let epoch = journal
        .claim(&shard())
        .await
        .map_err(AppendError::Refused)?;
    write_as(journal, epoch, appends).await
}

/// Appends as one batch.
pub(crate) async fn write_as(
    journal: &EmbeddedLog,
    epoch: Epoch,
    appends: Vec<Append>,
) -> Result<(), AppendError> {
    let batch = Batch {
        shard: shard(),
        epoch,
        appends,
    };
    journal.append(Arc::new(batch)).await.map(drop)
}
