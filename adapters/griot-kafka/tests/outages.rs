//! A server that stops and dies under load. Alone in this file, since it disturbs whoever else uses it.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::collections::BTreeSet;
use std::sync::Arc;

use griot_events::{Broker, BrokerError};
use griot_kafka::KafkaBroker;
use griot_testkit::{BrokerFactory, BrokerServer};
use rig::{Server, connect, message, next, publish, subscribe, text, topic, until};
use tokio::sync::watch;

impl BrokerFactory for Server {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(KafkaBroker::connect(&self.url).await.unwrap())
    }
}

impl BrokerServer for Server {
    async fn restart(&self) {
        self.kill_and_start().await;
    }
}

griot_testkit::broker_server_suite!(match Server::alone() {
    Some(server) => server,
    None => return,
});

/// Publishes numbered messages of ten keys until told to stop, each until it is confirmed, under its id;
/// what it returns was confirmed.
async fn load(broker: KafkaBroker, topic: String, stopped: watch::Receiver<bool>) -> u32 {
    let mut next = 0;
    while !*stopped.borrow() {
        let mut batch: Vec<u32> = (next..next + 50).collect();
        next += 50;
        while !batch.is_empty() {
            let messages = batch.iter().map(|number| {
                let (key, id) = ((number % 10).to_string(), number.to_string());
                message(&topic, &key, number, &id)
            });
            let outcomes = broker.publish(messages.collect()).await;
            let failed = batch.iter().zip(outcomes);
            let failed = failed.filter(|(_, outcome)| outcome.is_err());
            batch = failed.map(|(number, _)| *number).collect();
        }
    }
    next
}

#[test]
fn a_stop_and_a_kill_under_load_lose_nothing_and_keep_the_order_of_keys() {
    let Some(server) = Server::alone() else {
        return;
    };
    griot_testkit::run(async move {
        let url = format!("{}&timeout_seconds=2", server.url);
        let (broker, publisher, topic) = (connect(&url).await, connect(&url).await, topic("load"));
        let mut source = subscribe(&broker, &topic, &topic).await;
        let (stop, stopped) = watch::channel(false);
        let loading = tokio::spawn(load(publisher, topic.clone(), stopped));
        let (count, counted) = watch::channel(BTreeSet::<u32>::new());
        let reading = tokio::spawn(async move {
            let mut arrived: Vec<u32> = Vec::new();
            loop {
                let delivery = next(&mut source).await;
                arrived.push(text(&delivery).parse().unwrap());
                // Where it is not heard, the message comes again.
                let _ = delivery.receipt.ack().await;
                if arrived.last() == Some(&u32::MAX) {
                    return arrived;
                }
                count.send_modify(|all| all.extend(arrived.last()));
            }
        });
        until("messages flow", || async { counted.borrow().len() >= 500 }).await;
        server.restart().await;
        let before = counted.borrow().len();
        until("messages flow again", || async {
            counted.borrow().len() >= before + 500
        })
        .await;
        server.kill_and_start().await;
        let before = counted.borrow().len();
        until("messages flow after all", || async {
            counted.borrow().len() >= before + 500
        })
        .await;
        stop.send_replace(true);
        let confirmed = loading.await.unwrap();
        until("all has arrived", || async {
            counted.borrow().len() >= confirmed as usize
        })
        .await;
        publish(&broker, vec![message(&topic, "end", u32::MAX, "")]).await;
        let arrived = reading.await.unwrap();
        let mut seen = BTreeSet::new();
        let mut last = [None; 10];
        for number in arrived.into_iter().filter(|number| *number != u32::MAX) {
            // One that comes again may do so later.
            if seen.insert(number) {
                let last = &mut last[(number % 10) as usize];
                assert!(
                    last.is_none_or(|last| last < number),
                    "{number} after {last:?}"
                );
                *last = Some(number);
            }
        }
        assert!((0..confirmed).all(|number| seen.contains(&number)));
    });
}

#[test]
fn a_server_that_is_gone_is_unreachable_and_a_publication_unknown() {
    let Some(server) = Server::alone() else {
        return;
    };
    griot_testkit::run(async move {
        let url = format!("{}&timeout_seconds=2", server.url);
        let (broker, topic) = (connect(&url).await, topic("gone"));
        publish(&broker, vec![message(&topic, "k", 1, "one")]).await;
        server.say("kill").await;
        let outcomes = broker.publish(vec![message(&topic, "k", 2, "two")]).await;
        let refused = KafkaBroker::connect(&url).await;
        let checked = broker.check().await;
        server.say("up").await;
        assert!(
            matches!(outcomes[..], [Err(BrokerError::Unknown(_))]),
            "{outcomes:?}"
        );
        assert!(
            matches!(refused, Err(BrokerError::Unreachable(_))),
            "{refused:?}"
        );
        assert!(
            matches!(checked, Err(BrokerError::Unreachable(_))),
            "{checked:?}"
        );
        // Asked for again, it is the same message, which is on its way: it is stored once.
        until("it is confirmed", || async {
            let outcomes = broker.publish(vec![message(&topic, "k", 2, "two")]).await;
            outcomes.iter().all(Result::is_ok)
        })
        .await;
        let all = connect(&format!("{url}&remember=0")).await;
        let mut source = subscribe(&all, &topic, &topic).await;
        publish(&broker, vec![message(&topic, "k", 3, "three")]).await;
        assert_eq!(rig::take(&mut source, 3).await, ["1", "2", "3"]);
    });
}
