//! An entity of ours at rest: loaded, asked once, and idle in its shard. It has no events, so that
//! what the journal keeps in memory is not counted with it.

use std::any::Any;
use std::sync::Arc;

use griot_core::{Cx, Entity, Event, Handle, Never};
use griot_entity::{Entities, Griot};
use griot_journal::MemoryJournal;
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Counter {
    total: u64,
}

#[derive(Serialize, Deserialize)]
enum Counted {
    Added { amount: u64 },
}

impl Event for Counted {}

impl Entity for Counter {
    const KIND: &'static str = "counter";
    type Event = Counted;

    fn evolve(&mut self, Counted::Added { amount }: &Counted) {
        self.total += amount;
    }
}

#[derive(Serialize)]
struct Get;

impl Handle<Get> for Counter {
    type Reply = u64;
    type Error = Never;

    fn decide(&self, _: Get, _: &mut Cx<Self>) -> Result<u64, Never> {
        Ok(self.total)
    }
}

pub async fn idle(count: usize) -> Box<dyn Any> {
    let journal = Arc::new(MemoryJournal::new());
    let griot = Griot::builder(journal.clone(), journal)
        .entity(Entities::<Counter>::new())
        .start()
        .await
        .expect("it starts");
    for number in 0..count {
        let counter = griot
            .entity::<Counter>(&format!("counter-{number}"))
            .expect("a good name");
        counter.ask(Get).await.expect("an answer");
    }
    Box::new(griot)
}
