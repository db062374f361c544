//! The read models that this program's services keep.

use std::fmt;

use griot::projection::Projection;
use griot::sql::{Migrations, SqlTarget};
use griot_carts::Carts;
use griot_orders::Orders;

/// A read model: the service that keeps it, by which projection, in which tables.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub(super) service: &'static str,
    pub(super) projection: fn() -> Projection<SqlTarget>,
    pub(super) tables: fn() -> Migrations,
}

/// All of them. One line for each list of a service.
pub(super) const ALL: [Known; 2] = [
    Known {
        service: "orders",
        projection: Orders::projection,
        tables: Orders::tables,
    },
    Known {
        service: "carts",
        projection: Carts::projection,
        tables: Carts::tables,
    },
];

impl Known {
    /// Its name, which is its projection's.
    pub(super) fn name(&self) -> String {
        (self.projection)().name().to_owned()
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// The one that somebody means.
pub(super) fn named(name: &str) -> Result<Known, String> {
    let found = ALL.into_iter().find(|known| known.name() == name);
    found.ok_or_else(|| {
        let names = ALL.map(|known| known.name()).join(", ");
        format!("`{name}` is no read model of this program, which keeps {names}")
    })
}
