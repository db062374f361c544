//! A server that stops and dies. Alone in this file, since it disturbs whoever else uses it.

#[path = "rig/server.rs"]
mod rig;

use std::sync::Arc;

use griot_events::{Broker, BrokerError, Order};
use griot_kafka::KafkaBroker;
use griot_testkit::probe::{message_with_id, publish, subscribe, take, topic, until};
use griot_testkit::{BrokerFactory, BrokerServer, End};
use rig::{Server, connect};

impl BrokerFactory for Server {
    async fn open(&self) -> Arc<dyn Broker> {
        Arc::new(connect(&self.url).await)
    }
}

impl BrokerServer for Server {
    async fn restart(&self, end: End) {
        self.end(end).await;
        self.go_on().await;
    }
}

griot_testkit::broker_server_suite!(match Server::alone() {
    Some(server) => server,
    None => return,
});

#[test]
fn a_server_that_is_gone_is_unreachable_and_a_publication_unknown() {
    let Some(server) = Server::alone() else {
        return;
    };
    griot_testkit::run(async move {
        let url = format!("{}&timeout_seconds=2", server.url);
        let (broker, topic) = (connect(&url).await, topic("gone"));
        publish(&broker, vec![message_with_id(&topic, "k", 1, "one")]).await;
        server.end(End::Killed).await;
        let outcomes = broker
            .publish(vec![message_with_id(&topic, "k", 2, "two")])
            .await;
        let refused = KafkaBroker::connect(&url).await;
        let checked = broker.check().await;
        server.go_on().await;
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
            let outcomes = broker
                .publish(vec![message_with_id(&topic, "k", 2, "two")])
                .await;
            outcomes.iter().all(Result::is_ok)
        })
        .await;
        let all = connect(&format!("{url}&remember=0")).await;
        let mut source = subscribe(&all, &topic, &topic, Order::PerKey).await;
        publish(&broker, vec![message_with_id(&topic, "k", 3, "three")]).await;
        assert_eq!(take(&mut source, 3).await, ["1", "2", "3"]);
    });
}
