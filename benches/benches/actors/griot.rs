//! griot-actor, with its supervision and its catching of panics, as everybody gets it.

use std::any::Any;
use std::time::Duration;

use griot_actor::{Actor, ActorRef, Context, Handle, Settings, Supervision, System};

use crate::meter::{self, Meter};
use crate::{ASKERS, CAPACITY};

struct Add(u64);
struct Get;

struct Sink {
    meter: Option<Meter>,
}

impl Actor for Sink {
    type Messages = (Add, Get);
}

impl Handle<Add> for Sink {
    type Reply = ();

    async fn handle(&mut self, Add(amount): Add, _: &mut Context<Self>) {
        if let Some(meter) = &mut self.meter {
            meter.count(amount);
        }
    }
}

impl Handle<Get> for Sink {
    type Reply = u64;

    async fn handle(&mut self, Get: Get, _: &mut Context<Self>) -> u64 {
        1
    }
}

struct Stage {
    next: ActorRef<Sink>,
}

impl Actor for Stage {
    type Messages = (Add,);
}

impl Handle<Add> for Stage {
    type Reply = ();

    async fn handle(&mut self, add: Add, _: &mut Context<Self>) {
        self.next.tell(add).await.expect("the next stage runs");
    }
}

struct Head {
    next: ActorRef<Stage>,
}

impl Actor for Head {
    type Messages = (Add,);
}

impl Handle<Add> for Head {
    type Reply = ();

    async fn handle(&mut self, add: Add, _: &mut Context<Self>) {
        self.next.tell(add).await.expect("the next stage runs");
    }
}

fn settings() -> Settings {
    Settings {
        mailbox_capacity: CAPACITY,
        supervision: Supervision::default(),
        ..Settings::default()
    }
}

fn sink(system: &System, mut meter: Option<Meter>) -> ActorRef<Sink> {
    system
        .spawn_with(settings(), move || Sink {
            meter: meter.take(),
        })
        .expect("unnamed")
}

pub async fn tell(producers: u64, total: u64) -> Duration {
    let system = System::new();
    let (meter, arrived) = Meter::new(total);
    let sink = sink(&system, Some(meter));
    let producer = || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / producers {
                sink.tell(Add(1)).await.expect("the sink runs");
            }
        }
    };
    let elapsed = meter::produce(producers, producer, arrived).await;
    sink.kill().await;
    elapsed
}

pub async fn tell_many(producers: u64, total: u64) -> Duration {
    let system = System::new();
    let (meter, arrived) = Meter::new(total);
    let sink = sink(&system, Some(meter));
    let producer = || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / producers / 100 {
                sink.tell_many((0..100).map(|_| Add(1)))
                    .await
                    .expect("the sink runs");
            }
        }
    };
    let elapsed = meter::produce(producers, producer, arrived).await;
    sink.kill().await;
    elapsed
}

pub async fn pipeline(total: u64) -> Duration {
    let system = System::new();
    let (meter, arrived) = Meter::new(total);
    let next = sink(&system, Some(meter));
    let next = system
        .spawn_with(settings(), move || Stage { next: next.clone() })
        .expect("unnamed");
    let head = system
        .spawn_with(settings(), move || Head { next: next.clone() })
        .expect("unnamed");
    let producer = || {
        let head = head.clone();
        async move {
            for _ in 0..total {
                head.tell(Add(1)).await.expect("the head runs");
            }
        }
    };
    let elapsed = meter::produce(1, producer, arrived).await;
    system.shutdown(Duration::from_secs(5)).await;
    elapsed
}

pub async fn ask(total: u64) -> Duration {
    let system = System::new();
    let sink = sink(&system, None);
    let elapsed = meter::ask(ASKERS, || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / ASKERS {
                sink.ask(Get, Duration::from_secs(5))
                    .await
                    .expect("an answer");
            }
        }
    })
    .await;
    sink.kill().await;
    elapsed
}

pub async fn idle(count: usize) -> Box<dyn Any> {
    let system = System::new();
    let actors: Vec<_> = (0..count).map(|_| sink(&system, None)).collect();
    for actor in &actors {
        actor
            .ask(Get, Duration::from_secs(5))
            .await
            .expect("an answer");
    }
    Box::new(actors)
}
