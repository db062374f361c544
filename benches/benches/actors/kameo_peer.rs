//! kameo, bounded mailboxes, as its book recommends.

use std::any::Any;
use std::time::Duration;

use kameo::actor::{ActorRef, Spawn};
use kameo::mailbox;
use kameo::message::{Context, Message};

use crate::meter::{self, Meter};
use crate::{ASKERS, CAPACITY};

struct Add(u64);
struct Get;

#[derive(kameo::Actor)]
struct Sink {
    meter: Option<Meter>,
}

impl Message<Add> for Sink {
    type Reply = ();

    async fn handle(&mut self, Add(amount): Add, _: &mut Context<Self, Self::Reply>) {
        if let Some(meter) = &mut self.meter {
            meter.count(amount);
        }
    }
}

impl Message<Get> for Sink {
    type Reply = u64;

    async fn handle(&mut self, Get: Get, _: &mut Context<Self, Self::Reply>) -> u64 {
        1
    }
}

#[derive(kameo::Actor)]
struct Stage {
    next: ActorRef<Sink>,
}

impl Message<Add> for Stage {
    type Reply = ();

    async fn handle(&mut self, add: Add, _: &mut Context<Self, Self::Reply>) {
        self.next.tell(add).await.expect("the next stage runs");
    }
}

#[derive(kameo::Actor)]
struct Head {
    next: ActorRef<Stage>,
}

impl Message<Add> for Head {
    type Reply = ();

    async fn handle(&mut self, add: Add, _: &mut Context<Self, Self::Reply>) {
        self.next.tell(add).await.expect("the next stage runs");
    }
}

pub async fn tell(producers: u64, total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    let sink = Sink::spawn_with_mailbox(Sink { meter: Some(meter) }, mailbox::bounded(CAPACITY));
    let producer = || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / producers {
                sink.tell(Add(1)).await.expect("the sink runs");
            }
        }
    };
    meter::produce(producers, producer, arrived).await
}

pub async fn pipeline(total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    let next = Sink::spawn_with_mailbox(Sink { meter: Some(meter) }, mailbox::bounded(CAPACITY));
    let next = Stage::spawn_with_mailbox(Stage { next }, mailbox::bounded(CAPACITY));
    let head = Head::spawn_with_mailbox(Head { next }, mailbox::bounded(CAPACITY));
    let producer = || {
        let head = head.clone();
        async move {
            for _ in 0..total {
                head.tell(Add(1)).await.expect("the head runs");
            }
        }
    };
    meter::produce(1, producer, arrived).await
}

pub async fn ask(total: u64) -> Duration {
    let sink = Sink::spawn_with_mailbox(Sink { meter: None }, mailbox::bounded(CAPACITY));
    meter::ask(ASKERS, || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / ASKERS {
                sink.ask(Get).await.expect("an answer");
            }
        }
    })
    .await
}

pub async fn idle(count: usize) -> Box<dyn Any> {
    let actors: Vec<_> = (0..count)
        .map(|_| Sink::spawn_with_mailbox(Sink { meter: None }, mailbox::bounded(CAPACITY)))
        .collect();
    for actor in &actors {
        actor.ask(Get).await.expect("an answer");
    }
    Box::new(actors)
}
