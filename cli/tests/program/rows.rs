//! The tables of a read model, counted in SQL as any other program would.

use std::path::Path;

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Row as _};

use crate::process::until;

/// A read model that a program keeps, which other programs query.
pub(crate) struct Tables {
    url: String,
    /// What stands before a table's name.
    schema: String,
}

/// An order, as the table has it: id, state, sequence and total.
pub(crate) type OrderRow = (String, String, i64, Option<i64>);

impl Tables {
    /// In the data directory.
    pub(crate) fn in_directory(data: &Path) -> Self {
        let file = data.join("read-model.sqlite");
        Self {
            url: format!("sqlite://{}", file.display()),
            schema: String::new(),
        }
    }

    /// On a server, in the schema that the URL names.
    pub(crate) fn at(url: &str) -> Self {
        let schema = url.split_once("?schema=").map(|(_, schema)| schema);
        Self {
            url: url.split('?').next().unwrap_or(url).to_owned(),
            schema: schema.map_or(String::new(), |schema| format!("\"{schema}\".")),
        }
    }

    /// Makes the database of MySQL or MariaDB that the URL names; PostgreSQL's schema is made by whoever opens it.
    pub(crate) async fn make_database(url: &str) {
        sqlx::any::install_default_drivers();
        let (server, name) = url.rsplit_once('/').unwrap();
        let mut connection = AnyConnection::connect(&format!("{server}/mysql"))
            .await
            .unwrap();
        let create = format!("CREATE DATABASE IF NOT EXISTS {name}");
        let create = sqlx::query(AssertSqlSafe(create)).execute(&mut connection);
        create.await.unwrap();
        connection.close().await.unwrap();
    }

    async fn select(&self, columns: &str, table: &str) -> Vec<AnyRow> {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&self.url).await.unwrap();
        let select = format!("SELECT {columns} FROM {}{table} ORDER BY id", self.schema);
        let rows = sqlx::query(AssertSqlSafe(select)).fetch_all(&mut connection);
        let rows = rows.await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    /// How many rows a table has.
    pub(crate) async fn count(&self, table: &'static str) -> i64 {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&self.url).await.unwrap();
        let count = format!("SELECT count(*) FROM {}{table}", self.schema);
        let count = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut connection);
        let count = count.await.unwrap();
        connection.close().await.unwrap();
        count
    }

    /// Changes something, as nobody should.
    pub(crate) async fn run(&self, statement: &'static str) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(&self.url).await.unwrap();
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
    }

    /// The orders, by id.
    pub(crate) async fn orders(&self) -> Vec<OrderRow> {
        let rows = self.select("id, state, seq, total", "orders").await;
        let row = |row: &AnyRow| (row.get(0), row.get(1), row.get(2), row.get(3));
        rows.iter().map(row).collect()
    }

    /// The ids of the items in all carts, in order.
    pub(crate) async fn items(&self) -> Vec<String> {
        let rows = self.select("id", "items").await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until the table has come to where these orders are, as the service showed them, and checks that it has
    /// each of them, as it is, and nothing else.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub(crate) async fn hold_just(&self, orders: &[Value]) {
        let row = |order: &Value| -> OrderRow {
            let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
            let seq = order["seq"].as_i64().unwrap_or_default();
            (text("id"), text("state"), seq, order["total"].as_i64())
        };
        let mut expected: Vec<_> = orders.iter().map(row).collect();
        expected.sort();
        let events = |rows: &[OrderRow]| rows.iter().map(|row| row.2).sum::<i64>();
        let rows = until("the table has come to where the orders are", async || {
            let rows = self.orders().await;
            (events(&rows) >= events(&expected)).then_some(rows)
        })
        .await;
        assert_eq!(rows, expected);
        println!(
            "{} rows in SQL, one for each order acknowledged",
            rows.len()
        );
    }
}
