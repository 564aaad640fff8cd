//! Every fault point once. The points are the library's own list, so that none is left out here.

use crate::bench::{Bench, RESTART};
use forge_core::api::RunState;
use forge_core::fault::POINTS;

/// Of which command a point is: the word before its first dot.
fn points(of: &[&str]) -> Vec<&'static str> {
    POINTS.into_iter().filter(|p| p.split('.').next().is_some_and(|w| of.contains(&w))).collect()
}

#[test]
fn each_point_belongs_to_one_of_the_tests_below() {
    // Those of keys: tests/keys.
    let tested = [points(&["start", "launch"]), points(&["check", "submit"]), points(&["stop"]), points(&["keys"])];
    assert_eq!(tested.iter().map(Vec::len).sum::<usize>(), POINTS.len());
    assert!(tested.iter().all(|t| t.len() > 5));
}

pub async fn starts(b: &mut Bench, lab: &str) {
    for point in points(&["start", "launch"]) {
        b.killed_at(point, &["start", lab, "--seed", "s"]);
        b.restarted(point, RESTART).await;
    }
    // Killed after it was ready: that one lives.
    b.ask(&["stop", "--all"]);
}

pub async fn checks_and_submissions(b: &mut Bench, lab: &str, solve: bool) {
    let run = b.start(lab, "s");
    if solve {
        b.ask(&["solve", &run]);
    }
    let first = b.ask(&["submit", &run]);
    b.acknowledged.insert(first["id"].as_str().unwrap().to_owned());
    for point in points(&["check", "submit"]) {
        let command = point.split('.').next().unwrap();
        b.killed_at(point, &[command, &run]);
        b.restarted(point, RESTART).await;
        assert_eq!(b.state(&run).await, RunState::Ready, "{point}");
        if point.contains("disturb") || point.contains("undo") {
            // What the check had cut is whole again.
            b.ask(&["check", &run, "--require-full"]);
        }
    }
    let last = b.ask(&["submit", &run]);
    b.acknowledged.insert(last["id"].as_str().unwrap().to_owned());
    b.restarted("the last submission", RESTART).await;
    // A sealed folder whose process died before it was a result has become one.
    assert!(b.ask(&["results"]).as_array().unwrap().len() > 2);
}

pub async fn stops(b: &mut Bench, lab: &str) {
    for point in points(&["stop"]) {
        let run = b.start(lab, "s");
        b.killed_at(point, &["stop", &run]);
        b.restarted(point, RESTART).await;
        // Before it is written down nobody knows that it was wanted.
        let expected = if point == "stop.intent.before" { RunState::Ready } else { RunState::Stopped };
        assert_eq!(b.state(&run).await, expected, "{point}");
        b.ask(&["stop", &run]);
    }
}

const LAB: &str = "one-link";

#[tokio::test(flavor = "multi_thread")]
async fn a_start_killed_at_any_step_is_swept() {
    let mut b = Bench::new(tempfile::tempdir().unwrap(), None, true);
    starts(&mut b, LAB).await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_or_submission_killed_at_any_step_loses_nothing() {
    let mut b = Bench::new(tempfile::tempdir().unwrap(), None, true);
    checks_and_submissions(&mut b, LAB, false).await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_killed_at_any_step_is_finished() {
    let mut b = Bench::new(tempfile::tempdir().unwrap(), None, true);
    stops(&mut b, LAB).await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_commands_that_stop_the_same_run_all_say_that_it_is_stopped() {
    let b = Bench::new(tempfile::tempdir().unwrap(), None, true);
    let run = b.start(LAB, "s");
    let stops: Vec<_> =
        (0..4).map(|_| b.command(&["stop", &run]).stdout(std::process::Stdio::piped()).spawn().unwrap()).collect();
    for stop in stops {
        let out = stop.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", crate::bench::said(&out));
    }
    assert_eq!(b.state(&run).await, RunState::Stopped);
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_neither_ends_a_run_nor_loses_it() {
    let mut b = Bench::new(tempfile::tempdir().unwrap(), None, true);
    let mut run = None;
    for jump in [7 * 86_400_000_i64, -7 * 86_400_000] {
        let off = jump.to_string();
        // Keeps the runs, under a clock that is a week off: before the run is there, so that no other keeper is left behind.
        let mut keeper = b.command(&["serve"]);
        keeper.env("FORGE_FAULT_CLOCK", &off).stdout(std::process::Stdio::null());
        let mut keeper = keeper.spawn().unwrap();
        let taken = || std::fs::File::create(b.home.path().join("keeper.lock")).unwrap().try_lock_shared().is_err();
        while !taken() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let run = run.get_or_insert_with(|| b.start(LAB, "s"));
        tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
        let out = b.command(&["submit", run]).env("FORGE_FAULT_CLOCK", &off).output().unwrap();
        assert!(out.status.success(), "{}", crate::bench::said(&out));
        let answer: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        b.acknowledged.insert(answer["id"].as_str().unwrap().to_owned());
        keeper.kill().unwrap();
        keeper.wait().unwrap();
        assert_eq!(b.state(run).await, RunState::Ready, "the clock was set by {jump} ms");
        // Verdicts made under such a clock verify as well: `restarted` looks at each.
        b.restarted("a clock that was set", RESTART).await;
    }
    b.end().await;
}
