//! The list of orders, a table: how it is made, kept and read.

use crate::order::{Order, OrderEvent, OrderState};
use crate::summary::Summary;
use griot::core::{Entity, Offset, Seq};
use griot::events::{Batch, Failure, Router};
use griot::projection::{Happened, Phase, Poison, Projection, ProjectionError, Recorded, Tx};
use griot::sql::{Dialect, Migrations, Sql, SqlConnection, SqlTarget};
use sqlx::any::AnyRow;
use sqlx::{Any, QueryBuilder, Row};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

/// The projection's name. Stored.
const NAME: &str = "orders-list";

/// Events that are taken in at once: as many as there are, since nothing is waited for.
const BATCH: Batch = Batch {
    events_max: 1_000,
    wait_max: Duration::ZERO,
};

/// `placed_at` is RFC 3339, in UTC, so that it sorts by time; `progress` is JSON and nobody else's.
const TABLE: Sql = Sql::new(
    "CREATE TABLE orders (id VARCHAR(36) PRIMARY KEY, placed_at VARCHAR(40) NOT NULL, state VARCHAR(16) NOT NULL, \
     seq BIGINT NOT NULL, customer TEXT NOT NULL, customer_name TEXT, merchant TEXT NOT NULL, \
     merchant_name TEXT, total BIGINT, progress TEXT NOT NULL)",
)
.on_postgres(
    "CREATE TABLE orders (id VARCHAR(36) COLLATE \"C\" PRIMARY KEY, placed_at VARCHAR(40) COLLATE \"C\" NOT NULL, \
     state VARCHAR(16) NOT NULL, seq BIGINT NOT NULL, customer TEXT NOT NULL, customer_name TEXT, \
     merchant TEXT NOT NULL, merchant_name TEXT, total BIGINT, progress TEXT NOT NULL)",
)
.on_mysql(
    "CREATE TABLE orders (id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin PRIMARY KEY, \
     placed_at VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, \
     state VARCHAR(16) CHARACTER SET ascii NOT NULL, seq BIGINT NOT NULL, \
     customer VARCHAR(255) NOT NULL, customer_name LONGTEXT, merchant VARCHAR(255) NOT NULL, \
     merchant_name LONGTEXT, total BIGINT, progress LONGTEXT NOT NULL) \
     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
);

/// What every page is read by: the newest first, of all and of some.
const INDEXES: [Sql; 4] = [
    Sql::new("CREATE INDEX orders_by_age ON orders (placed_at, id)"),
    Sql::new("CREATE INDEX orders_by_state ON orders (state, placed_at, id)"),
    Sql::new("CREATE INDEX orders_by_customer ON orders (customer, placed_at, id)"),
    Sql::new("CREATE INDEX orders_by_merchant ON orders (merchant, placed_at, id)"),
];

const INSERT: &str = "INSERT INTO orders (id, placed_at, state, seq, customer, customer_name, merchant, \
                      merchant_name, total, progress) ";

/// What of an order changes.
const OR_UPDATE: Sql = Sql::new(
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, seq = excluded.seq, \
     customer_name = excluded.customer_name, merchant_name = excluded.merchant_name, \
     total = excluded.total, progress = excluded.progress",
)
.on_mysql(
    " ON DUPLICATE KEY UPDATE state = VALUES(state), seq = VALUES(seq), \
     customer_name = VALUES(customer_name), merchant_name = VALUES(merchant_name), \
     total = VALUES(total), progress = VALUES(progress)",
);

/// Not `state`, which follows from `progress`.
const SELECT: &str = "SELECT id, placed_at, seq, customer, customer_name, merchant, merchant_name, total, \
                      progress FROM orders WHERE ";

/// What makes the table.
pub(crate) fn tables() -> Migrations {
    Migrations::new("orders", [TABLE].into_iter().chain(INDEXES))
}

/// What keeps it; what happens behind `began` is counted.
pub(crate) fn projection(began: Offset) -> Projection<SqlTarget> {
    let keep = async move |tx: Tx<SqlTarget>,
                           phase: Phase,
                           recorded: Vec<Recorded>,
                           events: Vec<Happened<OrderEvent>>| {
        let counted = |event: &&Recorded| phase == Phase::Live && event.0.offset > began;
        let counted = recorded.iter().filter(counted);
        let names: Vec<_> = counted
            .map(|event| event.0.event.name.to_string())
            .collect();
        tx.after_commit(|| {
            for name in names {
                metrics::counter!("orders_events_total", "event" => name).increment(1);
            }
        });
        keep(tx, &recorded, &events).await
    };
    // An order that this program cannot read is left out, and the others are listed.
    Projection::new(NAME, 1, Router::new().on_batch(Order::KIND, BATCH, keep))
        .with_tables(["orders"])
        .with_poison(Poison::Park)
}

/// Takes in what happened: each order is read once, and written once.
async fn keep(
    mut tx: Tx<SqlTarget>,
    recorded: &[Recorded],
    events: &[Happened<OrderEvent>],
) -> Result<(), Failure> {
    let mut changed: BTreeMap<&str, Option<Summary>> = BTreeMap::new();
    for (Recorded(recorded), Happened(event)) in recorded.iter().zip(events) {
        let id = recorded.entity.id();
        let new = match event {
            OrderEvent::OrderPlaced(placed) => Some(Summary::of(id, placed)),
            _ => None,
        };
        changed.entry(id).or_insert(new);
    }
    let known = changed.iter().filter(|(_, new)| new.is_none());
    let known: Vec<&str> = known.map(|(id, _)| *id).collect();
    for summary in load(&mut tx, &known).await? {
        if let Some(row) = changed.get_mut(summary.id.as_str()) {
            *row = Some(summary);
        }
    }
    for (Recorded(recorded), Happened(event)) in recorded.iter().zip(events) {
        if let Some(Some(summary)) = changed.get_mut(recorded.entity.id()) {
            summary.apply(recorded.seq, event);
        }
    }
    if let Some((id, _)) = changed.iter().find(|(_, summary)| summary.is_none()) {
        return Err(Failure::DeadLetter {
            reason: format!("order {id} has no row: rebuild the list"),
        });
    }
    store(&mut tx, changed.into_values().flatten()).await
}

async fn load(tx: &mut SqlConnection, ids: &[&str]) -> Result<Vec<Summary>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<Any>::new(SELECT);
    let mut list = select.push("id IN (").separated(", ");
    for id in ids {
        list.push_bind((*id).to_owned());
    }
    list.push_unseparated(")");
    let rows = select.build().fetch_all(tx).await?;
    rows.iter().map(summary).collect()
}

async fn store(
    tx: &mut SqlConnection,
    summaries: impl Iterator<Item = Summary>,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for summary in summaries {
        rows.push((serde_json::to_string(&summary.progress)?, summary));
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut insert = QueryBuilder::<Any>::new(INSERT);
    insert.push_values(rows, |mut row, (progress, summary)| {
        // Not every database has the character, and a backend's name might.
        let plain = |name: String| name.replace('\0', "\u{fffd}");
        row.push_bind(summary.id.clone())
            .push_bind(summary.placed_at.to_string())
            .push_bind(summary.state().name())
            .push_bind(summary.seq.get().cast_signed())
            .push_bind(summary.customer.0)
            .push_bind(summary.customer.1.map(plain))
            .push_bind(summary.merchant.0)
            .push_bind(summary.merchant.1.map(plain))
            .push_bind(summary.total)
            .push_bind(progress);
    });
    insert.push(OR_UPDATE.text(tx.dialect()));
    insert.build().execute(tx).await?;
    Ok(())
}

/// Which orders to list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) state: Option<OrderState>,
    pub(crate) customer: Option<String>,
    pub(crate) merchant: Option<String>,
    /// Only those older than this one.
    pub(crate) after: Option<Uuid>,
    pub(crate) limit: usize,
}

/// Those that `query` asks for, newest first; `None` where the one to go on after is not listed.
pub(crate) async fn page(
    target: &SqlTarget,
    query: &Query,
) -> Result<Option<Vec<Summary>>, ProjectionError> {
    let mut reading = target.read().await?;
    let found = find(&mut reading, query).await;
    found.map_err(ProjectionError::target)
}

async fn find(
    reading: &mut SqlConnection,
    query: &Query,
) -> Result<Option<Vec<Summary>>, sqlx::Error> {
    let mut select = QueryBuilder::<Any>::new(SELECT);
    select.push("1 = 1");
    if let Some(state) = query.state {
        select.push(" AND state = ").push_bind(state.name());
    }
    for (column, id) in [("customer", &query.customer), ("merchant", &query.merchant)] {
        if let Some(id) = id {
            select
                .push(format!(" AND {column} = "))
                .push_bind(id.clone());
            if reading.dialect() == Dialect::Mysql {
                // By the index, `A` is also `A `: MariaDB compares as if both had spaces behind.
                select.push(format!(" AND CAST({column} AS BINARY) = CAST("));
                select.push_bind(id.clone()).push(" AS BINARY)");
            }
        }
    }
    if let Some(after) = query.after {
        let after = after.to_string();
        let placed_at = sqlx::query_scalar("SELECT placed_at FROM orders WHERE id = ?");
        let placed_at: Option<String> = placed_at
            .bind(after.clone())
            .fetch_optional(&mut *reading)
            .await?;
        let Some(placed_at) = placed_at else {
            return Ok(None);
        };
        // The first of the two is what the index is searched by.
        select
            .push(" AND placed_at <= ")
            .push_bind(placed_at.clone());
        select.push(" AND (placed_at < ").push_bind(placed_at);
        select.push(" OR id < ").push_bind(after).push(")");
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    select
        .push(" ORDER BY placed_at DESC, id DESC LIMIT ")
        .push_bind(limit);
    let rows = select.build().fetch_all(reading).await?;
    rows.iter().map(summary).collect::<Result<_, _>>().map(Some)
}

fn summary(row: &AnyRow) -> Result<Summary, sqlx::Error> {
    let progress: String = row.try_get("progress")?;
    let placed_at: String = row.try_get("placed_at")?;
    let seq: i64 = row.try_get("seq")?;
    Ok(Summary {
        id: row.try_get("id")?,
        placed_at: placed_at
            .parse()
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        seq: Seq(seq.cast_unsigned()),
        customer: (row.try_get("customer")?, row.try_get("customer_name")?),
        merchant: (row.try_get("merchant")?, row.try_get("merchant_name")?),
        total: row.try_get("total")?,
        progress: serde_json::from_str(&progress)
            .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{LineItem, OrderRequest, Placed};
    use griot::core::codec::encode_event;
    use griot::core::{EntityId, Timestamp};
    use griot::journal::{Journal, MemoryJournal};
    use griot::projection::{Runner, Running};
    use griot_testkit::journal::{Writer, append_of};
    use metrics_exporter_prometheus::PrometheusBuilder;
    use std::sync::Arc;
    use tempfile::TempDir;

    /// A journal of orders, and their list.
    struct Stand {
        journal: Arc<dyn Journal>,
        writer: Writer,
        target: SqlTarget,
        running: Running<SqlTarget>,
        _directory: TempDir,
    }

    impl Stand {
        async fn open(began: Offset) -> Self {
            let directory = TempDir::new().unwrap();
            let file = directory.path().join("list.sqlite").display().to_string();
            let target = SqlTarget::open(&file, tables()).await.unwrap();
            let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
            let runner = Runner::new(Arc::clone(&journal), target.clone());
            Self {
                writer: Writer::claim(&journal).await.unwrap(),
                journal,
                running: runner.start(&projection(began)).await.unwrap(),
                target,
                _directory: directory,
            }
        }

        async fn record(&self, n: u64, name: &str, payload: bytes::Bytes) {
            let entity = EntityId::new(Order::KIND, &id(n).to_string()).unwrap();
            let last = self.journal.last_seq(&entity).await.unwrap().get();
            let mut append = append_of(&entity, last, 1);
            append.events[0].name = name.to_owned().into();
            append.events[0].payload = payload;
            self.writer.append(vec![append]).await.unwrap();
        }

        async fn happened(&self, n: u64, event: &OrderEvent) {
            let (name, payload) = encode_event(event).unwrap();
            self.record(n, name, payload).await;
        }

        async fn try_list(&self, query: &Query) -> Option<Vec<u64>> {
            let caught_up = self.running.read_model().catch_up(Duration::from_mins(1));
            caught_up.await.unwrap();
            let listed = page(&self.target, query).await.unwrap();
            let number = |summary: Summary| {
                let id: Uuid = summary.id.parse().unwrap();
                id.as_u64_pair().1
            };
            listed.map(|listed| listed.into_iter().map(number).collect())
        }

        async fn list(&self, query: Query) -> Vec<u64> {
            self.try_list(&query).await.unwrap()
        }
    }

    fn id(n: u64) -> Uuid {
        Uuid::from_u64_pair(0, n)
    }

    fn placed(at: i64, customer: &str) -> OrderEvent {
        OrderEvent::OrderPlaced(Placed {
            placed_at: Timestamp::from_micros(at),
            request: OrderRequest {
                customer: customer.into(),
                merchant: "M".into(),
                payment: "P".into(),
                items: vec![LineItem {
                    id: "I".into(),
                    qty: 1,
                }],
                promo: None,
            },
        })
    }

    fn all() -> Query {
        Query {
            limit: 10,
            ..Query::default()
        }
    }

    fn after(n: u64) -> Query {
        Query {
            after: Some(id(n)),
            ..all()
        }
    }

    #[tokio::test]
    async fn orders_are_listed_by_when_they_were_placed_and_then_by_id_however_they_were_recorded()
    {
        let stand = Stand::open(Offset::ZERO).await;
        for (n, at) in [(3, 7), (1, 7), (4, 5), (2, 7), (5, 9)] {
            stand.happened(n, &placed(at, "A")).await;
        }
        assert_eq!(stand.list(all()).await, [5, 3, 2, 1, 4]);
        assert_eq!(stand.list(Query { limit: 2, ..all() }).await, [5, 3]);
        assert_eq!(
            stand
                .list(Query {
                    limit: 2,
                    ..after(3)
                })
                .await,
            [2, 1]
        );
        assert_eq!(stand.list(after(2)).await, [1, 4]);
        assert_eq!(stand.list(after(4)).await, [0; 0]);
        assert_eq!(stand.try_list(&after(9)).await, None);
    }

    #[tokio::test]
    async fn orders_are_found_by_state_customer_and_merchant() {
        let stand = Stand::open(Offset::ZERO).await;
        for (n, customer) in [(1, "A"), (2, "a"), (3, "A"), (4, "B")] {
            stand.happened(n, &placed(1, customer)).await;
        }
        stand.happened(3, &OrderEvent::OrderCompleted {}).await;
        let completed = Some(OrderState::Completed);
        let of = |customer: &str| Some(customer.to_owned());
        let cases = [
            (
                Query {
                    state: completed,
                    ..all()
                },
                vec![3],
            ),
            (
                Query {
                    customer: of("A"),
                    ..all()
                },
                vec![3, 1],
            ),
            (
                Query {
                    customer: of("A"),
                    ..after(3)
                },
                vec![1],
            ),
            (
                Query {
                    merchant: of("M"),
                    ..all()
                },
                vec![4, 3, 2, 1],
            ),
            (
                Query {
                    state: completed,
                    customer: of("B"),
                    ..all()
                },
                vec![],
            ),
        ];
        for (query, expected) in cases {
            assert_eq!(stand.list(query.clone()).await, expected, "{query:?}");
        }
    }

    #[tokio::test]
    async fn an_order_that_cannot_be_read_is_left_out_and_the_others_are_listed() {
        let stand = Stand::open(Offset::ZERO).await;
        stand.happened(1, &placed(1, "A")).await;
        stand.record(2, "OrderPlaced", "{}".into()).await;
        stand.happened(3, &placed(3, "A")).await;
        assert_eq!(stand.list(all()).await, [3, 1]);
        let parked = stand.running.read_model().parked().await.unwrap();
        assert_eq!(parked[0].entity.id(), id(2).to_string());
    }

    #[tokio::test]
    async fn what_happens_is_counted_and_what_happened_before_the_program_began_is_not() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counted = recorder.handle();
        // For this thread, which is where everything here runs.
        let _recording = metrics::set_default_local_recorder(&recorder);
        let stand = Stand::open(Offset(3)).await;
        for n in 1..=5 {
            stand.happened(n, &placed(1, "A")).await;
        }
        assert_eq!(stand.list(all()).await.len(), 5);
        let line = "orders_events_total{event=\"OrderPlaced\"} 2";
        assert!(counted.render().contains(line), "{}", counted.render());
    }
}
