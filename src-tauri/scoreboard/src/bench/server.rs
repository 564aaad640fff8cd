//! The server that is measured: this program again, as a process of its own, with an end to every wait.

use forge_core::error::{Code, Error, Result};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for the server's first word, and for any answer.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Its log goes to a file in `home`: what it writes belongs to its work.
    pub fn start(home: &Path, data: &Path, database: Option<&str>) -> Result<Self> {
        let log = std::fs::File::create(home.join("server.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--json", "--data"]).arg(data);
        match database {
            Some(url) => command.args(["--database", url]),
            None => command.env_remove("FORGE_SCOREBOARD_DATABASE"),
        };
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let out = child.stdout.take().ok_or_else(|| Error::internal("the server has no output"))?;
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let (say, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // Nobody listens any more when it came too late.
            let _ = say.send(BufReader::new(out).read_line(&mut line).map(|_| line));
        });
        let line = said.recv_timeout(PATIENCE).map_err(|_| late("The server did not start"))??;
        let said: serde_json::Value = serde_json::from_str(&line)
            .map_err(|_| Error::internal("The server ended at once.").hint("Start it by hand to see why."))?;
        let url = said.get("url").and_then(serde_json::Value::as_str).unwrap_or_default();
        server.address = url.trim_start_matches("http://").parse().map_err(Error::internal)?;
        Ok(server)
    }

    pub async fn connect(&self) -> Result<Client> {
        Client::open(self.address).await
    }

    /// CPU seconds that it has used, where the kernel tells.
    pub fn cpu_seconds(&self) -> Option<f64> {
        cpu_seconds(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the measurement has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds that a process has used, where the kernel tells.
pub fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok());
    Some((ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64)
}

fn late(what: &str) -> Error {
    Error::new(Code::Timeout, format!("{what} within {} seconds; nothing was measured.", PATIENCE.as_secs()))
        .hint("Is the machine busy? Measure when it is quiet.")
}

/// One connection that stays open.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = tokio::time::timeout(PATIENCE, TcpStream::connect(address));
        let stream = stream.await.map_err(|_| late("The server did not take a connection"))??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10) })
    }

    pub async fn get(&mut self, path: &str) -> Result<()> {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes(), "200").await
    }

    pub async fn submit(&mut self, envelope: &[u8]) -> Result<()> {
        self.ask(&post("/v1/verdicts", "application/json", envelope), "201").await
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        let end = self.buffer.windows(4).position(|w| w == b"\r\n\r\n").map_or(self.buffer.len(), |end| end + 4);
        self.buffer.get(end..).unwrap_or_default()
    }

    /// Any other status than `wanted` ends the measurement.
    pub async fn ask(&mut self, request: &[u8], wanted: &str) -> Result<()> {
        let whole = async {
            self.stream.write_all(request).await?;
            self.buffer.clear();
            loop {
                if self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err(Error::internal("The server closed a connection of the bench."));
                }
                if let Some(ok) = whole(&self.buffer, wanted) {
                    return if ok { Ok(()) } else { Err(refused(&self.buffer)) };
                }
            }
        };
        tokio::time::timeout(PATIENCE, whole).await.map_err(|_| late("The server did not answer a request"))?
    }

    /// The stream of events from `path`, as it comes; `each` sees what has come since and says whether it has enough.
    pub async fn listen(mut self, path: &str, mut each: impl FnMut(&str) -> bool + Send) -> Result<()> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").as_bytes()).await?;
        let mut rest = String::new();
        loop {
            self.buffer.clear();
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer));
            if read.await.map_err(|_| late("A listener heard nothing"))?? == 0 {
                return Err(Error::internal("The server closed a listener of the bench."));
            }
            rest.push_str(&String::from_utf8_lossy(&self.buffer));
            while let Some(end) = rest.find("\n\n") {
                let after = rest.split_off(end + 2);
                let frame = std::mem::replace(&mut rest, after);
                if each(&frame) {
                    return Ok(());
                }
            }
        }
    }
}

/// The bytes of a request.
pub fn post(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// None while it is not whole; then whether it has the wanted status.
fn whole(answer: &[u8], wanted: &str) -> Option<bool> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: ")).and_then(|n| n.parse::<usize>().ok());
    let whole = answer.len() >= end + 4 + length.unwrap_or(0);
    whole.then(|| head.split_whitespace().nth(1) == Some(wanted))
}

fn refused(answer: &[u8]) -> Error {
    Error::internal(format!("The server answered the bench: {}", String::from_utf8_lossy(answer)))
}
