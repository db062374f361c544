//! Which SQL a database speaks, and texts that differ from one to the other.

use std::fmt::Write as _;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

/// Which SQL a database speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
}

/// A text in SQL: one for all databases, save where one has its own.
///
/// ```
/// use griot_sql::{Dialect, Sql};
///
/// const SET: Sql = Sql::new("INSERT INTO seen (id, at) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at")
///     .on_mysql("INSERT INTO seen (id, at) VALUES (?, ?) ON DUPLICATE KEY UPDATE at = VALUES(at)");
/// assert_eq!(SET.text(Dialect::Postgres), SET.text(Dialect::Sqlite));
/// assert!(SET.text(Dialect::Mysql).ends_with("at = VALUES(at)"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sql {
    sqlite: &'static str,
    postgres: &'static str,
    mysql: &'static str,
}

impl Sql {
    /// This text on all of them.
    pub const fn new(text: &'static str) -> Self {
        Self {
            sqlite: text,
            postgres: text,
            mysql: text,
        }
    }

    /// Another text on SQLite.
    #[must_use]
    pub const fn on_sqlite(self, text: &'static str) -> Self {
        Self {
            sqlite: text,
            ..self
        }
    }

    /// Another text on PostgreSQL.
    #[must_use]
    pub const fn on_postgres(self, text: &'static str) -> Self {
        Self {
            postgres: text,
            ..self
        }
    }

    /// Another text on MySQL and MariaDB.
    #[must_use]
    pub const fn on_mysql(self, text: &'static str) -> Self {
        Self {
            mysql: text,
            ..self
        }
    }

    /// The text for a database.
    pub const fn text(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
            Dialect::Mysql => self.mysql,
        }
    }
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self::new(text)
    }
}

impl Dialect {
    /// A name as SQL has it, whatever is in it.
    pub(crate) fn quoted(self, name: &str) -> String {
        match self {
            Self::Mysql => format!("`{}`", name.replace('`', "``")),
            Self::Sqlite | Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    /// A statement with `?` for its values, as the database takes it. Where PostgreSQL has an operator with
    /// a `?`, that is written `??`.
    pub(crate) fn spell(self, sql: SqlStr) -> SqlStr {
        if self != Self::Postgres || !sql.as_str().contains('?') {
            return sql;
        }
        // Of the text itself only the placeholders change.
        AssertSqlSafe(numbered(sql.as_str())).into_sql_str()
    }
}

/// The text with `$1`, `$2` and so on where `?` stands outside of what is quoted or a comment.
fn numbered(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    let (mut rest, mut count) = (text, 0_u32);
    while let Some(at) = rest.find(['?', '\'', '"', '-', '/']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let end = match from.as_bytes() {
            [b'?', b'?', ..] => {
                out.push('?');
                rest = from.split_at(2).1;
                continue;
            }
            [b'?', ..] => {
                count += 1;
                // Writing to a string does not fail.
                let _ = write!(out, "${count}");
                rest = from.split_at(1).1;
                continue;
            }
            [b'\'', ..] => behind(from, 1, "'"),
            [b'"', ..] => behind(from, 1, "\""),
            [b'-', b'-', ..] => behind(from, 2, "\n"),
            [b'/', b'*', ..] => behind(from, 2, "*/"),
            _ => 1,
        };
        let (passed, behind) = from.split_at(end);
        out.push_str(passed);
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// Where the text goes on behind the next `mark`, looked for after its first bytes.
fn behind(text: &str, first: usize, mark: &str) -> usize {
    let found = text.split_at(first).1.find(mark);
    found.map_or(text.len(), |at| first + at + mark.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_for_postgres_alone() {
        let said = |text: &'static str, dialect: Dialect| {
            let said = dialect.spell(SqlStr::from_static(text));
            said.as_str().to_owned()
        };
        let text = "INSERT INTO t (a, b) VALUES (?, ?), (?, 'a ? b''?')";
        assert_eq!(said(text, Dialect::Sqlite), text);
        assert_eq!(said(text, Dialect::Mysql), text);
        assert_eq!(
            said(text, Dialect::Postgres),
            "INSERT INTO t (a, b) VALUES ($1, $2), ($3, 'a ? b''?')"
        );
    }

    #[test]
    fn what_is_quoted_or_a_comment_keeps_its_question_marks() {
        let text =
            "SELECT \"a?\" - 1 /* ? */ / 2 -- ?\nFROM t WHERE ä = ? AND tags ?? ? AND x = '?";
        assert_eq!(
            numbered(text),
            "SELECT \"a?\" - 1 /* ? */ / 2 -- ?\nFROM t WHERE ä = $1 AND tags ? $2 AND x = '?"
        );
    }

    #[test]
    fn a_quoted_name_is_that_name_whatever_is_in_it() {
        assert_eq!(Dialect::Mysql.quoted("a`b\"c"), "`a``b\"c`");
        assert_eq!(Dialect::Sqlite.quoted("a`b\"c"), "\"a`b\"\"c\"");
        assert_eq!(Dialect::Postgres.quoted("a"), "\"a\"");
    }
}
