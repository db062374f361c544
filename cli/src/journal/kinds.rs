//! The kinds of entities whose states this program can recite.

use griot::core::{Entity, Seq};
use griot::journal::BoxFuture;
use griot::{EntityError, Griot, Moment};
use griot_alarms::user::User;
use griot_carts::cart::Cart;
use griot_orders::order::Order;
use serde_json::Value;

/// Recites the state of an entity of one kind, by its id.
pub(super) type Recite =
    fn(Griot, String, Moment) -> BoxFuture<'static, Result<Option<(Value, Seq)>, EntityError>>;

/// Each kind, and how it is recited. One line for each entity of a service.
const KINDS: [(&str, Recite); 3] = [
    (Order::KIND, |griot, id, moment| {
        Box::pin(recite::<Order>(griot, id, moment))
    }),
    (Cart::KIND, |griot, id, moment| {
        Box::pin(recite::<Cart>(griot, id, moment))
    }),
    (User::KIND, |griot, id, moment| {
        Box::pin(recite::<User>(griot, id, moment))
    }),
];

/// How entities of `kind` are recited.
pub(super) fn of(kind: &str) -> Option<Recite> {
    let found = KINDS.iter().find(|(name, _)| *name == kind);
    found.map(|(_, recite)| *recite)
}

/// The kinds, for people.
pub(super) fn names() -> String {
    KINDS.map(|(name, _)| format!("`{name}`")).join(", ")
}

async fn recite<E: Entity>(
    griot: Griot,
    id: String,
    moment: Moment,
) -> Result<Option<(Value, Seq)>, EntityError> {
    let state = griot.state_at::<E>(&id, moment).await?;
    let json = |(state, seq)| {
        // A state is kept as JSON in snapshots, so it can be written as JSON.
        let value = serde_json::to_value(&state);
        (value.unwrap_or_else(|error| error.to_string().into()), seq)
    };
    Ok(state.map(json))
}
