//! Servers that are gone for a while, or for good, and networks that lose what is sent.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::time::Duration;

use griot_events::{Broker, BrokerError, Incoming, Order};
use griot_remote::{Limits, RemoteBroker};
use griot_testkit::probe::{
    DEADLINE, incoming, message, next, publish, subscribe, subscription, take, text,
};
use griot_testkit::{Network, Relay};
use rig::{Server, Store, connect};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Short, for tests that wait for it.
const SILENCE: Duration = Duration::from_secs(1);

/// Publishes until it is confirmed: the broker may be on its way back.
async fn publish_in_the_end(broker: &RemoteBroker, topic: &str, number: u32) {
    let trying = async {
        let one = || vec![message(topic, "k", number)];
        while broker.publish(one()).await[0].is_err() {}
    };
    timeout(DEADLINE, trying).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_and_named() {
    let mut server = Server::start(Store::memory()).await;
    server.kill().await;
    let error = RemoteBroker::connect(&server.url()).await.unwrap_err();
    let BrokerError::Unreachable(cause) = &error else {
        panic!("{error}");
    };
    assert!(cause.to_string().contains(&server.url()), "{cause}");
}

#[tokio::test]
async fn what_answers_and_is_no_griot_server_is_refused_and_what_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answering = tokio::spawn(async move {
        for answer in [
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "hello\r\n\r\n",
        ] {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        listener
    });
    for _ in 0..2 {
        let error = RemoteBroker::connect(&url).await.unwrap_err();
        assert!(matches!(error, BrokerError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("griot server"), "{error}");
    }
    let listening = answering.await.unwrap();
    let url = format!("{url}?timeout_seconds=1");
    let error = RemoteBroker::connect(&url).await.unwrap_err();
    assert!(matches!(error, BrokerError::Unreachable(_)), "{error}");
    drop(listening);
}

#[tokio::test]
async fn a_publication_without_an_answer_is_unknown_and_one_without_a_connection_unreachable() {
    let mut server = Server::start(Store::memory()).await;
    let relay = Relay::before(server.address().to_string()).await;
    let broker = connect(&format!("http://{}?timeout_seconds=1", relay.address())).await;
    broker.check().await.unwrap();
    relay.set(Network::Silent);
    let publishing = tokio::spawn({
        let broker = broker.clone();
        async move { broker.publish(vec![message("orders", "k", 1)]).await }
    });
    // Behind the publication, and lost with it.
    let checked = broker.check().await;
    assert!(matches!(checked, Err(BrokerError::Unreachable(_))));
    server.kill().await;
    relay.set(Network::Cut);
    let outcomes = publishing.await.unwrap();
    assert!(
        matches!(outcomes[..], [Err(BrokerError::Unknown(_))]),
        "{outcomes:?}"
    );
    let outcomes = broker.publish(vec![message("orders", "k", 2)]).await;
    assert!(
        matches!(outcomes[..], [Err(BrokerError::Unreachable(_))]),
        "{outcomes:?}"
    );
    assert!(matches!(
        broker.check().await,
        Err(BrokerError::Unreachable(_))
    ));
    relay.set(Network::Whole);
    server.go_on().await;
    publish_in_the_end(&broker, "orders", 3).await;
    broker.check().await.unwrap();
}

#[tokio::test]
async fn a_half_open_connection_is_noticed_on_both_ends() {
    let limits = Limits {
        silence_max: SILENCE,
        ..Limits::default()
    };
    let server = Server::start_with(Store::memory(), None, limits).await;
    let relay = Relay::before(server.address().to_string()).await;
    let cut_off = connect(&format!("http://{}?silence_seconds=1", relay.address())).await;
    publish(&cut_off, vec![message("orders", "k", 1)]).await;
    let mut source = subscribe(&cut_off, "orders", "g", Order::PerKey).await;
    let held = next(&mut source).await;
    relay.set(Network::Silent);

    // The server gives what the silent member had to another.
    let other = connect(&server.url()).await;
    let mut successor = subscribe(&other, "orders", "g", Order::PerKey).await;
    let again = next(&mut successor).await;
    assert_eq!((text(&again), again.event.redelivered()), ("1".into(), 1));
    again.receipt.ack().await.unwrap();
    drop(successor);

    // The client learns that its message is no longer its own.
    let Incoming::Revoked {
        partitions,
        released,
    } = incoming(&mut source).await
    else {
        panic!("no revocation");
    };
    assert_eq!(partitions, [("orders".to_owned(), held.event.position().0)]);
    let stale = held.receipt.ack().await;
    assert!(
        matches!(stale, Err(BrokerError::Refused { .. })),
        "{stale:?}"
    );

    // And both go on when the network does.
    relay.set(Network::Whole);
    publish_in_the_end(&cut_off, "orders", 2).await;
    let unreleased = timeout(Duration::from_millis(300), source.next()).await;
    assert!(unreleased.is_err(), "given before the old was let go");
    released.send(()).unwrap();
    assert_eq!(text(&next(&mut source).await), "2");
}

#[tokio::test]
async fn a_receipt_of_a_server_that_was_killed_is_an_error_and_its_message_comes_again() {
    let mut server = Server::start(Store::disk()).await;
    let broker = connect(&server.url()).await;
    publish(&broker, vec![message("orders", "k", 1)]).await;
    let mut source = subscribe(&broker, "orders", "g", Order::PerKey).await;
    let held = next(&mut source).await;
    server.kill().await;
    server.go_on().await;
    let revoked = incoming(&mut source).await;
    assert!(matches!(revoked, Incoming::Revoked { .. }), "{revoked:?}");
    drop(revoked);
    assert!(held.receipt.extend().await.is_err());
    assert!(held.receipt.give_back().await.is_err());
    let again = next(&mut source).await;
    assert_eq!(text(&again), "1");
    again.receipt.ack().await.unwrap();
}

#[tokio::test]
async fn a_lease_is_passed_on_and_ends() {
    let lease = Duration::from_millis(300);
    let server = Server::start_with(Store::memory(), Some(lease), Limits::default()).await;
    let broker = connect(&server.url()).await;
    publish(&broker, vec![message("orders", "k", 1)]).await;
    let mut source = subscribe(&broker, "orders", "g", Order::PerKey).await;
    assert_eq!(source.lease(), Some(lease));
    let first = next(&mut source).await;
    first.receipt.extend().await.unwrap();
    let second = next(&mut source).await;
    assert_eq!(second.event.redelivered(), 1);
    let ended = first.receipt.extend().await;
    assert!(
        matches!(ended, Err(BrokerError::Refused { .. })),
        "{ended:?}"
    );
    second.receipt.ack().await.unwrap();
}

#[tokio::test]
async fn a_revocation_is_passed_on_and_waits_until_it_is_released() {
    let server = Server::start(Store::memory()).await;
    let broker = connect(&server.url()).await;
    let all = (0..32).map(|number| message("orders", &number.to_string(), number));
    publish(&broker, all.collect()).await;
    let mut one = subscribe(&broker, "orders", "g", Order::PerKey).await;
    let mut held = Vec::new();
    for _ in 0..32 {
        held.push(next(&mut one).await);
    }
    let mut two = subscribe(&broker, "orders", "g", Order::PerKey).await;
    let Incoming::Revoked {
        partitions,
        released,
    } = incoming(&mut one).await
    else {
        panic!("no revocation");
    };
    let waits = timeout(Duration::from_millis(300), two.next()).await;
    assert!(waits.is_err(), "given before it was released");
    let moving = held.iter().filter(|delivery| {
        let place = (
            delivery.event.topic().to_owned(),
            delivery.event.position().0,
        );
        partitions.contains(&place)
    });
    let moving = moving.count();
    assert!(moving > 0);
    released.send(()).unwrap();
    for _ in 0..moving {
        let delivery = next(&mut two).await;
        let place = ("orders".to_owned(), delivery.event.position().0);
        assert!(partitions.contains(&place), "{place:?}");
        delivery.receipt.ack().await.unwrap();
    }
}

#[tokio::test]
async fn a_member_that_has_all_it_may_have_hears_what_it_is_to_let_go_of() {
    let server = Server::start(Store::memory()).await;
    let broker = connect(&server.url()).await;
    let all = (0..32).map(|number| message("orders", &number.to_string(), number));
    publish(&broker, all.collect()).await;
    let mut few = subscription("orders", "g", Order::PerKey);
    few.in_flight_max = 4;
    let mut full = broker.subscribe(few).await.unwrap();
    // The other three wait to be asked for.
    let held = next(&mut full).await;
    let mut other = subscribe(&broker, "orders", "g", Order::PerKey).await;
    let change = timeout(DEADLINE, full.next_change()).await.unwrap();
    let Some(Ok(Incoming::Revoked {
        partitions,
        released,
    })) = change
    else {
        panic!("no revocation: {change:?}");
    };
    held.receipt.ack().await.unwrap();
    released.send(()).unwrap();
    // Those that waited went back, and come with their partitions; others may have come before.
    let mut left = 31;
    loop {
        let moved = next(&mut other).await;
        let place = ("orders".to_owned(), moved.event.position().0);
        moved.receipt.ack().await.unwrap();
        left -= 1;
        if partitions.contains(&place) {
            break;
        }
    }
    drop(full);
    take(&mut other, left).await;
}
