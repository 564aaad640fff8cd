//! Terminals on the nodes of a run: a shell in the container, its output kept so that a reload of the window goes on
//! where it was, and held back (not dropped) while a reader is slow.
//!
//! A terminal belongs to the process that opened it, because its connection to Docker does; the shell in the node is
//! marked with [`MARK`] so that closing the terminal can hang it up. Docker leaves a shell running when the connection to
//! it breaks, so what a killed process leaves behind is found by the same mark: [`Terminals::sweep`].

mod cast;
mod follow;
mod ring;
mod session;
#[cfg(test)]
mod tests;

use crate::api::{TerminalFrame, TerminalInfo};
use crate::engine::{Engine, ExecSpec};
use crate::error::{Code, Error, Result};
use bytes::Bytes;
use cast::{Header, Recorder};
use futures_util::stream::BoxStream;
use session::Session;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Environment variable that marks a terminal's shell in the node: `<process>:<terminal>`.
pub const MARK: &str = "FORGE_TERMINAL";
/// Largest number of columns or rows.
const MAX_SIDE: u16 = 1000;
/// Ended terminals of a run that can still be read.
const ENDED_KEPT: usize = 8;
/// bash where there is one; `-l` so that the image's profile sets prompt and path.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash -l; else exec sh -l; fi";
/// Prints the mark of each terminal's shell, or hangs up the one whose mark is `$1`. What a shell started carries its
/// mark too, but only the shell itself came into the container from outside, and so has parent 0.
const SHELLS: &str = r#"
for dir in /proc/[0-9]*; do
  stat=$(cat "$dir/stat" 2>/dev/null) || continue
  set -- "$1" ${stat##*) }
  [ "$3" = 0 ] || continue
  mark=$(tr '\0' '\n' < "$dir/environ" 2>/dev/null | sed -n 's/^FORGE_TERMINAL=//p')
  [ -n "$mark" ] || continue
  if [ -z "$1" ]; then echo "$mark"; elif [ "$mark" = "$1" ]; then kill -HUP "${dir#/proc/}"; fi
done
exit 0"#;
const HANG_UP_LIMIT: Duration = Duration::from_secs(5);

/// Bounds of this room.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of output kept per terminal; also how far behind an attached reader may be before the shell waits.
    pub scrollback: usize,
    /// Terminals open at once per run.
    pub per_run: usize,
    /// Bytes of a transcript.
    pub transcript: u64,
    /// After this long without taking anything, a reader no longer makes the shell wait (and will see a gap).
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { scrollback: 1 << 20, per_run: 16, transcript: 8 << 20, stall: Duration::from_secs(60) }
    }
}

/// A terminal to open.
#[derive(Clone, Debug)]
pub struct Open {
    pub run: String,
    pub node: String,
    /// Docker's container id.
    pub container: String,
    pub cols: u16,
    pub rows: u16,
    /// Folder for the transcript `<id>.cast`; None = none.
    pub record: Option<PathBuf>,
}

/// All terminals that this process has opened.
pub struct Terminals {
    engine: Arc<dyn Engine>,
    limits: Limits,
    owner: String,
    /// In the order they were opened.
    sessions: Mutex<Vec<Arc<Session>>>,
    slots: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Terminals {
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self::with_limits(engine, Limits::default())
    }

    pub fn with_limits(engine: Arc<dyn Engine>, limits: Limits) -> Self {
        Self { engine, limits, owner: String::new(), sessions: Mutex::default(), slots: Mutex::default() }
    }

    /// Names the process that opens these terminals, so that another can tell when it is gone (see [`Self::sweep`]).
    #[must_use]
    pub fn owned_by(mut self, process: &str) -> Self {
        self.owner = process.to_owned();
        self
    }

    /// Starts a shell in the container, as the image's user. `Code::TooLarge` when the run has its fill of terminals,
    /// `Code::InvalidInput` for an impossible size, and what Docker answers otherwise.
    pub async fn open(&self, wanted: &Open) -> Result<TerminalInfo> {
        check_size(wanted.cols, wanted.rows)?;
        let slot = self.slot(&wanted.run)?;
        let id: String = uuid::Uuid::new_v4().simple().to_string().chars().take(12).collect();
        let spec = ExecSpec {
            argv: ["sh", "-c", SHELL].map(String::from).to_vec(),
            env: vec![
                ("TERM".into(), "xterm-256color".into()),
                ("LANG".into(), "C.UTF-8".into()),
                (MARK.into(), self.mark(&id)),
            ],
            user: None,
            workdir: None,
            tty: Some((wanted.cols, wanted.rows)),
            stdin: true,
        };
        let opening = || format!("Opening a terminal on {}", wanted.node);
        // The pid tells later whether the node was restarted under the terminal.
        let pid = self.engine.pid(&wanted.container).await.map_err(|e| e.context(opening()))?;
        let recorder = wanted.record.as_ref().map(|dir| self.recorder(dir, &id, wanted)).transpose()?;
        let stream = self.engine.attach(&wanted.container, &spec).await.map_err(|e| e.context(opening()))?;
        let session = Session::start(self.engine.clone(), &self.limits, id, wanted, pid, stream, recorder, slot);
        let info = session.info();
        self.remember(session);
        Ok(info)
    }

    /// The output from offset `from` on: replayed, then live, then [`TerminalFrame::Closed`]. While the stream is held,
    /// nothing it has not yielded is dropped: the shell waits for it (see [`Limits::stall`]).
    pub fn stream(&self, id: &str, from: u64) -> Result<BoxStream<'static, TerminalFrame>> {
        Ok(follow::frames(self.session(id)?, from))
    }

    /// Keyboard input. Returns once Docker has taken it. `Code::WrongState` when the terminal is closed,
    /// `Code::TooLarge` past 1 MiB, `Code::Timeout` when nothing reads it for 30 s.
    pub async fn write(&self, id: &str, bytes: Bytes) -> Result<()> {
        self.session(id)?.write(bytes).await
    }

    pub async fn resize(&self, id: &str, cols: u16, rows: u16) -> Result<()> {
        check_size(cols, rows)?;
        self.session(id)?.resize(cols, rows).await
    }

    /// Closes, hangs the shell up (as a closed window would) and forgets. What the learner left running in the
    /// background goes on.
    pub async fn close(&self, id: &str) -> Result<()> {
        let session = self.session(id)?;
        self.lock().retain(|s| s.id != id);
        if session.end("you closed it").await {
            self.hang_up(&session).await;
        }
        Ok(())
    }

    /// The run's terminals in the order they were opened; ended ones too, while their output can still be read.
    pub fn list(&self, run: &str) -> Vec<TerminalInfo> {
        self.lock().iter().filter(|s| s.run == run).map(|s| s.info()).collect()
    }

    /// Ends all of a run's terminals and forgets them; their readers are told. The containers are the caller's to remove.
    pub async fn end_run(&self, run: &str) {
        let ended: Vec<_> = {
            let mut sessions = self.lock();
            let (ended, rest) = sessions.drain(..).partition(|s| s.run == run);
            *sessions = rest;
            ended
        };
        for session in ended {
            session.end("the run ended").await;
            session.sync().await;
        }
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
    }

    /// Returns once the run's transcripts can be read up to now.
    pub async fn sync_transcripts(&self, run: &str) {
        let sessions: Vec<_> = self.lock().iter().filter(|s| s.run == run).cloned().collect();
        for session in sessions {
            session.sync().await;
        }
    }

    /// Hangs up every shell this process opened; for an orderly end of the app with its runs left alive.
    pub async fn shutdown(&self) {
        let all: Vec<_> = self.lock().drain(..).collect();
        futures_util::future::join_all(all.iter().map(|session| async move {
            if session.end("the app was closed").await {
                self.hang_up(session).await;
            }
            session.sync().await;
        }))
        .await;
    }

    /// Hangs up the shells in a container whose process is gone (killed, so that it could not do it itself), and returns
    /// how many there were. `alive` is asked with the name given to [`Self::owned_by`].
    pub async fn sweep(&self, container: &str, alive: impl Fn(&str) -> bool) -> Result<usize> {
        let marks = self.shells(container, "").await?;
        let orphans = marks.lines().filter(|mark| mark.split_once(':').is_some_and(|(owner, _)| !alive(owner)));
        let mut hung_up = 0;
        for mark in orphans {
            self.shells(container, mark).await?;
            hung_up += 1;
        }
        Ok(hung_up)
    }

    fn mark(&self, id: &str) -> String {
        format!("{}:{id}", self.owner)
    }

    async fn shells(&self, container: &str, mark: &str) -> Result<String> {
        let argv = ["sh", "-c", SHELLS, "sh", mark].map(String::from).to_vec();
        let spec = ExecSpec { argv, ..ExecSpec::default() };
        let out = self.engine.exec(container, &spec, None, HANG_UP_LIMIT).await?;
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    async fn hang_up(&self, session: &Session) {
        // A node that is stopped, paused or gone has no shell to hang up, or none that minds.
        if let Err(e) = self.shells(&session.container, &self.mark(&session.id)).await {
            tracing::debug!(terminal = session.id, node = session.node, error = %e, "the shell was not hung up");
        }
    }

    fn slot(&self, run: &str) -> Result<tokio::sync::OwnedSemaphorePermit> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.limits.per_run;
        let free = slots.entry(run.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(limit))).clone();
        free.try_acquire_owned().map_err(|_| {
            Error::new(
                Code::TooLarge,
                format!("This run already has {limit} terminals open, which is as many as it may."),
            )
            .hint("Close one that you no longer need, then open this one.")
            .details(serde_json::json!({"limit": limit, "actual": limit + 1}))
        })
    }

    fn recorder(&self, dir: &std::path::Path, id: &str, wanted: &Open) -> Result<Recorder> {
        let at = jiff::Timestamp::now().as_second();
        let header = Header { cols: wanted.cols, rows: wanted.rows, at, title: &wanted.node };
        Recorder::create(&dir.join(format!("{id}.cast")), &header, self.limits.transcript)
    }

    fn remember(&self, session: Arc<Session>) {
        let mut sessions = self.lock();
        let ended = sessions.iter().filter(|s| s.run == session.run && !s.info().open).count();
        if ended > ENDED_KEPT
            && let Some(oldest) = sessions.iter().position(|s| s.run == session.run && !s.info().open)
        {
            sessions.remove(oldest);
        }
        sessions.push(session);
    }

    fn session(&self, id: &str) -> Result<Arc<Session>> {
        self.lock().iter().find(|s| s.id == id).cloned().ok_or_else(|| {
            Error::new(
                Code::NotFound,
                format!("There is no terminal “{id}” here; it was closed, or the app restarted."),
            )
            .hint("Open a new terminal on the node.")
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_size(cols: u16, rows: u16) -> Result<()> {
    if (1..=MAX_SIDE).contains(&cols) && (1..=MAX_SIDE).contains(&rows) {
        return Ok(());
    }
    Err(Error::new(
        Code::InvalidInput,
        format!("A terminal of {cols} by {rows} is not possible; 1 to {MAX_SIDE} each."),
    ))
}
