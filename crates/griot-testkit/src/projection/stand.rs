//! A journal, a read model, and a projection between them that writes one row for each event.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::sync::Arc;
use std::time::Duration;

use griot_core::{EntityId, Offset, Seq};
use griot_events::{Failure, Router};
use griot_journal::{Filter, Journal, MemoryJournal, RecordedEvent};
use griot_projection::{
    Limits, Projection, ProjectionError, ReadModel, Recorded, Runner, Running, Tx,
};

use super::{Entry, ReadModelFactory};
use crate::journal::{Writer, append_of, entity};

/// How long anything may take.
pub(super) const SOON: Duration = Duration::from_mins(1);

pub(super) const LIMITS: Limits = Limits {
    batch_events_max: 7,
    attempts_max: 3,
    pause_first: Duration::from_millis(1),
    pause_max: Duration::from_millis(4),
    look: Duration::from_millis(20),
};

pub(super) struct Stand<F: ReadModelFactory> {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) writer: Writer,
    pub(super) target: F::Target,
}

impl<F: ReadModelFactory> Stand<F> {
    pub(super) async fn open(factory: &F) -> Self {
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        Self {
            writer: Writer::claim(&journal).await.unwrap(),
            journal,
            target: factory.open().await,
        }
    }

    /// Appends so many events to each entity, in turns.
    pub(super) async fn write(&self, ids: &[&str], events: u64) {
        self.write_of("account", ids, events).await;
    }

    pub(super) async fn write_of(&self, kind: &str, ids: &[&str], events: u64) {
        for _ in 0..events {
            for id in ids {
                let entity = EntityId::new(kind, id).unwrap();
                let last = self.journal.last_seq(&entity).await.unwrap().get();
                let append = append_of(&entity, last, 1);
                self.writer.append(vec![append]).await.unwrap();
            }
        }
    }

    pub(super) async fn start(&self, projection: &Projection<F::Target>) -> Running<F::Target> {
        self.try_start(projection).await.unwrap()
    }

    pub(super) async fn try_start(
        &self,
        projection: &Projection<F::Target>,
    ) -> Result<Running<F::Target>, ProjectionError> {
        let runner = Runner::new(Arc::clone(&self.journal), self.target.clone());
        runner.start(projection).await
    }

    /// The read model, as another process holds it.
    pub(super) fn read_model(&self) -> ReadModel<F::Target> {
        ReadModel::new(Arc::clone(&self.journal), self.target.clone(), "ledger")
    }

    /// Waits until all that was written so far of these is shown.
    pub(super) async fn until_shown(&self, ids: &[&str]) {
        for id in ids {
            let last = self.journal.last_seq(&entity(id)).await.unwrap();
            self.seen(id, last).await.unwrap();
        }
    }

    pub(super) async fn seen(&self, id: &str, seq: Seq) -> Result<(), ProjectionError> {
        self.read_model().wait_for(&entity(id), seq, SOON).await
    }

    pub(super) async fn entries(&self) -> Vec<Entry> {
        F::entries(&self.target).await
    }

    /// What the table is to hold: one row for each event of the journal, in its order.
    pub(super) async fn all_events(&self) -> Vec<Entry> {
        let everything = Filter::default();
        let page = self
            .journal
            .tail(Offset::ZERO, &everything, usize::MAX)
            .await;
        page.unwrap().events.iter().map(Entry::of).collect()
    }

    /// Each event is shown exactly once; those of an entity in order.
    pub(super) async fn check(&self) {
        let (mut shown, mut all) = (self.entries().await, self.all_events().await);
        // Slices go on side by side: the order is that of an entity.
        shown.sort_by(|one, other| one.entity.cmp(&other.entity));
        all.sort_by(|one, other| one.entity.cmp(&other.entity));
        assert_eq!(shown, all);
    }

    /// Waits until it is so.
    pub(super) async fn until<Done: Future<Output = bool>>(&self, done: impl Fn() -> Done) {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let waiting = async {
            while !done().await {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(SOON, waiting).await.unwrap();
    }
}

/// A projection that writes a row for each event, and then does to it what `trouble` says.
pub(super) fn ledger<F: ReadModelFactory>(
    trouble: impl Fn(&RecordedEvent) -> Result<(), Failure> + Clone + Send + Sync + 'static,
) -> Projection<F::Target> {
    version_of_ledger::<F>(1, trouble)
}

pub(super) fn version_of_ledger<F: ReadModelFactory>(
    version: u32,
    trouble: impl Fn(&RecordedEvent) -> Result<(), Failure> + Clone + Send + Sync + 'static,
) -> Projection<F::Target> {
    let enter = move |mut tx: Tx<F::Target>, Recorded(event): Recorded| {
        let trouble = trouble.clone();
        async move {
            let inserted = F::insert(&mut tx, Entry::of(&event)).await;
            inserted?;
            trouble(&event)
        }
    };
    let router = Router::new().on("account", enter);
    Projection::new("ledger", version, router)
        .with_tables(["ledger"])
        .with_limits(LIMITS)
}

/// No trouble.
#[expect(clippy::unnecessary_wraps, reason = "there might be some")]
pub(super) fn fine(_: &RecordedEvent) -> Result<(), Failure> {
    Ok(())
}

/// Whether it is this event.
pub(super) fn is(event: &RecordedEvent, id: &str, seq: u64) -> bool {
    event.entity == entity(id) && event.seq == Seq(seq)
}

/// The entity's name in the table.
pub(super) fn name(id: &str) -> String {
    let entity: EntityId = entity(id);
    entity.to_string()
}
