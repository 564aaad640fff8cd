//! Clocks that are set between enrolment and a session, on the command line as people use it.
use crate::support::*;
use serde_json::Value;
use std::path::Path;

const HOUR: i64 = 3_600_000;

/// `forge` under a clock that is off by `clock`.
fn forge(home: &Path, clock: i64, args: &[&str]) -> (bool, Value, String) {
    let bin = Path::new(BIN).with_file_name("forge");
    assert!(bin.exists(), "build it first: cargo build -p forge-cli");
    let out = std::process::Command::new(bin)
        .args(args)
        .env("FORGE_HOME", home)
        .env("FORGE_LABS", labs())
        .env("FORGE_FAULT_CLOCK", clock.to_string())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let said = text + &String::from_utf8(out.stderr).unwrap();
    (out.status.success(), serde_json::from_str(said.lines().next().unwrap_or_default()).unwrap_or(Value::Null), said)
}

fn code(server: &Server, role: &str) -> String {
    server.cli(&["invite", "--class", "N", "--role", role]).1["code"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_set_since_enrolment_moves_no_deadline() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("board"), None);
    let [desk, laptop] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
    for (home, role, clock) in [(&desk, "instructor", HOUR), (&laptop, "learner", 0)] {
        let enrol = ["enrol", &server.url, &code(&server, role), "--name", role];
        let (ok, _, said) = forge(home.path(), clock, &enrol);
        assert!(ok, "{said}");
        assert_eq!(said.contains("60 min ahead"), clock != 0, "{said}");
    }
    // The teacher has set the clock right.
    let make = ["--json", "session", "create", "Monday", "--lab", LAB, "--minutes", "45"];
    let (ok, session, said) = forge(desk.path(), 0, &make);
    assert!(ok, "{said}");
    let lasts = session["deadline"].as_i64().unwrap() - now();
    assert!((44 * 60_000..=45 * 60_000).contains(&lasts), "a session of 45 minutes lasts {lasts} ms");
    let (_, _, said) = forge(desk.path(), 0, &["sync", "--status"]);
    assert!(!said.contains("clock"), "what is mended is not complained of: {said}");
    // The learner's is an hour ahead by now.
    let join = session["join_code"].as_str().unwrap();
    let (ok, joined, said) = forge(laptop.path(), HOUR, &["--json", "session", "join", join]);
    assert!(ok, "{said}");
    let left = joined["remaining_ms"].as_i64().unwrap();
    assert!((43 * 60_000..=45 * 60_000).contains(&left), "{left} ms are left, by a clock that is an hour ahead");
    let (_, _, said) = forge(laptop.path(), HOUR, &["session", "join", join]);
    assert!(said.contains("60 min ahead") && said.contains("Set it right"), "{said}");
}
