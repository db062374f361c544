//! Ours: entities on a journal.

use std::sync::Arc;

use griot_core::{Cx, Entity, Handle, Never};
use griot_entity::{AskError, Entities, EntityRef, Griot, Limits};
use griot_events::BoxFuture;
use griot_journal::{Journal, MemoryJournal};
use serde::{Deserialize, Serialize};

use crate::NOTEBOOKS;
use crate::contender::{Contender, Noted, text};

#[derive(Default, Serialize, Deserialize)]
struct Notebook {
    notes: u64,
}

impl Entity for Notebook {
    const KIND: &'static str = "notebook";
    type Event = Noted;
    fn evolve(&mut self, _: &Noted) {
        self.notes += 1;
    }
}

struct Note(String);
impl Handle<Note> for Notebook {
    type Reply = u64;
    type Error = Never;
    fn decide(&self, Note(text): Note, cx: &mut Cx<Self>) -> Result<u64, Never> {
        cx.emit(Noted::Noted { text });
        Ok(self.notes + 1)
    }
}

pub struct Ours {
    journal: &'static str,
    notebooks: Vec<EntityRef<Notebook>>,
    _griot: Griot,
}

impl Ours {
    pub async fn on(name: &'static str, journal: Arc<dyn Journal>) -> Self {
        let limits = Limits {
            snapshot_every: 0,
            ..Limits::default()
        };
        let griot = Griot::builder(journal, Arc::new(MemoryJournal::new()))
            .entity(Entities::<Notebook>::new().limits(limits))
            .start()
            .await
            .unwrap();
        let notebook = |number| griot.entity(&format!("n{number}")).unwrap();
        Self {
            journal: name,
            notebooks: (0..NOTEBOOKS).map(notebook).collect(),
            _griot: griot,
        }
    }
}

impl Contender for Ours {
    fn name(&self) -> String {
        format!("griot on {}", self.journal)
    }

    fn note(&self, notebook: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                match self.notebooks[notebook].ask(Note(text())).await {
                    Ok(_) => return,
                    Err(AskError::Busy) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    }
}
