//! A file beside the code that says in which shapes events were ever stored.
#![expect(clippy::expect_used, reason = "in a test a panic is the report")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use griot_core::{Entity, Event, codec, read_event, stable_hash};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::shape::Shape;

/// Set to `write`, what is new is added to the file instead of failing the test.
const VARIABLE: &str = "GRIOT_EVENTS_LOCK";

/// The file `events.lock`, which is committed beside the code: a line of JSON for each name and version
/// of an event that was ever recorded, with the fingerprint of its shape and samples of it. Lines are
/// added, and never changed.
///
/// A test of an entity is one call. It fails where a stored shape changed without a new
/// [version](Event::version), and where one of the past is not read any more:
///
/// ```
/// use griot_core::{Entity, Event};
/// use griot_testkit::EventsLock;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Default, Serialize, Deserialize)] struct Counter { total: u64 }
///
/// #[derive(Serialize, Deserialize)]
/// enum Counted { Added { amount: u64 } }
/// impl Event for Counted {}
/// # impl Entity for Counter {
/// #     const KIND: &'static str = "counter";
/// #     type Event = Counted;
/// #     fn evolve(&mut self, Counted::Added { amount }: &Counted) { self.total += amount }
/// # }
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("events.lock");
/// # let line = r#"{"kind":"counter","name":"Added","version":1,"fingerprint":"5e35117c860051e0","shape":"{amount: integer}","samples":[{"amount":2}]}"#;
/// # std::fs::write(&path, line)?;
/// // In a test of the crate: concat!(env!("CARGO_MANIFEST_DIR"), "/events.lock")
/// EventsLock::at(path).check::<Counter>([Counted::Added { amount: 2 }]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct EventsLock {
    path: PathBuf,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: String,
    name: String,
    version: u16,
    fingerprint: String,
    shape: String,
    samples: Vec<Value>,
}

impl EventsLock {
    /// The file at this path, which need not be there yet.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
        }
    }

    /// Compares the events of an entity with what is locked. `samples` are one of each, and more where a
    /// field may be missing or hold different things: the shape is that of all samples.
    ///
    /// Run once with `GRIOT_EVENTS_LOCK=write` in the environment, it adds what is new; commit the file
    /// then.
    ///
    /// # Panics
    ///
    /// With everything that is wrong, and what to do about it.
    pub fn check<E: Entity>(&self, samples: impl IntoIterator<Item = E::Event>) {
        let is_to_write = std::env::var(VARIABLE).is_ok_and(|value| value == "write");
        self.check_or_write::<E>(samples, is_to_write);
    }

    fn check_or_write<E: Entity>(
        &self,
        samples: impl IntoIterator<Item = E::Event>,
        is_to_write: bool,
    ) {
        let mut locked = self.read();
        let today = today::<E>(samples);
        let (mut wrong, fresh) = compare::<E>(&locked, &today);
        wrong.extend(unreadable::<E>(&locked));
        if is_to_write && wrong.is_empty() {
            locked.extend(fresh.into_iter().cloned());
            self.write(locked);
            return;
        }
        wrong.extend(fresh.iter().map(|line| {
            let Line { name, version, .. } = line;
            format!(
                "{name} {version} is new: run this test with {VARIABLE}=write, and commit the file"
            )
        }));
        let kind = E::KIND;
        assert!(
            wrong.is_empty(),
            "events of `{kind}` are not as {} has them:\n- {}",
            self.path.display(),
            wrong.join("\n- ")
        );
    }

    fn read(&self) -> Vec<Line> {
        let path = self.path.display();
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => panic!("{path}: {error}"),
        };
        let line = |(number, line): (usize, &str)| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("line {} of {path}: {error}", number + 1))
        };
        text.lines().enumerate().map(line).collect()
    }

    fn write(&self, mut lines: Vec<Line>) {
        lines.sort_by(|one, other| {
            let key = |line: &Line| (line.kind.clone(), line.name.clone(), line.version);
            key(one).cmp(&key(other))
        });
        let mut text = String::new();
        for line in lines {
            let json = serde_json::to_string(&line).expect("a line is plain JSON");
            let _ = writeln!(text, "{json}");
        }
        let written = std::fs::write(&self.path, text);
        written.unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
    }
}

/// How events are recorded today.
fn today<E: Entity>(samples: impl IntoIterator<Item = E::Event>) -> Vec<Line> {
    let mut payloads = BTreeMap::<(&str, u16), Vec<Value>>::new();
    for event in samples {
        let (name, payload) = codec::encode_event(&event).expect("a sample can be recorded");
        let payload = serde_json::from_slice(&payload).expect("what is recorded is JSON");
        let of_name = payloads.entry((name, event.version())).or_default();
        of_name.push(payload);
    }
    let line = |((name, version), samples): ((&str, u16), Vec<Value>)| {
        let shape = Shape::of(&samples).to_string();
        Line {
            kind: E::KIND.to_owned(),
            name: name.to_owned(),
            version,
            fingerprint: format!("{:016x}", stable_hash(shape.as_bytes())),
            shape,
            samples,
        }
    };
    payloads.into_iter().map(line).collect()
}

/// What is wrong with today's events, and which of them are not locked yet.
fn compare<'t, E: Entity>(locked: &[Line], today: &'t [Line]) -> (Vec<String>, Vec<&'t Line>) {
    let (mut wrong, mut fresh) = (Vec::new(), Vec::new());
    for name in codec::event_names::<E::Event>() {
        if !today.iter().any(|line| line.name == *name) {
            wrong.push(format!("{name} has no sample: give one"));
        }
    }
    for line in today {
        let of_name = |other: &&Line| other.kind == line.kind && other.name == line.name;
        let newest = locked.iter().filter(of_name).map(|line| line.version).max();
        let Line { name, version, .. } = line;
        let known = locked
            .iter()
            .filter(of_name)
            .find(|other| other.version == *version);
        match known {
            Some(known) if known.fingerprint == line.fingerprint => {}
            Some(known) => wrong.push(format!(
                "{name} {version} has another shape:\n    it was {}\n    it is  {}\n  \
                 raise its `Event::version`, and say in `Event::upcast` what leads there",
                known.shape, line.shape
            )),
            None => fresh.push(line),
        }
        if newest.is_some_and(|newest| newest > *version) {
            wrong.push(format!(
                "{name} was recorded with a newer version than {version}"
            ));
        }
    }
    (wrong, fresh)
}

/// Events of the past that are not read any more.
fn unreadable<E: Entity>(locked: &[Line]) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in locked.iter().filter(|line| line.kind == E::KIND) {
        for sample in &line.samples {
            let payload = sample.to_string();
            let read = read_event::<E::Event>(&line.name, line.version, payload.as_bytes());
            if let Err(error) = read {
                wrong.push(format!("{error}; it is {payload}"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use griot_core::Upcast;

    use super::*;

    macro_rules! entity {
        ($state:ident, $event:ident) => {
            #[derive(Default, Serialize, Deserialize)]
            struct $state {}

            impl Entity for $state {
                const KIND: &'static str = "ledger";
                type Event = $event;
                fn evolve(&mut self, _: &$event) {}
            }
        };
    }

    #[derive(Serialize, Deserialize)]
    enum Before {
        Paid { cents: i64 },
        Closed {},
    }
    impl Event for Before {}
    entity!(LedgerBefore, Before);

    #[derive(Serialize, Deserialize)]
    enum Changed {
        Paid { cents: i64, currency: String },
        Closed {},
    }
    impl Event for Changed {}
    entity!(LedgerChanged, Changed);

    #[derive(Serialize, Deserialize)]
    enum Upcasting {
        Paid { cents: i64, currency: String },
    }
    impl Event for Upcasting {
        fn version(&self) -> u16 {
            2
        }
        fn upcast(event: Upcast<'_>) -> Upcast<'_> {
            match (event.name(), event.version()) {
                ("Paid", 1) => event.to(2, |paid| paid["currency"] = "EUR".into()),
                _ => event,
            }
        }
    }
    entity!(LedgerUpcasting, Upcasting);

    fn lock(directory: &tempfile::TempDir) -> EventsLock {
        EventsLock::at(directory.path().join("events.lock"))
    }

    fn before() -> [Before; 2] {
        [Before::Paid { cents: 7 }, Before::Closed {}]
    }

    /// What the test says.
    fn fails(check: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = std::panic::catch_unwind(check).expect_err("it fails");
        *panic.downcast::<String>().expect("it fails with a text")
    }

    fn eur() -> String {
        "EUR".to_owned()
    }

    #[test]
    fn what_is_new_is_added_when_asked_for_and_fits_from_then_on() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(&directory);
        let said = fails(|| lock.check_or_write::<LedgerBefore>(before(), false));
        assert!(said.contains("Paid 1 is new"), "{said}");
        lock.check_or_write::<LedgerBefore>(before(), true);
        lock.check_or_write::<LedgerBefore>(before(), false);
        let text = std::fs::read_to_string(&lock.path).unwrap();
        let first = r#"{"kind":"ledger","name":"Closed","version":1,"#;
        assert!(text.starts_with(first), "{text}");
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn a_stored_shape_that_changed_without_a_new_version_fails_also_when_it_may_write() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(&directory);
        lock.check_or_write::<LedgerBefore>(before(), true);
        let changed = || {
            let (cents, currency) = (7, eur());
            [Changed::Paid { cents, currency }, Changed::Closed {}]
        };
        for is_to_write in [false, true] {
            let said = fails(|| lock.check_or_write::<LedgerChanged>(changed(), is_to_write));
            assert!(said.contains("it was {cents: integer}"), "{said}");
            assert!(
                said.contains("it is  {cents: integer, currency: string}"),
                "{said}"
            );
            assert!(said.contains("missing field `currency`"), "{said}");
        }
    }

    #[test]
    fn a_new_version_that_reads_the_old_one_is_added_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let lock = lock(&directory);
        lock.check_or_write::<LedgerBefore>([Before::Paid { cents: 7 }, Before::Closed {}], true);
        let now = || {
            let (cents, currency) = (7, eur());
            [Upcasting::Paid { cents, currency }]
        };
        // Nobody reads `Closed` any more.
        let said = fails(|| lock.check_or_write::<LedgerUpcasting>(now(), true));
        assert!(said.contains("Closed"), "{said}");
        let text = std::fs::read_to_string(&lock.path).unwrap();
        let paid = text.lines().last().unwrap();
        std::fs::write(&lock.path, paid).unwrap();
        lock.check_or_write::<LedgerUpcasting>(now(), true);
        lock.check_or_write::<LedgerUpcasting>(now(), false);
        let text = std::fs::read_to_string(&lock.path).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(text.lines().next(), Some(paid), "a line is never changed");
        let said = fails(|| lock.check_or_write::<LedgerBefore>(before(), false));
        assert!(said.contains("newer version"), "{said}");
    }

    #[test]
    fn an_event_without_a_sample_fails() {
        let directory = tempfile::tempdir().unwrap();
        let said = fails(|| {
            lock(&directory).check_or_write::<LedgerBefore>([Before::Closed {}], true);
        });
        assert!(said.contains("Paid has no sample"), "{said}");
    }
}
