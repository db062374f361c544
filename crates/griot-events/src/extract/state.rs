//! What all handlers of a router share.

use crate::{Event, Failure, FromEvent};

/// What [`Router::with_state`](crate::Router::with_state) gave, or a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State<T>(pub T);

/// How a part is had from a router's state, so that a handler can ask for that part alone.
///
/// ```
/// use griot_events::{FromRef, Router, State};
///
/// #[derive(Clone)]
/// struct Till;
///
/// #[derive(Clone)]
/// struct Shop { till: Till }
///
/// impl FromRef<Shop> for Till {
///     fn from_ref(shop: &Shop) -> Self { shop.till.clone() }
/// }
///
/// async fn bill(State(till): State<Till>) {}
///
/// let router: Router = Router::new().on("orders", bill).with_state(Shop { till: Till });
/// ```
pub trait FromRef<S> {
    /// The part.
    fn from_ref(state: &S) -> Self;
}

impl<S: Clone> FromRef<S> for S {
    fn from_ref(state: &S) -> Self {
        state.clone()
    }
}

impl<S, T: FromRef<S>> FromEvent<S> for State<T> {
    fn from_event(_: &Event, state: &S) -> Result<Self, Failure> {
        Ok(Self(T::from_ref(state)))
    }
}
