//! The suite that every target of projections passes, on each database.

#[path = "rig/broker.rs"]
mod broker;
#[path = "rig/place.rs"]
mod rig;

mod sqlite {
    use super::broker::{embedded, nats, nats_of_ones_own};
    use super::rig::Place;
    use griot_testkit::projection::topics::Topics;

    griot_testkit::projection_suite!(Place::file());

    mod topics {
        use super::*;

        griot_testkit::projection_topics_suite!(Topics {
            read_model: Place::file(),
            broker: embedded(),
        });
    }

    mod topics_on_nats {
        use super::*;

        griot_testkit::projection_topics_suite!(Topics {
            read_model: Place::file(),
            broker: match nats() {
                Some(broker) => broker,
                None => return,
            },
        });
        griot_testkit::projection_topics_server_suite!(Topics {
            read_model: Place::file(),
            broker: match nats_of_ones_own() {
                Some(broker) => broker,
                None => return,
            },
        });
    }

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

    mod topics {
        use super::*;
        use crate::broker::embedded;
        use griot_testkit::projection::topics::Topics;

        griot_testkit::projection_topics_suite!(Topics {
            read_model: place!(),
            broker: embedded(),
        });
    }

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

    mod topics {
        use super::*;
        use crate::broker::embedded;
        use griot_testkit::projection::topics::Topics;

        griot_testkit::projection_topics_suite!(Topics {
            read_model: place!(),
            broker: embedded(),
        });
    }

    griot_testkit::projection_kill_suite!(match mysql() {
        Some(url) => move |directory: &_| named_for(directory, &url, fresh_database),
        None => return,
    });
}
