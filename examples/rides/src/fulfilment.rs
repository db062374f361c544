//! The fulfilment of a ride: all that it takes to find a chauffeur.

use griot::core::Publication;
use griot::events::layer::DefaultStack;
use griot::events::{self, EVENT_NAME, Failure, Json, Router};
use griot::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ride::{self, RideEvent};

/// The topic that only fulfilments publish to.
pub const TOPIC: &str = "ride-fulfilment";

/// Who could drive.
const CHAUFFEURS: [&str; 4] = ["Awa", "Balla", "Fanta", "Toumani"];

/// The search for the chauffeur of one ride, and what came of it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Fulfilment {
    is_searching: bool,
}

/// What happened to the search.
#[derive(Debug, Serialize, Deserialize)]
pub enum FulfilmentEvent {
    /// It began.
    SearchStarted,
    /// It ended.
    ChauffeurFound(ChauffeurFound),
}

/// Somebody drives: published, and given to the ride as a command.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChauffeurFound {
    /// Which ride.
    pub ride: String,
    /// Who drives.
    pub chauffeur: String,
}

impl Event for FulfilmentEvent {}

impl Entity for Fulfilment {
    const KIND: &'static str = "fulfilment";
    type Event = FulfilmentEvent;

    fn evolve(&mut self, event: &FulfilmentEvent) {
        self.is_searching = matches!(event, FulfilmentEvent::SearchStarted);
    }
}

/// Look for a chauffeur.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Search {
    /// Where the guest waits.
    pub pickup: String,
}

impl Handle<Search> for Fulfilment {
    type Reply = ();
    type Error = Never;

    fn decide(&self, Search { pickup }: Search, cx: &mut Cx<Self>) -> Result<(), Never> {
        if cx.seq() == Seq::ZERO {
            cx.emit(FulfilmentEvent::SearchStarted);
            cx.call(AskAround { pickup });
        }
        Ok(())
    }
}

/// Asks the chauffeurs one by one, which takes a while: a call, so that it goes on after a crash.
#[derive(Debug, Serialize, Deserialize)]
pub struct AskAround {
    pickup: String,
}

impl Call for AskAround {
    const NAME: &'static str = "ask-around";
    type Output = String;
}

impl Handle<Outcome<AskAround>> for Fulfilment {
    type Reply = ();
    type Error = Never;

    fn decide(&self, outcome: Outcome<AskAround>, cx: &mut Cx<Self>) -> Result<(), Never> {
        match outcome.result {
            Ok(chauffeur) => {
                let ride = cx.id().id().to_owned();
                let found = ChauffeurFound { ride, chauffeur };
                cx.publish_message(Publication {
                    topic: TOPIC.to_owned(),
                    key: Some(found.ride.clone()),
                    headers: vec![(EVENT_NAME.to_owned(), "ChauffeurFound".to_owned())],
                    payload: &found,
                });
                cx.emit(FulfilmentEvent::ChauffeurFound(found));
            }
            // Nobody had time: ask again.
            Err(_) => {
                cx.call(outcome.call);
            }
        }
        Ok(())
    }
}

/// The kind, with the call it makes.
pub fn entities() -> Entities<Fulfilment> {
    Entities::new().call(
        CallPolicy::default(),
        |AskAround { pickup }, cx| async move {
            // The effect's key is the same at each attempt, and so is the choice.
            let number = griot::core::stable_hash(cx.key().as_bytes());
            let place = usize::try_from(number % 4).unwrap_or_default();
            let chauffeur = CHAUFFEURS
                .get(place)
                .ok_or_else(|| CallError::retry("nobody has time"))?;
            tracing::info!(chauffeur, pickup, "will drive");
            Ok((*chauffeur).to_owned())
        },
    )
}

/// What fulfilments listen to.
pub fn router(griot: Griot) -> Router {
    Router::new()
        .on_event(ride::TOPIC, "RideCreated", search)
        .on(ride::TOPIC, not_needed)
        .layer(DefaultStack::default())
        .with_state(griot)
}

async fn search(
    fulfilments: events::Entity<Fulfilment>,
    Json(event): Json<RideEvent>,
) -> Result<(), Failure> {
    if let RideEvent::RideCreated { ride, pickup, .. } = event {
        fulfilments.ask(&ride, Search { pickup }).await?;
    }
    Ok(())
}

/// Whatever else happens to a ride.
async fn not_needed() {}
