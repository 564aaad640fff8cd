//! Proving isolation through the façade: what it tells, where it is kept, how it ends, and that nothing stays. The lab images
//! must be prepared (`make test` does it before).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use forge_core::api::*;
use forge_core::engine::outside::{Outside, Reach};
use forge_core::engine::{ContainerSpec, Docker, Engine, Labels, label};
use forge_core::error::Code;
use forge_core::forge::{Forge, Options};
use forge_core::shell::Shellable;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LAB: &str = "netplus-dns-zone-reverse";

struct Bench {
    forge: Arc<Forge>,
    docker: Docker,
    home: tempfile::TempDir,
}

fn me() -> Caller {
    Caller { correlation: "test".into(), instructor: true }
}

async fn open(home: &std::path::Path) -> Arc<Forge> {
    let options = Options {
        home: home.to_owned(),
        shell: "cli".into(),
        labs: None,
        keep: false,
        keeper: Vec::new(),
        egress: Default::default(),
        keys: Default::default(),
    };
    Forge::open(options).await.unwrap()
}

impl Bench {
    async fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { forge: open(home.path()).await, docker: Docker::from_env().unwrap(), home }
    }

    async fn start(&self) -> String {
        let request = StartLab { lab: LAB.into(), request_id: None, seed: Some("isolation".into()) };
        let run = self.forge.start_lab(&me(), request).await.unwrap().run;
        self.forge.wait_ready(&run, Duration::from_secs(90)).await.unwrap();
        run
    }

    fn instance(&self) -> String {
        std::fs::read_to_string(self.home.path().join("instance")).unwrap()
    }

    /// Containers and networks of this installation.
    async fn ours(&self) -> (usize, usize) {
        let instance = self.instance();
        let labels = [(label::INSTANCE, instance.as_str())];
        (self.docker.list(&labels).await.unwrap().len(), self.docker.streets(&labels).await.unwrap().len())
    }

    async fn probes(&self) -> usize {
        let instance = self.instance();
        self.docker.list(&[(label::INSTANCE, &instance), (label::KIND, "probe")]).await.unwrap().len()
    }

    /// A full proof that is under way far enough to have made something.
    async fn proving(&self, run: &str) -> tokio::task::JoinHandle<forge_core::error::Result<Vec<IsolationRow>>> {
        let (forge, run) = (self.forge.clone(), run.to_owned());
        let work = tokio::spawn(async move { forge.probe_isolation(&me(), ProbeIsolation { run, full: true }).await });
        let until = Instant::now() + Duration::from_secs(10);
        while self.probes().await < 3 {
            assert!(Instant::now() < until, "it never began");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        work
    }

    async fn end(self) {
        self.forge.stop_all(&me(), Empty {}).await.unwrap();
        assert_eq!(self.ours().await, (0, 0), "something was left behind");
        self.forge.shutdown().await;
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let Ok(instance) = std::fs::read_to_string(self.home.path().join("instance")) else { return };
        let filter = format!("label={}={instance}", label::INSTANCE);
        for (list, remove) in [(["ps", "-aq"], ["rm", "-fv"]), (["network", "ls"], ["network", "rm"])] {
            let found = std::process::Command::new("docker").args(list).args(["-q", "--filter", &filter]).output();
            for id in
                found.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default().split_whitespace()
            {
                let removed = std::process::Command::new("docker").args(remove).arg(id).output();
                eprintln!("removed {id} of a failed test: {}", removed.is_ok_and(|o| o.status.success()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_proof_is_told_kept_and_submitted() {
    let b = Bench::new().await;
    let run = b.start().await;
    let ask = || RunRequest { run: run.clone() };
    let before = b.forge.get_run(&me(), ask()).await.unwrap().isolation;
    assert_eq!((before.state, before.quick.len(), before.full.is_none()), (IsolationState::Isolated, 6, true));
    assert!(before.quick.iter().all(IsolationRow::holds), "{before:?}");

    let quick = b.forge.probe_isolation(&me(), ProbeIsolation { run: run.clone(), full: false }).await.unwrap();
    assert_eq!(quick, before.quick);
    let rows = b.forge.probe_isolation(&me(), ProbeIsolation { run: run.clone(), full: true }).await.unwrap();
    assert_eq!(rows.len(), 40);
    assert!(rows.iter().all(IsolationRow::holds), "{rows:#?}");
    assert_eq!(b.probes().await, 0);

    let after = b.forge.get_run(&me(), ask()).await.unwrap().isolation;
    assert_eq!(after.state, IsolationState::Isolated);
    assert_eq!(after.full.as_ref().unwrap().rows, rows);
    assert!(after.detail.contains("40 ways out tried: none led out, every control worked"), "{}", after.detail);
    let events = ListEvents { run: Some(run.clone()), since: 0, limit: None };
    let events = b.forge.list_events(&me(), events).await.unwrap();
    let steps: Vec<&str> = events
        .iter()
        .filter(|e| e.kind == "job.step" && e.data["step"]["state"] == "done")
        .map(|e| e.data["step"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["networks", "nodes", "try", "clear"]);
    assert_eq!(events.iter().filter(|e| e.kind == "isolation.report").count(), 2);
    assert!(events.iter().any(|e| e.kind == "job.done" && e.data["error"].is_null()));

    let submitted = b.forge.submit_run(&me(), ask()).await.unwrap();
    let bundle = std::fs::read(std::path::Path::new(&submitted.dir).join("evidence.tar.zst")).unwrap();
    let evidence = forge_core::verdict::bundle::unpack(&bundle).unwrap();
    let kept: Isolation = serde_json::from_slice(&evidence.entries["isolation.json"].bytes).unwrap();
    assert_eq!(kept.full.unwrap().rows, rows, "the proof is in the evidence, word by word");
    assert_eq!(kept.quick.len(), 6);
    let result = ResultRequest { id: submitted.id.clone(), dark: false };
    let result = b.forge.get_result(&me(), result).await.unwrap();
    assert!(result.verified.ok);
    assert_eq!(result.isolation.full.unwrap().rows.len(), 40);

    b.forge.pause_run(&me(), ask()).await.unwrap();
    for full in [false, true] {
        let error = b.forge.probe_isolation(&me(), ProbeIsolation { run: run.clone(), full }).await.unwrap_err();
        assert_eq!((error.code, error.hints.first().map(String::as_str)), (Code::WrongState, Some("Resume it first.")));
    }
    b.forge.stop_run(&me(), ask()).await.unwrap();
    let error = b.forge.probe_isolation(&me(), ProbeIsolation { run, full: true }).await.unwrap_err();
    assert_eq!(error.code, Code::WrongState, "{error:?}");
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_cancelled_or_whose_run_is_stopped_leaves_nothing() {
    let b = Bench::new().await;
    let run = b.start().await;
    let lab = b.ours().await;

    let work = b.proving(&run).await;
    let second = b.forge.probe_isolation(&me(), ProbeIsolation { run: run.clone(), full: true }).await.unwrap_err();
    assert_eq!(second.code, Code::WrongState, "{second:?}");
    let jobs = b.forge.list_jobs(&me(), Empty {}).await.unwrap();
    let job = jobs.iter().find(|j| j.kind == "isolation" && !j.done).unwrap();
    b.forge.cancel_job(&me(), JobRequest { job: job.job.clone() }).await.unwrap();
    assert_eq!(work.await.unwrap().unwrap_err().code, Code::Cancelled);
    assert_eq!(b.ours().await, lab, "the lab stays, the probe goes");
    let state = b.forge.get_run(&me(), RunRequest { run: run.clone() }).await.unwrap().isolation;
    assert!(state.state == IsolationState::Isolated && state.full.is_none(), "{state:?}");

    // A stop in the same process ends it first.
    let work = b.proving(&run).await;
    b.forge.stop_run(&me(), RunRequest { run: run.clone() }).await.unwrap();
    assert_eq!(b.ours().await, (0, 0));
    assert_eq!(work.await.unwrap().unwrap_err().code, Code::Cancelled);

    // A stop by another process takes its ground away.
    let run = b.start().await;
    let work = b.proving(&run).await;
    let other = open(b.home.path()).await;
    other.stop_run(&me(), RunRequest { run: run.clone() }).await.unwrap();
    work.await.unwrap().unwrap_err();
    assert_eq!(b.ours().await, (0, 0));
    other.shutdown().await;
    b.end().await;
}

/// A process that was killed half-way: what it left carries labels, and is swept as soon as nobody is proving anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_proof_left_is_swept_and_a_living_one_is_left_alone() {
    let b = Bench::new().await;
    let run = b.start().await;
    let lab = b.ours().await;
    let labels: Labels = [(label::INSTANCE, b.instance()), (label::RUN, run.clone()), (label::KIND, "probe".into())]
        .map(|(k, v)| (k.to_owned(), v))
        .into();
    let street = b.docker.open_street(&format!("forge-{run}-left"), &labels, "fd77:1:2:3::/64").await.unwrap();
    let spec = ContainerSpec {
        name: format!("forge-{run}-left"),
        image: "frostgate/tools:latest".into(),
        labels,
        command: ["--now", "sleep", "infinity"].map(String::from).into(),
        ..ContainerSpec::default()
    };
    let reach = Reach::Streets { streets: vec![street.id], published: None, resolver: None, volumes_of: None };
    let left = b.docker.create_outside(&spec, &reach).await.unwrap();
    b.docker.start(&left).await.unwrap();
    assert_eq!(b.ours().await, (lab.0 + 1, lab.1 + 1));
    b.forge.recover().await.unwrap();
    assert_eq!(b.ours().await, lab, "the lab itself is not touched");

    let work = b.proving(&run).await;
    let other = open(b.home.path()).await;
    other.recover().await.unwrap();
    assert!(b.probes().await >= 3, "the proof of a living process was swept");
    assert!(work.await.unwrap().unwrap().iter().all(IsolationRow::holds));
    other.shutdown().await;
    b.end().await;
}
