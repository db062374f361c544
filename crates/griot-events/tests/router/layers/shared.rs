//! Layers that one event shares with the others: limits, circuit breaker, deduplication.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use griot_events::layer::{
    CircuitBreaker, ConcurrencyLimit, Deduplicate, Seen, SeenInMemory, Throttle,
};
use griot_events::{Answer, Router};
use tokio::time::{Instant, advance};

use super::Script;
use crate::sample::{Sample, answer, answer_any, dead_letter, publication, retry};

#[tokio::test(start_paused = true)]
async fn at_most_so_many_are_handled_at_a_time_over_all_topics() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let handler = move || async move {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        now.fetch_sub(1, Ordering::SeqCst);
    };
    let router = Router::new()
        .on("orders", handler.clone())
        .on("bills", handler)
        .layer(ConcurrencyLimit::new(3));
    let all = (0..20).map(|at| {
        let topic = if at % 2 == 0 { "orders" } else { "bills" };
        answer(
            &router,
            Sample {
                topic,
                ..Sample::default()
            },
        )
    });
    assert_eq!(join_all(all).await, vec![Answer::Ack; 20]);
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_are_handled_in_a_time_and_the_others_wait() {
    let ten = NonZeroU32::new(10).unwrap();
    let router = Router::new()
        .on("orders", || async {})
        .layer(Throttle::new(ten, Duration::from_secs(1)));
    let start = Instant::now();
    let all = (0..31).map(|_| answer_any(&router));
    assert_eq!(join_all(all).await, vec![Answer::Ack; 31]);
    let taken = start.elapsed().as_millis();
    assert!((3000..3010).contains(&taken), "{taken} ms for 31 events");
}

#[tokio::test(start_paused = true)]
async fn a_circuit_opens_after_failures_in_a_row_and_closes_when_one_goes_well() {
    let pause = Duration::from_secs(10);
    let script = Script::new([
        retry("a"),
        Answer::Ack,
        retry("b"),
        dead_letter("c"), // open
        retry("d"),       // still open
        Answer::Ack,      // closed
    ]);
    let router = Router::new()
        .on("orders", script.handler())
        .layer(CircuitBreaker::new(2, pause));
    for expected in [retry("a"), Answer::Ack, retry("b"), dead_letter("c")] {
        assert_eq!(answer_any(&router).await, expected);
    }
    let open = retry("the circuit is open for another 10.0s");
    assert_eq!(answer_any(&router).await, open);
    assert_eq!(script.calls(), 4, "the handler is left alone");

    advance(pause).await;
    assert_eq!(answer_any(&router).await, retry("d"));
    assert_eq!(answer_any(&router).await, open);

    advance(pause).await;
    assert_eq!(answer_any(&router).await, Answer::Ack);
    assert_eq!(answer_any(&router).await, Answer::Ack);
    assert_eq!(script.calls(), 7);
}

#[tokio::test(start_paused = true)]
async fn one_event_at_a_time_tries_an_open_circuit_also_where_one_is_dropped() {
    let router = Router::new()
        .on("orders", || async { griot_events::Retry("busy") })
        .on("slow", std::future::pending::<()>)
        .layer(CircuitBreaker::new(1, Duration::from_secs(10)));
    answer_any(&router).await;
    advance(Duration::from_secs(10)).await;
    let mut slow = Box::pin(answer(
        &router,
        Sample {
            topic: "slow",
            ..Sample::default()
        },
    ));
    assert!(futures_util::poll!(slow.as_mut()).is_pending());
    let trying = retry("the circuit is open, one event tries it");
    assert_eq!(answer_any(&router).await, trying);
    drop(slow);
    assert_eq!(
        answer_any(&router).await,
        retry("busy"),
        "the next one tries"
    );
}

fn deduplicating(script: &Script, seen: impl Seen) -> Router {
    Router::new()
        .on("orders", script.handler())
        .on("bills", script.handler())
        .layer(Deduplicate::new(seen))
}

fn with_id(topic: &'static str, id: &'static [u8]) -> Sample {
    Sample {
        topic,
        headers: vec![("message-id", id)],
        ..Sample::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_acknowledged_is_passed_over_within_the_window() {
    let script = Script::new([Answer::Ack]);
    let window = Duration::from_mins(1);
    let router = deduplicating(&script, SeenInMemory::new(100, window));
    for calls in [1, 1] {
        assert_eq!(answer(&router, with_id("orders", b"m1")).await, Answer::Ack);
        assert_eq!(script.calls(), calls);
    }
    answer(&router, with_id("orders", b"m2")).await;
    answer(&router, with_id("bills", b"m1")).await;
    assert_eq!(
        script.calls(),
        3,
        "another id and another topic are other events"
    );
    advance(window).await;
    answer(&router, with_id("orders", b"m1")).await;
    assert_eq!(script.calls(), 4, "the window is over");
}

#[tokio::test(start_paused = true)]
async fn an_event_without_an_id_is_known_by_its_place() {
    let script = Script::new([Answer::Ack]);
    let router = deduplicating(&script, SeenInMemory::new(100, Duration::from_mins(1)));
    for (offset, calls) in [(1, 1), (2, 2), (1, 2)] {
        answer(
            &router,
            Sample {
                offset,
                ..Sample::default()
            },
        )
        .await;
        assert_eq!(script.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_not_acknowledged_is_handled_again() {
    for first in [
        retry("a"),
        dead_letter("b"),
        Answer::Publish(vec![publication("c")]),
    ] {
        let script = Script::new([first.clone(), Answer::Ack]);
        let router = deduplicating(&script, SeenInMemory::new(100, Duration::from_mins(1)));
        assert_eq!(answer_any(&router).await, first);
        assert_eq!(answer_any(&router).await, Answer::Ack);
        assert_eq!(script.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn memory_keeps_no_more_ids_than_it_may() {
    let seen = SeenInMemory::new(2, Duration::from_mins(1));
    for id in ["a", "b", "a", "c"] {
        let Ok(()) = seen.remember(id.to_owned()).await;
    }
    let mut kept = Vec::new();
    for id in ["a", "b", "c"] {
        let Ok(contains) = seen.contains(id).await;
        kept.push(contains);
    }
    assert_eq!(kept, [false, true, true], "the oldest is forgotten");
}

#[tokio::test]
async fn while_the_store_cannot_tell_an_event_is_tried_again() {
    struct Broken;
    impl Seen for Broken {
        type Error = &'static str;
        async fn contains(&self, _: &str) -> Result<bool, &'static str> {
            Err("no connection")
        }
        async fn remember(&self, _: String) -> Result<(), &'static str> {
            Err("no connection")
        }
    }
    let script = Script::new([Answer::Ack]);
    let expected = retry("whether it was handled already is not known: no connection");
    assert_eq!(answer_any(&deduplicating(&script, Broken)).await, expected);
    assert_eq!(script.calls(), 0);
}
