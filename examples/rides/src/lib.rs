//! Rides and their fulfilment: two services that speak through events, and two features that plug in.
//!
//! A [ride](ride::Ride) is what a guest wants; its [fulfilment](fulfilment::Fulfilment) is the search
//! for a chauffeur. Each is an entity of its own, owned by one service, and each service alone
//! publishes to its own topic:
//!
//! ```text
//! rides            RideCreated ──► fulfilment looks for a chauffeur
//! ride-fulfilment  ChauffeurFound ──► the ride is accepted
//! rides            RideAccepted, RideAddressChanged, RideCompleted ──► whoever listens
//! ```
//!
//! Then come two features that neither service knows of: [`mail`] listens, and [`address_changes`]
//! reads what happened before anybody thought of the question.
//!
//! It is an example, not a service to build on: run it with `cargo run -p rides -- --help`.

pub mod address_changes;
pub mod fulfilment;
pub mod mail;
pub mod ride;
mod world;

pub use world::{World, WorldError};
