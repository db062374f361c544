//! The entity these tests ask: a ledger with commands for every kind of decision.

use std::sync::Arc;
use std::time::Duration;

use griot_core::{
    Call, CallFailed, Cx, DurableCommand, EffectId, Entity, EntityId, Event, Handle, Never, Outcome,
};
use griot_entity::{Entities, EntityRef, Griot, Limits};
use griot_journal::{Journal, MemoryJournal};
use serde::{Deserialize, Serialize};

/// How long a test waits for what must come.
pub(crate) const SOON: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    pub(crate) total: i64,
    pub(crate) outcomes: Vec<String>,
    pub(crate) timer: Option<EffectId>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Entry {
    Added { amount: i64 },
    Asked { what: String },
    Ended { how: String },
    TimerSet { timer: EffectId },
    Cursed,
    Untaggable,
}

impl Event for Entry {
    fn tags(&self) -> Vec<String> {
        match self {
            Self::Added { .. } => vec!["money".into()],
            Self::Untaggable => panic!("this event cannot be tagged"),
            _ => Vec::new(),
        }
    }
}

impl Entity for Ledger {
    const KIND: &'static str = "ledger";
    type Event = Entry;

    fn evolve(&mut self, event: &Entry) {
        match event {
            Entry::Added { amount } => self.total += amount,
            Entry::Asked { .. } | Entry::Untaggable => {}
            Entry::Ended { how } => self.outcomes.push(how.clone()),
            Entry::TimerSet { timer } => self.timer = Some(*timer),
            Entry::Cursed => panic!("this event cannot be folded"),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Add(pub(crate) i64);
impl DurableCommand for Add {
    const NAME: &'static str = "add";
}
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Overdrawn;

impl Handle<Add> for Ledger {
    type Reply = i64;
    type Error = Overdrawn;
    fn decide(&self, Add(amount): Add, cx: &mut Cx<Self>) -> Result<i64, Overdrawn> {
        let total = self.total + amount;
        if total < 0 {
            return Err(Overdrawn);
        }
        cx.emit(Entry::Added { amount });
        Ok(total)
    }
}

/// Looks the same as [`Add`] once it is written.
#[derive(Debug, Serialize)]
pub(crate) struct Take(pub(crate) i64);
impl Handle<Take> for Ledger {
    type Reply = i64;
    type Error = Overdrawn;
    fn decide(&self, Take(amount): Take, cx: &mut Cx<Self>) -> Result<i64, Overdrawn> {
        self.decide(Add(-amount), cx)
    }
}

/// Panics in `decide`, in `evolve`, or where its event is written.
#[derive(Serialize)]
pub(crate) enum Curse {
    Decide,
    Evolve,
    Tags,
}
impl Handle<Curse> for Ledger {
    type Reply = ();
    type Error = Never;
    fn decide(&self, curse: Curse, cx: &mut Cx<Self>) -> Result<(), Never> {
        match curse {
            Curse::Decide => panic!("this command cannot be decided"),
            Curse::Evolve => cx.emit(Entry::Cursed),
            Curse::Tags => cx.emit(Entry::Untaggable),
        }
        Ok(())
    }
}

/// A call to the world outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fetch(pub(crate) String);
impl Call for Fetch {
    const NAME: &'static str = "fetch";
    type Output = String;
}
/// Another kind of call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Store(pub(crate) String);
impl Call for Store {
    const NAME: &'static str = "store";
    type Output = String;
}

/// Asks for effects.
#[derive(Debug, Serialize)]
pub(crate) enum Want {
    Fetch(String),
    Store(String),
    AddLater(Duration, i64),
    CancelTimer,
    AddTo(String, i64),
    Publish(String),
}
impl Handle<Want> for Ledger {
    type Reply = ();
    type Error = Never;
    fn decide(&self, want: Want, cx: &mut Cx<Self>) -> Result<(), Never> {
        let what = format!("{want:?}");
        match want {
            Want::Fetch(what) => _ = cx.call(Fetch(what)),
            Want::Store(what) => _ = cx.call(Store(what)),
            Want::AddLater(delay, amount) => {
                let timer = cx.after(delay, Add(amount));
                cx.emit(Entry::TimerSet { timer });
            }
            Want::CancelTimer => {
                if let Some(timer) = self.timer {
                    cx.cancel(timer);
                }
            }
            Want::AddTo(id, amount) => {
                let to = EntityId::new(Ledger::KIND, &id).unwrap();
                cx.send::<Ledger, _>(&to, Add(amount));
            }
            Want::Publish(topic) => _ = cx.publish(&topic, &self.total),
        }
        cx.emit(Entry::Asked { what });
        Ok(())
    }
}

fn ended<T: std::fmt::Debug>(result: Result<T, CallFailed>) -> Entry {
    let how = match result {
        Ok(output) => format!("{output:?}"),
        Err(failed) => failed.to_string(),
    };
    Entry::Ended { how }
}

impl Handle<Outcome<Fetch>> for Ledger {
    type Reply = ();
    type Error = Never;
    fn decide(&self, outcome: Outcome<Fetch>, cx: &mut Cx<Self>) -> Result<(), Never> {
        cx.emit(ended(outcome.result));
        Ok(())
    }
}
impl Handle<Outcome<Store>> for Ledger {
    type Reply = ();
    type Error = Never;
    fn decide(&self, outcome: Outcome<Store>, cx: &mut Cx<Self>) -> Result<(), Never> {
        cx.emit(ended(outcome.result));
        Ok(())
    }
}

/// Two shards, so that neighbours are common, and every command registered.
pub(crate) fn entities() -> Entities<Ledger> {
    Entities::new().limits(limits()).command::<Add>()
}

pub(crate) fn limits() -> Limits {
    Limits {
        shards: 2,
        ..Limits::default()
    }
}

pub(crate) async fn start_on<E: Entity>(journal: Arc<dyn Journal>, entities: Entities<E>) -> Griot {
    Griot::builder(journal, Arc::new(MemoryJournal::new()))
        .entity(entities)
        .start()
        .await
        .unwrap()
}

pub(crate) async fn start(entities: Entities<Ledger>) -> Griot {
    start_on(Arc::new(MemoryJournal::new()), entities).await
}

pub(crate) fn ledger(griot: &Griot, id: &str) -> EntityRef<Ledger> {
    griot.entity(id).unwrap()
}

/// Waits until the ledger has this many outcomes, and gives them.
pub(crate) async fn outcomes(ledger: &EntityRef<Ledger>, count: usize) -> Vec<String> {
    let seen = ledger.wait_until(SOON, move |state, _| {
        (state.outcomes.len() >= count).then(|| state.outcomes.clone())
    });
    seen.await.unwrap().expect("the outcomes come soon")
}

/// Waits until every effect has its outcome.
pub(crate) async fn settled(griot: &Griot) {
    let settled = async {
        while griot.effects() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, settled)
        .await
        .expect("every effect has its outcome soon");
}

/// The names of two ledgers that share a shard.
pub(crate) fn neighbours() -> (String, String) {
    let shard = |id: &str| EntityId::new(Ledger::KIND, id).unwrap().shard(2);
    let second = (0..1_000)
        .map(|n| format!("b{n}"))
        .find(|id| shard(id) == shard("a"));
    ("a".to_owned(), second.unwrap())
}
