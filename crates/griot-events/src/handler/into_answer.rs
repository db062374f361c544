//! What a handler may give, and the answer it stands for.

use std::convert::Infallible;
use std::fmt::Display;

use griot_core::Publication;

use crate::{Answer, DeadLetter, Failure, Retry};

/// What a handler may give.
///
/// | given | answer |
/// | --- | --- |
/// | `()` | [`Answer::Ack`] |
/// | [`Publication`], or a `Vec` of them | [`Answer::Publish`]; an empty `Vec` is an `Ack` |
/// | [`Retry`], [`DeadLetter`], [`Failure`] | as they say |
/// | `Ok(value)` | what the value stands for |
/// | `Err(error)` | [`Answer::Retry`] with the error's text, or what a [`Failure`] says |
/// | `Some(value)`, `None` | what the value stands for, `Ack` |
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer to an event",
    label = "a handler cannot give this",
    note = "it can give `()`, `Answer`, `Publication`, `Vec<Publication>`, `Retry(reason)`, `DeadLetter(reason)`, or a `Result` of these whose error implements `Display`"
)]
pub trait IntoAnswer {
    /// The answer that it stands for.
    fn into_answer(self) -> Answer;
}

impl IntoAnswer for Answer {
    fn into_answer(self) -> Answer {
        self
    }
}

impl IntoAnswer for () {
    fn into_answer(self) -> Answer {
        Answer::Ack
    }
}

impl IntoAnswer for Infallible {
    fn into_answer(self) -> Answer {
        match self {}
    }
}

impl IntoAnswer for Publication {
    fn into_answer(self) -> Answer {
        Answer::Publish(vec![self])
    }
}

impl IntoAnswer for Vec<Publication> {
    fn into_answer(self) -> Answer {
        if self.is_empty() {
            Answer::Ack
        } else {
            Answer::Publish(self)
        }
    }
}

impl IntoAnswer for Failure {
    fn into_answer(self) -> Answer {
        self.into()
    }
}

impl<R: Display> IntoAnswer for Retry<R> {
    fn into_answer(self) -> Answer {
        Failure::from(self).into()
    }
}

impl<R: Display> IntoAnswer for DeadLetter<R> {
    fn into_answer(self) -> Answer {
        Failure::from(self).into()
    }
}

impl<T: IntoAnswer> IntoAnswer for Option<T> {
    fn into_answer(self) -> Answer {
        self.map_or(Answer::Ack, T::into_answer)
    }
}

impl<T: IntoAnswer, E: Into<Failure>> IntoAnswer for Result<T, E> {
    fn into_answer(self) -> Answer {
        match self {
            Ok(value) => value.into_answer(),
            Err(error) => error.into().into(),
        }
    }
}
