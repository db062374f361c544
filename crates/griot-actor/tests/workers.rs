//! The seed's actor: workers on one inbox, and its three programs.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use griot_actor::{Crew, DeadCause, Ended, Exception, NameTaken, Probe, System, Workers};
use tokio::sync::Semaphore;

#[path = "../examples/bale_bane_subtitle.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod bale_bane_subtitle;
#[path = "../examples/eleven_words.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod eleven_words;
#[path = "../examples/stop_while_sending.rs"]
#[expect(dead_code, reason = "its main is for people")]
mod stop_while_sending;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_workers_answer_eleven_words_each_with_its_own_number() {
    let received = eleven_words::run().await;
    assert_eq!(received.len(), 11);
    for received in &received {
        assert_eq!(
            received.result,
            ["One", "Two", "Three"][received.worker - 1]
        );
    }
    for (word, times) in [("One", 4), ("Two", 4), ("Three", 3)] {
        assert_eq!(
            received
                .iter()
                .filter(|received| received.word == word)
                .count(),
            times
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processed_and_pending_make_5050_when_numbers_are_sent_during_a_stop_ten_thousand_times() {
    for _ in 0..10_000 {
        let outcome = stop_while_sending::run().await;
        let all = [outcome.processed, outcome.pending].concat();
        assert_eq!(all.len(), 100);
        assert_eq!(all.iter().sum::<u64>(), 5050);
    }
}

/// Nothing holds the stop up: most numbers come too late, and are handed back to their sender.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_number_that_races_with_a_stop_is_processed_pending_or_refused_ten_thousand_times() {
    for _ in 0..10_000 {
        let (system, processed) = (System::new(), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&processed);
        let crew: Workers<u64, ()> = Workers::spawn(
            &system,
            Crew {
                name: "numbers",
                workers: 5,
                inbox_capacity: 8,
            },
            move |_, number| {
                seen.lock().unwrap().push(number);
                async { Ok(None) }
            },
            |_, exception: Exception<String>| panic!("{exception}"),
        )
        .unwrap();
        let senders: Vec<_> = (1..=100)
            .map(|number| {
                let crew = crew.clone();
                tokio::spawn(async move { crew.tell(number).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let mut all = crew.stop().await;
        all.append(&mut processed.lock().unwrap());
        for sender in senders {
            all.extend(sender.await.unwrap().err().map(|refused| refused.0));
        }
        assert_eq!(all.len(), 100);
        assert_eq!(all.iter().sum::<u64>(), 5050);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bale_speaks_bane_answers_and_subtitle_shows_it() {
    for _ in 0..100 {
        let scene = bale_bane_subtitle::run().await;
        let subtitles: BTreeSet<_> = scene.subtitles.iter().copied().collect();
        assert_eq!(scene.subtitles.len(), 3);
        assert_eq!(
            subtitles,
            BTreeSet::from(["I AM INEVITABLE", "I AM BANE", "I WILL BREAK YOU"])
        );
        assert_eq!(scene.exceptions, ["Bane: WHATEVER YOU SAY"]);
    }
}

#[tokio::test]
async fn workers_are_numbered_from_one_and_work_at_the_same_time() {
    let system = System::new();
    let mut numbers = Probe::new("numbers");
    let everybody = Arc::new(tokio::sync::Barrier::new(4));
    let crew = Workers::spawn(
        &system,
        Crew {
            name: "crew",
            workers: 4,
            ..Crew::default()
        },
        move |worker, ()| {
            let everybody = Arc::clone(&everybody);
            async move {
                everybody.wait().await;
                Ok(Some(worker))
            }
        },
        |_, exception: Exception<String>| panic!("{exception}"),
    )
    .unwrap();
    crew.direct_to(numbers.recipient());
    for () in [(); 4] {
        crew.tell(()).await.unwrap();
    }
    tokio::time::timeout(SOON, crew.drain())
        .await
        .expect("all four meet");
    let numbers: BTreeSet<_> = numbers.take().into_iter().collect();
    assert_eq!(numbers, BTreeSet::from([1, 2, 3, 4]));
}

#[tokio::test]
async fn an_error_goes_to_the_exception_handler_and_the_worker_goes_on() {
    let system = System::new();
    let (mut results, mut exceptions) = (Probe::new("results"), Probe::new("exceptions"));
    let to = exceptions.recipient();
    let crew = Workers::spawn(
        &system,
        Crew {
            name: "crew",
            ..Crew::default()
        },
        |_, number: u32| async move {
            match number {
                1 => Err("one is too few"),
                2 => panic!("two is a crowd"),
                _ => Ok(Some(number)),
            }
        },
        move |worker, exception| to.try_tell((worker, exception)).unwrap(),
    )
    .unwrap();
    crew.direct_to(results.recipient());
    for number in 1..=3 {
        crew.tell(number).await.unwrap();
    }
    assert_eq!(results.next(SOON).await, Some(3));
    assert_eq!(
        exceptions.next(SOON).await,
        Some((1, Exception::Failed("one is too few")))
    );
    let panicked = Exception::Panicked("two is a crowd".into());
    assert_eq!(exceptions.next(SOON).await, Some((1, panicked)));
}

#[tokio::test]
async fn a_panic_in_the_exception_handler_does_not_end_the_worker() {
    let system = System::new();
    let mut results = Probe::new("results");
    let crew = Workers::spawn(
        &system,
        Crew {
            name: "crew",
            ..Crew::default()
        },
        |_, number: u32| async move {
            if number == 0 {
                Err("zero")
            } else {
                Ok(Some(number))
            }
        },
        |_, exception| panic!("{exception}"),
    )
    .unwrap();
    crew.direct_to(results.recipient());
    crew.tell(0).await.unwrap();
    crew.tell(1).await.unwrap();
    assert_eq!(results.next(SOON).await, Some(1));
}

#[tokio::test]
async fn a_full_inbox_makes_senders_wait_and_hands_back_what_cannot_wait() {
    let system = System::new();
    let gate = Arc::new(Semaphore::new(0));
    let at_gate = Arc::clone(&gate);
    let crew: Workers<u32, ()> = Workers::spawn(
        &system,
        Crew {
            name: "crew",
            workers: 1,
            inbox_capacity: 1,
        },
        move |_, _| {
            let gate = Arc::clone(&at_gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(None)
            }
        },
        |_, exception: Exception<String>| panic!("{exception}"),
    )
    .unwrap();
    // One in hand, and one in the inbox.
    crew.tell(1).await.unwrap();
    crew.tell(2).await.unwrap();
    tokio::task::yield_now().await;
    let refused = loop {
        match crew.try_tell(3) {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(refused.is_full());
    assert_eq!(refused.into_message(), 3);
    let waiting = crew.tell(4);
    gate.add_permits(10);
    tokio::time::timeout(SOON, waiting)
        .await
        .expect("room comes")
        .unwrap();
    crew.drain().await;
}

#[tokio::test]
async fn a_crew_that_has_ended_hands_messages_back_and_counts_dead_letters() {
    let system = System::new();
    let mut letters = system.dead_letters().subscribe();
    let crew: Workers<u32, ()> = Workers::spawn(
        &system,
        Crew {
            name: "crew",
            ..Crew::default()
        },
        |_, _| async { Ok(None) },
        |_, exception: Exception<String>| panic!("{exception}"),
    )
    .unwrap();
    assert!(matches!(crew.drain().await, Ended::Drained));
    assert_eq!(crew.tell(7).await.unwrap_err().0, 7);
    let letter = letters.recv().await.unwrap();
    assert_eq!(
        (&*letter.actor, letter.message, letter.cause),
        ("crew", "u32", DeadCause::Ended)
    );
    assert_eq!(system.dead_letters().count(), 1);
}

#[tokio::test]
async fn a_kill_ends_workers_in_the_middle_and_counts_what_was_pending() {
    let system = System::new();
    let crew: Workers<u32, ()> = Workers::spawn(
        &system,
        Crew {
            name: "crew",
            workers: 2,
            ..Crew::default()
        },
        |_, _| std::future::pending(),
        |_, exception: Exception<String>| panic!("{exception}"),
    )
    .unwrap();
    for number in 0..5 {
        crew.tell(number).await.unwrap();
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(
        tokio::time::timeout(SOON, crew.kill()).await,
        Ok(Ended::Killed)
    ));
    assert_eq!(system.dead_letters().count(), 3);
}

#[tokio::test]
async fn crews_have_names_like_other_actors() {
    let system = System::new();
    let spawn = || -> Result<Workers<(), ()>, NameTaken> {
        Workers::spawn(
            &system,
            Crew {
                name: "crew",
                ..Crew::default()
            },
            |_, ()| async { Ok(None) },
            |_, exception: Exception<String>| panic!("{exception}"),
        )
    };
    let first = spawn().unwrap();
    assert_eq!(spawn().unwrap_err().name, "crew");
    first.drain().await;
    spawn().expect("the name is free again");
    assert_eq!(system.shutdown(SOON).await.drained, 1);
}
