//! Recorded streams of real entities, folded again.
#![expect(clippy::expect_used, reason = "in a test a panic is the report")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use griot_core::{Entity, read_event};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Set to `write`, states that are missing, or of an older fold, are written instead of failing the test.
const VARIABLE: &str = "GRIOT_STREAMS";

/// An event as `griot journal events ENTITY --json` prints it; other fields are passed over.
#[derive(Debug, Deserialize)]
struct Recorded {
    event: String,
    #[serde(default = "first")]
    version: u16,
    data: Box<RawValue>,
}

fn first() -> u16 {
    1
}

/// What a stream came to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Folded {
    fold: u32,
    state: Value,
}

/// Folds each recorded stream in a directory, and compares what it comes to with what it came to before.
/// A stream is a file `NAME.jsonl` with an event on each line, as `griot journal events ENTITY --json`
/// prints it; what it came to stands beside it in `NAME.state.json`.
///
/// Run once with `GRIOT_STREAMS=write` in the environment, it writes the states of streams that have none,
/// and of those that were folded under an older [`Entity::FOLD`]; commit the files then.
///
/// # Panics
///
/// With everything that is wrong, and what to do about it; also where the directory has no stream.
pub fn refold<E: Entity>(directory: impl AsRef<Path>) {
    let is_to_write = std::env::var(VARIABLE).is_ok_and(|value| value == "write");
    refold_or_write::<E>(directory.as_ref(), is_to_write);
}

fn refold_or_write<E: Entity>(directory: &Path, is_to_write: bool) {
    let streams = streams(directory);
    let shown = directory.display();
    assert!(
        !streams.is_empty(),
        "{shown} has no stream: record one with `griot journal events ENTITY --json >{shown}/NAME.jsonl`"
    );
    let faults = streams.iter().filter_map(|stream| {
        let fault = check::<E>(stream, is_to_write).err()?;
        Some(format!("{}: {fault}", stream.display()))
    });
    let faults: Vec<String> = faults.collect();
    assert!(
        faults.is_empty(),
        "recorded streams of `{}` do not come to what they came to:\n- {}",
        E::KIND,
        faults.join("\n- ")
    );
}

fn streams(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("a directory can be listed").path());
    let is_stream = |path: &PathBuf| path.extension().is_some_and(|end| end == "jsonl");
    let mut streams: Vec<PathBuf> = paths.filter(is_stream).collect();
    streams.sort();
    streams
}

fn check<E: Entity>(stream: &Path, is_to_write: bool) -> Result<(), String> {
    let folded = Folded {
        fold: E::FOLD,
        state: fold::<E>(stream)?,
    };
    let path = stream.with_extension("state.json");
    let known = match std::fs::read(&path) {
        Ok(known) => {
            let known = serde_json::from_slice::<Folded>(&known);
            Some(known.map_err(|error| format!("its state is not readable: {error}"))?)
        }
        Err(_) => None,
    };
    match known {
        Some(known) if known == folded => Ok(()),
        Some(known) if known.fold == folded.fold => Err(format!(
            "it comes to another state: raise `Entity::FOLD` if that is meant, and run this test with \
             {VARIABLE}=write\n    it was {}\n    it is  {}",
            known.state, folded.state
        )),
        _ if is_to_write => {
            let text = serde_json::to_string_pretty(&folded).map_err(|error| error.to_string())?;
            std::fs::write(&path, text + "\n").map_err(|error| error.to_string())
        }
        _ => Err(format!(
            "it has no state that was folded as today: run this test with {VARIABLE}=write, look at the \
             file, and commit it"
        )),
    }
}

fn fold<E: Entity>(stream: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(stream).map_err(|error| error.to_string())?;
    let mut state = E::default();
    for (line, number) in text.lines().zip(1..) {
        let at = |error: &dyn std::fmt::Display| format!("line {number}: {error}");
        let recorded: Recorded = serde_json::from_str(line).map_err(|error| at(&error))?;
        let Recorded {
            event,
            version,
            data,
        } = recorded;
        let event = read_event::<E::Event>(&event, version, data.get().as_bytes());
        let event = event.map_err(|error| at(&error))?;
        let evolved = catch_unwind(AssertUnwindSafe(|| state.evolve(&event)));
        evolved.map_err(|_| at(&"`evolve` panicked"))?;
    }
    serde_json::to_value(&state).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use griot_core::Event;

    use super::*;

    #[derive(Serialize, Deserialize)]
    enum Counted {
        Added { amount: u64 },
    }
    impl Event for Counted {}

    /// A counter of this fold, which counts each amount so many times.
    macro_rules! counter {
        ($name:ident, $fold:literal, $times:literal) => {
            #[derive(Default, Serialize, Deserialize)]
            struct $name {
                total: u64,
            }

            impl Entity for $name {
                const KIND: &'static str = "counter";
                const FOLD: u32 = $fold;
                type Event = Counted;
                fn evolve(&mut self, Counted::Added { amount }: &Counted) {
                    self.total += $times * amount;
                }
            }
        };
    }

    counter!(Counter, 1, 1);
    counter!(CounterTwice, 1, 2);
    counter!(CounterTwiceSaid, 2, 2);

    fn recorded() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let lines = "{\"seq\":1,\"at\":\"x\",\"event\":\"Added\",\"version\":1,\"data\":{\"amount\":2}}\n\
                     {\"seq\":2,\"event\":\"Added\",\"data\":{\"amount\":3}}\n";
        std::fs::write(directory.path().join("visits.jsonl"), lines).unwrap();
        directory
    }

    fn fails(check: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = catch_unwind(check).expect_err("it fails");
        *panic.downcast::<String>().expect("it fails with a text")
    }

    #[test]
    fn a_stream_comes_to_what_it_came_to_or_the_test_fails() {
        let directory = recorded();
        let said = fails(|| refold_or_write::<Counter>(directory.path(), false));
        assert!(said.contains("GRIOT_STREAMS=write"), "{said}");
        refold_or_write::<Counter>(directory.path(), true);
        refold_or_write::<Counter>(directory.path(), false);
        for is_to_write in [false, true] {
            let said = fails(|| refold_or_write::<CounterTwice>(directory.path(), is_to_write));
            assert!(said.contains(r#"it was {"total":5}"#), "{said}");
            assert!(said.contains(r#"it is  {"total":10}"#), "{said}");
        }
        refold_or_write::<CounterTwiceSaid>(directory.path(), true);
        refold_or_write::<CounterTwiceSaid>(directory.path(), false);
    }

    #[test]
    fn an_event_that_is_not_read_any_more_and_a_directory_without_streams_fail() {
        let directory = recorded();
        let line = r#"{"event":"Removed","data":{}}"#;
        std::fs::write(directory.path().join("visits.jsonl"), line).unwrap();
        let said = fails(|| refold_or_write::<Counter>(directory.path(), true));
        assert!(
            said.contains("line 1") && said.contains("Removed"),
            "{said}"
        );
        let empty = tempfile::tempdir().unwrap();
        let said = fails(|| refold_or_write::<Counter>(empty.path(), false));
        assert!(said.contains("griot journal events"), "{said}");
    }
}
