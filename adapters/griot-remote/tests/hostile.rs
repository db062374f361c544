//! Clients that are none, or mean harm: each is told why, and the others notice nothing.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/server.rs"]
mod rig;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use griot_events::{Broker, BrokerError, Order};
use griot_remote::{Limits, MESSAGE_BYTES_MAX, RemoteBroker};
use griot_testkit::probe::{DEADLINE, message, next, publish, subscribe, text};
use rig::{Server, Store, connect};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Response;
use tokio_tungstenite::tungstenite::{self, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Connects by hand, as nobody of ours would.
async fn raw(
    address: SocketAddr,
    query: &str,
    headers: &[(&'static str, &str)],
) -> Result<WebSocketStream<TcpStream>, Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!("ws://{address}/broker{query}").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (socket, _) = client_async(request, stream).await?;
    Ok(socket)
}

fn refusal(outcome: Result<WebSocketStream<TcpStream>, Error>) -> Response<Option<Vec<u8>>> {
    let Err(Error::Http(response)) = outcome.map(drop) else {
        panic!("it was let in");
    };
    *response
}

/// The code and the reason with which the server closes.
async fn goodbye(mut socket: WebSocketStream<TcpStream>) -> (u16, String) {
    let closing = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(DEADLINE, closing).await.unwrap()
}

/// Others publish and read as if nothing had happened.
async fn all_is_well(server: &Server) {
    let broker = connect(&server.url()).await;
    publish(&broker, vec![message("well", "k", "1")]).await;
    let mut source = subscribe(&broker, "well", "g", Order::PerKey).await;
    assert_eq!(text(&next(&mut source).await), "1");
    broker.close().await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_turned_away() {
    let server = Server::start(Store::memory()).await;
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let refused = refusal(raw(server.address(), "?version=1", &[("origin", origin)]).await);
        assert_eq!(refused.status(), 403, "{origin}");
        assert_eq!(
            refused.headers()["content-type"],
            "application/problem+json"
        );
    }
    let own = server.url();
    raw(server.address(), "?version=1", &[("origin", &own)])
        .await
        .unwrap();
}

#[tokio::test]
async fn another_version_is_named() {
    let server = Server::start(Store::memory()).await;
    for (query, named) in [("?version=2", "\"2\""), ("", "none"), ("?version=1x", "1x")] {
        let refused = refusal(raw(server.address(), query, &[]).await);
        assert_eq!(refused.status(), 400, "{query}");
        let problem: Value = serde_json::from_slice(refused.body().as_ref().unwrap()).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("version 1") && detail.contains(named),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn one_connection_too_many_is_told_to_come_later() {
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let server = Server::start_with(Store::memory(), None, limits).await;
    let first = connect(&server.url()).await;
    let second = connect(&server.url()).await;
    let error = RemoteBroker::connect(&server.url()).await.unwrap_err();
    let BrokerError::Unreachable(cause) = &error else {
        panic!("{error}");
    };
    assert!(cause.to_string().contains("2 connections"), "{cause}");
    let refused = refusal(raw(server.address(), "?version=1", &[]).await);
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (503, &"1".parse().unwrap())
    );
    second.close().await;
    let coming = async { while RemoteBroker::connect(&server.url()).await.is_err() {} };
    timeout(DEADLINE, coming).await.unwrap();
    first.check().await.unwrap();
}

#[tokio::test]
async fn what_is_no_frame_of_ours_ends_its_connection_with_the_reason() {
    let server = Server::start(Store::memory()).await;
    let many = [0x0a, 0].repeat(1_025);
    let many = [&[0x12, 0x82, 0x10], many.as_slice()].concat();
    for (frame, named) in [
        (Message::binary(vec![0xff; 64]), "no request"),
        (Message::binary(many), "1024 publications"),
        (Message::text("{\"publish\":1}"), "binary"),
    ] {
        let mut socket = raw(server.address(), "?version=1", &[]).await.unwrap();
        socket.send(frame).await.unwrap();
        let (code, reason) = goodbye(socket).await;
        assert!(code == 1008 && reason.contains(named), "{code} {reason}");
    }
    all_is_well(&server).await;
}

#[tokio::test]
async fn a_frame_that_is_too_long_ends_its_connection_before_it_is_read() {
    let server = Server::start(Store::memory()).await;
    let mut socket = raw(server.address(), "?version=1", &[]).await.unwrap();
    // The rest of it is not taken, and the reason seldom arrives.
    let _ = socket.send(Message::binary(vec![0; 64 << 20])).await;
    let ending = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(DEADLINE, ending).await.unwrap();
    all_is_well(&server).await;
}

#[tokio::test]
async fn a_question_that_means_nothing_is_answered_so() {
    let server = Server::start(Store::memory()).await;
    // Number 1, and: acknowledge, give back, extend delivery 99; nothing at all.
    let questions = [
        vec![8, 1, 0x28, 99],
        vec![8, 1, 0x30, 99],
        vec![8, 1, 0x38, 99],
        vec![8, 1],
    ];
    let mut socket = raw(server.address(), "?version=1", &[]).await.unwrap();
    for question in questions {
        socket.send(Message::binary(question)).await.unwrap();
        let answer = answer(&mut socket).await;
        assert!(
            answer.contains("not out") || answer.contains("older"),
            "{answer}"
        );
    }
    // A release of what was never revoked has no answer, and harms nothing.
    socket.send(Message::binary(vec![0x40, 99])).await.unwrap();
    all_is_well(&server).await;
}

async fn answer(socket: &mut WebSocketStream<TcpStream>) -> String {
    let answering = async {
        loop {
            if let Message::Binary(bytes) = socket.next().await.unwrap().unwrap() {
                return String::from_utf8_lossy(&bytes).into_owned();
            }
        }
    };
    timeout(DEADLINE, answering).await.unwrap()
}

#[tokio::test]
async fn g10_a_client_that_asks_and_never_reads_is_ended() {
    let limits = Limits {
        silence_max: Duration::from_secs(1),
        ..Limits::default()
    };
    let server = Server::start_with(Store::memory(), None, limits).await;
    let mut socket = raw(server.address(), "?version=1", &[]).await.unwrap();
    // Each answer is longer than its question; what is not read fills every buffer on the way.
    let question = Message::binary([8, 1].repeat(512));
    let asking = async {
        loop {
            if let Err(error) = socket.send(question.clone()).await {
                return error;
            }
        }
    };
    let ended = timeout(DEADLINE, asking).await.unwrap();
    assert!(matches!(ended, tungstenite::Error::Io(_)), "{ended:?}");
    all_is_well(&server).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_and_the_next_of_its_key_with_it() {
    let server = Server::start(Store::memory()).await;
    let broker = connect(&server.url()).await;
    let large = "x".repeat(MESSAGE_BYTES_MAX);
    let almost = "x".repeat(MESSAGE_BYTES_MAX - 1_024);
    let outcomes = broker
        .publish(vec![
            message("orders", "a", large),
            message("orders", "a", "later"),
            message("orders", "b", almost),
            message("or*ders", "c", "1"),
        ])
        .await;
    let [Err(large), Err(later), Ok(()), Err(pattern)] = outcomes.as_slice() else {
        panic!("{outcomes:?}");
    };
    assert!(large.to_string().contains("make it smaller"), "{large}");
    assert!(later.to_string().contains("earlier message"), "{later}");
    assert!(pattern.to_string().contains("pattern"), "{pattern}");
    let mut source = subscribe(&broker, "orders", "g", Order::PerKey).await;
    let kept = next(&mut source).await;
    assert_eq!(kept.event.payload().len(), MESSAGE_BYTES_MAX - 1_024);
}
