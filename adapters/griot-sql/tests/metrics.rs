//! What a projection counts, as Prometheus reads it.

use std::sync::Arc;
use std::time::Duration;

use griot_core::Seq;
use griot_events::{Failure, Router};
use griot_journal::{Journal, MemoryJournal};
use griot_projection::{Limits, Projection, Runner, Tx};
use griot_sql::{Migrations, SqlTarget};
use griot_testkit::journal::{Writer, entity};
use metrics_exporter_prometheus::PrometheusBuilder;

async fn count(mut tx: Tx<SqlTarget>) -> Result<(), Failure> {
    let insert = sqlx::query("INSERT INTO counted DEFAULT VALUES");
    insert.execute(&mut *tx).await?;
    Ok(())
}

#[tokio::test]
async fn the_lag_and_the_events_of_a_projection_are_metrics() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    // For this thread, which is where everything here runs.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let directory = tempfile::tempdir().unwrap();
    let schema = Migrations::new(
        "counts",
        ["CREATE TABLE counted (number INTEGER PRIMARY KEY)"],
    );
    let path = directory.path().join("read-model.sqlite");
    let url = path.display().to_string();
    let target = SqlTarget::open(&url, schema).await.unwrap();
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let writer = Writer::claim(&journal).await.unwrap();
    let look = Duration::from_millis(5);
    let counts =
        Projection::new("counts", 1, Router::new().on("account", count)).with_limits(Limits {
            look,
            ..Limits::default()
        });
    let running = Runner::new(journal, target).start(&counts).await.unwrap();
    let read_model = running.read_model();
    writer.write(&entity("a"), 0, 3).await.unwrap();
    let minute = Duration::from_mins(1);
    read_model
        .wait_for(&entity("a"), Seq(3), minute)
        .await
        .unwrap();
    let of = |name: &str| format!("griot_projection_{name}{{projection=\"counts\",slice=\"0\"}}");
    assert!(
        metrics
            .render()
            .contains(&format!("{} 3\n", of("events_total"))),
        "{}",
        metrics.render()
    );

    read_model.pause().await.unwrap();
    writer.write(&entity("a"), 3, 7).await.unwrap();
    let mut ticks = tokio::time::interval(look);
    let measured = async {
        while !metrics
            .render()
            .contains(&format!("{} 7\n", of("lag_events")))
        {
            ticks.tick().await;
        }
    };
    let measured = tokio::time::timeout(minute, measured).await;
    assert!(measured.is_ok(), "{}", metrics.render());
    // The writer's events are of the year 2023.
    let seconds = format!("{} ", of("lag_seconds"));
    let text = metrics.render();
    let lag = text.lines().find_map(|line| line.strip_prefix(&seconds));
    assert!(lag.unwrap().parse::<f64>().unwrap() > 3e7, "{text}");
    running.drain().await.unwrap();
}
