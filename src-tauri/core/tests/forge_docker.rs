//! The façade on a real Docker engine: the main job, its refusals, and that nothing is left behind. The lab images must be
//! prepared (`make test` does it before).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use forge_core::api::*;
use forge_core::engine::{Docker, Engine, label};
use forge_core::error::Code;
use forge_core::forge::{Forge, Options};
use forge_core::shell::Shellable;
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LAB: &str = "netplus-dns-zone-reverse";
const LIMIT: Duration = Duration::from_secs(90);

struct Bench {
    forge: Arc<Forge>,
    home: tempfile::TempDir,
}

/// Also when an assertion failed: nothing of this installation stays in Docker.
impl Drop for Bench {
    fn drop(&mut self) {
        let Ok(instance) = std::fs::read_to_string(self.home.path().join("instance")) else { return };
        let filter = format!("label={}={instance}", label::INSTANCE);
        let left = std::process::Command::new("docker").args(["ps", "-aq", "--filter", &filter]).output();
        for id in left.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default().split_whitespace() {
            let removed = std::process::Command::new("docker").args(["rm", "-fv", id]).output();
            eprintln!("removed {id} of a failed test: {}", removed.is_ok_and(|o| o.status.success()));
        }
    }
}

fn me() -> Caller {
    Caller { correlation: "test".into(), instructor: true }
}

async fn open(home: &std::path::Path) -> Arc<Forge> {
    let options = Options {
        home: home.to_owned(),
        shell: "cli".into(),
        labs: None,
        keep: true,
        keeper: Vec::new(),
        egress: Default::default(),
        keys: Default::default(),
    };
    Forge::open(options).await.unwrap()
}

async fn bench() -> Bench {
    let home = tempfile::tempdir().unwrap();
    Bench { forge: open(home.path()).await, home }
}

impl Bench {
    async fn start(&self, seed: &str) -> RunDetail {
        let request = StartLab { lab: LAB.into(), request_id: None, seed: Some(seed.into()) };
        let run = self.forge.start_lab(&me(), request).await.unwrap();
        self.forge.wait_ready(&run.run, LIMIT).await.unwrap()
    }

    async fn ours(&self) -> usize {
        let instance = std::fs::read_to_string(self.home.path().join("instance")).unwrap();
        Docker::from_env().unwrap().list(&[(label::INSTANCE, &instance)]).await.unwrap().len()
    }

    /// Whatever a failed assertion left is gone when the test's process ends badly, too: the next test's home is another
    /// instance, so the sweep is done here.
    async fn end(self) {
        self.forge.stop_all(&me(), Empty {}).await.unwrap();
        assert_eq!(self.ours().await, 0, "something was left behind");
        self.forge.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_from_start_to_a_verdict_that_verifies() {
    let b = bench().await;
    let f = &b.forge;
    let started = b.start("journey").await;
    let run = started.run.run.clone();
    assert_eq!(started.run.state, RunState::Ready);
    assert!(
        started.nodes.iter().all(|n| !n.container.is_empty() && n.state == NodeState::Running),
        "{:?}",
        started.nodes
    );
    assert!(started.steps.iter().all(|s| s.state != StepState::Running), "{:?}", started.steps);
    assert_eq!(started.isolation.state, IsolationState::Isolated);

    let check = CheckRun { run: run.clone(), criteria: vec![], gentle: false };
    let untouched = f.check_run(&me(), check.clone()).await.unwrap();
    assert_eq!(untouched.score, 0, "{untouched:?}");
    assert!(
        untouched.criteria.iter().all(|c| c.outcome == OutcomeKind::Fail && !c.expected.is_empty()),
        "{untouched:?}"
    );

    f.solve_run(&me(), RunRequest { run: run.clone() }).await.unwrap();
    let solved = f.check_run(&me(), check).await.unwrap();
    assert_eq!(solved.score, solved.max, "{solved:?}");

    let submitted = f.submit_run(&me(), RunRequest { run: run.clone() }).await.unwrap();
    let verify = VerifyRequest { dir: submitted.dir.clone(), regrade: true };
    let verified = f.verify_result(&me(), verify.clone()).await.unwrap();
    assert!(verified.ok, "{verified:?}");
    assert_eq!(verified.key_id, submitted.key_id);

    let openssl = std::process::Command::new("openssl")
        .args([
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "verdict.pub.pem",
            "-rawin",
            "-in",
            "verdict.pae",
            "-sigfile",
            "verdict.sig",
        ])
        .current_dir(&submitted.dir)
        .output()
        .unwrap();
    assert!(openssl.status.success(), "{openssl:?}");

    for file in ["score.json", "evidence.tar.zst", "verdict.dsse.json", "verdict.sig", "verdict.pae", "verdict.pub.pem"]
    {
        let path = std::path::Path::new(&submitted.dir).join(file);
        let good = std::fs::read(&path).unwrap();
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let report = f.verify_result(&me(), verify.clone()).await.unwrap();
        assert!(!report.ok, "{file} was changed and still verifies");
        std::fs::write(&path, &good).unwrap();
    }

    let detail = f.get_result(&me(), ResultRequest { id: submitted.id.clone(), dark: true }).await.unwrap();
    assert!(detail.verified.ok);
    assert!(detail.score_chart_svg.contains("<svg"));
    let report = f.export_report(&me(), ResultRequest { id: submitted.id.clone(), dark: false }).await.unwrap();
    assert!(std::fs::read_to_string(&report.path).unwrap().contains(&submitted.id));
    assert_eq!(f.list_results(&me(), Empty {}).await.unwrap().len(), 1);
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_the_same_run_and_another_lab_is_refused() {
    let b = bench().await;
    let ask = |lab: &str| StartLab { lab: lab.into(), request_id: Some("click-1".into()), seed: Some("s".into()) };
    let first = b.forge.start_lab(&me(), ask(LAB)).await.unwrap();
    let again = b.forge.start_lab(&me(), ask(LAB)).await.unwrap();
    assert_eq!(first.run, again.run);
    let other = b.forge.start_lab(&me(), ask("cissp-ssh-hardening")).await.unwrap_err();
    assert_eq!(other.code, Code::RequestReused);
    let unknown =
        b.forge.start_lab(&me(), StartLab { lab: "no-such".into(), request_id: None, seed: None }).await.unwrap_err();
    assert_eq!(unknown.code, Code::UnknownLab);
    let seed = StartLab { lab: LAB.into(), request_id: None, seed: Some("two words".into()) };
    assert_eq!(b.forge.start_lab(&me(), seed).await.unwrap_err().code, Code::InvalidInput);
    assert_eq!(b.forge.get_run(&me(), RunRequest { run: "nobody".into() }).await.unwrap_err().code, Code::UnknownRun);
    b.forge.wait_ready(&first.run, LIMIT).await.unwrap();
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_cancelled_at_any_moment_leaves_nothing() {
    let b = bench().await;
    for wait in [0, 60, 150, 300, 450, 600, 900] {
        let run =
            b.forge.start_lab(&me(), StartLab { lab: LAB.into(), request_id: None, seed: None }).await.unwrap().run;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        b.forge.stop_run(&me(), RunRequest { run: run.clone() }).await.unwrap();
        assert_eq!(b.ours().await, 0, "cancelled after {wait} ms");
        let state = b.forge.get_run(&me(), RunRequest { run }).await.unwrap().run.state;
        assert_eq!(state, RunState::Stopped);
    }
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_resume_extend_and_a_node_restart_that_rewires_by_itself() {
    let b = bench().await;
    let run = b.start("life").await.run.run;
    let ask = || RunRequest { run: run.clone() };
    let paused = b.forge.pause_run(&me(), ask()).await.unwrap();
    assert_eq!(paused.state, RunState::Paused);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let left = b.forge.get_run(&me(), ask()).await.unwrap().run.remaining_ms;
    assert_eq!(left, paused.remaining_ms, "the clock stands still");
    let refused =
        b.forge.check_run(&me(), CheckRun { run: run.clone(), criteria: vec![], gentle: true }).await.unwrap_err();
    assert_eq!(refused.code, Code::WrongState);
    b.forge.resume_run(&me(), ask()).await.unwrap();
    let more = b.forge.extend_run(&me(), ExtendRun { run: run.clone(), minutes: 30 }).await.unwrap();
    assert!(more.remaining_ms.unwrap() > left.unwrap() + 29 * 60_000);

    // Behind our back, as Docker's own tools would do it.
    let detail = b.forge.get_run(&me(), ask()).await.unwrap();
    let node = detail.nodes.iter().find(|n| n.enter && !n.interfaces.is_empty()).unwrap();
    let before = addresses(&node.container).await;
    assert!(before.contains(&node.interfaces[0].name), "{before}");
    Docker::from_env().unwrap().restart(&node.container).await.unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        if addresses(&node.container).await == before {
            break;
        }
        if Instant::now() >= until {
            let told =
                b.forge.list_events(&me(), ListEvents { run: Some(run.clone()), since: 0, limit: None }).await.unwrap();
            let told: Vec<String> = told.into_iter().map(|e| e.text).collect();
            panic!("links did not come back: {}\n{}", addresses(&node.container).await, told.join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    b.end().await;
}

async fn addresses(container: &str) -> String {
    let spec =
        forge_core::engine::ExecSpec { argv: ["ip", "-br", "addr"].map(String::from).to_vec(), ..Default::default() };
    let docker = Docker::from_env().unwrap();
    match docker.exec(container, &spec, None, Duration::from_secs(10)).await {
        Ok(out) => {
            String::from_utf8_lossy(&out.stdout)
                .split_whitespace()
                .filter(|w| !w.contains('@'))
                .collect::<Vec<_>>()
                .join(" ")
                + &String::from_utf8_lossy(&out.stdout)
                    .lines()
                    .filter_map(|l| l.split('@').next())
                    .collect::<Vec<_>>()
                    .join(",")
        }
        Err(e) => e.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_survives_its_reader_and_events_replay_without_a_gap() {
    let b = bench().await;
    let detail = b.start("terminal").await;
    let run = detail.run.run.clone();
    let node = detail.nodes.iter().find(|n| n.enter).unwrap().name.clone();
    let closed = detail.nodes.iter().find(|n| !n.enter).map(|n| n.name.clone());
    let open = |node: String| OpenTerminal { run: run.clone(), node, cols: 80, rows: 24 };
    let terminal = b.forge.open_terminal(&me(), open(node)).await.unwrap();
    b.forge.terminal_write(&terminal.id, "echo grü$((40+2))n\n".into()).await.unwrap();
    let seen = read_until(&b.forge, &terminal.id, "grü42n").await;
    assert!(seen.contains("grü42n"));
    // Another reader, as after a reload: everything again from the beginning.
    assert!(read_until(&b.forge, &terminal.id, "grü42n").await.contains("grü42n"));
    if let Some(closed) = closed {
        assert_eq!(b.forge.open_terminal(&me(), open(closed)).await.unwrap_err().code, Code::Denied);
    }
    assert_eq!(b.forge.open_terminal(&me(), open("nope".into())).await.unwrap_err().code, Code::UnknownNode);

    let listed =
        b.forge.list_events(&me(), ListEvents { run: Some(run.clone()), since: 0, limit: None }).await.unwrap();
    let streamed: Vec<Event> = b.forge.events(Some(run.clone()), 0).take(listed.len()).collect().await;
    assert_eq!(listed, streamed);
    assert!(listed.windows(2).all(|w| w[0].seq < w[1].seq));
    b.end().await;
}

async fn read_until(forge: &Forge, id: &str, text: &str) -> String {
    let mut frames = forge.terminal(id, 0).await.unwrap();
    let mut seen = Vec::new();
    let read = async {
        while let Some(frame) = frames.next().await {
            if let TerminalFrame::Output { bytes, .. } = frame {
                seen.extend_from_slice(&bytes);
                if String::from_utf8_lossy(&seen).contains(text) {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.ok();
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_sees_the_run_and_can_end_it() {
    let b = bench().await;
    let run = b.start("shared").await.run.run;
    let other = open(b.home.path()).await;
    assert_eq!(other.list_runs(&me(), ListRuns { all: false }).await.unwrap().len(), 1);
    let report = other.check_run(&me(), CheckRun { run: run.clone(), criteria: vec![], gentle: true }).await.unwrap();
    assert_eq!(report.score, 0);
    other.stop_run(&me(), RunRequest { run: run.clone() }).await.unwrap();
    assert_eq!(b.forge.get_run(&me(), RunRequest { run }).await.unwrap().run.state, RunState::Stopped);
    other.shutdown().await;
    b.end().await;
}

/// A keeper that has claimed an abandoned run owns it while it clears up; who asks meanwhile is told how it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_the_repair_that_is_under_way() {
    let home = tempfile::tempdir().unwrap();
    let options = Options {
        home: home.path().into(),
        shell: "cli".into(),
        labs: None,
        keep: false,
        keeper: Vec::new(),
        egress: Default::default(),
        keys: Default::default(),
    };
    let forge = Forge::open(options).await.unwrap();
    let held = ["keeper.lock", "repair.lock"].map(|name| {
        let file = std::fs::File::options().create(true).append(true).open(home.path().join(name)).unwrap();
        file.lock().unwrap();
        file
    });
    let asking = tokio::spawn({
        let forge = forge.clone();
        async move { forge.list_runs(&me(), ListRuns { all: false }).await }
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(!asking.is_finished(), "it answered in the middle of a repair");
    drop(held);
    assert!(tokio::time::timeout(Duration::from_secs(5), asking).await.unwrap().unwrap().unwrap().is_empty());
    forge.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_shows_the_lab_from_outside() {
    let b = bench().await;
    let detail = b.start("load").await;
    let mut samples = b.forge.telemetry(&detail.run.run).await.unwrap();
    let sample = tokio::time::timeout(Duration::from_secs(10), samples.next()).await.unwrap().unwrap();
    assert_eq!(sample.nodes.len(), detail.nodes.len());
    assert!(sample.nodes.iter().all(|n| n.memory_bytes > 0), "{sample:?}");
    assert!(!sample.links.is_empty());
    b.end().await;
}
