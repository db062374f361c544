//! What everybody who is measured can do.

use griot_events::BoxFuture;

use crate::meter::Shared;
use crate::sample::Order;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ours,
    /// The broker's own client: we are to reach most of its throughput.
    Client,
    /// Another framework: we are to be ahead of it.
    Peer,
    /// What nobody can reach: shown only.
    Floor,
}

/// Ends a consumer, with everything settled.
pub type End = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;

/// Somebody who publishes and consumes, all of it safely: confirms are awaited, each message has an
/// id by which the broker drops repeats, and is acknowledged after its handler.
pub trait Contender: Send + Sync {
    fn name(&self) -> &'static str;

    fn role(&self) -> Role;

    /// Publishes orders, and returns once each is confirmed. More than one are under way together.
    fn publish<'a>(&'a self, topic: &'a str, orders: Vec<Order>) -> BoxFuture<'a, ()>;

    /// Begins to consume a topic in a new group, with a handler that decodes the JSON and tells the
    /// meter.
    fn consume<'a>(&'a self, topic: &'a str, group: String, meter: Shared) -> BoxFuture<'a, End>;

    /// Deletes what a broker keeps of a topic, by those who know how.
    fn forget<'a>(&'a self, _topic: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether it cannot see what the others publish.
    fn is_apart(&self) -> bool {
        false
    }

    /// Whether it publishes several at once.
    fn has_batches(&self) -> bool {
        true
    }
}
