//! Programs in a node that take all they can get: each meets its own bound, says so, and the lab beside it goes on.

use crate::bench::{Bench, LAB, eventually};
use serde_json::Value;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(20);

/// Without a line's end, `tail` keeps all of it: 300 MiB where the node has 64.
const TAKE: &str = "head -c 300m /dev/zero | tail -n 1 >/dev/null";

fn says_who_starved(b: &Bench, run: &str) {
    let told = || -> Vec<Value> { b.events(run).into_iter().filter(|e| e["kind"] == "node.starved").collect() };
    let first = eventually("the run says who ran out of memory", SOON, || told().pop());
    assert!(first["text"].as_str().unwrap().contains("pc ran out of the memory"), "{first}");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(told().len(), 1, "once is enough");
}

fn works(b: &Bench, run: &str, node: &str) {
    let (code, told) = b.shell(run, node, "echo alive");
    assert!(code == 0 && told.contains("alive"), "{node}: {told}");
}

#[test]
fn a_node_that_takes_all_memory_is_ended_by_its_own_limit_and_the_run_says_so() {
    let b = Bench::new(&[]);
    let run = b.start();
    let (code, told) = b.shell(&run, "pc", &format!("{TAKE}; echo ended with $?"));
    assert!(code != 0 || told.contains("ended with 137"), "{code}: {told}");
    says_who_starved(&b, &run);
    works(&b, &run, "peer");
    works(&b, &run, "pc");
    assert_eq!(b.run(&run)["state"], "ready");
    b.end();
}

/// Whoever keeps the run begins to listen only when it is ready: what the kernel did before that is in its count.
#[test]
fn a_node_that_runs_out_of_memory_as_it_starts_is_told_of() {
    let b = Bench::starting(&format!("{TAKE} &"));
    let run = b.start();
    says_who_starved(&b, &run);
    works(&b, &run, "pc");
    b.end();
}

#[test]
fn a_start_that_fails_for_want_of_memory_says_so_and_leaves_nothing() {
    let b = Bench::starting(TAKE);
    let e = b.refused(8, &["start", LAB]);
    assert_eq!(e["code"], "no_memory", "{e}");
    let message = e["message"].as_str().unwrap();
    assert!(message.contains("pc") && message.contains("ran out of the memory that the lab gives it"), "{e}");
    assert!(e["hints"][0].as_str().unwrap().contains("memory_mb"), "{e}");
    assert!(b.left().is_empty());
    let rows = b.ask(&["ps", "--all"]);
    assert!(rows.as_array().unwrap().iter().all(|r| r["state"] == "failed"), "{rows}");
    b.end();
}

/// What is free is what the kernel says; the floor is what whoever runs the machine sets.
#[test]
fn a_machine_whose_memory_is_taken_starts_nothing() {
    let mut b = Bench::new(&[("FORGE_MEMORY_FLOOR_MB", "100000000")]);
    let e = b.refused(3, &["start", LAB]);
    assert!(e["message"].as_str().unwrap().contains("MiB of this machine's memory are free"), "{e}");
    assert!(e["message"].as_str().unwrap().contains("Close a large program"), "{e}");
    assert!(b.left().is_empty() && b.ask(&["ps", "--all"]).as_array().unwrap().is_empty());
    b.set("FORGE_MEMORY_FLOOR_MB", "much");
    b.refused(2, &["start", LAB]);
    b.set("FORGE_MEMORY_FLOOR_MB", "256");
    let run = b.start();
    works(&b, &run, "pc");
    b.end();
}

#[test]
fn a_fork_bomb_fails_inside_and_the_machine_lives() {
    let b = Bench::new(&[]);
    let run = b.start();
    let (_, told) = b.shell(&run, "pc", "i=0; while [ $i -lt 400 ]; do sleep 6 & i=$((i+1)); done; echo all of them");
    assert!(!told.contains("all of them"), "no fork failed: {told}");
    assert!(told.to_lowercase().contains("fork"), "{told}");
    let inside = b.docker(&["top", &b.container(&run, "pc"), "-eo", "pid"]).lines().count() - 1;
    assert!((150..=256).contains(&inside), "{inside} processes in a node that may have 256");
    // Beside it nobody notices.
    works(&b, &run, "peer");
    assert!(std::process::Command::new("true").status().unwrap().success());
    eventually("the node has room again", SOON, || (b.shell(&run, "pc", "true").0 == 0).then_some(()));
    b.end();
}

#[test]
fn processors_are_held() {
    let b = Bench::new(&[]);
    let run = b.start();
    // Both versions of cgroups count nanoseconds or microseconds used, and how often somebody had to wait.
    let script = "used() { cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null || \
                  awk '/^usage_usec/{print $2*1000}' /sys/fs/cgroup/cpu.stat; }; \
                  waits() { awk '/^nr_throttled/{print $2}' /sys/fs/cgroup/cpu/cpu.stat /sys/fs/cgroup/cpu.stat 2>/dev/null; }; \
                  a=$(used); w=$(waits); for i in 1 2; do timeout 4 sh -c 'while :; do :; done' & done; wait; \
                  echo cpu $(($(used) - a)) waits $(($(waits) - w))";
    // Each time they must not get more than theirs. That they wanted more shows only where the machine had it to give.
    eventually("something held them", Duration::from_secs(60), || {
        let began = Instant::now();
        let (_, told) = b.shell(&run, "pc", script);
        let took = began.elapsed().as_nanos() as f64;
        let words: Vec<&str> = told.split_whitespace().skip_while(|w| *w != "cpu").collect();
        let number = |i: usize| words.get(i).and_then(|w| w.parse::<f64>().ok()).unwrap_or_else(|| panic!("{told}"));
        let (share, waits) = (number(1) / took, number(3));
        assert!(share < 0.6, "two loops took {share} of a processor, of which half is theirs: {told}");
        (waits > 5.0).then_some(())
    });
    b.end();
}

#[test]
fn a_node_that_fills_the_disk_is_stopped_by_the_kernel_and_by_the_watch() {
    let b = Bench::new(&[]);
    let run = b.start();
    // One file ends at a node's whole share.
    let (code, told) =
        b.shell(&run, "pc", "head -c 300m /dev/zero > /srv/one; s=$?; wc -c < /srv/one; rm /srv/one; exit $s");
    assert!(code != 0 && told.contains("268435456"), "{code}: {told}");
    // Many files do not, so they are watched.
    let (code, told) = b.shell(&run, "pc", "for i in 1 2 3 4 5 6; do head -c 50m /dev/zero > /srv/f$i || exit 1; done");
    assert_eq!(code, 0, "{told}");
    let row = eventually("the run is paused", SOON, || Some(b.run(&run)).filter(|r| r["state"] == "paused"));
    assert!(row["reason"].as_str().unwrap().contains("pc has written"), "{row}");
    assert!(!b.audit("quota.paused").is_empty());
    let e = b.refused(9, &["exec", &run, "pc", "--", "true"]);
    assert!(e["message"].as_str().unwrap().contains("paused"), "{e}");
    // Resumed, there is room to clean up in; cleaned up, it stays.
    b.ask(&["resume", &run]);
    assert_eq!(b.shell(&run, "pc", "rm /srv/f*").0, 0);
    std::thread::sleep(Duration::from_secs(7));
    assert_eq!(b.run(&run)["state"], "ready");
    b.end();
}

#[test]
fn more_than_the_machine_has_is_refused_with_the_numbers() {
    let told = Bench::new(&[]).ask(&["quota"]);
    let limit = |id: &str| {
        let row = told["rows"].as_array().unwrap().iter().find(|r| r["id"] == id && r["machine"] == true);
        row.unwrap()["limit"].as_f64().unwrap()
    };
    let cases = [
        (format!("{{cpu: 1, memory_mb: {}, timeout_minutes: 15}}", limit("memory") as u64 + 2), "MiB"),
        (format!("{{cpu: {}, memory_mb: 128, timeout_minutes: 15}}", limit("cpu") + 0.5), "CPUs"),
    ];
    for (limits, word) in cases {
        if limits.contains("cpu: 3") && limit("cpu") >= 32.0 {
            eprintln!("left out: this machine may promise more processors than a template can ask for");
            continue;
        }
        let b = Bench::with(&limits, &[]);
        let e = b.refused(3, &["start", LAB]);
        let reasons = e["details"]["reasons"].to_string();
        assert!(reasons.contains(word) && e["details"]["gates"].to_string().contains("quota"), "{e}");
        assert!(b.left().is_empty());
        b.end();
    }
}

#[test]
fn a_plans_places_and_those_of_the_machine_are_counted_across_processes() {
    let b = Bench::new(&[("FORGE_PLAN", "free"), ("FORGE_SUBJECT", "ada")]);
    let first = b.start();
    let e = b.refused(3, &["start", LAB, "--seed", "t"]);
    assert!(e["message"].as_str().unwrap().contains("1 labs are alive already, and 1 at once are allowed here"), "{e}");
    b.ask(&["stop", &first]);
    let again = b.ask(&["start", LAB, "--seed", "t"]);
    b.ask(&["stop", &crate::bench::run_of(&again)]);
    // The free plan starts two labs a minute.
    let e = b.refused(3, &["start", LAB, "--seed", "u"]);
    assert!(e["message"].as_str().unwrap().contains("within a minute"), "{e}");
    assert!(b.audit("gate.quota").iter().any(|d| d["data"]["allow"] == false));
    b.end();
}

/// The free space is what the file system says, and it really goes; the floor is what whoever runs the machine sets.
#[test]
fn the_disks_floor_refuses_a_start_and_pauses_what_runs() {
    let mut b = Bench::new(&[]);
    let free = b.ask(&["quota"])["disk"]["free_mb"].as_u64().unwrap();
    b.set("FORGE_DISK_FLOOR_MB", &(free + 10_000).to_string());
    let e = b.refused(3, &["start", LAB]);
    assert!(e["message"].as_str().unwrap().contains("of the disk must stay free, but only"), "{e}");
    // Far enough from both sides that what others write meanwhile makes no difference.
    let margin = (free / 4).min(4096);
    b.set("FORGE_DISK_FLOOR_MB", &(free - margin).to_string());
    let run = b.start();
    let filler = b.home.path().join("filler");
    let taken = std::process::Command::new("fallocate").args(["-l", &format!("{}M", margin * 2)]).arg(&filler).output();
    assert!(taken.is_ok_and(|o| o.status.success()), "no room could be taken");
    let row = eventually("the run is paused", SOON, || Some(b.run(&run)).filter(|r| r["state"] == "paused"));
    assert!(row["reason"].as_str().unwrap().contains("must stay free. Free some space, then resume"), "{row}");
    let e = b.refused(8, &["resume", &run]);
    assert!(e["message"].as_str().unwrap().contains("must stay free while labs run"), "{e}");
    std::fs::remove_file(&filler).unwrap();
    b.ask(&["resume", &run]);
    works(&b, &run, "pc");
    b.end();
}
