//! One terminal: its output flowing from Docker into the ring, its input the other way, and how it ends.

use super::cast::Recorder;
use super::ring::Ring;
use super::{Limits, Open};
use crate::api::TerminalInfo;
use crate::engine::{Engine, ExecStream};
use crate::error::{Code, Error, Result};
use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio_util::sync::CancellationToken;

/// Largest input taken at once (a paste).
const MAX_INPUT: usize = 1 << 20;
/// Input goes out in pieces of this size.
const INPUT_CHUNK: usize = 16 << 10;
const INPUT_LIMIT: Duration = Duration::from_secs(30);
/// How often, and at what distance, Docker is asked why a terminal ended (one second in all).
const AFTERMATH: u32 = 20;
const AFTERMATH_STEP: Duration = Duration::from_millis(50);

pub struct Session {
    pub id: String,
    pub run: String,
    pub node: String,
    pub container: String,
    exec: String,
    engine: Arc<dyn Engine>,
    state: Mutex<State>,
    /// There is something new to read, or the end.
    changed: Notify,
    /// A reader has moved on or gone.
    progress: Notify,
    stop: CancellationToken,
    input: tokio::sync::Mutex<Pin<Box<dyn AsyncWrite + Send>>>,
    recorder: Option<Recorder>,
}

pub struct State {
    pub ring: Ring,
    size: (u16, u16),
    /// Why it ended.
    pub closed: Option<String>,
}

impl Session {
    #[allow(clippy::too_many_arguments)] // the parts of a session, given once and nowhere else
    pub fn start(
        engine: Arc<dyn Engine>,
        limits: &Limits,
        id: String,
        wanted: &Open,
        pid: u32,
        stream: ExecStream,
        recorder: Option<Recorder>,
        slot: OwnedSemaphorePermit,
    ) -> Arc<Self> {
        let session = Arc::new(Self {
            id,
            run: wanted.run.clone(),
            node: wanted.node.clone(),
            container: wanted.container.clone(),
            exec: stream.id,
            engine,
            state: Mutex::new(State {
                ring: Ring::new(limits.scrollback),
                size: (wanted.cols, wanted.rows),
                closed: None,
            }),
            changed: Notify::new(),
            progress: Notify::new(),
            stop: CancellationToken::new(),
            input: tokio::sync::Mutex::new(stream.input),
            recorder,
        });
        let (pumped, stall) = (session.clone(), limits.stall);
        tokio::spawn(async move {
            if let Some(reason) = pumped.pump(stream.output, pid, stall).await {
                pumped.set_closed(&reason);
            }
            drop(slot);
        });
        session
    }

    pub fn info(&self) -> TerminalInfo {
        let state = self.lock();
        TerminalInfo {
            id: self.id.clone(),
            run: self.run.clone(),
            node: self.node.clone(),
            cols: state.size.0,
            rows: state.size.1,
            open: state.closed.is_none(),
            from: state.ring.start(),
            next: state.ring.end(),
        }
    }

    pub async fn write(&self, mut bytes: Bytes) -> Result<()> {
        if bytes.len() > MAX_INPUT {
            return Err(Error::new(Code::TooLarge, format!("{} bytes of input at once are too many.", bytes.len()))
                .hint("Paste less at a time, or put the text into a file.")
                .details(serde_json::json!({"limit": MAX_INPUT, "actual": bytes.len()})));
        }
        let write = async {
            let mut input = self.input.lock().await;
            while !bytes.is_empty() {
                let chunk = bytes.split_to(bytes.len().min(INPUT_CHUNK));
                input.write_all(&chunk).await?;
            }
            input.flush().await
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(self.is_closed()),
            done = tokio::time::timeout(INPUT_LIMIT, write) => match done {
                Ok(Ok(())) => Ok(()),
                Ok(Err(e)) => Err(Error::new(Code::DockerFailed, format!("The terminal on {} takes no input: {e}", self.node))
                    .hint("Open a new terminal on the node.")),
                Err(_) => Err(Error::new(Code::Timeout, format!("Nothing on {} has read the input for 30 seconds.", self.node))
                    .hint("Whatever runs in the terminal does not read what you type; open a second terminal to stop it.")),
            },
        }
    }

    pub async fn resize(&self, cols: u16, rows: u16) -> Result<()> {
        if self.stop.is_cancelled() {
            return Err(self.is_closed());
        }
        self.engine.resize(&self.exec, cols, rows).await?;
        self.lock().size = (cols, rows);
        if let Some(recorder) = &self.recorder {
            recorder.resize(cols, rows).await;
        }
        Ok(())
    }

    /// Closes it for this reason and lets go of the connection. False when it had ended before.
    pub async fn end(&self, reason: &str) -> bool {
        let first = self.set_closed(reason);
        if first {
            // Docker closes the shell's input when our side is shut; a broken connection is as good.
            let mut input = self.input.lock().await;
            let _already_broken = tokio::time::timeout(Duration::from_secs(1), input.shutdown()).await;
        }
        first
    }

    pub async fn sync(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.sync().await;
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves at the next new output or end after it was first polled or enabled.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    pub fn reader_moved(&self) {
        self.progress.notify_waiters();
    }

    fn set_closed(&self, reason: &str) -> bool {
        let first = {
            let mut state = self.lock();
            let first = state.closed.is_none();
            state.closed.get_or_insert_with(|| reason.to_owned());
            first
        };
        self.stop.cancel();
        self.changed.notify_waiters();
        first
    }

    fn is_closed(&self) -> Error {
        let reason = self.lock().closed.clone().unwrap_or_default();
        Error::new(Code::WrongState, format!("The terminal on {} is closed: {reason}.", self.node))
            .hint("Open a new terminal on the node.")
    }

    /// Carries output until it ends; then says why. None when it was ended from our side.
    async fn pump(
        &self,
        mut output: futures_util::stream::BoxStream<'static, Result<(u8, Bytes)>>,
        pid: u32,
        stall: Duration,
    ) -> Option<String> {
        let carry = async {
            while let Some(item) = output.next().await {
                let (_, bytes) = match item {
                    Ok(item) => item,
                    Err(e) => return Some(e),
                };
                if let Some(recorder) = &self.recorder {
                    recorder.output(&bytes).await;
                }
                self.append(bytes, stall).await;
            }
            None
        };
        let broken = tokio::select! {
            biased;
            () = self.stop.cancelled() => return None,
            broken = carry => broken,
        };
        Some(self.why(pid, broken).await)
    }

    /// Puts bytes into the ring as room comes, waiting for attached readers.
    async fn append(&self, mut bytes: Bytes, stall: Duration) {
        while !bytes.is_empty() {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            let fits = {
                let mut state = self.lock();
                let fits = state.ring.room().min(bytes.len());
                state.ring.push(bytes.get(..fits).unwrap_or_default());
                fits
            };
            if fits > 0 {
                bytes.advance(fits);
                self.changed.notify_waiters();
            } else if tokio::time::timeout(stall, progress).await.is_err() && self.lock().ring.give_up_on_the_slowest()
            {
                tracing::warn!(
                    terminal = self.id,
                    "a reader has stood still; the terminal goes on without waiting for it"
                );
            }
        }
    }

    async fn why(&self, pid: u32, broken: Option<Error>) -> String {
        let (mut exit, mut stopped) = (None, false);
        // Docker notes an exit or a stop a moment after the output has ended, and a restart passes through a stop.
        for _ in 0..AFTERMATH {
            match self.engine.pid(&self.container).await {
                Ok(now) if now != pid => return "the node was restarted".into(),
                Ok(_) => stopped = false,
                Err(e) if e.code == Code::DockerUnavailable => return format!("Docker is out of reach ({e})"),
                Err(_) => stopped = true,
            }
            if !stopped {
                exit = self.engine.exec_exit(&self.exec).await.ok().flatten();
                // 137 is also what a shell ends with when its node is being killed: look again before saying so.
                if exit.is_some_and(|code| code != 137) {
                    break;
                }
            }
            tokio::time::sleep(AFTERMATH_STEP).await;
        }
        match (stopped, exit, broken) {
            (true, ..) => "the node stopped".into(),
            (_, Some(code), _) => format!("the shell ended with {code}"),
            (_, None, Some(e)) => format!("the connection to Docker was lost ({e})"),
            (_, None, None) => "the connection to Docker was lost".into(),
        }
    }
}
