//! The past moment that a request asks for.

use crate::Moment;
use crate::core::{Seq, Timestamp};

use super::{Parameters, Problem};

impl Parameters {
    /// The moment that the parameter `seq` or `at` says: as it was after so many events, or at that
    /// time (RFC 3339). `None` is now.
    ///
    /// # Errors
    ///
    /// For a wrong value, and for both: 422, which names the parameter.
    pub fn moment(&self) -> Result<Option<Moment>, Problem> {
        let seq = self.get("seq", "must be a whole number", |seq| seq.parse().ok())?;
        let rule = "must be a time like 2026-01-31T12:00:00Z";
        let at = self.get("at", rule, moment_in_time)?;
        match (seq, at) {
            (Some(_), Some(_)) => {
                let detail = "must be left out where seq is given";
                Err(Problem::invalid("at", detail))
            }
            (Some(seq), None) => Ok(Some(Moment::Seq(Seq(seq)))),
            (None, at) => Ok(at.map(Moment::At)),
        }
    }
}

/// Reads RFC 3339 as clients write it: with a plus sign that was not encoded and arrives as a space,
/// with more digits than a clock has, and with the end of time.
fn moment_in_time(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_at_checked(11)?;
    let time = time.replace(' ', "+");
    let text = match time.split_once('.') {
        None => format!("{date}{time}"),
        Some((seconds, rest)) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (fraction, zone) = rest.split_at_checked(digits)?;
            let fraction = fraction.get(..9).unwrap_or(fraction);
            format!("{date}{seconds}.{fraction}{zone}")
        }
    };
    let at_the_end = text.starts_with("9999-12-3") && text.ends_with(['Z', 'z']);
    let end_of_time = || at_the_end.then_some(Timestamp::from_micros(i64::MAX));
    text.replacen(' ', "T", 1).parse().ok().or_else(end_of_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_clients_write_it() {
        let micros = |text| moment_in_time(text).map(Timestamp::as_micros);
        let at = micros("2026-01-31T12:00:00.25Z");
        assert!(at.is_some());
        assert_eq!(micros("2026-01-31T13:00:00.25 01:00"), at);
        assert_eq!(micros("2026-01-31 12:00:00.2500000000009Z"), at);
        assert_eq!(micros("9999-12-31T23:59:59Z"), Some(i64::MAX));
        for text in [
            "",
            "yesterday",
            "2026-01-31",
            "2026-01-31T25:00:00Z",
            "2026-01-31T12:00:00ü",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
