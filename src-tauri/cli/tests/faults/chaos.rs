//! What takes too long for every day: real labs killed at every point, an engine of our own that is restarted and killed, a
//! full disk. `make chaos` runs these; each is `#[ignore]`d otherwise.

use crate::bench::{Bench, DOCKERD, RESTART, said};
use crate::kill::{checks_and_submissions, starts, stops};
use crate::proxy::{Ill, Proxy, Rule};
use forge_core::api::RunState;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The labs that `make chaos` kills, by name; they must be there.
const LABS: [&str; 3] = ["netplus-dns-zone-reverse", "ccna-ospf-single-area", "cissp-ssh-hardening"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make chaos"]
async fn real_labs_killed_at_every_point() {
    for lab in LABS {
        eprintln!("{lab}");
        let mut b = Bench::new(tempfile::tempdir().unwrap(), None, false);
        starts(&mut b, lab).await;
        checks_and_submissions(&mut b, lab, true).await;
        stops(&mut b, lab).await;
        b.end().await;
    }
}

/// A dockerd that shares nothing with the machine's own: no network, no rules, its own folders and socket.
struct Dockerd {
    folder: tempfile::TempDir,
    process: Child,
}

impl Dockerd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = Self::begin(folder.path());
        let mut daemon = Self { folder, process };
        daemon.until_it_answers();
        daemon
    }

    fn begin(folder: &Path) -> Child {
        let at = |name: &str| folder.join(name).display().to_string();
        let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
        // In a network namespace of its own: without a bridge, dockerd removes whatever `docker0` it finds, another engine's too.
        Command::new("unshare")
            .args(["--net", "dockerd"])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
            .args(["--host", &format!("unix://{}", at("sock")), "--bridge=none", "--iptables=false"])
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    fn answers(&self) -> bool {
        let out = Command::new("docker").args(["version"]).env("DOCKER_HOST", self.host()).output().unwrap();
        out.status.success()
    }

    /// A daemon that gives up (its containerd needs longer than it waits for, after a kill) is started again, as an init would.
    fn until_it_answers(&mut self) {
        let until = Instant::now() + Duration::from_secs(120);
        while !self.answers() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "dockerd does not answer:\n{log}");
            std::thread::sleep(Duration::from_millis(100));
            if self.process.try_wait().unwrap().is_some() {
                drop(std::fs::remove_file(self.folder.path().join("pid")));
                self.process = Self::begin(self.folder.path());
            }
        }
    }

    /// Ends it, by its own process id: nicely (SIGTERM) or not (SIGKILL), and waits.
    fn end(&mut self, signal: &str) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.process.wait().unwrap();
    }

    fn again(&mut self) {
        // A pid file that a killed daemon left names nobody.
        drop(std::fs::remove_file(self.folder.path().join("pid")));
        self.process = Self::begin(self.folder.path());
        self.until_it_answers();
    }

    /// The labs' images under all their tags (one names the recipe), from the machine's own engine.
    fn load(&self, images: &[&str]) {
        let mut save = Command::new("docker").arg("save").args(images).stdout(Stdio::piped()).spawn().unwrap();
        let mut load = Command::new("docker");
        load.arg("load").env("DOCKER_HOST", self.host()).stdin(save.stdout.take().unwrap());
        let out = load.output().unwrap();
        assert!(out.status.success(), "{}", said(&out));
        assert!(save.wait().unwrap().success());
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            self.end("-TERM");
        }
        // What a killed daemon leaves running names the folder, which is ours alone: its containerd, the shims and what they
        // keep alive. Each is ended by its id.
        let ours = self.folder.path().display().to_string();
        let pids = std::fs::read_dir("/proc").unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok());
        for pid in pids.filter(|p| p.bytes().all(|b| b.is_ascii_digit())) {
            let proc = Path::new("/proc").join(&pid);
            let command = std::fs::read(proc.join("cmdline")).unwrap_or_default();
            if pid != std::process::id().to_string() && String::from_utf8_lossy(&command).contains(&ours) {
                let children =
                    std::fs::read_to_string(proc.join("task").join(&pid).join("children")).unwrap_or_default();
                let all = children.split_whitespace().chain([pid.as_str()]);
                drop(Command::new("kill").arg("-KILL").args(all).status());
            }
        }
        std::thread::sleep(Duration::from_millis(500));
        // Mounts that a killed daemon left would keep the folder from being removed.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        for mount in mounts.lines().rev().filter_map(|l| l.split(' ').nth(1)).filter(|m| m.starts_with(&ours)) {
            drop(Command::new("umount").args(["-l", mount]).status());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make chaos"]
async fn an_engine_that_is_restarted_or_killed_gives_the_labs_back() {
    let mut daemon = Dockerd::start();
    daemon.load(&["frostgate/host", "frostgate/tools"]);
    let mut b = Bench::new(tempfile::tempdir().unwrap(), Some(daemon.host()), true);
    let run = b.start("one-link", "s");
    let first = b.ask(&["submit", &run]);
    b.acknowledged.insert(first["id"].as_str().unwrap().to_owned());
    for signal in ["-TERM", "-KILL", "-KILL"] {
        daemon.end(signal);
        // While it is away: said with its code, and nothing lost.
        let out = b.forge(&["check", &run]);
        assert_eq!(out.status.code(), Some(5), "{}", said(&out));
        daemon.again();
        b.look_at_bystanders_again();
        b.restarted(signal, DOCKERD).await;
        assert_eq!(b.state(&run).await, RunState::Ready, "after {signal}");
        b.ask(&["check", &run, "--require-full"]);
    }
    // In the middle of a start, and of a submission.
    for command in [vec!["start", "one-link", "--seed", "t"], vec!["submit", &run]] {
        let mut child = b.command(&command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        daemon.end("-KILL");
        let until = Instant::now() + Duration::from_secs(120);
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{command:?} hangs without an engine");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        daemon.again();
        b.look_at_bystanders_again();
        b.restarted("killed in the middle", DOCKERD).await;
    }
    b.end().await;
}

/// For real, so it needs an engine that nobody else takes images from: the calls that would use the image are late, and it goes first.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "make chaos"]
async fn an_image_that_is_removed_under_a_start_is_said() {
    let daemon = Dockerd::start();
    daemon.load(&["frostgate/host", "frostgate/tools"]);
    let mut b = Bench::new(tempfile::tempdir().unwrap(), Some(daemon.host()), true);
    let proxy = Proxy::before(daemon.folder.path().join("sock"));
    let late = || Ill::Slow(Duration::from_secs(5));
    let create = "/containers/create?name=forge-";
    let met = proxy.rules(vec![
        Rule::new("POST", create, late()).and("-fabric"),
        Rule::new("POST", create, late()).and("forge-guard"),
    ]);
    let mut start = b.command(&["start", "one-link", "--seed", "s"]);
    start.env("DOCKER_HOST", proxy.host()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = start.spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while met().contains(&0) {
        assert!(Instant::now() < until, "what needs the image was never created: {:?}", met());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = b.docker(&["image", "inspect", "-f", "{{.Id}}", "frostgate/tools:latest"]);
    b.docker(&["rmi", "-f", id.trim()]);
    let out = start.wait_with_output().unwrap();
    let text = said(&out);
    assert_eq!(out.status.code(), Some(8), "{text}");
    assert!(text.contains("image_missing") && text.contains("forge images prepare"), "{text}");
    b.restarted("without the image", RESTART).await;
    daemon.load(&["frostgate/tools"]);
    let run = b.start("one-link", "s");
    let verdict = b.ask(&["submit", &run]);
    b.acknowledged.insert(verdict["id"].as_str().unwrap().to_owned());
    b.end().await;
}

/// A file system of our own: in a sparse file, large enough that a lab may be started on it at all, and filled without writing.
struct Disk {
    at: String,
    _image: tempfile::NamedTempFile,
}

impl Disk {
    fn on(folder: &Path) -> Self {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(2 << 30).unwrap();
        let (file, at) = (image.path().display().to_string(), folder.display().to_string());
        let run = |program: &str, args: &[&str]| {
            let out = Command::new(program).args(args).output().unwrap();
            assert!(out.status.success(), "a small file system is needed, run this as root: {}", said(&out));
        };
        run("mkfs.ext4", &["-q", "-m", "0", &file]);
        run("mount", &["-o", "loop", &file, &at]);
        Self { at, _image: image }
    }

    /// All but so much is taken.
    fn fill(&self, spare_kib: u64) {
        let free = forge_core::store::free_bytes(Path::new(&self.at)).unwrap() >> 10;
        let length = format!("{}K", free.saturating_sub(spare_kib).max(1));
        drop(Command::new("fallocate").args(["-l", &length, &format!("{}/filler", self.at)]).status());
    }

    fn free(&self) {
        std::fs::remove_file(format!("{}/filler", self.at)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["-l", &self.at]).status());
    }
}

/// Refused because there is no room: by the file system, by the quota gate, or because the watch has paused the run.
fn for_lack_of_room(code: i32, text: &str) -> bool {
    match code {
        8 => text.contains("disk_full") && text.contains("hints"),
        3 => text.contains("must stay free"),
        9 => text.contains("is paused"),
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "make chaos"]
async fn a_full_disk_is_said_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::on(folder.path());
    let mut b = Bench::new(tempfile::tempdir_in(folder.path()).unwrap(), None, true);
    let run = b.start("one-link", "s");
    let first = b.ask(&["submit", &run]);
    b.acknowledged.insert(first["id"].as_str().unwrap().to_owned());
    let mut refused = 0;
    for spare in [256, 64, 16, 0] {
        disk.fill(spare);
        for command in [vec!["submit", &run], vec!["start", "one-link"]] {
            let out = b.forge(&command);
            if out.status.success() && command[0] == "submit" {
                let answer: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
                b.acknowledged.insert(answer["id"].as_str().unwrap().to_owned());
            } else {
                let text = said(&out);
                assert!(for_lack_of_room(out.status.code().unwrap(), &text), "{spare} KiB left: {command:?}: {text}");
                refused += 1;
            }
        }
        disk.free();
        b.restarted("a full disk", RESTART).await;
        // The watch may have paused it meanwhile, and says so; what is paused for lack of room goes on when there is some.
        if b.state(&run).await == RunState::Paused {
            b.ask(&["resume", &run]);
        }
        assert_eq!(b.state(&run).await, RunState::Ready);
    }
    assert!(refused >= 4, "the disk was never full: only {refused} of 8 commands were refused");
    b.end().await;
}
