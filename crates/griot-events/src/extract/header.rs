//! One header, parsed from text.

use std::fmt::Display;
use std::str::FromStr;

use super::OptionalFromEvent;
use crate::{DeadLetter, Event, Failure, FromEvent};

/// A header as a type of its own: it has a name, and is parsed from text.
pub trait NamedHeader: FromStr<Err: Display> {
    /// The header's name; regard is not paid to case.
    const NAME: &'static str;
}

/// One header, parsed from text. `Option<Header<T>>` is `None` where it is missing.
///
/// ```
/// use std::convert::Infallible;
/// use std::str::FromStr;
///
/// use griot_events::{Header, NamedHeader, Router};
///
/// struct Tenant(String);
///
/// impl FromStr for Tenant {
///     type Err = Infallible;
///     fn from_str(text: &str) -> Result<Self, Infallible> { Ok(Self(text.to_owned())) }
/// }
///
/// impl NamedHeader for Tenant {
///     const NAME: &'static str = "tenant";
/// }
///
/// async fn bill(Header(tenant): Header<Tenant>) {
///     println!("for {}", tenant.0);
/// }
///
/// let router: Router = Router::new().on("orders", bill);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<T>(pub T);

impl<S, T: NamedHeader> OptionalFromEvent<S> for Header<T> {
    fn optional_from_event(event: &Event, _: &S) -> Result<Option<Self>, Failure> {
        let name = T::NAME;
        let Some(value) = event.headers().get_bytes(name) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(value)
            .map_err(|_| DeadLetter(format!("the header `{name}` is not text")))?;
        let value = text.parse().map_err(|error| {
            DeadLetter(format!("the header `{name}` is wrong, `{text}`: {error}"))
        })?;
        Ok(Some(Self(value)))
    }
}

impl<S, T: NamedHeader> FromEvent<S> for Header<T> {
    fn from_event(event: &Event, state: &S) -> Result<Self, Failure> {
        let missing = || DeadLetter(format!("the header `{}` is missing", T::NAME)).into();
        Self::optional_from_event(event, state)?.ok_or_else(missing)
    }
}
