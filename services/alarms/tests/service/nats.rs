//! The service on NATS, where there is a server.

use crate::service::{DEADLINE, Service, Stand, until};
use crate::sharing::few;
use crate::verifying::patient;
use async_nats::Client;
use futures_util::StreamExt;
use griot::journal::MemoryJournal;
use griot_alarms::verify;
use griot_nats::NatsBroker;
use serde_json::{Value, json};
use std::io::Write as _;
use std::sync::Arc;
use tokio::time::timeout;

/// The URL of a running server; without one, says what is left out.
fn running() -> Option<String> {
    let url = std::env::var("GRIOT_TEST_NATS").ok();
    if url.is_none() {
        // Not `eprintln!`: what that prints is kept from sight when the test passes.
        let text = "LEFT OUT alarms on NATS: set GRIOT_TEST_NATS to the URL of a server\n";
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    url
}

async fn stand(url: &str) -> Stand {
    let broker = NatsBroker::connect(&format!("{url}?lease_seconds=2")).await;
    Stand::on(Arc::new(MemoryJournal::new()), Arc::new(broker.unwrap()))
}

/// One test, since all that is on one server shares its topics.
#[tokio::test(flavor = "multi_thread")]
async fn alarms_run_on_nats_and_anybody_publishes_with_core_nats() {
    let Some(url) = running() else { return };
    let stand = stand(&url).await;
    let service = stand.service().await;
    verify(Arc::clone(&stand.broker), patient()).await.unwrap();
    core_nats(&service, &async_nats::connect(&url).await.unwrap()).await;
    let other = stand.service().await;
    verify(Arc::clone(&stand.broker), few()).await.unwrap();
    drop(service);
    verify(Arc::clone(&stand.broker), few()).await.unwrap();
    assert_eq!(other.alarms.ready(), Ok(()));
}

/// What a program does that has never heard of streams.
async fn core_nats(service: &Service, client: &Client) {
    let user = format!("nats-{:x}", fastrand::u64(..));
    let mut digests = client.subscribe("AlarmDigest").await.unwrap();
    let at = "2026-01-31T13:00:00.123456789+01:00";
    let warning = json!({"AlarmID": "oven", "UserID": user, "Status": "WARNING", "ChangedAt": at});
    for payload in [warning.to_string(), warning.to_string()] {
        client
            .publish("AlarmStatusChanged", payload.into())
            .await
            .unwrap();
    }
    client.flush().await.unwrap();
    until("it is heard", || async {
        service.history(&user).await == ["StatusChanged"]
    })
    .await;
    let ask = json!({"UserID": user}).to_string();
    client.publish("SendAlarmDigest", ask.into()).await.unwrap();
    client.flush().await.unwrap();
    let told = loop {
        let digest = timeout(DEADLINE, digests.next()).await.unwrap().unwrap();
        let digest: Value = serde_json::from_slice(&digest.payload).unwrap();
        if digest["UserID"] == user.as_str() {
            break digest;
        }
    };
    let expected = json!([{"AlarmID": "oven", "Status": "WARNING", "LatestChangedAt": at}]);
    assert_eq!(told["ActiveAlarms"], expected);
}
