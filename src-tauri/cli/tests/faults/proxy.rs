//! A real socket between the program and Docker's: it passes every call on, but for those that a rule delays, holds for ever,
//! cuts in mid-stream or answers itself. One call a connection (each answer closes it), so that a rule meets one call.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

#[derive(Clone, Debug)]
pub enum Ill {
    /// Docker hears of it so much later.
    Slow(Duration),
    /// Docker never hears of it, and nobody answers.
    Swallowed,
    /// Docker does it; its answer never comes.
    Unanswered,
    /// The connection ends after so many bytes of the answer, its head included.
    Cut(usize),
    /// Docker is not asked: this status, with this message.
    Answered(u16, String),
}

/// Which calls are ill: those whose method and path contain these words.
#[derive(Clone, Debug)]
pub struct Rule {
    pub method: &'static str,
    /// All of them.
    pub path: Vec<String>,
    pub ill: Ill,
    /// How many calls at most; 0 for all.
    pub times: usize,
    met: Arc<AtomicUsize>,
}

impl Rule {
    pub fn new(method: &'static str, path: &str, ill: Ill) -> Self {
        Self { method, path: vec![path.to_owned()], ill, times: 0, met: Arc::default() }
    }

    pub fn and(mut self, word: &str) -> Self {
        self.path.push(word.to_owned());
        self
    }

    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    fn meets(&self, method: &str, path: &str) -> bool {
        if !method.contains(self.method) || !self.path.iter().all(|word| path.contains(word)) {
            return false;
        }
        let before = self.met.fetch_add(1, Ordering::SeqCst);
        self.times == 0 || before < self.times
    }
}

pub struct Proxy {
    folder: tempfile::TempDir,
    rules: Arc<Mutex<Vec<Rule>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// In front of the engine that listens at `docker`.
    pub fn before(docker: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("sock")).unwrap();
        let rules: Arc<Mutex<Vec<Rule>>> = Arc::default();
        let heard = rules.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (docker, rules) = (docker.clone(), heard.clone());
                // A side that goes away ends its call; nobody else is touched by it.
                tokio::spawn(async move { drop(call(client, docker, rules).await) });
            }
        });
        Self { folder, rules, accepting }
    }

    /// In front of the machine's own engine.
    pub fn before_docker() -> Self {
        let named = std::env::var("DOCKER_HOST").unwrap_or_default();
        let path = named.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
        Self::before(path.into())
    }

    pub fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    /// The rules from now on. Says how often each of them was met, whenever it is asked.
    pub fn rules(&self, rules: Vec<Rule>) -> impl Fn() -> Vec<usize> + use<> {
        let counts: Vec<Arc<AtomicUsize>> = rules.iter().map(|r| r.met.clone()).collect();
        *self.rules.lock().unwrap() = rules;
        move || counts.iter().map(|c| c.load(Ordering::SeqCst)).collect()
    }

    pub fn well(&self) {
        self.rules.lock().unwrap().clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn call(mut client: UnixStream, docker: PathBuf, rules: Arc<Mutex<Vec<Rule>>>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let ill = rules.lock().unwrap().iter().find(|r| r.meets(method, path)).map(|r| r.ill.clone());
    // The answer ends the connection, unless it becomes a stream of its own.
    let upgrade = head.to_ascii_lowercase().contains("\r\nupgrade:");
    let kept: Vec<&str> = head
        .split("\r\n")
        .filter(|l| upgrade || !l.to_ascii_lowercase().starts_with("connection:"))
        .chain((!upgrade).then_some("Connection: close"))
        .collect();
    let asked = [kept.join("\r\n").as_bytes(), &bytes[end..]].concat();
    let mut most = usize::MAX;
    match ill {
        None => {}
        Some(Ill::Slow(by)) => tokio::time::sleep(by).await,
        Some(Ill::Swallowed) => return until_gone(client).await,
        Some(Ill::Unanswered) => most = 0,
        Some(Ill::Cut(after)) => most = after,
        Some(Ill::Answered(status, message)) => {
            let body = serde_json::json!({"message": message}).to_string();
            let head = format!("HTTP/1.1 {status} Ill\r\nContent-Type: application/json\r\nConnection: close\r\n");
            client.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
            return client.shutdown().await;
        }
    }
    let mut engine = UnixStream::connect(docker).await?;
    engine.write_all(&asked).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_engine, mut to_engine) = engine.split();
    let question = async {
        tokio::io::copy(&mut from_client, &mut to_engine).await?;
        to_engine.shutdown().await?;
        // Only the answer's end ends the call.
        std::future::pending::<std::io::Result<()>>().await
    };
    let answer = async {
        if most == 0 {
            // Docker's answer is read and kept.
            tokio::io::copy(&mut from_engine, &mut tokio::io::sink()).await?;
            return std::future::pending().await;
        }
        let mut limited = (&mut from_engine).take(most as u64);
        tokio::io::copy(&mut limited, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::select! {
        done = question => done,
        done = answer => done,
    }
}

/// Says nothing until the other side has given up.
async fn until_gone(mut client: UnixStream) -> std::io::Result<()> {
    let mut unread = [0; 1024];
    while client.read(&mut unread).await? > 0 {}
    Ok(())
}
