//! The few rules of the house that are worth enforcing; STYLE's reasons stand in `CONTRIBUTING.md`.
#![expect(clippy::expect_used, reason = "in a test a panic is the report")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A file is one noun; beyond this it is at least two.
const LINES_MAX: usize = 800;

/// Names that say nothing about what is inside.
const NAMES_REFUSED: [&str; 6] = ["mod", "utils", "helpers", "common", "manager", "misc"];

/// Crates from the bottom to the top. An arrow points down, never sideways or up.
const FLOORS: [&[&str]; 9] = [
    &["griot-core"],
    &["griot-actor", "griot-journal"],
    &["griot-entity", "griot-events"],
    &["griot-projection"],
    &[
        "griot-cassandra",
        "griot-kafka",
        "griot-mysql",
        "griot-nats",
        "griot-postgres",
        "griot-rabbitmq",
        "griot-remote",
        "griot-sql",
    ],
    &["griot"],
    &["griot-testkit"],
    &["griot-alarms", "griot-carts", "griot-orders", "rides"],
    &["griot-cli", "griot-benches"],
];

#[test]
fn no_file_is_longer_than_it_can_be_read() {
    let too_long = |file: &Source| file.text.lines().count() > LINES_MAX;
    refuse(
        sources().filter(too_long),
        "longer than 800 lines: it holds more than one noun",
    );
}

#[test]
fn every_file_says_what_it_is() {
    let silent = |file: &Source| !file.text.starts_with("//!");
    refuse(
        sources().filter(silent),
        "does not begin with `//!` and what it is",
    );
}

#[test]
fn every_name_says_what_is_inside() {
    let empty = |file: &Source| {
        let mut names = file
            .path
            .components()
            .filter_map(|part| part.as_os_str().to_str());
        names.any(|name| NAMES_REFUSED.contains(&name.trim_end_matches(".rs")))
    };
    refuse(
        sources().filter(empty),
        "has a name that would fit any file",
    );
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not accuse itself.
    let marks = [
        ["todo", "!("],
        ["unimplemented", "!("],
        ["#[ign", "ore"],
        ["FIX", "ME"],
        ["TO", "DO"],
    ]
    .map(|mark| mark.concat());
    let unfinished = |file: &Source| marks.iter().any(|mark| file.text.contains(mark));
    refuse(
        sources().filter(unfinished),
        "leaves something for later: finish it or write an issue",
    );
}

#[test]
fn no_test_sleeps_to_wait() {
    // Put together, so that this file is not its own finding.
    let word = "sleep";
    let calls = ["thread::", "time::", " "].map(|before| format!("{before}{word}("));
    let sleepy = |file: &Source| calls.iter().any(|call| file.tests().contains(call));
    refuse(
        sources().filter(sleepy),
        "sleeps in a test: await a condition with a deadline, or move a test clock",
    );
}

#[test]
fn arrows_between_crates_point_down() {
    let floor = |name: &str| FLOORS.iter().position(|floor| floor.contains(&name));
    for package in packages() {
        let name = text(&package["name"]);
        let own = floor(name).unwrap_or_else(|| panic!("{name} has no floor in this test's list"));
        for dependency in used(&package, &[Value::Null]) {
            let below = floor(&dependency).is_none_or(|floor| floor < own);
            assert!(
                below,
                "{name} may not depend on {dependency}: an arrow points down"
            );
        }
    }
}

#[test]
fn the_core_knows_no_runtime() {
    let core = packages()
        .into_iter()
        .find(|package| package["name"] == "griot-core")
        .expect("griot-core");
    let used = used(&core, &[Value::Null]);
    for runtime in ["tokio", "futures-util", "axum"] {
        assert!(
            !used.contains(runtime),
            "griot-core is pure, without {runtime}"
        );
    }
}

#[test]
fn every_crate_keeps_the_workspace_lints() {
    for package in packages() {
        let manifest =
            std::fs::read_to_string(text(&package["manifest_path"])).expect("a manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} has lints of its own",
            package["name"]
        );
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let own: BTreeSet<String> = packages()
        .iter()
        .map(|package| text(&package["name"]).to_owned())
        .collect();
    let kinds = [Value::Null, "dev".into(), "build".into()];
    let used: BTreeSet<String> = packages()
        .iter()
        .flat_map(|package| used(package, &kinds))
        .filter(|name| !own.contains(name))
        .collect();
    let listed =
        std::fs::read_to_string(root().join("docs/dependencies.md")).expect("docs/dependencies.md");
    let listed: BTreeSet<String> = listed
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    let missing: Vec<_> = used.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&used).collect();
    assert!(
        missing.is_empty(),
        "docs/dependencies.md does not say why these are there: {missing:?}"
    );
    assert!(
        stale.is_empty(),
        "docs/dependencies.md lists what nobody uses: {stale:?}"
    );
}

#[test]
fn every_dependency_of_the_workspace_is_used() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let (_, section) = manifest
        .split_once("[workspace.dependencies]")
        .expect("the section");
    let section = section.split("\n[").next().unwrap_or_default();
    let named = section
        .lines()
        .filter_map(|line| Some(line.split_once(" = ")?.0));
    let kinds = [Value::Null, "dev".into(), "build".into()];
    let used: BTreeSet<String> = packages()
        .iter()
        .flat_map(|package| used(package, &kinds))
        .collect();
    let unused: Vec<_> = named.filter(|name| !used.contains(*name)).collect();
    assert!(
        unused.is_empty(),
        "no crate of the workspace uses {unused:?}"
    );
}

/// A Rust file of the repository.
struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The part of the file that is tests: all of it, or what follows `#[cfg(test)]`.
    fn tests(&self) -> &str {
        if self
            .path
            .components()
            .any(|part| part.as_os_str() == "tests")
        {
            return &self.text;
        }
        self.text
            .find("#[cfg(test)]")
            .map_or("", |start| &self.text[start..])
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace's root")
}

fn sources() -> impl Iterator<Item = Source> {
    let listed = run(
        "git",
        &[
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.rs",
        ],
    );
    let paths: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
    assert!(paths.len() > 20, "git lists {} files only", paths.len());
    // A file that git still lists but that is gone is not there to be judged.
    paths.into_iter().filter_map(|path| {
        Some(Source {
            text: std::fs::read_to_string(root().join(&path)).ok()?,
            path,
        })
    })
}

fn packages() -> Vec<Value> {
    let metadata: Value = serde_json::from_str(&run(
        env!("CARGO"),
        &[
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ],
    ))
    .expect("metadata");
    metadata["packages"].as_array().expect("packages").clone()
}

fn used(package: &Value, kinds: &[Value]) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().expect("dependencies");
    let of_kind = dependencies
        .iter()
        .filter(|dependency| kinds.contains(&dependency["kind"]));
    of_kind
        .map(|dependency| text(&dependency["name"]).to_owned())
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("a program that runs");
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

fn refuse(files: impl Iterator<Item = Source>, why: &str) {
    let found: Vec<String> = files.map(|file| file.path.display().to_string()).collect();
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}
