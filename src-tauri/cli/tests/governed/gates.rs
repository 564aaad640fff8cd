//! What is done in a run, and the opening of labs and results, is decided before it happens: by the action gate and the access gate.

use crate::bench::{Bench, LAB, eventually, said};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// Decisions of a gate about a run, oldest first.
fn decided(b: &Bench, gate: &str, run: &str) -> Vec<Value> {
    let page = b.ask(&["policy", "log", "--gate", gate, "--run", run]);
    let mut all = page["decisions"].as_array().unwrap().clone();
    all.reverse();
    all
}

fn asked(b: &Bench, decision: &Value) -> Value {
    b.ask(&["policy", "why", &decision["id"].to_string()])["input"].clone()
}

fn reasons(e: &Value) -> String {
    e["details"]["reasons"].to_string()
}

#[test]
fn what_is_done_in_a_node_is_classified_counted_and_recorded() {
    let b = Bench::new(&[("FORGE_SUBJECT", "ada")]);
    let run = b.start();
    assert!(decided(&b, "action", &run).is_empty(), "a start does nothing in anybody's name");
    b.ask(&["check", &run]);
    assert!(decided(&b, "action", &run).is_empty(), "checks are the engine's own");
    for argv in
        [&["cat", "/etc/hostname"][..], &["touch", "/srv/x"], &["sh", "-c", "true"], &["ping", "-c", "1", "peer"]]
    {
        let out = b.forge(&[&["exec", &run, "pc", "--"], argv].concat());
        assert!(out.status.success(), "{argv:?}: {}", said(&out));
    }
    b.ask(&["restart", &run, "peer"]);
    b.ask(&["solve", &run]);
    let told = decided(&b, "action", &run);
    let inputs: Vec<Value> = told.iter().map(|d| asked(&b, d)).collect();
    let seen: Vec<(&str, &str, &str)> = inputs
        .iter()
        .map(|i| {
            let word = |at: &str| i["action"][at].as_str().unwrap();
            (word("name"), word("class"), word("node"))
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("exec", "read_only", "pc"),
            ("exec", "write", "pc"),
            ("exec", "execute", "pc"),
            ("exec", "network", "pc"),
            ("restart", "execute", "peer"),
            ("answer", "execute", "pc"),
        ]
    );
    assert!(told.iter().all(|d| d["allow"] == true));
    let actors: Vec<&Value> = inputs.iter().map(|i| &i["actor"]).collect();
    assert!(actors.iter().all(|a| a["subject"] == "ada"), "{actors:?}");
    assert_eq!((&actors[4]["role"], &actors[5]["role"]), (&"learner".into(), &"instructor".into()));
    assert_eq!(inputs[5]["action"]["command"], "touch /srv/solved\n");
    assert_eq!(inputs[1]["spent"], 0, "a point came back meanwhile, or none was counted: {}", inputs[1]);
    assert!(!decided(&b, "access", &run).is_empty());
    b.end();
}

#[test]
fn what_aims_below_the_lab_is_refused_before_it_happens() {
    let b = Bench::new(&[]);
    let run = b.start();
    assert_eq!(b.shell(&run, "pc", "touch /srv/here").0, 0);
    let e = b.refused(3, &["exec", &run, "pc", "--", "sh", "-c", "rm -rf /"]);
    assert!(reasons(&e).contains("deletes everything"), "{e}");
    // What a shell reads is its command.
    let mut child = b
        .command(&["exec", &run, "pc", "--", "sh"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"echo harmless\nrm -rf / --no-preserve-root\n").unwrap();
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(3), "{}", said(&out));
    assert_eq!(b.shell(&run, "pc", "ls /srv/here /bin/sh").0, 0, "it happened all the same");
    let denied = decided(&b, "action", &run).iter().filter(|d| d["allow"] == false).count();
    assert_eq!(denied, 2);
    b.end();
}

#[test]
fn nobody_acts_without_a_name() {
    let mut b = Bench::new(&[("FORGE_SUBJECT", "ada")]);
    let run = b.start();
    b.set("FORGE_SUBJECT", "anonymous");
    let e = b.refused(3, &["exec", &run, "pc", "--", "true"]);
    assert!(reasons(&e).contains("not known who wants"), "{e}");
    b.refused(3, &["restart", &run, "pc"]);
    b.refused(3, &["forward", &run, "pc", "80"]);
    b.refused(3, &["solve", &run]);
    b.end();
}

#[test]
fn access_is_for_a_track_a_time_and_an_organisation() {
    let mut b = Bench::new(&[
        ("FORGE_TENANT", "school"),
        ("FORGE_TRACKS", "netplus,ccna"),
        ("FORGE_ACCESS_UNTIL", "2099-01-01T00:00:00Z"),
    ]);
    let run = b.start();
    let shut = |b: &Bench, word: &str| {
        for args in [
            &["start", LAB, "--seed", "t"][..],
            &["exec", &run, "pc", "--", "true"],
            &["forward", &run, "pc", "80"],
            &["restart", &run, "pc"],
            &["submit", &run],
        ] {
            let e = b.refused(3, args);
            assert!(reasons(&e).contains(word), "{args:?}: {e}");
        }
    };
    b.set("FORGE_TRACKS", "ccna");
    shut(&b, "not for the track “netplus”");
    b.set("FORGE_TRACKS", "netplus");
    b.set("FORGE_ACCESS_UNTIL", "2026-01-01T00:00:00Z");
    shut(&b, "has expired");
    b.set("FORGE_ACCESS_UNTIL", "2099-01-01T00:00:00Z");
    b.ask(&["submit", &run]);
    let blocked = b.ask(&["block", "tenant:school", "--reason", "the lesson is over"]);
    assert_eq!(blocked["stopped"], serde_json::json!([run]));
    let e = b.refused(3, &["start", LAB, "--seed", "t"]);
    assert!(reasons(&e).contains("organisation has been blocked"), "{e}");
    b.ask(&["unblock", "tenant:school"]);
    b.set("FORGE_TRACKS", "Netplus");
    let e = b.refused(2, &["start", LAB]);
    assert!(e["message"].as_str().unwrap().contains("FORGE_TRACKS"), "{e}");
    b.set("FORGE_TRACKS", "netplus");
    b.end();
}

#[test]
fn a_blocked_organisation_loses_what_runs_for_it_and_nobody_elses() {
    let mut b = Bench::new(&[("FORGE_TENANT", "school")]);
    let run = b.start();
    let mut child = b
        .command(&["exec", &run, "pc", "--", "sleep", "120"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    b.set("FORGE_TENANT", "office");
    let other = crate::bench::run_of(&b.ask(&["start", LAB, "--seed", "t"]));
    let blocked = b.ask(&["block", "tenant:school", "--reason", "fees are due"]);
    assert_eq!(blocked["stopped"], serde_json::json!([run]));
    eventually("what was under way in it has ended", SOON, || child.try_wait().unwrap());
    let row = b.run(&run);
    assert_eq!(
        (&row["state"], &row["reason"]),
        (&"stopped".into(), &"its organisation was blocked: fees are due".into())
    );
    let told = serde_json::to_string(&b.events(&run)).unwrap();
    assert!(
        told.contains("This lab is stopped, because its organisation was blocked: fees are due. Ask your instructor."),
        "{told}"
    );
    let log = b.audit("run.blocked");
    assert_eq!(log.iter().map(|e| &e["run"]).collect::<Vec<_>>(), [&serde_json::json!(run)]);
    assert_eq!((b.run(&other)["state"].as_str(), b.shell(&other, "pc", "true").0), (Some("ready"), 0));

    // Whoever blocks may die before anything is stopped: no more is done in it from that moment on, and the keeper stops it.
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let store = forge_core::store::Store::open(&b.home.path().join("forge.db")).unwrap();
        store.write(|tx| forge_core::spawn::block(tx, "tenant:office", "moved out", "c", 1)).await.unwrap();
    });
    let out = b.forge(&["exec", &other, "pc", "--", "true"]);
    assert!(matches!(out.status.code(), Some(3 | 9)), "{}", said(&out));
    eventually("the keeper has stopped it", SOON, || (b.run(&other)["state"] == "stopped").then_some(()));
    assert_eq!(b.audit("run.blocked").len(), 2);
    assert!(b.left().is_empty());
    b.end();
}
