//! ractor: its mailboxes are unbounded, so it is spared the wait for room.

use std::any::Any;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::ASKERS;
use crate::meter::{self, Meter};

enum Message {
    Add(u64),
    Get(RpcReplyPort<u64>),
}

struct Sink;

impl Actor for Sink {
    type Msg = Message;
    type State = Option<Meter>;
    type Arguments = Option<Meter>;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        meter: Option<Meter>,
    ) -> Result<Option<Meter>, ActorProcessingErr> {
        Ok(meter)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        meter: &mut Option<Meter>,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Add(amount) => {
                if let Some(meter) = meter {
                    meter.count(amount);
                }
            }
            Message::Get(reply) => reply.send(1)?,
        }
        Ok(())
    }
}

struct Stage;

impl Actor for Stage {
    type Msg = Message;
    type State = ActorRef<Message>;
    type Arguments = ActorRef<Message>;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        next: ActorRef<Message>,
    ) -> Result<ActorRef<Message>, ActorProcessingErr> {
        Ok(next)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        next: &mut ActorRef<Message>,
    ) -> Result<(), ActorProcessingErr> {
        Ok(next.send_message(message)?)
    }
}

async fn sink(meter: Option<Meter>) -> ActorRef<Message> {
    Actor::spawn(None, Sink, meter).await.expect("it starts").0
}

pub async fn tell(producers: u64, total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    let sink = sink(Some(meter)).await;
    let producer = || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / producers {
                sink.send_message(Message::Add(1)).expect("the sink runs");
            }
        }
    };
    let elapsed = meter::produce(producers, producer, arrived).await;
    sink.kill();
    elapsed
}

pub async fn pipeline(total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    let last = sink(Some(meter)).await;
    let middle = Actor::spawn(None, Stage, last.clone())
        .await
        .expect("it starts")
        .0;
    let head = Actor::spawn(None, Stage, middle.clone())
        .await
        .expect("it starts")
        .0;
    let producer = || {
        let head = head.clone();
        async move {
            for _ in 0..total {
                head.send_message(Message::Add(1)).expect("the head runs");
            }
        }
    };
    let elapsed = meter::produce(1, producer, arrived).await;
    for actor in [head, middle, last] {
        actor.kill();
    }
    elapsed
}

pub async fn ask(total: u64) -> Duration {
    let sink = sink(None).await;
    let elapsed = meter::ask(ASKERS, || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / ASKERS {
                ractor::call!(sink, Message::Get).expect("an answer");
            }
        }
    })
    .await;
    sink.kill();
    elapsed
}

pub async fn idle(count: usize) -> Box<dyn Any> {
    let mut actors = Vec::with_capacity(count);
    for _ in 0..count {
        actors.push(sink(None).await);
    }
    for actor in &actors {
        ractor::call!(actor, Message::Get).expect("an answer");
    }
    Box::new(actors)
}
