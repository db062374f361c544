//! Handlers of batches: plain async functions whose parameters are taken from many events.

use std::future::Future;

use crate::{Answer, Event};

/// What handles a batch of events: an async function of up to 16 [extractors for
/// batches](crate::FromBatch), mostly a `Vec` of what one event gives, that answers once for all of
/// them. There is nothing to implement; how it is called [`Batch`](crate::Batch) says.
///
/// ```
/// use griot_events::{Batch, Failure, Json, Router, State};
/// use serde::Deserialize;
///
/// #[derive(Clone)]
/// struct Table;
///
/// impl Table {
///     async fn insert(&self, rows: &[Json<Placed>]) -> std::io::Result<()> { Ok(()) }
/// }
///
/// #[derive(Deserialize)]
/// struct Placed { total: u64 }
///
/// async fn store(State(table): State<Table>, orders: Vec<Json<Placed>>) -> Result<(), Failure> {
///     Ok(table.insert(&orders).await?)
/// }
///
/// let router: Router = Router::new().on_batch("orders", Batch::default(), store).with_state(Table);
/// ```
///
/// A function that asks for a part of one event only is not a handler of batches, since the others
/// would be passed over:
///
/// ```compile_fail,E0277
/// # use griot_events::{Batch, Json, Router};
/// async fn store(Json(total): Json<u64>) {}
/// let router: Router = Router::new().on_batch("orders", Batch::default(), store);
/// ```
///
/// `T` is the list of the parameters' types; it is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle batches of events",
    label = "not an `async fn` from extractors for batches to an answer",
    note = "every parameter implements `FromBatch<{S}>`: `Vec<Event>`, `Vec<Json<T>>` or a `Vec` of another extractor, `State<T>`, `Attempt`",
    note = "what it gives implements `IntoAnswer`, such as `()`, `Answer`, `Publication` or `Result<(), Failure>`; its future is `Send`"
)]
pub trait BatchHandler<T, S>: Clone + Send + Sync + 'static {
    /// Handles all events of a batch.
    ///
    /// # Cancel safety
    ///
    /// That of the function.
    fn call(self, batch: Event, state: S) -> impl Future<Output = Answer> + Send + 'static;
}
