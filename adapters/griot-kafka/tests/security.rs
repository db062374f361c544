//! TLS, and every way to prove who we are.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::time::{Duration, SystemTime};

use griot_events::{Broker, BrokerError, Order};
use griot_kafka::{KafkaBroker, KafkaOptions, Login, Token, TokenSource};
use griot_testkit::probe::{self, message, publish, subscribe, take, topic};

/// Signed by nobody, for `griot`, until the year 2100.
const TOKEN: &str =
    "eyJhbGciOiJub25lIn0.eyJzdWIiOiJncmlvdCIsImlhdCI6MTcwMDAwMDAwMCwiZXhwIjo0MTAyNDQ0ODAwfQ.";

async fn refusal(url: &str) -> String {
    let error = KafkaBroker::connect(url).await.unwrap_err();
    assert!(matches!(error, BrokerError::Refused { .. }), "{error}");
    error.to_string()
}

/// Publishes and reads.
async fn works(broker: &KafkaBroker, topic: &str) {
    publish(broker, vec![message(topic, "k", 1)]).await;
    let mut source = subscribe(broker, topic, &probe::topic("group"), Order::PerKey).await;
    assert_eq!(take(&mut source, 1).await, ["1"]);
    broker.check().await.unwrap();
}

#[tokio::test]
async fn a_password_is_proved_by_each_mechanism_over_tls() {
    let Some((server, ca)) = rig::secured() else {
        return;
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let settings = format!("ca={ca}&partitions=1&session_seconds=6&sasl={mechanism}");
        let broker =
            KafkaBroker::connect(&format!("kafkas://griot:griot@{server}?{settings}")).await;
        works(&broker.unwrap(), &topic("orders")).await;
        let said = refusal(&format!("kafkas://griot:wrong@{server}?{settings}")).await;
        assert!(said.contains("check user, password"), "{said}");
    }
}

#[tokio::test]
async fn a_token_is_asked_for_and_topics_are_not_made_with_it() {
    let Some((server, ca)) = rig::secured() else {
        return;
    };
    let topic = topic("orders");
    let mut options: KafkaOptions = format!("kafkas://{server}?ca={ca}&session_seconds=6")
        .parse()
        .unwrap();
    options.login = Login::Token(TokenSource::new(|| {
        Ok(Token {
            value: TOKEN.to_owned(),
            ends: SystemTime::now() + Duration::from_hours(1),
        })
    }));
    let broker = KafkaBroker::connect_with(options).await.unwrap();
    let outcomes = broker.publish(vec![message(&topic, "k", 0)]).await;
    let [Err(refused @ BrokerError::Refused { .. })] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert!(refused.to_string().contains("create it first"), "{refused}");
    let maker = format!("kafkas://griot:griot@{server}?ca={ca}&partitions=1");
    let maker = KafkaBroker::connect(&maker).await.unwrap();
    subscribe(&maker, &topic, "maker", Order::PerKey).await;
    works(&broker, &topic).await;
}

#[tokio::test]
async fn a_token_in_a_file_is_taken_and_a_bad_one_refused() {
    let Some((server, ca)) = rig::secured() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let url = format!("kafkas://{server}?ca={ca}&token_file={}", path.display());
    std::fs::write(&path, TOKEN).unwrap();
    KafkaBroker::connect(&url)
        .await
        .unwrap()
        .check()
        .await
        .unwrap();
    std::fs::write(&path, "nobody").unwrap();
    refusal(&url).await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let Some((server, _)) = rig::secured() else {
        return;
    };
    let said = refusal(&format!("kafkas://griot:griot@{server}")).await;
    assert!(said.contains("?ca=PATH"), "{said}");
}
