//! Where dead letters go, and what they carry.

use griot_events::layer::{DeadLetters, Retries};
use griot_events::{Answer, DeadLetter, Retry, Router};

use super::Script;
use crate::sample::{Sample, answer, answer_any, publication, published, retry};

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    headers.iter().map(owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_keeps_payload_key_and_headers_and_says_why_how_often_and_from_where() {
    let router = Router::new()
        .on("orders", || async { Retry("busy") })
        .layer(Retries {
            attempts_max: 3,
            ..Retries::default()
        })
        .layer(DeadLetters);
    let sample = Sample {
        name: Some("OrderPlaced"),
        headers: vec![("a", b"1"), ("A", b"2"), ("traceparent", b"whatever")],
        payload: b"\xff\x00",
        ..Sample::default()
    };
    let letter = published(answer(&router, sample).await);
    assert_eq!(letter.topic, "orders.dead");
    assert_eq!(letter.key.as_deref(), Some("7"));
    assert_eq!(&letter.payload[..], b"\xff\x00");
    let expected = owned(&[
        ("a", "1"),
        ("A", "2"),
        ("traceparent", "whatever"),
        ("event-name", "OrderPlaced"),
        ("dead-letter-reason", "gave up after 3 attempts: busy"),
        ("dead-letter-attempts", "3"),
        ("dead-letter-redelivered", "0"),
        ("dead-letter-topic", "orders"),
        ("dead-letter-partition", "2"),
        ("dead-letter-offset", "3"),
        ("message-id", "dead/orders/2/3"),
    ]);
    assert_eq!(letter.headers, expected);
}

#[tokio::test]
async fn a_dead_letter_has_an_id_of_its_own_so_that_no_broker_takes_it_for_a_repeat() {
    let router = Router::new()
        .on("orders", || async { DeadLetter("no") })
        .layer(DeadLetters);
    let sample = || Sample {
        headers: vec![("Message-Id", b"m1")],
        ..Sample::default()
    };
    let letter = published(answer(&router, sample()).await);
    let ids: Vec<_> = letter
        .headers
        .iter()
        .filter(|(name, _)| name.ends_with("message-id"))
        .collect();
    let expected = owned(&[("dead-letter-message-id", "m1"), ("message-id", "dead/m1")]);
    assert_eq!(ids, expected.iter().collect::<Vec<_>>());
    let again = published(answer(&router, sample()).await);
    assert_eq!(again, letter, "its id is the same every time");
}

#[tokio::test]
async fn what_is_no_text_is_kept_as_digits() {
    let router = Router::new()
        .on("orders", || async { DeadLetter("no") })
        .layer(DeadLetters);
    let sample = Sample {
        headers: vec![("bin", b"\xff\x0a")],
        key: Some(b"\xfe"),
        ..Sample::default()
    };
    let letter = published(answer(&router, sample).await);
    assert_eq!(letter.key.as_deref(), Some("fe"));
    for header in owned(&[("bin-hex", "ff0a"), ("dead-letter-key", "hex")]) {
        assert!(letter.headers.contains(&header), "{header:?} in {letter:?}");
    }
}

#[tokio::test]
async fn what_is_no_dead_letter_is_answered_as_it_is() {
    for other in [
        Answer::Ack,
        retry("busy"),
        Answer::Publish(vec![publication("a")]),
    ] {
        let script = Script::new([other.clone()]);
        let router = Router::new()
            .on("orders", script.handler())
            .layer(DeadLetters);
        assert_eq!(answer_any(&router).await, other);
    }
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_handled_stays_where_it_is() {
    let router = Router::new().layer(DeadLetters);
    let sample = Sample {
        topic: "orders.dead",
        ..Sample::default()
    };
    let expected = retry("no handler for the topic `orders.dead`");
    assert_eq!(answer(&router, sample).await, expected);
}

#[tokio::test]
async fn what_nobody_handles_goes_out_as_a_dead_letter_too() {
    let router = Router::new().layer(DeadLetters);
    let letter = published(answer_any(&router).await);
    let reason = owned(&[("dead-letter-reason", "no handler for the topic `orders`")]);
    assert!(letter.headers.contains(&reason[0]));
}
