//! The service ends, in good order or not, and another goes on.

use crate::service::{DEADLINE, Stand, until};
use crate::verifying::patient;
use griot_alarms::verify;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn g1_g6_a_service_that_dies_again_and_again_loses_no_alarm_and_tells_none_twice() {
    let stand = Stand::embedded().await;
    let mut verifying = tokio::spawn(verify(Arc::clone(&stand.broker), patient()));
    let mut deaths = 0;
    let verified = loop {
        let service = stand.service().await;
        // Each lives longer than the one before, so that they come to an end on any machine.
        let life = Duration::from_millis(10) * deaths;
        if let Ok(verified) = timeout(life, &mut verifying).await {
            break verified;
        }
        drop(service);
        deaths += 1;
    };
    verified.unwrap().unwrap();
    assert!(deaths > 3, "{deaths}");
}

#[tokio::test]
async fn g1_what_changed_before_a_crash_is_told_after_it() {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    stand
        .change("ann", "oven", "WARNING", "2026-01-31T12:00:00.123456789Z")
        .await;
    stand.handled("ann").await;
    drop(service);
    stand.ask("ann").await;
    let mut digests = stand.listen("AlarmDigest").await;
    let service = stand.service().await;
    let told = r#"{"UserID":"ann","ActiveAlarms":[{"AlarmID":"oven","Status":"WARNING","LatestChangedAt":"2026-01-31T12:00:00.123456789Z"}]}"#;
    assert_eq!(digests.payload().await, told);
    drop(service);
    let _service = stand.service().await;
    stand.ask("ann").await;
    stand
        .change("ann", "door", "WARNING", "2026-01-31T12:00:00Z")
        .await;
    stand.handled("ann").await;
    stand.ask("ann").await;
    assert_eq!(digests.digest().await.1, ["door"]);
}

#[tokio::test]
async fn g9_a_drained_service_leaves_what_comes_later_to_the_next() {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    assert_eq!(service.alarms.ready(), Ok(()));
    stand
        .change("ann", "oven", "WARNING", "2026-01-31T12:00:00Z")
        .await;
    stand.handled("ann").await;
    assert_eq!(service.alarms.drain(DEADLINE).await, 0);
    assert_eq!(service.alarms.drain(DEADLINE).await, 0);
    let said = service.alarms.ready().unwrap_err();
    assert!(said.contains("not listened to"), "{said}");
    stand
        .change("ann", "door", "WARNING", "2026-01-31T12:00:00Z")
        .await;
    assert_eq!(service.history("ann").await.len(), 1);
    drop(service);
    let service = stand.service().await;
    stand.handled("ann").await;
    assert_eq!(service.history("ann").await.len(), 2);
}

#[tokio::test]
async fn a_service_whose_broker_is_gone_is_not_ready_and_says_so() {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    stand.broker.close().await;
    until("it is not ready", || async {
        service.alarms.ready().is_err()
    })
    .await;
}
