//! Handlers get events of any age in today's shape, as entities do.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use std::sync::Arc;
use std::time::Duration;

use griot_core::{EntityId, Event, Seq, Upcast};
use griot_events::{Failure, Json, Router};
use griot_journal::{Journal, MemoryJournal};
use griot_projection::{
    Happened, Limits, Poison, Projection, Recorded, Runner, Running, Scope, State, Tx,
};
use griot_sql::SqlTarget;
use griot_testkit::journal::{Writer, append_of, entity};
use griot_testkit::probe::DEADLINE;
use griot_testkit::projection::Entry;
use rig::{Place, enter, entries, open};
use serde::{Deserialize, Serialize};
use tokio::time::{interval, timeout};

/// What is recorded today.
#[derive(Debug, Serialize, Deserialize)]
enum Ledger {
    Paid(Paid),
}

#[derive(Debug, Serialize, Deserialize)]
struct Paid {
    cents: i64,
    currency: String,
}

impl Event for Ledger {
    fn version(&self) -> u16 {
        2
    }

    fn upcast(event: Upcast<'_>) -> Upcast<'_> {
        match (event.name(), event.version()) {
            ("Debited", 1) => event.renamed("Paid", 1),
            ("Paid", 1) => event.to(2, |paid| paid["currency"] = "EUR".into()),
            _ => event,
        }
    }
}

/// Of every age, and what handlers are to see of them.
const OF_EVERY_AGE: [(&str, u16, &str); 3] = [
    ("Debited", 1, r#"{"cents":1}"#),
    ("Paid", 1, r#"{"cents":2}"#),
    ("Paid", 2, r#"{"cents":3,"currency":"CHF"}"#),
];
const SEEN: [&str; 3] = ["1 EUR", "2 EUR", "3 CHF"];

/// Recorded by a newer program.
const OF_TOMORROW: (&str, u16, &str) = ("Paid", 3, r#"{"cents":4,"currency":"EUR","memo":"x"}"#);

struct Stand {
    journal: Arc<dyn Journal>,
    writer: Writer,
    target: SqlTarget,
    _place: Place,
}

impl Stand {
    async fn open() -> Self {
        let place = Place::file();
        let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
        Self {
            writer: Writer::claim(&journal).await.unwrap(),
            journal,
            target: open(&place.url).await,
            _place: place,
        }
    }

    async fn write(&self, entity: &EntityId, events: &[(&'static str, u16, &'static str)]) {
        for (name, version, payload) in events {
            let last = self.journal.last_seq(entity).await.unwrap().get();
            let mut append = append_of(entity, last, 1);
            let event = append.events.first_mut().unwrap();
            event.name = (*name).into();
            event.version = *version;
            event.payload = (*payload).into();
            self.writer.append(vec![append]).await.unwrap();
        }
    }

    async fn start(&self, router: Router<Scope<SqlTarget>>, poison: Poison) -> Running<SqlTarget> {
        let limits = Limits {
            look: Duration::from_millis(5),
            ..Limits::default()
        };
        let projection = Projection::new("paid", 1, router)
            .reading::<Ledger>("account")
            .with_poison(poison)
            .with_limits(limits);
        let runner = Runner::new(Arc::clone(&self.journal), self.target.clone());
        runner.start(&projection).await.unwrap()
    }

    async fn seen(&self) -> Vec<String> {
        let entries = entries(&self.target).await;
        entries.into_iter().map(|entry| entry.payload).collect()
    }
}

async fn until_shown(running: &Running<SqlTarget>, id: &str) {
    let shown = entity(id);
    let waiting = running.read_model().wait_for(&shown, Seq(3), DEADLINE);
    waiting.await.unwrap();
}

async fn see(tx: &mut Tx<SqlTarget>, paid: &Paid) -> Result<(), Failure> {
    let entry = Entry {
        entity: String::new(),
        seq: 0,
        payload: format!("{} {}", paid.cents, paid.currency),
    };
    Ok(enter(tx, entry).await?)
}

async fn see_json(mut tx: Tx<SqlTarget>, Json(paid): Json<Paid>) -> Result<(), Failure> {
    see(&mut tx, &paid).await
}

async fn see_type(
    mut tx: Tx<SqlTarget>,
    Recorded(recorded): Recorded,
    Happened(Ledger::Paid(paid)): Happened<Ledger>,
) -> Result<(), Failure> {
    // What was recorded stays as it was recorded.
    assert!(recorded.event.version < 3);
    see(&mut tx, &paid).await
}

#[tokio::test]
async fn an_event_of_any_age_comes_to_the_route_of_its_name_of_today_in_the_shape_of_today() {
    let stand = Stand::open().await;
    stand.write(&entity("a"), &OF_EVERY_AGE).await;
    let router = Router::new().on_event("account", "Paid", see_json);
    let running = stand.start(router, Poison::Stop).await;
    until_shown(&running, "a").await;
    assert_eq!(stand.seen().await, SEEN);
    running.drain().await.unwrap();
}

#[tokio::test]
async fn a_handler_that_asks_for_a_type_gets_events_of_any_age() {
    let stand = Stand::open().await;
    stand.write(&entity("a"), &OF_EVERY_AGE).await;
    let router = Router::new().on("account", see_type);
    let projection = Projection::new("paid", 1, router);
    let runner = Runner::new(Arc::clone(&stand.journal), stand.target.clone());
    let running = runner.start(&projection).await.unwrap();
    until_shown(&running, "a").await;
    assert_eq!(stand.seen().await, SEEN);
    running.drain().await.unwrap();
}

#[tokio::test]
async fn an_event_of_a_newer_program_stops_the_projection_visibly_and_is_never_passed_over() {
    let stand = Stand::open().await;
    stand.write(&entity("a"), &OF_EVERY_AGE).await;
    stand.write(&entity("a"), &[OF_TOMORROW]).await;
    stand.write(&entity("b"), &OF_EVERY_AGE).await;
    // Nobody asks for its name.
    let router = Router::new().on_event("account", "Refunded", see_json);
    let running = stand.start(router, Poison::Stop).await;
    let mut ticks = interval(Duration::from_millis(5));
    let stopped = async {
        loop {
            let standing = running.read_model().standing().await.unwrap();
            match standing.into_iter().next().map(|slice| slice.state) {
                Some(State::Failed { reason }) => return reason,
                _ => drop(ticks.tick().await),
            }
        }
    };
    let reason = timeout(DEADLINE, stopped).await.unwrap();
    assert!(
        reason.contains("newer") && reason.contains("account/a"),
        "{reason}"
    );
    running.drain().await.unwrap();
}

#[tokio::test]
async fn an_entity_with_an_event_of_a_newer_program_is_parked_and_the_others_go_on() {
    let stand = Stand::open().await;
    stand.write(&entity("a"), &OF_EVERY_AGE).await;
    stand.write(&entity("a"), &[OF_TOMORROW]).await;
    stand.write(&entity("b"), &OF_EVERY_AGE).await;
    let router = Router::new().on_event("account", "Paid", see_json);
    let running = stand.start(router, Poison::Park).await;
    until_shown(&running, "b").await;
    assert_eq!(stand.seen().await, [SEEN, SEEN].concat());
    let parked = running.read_model().parked().await.unwrap();
    assert_eq!((parked.len(), parked[0].seq), (1, Seq(4)));
    assert!(parked[0].reason.contains("newer"), "{:?}", parked[0]);
    running.drain().await.unwrap();
}
