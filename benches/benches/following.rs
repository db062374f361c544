//! How soon one process sees what another appended, on PostgreSQL: polling that adapts, as `griot-postgres` does it,
//! against LISTEN and NOTIFY; and what a notification costs those who commit.
//!
//! ```text
//! eval "$(scripts/services up postgres)"
//! cargo bench -p griot-benches --bench following
//! ```
//!
//! Delays run from when the append is acknowledged until the other connection is told; 0 where it was told before. Both
//! are measured in turn with the same pauses: random ones of up to 200 ms, and of up to 5 ms. Then sessions of their own
//! commit rows of 256 bytes as fast as they can, with and without `pg_notify`, in turn, 5 rounds, medians.
#![allow(missing_docs, unreachable_pub, reason = "nobody links to a benchmark")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "it stops at the first error"
)]
#![allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use griot_benches::median;
use griot_core::{EntityId, Offset, Seq, Timestamp};
use griot_journal::{Append, Batch, EventRecord, Journal, ShardId};
use griot_postgres::PostgresJournal;
use sqlx::postgres::{PgListener, PgPool};
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::sync::mpsc;
use uuid::Uuid;

const APPENDS: u64 = 200;
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(5)];
const SESSIONS: [usize; 3] = [1, 4, 16];
const ROW: &str = "insert into following_notes (payload) values ($1)";
const ROW_TOLD: &str =
    "insert into following_notes (payload) select $1 from pg_notify('griot_bench', '1')";
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let Ok(url) = std::env::var("GRIOT_TEST_POSTGRES") else {
        println!("left out: set GRIOT_TEST_POSTGRES to the URL of a PostgreSQL");
        return ExitCode::SUCCESS;
    };
    println!(
        "{:>10}  {:22}{:>10}{:>10}{:>10}",
        "pauses of", "told by", "median ms", "p99 ms", "max ms"
    );
    for longest in PAUSES {
        shown(longest, "polling that adapts", polled(&url, longest).await);
        shown(longest, "LISTEN and NOTIFY", notified(&url, longest).await);
    }
    println!(
        "\n{:>10}  {:>14}{:>14}{:>8}",
        "sessions", "commits/s", "with NOTIFY", "ratio"
    );
    for sessions in SESSIONS {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(commits(&url, sessions, ROW).await);
            with.push(commits(&url, sessions, ROW_TOLD).await);
        }
        let (without, with) = (median(without), median(with));
        println!(
            "{sessions:>10}  {without:>14.0}{with:>14.0}{:>8.2}",
            with / without
        );
    }
    ExitCode::SUCCESS
}

fn shown(longest: Duration, by: &str, mut delays: Vec<Duration>) {
    delays.sort_unstable();
    let at = |share: f64| {
        // A share of a length is in its range.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 200"
        )]
        let place = ((delays.len() - 1) as f64 * share) as usize;
        delays
            .get(place)
            .map_or(0.0, |delay| delay.as_secs_f64() * 1e3)
    };
    let longest = format!("0-{} ms", longest.as_millis());
    println!(
        "{longest:>10}  {by:22}{:>10.2}{:>10.2}{:>10.2}",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

/// Pairs what was acknowledged with when it was seen, in order.
async fn delays(
    acknowledged: Vec<Instant>,
    mut seen: mpsc::UnboundedReceiver<Instant>,
) -> Vec<Duration> {
    let mut delays = Vec::new();
    for at in acknowledged {
        let seen = seen.recv().await.expect("it is seen");
        delays.push(seen.saturating_duration_since(at));
    }
    delays
}

async fn pause(longest: Duration) {
    tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
}

async fn polled(url: &str, longest: Duration) -> Vec<Duration> {
    let url = format!("{url}?schema=following_{}", Uuid::now_v7().simple());
    let here = PostgresJournal::connect(&url).await.unwrap();
    let there = Arc::new(PostgresJournal::connect(&url).await.unwrap());
    let (saw, seen) = mpsc::unbounded_channel();
    let follower = tokio::spawn({
        let there = Arc::clone(&there);
        async move {
            let mut last = Offset::ZERO;
            while last.get() < APPENDS {
                let now = there.advanced(last).await.unwrap();
                for _ in last.get()..now.get() {
                    saw.send(Instant::now()).unwrap();
                }
                last = now;
            }
        }
    });
    let shard = ShardId {
        kind: "note".into(),
        number: 0,
    };
    let epoch = here.claim(&shard).await.unwrap();
    let mut acknowledged = Vec::new();
    for number in 0..APPENDS {
        pause(longest).await;
        let append = note(number);
        let batch = Batch {
            shard: shard.clone(),
            epoch,
            appends: vec![append],
        };
        here.append(Arc::new(batch)).await.unwrap();
        acknowledged.push(Instant::now());
    }
    let delays = delays(acknowledged, seen).await;
    follower.await.unwrap();
    here.close().await;
    there.close().await;
    delays
}

fn note(number: u64) -> Append {
    Append {
        entity: EntityId::new("note", "1").unwrap(),
        expected: Seq(number),
        at: Timestamp::from_micros(1),
        events: vec![EventRecord {
            name: "Noted".into(),
            version: 1,
            tags: Vec::new(),
            payload: vec![b'x'; 256].into(),
        }],
        effects: Vec::new(),
        settled: Vec::new(),
        answer: None,
        metadata: Vec::new(),
    }
}

async fn notified(url: &str, longest: Duration) -> Vec<Duration> {
    let pool = PgPool::connect(url).await.unwrap();
    pool.execute("create table if not exists following_notes (number bigserial primary key, payload bytea not null)")
        .await
        .unwrap();
    let channel = format!("following_{}", Uuid::now_v7().simple());
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen(&channel).await.unwrap();
    let (saw, seen) = mpsc::unbounded_channel();
    let follower = tokio::spawn(async move {
        for _ in 0..APPENDS {
            listener.recv().await.unwrap();
            saw.send(Instant::now()).unwrap();
        }
    });
    let mut acknowledged = Vec::new();
    for number in 0..APPENDS {
        pause(longest).await;
        // The payload differs, or the notifications of one transaction would be one.
        let append = format!(
            "insert into following_notes (payload) select $1 from pg_notify('{channel}', '{number}')"
        );
        let append = sqlx::query(AssertSqlSafe(append)).bind(vec![b'x'; 256]);
        append.execute(&pool).await.unwrap();
        acknowledged.push(Instant::now());
    }
    let delays = delays(acknowledged, seen).await;
    follower.await.unwrap();
    pool.close().await;
    delays
}

/// Commits per second of sessions that each commit one row after the other.
async fn commits(url: &str, sessions: usize, statement: &'static str) -> f64 {
    let pool = PgPool::connect(url).await.unwrap();
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("griot_bench").await.unwrap();
    let hearing = tokio::spawn(async move { while listener.recv().await.is_ok() {} });
    let end = Instant::now() + ROUND;
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..sessions {
        let mut session = pool.acquire().await.unwrap().detach();
        running.spawn(async move {
            let mut done = 0_u64;
            while Instant::now() < end {
                let commit = sqlx::query(statement).bind(vec![b'x'; 256]);
                commit.execute(&mut session).await.unwrap();
                done += 1;
            }
            done
        });
    }
    let done: u64 = running.join_all().await.into_iter().sum();
    hearing.abort();
    pool.close().await;
    done as f64 / ROUND.as_secs_f64()
}
