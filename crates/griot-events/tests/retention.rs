//! What the embedded broker deletes, and what it never does.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use griot_core::Seq;
use griot_events::Broker;
use griot_events::embedded::{EmbeddedBroker, EmbeddedOptions, Retention, Unacknowledged};
use griot_journal::{Journal, MemoryJournal, SeqRange};
use griot_testkit::BrokerFactory;
use griot_testkit::broker::Bench;

struct Keeps {
    journal: Arc<MemoryJournal>,
    retention: Retention,
}

impl BrokerFactory for Keeps {
    async fn open(&self) -> Arc<dyn Broker> {
        let journal: Arc<dyn Journal> = Arc::clone(&self.journal) as _;
        let options = EmbeddedOptions {
            retention: self.retention,
            ..EmbeddedOptions::default()
        };
        Arc::new(EmbeddedBroker::open(journal, options).await.unwrap())
    }
}

impl Keeps {
    fn new(retention: Retention) -> Self {
        let journal = Arc::default();
        Self { journal, retention }
    }

    /// Messages that are kept, in all topics.
    async fn kept(&self) -> usize {
        let mut kept = 0;
        for entity in self
            .journal
            .entities(Some("griot.topic"), None, 100)
            .await
            .unwrap()
        {
            let all = SeqRange {
                from: Seq(1),
                to: Seq(u64::MAX),
                limit: 1_000,
            };
            kept += self.journal.events(&entity, all).await.unwrap().len();
        }
        kept
    }

    /// Lets the broker look twice, and says what is kept then.
    async fn kept_in_the_end(&self) -> usize {
        for _ in 0..2 {
            tokio::time::advance(Duration::from_mins(1)).await;
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        }
        self.kept().await
    }
}

const TWO: Retention = Retention {
    age_max: None,
    messages_max: Some(2),
    unacknowledged: Unacknowledged::Kept,
};

/// Publishes ten messages, and has a group acknowledge them.
async fn with_ten(factory: &Keeps) -> Bench {
    let bench = Bench::open(factory).await;
    bench.publish("orders", "k", 0..10).await;
    acknowledge(&bench, "g", 10).await;
    bench
}

async fn acknowledge(bench: &Bench, group: &str, count: usize) -> Vec<u64> {
    let (consuming, seen) = bench.watch("orders", group).await;
    seen.until_different(count).await;
    consuming.until_in_flight(0).await;
    seen.numbers("k")
}

#[tokio::test(start_paused = true)]
async fn by_default_all_is_kept() {
    let factory = Keeps::new(Retention::default());
    let _bench = with_ten(&factory).await;
    assert_eq!(factory.kept_in_the_end().await, 10);
}

#[tokio::test(start_paused = true)]
async fn what_all_groups_acknowledged_goes_but_for_the_newest() {
    let factory = Keeps::new(TWO);
    let bench = with_ten(&factory).await;
    assert_eq!(factory.kept_in_the_end().await, 2);
    assert_eq!(acknowledge(&bench, "new", 2).await, [8, 9]);
    bench.publish("orders", "k", 10..13).await;
    assert_eq!(acknowledge(&bench, "g", 3).await, [10, 11, 12]);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_goes_and_what_is_not_stays() {
    for (age_max, kept) in [(Duration::ZERO, 0), (Duration::from_hours(1), 10)] {
        let factory = Keeps::new(Retention {
            age_max: Some(age_max),
            ..Retention::default()
        });
        let bench = with_ten(&factory).await;
        assert_eq!(factory.kept_in_the_end().await, kept);
        bench.publish("orders", "k", [10]).await;
        assert_eq!(acknowledge(&bench, "g", 1).await, [10]);
    }
}

/// Though it never acknowledged anything, has no member, and the broker was opened anew.
#[tokio::test(start_paused = true)]
async fn nothing_goes_that_a_group_has_not_acknowledged() {
    let factory = Keeps::new(TWO);
    let bench = Bench::open(&factory).await;
    bench.publish("orders", "k", 0..10).await;
    drop(bench.subscribe("orders", "slow").await);
    let bench = bench.close_and_open(&factory).await;
    acknowledge(&bench, "g", 10).await;
    assert_eq!(factory.kept_in_the_end().await, 10);
    assert_eq!(
        acknowledge(&bench, "slow", 10).await,
        (0..10).collect::<Vec<_>>()
    );
    assert_eq!(factory.kept_in_the_end().await, 2);
}

#[tokio::test(start_paused = true)]
async fn told_so_it_deletes_what_a_group_has_not_acknowledged_and_the_group_goes_on_behind_it() {
    let factory = Keeps::new(Retention {
        unacknowledged: Unacknowledged::Deleted,
        ..TWO
    });
    let bench = Bench::open(&factory).await;
    drop(bench.subscribe("orders", "slow").await);
    bench.publish("orders", "k", 0..10).await;
    assert_eq!(factory.kept_in_the_end().await, 2);
    assert_eq!(acknowledge(&bench, "slow", 2).await, [8, 9]);
    let bench = bench.close_and_open(&factory).await;
    bench.publish("orders", "k", [10]).await;
    assert_eq!(acknowledge(&bench, "slow", 1).await, [10]);
}
