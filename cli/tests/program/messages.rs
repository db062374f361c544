//! `griot publish` and `griot subscribe` on the broker of a running server.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Griot, command, ends, quiet_address, until};

/// A `griot` whose output is read; gone when dropped.
struct Running {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts it with `input` on its standard input.
    fn start(arguments: &[&str], input: &str) -> Self {
        let mut command = command(arguments);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Where it ends before it has read all, the rest is not for it.
        let _ = stdin.write_all(input.as_bytes());
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    /// The next line it prints.
    async fn line(&mut self) -> Value {
        let mut lines = self.lines.take().unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            (lines, line)
        });
        let (lines, line) = tokio::time::timeout(crate::process::DEADLINE, reading)
            .await
            .unwrap()
            .unwrap();
        self.lines = Some(lines);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    async fn end(&mut self) -> Option<i32> {
        let ended = until("it ends", async || self.child.try_wait().unwrap()).await;
        ended.code()
    }

    /// How it ended, and how many lines it printed before.
    async fn printed(mut self) -> (Option<i32>, usize) {
        let code = self.end().await;
        let mut rest = String::new();
        self.lines
            .take()
            .unwrap()
            .read_to_string(&mut rest)
            .unwrap();
        (code, rest.lines().count())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn publish(url: &str, more: &[&str]) {
    let arguments = [&["publish", "greetings"], more, &["--broker", url]].concat();
    let (code, said) = ends(&arguments, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("published"), "{said}");
}

#[tokio::test]
async fn g1_what_was_published_is_printed_after_kill_nine_and_once_to_each_group() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &[]);
    let url = griot.ready().await;
    let header = "event-name=Greeted";
    publish(
        &url,
        &[
            "{\"n\": 1}",
            "--key",
            "ann",
            "--header",
            header,
            "--id",
            "one",
        ],
    )
    .await;
    publish(&url, &["{\"n\": 1}", "--key", "ann", "--id", "one"]).await;
    publish(&url, &["-2", "--key", "ann"]).await;
    griot.kill();

    let mut griot = Griot::serve(data.path(), &[]);
    let url = griot.ready().await;
    let subscribe = ["subscribe", "greetings", "--broker", &url, "--group", "g"];
    let mut first = Running::start(&[&subscribe[..], &["--limit", "2"]].concat(), "");
    let line = first.line().await;
    assert_eq!(
        (&line["topic"], &line["key"]),
        (&"greetings".into(), &"ann".into())
    );
    assert_eq!(line["payload"]["n"], 1);
    assert_eq!(line["headers"]["event-name"], "Greeted");
    assert_eq!(line["headers"]["message-id"], "one");
    assert_eq!(line["position"]["offset"], 1);
    assert!(line["published_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(first.line().await["payload"], -2);
    assert_eq!(first.end().await, Some(0));

    publish(&url, &["3", "--key", "ann"]).await;
    let mut second = Running::start(&subscribe, "");
    assert_eq!(second.line().await["payload"], 3);
    let mut alone = Running::start(&["subscribe", "greetings", "--broker", &url], "");
    for expected in [1, -2, 3] {
        let payload = &alone.line().await["payload"];
        assert_eq!(payload.get("n").unwrap_or(payload), expected);
    }
}

#[tokio::test]
async fn lines_of_standard_input_are_a_message_each_until_one_is_not_json() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &[]);
    let url = griot.ready().await;
    let publish = ["publish", "numbers", "-", "--key", "k", "--broker", &url];
    let lines: Vec<String> = (0..600).map(|number: u32| number.to_string()).collect();
    let lines = lines.join("\n\n");
    assert_eq!(
        Running::start(&publish, &lines).printed().await,
        (Some(0), 0)
    );
    assert_eq!(
        Running::start(&publish, "600\nno\n601\n").printed().await,
        (Some(2), 0)
    );
    let arguments = ["subscribe", "numbers", "--broker", &url, "--limit", "601"];
    let mut all = Running::start(&arguments, "");
    for expected in 0..=600 {
        assert_eq!(all.line().await["payload"], expected);
    }
    assert_eq!(all.printed().await, (Some(0), 0));
}

#[tokio::test]
async fn g9_a_signal_and_a_closed_pipe_end_a_subscriber_well() {
    let data = TempDir::new().unwrap();
    let mut griot = Griot::serve(data.path(), &[]);
    let url = griot.ready().await;
    publish(&url, &["1", "--key", "k"]).await;
    let subscribe = ["subscribe", "greetings", "--broker", &url];
    for signal in [Signal::TERM, Signal::INT] {
        let mut running = Running::start(&subscribe, "");
        running.line().await;
        kill_process(Pid::from_child(&running.child), signal).unwrap();
        assert_eq!(running.end().await, Some(0));
    }
    let mut running = Running::start(&subscribe, "");
    running.line().await;
    drop(running.lines.take());
    publish(&url, &["2", "--key", "k"]).await;
    assert_eq!(running.end().await, Some(0));
}

#[tokio::test]
async fn a_subscriber_goes_on_when_its_server_comes_back() {
    let data = TempDir::new().unwrap();
    let address = quiet_address();
    let path = data.path().to_str().unwrap();
    let serve = ["serve", "orders", "--listen", &address, "--data-dir", path];
    let mut griot = Griot::start(&serve);
    let url = griot.ready().await;
    publish(&url, &["1", "--key", "k"]).await;
    let subscribe = ["subscribe", "greetings", "--broker", &url];
    let mut running = Running::start(&subscribe, "");
    assert_eq!(running.line().await["payload"], 1);
    griot.signal(Signal::TERM);
    assert_eq!(griot.end().await.code(), Some(0));
    let mut griot = Griot::start(&serve);
    griot.ready().await;
    publish(&url, &["2", "--key", "k"]).await;
    let mut line = running.line().await;
    if line["payload"] == 1 {
        // Printed, and its acknowledgement lost with the server.
        line = running.line().await;
    }
    assert_eq!(line["payload"], 2);
}

#[tokio::test]
async fn what_cannot_be_published_or_read_is_said() {
    let nobody = "http://127.0.0.1:9";
    for (arguments, code, named) in [
        (
            &["publish", "t", "{no", "--broker", nobody][..],
            2,
            &["not JSON", "quote"][..],
        ),
        (
            &["publish", "t", "1", "--broker", "ftp://a"],
            2,
            &["--broker", "ftp"],
        ),
        (
            &["publish", "t", "1", "--header", "x", "--broker", nobody],
            2,
            &["--header", "NAME=VALUE"],
        ),
        (
            &["publish", "t", "-", "--id", "x", "--broker", nobody],
            2,
            &["--id"],
        ),
        (
            &["subscribe", "t", "--limit", "0", "--broker", nobody],
            2,
            &["--limit"],
        ),
        (
            &["publish", "t", "1", "--broker", nobody],
            1,
            &[nobody, "refused"],
        ),
        (
            &["subscribe", "t", "--broker", nobody],
            1,
            &[nobody, "refused"],
        ),
    ] {
        let (ended, said) = ends(arguments, &[]).await;
        assert_eq!(ended, Some(code), "{arguments:?}: {said}");
        for what in named {
            assert!(said.contains(what), "{arguments:?}: {said}");
        }
    }
}
