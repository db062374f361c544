//! Handlers: plain async functions whose parameters are taken from the event.

mod batch;
mod failure;
mod into_answer;

use std::convert::identity;
use std::future::Future;

pub use batch::BatchHandler;
pub use failure::{DeadLetter, Failure, Retry};
pub use into_answer::IntoAnswer;

use crate::{Answer, Event, FromBatch, FromEvent};

/// What handles an event: an async function of up to 16 [extractors](FromEvent) that gives
/// something to [answer](IntoAnswer) with. There is nothing to implement.
///
/// ```
/// use griot_events::{Attempt, Failure, Json, Key, Retry, Router};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct OrderPlaced { total: u64 }
///
/// async fn bill(Key(order): Key<u64>, Json(placed): Json<OrderPlaced>, Attempt(n): Attempt) -> Result<(), Failure> {
///     if n == 1 { return Err(Retry("the till is closed").into()) }
///     println!("order {order} costs {}", placed.total);
///     Ok(())
/// }
///
/// let router: Router = Router::new().on("orders", bill);
/// ```
///
/// A function with a parameter that cannot be taken from an event is not a handler:
///
/// ```compile_fail,E0277
/// # use griot_events::Router;
/// async fn bill(total: u64) {}
/// let router: Router = Router::new().on("orders", bill);
/// ```
///
/// `T` is the list of the parameters' types; it is inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle events",
    label = "not an `async fn` from extractors to an answer",
    note = "a handler is an `async fn`, or a closure that gives a future, of at most 16 parameters",
    note = "every parameter implements `FromEvent<{S}>`, such as `Json<T>`, `Key<T>`, `State<T>` or `Event`",
    note = "what it gives implements `IntoAnswer`, such as `()`, `Answer`, `Publication` or `Result<(), Failure>`; its future is `Send`"
)]
pub trait Handler<T, S>: Clone + Send + Sync + 'static {
    /// Handles one event.
    ///
    /// # Cancel safety
    ///
    /// That of the function.
    fn call(self, event: Event, state: S) -> impl Future<Output = Answer> + Send + 'static;
}

#[diagnostic::do_not_recommend]
impl<F, Made, Given, S> Handler<(), S> for F
where
    F: FnOnce() -> Made + Clone + Send + Sync + 'static,
    Made: Future<Output = Given> + Send + 'static,
    Given: IntoAnswer + 'static,
    S: Send + Sync + 'static,
{
    async fn call(self, _: Event, _: S) -> Answer {
        self().await.into_answer()
    }
}

/// A function of some number of extractors is a handler: of one event, or of batches.
macro_rules! handlers {
    ($handler:ident: $extractor:ident::$from:ident of $of:path; $($part:ident)+) => {
        #[diagnostic::do_not_recommend]
        #[expect(non_snake_case, reason = "each value bears the name of its type")]
        impl<F, Made, Given, S, $($part),+> $handler<($($part,)+), S> for F
        where
            F: FnOnce($($part),+) -> Made + Clone + Send + Sync + 'static,
            Made: Future<Output = Given> + Send + 'static,
            Given: IntoAnswer + 'static,
            S: Send + Sync + 'static,
            $($part: $extractor<S> + Send + 'static,)+
        {
            async fn call(self, event: Event, state: S) -> Answer {
                $(let $part = match $part::$from($of(&event), &state) {
                    Ok(part) => part,
                    Err(failure) => return failure.into(),
                };)+
                self($($part),+).await.into_answer()
            }
        }
    };
}

/// The same for every number of them.
macro_rules! handlers_of_all {
    ($first:ident $($part:ident)*) => {
        handlers_of_all!(@ $first; $($part)*);
    };
    (@ $($part:ident)+; $next:ident $($rest:ident)*) => {
        handlers_of_all!(@ $($part)+;);
        handlers_of_all!(@ $($part)+ $next; $($rest)*);
    };
    (@ $($part:ident)+;) => {
        handlers!(Handler: FromEvent::from_event of identity; $($part)+);
        handlers!(BatchHandler: FromBatch::from_batch of Event::all; $($part)+);
    };
}

handlers_of_all!(A B C D E G H I J K L M N O P Q);
