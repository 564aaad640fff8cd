//! A data folder, bystanders that must not be touched, and everything that must hold after a fault.

use forge_core::engine::{ContainerState, Docker, Engine, label};
use forge_core::store::{Store, intents, results, runs};
use forge_core::{api::RunState, audit, keys::Keys, verdict};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A restarted program has put everything right after this.
pub const RESTART: Duration = Duration::from_secs(10);
pub const DOCKERD: Duration = Duration::from_secs(30);

pub struct Bench {
    pub home: tempfile::TempDir,
    /// `DOCKER_HOST` for everything that is run; None for the machine's own engine.
    pub host: Option<String>,
    labs: Option<PathBuf>,
    bystanders: Vec<Bystander>,
    /// Verdicts whose submission was acknowledged.
    pub acknowledged: BTreeSet<String>,
    pub slowest: Duration,
}

struct Bystander {
    kind: &'static str,
    id: String,
    looked: String,
}

impl Bench {
    /// `labs: None` means the built-in ones.
    pub fn new(home: tempfile::TempDir, host: Option<String>, own_lab: bool) -> Self {
        let labs = own_lab.then(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/labs")));
        let mut bench =
            Self { home, host, labs, bystanders: vec![], acknowledged: BTreeSet::new(), slowest: Duration::ZERO };
        // Like ours in everything but whose they are.
        let name = format!("forge-bystander-{}", uuid::Uuid::new_v4().simple());
        let foreign = format!("{}=another-installation", label::INSTANCE);
        let run = format!("{}=bystander", label::RUN);
        let mut create = vec!["create", "--name", &name, "--label", &foreign, "--label", &run];
        create.extend(["--network", "none", "frostgate/host:latest", "sleep", "infinity"]);
        let container = bench.docker(&create);
        bench.docker(&["start", container.trim()]);
        bench.stands_by("container", container.trim().to_owned());
        if bench.host.is_none() {
            let network = bench.docker(&["network", "create", "--internal", "--label", &foreign, &name]);
            bench.stands_by("network", network.trim().to_owned());
        }
        bench
    }

    fn stands_by(&mut self, kind: &'static str, id: String) {
        let looked = self.docker(&[kind, "inspect", &id]);
        self.bystanders.push(Bystander { kind, id, looked });
    }

    /// After the engine itself was restarted, a foreign container has changed by that.
    pub fn look_at_bystanders_again(&mut self) {
        let again: Vec<String> = self.bystanders.iter().map(|b| self.docker(&[b.kind, "inspect", &b.id])).collect();
        self.bystanders.iter_mut().zip(again).for_each(|(b, looked)| b.looked = looked);
    }

    pub fn docker(&self, args: &[&str]) -> String {
        let mut command = Command::new("docker");
        command.args(args);
        command.envs(self.host.iter().map(|h| ("DOCKER_HOST", h)));
        let out = command.output().unwrap();
        assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forge"));
        command
            .arg("--json")
            .args(args)
            .env("FORGE_HOME", self.home.path())
            .env_remove("FORGE_FAULT")
            .env_remove("FORGE_FAULT_CLOCK")
            .current_dir(self.home.path())
            .stdin(Stdio::null());
        command.envs(self.labs.iter().map(|l| ("FORGE_LABS", l)));
        command.envs(self.host.iter().map(|h| ("DOCKER_HOST", h)));
        command
    }

    pub fn forge(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it answers; it must do well.
    pub fn ask(&self, args: &[&str]) -> serde_json::Value {
        let out = self.forge(args);
        assert!(out.status.success(), "forge {args:?}: {}", said(&out));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    pub fn start(&self, lab: &str, seed: &str) -> String {
        let started = self.ask(&["start", lab, "--seed", seed]);
        started.pointer("/run/run").or(started.get("run")).unwrap().as_str().unwrap().to_owned()
    }

    /// Runs a command that must die at the named point.
    pub fn killed_at(&self, point: &str, args: &[&str]) {
        let out = self.command(args).env("FORGE_FAULT", point).output().unwrap();
        assert!(out.status.signal().is_some(), "{point} was not reached by forge {args:?}: {}", said(&out));
    }

    /// The next start of the program, and what must hold within `limit` of it.
    pub async fn restarted(&mut self, why: &str, limit: Duration) {
        let began = Instant::now();
        loop {
            let out = self.forge(&["ps", "--all"]);
            let wrong = self.wrong().await;
            if out.status.success() && wrong.is_empty() {
                break;
            }
            assert!(
                began.elapsed() < limit,
                "{why}: after {:?} still\n  {}\n{}",
                began.elapsed(),
                wrong.join("\n  "),
                said(&out)
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        self.slowest = self.slowest.max(began.elapsed());
    }

    /// Everything that does not hold, in words.
    pub async fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let (store, keys) = (self.store(), Keys::open(self.home.path(), &mut rand::rng()).unwrap());
        let rows = store.read(|c| runs::list(c, true)).await.unwrap();
        for row in &rows {
            match row.state {
                RunState::Ready | RunState::Paused | RunState::Stopped => {}
                RunState::Failed if !row.reason.is_empty() => {}
                state => wrong.push(format!("{} is {state:?} ({})", row.run, row.reason)),
            }
        }
        let instance = std::fs::read_to_string(self.home.path().join("instance")).unwrap();
        let engine = self.engine();
        let ours = engine.list(&[(label::INSTANCE, &instance)]).await.unwrap();
        for container in &ours {
            let run = container.labels.get(label::RUN).cloned().unwrap_or_default();
            if !rows.iter().any(|r| r.run == run && runs::alive(r.state)) {
                wrong.push(format!("{} is left", container.name));
            }
        }
        for row in rows.iter().filter(|r| matches!(r.state, RunState::Ready)) {
            let running = ours.iter().filter(|c| c.labels.get(label::RUN) == Some(&row.run));
            let running = running.filter(|c| c.state == ContainerState::Running).count();
            if running != row.nodes as usize + 1 {
                wrong.push(format!("{} is ready with {running} of {} containers", row.run, row.nodes + 1));
            }
        }
        let open = store.read(intents::open).await.unwrap();
        wrong.extend(open.iter().map(|i| format!("the intent to {} {} is open", i.kind, i.run)));
        wrong.extend(self.wrong_results(&store).await);
        let chain = audit::verify(&store, &keys, &[]).await.unwrap();
        if !chain.ok {
            wrong.push(format!("the audit chain is broken: {:?}", chain.broken));
        }
        for b in &self.bystanders {
            if self.docker(&[b.kind, "inspect", &b.id]) != b.looked {
                wrong.push(format!("a foreign {} was touched", b.kind));
            }
        }
        wrong
    }

    /// Folder and store hold the same verdicts, each verifies, and none that was acknowledged is missing.
    async fn wrong_results(&self, store: &Store) -> Vec<String> {
        let mut wrong = Vec::new();
        let rows = store.read(results::list).await.unwrap();
        let known: BTreeSet<PathBuf> = rows.iter().map(|r| PathBuf::from(&r.dir)).collect();
        let folder = self.home.path().join("results");
        let there: BTreeSet<PathBuf> =
            std::fs::read_dir(&folder).map(|d| d.map(|e| e.unwrap().path()).collect()).unwrap_or_default();
        wrong.extend(there.difference(&known).map(|d| format!("no result is {}", d.display())));
        wrong.extend(known.difference(&there).map(|d| format!("the folder {} is gone", d.display())));
        for row in &rows {
            match verdict::verify_dir(Path::new(&row.dir), true) {
                Ok(report) if report.ok && report.verdict_id == row.id => {}
                other => wrong.push(format!("{} does not verify: {other:?}", row.dir)),
            }
        }
        let ids: BTreeSet<String> = rows.into_iter().map(|r| r.id).collect();
        wrong.extend(self.acknowledged.difference(&ids).map(|id| format!("the acknowledged verdict {id} is lost")));
        wrong
    }

    pub fn store(&self) -> Store {
        Store::open(&self.home.path().join("forge.db")).unwrap()
    }

    fn engine(&self) -> Docker {
        match &self.host {
            Some(host) => Docker::at(host).unwrap(),
            None => Docker::from_env().unwrap(),
        }
    }

    pub async fn state(&self, run: &str) -> RunState {
        let id = run.to_owned();
        self.store().read(move |c| runs::get(c, &id)).await.unwrap().state
    }

    /// Stops what runs and waits until the keeper that a start left behind has gone.
    pub async fn end(mut self) {
        self.ask(&["stop", "--all"]);
        self.restarted("the end", RESTART).await;
        let until = Instant::now() + Duration::from_secs(20);
        let keeper = std::fs::File::create(self.home.path().join("keeper.lock")).unwrap();
        while keeper.try_lock().is_err() {
            assert!(Instant::now() < until, "the keeper stays after the last run");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        drop(keeper);
        eprintln!("slowest repair: {:.2} s", self.slowest.as_secs_f64());
    }
}

/// However a test ends, nothing of it stays.
impl Drop for Bench {
    fn drop(&mut self) {
        let quiet = |args: &[&str]| {
            let mut command = Command::new("docker");
            command.args(args);
            command.envs(self.host.iter().map(|h| ("DOCKER_HOST", h)));
            command.output().map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
        };
        if let Ok(instance) = std::fs::read_to_string(self.home.path().join("instance")) {
            let filter = format!("label={}={instance}", label::INSTANCE);
            for id in quiet(&["ps", "-aq", "--filter", &filter]).split_whitespace() {
                quiet(&["rm", "-fv", id]);
            }
        }
        for b in &self.bystanders {
            match b.kind {
                "network" => drop(quiet(&["network", "rm", &b.id])),
                _ => drop(quiet(&["rm", "-fv", &b.id])),
            }
        }
    }
}

pub fn said(out: &Output) -> String {
    format!("{} {} {}", out.status, String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}
