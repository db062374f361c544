//! A peer: cqrs-es with postgres-es, as its guide has it.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, AggregateError, DomainEvent};
use griot_core::Never;
use griot_events::BoxFuture;
use postgres_es::{PostgresCqrs, default_postgress_pool, postgres_cqrs};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::contender::{Contender, Noted, text};

impl DomainEvent for Noted {
    fn event_type(&self) -> String {
        "Noted".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Notebook {
    notes: u64,
}

impl Aggregate for Notebook {
    const TYPE: &'static str = "notebook";
    type Command = String;
    type Event = Noted;
    type Error = Never;
    type Services = ();

    async fn handle(&mut self, text: String, (): &(), sink: &EventSink<Self>) -> Result<(), Never> {
        sink.write(Noted::Noted { text }, self).await;
        Ok(())
    }

    fn apply(&mut self, _: Noted) {
        self.notes += 1;
    }
}

pub struct CqrsEs {
    framework: PostgresCqrs<Notebook>,
}

impl CqrsEs {
    /// In a schema that is there.
    pub async fn connect(url: &str, pool: &PgPool) -> Self {
        let table = "create table events (aggregate_type text not null, aggregate_id text not null,
            sequence bigint check (sequence >= 0) not null, event_type text not null,
            event_version text not null, payload json not null, metadata json not null,
            primary key (aggregate_type, aggregate_id, sequence))";
        sqlx::raw_sql(table).execute(pool).await.unwrap();
        let pool = default_postgress_pool(url).await;
        Self {
            framework: postgres_cqrs(pool, Vec::new(), ()),
        }
    }
}

impl Contender for CqrsEs {
    fn name(&self) -> String {
        "cqrs-es on PostgreSQL".to_owned()
    }

    fn note(&self, notebook: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let id = format!("n{notebook}");
            loop {
                match self.framework.execute(&id, text()).await {
                    Ok(()) => return,
                    Err(AggregateError::AggregateConflict) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    }
}
