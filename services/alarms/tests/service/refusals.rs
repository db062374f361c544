//! What cannot be read, and what is too much: dead letters, with their cause.

use crate::service::{Stand, change};
use futures_util::StreamExt;
use griot::events::{DEAD_LETTER_ATTEMPTS, DEAD_LETTER_REASON};
use griot_alarms::user::{ALARMS_MAX, ChangeStatus, User};
use griot_alarms::{AlarmStatusChanged, Status};
use serde_json::{Value, json};

/// A good message with one field changed.
fn with(field: &str, value: Value) -> String {
    let mut message = change("ann", "oven", "WARNING", "2026-01-31T12:00:00Z");
    message[field] = value;
    message.to_string()
}

fn without(field: &str) -> String {
    let mut message = change("ann", "oven", "WARNING", "2026-01-31T12:00:00Z");
    message.as_object_mut().unwrap().remove(field);
    message.to_string()
}

#[tokio::test]
async fn a_malformed_message_is_a_dead_letter_with_its_cause_and_the_rest_goes_on() {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    let long = "x".repeat(1_025);
    let changes = [
        ("nonsense".to_owned(), "expected"),
        (String::new(), "EOF"),
        ("null".to_owned(), "object"),
        (
            r#"["oven","ann","WARNING","2026-01-31T12:00:00Z"]"#.to_owned(),
            "object",
        ),
        (without("AlarmID"), "`AlarmID`"),
        (without("UserID"), "`UserID`"),
        (without("Status"), "`Status`"),
        (without("ChangedAt"), "`ChangedAt`"),
        (with("AlarmID", json!("")), "at `AlarmID`"),
        (with("AlarmID", json!("a\nb")), "at `AlarmID`"),
        (with("AlarmID", json!(&long)), "1024 bytes"),
        (with("UserID", json!(7)), "at `UserID`"),
        (with("UserID", json!("\u{7f}")), "at `UserID`"),
        (with("UserID", json!(&long)), "1024 bytes"),
        (with("Status", json!("warning")), "`WARNING`"),
        (with("Status", json!(null)), "at `Status`"),
        (with("ChangedAt", json!(1_769_860_800)), "at `ChangedAt`"),
        (with("ChangedAt", json!("yesterday")), "RFC 3339"),
        (with("ChangedAt", json!("2026-01-31T12:00:00")), "RFC 3339"),
        (
            with("ChangedAt", json!("2026-01-31T12:00:00.1234567890Z")),
            "RFC 3339",
        ),
    ];
    let asks = [
        ("{}".to_owned(), "`UserID`"),
        (json!({"UserID": ""}).to_string(), "at `UserID`"),
        (json!(["ann"]).to_string(), "object"),
    ];
    for (topic, payloads) in [
        ("AlarmStatusChanged", &changes[..]),
        ("SendAlarmDigest", &asks),
    ] {
        let mut dead = stand.listen(&format!("{topic}.dead")).await;
        for (payload, cause) in payloads {
            stand.publish(topic, payload).await;
            let letter = dead.event().await;
            assert_eq!(letter.payload(), payload.as_bytes());
            let reason = letter.headers().get(DEAD_LETTER_REASON).unwrap();
            assert!(reason.contains(cause), "{payload}: {reason}");
            assert_eq!(letter.headers().get(DEAD_LETTER_ATTEMPTS), Some("1"));
        }
    }
    stand
        .change("ann", "oven", "WARNING", "2026-01-31T12:00:00Z")
        .await;
    stand.handled("ann").await;
    assert_eq!(service.history("ann").await, ["StatusChanged"]);
}

#[tokio::test]
async fn g10_an_alarm_too_many_is_a_dead_letter_that_says_so() {
    let stand = Stand::embedded().await;
    let service = stand.service().await;
    let user = service.griot.entity::<User>("ann").unwrap();
    let asks = (0..ALARMS_MAX).map(|number| {
        let changed = ChangeStatus {
            alarm_id: number.to_string(),
            status: Status::Warning,
            changed_at: "2026-01-31T12:00:00Z".parse().unwrap(),
        };
        user.ask(changed).into_future()
    });
    // Fewer at a time than a mailbox takes.
    let asks = futures_util::stream::iter(asks).buffered(1_000);
    asks.for_each(async |asked| asked.unwrap()).await;
    let mut dead = stand.listen("AlarmStatusChanged.dead").await;
    stand
        .change("ann", "one more", "CRITICAL", "2026-01-31T12:00:00Z")
        .await;
    let letter = dead.event().await;
    let message: AlarmStatusChanged = serde_json::from_slice(letter.payload()).unwrap();
    assert_eq!(message.alarm_id, "one more");
    let reason = letter.headers().get(DEAD_LETTER_REASON).unwrap();
    assert!(reason.contains("10000 active alarms"), "{reason}");
    // What is known goes on changing, and all of it is told.
    stand
        .change("ann", "0", "CLEARED", "2026-01-31T12:00:01Z")
        .await;
    stand.handled("ann").await;
    let mut digests = stand.listen("AlarmDigest").await;
    stand.ask("ann").await;
    let mut told = Vec::new();
    while told.len() < ALARMS_MAX - 1 {
        told.extend(digests.digest().await.1);
    }
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), ALARMS_MAX - 1);
}
