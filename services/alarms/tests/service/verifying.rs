//! The smoke test: passed by the service, and not by what only looks like it.

use crate::service::{DEADLINE, Stand};
use griot::events::layer::DefaultStack;
use griot::events::{
    Broker, Consumer, Consuming, DeadLetter, Failure, Json, Order, Publication, Router, State,
    Subscription,
};
use griot::http::Object;
use griot_alarms::{
    ActiveAlarm, AlarmDigest, AlarmStatusChanged, AlarmsConfig, SendAlarmDigest, VerifyError,
    VerifyOptions, verify,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) fn patient() -> VerifyOptions {
    VerifyOptions {
        within: DEADLINE,
        ..VerifyOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_passes_the_smoke_test_also_while_another_is_run() {
    let stand = Stand::embedded().await;
    let _service = stand.service().await;
    let (one, other) = tokio::join!(
        verify(Arc::clone(&stand.broker), patient()),
        verify(Arc::clone(&stand.broker), patient()),
    );
    one.unwrap();
    other.unwrap();
    // And where others have left their messages.
    verify(Arc::clone(&stand.broker), patient()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_empty_digests_passes_the_smoke_test() {
    let stand = Stand::embedded().await;
    let config = AlarmsConfig {
        send_empty_digests: true,
        ..AlarmsConfig::default()
    };
    let _service = stand.service_with(config).await;
    verify(Arc::clone(&stand.broker), patient()).await.unwrap();
}

#[tokio::test]
async fn without_a_service_the_smoke_test_says_what_is_missing() {
    let stand = Stand::embedded().await;
    let options = VerifyOptions {
        within: Duration::from_millis(500),
        ..VerifyOptions::default()
    };
    let missing = verify(stand.broker, options).await.unwrap_err();
    assert!(matches!(missing, VerifyError::Missing { .. }));
    let said = missing.to_string();
    assert!(
        said.contains("AlarmStatusChanged.dead") && said.contains("500ms"),
        "{said}"
    );
}

/// What a service got wrong that only looks right.
#[derive(Debug, Clone, Copy)]
enum Wrong {
    /// It tells of all active alarms each time.
    TellsAgain,
    /// Whatever came last wins.
    BelievesTheLast,
    /// It knows microseconds only.
    RoundsMoments,
    /// The newest change is told first.
    TellsNewestFirst,
}

#[derive(Clone)]
struct Known {
    wrong: Wrong,
    users: Arc<Mutex<BTreeMap<String, Vec<ActiveAlarm>>>>,
}

/// Takes in a change, wrongly.
async fn hear(
    State(known): State<Known>,
    Json(Object(message)): Json<Object<AlarmStatusChanged>>,
) -> Result<(), Failure> {
    let mut users = known.users.lock().map_err(|_| DeadLetter("poisoned"))?;
    let alarms = users.entry(message.user_id).or_default();
    let mut latest_changed_at = message.changed_at;
    let before = alarms
        .iter()
        .position(|alarm| alarm.alarm_id == message.alarm_id);
    let before = before.map(|place| alarms.remove(place));
    if let Some(before) = before
        && before.latest_changed_at >= latest_changed_at
        && !matches!(known.wrong, Wrong::BelievesTheLast)
    {
        alarms.push(before);
        return Ok(());
    }
    if matches!(known.wrong, Wrong::RoundsMoments) {
        let moment: jiff::Timestamp = latest_changed_at.as_str().parse().unwrap();
        latest_changed_at = format!("{moment:.6}").parse().unwrap();
    }
    alarms.push(ActiveAlarm {
        alarm_id: message.alarm_id,
        status: message.status,
        latest_changed_at,
    });
    Ok(())
}

/// Tells of all that is active.
async fn tell(
    State(known): State<Known>,
    Json(Object(SendAlarmDigest { user_id })): Json<Object<SendAlarmDigest>>,
) -> Result<Publication, Failure> {
    let users = known.users.lock().map_err(|_| DeadLetter("poisoned"))?;
    let alarms = users.get(&user_id).into_iter().flatten();
    let mut active_alarms: Vec<_> = alarms
        .filter(|alarm| alarm.status.is_active())
        .cloned()
        .collect();
    active_alarms.sort_by(|one, other| one.latest_changed_at.cmp(&other.latest_changed_at));
    if matches!(known.wrong, Wrong::TellsNewestFirst) {
        active_alarms.reverse();
    }
    Json(AlarmDigest {
        user_id,
        active_alarms,
    })
    .publication("AlarmDigest")
}

async fn wrong_service(broker: Arc<dyn Broker>, wrong: Wrong) -> Consuming {
    let users = Arc::default();
    let router: Router = Router::new()
        .on("AlarmStatusChanged", hear)
        .on("SendAlarmDigest", tell)
        .layer(DefaultStack::default())
        .with_state(Known { wrong, users });
    let subscription = Subscription {
        topics: router.topics(),
        group: "wrong".to_owned(),
        in_flight_max: 100,
        order: Order::PerKey,
    };
    Consumer::new(broker, subscription, router)
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_looks_like_the_service_does_not_pass_the_smoke_test() {
    for wrong in [
        Wrong::TellsAgain,
        Wrong::BelievesTheLast,
        Wrong::RoundsMoments,
        Wrong::TellsNewestFirst,
    ] {
        let stand = Stand::embedded().await;
        let _service = wrong_service(Arc::clone(&stand.broker), wrong).await;
        let failed = verify(stand.broker, patient()).await.unwrap_err();
        assert!(
            matches!(failed, VerifyError::Wrong { .. }),
            "{wrong:?}: {failed}"
        );
    }
}
