//! Trying a submission again under a fresh seed, on a real Docker engine: what was configured does it again, what was only
//! tweaked does not, and what is hostile stays inside. The lab images must be prepared (`make test` does it before).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use forge_core::api::*;
use forge_core::board::{Reexecution, Signed};
use forge_core::engine::{Docker, Engine, label};
use forge_core::error::Code;
use forge_core::forge::{Forge, Options};
use forge_core::keys::{Domain, PublicKey};
use forge_core::shell::Shellable;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const OSPF: &str = "ccna-ospf-single-area";
const LIMIT: Duration = Duration::from_secs(120);

struct Bench {
    forge: Arc<Forge>,
    home: tempfile::TempDir,
}

/// Also when an assertion failed: nothing of this installation stays in Docker.
impl Drop for Bench {
    fn drop(&mut self) {
        let Ok(instance) = std::fs::read_to_string(self.home.path().join("instance")) else { return };
        let filter = format!("label={}={instance}", label::INSTANCE);
        let left = Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output();
        for id in left.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default().split_whitespace() {
            let removed = Command::new("docker").args(["rm", "-fv", id]).output();
            eprintln!("removed {id} of a failed test: {}", removed.is_ok_and(|o| o.status.success()));
        }
    }
}

fn me() -> Caller {
    Caller { correlation: "test".into(), instructor: true }
}

impl Bench {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = Options {
            home: home.path().to_owned(),
            shell: "cli".into(),
            labs: None,
            keep: true,
            keeper: Vec::new(),
            egress: Default::default(),
            keys: Default::default(),
        };
        Self { forge: Forge::open(options).await.unwrap(), home }
    }

    /// A run of which `work` makes something; submitted and stopped.
    async fn submitted(&self, lab: &str, solve: bool, work: impl Fn(&RunDetail)) -> SubmitReport {
        let request = StartLab { lab: lab.into(), request_id: None, seed: Some("first".into()) };
        let run = self.forge.start_lab(&me(), request).await.unwrap().run;
        let detail = self.forge.wait_ready(&run, LIMIT).await.unwrap();
        if solve {
            self.forge.solve_run(&me(), RunRequest { run: run.clone() }).await.unwrap();
        }
        work(&detail);
        let submitted = self.forge.submit_run(&me(), RunRequest { run: run.clone() }).await.unwrap();
        self.forge.stop_run(&me(), RunRequest { run }).await.unwrap();
        submitted
    }

    async fn again(&self, verdict: &str) -> forge_core::error::Result<Reexecuted> {
        self.forge.reexecute(&me(), Reexecute { verdict: verdict.into(), report: false }).await
    }

    async fn end(self) {
        let instance = std::fs::read_to_string(self.home.path().join("instance")).unwrap();
        let left = Docker::from_env().unwrap().list(&[(label::INSTANCE, &instance)]).await.unwrap();
        assert!(left.is_empty(), "re-executions left {left:?}");
        assert!(!self.home.path().join("fetched").exists());
        self.forge.shutdown().await;
    }
}

fn inside(run: &RunDetail, node: &str, script: &str) {
    let container = &run.nodes.iter().find(|n| n.name == node).unwrap().container;
    let done = Command::new("docker").args(["exec", container, "sh", "-eu", "-c", script]).output().unwrap();
    assert!(
        done.status.success(),
        "{node}: {}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
}

fn outcome<'a>(done: &'a Reexecuted, id: &str) -> &'a CriterionTwice {
    done.criteria.iter().find(|c| c.id == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_configured_does_it_again_and_what_was_only_tweaked_does_not() {
    let b = Bench::new().await;
    let good = b.submitted(OSPF, true, |_| {}).await;
    assert_eq!(good.score, good.max);
    let done = b.again(&good.result.run).await.unwrap();
    assert!(done.agrees, "{:?}", done.criteria);
    assert_eq!((done.score, done.max, done.tier), (good.max, good.max, TrustTier::ReExecuted));
    assert_ne!(done.seed, "first");
    let signed: Signed<Reexecution> = serde_json::from_str(&done.statement).unwrap();
    let pem = std::fs::read_to_string(Path::new(&good.dir).join("verdict.pub.pem")).unwrap();
    signed.holds(&PublicKey::from_pem(&pem).unwrap(), Domain::ReExecution).unwrap();
    assert!(signed.body.agrees() && signed.body.verdict == good.id);

    // A link renumbered by hand: it works today, and no configuration says so.
    let tweaked = b
        .submitted(OSPF, true, |run| {
            for (node, host) in [("r1", 1), ("r2", 2)] {
                let script = format!(
                    r"old=$(ip -4 -o address show dev eth1 | sed -n 's/.* inet \([0-9.]*\)\.[0-9]*\/24 .*/\1.0\/24/p')
                    ip address flush dev eth1; ip address add 100.64.9.{host}/24 dev eth1
                    vtysh -c 'configure terminal' -c 'router ospf' -c 'no network '$old' area 0' -c 'network 100.64.9.0/24 area 0'"
                );
                inside(run, node, &script);
            }
        })
        .await;
    assert_eq!(tweaked.score, tweaked.max, "it passes the checks of its own run");
    let done = b.again(&tweaked.dir).await.unwrap();
    let adjacent = outcome(&done, "adjacencies");
    assert_eq!((adjacent.submitted, adjacent.reexecuted), (OutcomeKind::Pass, OutcomeKind::Fail), "{adjacent:?}");
    assert_eq!(outcome(&done, "passive-lan").reexecuted, OutcomeKind::Pass, "{:?}", done.criteria);
    assert!(!done.agrees && done.tier == TrustTier::ReGraded && done.score < done.max);
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_configuration_is_data() {
    let b = Bench::new().await;
    let mark = format!("/tmp/forge-hostile-{}", std::process::id());
    let hostile = b
        .submitted(OSPF, true, |run| {
            let lines = [
                format!("description $(touch {mark}) `touch {mark}` ;touch {mark}; | sh"),
                format!("description '\"; touch {mark}; #"),
                "description ../../../../etc/passwd %s%n {{secret}} ${{PATH}}".to_owned(),
            ];
            for (i, line) in lines.iter().enumerate() {
                let quoted = line.replace('\'', "'\\''");
                inside(run, "r1", &format!("vtysh -c 'configure terminal' -c 'interface eth{}' -c '{quoted}'", i + 1));
            }
            // Not what the lab carries: the node's own start and programs.
            inside(run, "r1", &format!("printf 'touch {mark}\\n' > /etc/frr/daemons; printf '#!/bin/sh\\ntouch {mark}\\n' > /etc/frr/vtysh.conf"));
        })
        .await;
    let done = b.again(&hostile.id).await.unwrap();
    assert!(!Path::new(&mark).exists(), "a submission ran something on this machine");
    // The rest of it is a good answer, and the text in between changes nothing.
    assert!(done.agrees && done.score == done.max, "{:?}", done.criteria);

    // A folder that was changed is no verdict, and nothing is started for it.
    let copy = b.home.path().join("changed");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(&hostile.dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let evidence = copy.join("evidence.tar.zst");
    let mut bytes = std::fs::read(&evidence).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&evidence, bytes).unwrap();
    let before = b.forge.list_runs(&me(), ListRuns { all: true }).await.unwrap().len();
    assert_eq!(b.again(copy.to_str().unwrap()).await.unwrap_err().code, Code::VerdictInvalid);
    assert_eq!(b.again("../../etc").await.unwrap_err().code, Code::NotFound);
    assert_eq!(b.forge.list_runs(&me(), ListRuns { all: true }).await.unwrap().len(), before);
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_is_bound_to_its_seed_says_so() {
    let b = Bench::new().await;
    for lab in ["netplus-dns-zone-reverse", "cissp-ssh-hardening"] {
        let untouched = b.submitted(lab, false, |_| {}).await;
        let e = b.again(&untouched.id).await.unwrap_err();
        assert_eq!(e.code, Code::SeedBound, "{e}");
        assert!(e.message.contains("seed") && !e.hints.is_empty(), "{e:?}");
    }
    b.end().await;
}
