//! Crews directed into one another.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use griot_actor::{Actor, Context, Crew, Exception, Handle, Pipeline, Probe, System, Workers};

const SOON: Duration = Duration::from_secs(10);

fn stage(system: &System, name: &str, workers: usize) -> Workers<u64, u64> {
    Workers::spawn(
        system,
        Crew {
            name,
            workers,
            inbox_capacity: 4,
        },
        |_, number| async move {
            tokio::task::yield_now().await;
            Ok(Some(number + 1))
        },
        |_, exception: Exception<String>| panic!("{exception}"),
    )
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_pipeline_is_drained_in_order_and_loses_nothing() {
    let system = System::new();
    let mut out = Probe::new("out");
    let pipeline = Pipeline::start(&stage(&system, "first", 3))
        .direct(&stage(&system, "second", 1))
        .direct(&stage(&system, "third", 4));
    pipeline.direct_to(out.recipient());
    for number in 0..1000 {
        pipeline.tell(number).await.unwrap();
    }
    tokio::time::timeout(SOON, pipeline.drain())
        .await
        .expect("it drains");
    let mut numbers = out.take();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(3..1003));
    assert_eq!(pipeline.tell(1).await.unwrap_err().0, 1);
}

#[tokio::test]
async fn an_actor_can_be_the_output_of_a_pipeline() {
    struct Sum(Arc<Mutex<u64>>);

    impl Actor for Sum {
        type Messages = (u64,);
    }

    impl Handle<u64> for Sum {
        type Reply = ();

        async fn handle(&mut self, number: u64, _: &mut Context<Self>) {
            *self.0.lock().unwrap() += number;
        }
    }

    let system = System::new();
    let total = Arc::new(Mutex::new(0));
    let shared = Arc::clone(&total);
    let sum = system
        .spawn("sum", move || Sum(Arc::clone(&shared)))
        .unwrap();
    let pipeline = Pipeline::start(&stage(&system, "first", 2));
    pipeline.direct_to(sum.recipient());
    for number in 1..=100 {
        pipeline.tell(number).await.unwrap();
    }
    pipeline.drain().await;
    sum.drain().await;
    assert_eq!(*total.lock().unwrap(), 5050 + 100);
}

#[tokio::test]
async fn a_result_whose_output_has_ended_goes_to_the_exception_handler() {
    let system = System::new();
    let mut exceptions = Probe::new("exceptions");
    let to = exceptions.recipient();
    let first = Workers::spawn(
        &system,
        Crew {
            name: "first",
            ..Crew::default()
        },
        |_, number: u64| async move { Ok(Some(number)) },
        move |_, exception: Exception<String>| to.try_tell(exception).unwrap(),
    )
    .unwrap();
    let second = stage(&system, "second", 1);
    let pipeline = Pipeline::start(&first).direct(&second);
    second.drain().await;
    pipeline.tell(1).await.unwrap();
    assert_eq!(
        exceptions.next(SOON).await,
        Some(Exception::Undelivered("second".into()))
    );
    assert_eq!(system.dead_letters().count(), 1);
}

#[tokio::test]
async fn a_stopped_stage_hands_back_what_the_rest_of_the_pipeline_never_saw() {
    let system = System::new();
    let mut out = Probe::new("out");
    let (first, second) = (stage(&system, "first", 1), stage(&system, "second", 1));
    let pipeline = Pipeline::start(&first).direct(&second);
    pipeline.direct_to(out.recipient());
    for number in 0..6 {
        pipeline.tell(number).await.unwrap();
    }
    let mut pending: Vec<_> = first.stop().await;
    pending.extend(second.stop().await.into_iter().map(|number| number - 1));
    pending.extend(out.take().into_iter().map(|number| number - 2));
    pending.sort_unstable();
    assert_eq!(pending, [0, 1, 2, 3, 4, 5]);
}
