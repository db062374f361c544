//! The default stack, and that no combination of layers loses an event.

use std::num::NonZeroU32;
use std::time::Duration;

use griot_events::layer::{
    CatchPanic, CircuitBreaker, ConcurrencyLimit, Correlation, DeadLetters, Deduplicate,
    DefaultStack, Metrics, Retries, SeenInMemory, Throttle, Timeout, Trace,
};
use griot_events::{Answer, Router};
use metrics_exporter_prometheus::PrometheusBuilder;

use super::Script;
use crate::sample::{answer_any, dead_letter, header, publication, published, retry};

async fn panics() {
    panic!("on fire");
}

#[tokio::test(start_paused = true)]
async fn the_default_stack_sees_an_event_once_with_its_last_outcome_and_sends_the_dead_letter_out()
{
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let router = Router::new()
        .on("orders", panics)
        .layer(DefaultStack::default());
    let letter = published(answer_any(&router).await);
    assert_eq!(letter.topic, "orders.dead");
    assert_eq!(
        header(&letter, "dead-letter-reason"),
        Some("gave up after 5 attempts: the handler panicked: on fire")
    );
    assert_eq!(header(&letter, "dead-letter-attempts"), Some("5"));
    let text = handle.render();
    let counted: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("events_total{"))
        .collect();
    assert_eq!(
        counted,
        [r#"events_total{topic="orders",outcome="dead_letter"} 1"#]
    );
}

/// A router with each layer whose bit is set, the first innermost.
fn layered(mut router: Router, layers: u16) -> Router {
    let set = |bit: u16| layers & (1 << bit) != 0;
    let minute = Duration::from_mins(1);
    for bit in 0..LAYERS {
        if !set(bit) {
            continue;
        }
        router = match bit {
            0 => router.layer(CatchPanic),
            1 => router.layer(Timeout(minute)),
            2 => router.layer(Retries::default()),
            3 => router.layer(Deduplicate::new(SeenInMemory::new(10, minute))),
            4 => router.layer(Metrics::new()),
            5 => router.layer(Trace),
            6 => router.layer(Correlation),
            7 => router.layer(DeadLetters),
            8 => router.layer(CircuitBreaker::new(3, minute)),
            9 => router.layer(Throttle::new(NonZeroU32::MIN, minute)),
            _ => router.layer(ConcurrencyLimit::new(1)),
        };
    }
    router
}

const LAYERS: u16 = 11;

#[tokio::test(start_paused = true)]
async fn no_combination_of_layers_acknowledges_what_was_not_done() {
    for layers in 0..1 << LAYERS {
        let has = |bit: u16| layers & (1 << bit) != 0;
        let (retries, letters) = (has(2), has(7));
        for said in [
            Answer::Ack,
            Answer::Publish(vec![publication("bills")]),
            retry("busy"),
            dead_letter("no"),
        ] {
            let script = Script::new([said.clone()]);
            let router = layered(Router::new().on("orders", script.handler()), layers);
            let came = match answer_any(&router).await {
                Answer::Ack => "ack",
                Answer::Publish(out) if out[0].topic == "bills" => "publish",
                Answer::Publish(out) if out[0].topic == "orders.dead" => "letter",
                Answer::Publish(out) => panic!("what is {out:?}?"),
                Answer::Retry { .. } => "retry",
                Answer::DeadLetter { .. } => "dead",
            };
            let expected = match (&said, retries, letters) {
                (Answer::Ack, ..) => "ack",
                (Answer::Publish(_), ..) => "publish",
                (Answer::Retry { .. }, false, _) => "retry",
                (_, _, true) => "letter",
                (_, _, false) => "dead",
            };
            assert_eq!(came, expected, "{said:?} through layers {layers:011b}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_panics_caught_and_time_limited_every_handler_has_an_answer() {
    for layers in (0..1 << LAYERS).filter(|layers| layers & 0b11 == 0b11) {
        for router in [
            Router::new().on("orders", panics),
            Router::new().on("orders", std::future::pending::<()>),
        ] {
            let came = answer_any(&layered(router, layers)).await;
            let letter = |out: &[griot_events::Publication]| out[0].topic == "orders.dead";
            let kept = match &came {
                Answer::Ack => false,
                Answer::Publish(out) => letter(out),
                Answer::Retry { .. } | Answer::DeadLetter { .. } => true,
            };
            assert!(kept, "{came:?} through layers {layers:011b}");
        }
    }
}
