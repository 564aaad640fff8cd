//! No password, token or code stands in what the server writes: not in its log, not in what a command says when it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use support::*;

/// What a command says, on both streams, when it fails.
fn fails(args: &[&str], url: &str, data: &std::path::Path) -> String {
    let mut c = Command::new(BIN);
    c.args(args).arg("--data").arg(data).args(["--database", url]).env("RUST_LOG", "trace");
    let out = c.output().unwrap();
    assert!(!out.status.success(), "{args:?} {url}");
    String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_databases_password_is_never_repeated() {
    let pg = tokio::task::spawn_blocking(|| Postgres::guarded("righteous")).await.unwrap();
    let (admin, home) = (pg.admin(), tempfile::tempdir().unwrap());
    let at = admin.split_once('@').unwrap().1.to_owned();
    let wrong = format!("postgres://board:hunter2hunter2@{at}");
    std::fs::create_dir_all(home.path().join("keys")).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--json"];
    for args in [serve.as_slice(), &["stats"], &["verify-all"], &["people", "list", "--json"]] {
        let said = fails(args, &wrong, home.path());
        assert!(said.contains("password authentication failed") && said.contains("PostgreSQL"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    // Written otherwise than an address wants it: the parser takes a part of it for something else.
    for url in [format!("postgres://board:p@ss?hunter2=1@{at}"), format!("postgres://board:x@host:hunter2@{at}")] {
        for args in [serve.as_slice(), &["stats"]] {
            let said = fails(args, &url, home.path());
            assert!(said.contains("database") && !said.contains("hunter2"), "{said}");
        }
    }
    // The right one works, and stands nowhere in a log of everything.
    let mut c = Command::new(BIN);
    c.args(serve).arg("--data").arg(home.path().join("board")).args(["--database", &admin]).env("RUST_LOG", "trace");
    let mut child = c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let url = serde_json::from_str::<serde_json::Value>(&line).unwrap()["url"].as_str().unwrap().to_owned();
    // Whoever puts a secret into a place that is logged: an id of a request is, as it is given.
    let client = reqwest::Client::new();
    let asked = client.get(format!("{url}/v1/nothing")).header("x-request-id", "ABCD-EFGH-JKMN-2345");
    assert_eq!(asked.bearer_auth("c0ffee".repeat(10)).send().await.unwrap().status(), 404);
    child.kill().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    assert!(log.contains("refused") && log.contains("[redacted]"), "{log}");
    for secret in ["righteous", "JKMN-2345", "c0ffeec0ffee"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    for line in log.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "no JSON any more: {line}");
    }
}

#[test]
fn a_filter_that_cannot_be_understood_is_said_so() {
    let home = tempfile::tempdir().unwrap();
    let mut c = Command::new(BIN);
    c.args(["serve", "--listen", "192.0.2.1:1", "--json"]).env("RUST_LOG", "a=b=c=!").arg("--data").arg(home.path());
    let said = String::from_utf8(c.output().unwrap().stderr).unwrap();
    assert!(said.contains("invalid_input") && said.contains("RUST_LOG"), "{said}");
}
