//! Reading a whole journal, with a bar.

use std::time::Duration;

use griot::core::Offset;
use griot::journal::{Filter, Journal, JournalError, RecordedEvent, last_offset};
use indicatif::{ProgressBar, ProgressStyle};

/// Events that are read at a time.
const PAGE: usize = 4_096;

/// A bar on the terminal, if there is one, for so many of these.
pub(crate) fn bar(of: u64, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(of);
    let template = format!("{{bar:40}} {{pos}}/{{len}} {what}, {{per_sec}}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Shows `each` event up to the one that is the last now, in order. What comes while it reads is left out.
pub(super) async fn events(
    journal: &dyn Journal,
    mut each: impl FnMut(&RecordedEvent),
) -> Result<Offset, JournalError> {
    let last = last_offset(journal).await?;
    let bar = bar(last.get(), "events");
    let all = Filter::default();
    let mut after = Offset::ZERO;
    while after < last {
        let page = journal.tail(after, &all, PAGE).await?;
        if page.next <= after {
            break;
        }
        page.events
            .iter()
            .filter(|event| event.offset <= last)
            .for_each(&mut each);
        after = page.next;
        bar.set_position(after.get().min(last.get()));
    }
    bar.finish_and_clear();
    Ok(last)
}
