//! Terminals on a real Docker: real shells, real sizes, real ends, and 50 MB at once.
//! Needs a daemon and the lab images (`forge images prepare`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use bytes::Bytes;
use forge_core::api::TerminalFrame;
use forge_core::engine::{ContainerSpec, Docker, Engine, ExecSpec, label};
use forge_core::terminal::{Open, Terminals};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct Lab {
    docker: Arc<Docker>,
    terminals: Terminals,
    container: String,
}

impl Lab {
    async fn start() -> Self {
        let docker = Arc::new(Docker::from_env().unwrap());
        let run = uuid::Uuid::new_v4().simple().to_string()[..10].to_owned();
        let spec = ContainerSpec {
            name: format!("forge-test-{run}"),
            image: "frostgate/host:latest".into(),
            hostname: "h1".into(),
            labels: [(label::RUN.to_owned(), run), (label::KIND.to_owned(), "test".to_owned())].into(),
            command: vec!["--now".into(), "sleep".into(), "infinity".into()],
            pids: 128,
            memory_bytes: Some(256 << 20),
            ..Default::default()
        };
        let container = docker.create(&spec).await.unwrap();
        let lab = Self { terminals: Terminals::new(docker.clone()), docker, container };
        lab.docker.start(&lab.container).await.unwrap();
        lab
    }

    async fn open(&self) -> (String, Screen) {
        let open = Open {
            run: "run".into(),
            node: "h1".into(),
            container: self.container.clone(),
            cols: 101,
            rows: 31,
            record: None,
        };
        let id = self.terminals.open(&open).await.unwrap().id;
        let screen = Screen { frames: self.terminals.stream(&id, 0).unwrap(), text: String::new(), bytes: 0 };
        (id, screen)
    }

    async fn type_in(&self, id: &str, text: &str) {
        self.terminals.write(id, Bytes::copy_from_slice(text.as_bytes())).await.unwrap();
    }

    async fn inside(&self, script: &str) -> String {
        let spec = ExecSpec { argv: ["sh", "-c", script].map(String::from).to_vec(), ..Default::default() };
        let out = self.docker.exec(&self.container, &spec, None, Duration::from_secs(10)).await.unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let done = std::process::Command::new("docker").args(["rm", "-fv", &self.container]).output();
        assert!(done.is_ok_and(|o| o.status.success()), "container {} was left behind", self.container);
    }
}

struct Screen {
    frames: BoxStream<'static, TerminalFrame>,
    text: String,
    bytes: usize,
}

impl Screen {
    async fn frame(&mut self) -> TerminalFrame {
        let frame = tokio::time::timeout(Duration::from_secs(30), self.frames.next()).await;
        frame.unwrap_or_else(|_| panic!("nothing came after: {}", self.text)).expect("not the end")
    }

    /// Reads until this was shown, and forgets what was before.
    async fn shows(&mut self, wanted: &str) {
        loop {
            if let Some(at) = self.text.find(wanted) {
                self.text.drain(..at + wanted.len());
                return;
            }
            match self.frame().await {
                TerminalFrame::Output { bytes, .. } => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                other => panic!("{other:?} instead of “{wanted}” after: {}", self.text),
            }
        }
    }

    async fn closed(&mut self) -> String {
        loop {
            match self.frame().await {
                TerminalFrame::Output { bytes, .. } => self.bytes += bytes.len(),
                TerminalFrame::Closed { reason } => return reason,
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_shell_has_its_size_its_language_and_colours_and_ends_with_its_code() {
    let lab = Lab::start().await;
    let (id, mut screen) = lab.open().await;
    lab.type_in(&id, "stty size; echo $TERM-$LANG-$0-$((6*7))\n").await;
    screen.shows("31 101").await;
    screen.shows("xterm-256color-C.UTF-8-bash-42").await;
    lab.terminals.resize(&id, 77, 22).await.unwrap();
    lab.type_in(&id, "stty size; printf 'h\\303\\251 \\342\\224\\202 %s\\n' 漢🙂\n").await;
    screen.shows("22 77").await;
    screen.shows("hé │ 漢🙂").await;
    lab.type_in(&id, "exit 3\n").await;
    assert_eq!(screen.closed().await, "the shell ended with 3");
}

#[tokio::test]
async fn closing_hangs_up_the_shell_and_leaves_what_was_put_in_the_background() {
    let lab = Lab::start().await;
    let (id, mut screen) = lab.open().await;
    let (other, mut other_screen) = lab.open().await;
    lab.type_in(&id, "setsid sleep 4711 & disown; sleep 4712\n").await;
    lab.type_in(&other, "echo th''ere\n").await;
    other_screen.shows("there").await;
    let count = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -o 'sleep 471[12]' | sort | tr '\\n' ','";
    for _ in 0..50 {
        if lab.inside(count).await.contains("4712") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    lab.terminals.close(&id).await.unwrap();
    assert_eq!(screen.closed().await, "you closed it");
    for _ in 0..50 {
        if !lab.inside(count).await.contains("4712") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left = lab.inside(count).await;
    assert!(left.contains("sleep 4711") && !left.contains("4712"), "{left}");
    lab.type_in(&other, "echo al''ive\n").await;
    other_screen.shows("alive").await;
}

#[tokio::test]
async fn shells_of_a_process_that_was_killed_are_hung_up_and_others_are_not() {
    let mut lab = Lab::start().await;
    lab.terminals = Terminals::new(lab.docker.clone()).owned_by("gone");
    let (id, mut screen) = lab.open().await;
    // What it started carries the mark as well, and stays.
    lab.type_in(&id, "setsid sleep 4713 & disown; echo re''ady\n").await;
    screen.shows("ready").await;
    // Killed: nothing is hung up, the connection only goes.
    drop(screen);
    lab.terminals = Terminals::new(lab.docker.clone()).owned_by("here");
    let (other, mut other_screen) = lab.open().await;
    lab.type_in(&other, "echo st''ill\n").await;
    other_screen.shows("still").await;
    assert_eq!(lab.terminals.sweep(&lab.container, |_| true).await.unwrap(), 0);
    assert_eq!(lab.terminals.sweep(&lab.container, |process| process == "here").await.unwrap(), 1);
    assert_eq!(lab.terminals.sweep(&lab.container, |process| process == "here").await.unwrap(), 0);
    lab.type_in(&other, "echo al''ive\n").await;
    other_screen.shows("alive").await;
    let left = lab.inside("cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o 'sleep 471[3]' | wc -l").await;
    assert_eq!(left, "1");
}

#[tokio::test]
async fn a_node_that_stops_or_restarts_ends_its_terminals_and_they_say_so() {
    let lab = Lab::start().await;
    let (_id, mut screen) = lab.open().await;
    lab.docker.restart(&lab.container).await.unwrap();
    assert_eq!(screen.closed().await, "the node was restarted");
    let (_id, mut screen) = lab.open().await;
    let killed = tokio::process::Command::new("docker").args(["kill", &lab.container]).output().await.unwrap();
    assert!(killed.status.success());
    assert_eq!(screen.closed().await, "the node stopped");
}

#[tokio::test]
async fn fifty_megabytes_arrive_whole_through_a_window_of_one() {
    const SIZE: usize = 50_000_000;
    let lab = Lab::start().await;
    let script = format!("stty raw -echo; head -c {SIZE} /dev/zero | tr '\\0' x; exit");
    let raw = {
        let spec = ExecSpec {
            argv: vec!["sh".into(), "-c".into(), script.clone()],
            tty: Some((80, 24)),
            ..Default::default()
        };
        let began = Instant::now();
        let mut stream = lab.docker.attach(&lab.container, &spec).await.unwrap().output;
        let mut bytes = 0;
        while let Some(chunk) = stream.next().await {
            bytes += chunk.unwrap().1.len();
        }
        assert_eq!(bytes, SIZE);
        began.elapsed()
    };
    let (id, mut screen) = lab.open().await;
    lab.type_in(&id, "PS1=; clear; echo re''ady\n").await;
    screen.shows("ready\r\n").await;
    screen.bytes = screen.text.len();
    let began = Instant::now();
    lab.type_in(&id, &format!("{script}\n")).await;
    // Behind at first, then reading: what was not taken must still come.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(screen.closed().await, "the shell ended with 0");
    let ours = began.elapsed();
    let echoed = screen.bytes - SIZE;
    assert!(echoed < 1_000, "{echoed} bytes more than were printed");
    println!("50 MB: raw {raw:?}, terminal {ours:?} with a pause of 300 ms");
}
