//! A ride: from somewhere to somewhere, for a guest, with a chauffeur once one is found.

use griot::core::Publication;
use griot::events::layer::DefaultStack;
use griot::events::{self, EVENT_NAME, Failure, Json, Router};
use griot::prelude::*;
use serde::{Deserialize, Serialize};

use crate::fulfilment::{self, ChauffeurFound};

/// The topic that only rides publish to.
pub const TOPIC: &str = "rides";

/// A ride.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ride {
    /// Where the guest waits.
    pub pickup: String,
    /// Where the guest wants to go.
    pub dropoff: String,
    /// Who wants to go there.
    pub guest: String,
    /// Who drives, once that is known.
    pub chauffeur: Option<String>,
    /// Whether the guest is there.
    pub is_completed: bool,
}

/// What happened to a ride. It is recorded and published in this form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RideEvent {
    /// A guest wants a ride.
    RideCreated {
        /// Which ride.
        ride: String,
        /// From where.
        pickup: String,
        /// To where.
        dropoff: String,
        /// Who.
        guest: String,
    },
    /// The guest wants to go elsewhere.
    RideAddressChanged {
        /// Which ride.
        ride: String,
        /// To where now.
        dropoff: String,
    },
    /// A chauffeur will drive.
    RideAccepted {
        /// Which ride.
        ride: String,
        /// Who drives.
        chauffeur: String,
    },
    /// The guest is there.
    RideCompleted {
        /// Which ride.
        ride: String,
        /// Who was driven.
        guest: String,
        /// To where.
        dropoff: String,
        /// Who drove.
        chauffeur: String,
    },
}

impl Event for RideEvent {}

impl Entity for Ride {
    const KIND: &'static str = "ride";
    type Event = RideEvent;

    fn evolve(&mut self, event: &RideEvent) {
        match event.clone() {
            RideEvent::RideCreated {
                pickup,
                dropoff,
                guest,
                ..
            } => (self.pickup, self.dropoff, self.guest) = (pickup, dropoff, guest),
            RideEvent::RideAddressChanged { dropoff, .. } => self.dropoff = dropoff,
            RideEvent::RideAccepted { chauffeur, .. } => self.chauffeur = Some(chauffeur),
            RideEvent::RideCompleted { .. } => self.is_completed = true,
        }
    }
}

/// Why a ride does not do what it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Unfit {
    /// There is one of this name.
    #[error("the ride exists already")]
    Exists,
    /// There is none of this name.
    #[error("there is no such ride")]
    Missing,
    /// Nobody drives yet.
    #[error("no chauffeur was found yet")]
    NoChauffeur,
    /// It is over.
    #[error("the ride is completed")]
    Completed,
}

/// Records an event and publishes it, in one append: nobody hears of what did not happen, and
/// nothing happens that nobody hears of.
fn tell(cx: &mut Cx<Ride>, name: &str, event: RideEvent) {
    cx.publish_message(Publication {
        topic: TOPIC.to_owned(),
        key: Some(cx.id().id().to_owned()),
        headers: vec![(EVENT_NAME.to_owned(), name.to_owned())],
        payload: &event,
    });
    cx.emit(event);
}

/// A guest wants a ride.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Create {
    /// From where.
    pub pickup: String,
    /// To where.
    pub dropoff: String,
    /// Who.
    pub guest: String,
}

impl Handle<Create> for Ride {
    type Reply = ();
    type Error = Unfit;

    fn decide(&self, create: Create, cx: &mut Cx<Self>) -> Result<(), Unfit> {
        if cx.seq() > Seq::ZERO {
            return Err(Unfit::Exists);
        }
        let created = RideEvent::RideCreated {
            ride: cx.id().id().to_owned(),
            pickup: create.pickup,
            dropoff: create.dropoff,
            guest: create.guest,
        };
        tell(cx, "RideCreated", created);
        Ok(())
    }
}

/// The guest wants to go elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeAddress {
    /// To where now.
    pub dropoff: String,
}

impl Handle<ChangeAddress> for Ride {
    type Reply = ();
    type Error = Unfit;

    fn decide(&self, change: ChangeAddress, cx: &mut Cx<Self>) -> Result<(), Unfit> {
        self.is_under_way(cx)?;
        if change.dropoff != self.dropoff {
            let changed = RideEvent::RideAddressChanged {
                ride: cx.id().id().to_owned(),
                dropoff: change.dropoff,
            };
            tell(cx, "RideAddressChanged", changed);
        }
        Ok(())
    }
}

impl Handle<ChauffeurFound> for Ride {
    type Reply = ();
    type Error = Unfit;

    fn decide(&self, found: ChauffeurFound, cx: &mut Cx<Self>) -> Result<(), Unfit> {
        self.is_under_way(cx)?;
        if self.chauffeur.is_none() {
            let accepted = RideEvent::RideAccepted {
                ride: found.ride,
                chauffeur: found.chauffeur,
            };
            tell(cx, "RideAccepted", accepted);
        }
        Ok(())
    }
}

/// The guest is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Complete;

impl Handle<Complete> for Ride {
    type Reply = ();
    type Error = Unfit;

    fn decide(&self, Complete: Complete, cx: &mut Cx<Self>) -> Result<(), Unfit> {
        self.is_under_way(cx)?;
        let chauffeur = self.chauffeur.clone().ok_or(Unfit::NoChauffeur)?;
        let completed = RideEvent::RideCompleted {
            ride: cx.id().id().to_owned(),
            guest: self.guest.clone(),
            dropoff: self.dropoff.clone(),
            chauffeur,
        };
        tell(cx, "RideCompleted", completed);
        Ok(())
    }
}

impl Ride {
    fn is_under_way(&self, cx: &Cx<Self>) -> Result<(), Unfit> {
        match cx.seq() {
            Seq::ZERO => Err(Unfit::Missing),
            _ if self.is_completed => Err(Unfit::Completed),
            _ => Ok(()),
        }
    }
}

/// What rides listen to.
pub fn router(griot: Griot) -> Router {
    Router::new()
        .on_event(fulfilment::TOPIC, "ChauffeurFound", accept)
        .layer(DefaultStack::default())
        .with_state(griot)
}

async fn accept(
    rides: events::Entity<Ride>,
    Json(found): Json<ChauffeurFound>,
) -> Result<(), Failure> {
    let ride = found.ride.clone();
    rides.ask(&ride, found).await?;
    Ok(())
}
