//! Bare tokio channels and tasks: no actors at all, the floor that peers build on.

use std::any::Any;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::meter::{self, Meter};
use crate::{ASKERS, CAPACITY};

enum Message {
    Add(u64),
    Get(oneshot::Sender<u64>),
}

fn sink(mut meter: Option<Meter>) -> mpsc::Sender<Message> {
    let (to, mut inbox) = mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            match (message, &mut meter) {
                (Message::Add(amount), Some(meter)) => meter.count(amount),
                (Message::Add(_), None) => {}
                (Message::Get(reply), _) => drop(reply.send(1)),
            }
        }
    });
    to
}

fn stage(next: mpsc::Sender<Message>) -> mpsc::Sender<Message> {
    let (to, mut inbox) = mpsc::channel(CAPACITY);
    tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            next.send(message).await.expect("the next stage runs");
        }
    });
    to
}

pub async fn tell(producers: u64, total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    send(sink(Some(meter)), producers, total, arrived).await
}

pub async fn pipeline(total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    send(stage(stage(sink(Some(meter)))), 1, total, arrived).await
}

async fn send(
    to: mpsc::Sender<Message>,
    producers: u64,
    total: u64,
    arrived: oneshot::Receiver<std::time::Instant>,
) -> Duration {
    let producer = || {
        let to = to.clone();
        async move {
            for _ in 0..total / producers {
                to.send(Message::Add(1)).await.expect("the sink runs");
            }
        }
    };
    meter::produce(producers, producer, arrived).await
}

pub async fn ask(total: u64) -> Duration {
    let sink = sink(None);
    meter::ask(ASKERS, || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / ASKERS {
                let (reply_to, reply) = oneshot::channel();
                sink.send(Message::Get(reply_to))
                    .await
                    .expect("the sink runs");
                reply.await.expect("an answer");
            }
        }
    })
    .await
}

pub async fn idle(count: usize) -> Box<dyn Any> {
    let actors: Vec<_> = (0..count).map(|_| sink(None)).collect();
    for actor in &actors {
        let (reply_to, reply) = oneshot::channel();
        actor
            .send(Message::Get(reply_to))
            .await
            .expect("the sink runs");
        reply.await.expect("an answer");
    }
    Box::new(actors)
}
