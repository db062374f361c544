//! actix: actors live on two arbiter threads; `do_send` does not wait for room.

use std::any::Any;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, ArbiterHandle, Context, Handler, Message};

use crate::ASKERS;
use crate::meter::{self, Meter};

struct Add(u64);
struct Get;

impl Message for Add {
    type Result = ();
}

impl Message for Get {
    type Result = u64;
}

struct Sink {
    meter: Option<Meter>,
}

impl Actor for Sink {
    type Context = Context<Self>;
}

impl Handler<Add> for Sink {
    type Result = ();

    fn handle(&mut self, Add(amount): Add, _: &mut Context<Self>) {
        if let Some(meter) = &mut self.meter {
            meter.count(amount);
        }
    }
}

impl Handler<Get> for Sink {
    type Result = u64;

    fn handle(&mut self, Get: Get, _: &mut Context<Self>) -> u64 {
        1
    }
}

struct Stage {
    next: Addr<Sink>,
}

impl Actor for Stage {
    type Context = Context<Self>;
}

impl Handler<Add> for Stage {
    type Result = ();

    fn handle(&mut self, add: Add, _: &mut Context<Self>) {
        self.next.do_send(add);
    }
}

struct Head {
    next: Addr<Stage>,
}

impl Actor for Head {
    type Context = Context<Self>;
}

impl Handler<Add> for Head {
    type Result = ();

    fn handle(&mut self, add: Add, _: &mut Context<Self>) {
        self.next.do_send(add);
    }
}

/// Two arbiters, in turn.
fn arbiter() -> &'static ArbiterHandle {
    static ARBITERS: OnceLock<[ArbiterHandle; 2]> = OnceLock::new();
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let arbiters = ARBITERS.get_or_init(|| {
        let (to, handles) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let system = actix::System::new();
            system.block_on(async {
                let pair = [
                    actix::Arbiter::new().handle(),
                    actix::Arbiter::new().handle(),
                ];
                to.send(pair).expect("somebody waits");
            });
            system
                .run()
                .expect("the system runs to the end of the process");
        });
        handles.recv().expect("the system starts")
    });
    &arbiters[NEXT.fetch_add(1, Ordering::Relaxed) % 2]
}

fn sink(meter: Option<Meter>) -> Addr<Sink> {
    Sink::start_in_arbiter(arbiter(), move |_| Sink { meter })
}

pub async fn tell(producers: u64, total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    let sink = sink(Some(meter));
    let producer = || {
        let sink = sink.clone();
        async move {
            for _ in 0..total / producers {
                sink.do_send(Add(1));
            }
        }
    };
    meter::produce(producers, producer, arrived).await
}

pub async fn pipeline(total: u64) -> Duration {
    let (meter, arrived) = Meter::new(total);
    let next = sink(Some(meter));
    let next = Stage::start_in_arbiter(arbiter(), move |_| Stage { next });
    let head = Head::start_in_arbiter(arbiter(), move |_| Head { next });
    let producer = || {
        let head = head.clone();
        async move {
            for _ in 0..total {
                head.do_send(Add(1));
            }
        }
    };
    meter::produce(1, producer, arrived).await
}

pub async fn ask(total: u64) -> Duration {
    let sink = sink(None);
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
    let actors: Vec<_> = (0..count).map(|_| sink(None)).collect();
    for actor in &actors {
        actor.send(Get).await.expect("an answer");
    }
    Box::new(actors)
}
