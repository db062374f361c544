//! Handlers: plain async functions whose parameters are taken from the event.

mod failure;
mod into_answer;

use std::future::Future;

pub use failure::{DeadLetter, Failure, Retry};
pub use into_answer::IntoAnswer;

use crate::{Answer, Event, FromEvent};

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

/// A function of some number of extractors is a handler.
macro_rules! handlers {
    ($($part:ident)+) => {
        #[diagnostic::do_not_recommend]
        #[expect(non_snake_case, reason = "each value bears the name of its type")]
        impl<F, Made, Given, S, $($part),+> Handler<($($part,)+), S> for F
        where
            F: FnOnce($($part),+) -> Made + Clone + Send + Sync + 'static,
            Made: Future<Output = Given> + Send + 'static,
            Given: IntoAnswer + 'static,
            S: Send + Sync + 'static,
            $($part: FromEvent<S> + Send + 'static,)+
        {
            async fn call(self, event: Event, state: S) -> Answer {
                $(let $part = match $part::from_event(&event, &state) {
                    Ok(part) => part,
                    Err(failure) => return failure.into(),
                };)+
                self($($part),+).await.into_answer()
            }
        }
    };
}

handlers!(A);
handlers!(A B);
handlers!(A B C);
handlers!(A B C D);
handlers!(A B C D E);
handlers!(A B C D E G);
handlers!(A B C D E G H);
handlers!(A B C D E G H I);
handlers!(A B C D E G H I J);
handlers!(A B C D E G H I J K);
handlers!(A B C D E G H I J K L);
handlers!(A B C D E G H I J K L M);
handlers!(A B C D E G H I J K L M N);
handlers!(A B C D E G H I J K L M N O);
handlers!(A B C D E G H I J K L M N O P);
handlers!(A B C D E G H I J K L M N O P Q);
