//! The suite that every target of projections passes, on each database.

#[path = "rig/place.rs"]
mod rig;

mod sqlite {
    use super::rig::Place;

    griot_testkit::projection_suite!(Place::file());
    griot_testkit::projection_kill_suite!(Place::file_within);
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::rig::{Place, fresh_schema, named_for, postgres};

    macro_rules! place {
        () => {
            match postgres() {
                Some(url) => Place::at(fresh_schema(&url)),
                None => return,
            }
        };
    }

    griot_testkit::projection_suite!(place!());
    griot_testkit::projection_kill_suite!(match postgres() {
        Some(url) => move |directory: &_| named_for(directory, &url, fresh_schema),
        None => return,
    });
}

#[cfg(feature = "mysql")]
mod mysql {
    use super::rig::{Place, fresh_database, mysql, named_for};

    macro_rules! place {
        () => {
            match mysql() {
                Some(url) => Place::at(fresh_database(&url)),
                None => return,
            }
        };
    }

    griot_testkit::projection_suite!(place!());
    griot_testkit::projection_kill_suite!(match mysql() {
        Some(url) => move |directory: &_| named_for(directory, &url, fresh_database),
        None => return,
    });
}
