//! Migrations: applied once, and never changed.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use griot_projection::ProjectionError;
use griot_sql::{Migrations, SqlTarget};
#[cfg(feature = "mysql")]
use half_way::{
    a_step_of_several_that_failed_is_not_done_again,
    a_step_that_cannot_be_told_is_refused_and_says_what_to_do,
    a_step_that_was_killed_goes_on_whether_or_not_it_was_done,
    somebody_elses_table_is_never_taken_for_ones_own,
};
use rig::{Place, make_room};

const STEPS: [&str; 2] = [
    "CREATE TABLE items (id BIGINT PRIMARY KEY)",
    "ALTER TABLE items ADD COLUMN price BIGINT",
];

async fn open(
    place: &Place,
    name: &str,
    steps: &[&'static str],
) -> Result<SqlTarget, ProjectionError> {
    make_room(&place.url).await;
    SqlTarget::open(&place.url, Migrations::new(name, steps.iter().copied())).await
}

async fn steps_are_applied_once_and_a_changed_one_is_refused(place: Place) {
    open(&place, "shop", &STEPS[..1]).await.unwrap();
    let target = open(&place, "shop", &STEPS).await.unwrap();
    let insert = sqlx::query("INSERT INTO items (id, price) VALUES (1, 2)");
    insert.execute(target.pool()).await.unwrap();
    open(&place, "shop", &STEPS).await.unwrap();
    let other = "CREATE TABLE items (id BIGINT PRIMARY KEY, name TEXT)";
    for changed in [[other, STEPS[1]].as_slice(), &STEPS[..1]] {
        let refused = open(&place, "shop", changed).await;
        let Err(ProjectionError::Target(cause)) = refused else {
            panic!("{refused:?}");
        };
        assert!(
            cause.to_string().contains("was previously applied"),
            "{cause}"
        );
    }
    // Another's steps are numbered by themselves.
    open(
        &place,
        "stock",
        &["CREATE TABLE stock (id BIGINT PRIMARY KEY)"],
    )
    .await
    .unwrap();
    open(&place, "shop", &STEPS).await.unwrap();
}

async fn who_only_looks_makes_and_changes_no_table(place: Place) {
    make_room(&place.url).await;
    assert!(SqlTarget::attach(&place.url).await.unwrap().is_none());
    open(&place, "shop", &STEPS[..1]).await.unwrap();
    let target = SqlTarget::attach(&place.url).await.unwrap().unwrap();
    let has_price = sqlx::query("SELECT price FROM items").execute(target.pool());
    assert!(has_price.await.is_err());
}

async fn many_may_open_it_at_once(place: Place) {
    let opening = (0..4).map(|_| open(&place, "shop", &STEPS));
    for opened in futures_util::future::join_all(opening).await {
        opened.unwrap();
    }
}

/// What only MySQL and MariaDB bring about, which commit each change of a table by itself.
#[cfg(feature = "mysql")]
mod half_way {
    use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};

    use super::{Place, STEPS, open};

    /// A table, an index and a column, and what takes each back.
    const ALL: [(&str, &str); 4] = [
        (STEPS[0], "DROP TABLE items"),
        (STEPS[1], "ALTER TABLE items DROP COLUMN price"),
        (
            "CREATE INDEX items_by_price ON items (price)",
            "DROP INDEX items_by_price ON items",
        ),
        (
            "ALTER TABLE items DROP COLUMN price",
            "ALTER TABLE items ADD COLUMN price BIGINT",
        ),
    ];

    async fn run(place: &Place, statement: &str) {
        let mut connection = AnyConnection::connect(&place.url).await.unwrap();
        let statement = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        statement.execute(&mut connection).await.unwrap();
    }

    /// What the books say while a step is under way, and after a kill in the middle of it.
    async fn forget_the_end(place: &Place, version: usize) {
        let forget =
            format!("UPDATE griot_migrations_shop SET success = FALSE WHERE version = {version}");
        run(place, &forget).await;
    }

    pub(super) async fn a_step_that_was_killed_goes_on_whether_or_not_it_was_done(place: Place) {
        let steps = ALL.map(|(step, _)| step);
        for (done, (_, back)) in ALL.iter().enumerate() {
            let until_it = &steps[..=done];
            open(&place, "shop", until_it).await.unwrap();
            forget_the_end(&place, done + 1).await;
            open(&place, "shop", until_it).await.unwrap();
            forget_the_end(&place, done + 1).await;
            run(&place, back).await;
            open(&place, "shop", until_it).await.unwrap();
        }
        run(&place, "INSERT INTO items (id) VALUES (1)").await;
        open(&place, "shop", &steps).await.unwrap();
    }

    pub(super) async fn a_step_that_cannot_be_told_is_refused_and_says_what_to_do(place: Place) {
        let two = "CREATE TABLE shelves (id BIGINT); CREATE TABLE halls (id BIGINT)";
        open(&place, "shop", &[two]).await.unwrap();
        forget_the_end(&place, 1).await;
        for _ in 0..2 {
            let refused = open(&place, "shop", &[two]).await.unwrap_err().to_string();
            let says = "UPDATE griot_migrations_shop SET success = TRUE WHERE version = 1";
            assert!(refused.contains(says), "{refused}");
        }
        run(&place, "UPDATE griot_migrations_shop SET success = TRUE").await;
        open(&place, "shop", &[two]).await.unwrap();
        // Another text than the one that was begun.
        forget_the_end(&place, 1).await;
        let changed = open(&place, "shop", &["CREATE TABLE shelves (id INT)"]).await;
        let changed = changed.unwrap_err().to_string();
        assert!(changed.contains("reads otherwise"), "{changed}");
    }

    pub(super) async fn a_step_of_several_that_failed_is_not_done_again(place: Place) {
        let steps = [
            STEPS[0],
            "INSERT INTO items (id) SELECT coalesce(max(id), 0) + 1 FROM items; \
             CREATE TABLE IF NOT EXISTS shelves (id BIGINT); SELECT * FROM nowhere",
        ];
        let failed = open(&place, "shop", &steps).await.unwrap_err().to_string();
        assert!(failed.contains("nowhere"), "{failed}");
        for _ in 0..2 {
            let refused = open(&place, "shop", &steps).await.unwrap_err().to_string();
            assert!(refused.contains("several statements"), "{refused}");
        }
        let mut connection = AnyConnection::connect(&place.url).await.unwrap();
        let counting = sqlx::query_scalar("SELECT count(*) FROM items");
        let count: i64 = counting.fetch_one(&mut connection).await.unwrap();
        assert_eq!(count, 1);
    }

    pub(super) async fn somebody_elses_table_is_never_taken_for_ones_own(place: Place) {
        super::make_room(&place.url).await;
        run(&place, "CREATE TABLE items (name TEXT)").await;
        for other in ["others", "more"] {
            let refused = open(&place, "shop", &STEPS).await.unwrap_err().to_string();
            assert!(refused.contains("exists"), "{refused}");
            run(&place, &format!("CREATE TABLE {other} (id BIGINT)")).await;
        }
        // Killed before it could take its mark back.
        let keep = "CREATE TRIGGER keep BEFORE DELETE ON griot_migrations_shop FOR EACH ROW \
                    SIGNAL SQLSTATE '45000'";
        run(&place, keep).await;
        open(&place, "shop", &STEPS).await.unwrap_err();
        run(&place, "DROP TRIGGER keep").await;
        for _ in 0..2 {
            let refused = open(&place, "shop", &STEPS).await.unwrap_err().to_string();
            assert!(refused.contains("exists"), "{refused}");
        }
        run(&place, "DROP TABLE items").await;
        open(&place, "shop", &STEPS).await.unwrap();
    }
}

#[test]
fn a_name_that_could_not_be_a_tables_is_refused() {
    griot_testkit::run(async {
        for name in ["", "Shop", "a b", &"x".repeat(41)] {
            let opened = open(&Place::file(), name, &STEPS).await;
            assert!(
                matches!(opened, Err(ProjectionError::Refused { .. })),
                "{opened:?}"
            );
        }
    });
}

macro_rules! migrations {
    ($place:expr; $($case:ident,)+) => {
        $(
            #[test]
            fn $case() {
                let place = $place;
                griot_testkit::run(super::$case(place));
            }
        )+
    };
}

mod sqlite {
    migrations! { super::Place::file();
        steps_are_applied_once_and_a_changed_one_is_refused,
        many_may_open_it_at_once,
        who_only_looks_makes_and_changes_no_table,
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::rig::{fresh_schema, postgres};

    migrations! { match postgres() {
            Some(url) => super::Place::at(fresh_schema(&url)),
            None => return,
        };
        steps_are_applied_once_and_a_changed_one_is_refused,
        many_may_open_it_at_once,
        who_only_looks_makes_and_changes_no_table,
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::rig::{fresh_database, mysql};

    migrations! { match mysql() {
            Some(url) => super::Place::at(fresh_database(&url)),
            None => return,
        };
        steps_are_applied_once_and_a_changed_one_is_refused,
        many_may_open_it_at_once,
        who_only_looks_makes_and_changes_no_table,
        a_step_that_was_killed_goes_on_whether_or_not_it_was_done,
        a_step_that_cannot_be_told_is_refused_and_says_what_to_do,
        a_step_of_several_that_failed_is_not_done_again,
        somebody_elses_table_is_never_taken_for_ones_own,
    }
}
