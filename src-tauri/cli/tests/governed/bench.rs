//! A data folder with a lab of its own, and a `forge` that works in it under a given environment.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const LAB: &str = "netplus-bounds";

pub struct Bench {
    pub home: tempfile::TempDir,
    labs: PathBuf,
    env: Vec<(String, String)>,
}

/// Two nodes and a wire between them.
const TEMPLATE: &str = r#"apiVersion: frostgate.forge/v1
kind: ScenarioTemplate
metadata:
  name: netplus-bounds
  title: Bounds
  version: 1.0.0
  labels: [class:netplus, tier:foundation, topic:testing]
  minutes: 5
spec:
  limits: LIMITS
  network:
    egress: deny
    links:
      - {id: wire, between: [pc:eth0, peer:eth0], subnet: 10.9.9.0/24}
  assets:
    nodes:
      - {name: pc, role: client, writable: [/srv]STARTUP}
      - {name: peer, role: client}
  successCriteria:
    - id: reaches
      title: It reaches its peer
      evidence: [{probe: ping, from: pc, to: "{{peer.eth0}}"}]
      failed: Look at the link.
"#;

impl Bench {
    pub fn new(env: &[(&str, &str)]) -> Self {
        Self::with("{cpu: 0.5, memory_mb: 128, timeout_minutes: 15}", env)
    }

    pub fn with(limits: &str, env: &[(&str, &str)]) -> Self {
        Self::made(limits, "", env)
    }

    /// Whose pc begins with this script, which may hold no quotes.
    pub fn starting(script: &str) -> Self {
        Self::made("{cpu: 0.5, memory_mb: 128, timeout_minutes: 15}", &format!(", startup: \"{script}\""), &[])
    }

    fn made(limits: &str, startup: &str, env: &[(&str, &str)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let labs = home.path().join("given");
        let folder = labs.join("netplus/bounds");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("lab.yaml"), TEMPLATE.replace("LIMITS", limits).replace("STARTUP", startup))
            .unwrap();
        std::fs::write(folder.join("guide.md"), "# Bounds\n\nNothing to do.\n").unwrap();
        std::fs::create_dir_all(folder.join("solution")).unwrap();
        std::fs::write(folder.join("solution/pc.sh"), "touch /srv/solved\n").unwrap();
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { home, labs, env }
    }

    /// The same data folder under another environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(k, _)| k != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.plainly(&["--json"]);
        command.args(args);
        command
    }

    /// As a person has it.
    pub fn plainly(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forge"));
        command.args(args).env("NO_COLOR", "1").env("FORGE_HOME", self.home.path()).env("FORGE_LABS", &self.labs);
        command.envs(self.env.iter().map(|(k, v)| (k, v))).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    pub fn forge(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it answers; it must do well.
    pub fn ask(&self, args: &[&str]) -> Value {
        let out = self.forge(args);
        assert!(out.status.success(), "forge {args:?}: {}", said(&out));
        serde_json::from_slice(&out.stdout).unwrap()
    }

    /// The error it ends with, which must have this exit code and some advice.
    pub fn refused(&self, code: i32, args: &[&str]) -> Value {
        let out = self.forge(args);
        assert_eq!(out.status.code(), Some(code), "forge {args:?}: {}", said(&out));
        let text = if out.stdout.is_empty() { &out.stderr } else { &out.stdout };
        let told: Value = serde_json::from_slice(text).unwrap_or_else(|e| panic!("no JSON ({e}): {}", said(&out)));
        told.get("error").cloned().unwrap_or(told)
    }

    pub fn start(&self) -> String {
        run_of(&self.ask(&["start", LAB, "--seed", "s"]))
    }

    /// Exit code and output of a script in a node.
    pub fn shell(&self, run: &str, node: &str, script: &str) -> (i32, String) {
        let out = self.forge(&["exec", run, node, "--", "sh", "-c", script]);
        let told = serde_json::from_slice::<Value>(&out.stdout).ok();
        let part = |name: &str| told.as_ref().and_then(|t| t[name].as_str()).map(str::to_owned);
        let text = part("stdout").zip(part("stderr")).map_or_else(|| said(&out), |(stdout, stderr)| stdout + &stderr);
        (out.status.code().unwrap(), text)
    }

    pub fn run(&self, run: &str) -> Value {
        let all = self.ask(&["ps", "--all"]);
        let rows = all.as_array().or_else(|| all.get("runs").and_then(Value::as_array)).unwrap();
        rows.iter().find(|r| r["run"] == run).cloned().unwrap_or_else(|| panic!("{run} is not in {all}"))
    }

    pub fn audit(&self, kind: &str) -> Vec<Value> {
        let page = self.ask(&["audit", "list", "--kind", kind]);
        page["entries"].as_array().unwrap().clone()
    }

    pub fn events(&self, run: &str) -> Vec<Value> {
        let out = self.forge(&["events", run]);
        assert!(out.status.success(), "{}", said(&out));
        let text = String::from_utf8(out.stdout).unwrap();
        // One document, or one a line.
        match serde_json::from_str::<Value>(&text) {
            Ok(Value::Array(all)) => all,
            _ => text.lines().map(|l| serde_json::from_str(l).unwrap()).collect(),
        }
    }

    pub fn docker(&self, args: &[&str]) -> String {
        let out = Command::new("docker").args(args).output().unwrap();
        assert!(out.status.success(), "docker {args:?}: {}", said(&out));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    pub fn container(&self, run: &str, node: &str) -> String {
        let run = format!("label=dev.frostgate.run={run}");
        let node = format!("label=dev.frostgate.node={node}");
        self.docker(&["ps", "-aq", "--no-trunc", "--filter", &run, "--filter", &node])
    }

    pub fn left(&self) -> Vec<String> {
        let Ok(instance) = std::fs::read_to_string(self.home.path().join("instance")) else { return Vec::new() };
        let ours = format!("label=dev.frostgate.instance={instance}");
        self.docker(&["ps", "-aq", "--filter", &ours]).split_whitespace().map(str::to_owned).collect()
    }

    /// Everything stops and nothing is left.
    pub fn end(self) {
        self.ask(&["stop", "--all"]);
        assert_eq!(self.left(), Vec::<String>::new(), "something was left behind");
        let whole = self.ask(&["audit", "verify"]);
        assert_eq!(whole["ok"], true, "{whole}");
    }
}

/// Also when an assertion failed: nothing of this installation stays in Docker.
impl Drop for Bench {
    fn drop(&mut self) {
        if !self.left().is_empty() {
            drop(self.forge(&["stop", "--all"]));
        }
        for id in self.left() {
            let removed = Command::new("docker").args(["rm", "-fv", &id]).output();
            eprintln!("removed {id} of a failed test: {}", removed.is_ok_and(|o| o.status.success()));
        }
    }
}

pub fn run_of(started: &Value) -> String {
    started.pointer("/run/run").or(started.get("run")).unwrap().as_str().unwrap().to_owned()
}

pub fn said(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
