//! Why an event was not handled, and what should become of it.

use std::fmt::Display;

use crate::Answer;

/// Why an event was not handled, and whether to try again.
///
/// Everything that can be displayed becomes one with `?`, and means: retry. To say otherwise, give
/// [`DeadLetter`]:
///
/// ```
/// use griot_events::{Answer, DeadLetter, Failure, IntoAnswer};
///
/// fn parse(text: &str) -> Result<u64, Failure> {
///     let number = text.parse().map_err(|_| DeadLetter("the amount is not a number"))?;
///     std::fs::read("/nowhere/at/all")?; // an error of input and output: trying again may help
///     Ok(number)
/// }
///
/// assert!(matches!(parse("one").unwrap_err().into(), Answer::DeadLetter { .. }));
/// assert!(matches!(parse("1").unwrap_err().into(), Answer::Retry { .. }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Trying again may help.
    Retry {
        /// Why.
        reason: String,
    },
    /// Trying again does not help.
    DeadLetter {
        /// Why.
        reason: String,
    },
}

/// Says that the event should be handled again, and why: an [answer](crate::IntoAnswer), and an
/// error that becomes a [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry<R>(pub R);

/// Says that the event belongs among the dead letters, and why: an [answer](crate::IntoAnswer), and
/// an error that becomes a [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter<R>(pub R);

// `Failure`, `Retry` and `DeadLetter` are not `Display` themselves: that is what lets this stand
// beside the conversions below.
impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Retry(error).into()
    }
}

impl<R: Display> From<Retry<R>> for Failure {
    fn from(Retry(reason): Retry<R>) -> Self {
        // The alternate form, since some errors print their causes there.
        let reason = format!("{reason:#}");
        Self::Retry { reason }
    }
}

impl<R: Display> From<DeadLetter<R>> for Failure {
    fn from(DeadLetter(reason): DeadLetter<R>) -> Self {
        let reason = format!("{reason:#}");
        Self::DeadLetter { reason }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Retry { reason } => Self::Retry { reason },
            Failure::DeadLetter { reason } => Self::DeadLetter { reason },
        }
    }
}
