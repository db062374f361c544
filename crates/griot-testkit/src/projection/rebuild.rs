//! Rebuild: beside the live tables, compared, swapped, and without effects.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::num::NonZeroU32;
use std::sync::Arc;

use griot_core::{Publication, Seq};
use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions};
use griot_events::{Broker, DeadLetter, Incoming, Order, Router, Source, Subscription};
use griot_journal::MemoryJournal;
use griot_projection::{
    Comparison, Phase, Projection, ProjectionError, Rebuild, Recorded, State, Tx,
};
use tokio::time::timeout;

use super::stand::{LIMITS, SOON, Stand, fine, is, ledger, version_of_ledger};
use super::{Entry, ReadModelFactory};

const IDS: [&str; 3] = ["a", "b", "c"];

async fn begin<F: ReadModelFactory>(
    stand: &Stand<F>,
    projection: Projection<F::Target>,
) -> Rebuild<F::Target> {
    let begun = Rebuild::begin(Arc::clone(&stand.journal), stand.target.clone(), projection);
    begun.await.unwrap()
}

fn same(rows: u64) -> Vec<Comparison> {
    vec![Comparison {
        table: "ledger".to_owned(),
        live: rows,
        rebuilt: rows,
        only_live: 0,
        only_rebuilt: 0,
    }]
}

/// While the live one is read and written; its progress is told.
pub async fn g7_a_rebuild_beside_a_live_projection_is_compared_and_swapped<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 50).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    let mut rebuild = begin(&stand, ledger::<F>(fine)).await;
    stand.write(&IDS, 10).await;
    let mut told = Vec::new();
    rebuild
        .catch_up(|progress| told.push(progress))
        .await
        .unwrap();
    let last = told.last().unwrap();
    assert!(last.offset >= last.end && last.end.get() >= 150, "{told:?}");
    assert!(
        told.is_sorted_by_key(|progress| progress.offset),
        "{told:?}"
    );
    stand.until_shown(&IDS).await;
    let compared = rebuild.compare().await.unwrap();
    assert_eq!(compared, same(180));
    assert!(compared.iter().all(Comparison::is_same));
    rebuild.swap().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
    running.drain().await.unwrap();
}

/// What the tables know, that journal does not.
pub async fn g7_a_rebuild_from_another_journal_is_refused_and_leaves_the_live_tables<
    F: ReadModelFactory,
>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 10).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    let other = Arc::new(MemoryJournal::new());
    let begun = Rebuild::begin(other, stand.target.clone(), ledger::<F>(fine)).await;
    let swapped = begun.unwrap().swap().await;
    assert!(
        matches!(swapped, Err(ProjectionError::OtherJournal { .. })),
        "{swapped:?}"
    );
    stand.write(&IDS, 1).await;
    stand.until_shown(&IDS).await;
    assert_eq!(stand.entries().await, stand.all_events().await);
    running.drain().await.unwrap();
}

/// Again and again, while events come all the time.
pub async fn g7_a_live_projection_goes_on_after_a_swap_without_a_seam<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    let writing = async {
        for _ in 0..40 {
            stand.write(&IDS, 2).await;
            tokio::task::yield_now().await;
        }
    };
    let rebuilding = async {
        for _ in 0..3 {
            begin(&stand, ledger::<F>(fine)).await.swap().await.unwrap();
        }
    };
    tokio::join!(writing, rebuilding);
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// Rows that one of them lacks, rows that read otherwise.
pub async fn a_comparison_counts_what_differs<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 10).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    let enter = async |mut tx: Tx<F::Target>, Recorded(event): Recorded| {
        let mut entry = Entry::of(&event);
        if is(&event, "a", 1) {
            entry.payload.insert_str(0, "otherwise ");
        }
        // The last, so that a table may number its rows.
        if is(&event, "c", 10) {
            return Ok(());
        }
        let inserted = F::insert(&mut tx, entry).await;
        inserted.map_err(DeadLetter)
    };
    let other = Projection::new("ledger", 1, Router::new().on("account", enter));
    let mut rebuild = begin(&stand, other.with_tables(["ledger"]).with_limits(LIMITS)).await;
    let compared = rebuild.compare().await.unwrap();
    let expected = Comparison {
        rebuilt: 29,
        only_live: 2,
        only_rebuilt: 1,
        ..same(30).remove(0)
    };
    assert_eq!(compared, [expected]);
    rebuild.discard().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
    let mut anew = begin(&stand, ledger::<F>(fine)).await;
    assert_eq!(anew.compare().await.unwrap(), same(30));
}

/// What it had handled it does not handle again.
pub async fn an_interrupted_rebuild_goes_on_where_it_was<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 10).await;
    let running = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    let half = ledger::<F>(|event| {
        if event.offset.get() > 15 {
            return Err(DeadLetter("no farther").into());
        }
        Ok(())
    });
    let stopped = begin(&stand, half).await.catch_up(|_| ()).await;
    assert!(
        matches!(stopped, Err(ProjectionError::Held { .. })),
        "{stopped:?}"
    );
    let rest = ledger::<F>(|event| {
        assert!(event.offset.get() > 15, "it was handled before");
        Ok(())
    });
    let mut rebuild = begin(&stand, rest).await;
    rebuild.catch_up(|_| ()).await.unwrap();
    assert_eq!(rebuild.compare().await.unwrap(), same(30));
    rebuild.swap().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
}

/// And the old one is fenced by the swap.
pub async fn a_new_version_is_refused_until_it_is_rebuilt<F: ReadModelFactory>(factory: &F) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 10).await;
    let mut old = stand.start(&ledger::<F>(fine)).await;
    stand.until_shown(&IDS).await;
    let new = || version_of_ledger::<F>(2, fine);
    let refused = stand.try_start(&new()).await;
    assert!(
        matches!(refused, Err(ProjectionError::OtherVersion { .. })),
        "{refused:?}"
    );
    begin(&stand, new()).await.swap().await.unwrap();
    stand.write(&IDS, 1).await;
    let ended = old.ended().await;
    assert!(
        matches!(ended, Err(ProjectionError::Fenced { .. })),
        "{ended:?}"
    );
    let running = stand.start(&new()).await;
    stand.until_shown(&IDS).await;
    running.drain().await.unwrap();
    assert_eq!(stand.entries().await, stand.all_events().await);
    let standing = &stand.read_model().standing().await.unwrap()[0];
    assert_eq!((standing.version, &standing.state), (2, &State::Running));
}

/// It passed over events that the new one may be for.
pub async fn g7_a_new_version_is_refused_also_where_the_old_one_handled_nothing<
    F: ReadModelFactory,
>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    stand.write(&IDS, 3).await;
    let idle = Projection::new("ledger", 1, Router::new().on("nobody", async || ()));
    let running = stand.start(&idle.with_limits(LIMITS)).await;
    let (last, seq) = (crate::journal::entity("a"), Seq(3));
    let model = running.read_model().clone();
    model.wait_for(&last, seq, crate::LATE).await.unwrap();
    running.drain().await.unwrap();
    let refused = stand.try_start(&version_of_ledger::<F>(2, fine)).await;
    assert!(
        matches!(refused, Err(ProjectionError::OtherVersion { .. })),
        "{refused:?}"
    );
}

/// To more and to fewer; the runner of the others is fenced.
pub async fn g7_a_rebuild_deals_the_entities_to_another_number_of_slices<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    let ids: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    stand.write(&ids, 3).await;
    let in_slices = |count| ledger::<F>(fine).with_slices(NonZeroU32::new(count).unwrap());
    let mut running = stand.start(&in_slices(1)).await;
    let mut epoch = griot_core::Epoch::ZERO;
    for count in [4, 2, 5] {
        stand.until_shown(&ids).await;
        let mut rebuild = begin(&stand, in_slices(count)).await;
        rebuild.catch_up(|_| ()).await.unwrap();
        rebuild.swap().await.unwrap();
        stand.check().await;
        stand.write(&ids, 1).await;
        let ended = running.ended().await;
        assert!(
            matches!(ended, Err(ProjectionError::Fenced { .. })),
            "{ended:?}"
        );
        let standing = stand.read_model().standing().await.unwrap();
        assert_eq!(standing.len(), usize::try_from(count).unwrap());
        let lowest = standing
            .iter()
            .map(|standing| standing.epoch)
            .min()
            .unwrap();
        assert!(lowest > epoch, "{standing:?}");
        running = stand.start(&in_slices(count)).await;
        let standing = stand.read_model().standing().await.unwrap();
        epoch = standing
            .iter()
            .map(|standing| standing.epoch)
            .max()
            .unwrap();
        stand.write(&ids, 2).await;
    }
    stand.until_shown(&ids).await;
    running.drain().await.unwrap();
    stand.check().await;
}

/// Nor does a handler that asks in which phase it is.
pub async fn what_handlers_publish_goes_out_live_and_never_while_rebuilding<F: ReadModelFactory>(
    factory: &F,
) {
    let stand = Stand::open(factory).await;
    let broker = EmbeddedBroker::open(Arc::new(MemoryJournal::new()), EmbeddedOptions::default());
    let broker: Arc<dyn Broker> = Arc::new(broker.await.unwrap());
    let (mailed, letters) = tokio::sync::watch::channel(0_u32);
    let tell = move |mut tx: Tx<F::Target>, Recorded(event): Recorded, phase: Phase| {
        let mailed = mailed.clone();
        async move {
            let inserted = F::insert(&mut tx, Entry::of(&event)).await;
            inserted?;
            if phase == Phase::Live {
                mailed.send_modify(|count| *count += 1);
            }
            Ok::<_, String>(Publication {
                topic: "entered".to_owned(),
                key: None,
                headers: Vec::new(),
                payload: event.event.payload.clone(),
            })
        }
    };
    let projection = Projection::new("ledger", 1, Router::new().on("account", tell))
        .with_tables(["ledger"])
        .with_limits(LIMITS)
        .publishing_to(Arc::clone(&broker));
    let mut source = broker
        .subscribe(Subscription {
            topics: vec!["entered".to_owned()],
            group: "g".to_owned(),
            in_flight_max: 100,
            order: Order::PerKey,
        })
        .await
        .unwrap();
    stand.write(&["a"], 5).await;
    let running = stand.start(&projection).await;
    stand.seen("a", Seq(5)).await.unwrap();
    let mut rebuild = begin(&stand, projection.clone()).await;
    assert_eq!(rebuild.compare().await.unwrap(), same(5));
    rebuild.swap().await.unwrap();
    stand.write(&["a"], 1).await;
    stand.seen("a", Seq(6)).await.unwrap();
    running.drain().await.unwrap();
    assert_eq!(*letters.borrow(), 6);
    let mut out = Vec::new();
    while out.len() < 6 {
        out.push(next(&mut *source).await);
    }
    out.sort();
    let expected: Vec<_> = (1..=6)
        .map(|seq| (format!("ledger/account/a/{seq}/0"), format!("a:{seq}")))
        .collect();
    assert_eq!(out, expected);
    broker.close().await;
}

/// The id and the payload of the next message.
async fn next(source: &mut dyn Source) -> (String, String) {
    loop {
        let incoming = timeout(SOON, source.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        if let Incoming::Delivery(delivery) = incoming {
            let payload = String::from_utf8_lossy(delivery.event.payload()).into_owned();
            let id = delivery.event.id();
            delivery.receipt.ack().await.unwrap();
            return (id, payload);
        }
    }
}
