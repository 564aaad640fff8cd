//! One long-lived exec in the fabric container that runs `broker.pl`: an operation costs a message instead of an exec.
//! Requests and answers travel as length-prefixed frames; any number may be under way at once.

use crate::engine::{Engine, ExecSpec, ExecStream};
use crate::error::{Code, Error, Result};
use bytes::{Buf, BytesMut};
use futures_util::StreamExt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

const BROKER: &str = include_str!("broker.pl");

/// After so long without an answer the broker is asked whether it is there, and has so long to say yes.
const QUIET: Duration = Duration::from_secs(2);
const PONG: Duration = Duration::from_secs(4);
/// How long Docker may take to hand one request on.
const TAKEN: Duration = Duration::from_secs(30);

/// What the broker is asked to do; see the head of `broker.pl`.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub op: &'static str,
    pub limit: Duration,
    /// Bytes kept of each of stdout and stderr.
    pub cap: usize,
    /// `pid:container`, or empty for the fabric itself.
    pub target: String,
    pub handles: Vec<String>,
    pub stdin: Vec<u8>,
    pub args: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Done,
    Timeout,
    /// The node's process is not there (any more).
    Gone,
    /// The broker could not even start it.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: Status,
    pub exit: i32,
    pub truncated: bool,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

type Pending = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>>;

/// An open connection. Dropping it ends the broker, and with it everything that runs there.
pub struct Channel {
    requests: mpsc::Sender<Vec<u8>>,
    pending: Pending,
    next: AtomicU64,
    given_up: AtomicBool,
}

impl Channel {
    pub async fn open(engine: &dyn Engine, container: &str) -> Result<Self> {
        let argv = vec!["perl".into(), "-e".into(), BROKER.into()];
        let stream = engine.attach(container, &ExecSpec { argv, stdin: true, ..ExecSpec::default() }).await?;
        let (requests, inbox) = mpsc::channel(64);
        let pending = Pending::default();
        let ExecStream { input, output, .. } = stream;
        tokio::spawn(write_all(input, inbox));
        tokio::spawn(read_answers(output, pending.clone()));
        Ok(Self { requests, pending, next: AtomicU64::new(1), given_up: AtomicBool::new(false) })
    }

    /// False once the connection was found broken.
    pub fn alive(&self) -> bool {
        !self.requests.is_closed() && !self.given_up.load(Ordering::Relaxed) && !lock(&self.pending).contains_key(&0)
    }

    /// Sends and waits. `Code::Timeout` one second after the request's own limit at the latest. Dropping the future
    /// ends what it started.
    pub async fn call(&self, request: &Request) -> Result<Answer> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        {
            let mut pending = lock(&self.pending);
            if pending.contains_key(&0) {
                return Err(lost());
            }
            pending.insert(id, sender);
        }
        let mut abandoned = Abandoned { channel: self, id, armed: true };
        let deadline = Instant::now() + request.limit + Duration::from_secs(1);
        // The queue is full where Docker takes nothing any more.
        match tokio::time::timeout_at(deadline, self.requests.send(encode(id, request))).await {
            Ok(sent) => sent.map_err(|_| lost())?,
            Err(_) => {
                self.give_up();
                return Err(lost());
            }
        }
        let mut receiver = receiver;
        loop {
            let patience = deadline.saturating_duration_since(Instant::now()).min(QUIET);
            match tokio::time::timeout(patience, &mut receiver).await {
                Ok(Ok(answer)) => {
                    abandoned.armed = false;
                    return Ok(answer);
                }
                Ok(Err(_)) => return Err(lost()),
                Err(_) if Instant::now() >= deadline => {
                    // The broker keeps time itself; when it does not, the next call shall not rely on it.
                    self.give_up();
                    return Err(Error::new(Code::Timeout, "The lab's fabric did not answer in time."));
                }
                Err(_) => self.ping().await?,
            }
        }
    }

    /// Docker does not always end an exec's stream with its container, so silence has to be questioned.
    async fn ping(&self) -> Result<()> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        lock(&self.pending).insert(id, sender);
        let ping = encode(id, &Request { op: "ping", ..Request::default() });
        let asked = async {
            self.requests.send(ping).await.map_err(|_| lost())?;
            receiver.await.map_err(|_| lost())
        };
        match tokio::time::timeout(PONG, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                lock(&self.pending).remove(&id);
                self.give_up();
                Err(lost())
            }
        }
    }

    /// No further call goes this way; those under way end as they may.
    fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// The error of a broken connection; recognised by [`is_lost`].
fn lost() -> Error {
    Error::new(Code::DockerFailed, "The connection to the lab's fabric container broke.")
        .details(serde_json::json!({ "fabric": "lost" }))
        .hint("Try again; if it stays so, stop the run and start it anew.")
}

pub fn is_lost(error: &Error) -> bool {
    error.details.get("fabric").is_some_and(|f| f == "lost")
}

/// Tells the broker to end what nobody waits for any more.
struct Abandoned<'a> {
    channel: &'a Channel,
    id: u64,
    armed: bool,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if self.armed && lock(&self.channel.pending).remove(&self.id).is_some() {
            let cancel = Request { op: "cancel", args: vec![self.id.to_string().into()], ..Request::default() };
            // A full queue means that the broker will reach the request's own limit instead.
            let _ = self.channel.requests.try_send(encode(0, &cancel));
        }
    }
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, BTreeMap<u64, oneshot::Sender<Answer>>> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write_all(
    mut input: std::pin::Pin<Box<dyn tokio::io::AsyncWrite + Send>>,
    mut inbox: mpsc::Receiver<Vec<u8>>,
) {
    while let Some(frame) = inbox.recv().await {
        let written = async {
            input.write_all(&frame).await?;
            input.flush().await
        };
        // Either way the queue closes, and whoever calls or waits learns that the connection is lost.
        match tokio::time::timeout(TAKEN, written).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return tracing::debug!(%error, "the fabric broker takes no more requests"),
            Err(_) => return tracing::warn!("the fabric broker has taken no request for {} s", TAKEN.as_secs()),
        }
    }
    // The channel was dropped: the end of its input ends the broker. A broken pipe means it ended already.
    let _ = input.shutdown().await;
}

async fn read_answers(
    mut output: futures_util::stream::BoxStream<'static, Result<(u8, bytes::Bytes)>>,
    pending: Pending,
) {
    let mut buffer = BytesMut::new();
    while let Some(chunk) = output.next().await {
        match chunk {
            Ok((1, bytes)) => {
                buffer.extend_from_slice(&bytes);
                while let Some((id, answer)) = decode(&mut buffer) {
                    // Nobody may be waiting: the caller gave up.
                    if let Some(waiter) = lock(&pending).remove(&id) {
                        let _ = waiter.send(answer);
                    }
                }
            }
            Ok((_, bytes)) => tracing::warn!(text = %String::from_utf8_lossy(&bytes).trim_end(), "fabric broker"),
            Err(error) => {
                tracing::debug!(%error, "fabric channel");
                break;
            }
        }
    }
    // Key 0 marks the channel as broken; dropping the senders wakes every waiter.
    let mut pending = lock(&pending);
    pending.clear();
    pending.insert(0, oneshot::channel().0);
}

fn encode(id: u64, request: &Request) -> Vec<u8> {
    let head = [
        id.to_string(),
        request.op.into(),
        request.limit.as_millis().to_string(),
        request.cap.to_string(),
        request.target.clone(),
        request.handles.join(" "),
    ];
    let fields = head
        .iter()
        .map(String::as_bytes)
        .chain([request.stdin.as_slice()])
        .chain(request.args.iter().map(Vec::as_slice));
    let mut body = Vec::with_capacity(256 + request.stdin.len());
    for field in fields {
        body.extend_from_slice(&(field.len() as u32).to_be_bytes());
        body.extend_from_slice(field);
    }
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// Takes one complete answer off the front; None until it is all there.
fn decode(buffer: &mut BytesMut) -> Option<(u64, Answer)> {
    let length = u32::from_be_bytes(buffer.get(..4)?.try_into().ok()?) as usize;
    if buffer.len() < 4 + length {
        return None;
    }
    buffer.advance(4);
    let mut fields = unpack(&buffer.split_to(length)).into_iter();
    let mut text = || fields.next().map(|f| String::from_utf8_lossy(&f).into_owned()).unwrap_or_default();
    let id = text().parse().unwrap_or(0);
    let status = match text().as_str() {
        "done" => Status::Done,
        "timeout" => Status::Timeout,
        "gone" => Status::Gone,
        _ => Status::Failed,
    };
    let exit = text().parse().unwrap_or(-1);
    let truncated = text() == "1";
    let stdout = fields.next().unwrap_or_default();
    let stderr = fields.next().unwrap_or_default();
    Some((id, Answer { status, exit, truncated, stdout, stderr }))
}

/// Length-prefixed fields (`pack '(N/a*)*'`); stops at the first that is cut short.
pub fn unpack(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(4) {
        let length = u32::from_be_bytes(head.try_into().unwrap_or_default()) as usize;
        let Some((field, rest)) = rest.split_at_checked(length) else { break };
        out.push(field.to_vec());
        bytes = rest;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn frame(fields: &[&[u8]]) -> Vec<u8> {
        let body: Vec<u8> = fields.iter().flat_map(|f| [&(f.len() as u32).to_be_bytes(), *f].concat()).collect();
        [&(body.len() as u32).to_be_bytes()[..], &body].concat()
    }

    #[test]
    fn answers_survive_any_chunking() {
        let bytes = [
            frame(&[b"7", b"done", b"3", b"1", b"out\0\xff", b"err"]),
            frame(&[b"8", b"timeout", b"0", b"0", b"", b""]),
        ]
        .concat();
        for cut in 1..bytes.len() {
            let mut buffer = BytesMut::new();
            let mut seen = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(answer) = decode(&mut buffer) {
                    seen.push(answer);
                }
            }
            assert_eq!(seen.len(), 2, "cut at {cut}");
            assert_eq!(seen[0].0, 7);
            assert_eq!((seen[0].1.exit, seen[0].1.truncated), (3, true));
            assert_eq!(seen[0].1.stdout, b"out\0\xff");
            assert_eq!(seen[1].1.status, Status::Timeout);
        }
    }

    #[test]
    fn requests_carry_their_fields_in_order() {
        let request = Request {
            op: "exec",
            limit: Duration::from_secs(2),
            cap: 10,
            target: "5:abc".into(),
            handles: vec!["1:a".into(), "2:b".into()],
            stdin: b"in".to_vec(),
            args: vec![b"sh".to_vec(), b"-c".to_vec()],
        };
        let bytes = encode(9, &request);
        assert_eq!(u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize, bytes.len() - 4);
        let fields: Vec<String> = unpack(&bytes[4..]).into_iter().map(|f| String::from_utf8(f).unwrap()).collect();
        assert_eq!(fields, ["9", "exec", "2000", "10", "5:abc", "1:a 2:b", "in", "sh", "-c"]);
    }

    /// A Docker that is stuck takes no bytes, and says nothing.
    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_taken_every_call_ends() {
        let (near, _stuck) = tokio::io::duplex(16);
        let (requests, inbox) = mpsc::channel(2);
        let writing = tokio::spawn(write_all(Box::pin(near), inbox));
        let channel = Channel {
            requests,
            pending: Pending::default(),
            next: AtomicU64::new(1),
            given_up: AtomicBool::new(false),
        };
        let began = Instant::now();
        let request = Request { op: "exec", limit: Duration::from_secs(5), stdin: vec![0; 100], ..Request::default() };
        let calls = (0..8).map(|_| channel.call(&request));
        for ended in futures_util::future::join_all(calls).await {
            assert!(ended.is_err());
        }
        assert!(began.elapsed() <= Duration::from_secs(7), "{:?}", began.elapsed());
        assert!(!channel.alive(), "nobody tries it again");
        writing.await.unwrap();
        assert!(began.elapsed() <= TAKEN + Duration::from_secs(1), "{:?}", began.elapsed());
    }

    #[test]
    fn a_field_cut_short_ends_the_list() {
        assert_eq!(unpack(&[0, 0, 0, 1, b'x', 0, 0, 0, 9, b'y']), vec![b"x".to_vec()]);
        assert!(unpack(&[0, 0]).is_empty());
    }
}
