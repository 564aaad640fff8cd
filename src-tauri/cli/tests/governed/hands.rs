//! The second click of an impatient hand is told what is true, and the log tells no secret however much it is asked to say.

use crate::bench::{Bench, said};
use std::process::Stdio;

const WRONG_STATE: i32 = 9;

#[test]
fn what_is_done_already_is_not_claimed_again() {
    let b = Bench::new(&[]);
    let run = b.start();
    b.ask(&["pause", &run]);
    let e = b.refused(WRONG_STATE, &["pause", &run]);
    assert!(e["message"].as_str().unwrap().contains("is paused already"), "{e}");
    assert!(e["hints"][0].as_str().unwrap().contains(&format!("forge resume {run}")), "{e}");
    b.ask(&["resume", &run]);
    let e = b.refused(WRONG_STATE, &["resume", &run]);
    assert!(e["message"].as_str().unwrap().contains("goes on already"), "{e}");

    // Two hands at once: one stops it, the other is told that it was over.
    let both =
        [(); 2].map(|()| b.command(&["stop", &run]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let told = both.map(|one| one.wait_with_output().unwrap());
    let told = told.map(|out| {
        assert!(out.status.success(), "{}", said(&out));
        serde_json::from_slice::<serde_json::Value>(&out.stdout).unwrap()
    });
    let of = |name: &str| told.iter().flat_map(|t| t[name].as_array().unwrap()).filter(|r| **r == run).count();
    assert_eq!((of("stopped"), of("already")), (1, 1), "{told:?}");

    let again = b.ask(&["stop", &run]);
    assert_eq!((&again["stopped"], &again["already"]), (&serde_json::json!([]), &serde_json::json!([run])));
    let text = b.plainly(&["stop", &run]).output().unwrap();
    assert!(text.status.success());
    assert_eq!(String::from_utf8(text.stdout).unwrap(), format!("Over already, nothing to stop: {run}.\n"));
    let none = b.plainly(&["stop", "--all"]).output().unwrap();
    assert_eq!(String::from_utf8(none.stdout).unwrap(), "Nothing was running.\n");
    for (args, says) in [
        (&["check", &run][..], "is stopped"),
        (&["submit", &run], "is stopped"),
        (&["pause", &run], "is stopped"),
        (&["resume", &run], "is over and cannot go on"),
        (&["extend", &run, "--minutes", "5"], "is stopped"),
        (&["restart", &run, "pc"], "is stopped"),
    ] {
        let e = b.refused(WRONG_STATE, args);
        assert!(e["message"].as_str().unwrap().contains(says), "{args:?}: {e}");
    }
    b.end();
}

#[test]
fn a_log_that_is_asked_for_everything_holds_no_password_of_the_lab() {
    const SECRET: &str = "Xk29vTqp81Zw";
    let mut b = Bench::starting(&format!("test -n {SECRET}"));
    b.set("RUST_LOG", "trace,bollard=trace,hyper=trace");
    let run = b.start();
    let (code, _) = b.shell(&run, "pc", &format!("sshpass -p {SECRET} true || test -n {SECRET}"));
    assert_eq!(code, 0);
    b.ask(&["check", &run]);
    b.ask(&["stop", &run]);
    let mut lines = Vec::new();
    for file in std::fs::read_dir(b.home.path().join("logs")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        lines.extend(text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()));
    }
    let of = |ours: bool| {
        let told = lines.iter().filter(|l| matches!(l["level"].as_str(), Some("DEBUG" | "TRACE")));
        told.filter(|l| l["target"].as_str().is_some_and(|t| t.starts_with("forge")) == ours).count()
    };
    assert!(lines.len() > 15 && of(true) > 0, "it was asked for everything: {lines:?}");
    assert_eq!(of(false), 0, "others' details");
    let holds: Vec<_> = lines.iter().filter(|l| l.to_string().contains(SECRET)).collect();
    assert!(holds.is_empty(), "{holds:?}");
    b.end();
}
