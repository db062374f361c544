//! Layers around one event: retries, timeout, panics.

use std::time::Duration;

use griot_events::layer::{CatchPanic, Retries, Timeout};
use griot_events::{Answer, Attempt, Router};
use tokio::time::Instant;

use super::Script;
use crate::sample::{answer_any, dead_letter, publication, retry};

#[tokio::test(start_paused = true)]
async fn an_event_is_tried_again_until_it_goes_well() {
    let script = Script::new([retry("one"), retry("two"), Answer::Ack]);
    let router = Router::new()
        .on("orders", script.handler())
        .layer(Retries::default());
    assert_eq!(answer_any(&router).await, Answer::Ack);
    assert_eq!(script.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_it_is_a_dead_letter_with_the_reason() {
    let script = Script::new([retry("one"), retry("busy")]);
    let router = Router::new()
        .on("orders", script.handler())
        .layer(Retries::default());
    let expected = dead_letter("gave up after 5 attempts: busy");
    assert_eq!(answer_any(&router).await, expected);
    assert_eq!(script.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_retry_is_answered_at_once() {
    for once in [
        Answer::Ack,
        dead_letter("no"),
        Answer::Publish(vec![publication("a")]),
    ] {
        let script = Script::new([once.clone()]);
        let router = Router::new()
            .on("orders", script.handler())
            .layer(Retries::default());
        assert_eq!(answer_any(&router).await, once);
        assert_eq!(script.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn waits_double_up_to_their_limit_and_are_jittered() {
    let retries = Retries {
        attempts_max: 5,
        wait_first: Duration::from_millis(100),
        wait_max: Duration::from_millis(300),
    };
    let mut waits = Vec::new();
    for _ in 0..20 {
        let (sender, mut calls) = tokio::sync::mpsc::unbounded_channel();
        let handler = move || async move {
            let _ = sender.send(Instant::now());
            griot_events::Retry("busy")
        };
        answer_any(&Router::new().on("orders", handler).layer(retries)).await;
        let mut moments = Vec::new();
        while let Ok(moment) = calls.try_recv() {
            moments.push(moment);
        }
        waits.push(
            moments
                .windows(2)
                .map(|two| two[1] - two[0])
                .collect::<Vec<_>>(),
        );
    }
    for (at, full) in [100, 200, 300, 300].into_iter().enumerate() {
        // A paused clock moves in whole milliseconds.
        let range = Duration::from_millis(full / 2)..=Duration::from_millis(full + 1);
        assert!(
            waits.iter().all(|waits| range.contains(&waits[at])),
            "{waits:?}"
        );
    }
    assert!(
        waits.iter().any(|other| other != &waits[0]),
        "all the same: no jitter"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_knows_which_attempt_it_is() {
    let handler = |Attempt(attempt)| async move {
        if attempt < 4 {
            return Err("not yet");
        }
        Ok(publication(&attempt.to_string()))
    };
    let router = Router::new()
        .on("orders", handler)
        .layer(Retries::default());
    let expected = Answer::Publish(vec![publication("4")]);
    assert_eq!(answer_any(&router).await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_tried_again() {
    let limit = Timeout(Duration::from_millis(1500));
    let never = std::future::pending::<()>;
    let router = Router::new().on("orders", never).layer(limit);
    assert_eq!(answer_any(&router).await, retry("no answer within 1.5s"));
    let router = Router::new().on("orders", || async {}).layer(limit);
    assert_eq!(answer_any(&router).await, Answer::Ack);
}

#[tokio::test]
async fn a_panic_is_a_reason_to_try_again() {
    async fn panics() {
        panic!("the till is on fire");
    }
    let router = Router::new().on("orders", panics).layer(CatchPanic);
    let expected = retry("the handler panicked: the till is on fire");
    assert_eq!(answer_any(&router).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_panic_every_time_makes_a_dead_letter() {
    async fn panics() {
        std::panic::panic_any(7);
    }
    let router = Router::new()
        .on("orders", panics)
        .layer(CatchPanic)
        .layer(Retries::default());
    let expected = dead_letter("gave up after 5 attempts: the handler panicked: not with a text");
    assert_eq!(answer_any(&router).await, expected);
}
