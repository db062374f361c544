//! A length of time as people write it: `20ms`, `20s`, `1m 30s`.

use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::fmt::friendly::SpanParser;

/// A length of time that is read from and written to text with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        SpanParser::new()
            .parse_unsigned_duration(text)
            .map(Self)
            .map_err(|_| {
                format!("`{text}` is not a length of time: write a number and a unit, such as 20ms, 20s or 1m")
            })
    }
}

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SignedDuration::try_from(self.0) {
            Ok(duration) => write!(f, "{duration:#}"),
            Err(_) => write!(f, "{}s", self.0.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_with_their_unit() {
        for (text, expected) in [
            ("20ms", Duration::from_millis(20)),
            ("20s", Duration::from_secs(20)),
            ("1m 30s", Duration::from_secs(90)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(text.parse(), Ok(Span(expected)), "{text}");
        }
    }

    #[test]
    fn a_length_of_time_is_written_as_it_is_read() {
        for text in ["20ms", "20s", "1m 30s", "0s"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse(), Ok(span), "{text}");
        }
    }

    #[test]
    fn a_bad_length_of_time_is_named_in_the_error() {
        for text in ["20", "", "-5s", "fast", "5 parsecs", "5s ago"] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
