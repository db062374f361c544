//! Whether a copy may go on: what the target holds is how the source began.

use griot_core::Offset;

use super::stand_in::{is_deleted, is_filler};
use super::{CopyError, last_offset};
use crate::{Archive, Filter, JournalError, Kept, Mark, RecordedEvent};

/// Whether the target is an earlier state of the source: looks at its last appends, and at events that are 0, 1, 2, 4, 8
/// and so on before its last one. Two histories that only look alike differ in the times of their events.
pub(super) async fn agree(
    from: &dyn Archive,
    to: &dyn Archive,
    mark: Mark,
) -> Result<(), CopyError> {
    let offset = mark.offset;
    let end = last_offset(from).await.map_err(CopyError::Source)?;
    if offset > end {
        return Err(CopyError::Diverged { offset });
    }
    let mut back = 0_u64;
    while back < offset.get() {
        let offset = Offset(offset.get().saturating_sub(back));
        let theirs = event(from, offset).await.map_err(CopyError::Source)?;
        let ours = event(to, offset).await.map_err(CopyError::Target)?;
        if let (Some(theirs), Some(ours)) = (theirs, ours)
            && theirs != ours
            && !is_deleted(&theirs.event)
            && !is_deleted(&ours.event)
        {
            return Err(CopyError::Diverged { offset });
        }
        back = back.saturating_mul(2).max(1);
    }
    let start = Mark { offset, appends: 0 };
    let theirs = from.appends(start, mark.appends).await;
    let theirs = theirs.map_err(CopyError::Source)?;
    let ours = to.appends(start, mark.appends).await;
    let ours = ours.map_err(CopyError::Target)?;
    let same = |(theirs, ours): (&Kept, &Kept)| {
        let is_theirs = (
            &theirs.append.entity,
            theirs.append.expected,
            theirs.append.at,
        ) == (&ours.append.entity, ours.append.expected, ours.append.at);
        is_theirs || is_filler(&ours.append) || is_filler(&theirs.append)
    };
    if theirs.iter().zip(&ours).all(same) {
        Ok(())
    } else {
        Err(CopyError::Diverged { offset })
    }
}

/// The event at an offset, if it is not deleted.
async fn event(
    journal: &dyn Archive,
    offset: Offset,
) -> Result<Option<RecordedEvent>, JournalError> {
    let before = Offset(offset.get().saturating_sub(1));
    let page = journal.tail(before, &Filter::default(), 1).await?;
    let mut events = page.events.into_iter();
    Ok(events.find(|event| event.offset == offset))
}
