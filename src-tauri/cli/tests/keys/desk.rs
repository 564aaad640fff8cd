//! A desktop of the test's own: a home, a session bus and GNOME Keyring, ended by their ids when it is dropped.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PASSWORD: &[u8] = b"the keyring's own";

pub struct Desk {
    pub home: tempfile::TempDir,
    bus: Option<Child>,
    keyring: Option<Child>,
    /// More for the environment of what is started.
    pub vars: Vec<(String, String)>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.end_keyring();
        if let Some(mut bus) = self.bus.take() {
            bus.kill().unwrap();
            bus.wait().unwrap();
        }
    }
}

impl Desk {
    /// With nobody on it, and no bus.
    pub fn bare() -> Self {
        let home = tempfile::tempdir().unwrap();
        let run = home.path().join("run");
        std::fs::create_dir(&run).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(run, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self { home, bus: None, keyring: None, vars: Vec::new() }
    }

    /// With a bus, and an unlocked keyring on it.
    pub fn with_keyring() -> Self {
        let mut desk = Self::bare();
        let config = desk.home.path().join("bus.conf");
        // Without the machine's services: what is killed must not be started again by the bus.
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/></policy></busconfig>",
            desk.bus_path().display()
        );
        std::fs::write(&config, text).unwrap();
        let mut bus = desk.plain_command("dbus-daemon");
        bus.arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--nopidfile", "--nosyslog"])
            .stderr(Stdio::null());
        desk.bus = Some(bus.spawn().expect("dbus is needed: scripts/setup.sh test"));
        until("the bus listens", || desk.bus_path().exists());
        desk.start_keyring(true);
        desk
    }

    fn bus_path(&self) -> PathBuf {
        self.home.path().join("run/bus")
    }

    pub fn start_keyring(&mut self, unlocked: bool) {
        let mut daemon = self.plain_command("gnome-keyring-daemon");
        daemon.args(["--foreground", "--components=secrets"]).stdin(Stdio::piped());
        if unlocked {
            daemon.arg("--unlock");
        }
        let mut daemon = daemon
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring is needed: scripts/setup.sh test");
        daemon.stdin.take().unwrap().write_all(PASSWORD).unwrap();
        self.keyring = Some(daemon);
        until("the keyring answers", || self.owned());
    }

    fn owned(&self) -> bool {
        let mut ask = self.plain_command("dbus-send");
        ask.args(["--session", "--print-reply", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"]);
        ask.args(["org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]);
        String::from_utf8_lossy(&ask.output().unwrap().stdout).contains("boolean true")
    }

    /// `kill -9`, by its id.
    pub fn end_keyring(&mut self) {
        if let Some(mut daemon) = self.keyring.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    /// `STOP`: it holds its name and answers nobody. `CONT`: it goes on.
    pub fn signal_keyring(&self, signal: &str) {
        let id = self.keyring.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success());
    }

    /// As if its files had been lost.
    pub fn lose_keyring(&mut self) {
        self.end_keyring();
        std::fs::remove_dir_all(self.home.path().join("data/keyrings")).unwrap();
        self.start_keyring(true);
    }

    fn plain_command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_remove("FORGE_HOME")
            .env("HOME", self.home.path())
            .env("XDG_DATA_HOME", self.home.path().join("data"))
            .env("XDG_RUNTIME_DIR", self.home.path().join("run"))
            .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", self.bus_path().display()))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = self.plain_command(program);
        command.envs(self.vars.iter().map(|(k, v)| (k, v)));
        command
    }

    /// Where forge keeps its data here.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("data/frostgate-forge")
    }

    pub fn keys(&self) -> PathBuf {
        self.data().join("keys")
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    pub fn forge(&self, args: &[&str]) -> Said {
        let began = Instant::now();
        let output = self.command(env!("CARGO_BIN_EXE_forge")).arg("--json").args(args).output().unwrap();
        Said { output, took: began.elapsed() }
    }

    /// Names of the files with keys.
    pub fn names(&self) -> Vec<String> {
        let list = std::fs::read_dir(self.keys()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = list.filter(|n| n != ".lock" && n != "rotations.json").collect();
        names.sort();
        names
    }

    /// The learner's key, as another process sees it.
    pub fn id(&self) -> String {
        self.hand().say("id").unwrap()
    }

    /// A process of this test that has the keys open; see `inner` in main.rs.
    pub fn hand(&self) -> Hand {
        let mut command = self.command(std::env::current_exe().unwrap().to_str().unwrap());
        command.args(["--exact", "inner", "--ignored", "--nocapture"]).env("FORGE_TEST_DATA", self.data());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (tell, hear) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Hand { child, tell: Some(tell), hear }
    }
}

pub struct Said {
    pub output: Output,
    pub took: Duration,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.output.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {:?}", self.output))
    }

    pub fn ok(&self) -> Value {
        assert!(self.output.status.success(), "{:?}", self.output);
        self.json()
    }

    /// `details.kind` of an error about keys, which has a hint.
    pub fn refused(&self) -> String {
        let told = self.json();
        assert_eq!((self.output.status.code(), &told["error"]["code"]), (Some(1), &"key_unavailable".into()), "{told}");
        assert!(!told["error"]["hints"].as_array().unwrap().is_empty(), "{told}");
        told["error"]["details"]["kind"].as_str().unwrap().to_owned()
    }

    /// A debug build may take a second for the rest.
    pub fn within(&self, seconds: u64) -> &Self {
        assert!(self.took < Duration::from_secs(seconds + 1), "{:?}", self.took);
        self
    }
}

pub struct Hand {
    child: Child,
    tell: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

impl Hand {
    /// One word to it, one answer back: `Err` holds `details.kind`. None of it = it ended.
    pub fn say(&mut self, word: &str) -> Result<String, String> {
        writeln!(self.tell.as_mut().unwrap(), "{word}").unwrap();
        self.answer()
    }

    pub fn answer(&mut self) -> Result<String, String> {
        let mut line = String::new();
        while self.hear.read_line(&mut line).unwrap() > 0 {
            // The harness writes before it, on the same line.
            if let Some((_, told)) = line.trim_end().split_once("=> ") {
                return match told.split_once(' ') {
                    Some(("ok", text)) => Ok(text.to_owned()),
                    Some((_, text)) => Err(text.to_owned()),
                    None => panic!("{told}"),
                };
            }
            line.clear();
        }
        Err("ended".into())
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        drop(self.tell.take());
        // May have been killed on purpose.
        let _ = self.child.wait();
    }
}

pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(15);
    while !holds() {
        assert!(Instant::now() < end, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
