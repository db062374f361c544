//! Columns `body`: bytes that lie in them, or in rows of their own where they are many. A cluster takes no row of more
//! than 16 MiB, and is happier with less.

use std::future::Future;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use griot_journal::JournalError;
use uuid::Uuid;

use crate::CassandraError;
use crate::link::Link;
use crate::stored::foreign;

/// As many bytes as a row of an entity or of an effect has at most.
pub(crate) const ROW_BYTES_MAX: usize = 64 << 10;

/// As many as a step of the log has at most: with 256 of them in a partition, that is 64 MiB.
pub(crate) const STEP_BYTES_MAX: usize = 256 << 10;

const PART_BYTES: usize = 1 << 20;

/// How many parts are on their way at a time.
const PARTS_AT_ONCE: usize = 4;

/// The first byte says where the rest is.
const HERE: u8 = 0;
const APART: u8 = 1;

/// The column for these bytes. Where they are more than `max`, they are written under `id` first.
pub(crate) async fn keep(
    link: &Link,
    bytes: Bytes,
    max: usize,
    id: Uuid,
) -> Result<Bytes, JournalError> {
    let mut column = BytesMut::with_capacity(1 + bytes.len().min(max).max(24));
    if bytes.len() <= max {
        column.put_u8(HERE);
        column.put_slice(&bytes);
        return Ok(column.freeze());
    }
    let parts = bytes.chunks(PART_BYTES).zip(0_i32..);
    let puts = parts.map(|(part, number)| {
        link.ask(&link.statements.part_put, (&link.journal, id, number, part))
    });
    let puts: Vec<_> = puts.collect();
    let written = stream::iter(puts).buffer_unordered(PARTS_AT_ONCE);
    written.try_for_each(|_| std::future::ready(Ok(()))).await?;
    column.put_u8(APART);
    column.put_slice(id.as_bytes());
    column.put_u64(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    Ok(column.freeze())
}

/// Whether the bytes of a column lie in rows of their own.
pub(crate) fn is_apart(column: &Bytes) -> bool {
    apart(column).is_some()
}

/// Where the bytes of a column lie, if that is not in it, and how many they are.
fn apart(column: &Bytes) -> Option<(Uuid, u64)> {
    let (&APART, rest) = column.split_first()? else {
        return None;
    };
    let (id, length) = rest.split_first_chunk::<16>()?;
    let length = length.try_into().ok().map(u64::from_be_bytes)?;
    Some((Uuid::from_bytes(*id), length))
}

/// The bytes of a column; `None` where they are not there any more.
pub(crate) async fn find(link: &Link, column: Bytes) -> Result<Option<Bytes>, JournalError> {
    if column.first() == Some(&HERE) {
        return Ok(Some(column.slice(1..)));
    }
    let Some((id, length)) = apart(&column) else {
        return Err(foreign("a body").into());
    };
    let mut bytes = BytesMut::new();
    let mut parts = link.pages(&link.statements.parts, (&link.journal, id));
    while let Some(some) = parts.next::<(Vec<u8>,)>().await? {
        for (part,) in some {
            bytes.put_slice(&part);
        }
    }
    let is_whole = u64::try_from(bytes.len()) == Ok(length);
    Ok(is_whole.then(|| bytes.freeze()))
}

/// The bytes of a column whose parts are never taken away before it is.
pub(crate) async fn read(link: &Link, column: Bytes) -> Result<Bytes, JournalError> {
    let bytes = find(link, column).await?;
    Ok(bytes.ok_or_else(lost)?)
}

/// The bytes of a column that somebody may put another in the place of, and then take away its parts: `again` says what
/// stands there now; `None` where nothing does.
pub(crate) async fn settled<F>(
    link: &Link,
    mut column: Bytes,
    again: impl Fn() -> F,
) -> Result<Option<Bytes>, JournalError>
where
    F: Future<Output = Result<Option<Bytes>, JournalError>>,
{
    loop {
        let bytes = find(link, column.clone()).await?;
        if bytes.is_some() {
            return Ok(bytes);
        }
        match again().await? {
            None => return Ok(None),
            Some(now) if now == column => return Err(lost().into()),
            Some(now) => column = now,
        }
    }
}

fn lost() -> CassandraError {
    foreign("a body in parts")
}

/// Takes away what lies in rows of its own.
pub(crate) async fn forget(link: &Link, column: &Bytes) -> Result<(), JournalError> {
    if let Some((id, _)) = apart(column) {
        let delete = &link.statements.parts_delete;
        link.ask(delete, (&link.journal, id)).await?;
    }
    Ok(())
}
