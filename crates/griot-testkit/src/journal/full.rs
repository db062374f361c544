//! Full: a server whose disk is full for a while.

#![expect(
    clippy::unwrap_used,
    reason = "a case panics where a promise is broken"
)]

use std::error::Error;
use std::iter::successors;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use griot_core::{EntityId, Offset, Seq};
use griot_journal::{Answer, Append, AppendError, Filter, Journal, SeqRange};

use super::{Writer, append_of, entity};
use crate::probe::until;
use crate::{OwnServer, SmallDisk};

/// For the server's own files, and some beside them.
const DISK_MEBIBYTES: usize = 400;
/// What makes an append large.
const PAYLOAD_BYTES: usize = 64 * 1024;
/// Appends before the disk is full, and after it was.
const APPENDS: u64 = 20;

/// One event, under a key of its own, that no compression makes small.
fn large(id: &EntityId, seq: u64) -> Append {
    let mut append = append_of(id, seq, 1);
    for event in &mut append.events {
        event.payload = (0..PAYLOAD_BYTES).map(|_| fastrand::u8(..)).collect();
    }
    append.answer = Some(Answer {
        key: format!("event {seq}"),
        fingerprint: seq,
        reply: Bytes::new(),
    });
    append
}

async fn write(owner: &Writer, id: &EntityId, seq: u64) -> Result<(), AppendError> {
    match owner.append(vec![large(id, seq)]).await {
        Ok(_) | Err(AppendError::Answered { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn said(error: &dyn Error) -> String {
    let causes = successors(Some(error), |error| (*error).source());
    let said: Vec<_> = causes.map(ToString::to_string).collect();
    said.join(": ").to_lowercase()
}

/// A server whose disk is full says so, or ends, acknowledges nothing that it has not, and works again once there is space. It
/// is one that `program` starts by this name; `open` opens a journal at its URL.
///
/// # Panics
///
/// When that is not so.
pub async fn nothing_acknowledged_is_lost_on_a_disk_that_is_full_for_a_while(
    program: &Path,
    name: &'static str,
    open: impl AsyncFnOnce(&str) -> Arc<dyn Journal>,
) {
    let Some(disk) = SmallDisk::mount(DISK_MEBIBYTES) else {
        return;
    };
    let server = OwnServer::start_on(program, name, &disk).await;
    let journal = open(server.url()).await;
    let id = entity("full");
    let owner = Writer::claim(&journal).await.unwrap();
    for seq in 0..APPENDS {
        write(&owner, &id, seq).await.unwrap();
    }
    disk.fill(None);
    let mut acknowledged = APPENDS;
    let error = loop {
        match write(&owner, &id, acknowledged).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    match &error {
        AppendError::Refused(refused) => {
            let said = said(refused);
            assert!(said.contains("space") || said.contains("full"), "{said}");
        }
        // The server ended itself.
        AppendError::Unknown(_) => {}
        other => panic!("{other}"),
    }

    disk.free();
    server.up().await;
    until("it is taken again", || async {
        let Ok(owner) = Writer::claim(&journal).await else {
            return false;
        };
        write(&owner, &id, acknowledged).await.is_ok()
    })
    .await;
    let total = acknowledged + 1 + APPENDS;
    let owner = Writer::claim(&journal).await.unwrap();
    for seq in acknowledged + 1..total {
        write(&owner, &id, seq).await.unwrap();
    }
    assert_eq!(journal.last_seq(&id).await.unwrap(), Seq(total));
    let events = journal.events(&id, SeqRange::ALL).await.unwrap();
    assert!(events.iter().map(|event| event.seq.get()).eq(1..=total));
    let filter = Filter::default();
    let page = journal.tail(Offset::ZERO, &filter, usize::MAX).await;
    let offsets = page.unwrap().events.into_iter();
    assert!(offsets.map(|event| event.offset.get()).eq(1..=total));
}
