//! A feature that plugs in by listening: an e-mail, to a file, for every ride that was completed.

use std::path::{Path, PathBuf};

use griot::events::layer::DefaultStack;
use griot::events::{Failure, Json, Router, State};

use crate::ride::{self, RideEvent};

/// Where e-mails are left.
#[derive(Clone, Debug)]
struct Outbox(PathBuf);

/// What the feature listens to. Neither rides nor fulfilments know of it.
pub fn router(outbox: impl Into<PathBuf>) -> Router {
    Router::new()
        .on_event(ride::TOPIC, "RideCompleted", thank)
        .on(ride::TOPIC, async || {})
        .layer(DefaultStack::default())
        .with_state(Outbox(outbox.into()))
}

async fn thank(
    State(Outbox(outbox)): State<Outbox>,
    Json(event): Json<RideEvent>,
) -> Result<(), Failure> {
    let RideEvent::RideCompleted {
        ride,
        guest,
        dropoff,
        chauffeur,
    } = event
    else {
        return Ok(());
    };
    let text = format!(
        "To: {guest}\nSubject: Your ride to {dropoff}\n\nThank you for riding with {chauffeur}.\n"
    );
    // The file is named for the ride: a message that comes again makes no second e-mail.
    write(&outbox, &format!("{ride}.eml"), &text).await?;
    Ok(())
}

/// Writes a file that is whole or not there.
async fn write(directory: &Path, name: &str, text: &str) -> std::io::Result<()> {
    tokio::fs::create_dir_all(directory).await?;
    let unfinished = directory.join(format!("{name}.unfinished"));
    tokio::fs::write(&unfinished, text).await?;
    tokio::fs::rename(&unfinished, directory.join(name)).await
}
