//! Messages come in, digests go out.

use crate::service::{Stand, change, prompt, until};
use griot_alarms::AlarmsConfig;
use serde_json::json;

#[tokio::test]
async fn an_alarm_is_told_exactly_as_it_was_sent_and_once() {
    let stand = Stand::embedded().await;
    let _service = stand.service().await;
    let mut digests = stand.listen("AlarmDigest").await;
    let at = "2026-01-31T13:00:00.123456789+01:00";
    stand.change("ann", "oven", "WARNING", at).await;
    stand
        .change("ann", "door", "CRITICAL", "2026-01-31T12:00:00Z")
        .await;
    stand
        .change("ann", "roof", "CLEARED", "2026-01-31T12:00:00Z")
        .await;
    stand.handled("ann").await;
    stand.ask("ann").await;
    let digest = digests.event().await;
    assert_eq!(digest.key().unwrap(), "ann");
    assert_eq!(
        std::str::from_utf8(digest.payload()).unwrap(),
        r#"{"UserID":"ann","ActiveAlarms":[{"AlarmID":"door","Status":"CRITICAL","LatestChangedAt":"2026-01-31T12:00:00Z"},{"AlarmID":"oven","Status":"WARNING","LatestChangedAt":"2026-01-31T13:00:00.123456789+01:00"}]}"#
    );
    // Nothing new: no digest. What is next is the digest after something new.
    stand.ask("ann").await;
    stand.handled("ann").await;
    stand
        .change("ann", "roof", "WARNING", "2026-01-31T12:00:01Z")
        .await;
    stand.handled("ann").await;
    stand.ask("ann").await;
    assert_eq!(digests.digest().await, ("ann".into(), vec!["roof".into()]));
}

#[tokio::test]
async fn messages_need_no_key_and_may_have_fields_that_nobody_knows() {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    let mut digests = stand.listen("AlarmDigest").await;
    let mut message = change("ann", "oven", "WARNING", "2026-01-31T12:00:00Z");
    message["Site"] = "kitchen".into();
    stand.publish("AlarmStatusChanged", message).await;
    until("it is heard", || async {
        service.history("ann").await == ["StatusChanged"]
    })
    .await;
    let ask = json!({"UserID": "ann", "Why": "it is late"});
    stand.publish("SendAlarmDigest", ask).await;
    assert_eq!(digests.digest().await, ("ann".into(), vec!["oven".into()]));
}

#[tokio::test]
async fn an_empty_digest_is_sent_to_those_who_want_one() {
    let stand = Stand::embedded().await;
    let config = AlarmsConfig {
        send_empty_digests: true,
        ..prompt()
    };
    let _service = stand.service_with(config).await;
    let mut digests = stand.listen("AlarmDigest").await;
    stand.ask("bob").await;
    let empty = r#"{"UserID":"bob","ActiveAlarms":[]}"#;
    assert_eq!(digests.payload().await, empty);
}

#[tokio::test]
async fn a_digest_tells_all_that_was_published_before_it_was_asked_for() {
    let stand = Stand::embedded().await;
    let mut digests = stand.listen("AlarmDigest").await;
    for round in 1..=3 {
        let names: Vec<_> = (0..200).map(|n| format!("{round}-{n:03}")).collect();
        for name in &names {
            let at = format!("2026-01-31T12:00:{round:02}Z");
            stand.change("ann", name, "WARNING", &at).await;
        }
        stand.ask("ann").await;
        // It finds all of them waiting, and reads each topic by itself.
        let service = stand.service_with(AlarmsConfig::default()).await;
        let (_, told) = digests.digest().await;
        assert_eq!(told, names, "{} of {}", told.len(), names.len());
        drop(service);
    }
}

#[tokio::test]
async fn users_and_alarms_may_have_any_id_that_an_entity_can_have() {
    let stand = Stand::embedded().await;
    let _service = stand.service().await;
    let mut digests = stand.listen("AlarmDigest").await;
    let long = "ü".repeat(512);
    for id in [" ", "a/b?c", "\"quoted\"", "*", ">", "käthe ✓", &long] {
        stand
            .change(id, id, "WARNING", "2026-01-31T12:00:00Z")
            .await;
        stand.handled(id).await;
        stand.ask(id).await;
        assert_eq!(digests.digest().await, (id.to_owned(), vec![id.to_owned()]));
    }
}

/// A group that is new gets all there ever was: a service under another group is given every message
/// again that the first one handled.
#[tokio::test]
async fn g3_messages_that_come_again_change_nothing_and_tell_nothing() {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    let mut digests = stand.listen("AlarmDigest").await;
    stand
        .change("ann", "a", "WARNING", "2026-01-31T12:00:00Z")
        .await;
    stand
        .change("ann", "b", "WARNING", "2026-01-31T12:00:01Z")
        .await;
    stand.handled("ann").await;
    stand.ask("ann").await;
    assert_eq!(digests.digest().await.1, ["a", "b"]);
    // Were the wish for a digest granted again, it would tell of these.
    stand
        .change("ann", "a", "CRITICAL", "2026-01-31T12:00:02Z")
        .await;
    stand
        .change("ann", "c", "WARNING", "2026-01-31T12:00:03Z")
        .await;
    stand.handled("ann").await;
    let before = service.get("/alarms/ann/history").await.body;
    assert_eq!(before.as_array().unwrap().len(), 5);
    drop(service);

    let config = AlarmsConfig {
        group: "again".to_owned(),
        ..prompt()
    };
    let again = stand.service_with(config).await;
    stand.handled("ann").await;
    assert_eq!(again.get("/alarms/ann/history").await.body, before);
    stand.ask("ann").await;
    assert_eq!(digests.digest().await.1, ["a", "c"]);
}
