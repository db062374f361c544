//! URLs of servers, whose passwords are shown to nobody.

use std::ffi::OsStr;
use std::marker::PhantomData;
use std::str::FromStr;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};

/// Without the user and the password that may stand before the `@`, and without settings that could be one.
pub(crate) fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        // Somebody may have forgotten the slashes.
        let secret = url
            .rsplit_once('@')
            .filter(|(before, _)| before.contains(':'));
        return secret.map_or(url, |(_, rest)| rest).to_owned();
    };
    let rest = match rest.rsplit_once('@') {
        // It may stand in a setting's value as well.
        Some((before, _))
            if before
                .split_once('?')
                .is_some_and(|(_, set)| set.contains('=')) =>
        {
            return format!("{scheme}://…");
        }
        Some((_, rest)) => rest,
        None => rest,
    };
    let (place, settings) = rest.split_once('?').unwrap_or((rest, ""));
    // What is escaped could spell anything.
    let is_plain =
        |setting: &&str| !setting.to_ascii_lowercase().contains("pass") && !setting.contains('%');
    let settings: Vec<&str> = settings
        .split('&')
        .filter(|setting| !setting.is_empty())
        .filter(is_plain)
        .collect();
    match settings.join("&") {
        none if none.is_empty() => format!("{scheme}://{place}"),
        settings => format!("{scheme}://{place}?{settings}"),
    }
}

/// Reads a URL from the command line; an error names the flag and repeats no password.
#[derive(Clone, Debug)]
pub(crate) struct UrlParser<T>(PhantomData<T>);

impl<T> UrlParser<T> {
    /// Reads what `T` reads.
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> TypedValueParser for UrlParser<T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    type Value = T;

    fn parse_ref(&self, command: &Command, flag: Option<&Arg>, url: &OsStr) -> Result<T, Error> {
        let url = url.to_string_lossy();
        url.parse().map_err(|reason| {
            let flag = flag.map(ToString::to_string).unwrap_or_default();
            let text = format!("invalid value '{}' for '{flag}': {reason}", shown(&url));
            command.clone().error(ErrorKind::ValueValidation, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, without) in [
            ("nats://me:secret@localhost:4222", "nats://localhost:4222"),
            (
                "postgres://me:s@cret?@h/db?schema=s",
                "postgres://h/db?schema=s",
            ),
            (
                "postgres://h/db?schema=s&password=secret",
                "postgres://h/db?schema=s",
            ),
            ("postgres://h/db?%70assword=secret", "postgres://h/db"),
            ("postgres://h/db?user=me&password=p@ss", "postgres://…"),
            ("postgres://h/db?Password=secret", "postgres://h/db"),
            ("postgres:me:secret@h/db", "h/db"),
            ("embedded", "embedded"),
            ("./me@work.sqlite", "./me@work.sqlite"),
        ] {
            assert_eq!(shown(url), without);
        }
    }
}
