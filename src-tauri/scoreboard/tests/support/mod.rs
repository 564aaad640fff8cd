//! What the tests share: a server as a process of its own, a throw-away PostgreSQL cluster, laptops.
pub mod older;

use forge_core::api::OutcomeKind;
use forge_core::board::{Accepted, EnrolChallenge, Enrolled, Possession, Reexecution, Signed, Twice};
use forge_core::keys::{Domain, KeyName};
use forge_core::template::scenario::Scenario;
use forge_core::template::{Catalogue, Sources};
use forge_scoreboard::bench::workshop::{Laptop, Made, Wish};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const BIN: &str = env!("CARGO_BIN_EXE_forge-scoreboard");
pub const SSH: &str = "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\n";
pub const BOTH: &str = "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\nLISTEN 0 128 0.0.0.0:80 0.0.0.0:*\n";
pub const LAB: &str = "netplus-board-test";

pub fn labs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/labs")
}

pub fn catalogue() -> Catalogue {
    let catalogue = Catalogue::load(&Sources { instead: Some(labs()), user: None });
    assert!(catalogue.broken().is_empty(), "{:?}", catalogue.broken());
    catalogue
}

pub fn scenario(seed: &str) -> Scenario {
    catalogue().get(LAB).unwrap().instantiate(seed).unwrap()
}

/// What `forge reexecute` would say of it: SSH passed and HTTP failed, both times.
pub fn reexecution(made: &Made) -> Reexecution {
    let twice = |id: &str, kind| Twice { id: id.into(), submitted: kind, reexecuted: kind };
    Reexecution {
        version: 1,
        verdict: made.id.clone(),
        lab: LAB.into(),
        template_digest: catalogue().get(LAB).unwrap().digest.clone(),
        seed: "another".into(),
        score: 2000,
        max: 3000,
        criteria: vec![twice("http", OutcomeKind::Fail), twice("ssh", OutcomeKind::Pass)],
        at: now(),
    }
}

pub fn now() -> i64 {
    forge_scoreboard::clock::now()
}

/// PostgreSQL from Debian's packages, in a folder of its own on a socket and port of its own; ended by its id.
pub struct Postgres {
    child: Child,
    port: u16,
    /// With its colon; empty where everybody is let in.
    password: String,
    _dir: tempfile::TempDir,
}

impl Postgres {
    /// One with these databases.
    pub async fn with<const N: usize>(names: [&'static str; N]) -> (Self, [String; N]) {
        let start = move || {
            let pg = Self::start();
            let urls = names.map(|name| pg.database(name));
            (pg, urls)
        };
        tokio::task::spawn_blocking(start).await.unwrap()
    }

    pub fn start() -> Self {
        Self::guarded("")
    }

    /// One that wants this password, if there is one.
    pub fn guarded(password: &str) -> Self {
        let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is needed: scripts/setup.sh test");
        let bin = versions.map(|e| e.unwrap().path().join("bin")).max().unwrap();
        let dir = tempfile::Builder::new().prefix("forge-pg-").tempdir_in("/tmp").unwrap();
        let root = rustix::process::geteuid().is_root();
        let run = |program: PathBuf| {
            if !root {
                return Command::new(program);
            }
            // initdb refuses root; Debian's package brings the user.
            let mut c = Command::new("setpriv");
            c.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            c
        };
        if root {
            assert!(Command::new("chown").arg("postgres").arg(dir.path()).status().unwrap().success());
        }
        let data = dir.path().join("data");
        let file = dir.path().join("password");
        std::fs::write(&file, if password.is_empty() { "unused" } else { password }).unwrap();
        let auth = if password.is_empty() { "trust" } else { "scram-sha-256" };
        let out = run(bin.join("initdb"))
            .args(["-A", auth, "-U", "board", "-E", "UTF8", "--locale=C", "--pwfile"])
            .arg(&file)
            .arg("-D")
            .arg(&data)
            .current_dir("/tmp")
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = run(bin.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k"])
            .arg(dir.path())
            .current_dir("/tmp")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let password = if password.is_empty() { String::new() } else { format!(":{password}") };
        let pg = Self { child, port, password, _dir: dir };
        let end = Instant::now() + Duration::from_secs(60);
        while postgres::Client::connect(&pg.admin(), postgres::NoTls).is_err() {
            assert!(Instant::now() < end, "PostgreSQL did not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        pg
    }

    pub fn admin(&self) -> String {
        format!("postgres://board{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    pub fn database(&self, name: &str) -> String {
        let mut c = postgres::Client::connect(&self.admin(), postgres::NoTls).unwrap();
        c.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        format!("postgres://board@127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown.
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.child.wait();
    }
}

pub struct Server {
    child: Child,
    pub url: String,
    pub admin: String,
    pub data: PathBuf,
    pub database: Option<String>,
}

impl Server {
    pub fn start(data: &Path, database: Option<&str>) -> Self {
        Self::start_with(data, database, &[])
    }

    pub fn start_with(data: &Path, database: Option<&str>, more: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", data, database, more)
    }

    pub fn start_at(listen: &str, data: &Path, database: Option<&str>, more: &[&str]) -> Self {
        let mut c = Command::new(BIN);
        c.args(["serve", "--listen", listen, "--json", "--data"])
            .arg(data)
            .arg("--labs")
            .arg(labs())
            .args(more)
            .env("RUST_LOG", "error");
        if let Some(url) = database {
            c.args(["--database", url]);
        }
        let mut child = c.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).expect("the server says where it is");
        Self {
            child,
            url: said["url"].as_str().unwrap().into(),
            admin: said["admin_token"].as_str().unwrap().into(),
            data: data.into(),
            database: database.map(Into::into),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn cli(&self, args: &[&str]) -> (bool, Value) {
        cli(args, &self.data, self.database.as_deref())
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        let r = reqwest::Client::new().get(format!("{}{path}", self.url)).send().await.unwrap();
        (r.status().as_u16(), r.json().await.unwrap_or(Value::Null))
    }

    pub async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let c = reqwest::Client::new();
        let mut r = c.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if !token.is_empty() {
            r = r.bearer_auth(token);
        }
        if !body.is_null() {
            r = r.json(&body);
        }
        let r = r.send().await.unwrap();
        let status = r.status().as_u16();
        let text = r.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn submit(&self, envelope: &[u8]) -> (u16, Value) {
        let r = reqwest::Client::new()
            .post(format!("{}/v1/verdicts", self.url))
            .header("content-type", "application/json")
            .body(envelope.to_vec())
            .send()
            .await
            .unwrap();
        (r.status().as_u16(), r.json().await.unwrap())
    }

    pub async fn submit_bundle(&self, made: &Made) -> (u16, Value) {
        let (kind, body) = form(&[("envelope", &made.envelope), ("score", &made.score), ("evidence", &made.evidence)]);
        let r = reqwest::Client::new()
            .post(format!("{}/v1/verdicts", self.url))
            .header("content-type", kind)
            .body(body)
            .send()
            .await
            .unwrap();
        (r.status().as_u16(), r.json().await.unwrap())
    }

    pub async fn enrol(&self, laptop: &Laptop, code: &str, name: &str) -> (u16, Value) {
        let c: EnrolChallenge = serde_json::from_value(self.get("/v1/enrol").await.1).unwrap();
        let possession = Possession {
            challenge: c.challenge,
            code: code.into(),
            name: name.into(),
            public_key: laptop.pem().unwrap(),
        };
        let signed = Signed::seal(possession, &laptop.keys, KeyName::Learner, Domain::Enrolment).unwrap();
        self.call("POST", "/v1/enrol", "", json!(signed)).await
    }

    pub async fn newcomer(&self, class: &str, role: &str, name: &str) -> Person {
        let (ok, invited) = self.cli(&["invite", "--class", class, "--role", role]);
        assert!(ok, "{invited}");
        let home = tempfile::tempdir().unwrap();
        let laptop = Laptop::new(home.path()).unwrap();
        let (status, enrolled) = self.enrol(&laptop, invited["code"].as_str().unwrap(), name).await;
        assert_eq!(status, 201, "{enrolled}");
        let enrolled: Enrolled = serde_json::from_value(enrolled).unwrap();
        Person { token: enrolled.token.clone(), laptop, enrolled, _home: home }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Person {
    pub laptop: Laptop,
    pub token: String,
    pub enrolled: Enrolled,
    _home: tempfile::TempDir,
}

impl Person {
    pub fn made(&self, run: &str, answer: &str) -> Made {
        self.laptop.seal(&scenario(&format!("seed-{run}")), answer, &Wish::new(run, now())).unwrap()
    }
}

pub fn cli(args: &[&str], data: &Path, database: Option<&str>) -> (bool, Value) {
    let mut c = Command::new(BIN);
    c.args(args).arg("--json").arg("--data").arg(data);
    if let Some(url) = database {
        c.args(["--database", url]);
    }
    let out = c.output().unwrap();
    let text = if out.stdout.is_empty() { out.stderr } else { out.stdout };
    (
        out.status.success(),
        serde_json::from_slice(&text).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&text).into())),
    )
}

pub fn form(parts: &[(&str, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, bytes) in parts {
        body.extend_from_slice(
            format!("--xyzzy\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\r\n")
                .as_bytes(),
        );
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xyzzy--\r\n");
    ("multipart/form-data; boundary=xyzzy".into(), body)
}

pub fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or("none")
}

pub fn accepted(answer: Value) -> Accepted {
    serde_json::from_value(answer.clone()).unwrap_or_else(|e| panic!("{e}: {answer}"))
}
