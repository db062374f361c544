//! The floor by hand: one transaction for each command.

use griot_events::BoxFuture;
use sqlx::{Error, PgPool, Row as _};

use crate::contender::{Contender, Noted, text};

pub struct OneTransaction {
    pool: PgPool,
}

impl OneTransaction {
    /// In a schema that is there.
    pub async fn connect(pool: PgPool) -> Self {
        let table = "create table notes (notebook text not null, seq bigint not null,
            event json not null, primary key (notebook, seq))";
        sqlx::raw_sql(table).execute(&pool).await.unwrap();
        Self { pool }
    }

    async fn try_note(&self, notebook: &str) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let last = "select coalesce(max(seq), 0) from notes where notebook = $1";
        let last = sqlx::query(last)
            .bind(notebook)
            .fetch_one(&mut *transaction);
        let last: i64 = last.await?.try_get(0)?;
        let event = serde_json::to_value(Noted::Noted { text: text() }).unwrap();
        let insert = sqlx::query("insert into notes values ($1, $2, $3)");
        let insert = insert.bind(notebook).bind(last + 1).bind(event);
        insert.execute(&mut *transaction).await?;
        transaction.commit().await
    }
}

impl Contender for OneTransaction {
    fn name(&self) -> String {
        "one transaction a command".to_owned()
    }

    fn note(&self, notebook: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let notebook = format!("n{notebook}");
            loop {
                match self.try_note(&notebook).await {
                    Ok(()) => return,
                    Err(Error::Database(error)) if error.is_unique_violation() => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    }
}
