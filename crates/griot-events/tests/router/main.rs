//! What a router, its handlers and its layers do with events.

mod handling;
mod layers;
mod routing;
mod sample;
