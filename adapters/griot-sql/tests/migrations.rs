//! Migrations: applied once, and never changed.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "rig/place.rs"]
mod rig;

use griot_projection::ProjectionError;
use griot_sql::{Migrations, SqlTarget};
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

async fn many_may_open_it_at_once(place: Place) {
    let opening = (0..4).map(|_| open(&place, "shop", &STEPS));
    for opened in futures_util::future::join_all(opening).await {
        opened.unwrap();
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
    }
}
