//! A real engine that is slow, silent, cut off in mid-answer or without the image: through a socket that does it to the calls (see
//! `proxy.rs`). Whatever a command says then, it says with a code and a way out; nothing is lost, and nothing is left.

use crate::bench::{Bench, RESTART, said};
use crate::proxy::{Ill, Proxy, Rule};
use forge_core::api::RunState;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

const LAB: &str = "one-link";

/// A bench whose `forge` reaches Docker through the proxy, while the bench itself looks straight.
struct Bed {
    b: Bench,
    proxy: Proxy,
}

impl Bed {
    fn new() -> Self {
        Self { b: Bench::new(tempfile::tempdir().unwrap(), None, true), proxy: Proxy::before_docker() }
    }

    fn begin(&self, args: &[&str]) -> Child {
        let mut command = self.b.command(args);
        command.env("DOCKER_HOST", self.proxy.host()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn forge(&self, args: &[&str]) -> Output {
        self.begin(args).wait_with_output().unwrap()
    }

    fn ask(&self, args: &[&str]) -> serde_json::Value {
        let out = self.forge(args);
        assert!(out.status.success(), "forge {args:?}: {}", said(&out));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    fn start(&self) -> String {
        let started = self.ask(&["start", LAB, "--seed", "s"]);
        started.pointer("/run/run").or(started.get("run")).unwrap().as_str().unwrap().to_owned()
    }

    fn submit(&mut self, run: &str) {
        let done = self.ask(&["submit", run]);
        self.b.acknowledged.insert(done["id"].as_str().unwrap().to_owned());
    }

    async fn restarted(&mut self, why: &str) {
        self.proxy.well();
        self.b.restarted(why, RESTART).await;
    }
}

/// The error a command ended with. A code that no caller could act on, or no words, is a failure of its own.
fn error(out: &Output) -> serde_json::Value {
    assert!(!out.status.success(), "{}", said(out));
    let text = if out.stdout.is_empty() { &out.stderr } else { &out.stdout };
    let told: serde_json::Value =
        serde_json::from_slice(text).unwrap_or_else(|e| panic!("no JSON ({e}): {}", said(out)));
    let error = told.get("error").cloned().unwrap_or(told);
    assert_ne!(error["code"], "internal", "{error}");
    assert!(error["hints"].as_array().is_some_and(|h| !h.is_empty()), "nothing to do is said: {error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_goes_between_the_gates_and_the_start_is_named() {
    let mut bed = Bed::new();
    for node in ["-desk", "-fabric"] {
        let gone = Ill::Answered(404, "No such image: sha256:0123456789".into());
        let met = bed.proxy.rules(vec![Rule::new("POST", "/containers/create?name=forge-", gone).and(node)]);
        let e = error(&bed.forge(&["start", LAB, "--seed", "s"]));
        assert!(met()[0] > 0, "nothing was created under that name");
        assert_eq!(e["code"], "image_missing", "{e}");
        assert!(e["message"].as_str().unwrap().contains(if node == "-desk" { "desk" } else { "fabric" }), "{e}");
        assert!(e["hints"].to_string().contains("forge images prepare"), "{e}");
        bed.restarted(node).await;
    }
    let run = bed.start();
    bed.submit(&run);
    bed.b.end().await;
}

/// Each kind of call that a start makes, its answer cut in its head and in its body.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_cut_short_during_a_start_leaves_nothing() {
    let mut bed = Bed::new();
    let calls = [
        ("GET", "/version"),
        ("GET", "/info"),
        ("GET", "/images/"),
        ("POST", "/containers/create"),
        ("POST", "/start"),
        ("GET", "/containers/json"),
        ("POST", "/exec"),
        ("GET", "/json?"),
    ];
    let (mut failed, mut all) = (0, 0);
    for (method, path) in calls {
        for after in [20, 190] {
            let met = bed.proxy.rules(vec![Rule::new(method, path, Ill::Cut(after)).times(1)]);
            let out = bed.forge(&["start", LAB, "--seed", "s"]);
            if path != "/json?" {
                assert!(met()[0] > 0, "no start calls {method} {path}");
            }
            if !out.status.success() {
                let e = error(&out);
                let code = e["code"].as_str().unwrap();
                assert!(["docker_unavailable", "docker_failed", "wrong_state"].contains(&code), "{method} {path}: {e}");
                failed += 1;
            }
            all += 1;
            bed.restarted(&format!("{method} {path} cut after {after}")).await;
            bed.b.ask(&["stop", "--all"]);
        }
    }
    assert!(failed > all / 2, "only {failed} of {all} cuts were felt");
    bed.b.end().await;
}

/// A program's stream, cut in its head, in a frame's head, in a frame.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cut_short_loses_no_verdict_and_passes_for_nothing_whole() {
    let mut bed = Bed::new();
    let run = bed.start();
    bed.submit(&run);
    for after in [15, 120, 300, 2000] {
        for command in [&["check", &run][..], &["submit", &run], &["exec", &run, "desk", "--", "seq", "1", "20000"]] {
            let met = bed.proxy.rules(vec![Rule::new("POST", "/start", Ill::Cut(after)).times(1)]);
            let out = bed.forge(command);
            assert_eq!(met()[0].min(1), 1, "{command:?} opened no stream");
            match (out.status.success(), command[0]) {
                (true, "submit") => {
                    let done: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
                    bed.b.acknowledged.insert(done["id"].as_str().unwrap().to_owned());
                }
                (true, "exec") => {
                    let told: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
                    assert!(
                        told["stdout"].as_str().unwrap().ends_with("20000\n"),
                        "half of it passed for all, cut after {after}"
                    );
                }
                (true, _) => {}
                (false, _) => drop(error(&out)),
            }
            bed.restarted(&format!("{command:?} cut after {after}")).await;
            assert_eq!(bed.b.state(&run).await, RunState::Ready);
        }
    }
    bed.ask(&["check", &run, "--require-full"]);
    bed.b.end().await;
}

/// The keeper's ear to Docker is cut off again and again; a node that is restarted behind its back gets its links all the same.
#[tokio::test(flavor = "multi_thread")]
async fn events_cut_short_are_caught_up_on() {
    let bed = Bed::new();
    // Every connection for events ends within its first answer.
    let met = bed.proxy.rules(vec![Rule::new("GET", "/events", Ill::Cut(60))]);
    let run = bed.start();
    let until = Instant::now() + Duration::from_secs(20);
    while met()[0] < 3 {
        assert!(Instant::now() < until, "nobody listens again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let container = bed.b.docker(&["ps", "-q", "--filter", &format!("name=forge-{run}-desk")]);
    bed.b.docker(&["restart", "-t", "0", container.trim()]);
    bed.proxy.well();
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let out = bed.forge(&["check", &run, "--require-full"]);
        if out.status.success() {
            break;
        }
        assert!(Instant::now() < until, "its links did not come back: {}", said(&out));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let told = bed.forge(&["events", &run]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("Docker is back"), "{}", said(&told));
    bed.b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make chaos"]
async fn an_engine_that_takes_three_seconds_for_every_call_does_the_whole_job() {
    let mut bed = Bed::new();
    let slow = bed.proxy.rules(vec![Rule::new("", "/", Ill::Slow(Duration::from_secs(3)))]);
    let mut took = Vec::new();
    let timed = |took: &mut Vec<String>, what: &str, began: Instant| {
        took.push(format!("{what} {:.0} s", began.elapsed().as_secs_f64()))
    };
    let began = Instant::now();
    let run = bed.start();
    timed(&mut took, "start", began);
    let began = Instant::now();
    let checked = bed.ask(&["check", &run, "--require-full"]);
    assert_eq!(checked["score"], checked["max"], "{checked}");
    timed(&mut took, "check", began);
    let began = Instant::now();
    bed.submit(&run);
    timed(&mut took, "submit", began);
    let began = Instant::now();
    let said = bed.ask(&["exec", &run, "desk", "--", "echo", "here"]);
    assert_eq!(said["stdout"], "here\n", "{said}");
    timed(&mut took, "exec", began);
    for command in ["pause", "resume"] {
        let began = Instant::now();
        bed.ask(&[command, &run]);
        timed(&mut took, command, began);
    }
    let began = Instant::now();
    bed.ask(&["restart", &run, "shelf"]);
    timed(&mut took, "restart", began);
    let began = Instant::now();
    bed.ask(&["stop", &run]);
    timed(&mut took, "stop", began);
    eprintln!("three seconds for each of {} calls: {}", slow()[0], took.join(", "));
    assert_eq!(bed.b.state(&run).await, RunState::Stopped);
    bed.restarted("a slow engine").await;
    bed.b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make chaos"]
async fn a_create_that_is_never_answered_ends_and_leaves_nothing() {
    let mut bed = Bed::new();
    for (ill, node) in [(Ill::Unanswered, "-desk"), (Ill::Swallowed, "-desk"), (Ill::Unanswered, "-fabric")] {
        let met = bed.proxy.rules(vec![Rule::new("POST", "/containers/create?name=forge-", ill.clone()).and(node)]);
        let began = Instant::now();
        let e = error(&bed.forge(&["start", LAB, "--seed", "s"]));
        assert_eq!((e["code"].as_str(), met()[0]), (Some("timeout"), 1), "{ill:?} {node}: {e}");
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        bed.restarted(&format!("{ill:?} {node}")).await;
    }
    // Whoever does not want to wait for it stops it, and is told when nothing is left.
    let met = bed.proxy.rules(vec![Rule::new("POST", "/containers/create?name=forge-", Ill::Unanswered).and("-desk")]);
    let start = bed.begin(&["start", LAB, "--seed", "s"]);
    while met()[0] == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let began = Instant::now();
    bed.ask(&["stop", "--all"]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    let e = error_or_cancelled(&start.wait_with_output().unwrap());
    assert_eq!(e["code"], "cancelled", "{e}");
    bed.restarted("stopped while Docker was silent").await;
    // Docker does it after everybody has given up: the next start of the program finds it.
    let late = Rule::new("POST", "/containers/create?name=forge-", Ill::Slow(Duration::from_secs(40))).and("-desk");
    let met = bed.proxy.rules(vec![late]);
    assert_eq!(error(&bed.forge(&["start", LAB, "--seed", "s"]))["code"], "timeout");
    assert_eq!(met()[0], 1);
    tokio::time::sleep(Duration::from_secs(12)).await;
    bed.restarted("made when nobody waited any more").await;
    let run = bed.start();
    bed.submit(&run);
    bed.b.end().await;
}

/// As [`error`], of which a cancelled command needs no advice.
fn error_or_cancelled(out: &Output) -> serde_json::Value {
    let text = if out.stdout.is_empty() { &out.stderr } else { &out.stdout };
    let told: serde_json::Value =
        serde_json::from_slice(text).unwrap_or_else(|e| panic!("no JSON ({e}): {}", said(out)));
    told.get("error").cloned().unwrap_or(told)
}
