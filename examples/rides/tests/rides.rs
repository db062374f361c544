//! The two services and the two features, from the wish for a ride to the e-mail.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "in a test a panic is the report"
)]

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rides::ride::{ChangeAddress, Complete, Create, Ride};
use rides::{World, address_changes};

/// Longer than anything takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

async fn accepted(world: &World, name: &str) -> String {
    let ride = world.ride(name).unwrap();
    let found = |ride: &Ride, _| ride.chauffeur.clone();
    let found = ride.wait_until(DEADLINE, found).await.unwrap();
    found.expect("a chauffeur within the deadline")
}

async fn create(world: &World, name: &str) {
    let create = Create {
        pickup: "here".to_owned(),
        dropoff: "there".to_owned(),
        guest: "guest@example.com".to_owned(),
    };
    let ride = world.ride(name).unwrap();
    ride.ask(create).await.unwrap();
}

async fn start(directory: &Path, broker: &str) -> World {
    let outbox = directory.join("outbox");
    World::start(directory, broker, &outbox).await.unwrap()
}

/// The URL of a running server; without one, says what is left out.
fn running(variable: &str, settings: &str) -> Option<String> {
    let url = std::env::var(variable).ok();
    if url.is_none() {
        // Not `eprintln!`: what that prints is kept from sight when the test passes.
        let text = format!("LEFT OUT rides on another broker: set {variable} to its URL\n");
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    Some(format!("{}?{settings}", url?))
}

/// The e-mail about a ride, once it is there.
async fn mail(directory: &Path, ride: &str) -> String {
    let path = directory.join("outbox").join(format!("{ride}.eml"));
    let there = async {
        loop {
            match tokio::fs::read_to_string(&path).await {
                Ok(text) => return text,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let there = tokio::time::timeout(DEADLINE, there);
    there.await.expect("an e-mail within the deadline")
}

/// Two rides, one of them completed after two changes of its address.
async fn take(broker: &str) {
    let directory = tempfile::tempdir().unwrap();
    let world = start(directory.path(), broker).await;
    // The broker knows messages of other runs by their ids, in which the rides' names are.
    let [one, two] = [0, 1].map(|_| uuid::Uuid::now_v7().to_string());
    for ride in [&one, &two] {
        create(&world, ride).await;
    }
    let chauffeur = accepted(&world, &one).await;
    accepted(&world, &two).await;
    let ride = world.ride(&one).unwrap();
    for dropoff in ["elsewhere", "elsewhere", "there again"] {
        let dropoff = dropoff.to_owned();
        ride.ask(ChangeAddress { dropoff }).await.unwrap();
    }
    ride.ask(Complete).await.unwrap();
    let mail = mail(directory.path(), &one).await;
    assert!(
        mail.contains("To: guest@example.com") && mail.contains("there again"),
        "{mail}"
    );
    assert!(mail.contains(&chauffeur), "{mail}");
    let counts = address_changes::count(world.griot().journal().as_ref());
    let counts = counts.await.unwrap();
    assert_eq!((counts[&one], counts[&two]), (2, 0));
    world.drain(DEADLINE).await;
}

#[tokio::test]
async fn a_ride_is_accepted_and_completed_and_both_features_see_it() {
    take("embedded").await;
}

#[tokio::test]
async fn a_ride_is_accepted_and_completed_on_every_broker_that_there_is() {
    for (variable, settings) in [
        ("GRIOT_TEST_KAFKA", "partitions=4&session_seconds=6"),
        ("GRIOT_TEST_NATS", "lease_seconds=2"),
        ("GRIOT_TEST_RABBITMQ", ""),
    ] {
        if let Some(broker) = running(variable, settings) {
            take(&broker).await;
        }
    }
}

#[tokio::test]
async fn g6_a_ride_whose_services_end_at_any_moment_is_accepted_after_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let world = start(directory.path(), "embedded").await;
        create(&world, &round.to_string()).await;
        // Ends as a crash would, with the search not begun, under way, or just over.
        world.griot().journal().close().await;
    }
    let world = start(directory.path(), "embedded").await;
    for round in 0..5 {
        accepted(&world, &round.to_string()).await;
    }
    world.drain(DEADLINE).await;
}
