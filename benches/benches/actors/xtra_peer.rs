//! xtra, bounded mailboxes; `detach` waits for room only.

use std::any::Any;
use std::time::Duration;

use xtra::prelude::{Actor, Address, Context, Handler, Mailbox};

use crate::meter::{self, Meter};
use crate::{ASKERS, CAPACITY};

struct Add(u64);
struct Get;

#[derive(Actor)]
struct Sink {
    meter: Option<Meter>,
}

impl Handler<Add> for Sink {
    type Return = ();

    async fn handle(&mut self, Add(amount): Add, _: &mut Context<Self>) {
        if let Some(meter) = &mut self.meter {
            meter.count(amount);
        }
    }
}

impl Handler<Get> for Sink {
    type Return = u64;

    async fn handle(&mut self, Get: Get, _: &mut Context<Self>) -> u64 {
        1
    }
}

#[derive(Actor)]
struct Stage {
    next: Address<Sink>,
}

impl Handler<Add> for Stage {
    type Return = ();

    async fn handle(&mut self, add: Add, _: &mut Context<Self>) {
        drop(
            self.next
                .send(add)
                .detach()
                .await
                .expect("the next stage runs"),
        );
    }
}

#[derive(Actor)]
struct Head {
    next: Address<Stage>,
}

impl Handler<Add> for Head {
    type Return = ();

    async fn handle(&mut self, add: Add, _: &mut Context<Self>) {
        drop(
            self.next
                .send(add)
                .detach()
                .await
                .expect("the next stage runs"),
        );
    }
}

pub async fn tell(producers: u64, total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    let sink = xtra::spawn_tokio(Sink { meter: Some(meter) }, Mailbox::bounded(CAPACITY));
    let producer = || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / producers {
                drop(sink.send(Add(1)).detach().await.expect("the sink runs"));
            }
        }
    };
    meter::produce(producers, producer, arrived).await
}

pub async fn pipeline(total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    let next = xtra::spawn_tokio(Sink { meter: Some(meter) }, Mailbox::bounded(CAPACITY));
    let next = xtra::spawn_tokio(Stage { next }, Mailbox::bounded(CAPACITY));
    let head = xtra::spawn_tokio(Head { next }, Mailbox::bounded(CAPACITY));
    let producer = || {
        let head = head.clone();
        async move {
            for _ in 0..total {
                drop(head.send(Add(1)).detach().await.expect("the head runs"));
            }
        }
    };
    meter::produce(1, producer, arrived).await
}

pub async fn ask(total: u64) -> Duration {
    let sink = xtra::spawn_tokio(Sink { meter: None }, Mailbox::bounded(CAPACITY));
    meter::ask(ASKERS, || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / ASKERS {
                sink.send(Get).await.expect("an answer");
            }
        }
    })
    .await
}

pub async fn idle(count: usize) -> Box<dyn Any> {
    let actors: Vec<_> = (0..count)
        .map(|_| xtra::spawn_tokio(Sink { meter: None }, Mailbox::bounded(CAPACITY)))
        .collect();
    for actor in &actors {
        actor.send(Get).await.expect("an answer");
    }
    Box::new(actors)
}
