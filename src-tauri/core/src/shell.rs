//! What every shell needs of an engine, and how it asks: commands as JSON, streams as frames. It refuses to know what
//! carries them (a window's channel, a WebSocket, a terminal); the shells refuse to know what answers them.

use crate::api::{
    Caller, Commands, Event, KeysStatus, RunDetail, StreamRequest, Telemetry, TerminalFrame, UnlockKeys, decode,
    dispatch,
};
use crate::error::{Code, Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// A program run in a node for the command line, without a terminal.
pub struct Exec {
    /// `(stream, bytes)`: 1 = stdout, 2 = stderr; ends with the program.
    pub output: BoxStream<'static, Result<(u8, Bytes)>>,
    /// The program's exit code, once `output` has ended.
    pub exit: futures_util::future::BoxFuture<'static, Result<i64>>,
}

/// The commands of the contract plus the streams they speak of.
#[async_trait]
pub trait Shellable: Commands {
    /// Persisted events after `since`, then live ones without a gap.
    fn events(&self, run: Option<String>, since: i64) -> BoxStream<'static, Event>;
    async fn telemetry(&self, run: &str) -> Result<BoxStream<'static, Telemetry>>;
    /// Output from byte offset `from`; ends after [`TerminalFrame::Closed`].
    async fn terminal(&self, id: &str, from: u64) -> Result<BoxStream<'static, TerminalFrame>>;
    /// Returns once the bytes are accepted, which is the back-pressure on keyboard input.
    async fn terminal_write(&self, id: &str, bytes: Bytes) -> Result<()>;
    /// Waits until a start has ended, one way or the other: what it failed with, `Cancelled`, or `Timeout`.
    async fn wait_ready(&self, run: &str, limit: Duration) -> Result<RunDetail>;
    /// Runs a program in a node that the learner may enter; gated, audited and recorded like a terminal.
    async fn exec(
        &self,
        caller: &Caller,
        run: &str,
        node: &str,
        argv: Vec<String>,
        input: Option<Bytes>,
    ) -> Result<Exec>;
    async fn shutdown(&self);
}

/// Where the engine of a shell that waits for a person comes from: it may be locked still.
#[async_trait]
pub trait Host: Send + Sync {
    /// # Errors
    /// `KeysLocked` until somebody unlocks them; else why the engine could not be opened.
    async fn engine(&self) -> Result<Arc<dyn Shellable>>;
    /// What is known of the keys while they are locked.
    async fn keys_status(&self) -> Result<KeysStatus>;
    /// # Errors
    /// `KeyUnavailable` when they do not open; then another attempt can be made after `details.wait_ms`.
    async fn unlock(&self, request: UnlockKeys) -> Result<KeysStatus>;
}

/// One item of an open stream, as it travels.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    Json(String),
    Bytes(Vec<u8>),
}

/// One call from a shell: logged with its correlation id, its outcome and how long it took; arguments and answers,
/// which may hold what a learner typed, are not.
///
/// # Errors
/// What the command failed with; `UnknownCommand`, `InvalidInput`, `Denied` before it ran.
pub async fn call(
    engine: &dyn Shellable,
    caller: &Caller,
    name: &str,
    args: serde_json::Value,
) -> Result<serde_json::Value> {
    logged(caller, name, dispatch(engine, caller, name, args)).await
}

/// [`call`] where the keys may be locked: then two commands are answered, and all others say so.
///
/// # Errors
/// `KeysLocked`; else as [`call`].
pub async fn ask(host: &dyn Host, caller: &Caller, name: &str, args: serde_json::Value) -> Result<serde_json::Value> {
    let locked = match host.engine().await {
        Ok(engine) => return call(engine.as_ref(), caller, name, args).await,
        Err(e) if e.code == Code::KeysLocked => e,
        Err(e) => return Err(e),
    };
    let answered = async {
        let told = match name {
            "keys_status" => host.keys_status().await?,
            "unlock_keys" => host.unlock(decode(name, args)?).await?,
            _ => return Err(locked),
        };
        Ok(serde_json::to_value(told)?)
    };
    logged(caller, name, answered).await
}

async fn logged(
    caller: &Caller,
    name: &str,
    work: impl Future<Output = Result<serde_json::Value>>,
) -> Result<serde_json::Value> {
    let span = tracing::info_span!("request", correlation = %caller.correlation, command = name);
    async {
        let began = Instant::now();
        let answer = work.await;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &answer {
            Ok(_) => tracing::info!(ms, "answered"),
            Err(e) => tracing::warn!(ms, code = ?e.code, "{}", e.message),
        }
        answer
    }
    .instrument(span)
    .await
}

/// Opens what a caller asked for. Terminal streams carry [`TerminalFrame::encode`]d bytes, the others JSON.
///
/// # Errors
/// `UnknownRun`, `NotFound` for what is not there; whatever the engine could not open.
pub async fn open(engine: &dyn Shellable, request: StreamRequest) -> Result<BoxStream<'static, Frame>> {
    Ok(match request {
        StreamRequest::Events { run, since } => json(engine.events(run, since)),
        StreamRequest::Telemetry { run } => json(engine.telemetry(&run).await?),
        StreamRequest::Terminal { id, from } => {
            engine.terminal(&id, from).await?.map(|frame| Frame::Bytes(frame.encode())).boxed()
        }
    })
}

fn json<T: serde::Serialize + Send + 'static>(items: BoxStream<'static, T>) -> BoxStream<'static, Frame> {
    items
        .filter_map(|item| async move {
            match serde_json::to_string(&item) {
                Ok(text) => Some(Frame::Json(text)),
                Err(e) => {
                    tracing::error!("an item of a stream could not be written as JSON and was left out: {e}");
                    None
                }
            }
        })
        .boxed()
}

/// `FORGE_HOME`, else the platform's place for an application's data. `env` looks a variable up.
///
/// # Errors
/// `Io` when no variable says where the user's data lives.
pub fn data_home(env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let folder = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(home) = folder("FORGE_HOME") {
        return if home.is_absolute() { Ok(home) } else { Ok(std::env::current_dir()?.join(home)) };
    }
    let base = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|h| h.join("Library/Application Support"))
    } else {
        folder("XDG_DATA_HOME").filter(|p| p.is_absolute()).or_else(|| folder("HOME").map(|h| h.join(".local/share")))
    };
    base.map(|b| b.join("frostgate-forge")).ok_or_else(|| {
        Error::new(Code::Io, "Nothing says where your data folder is (no HOME).")
            .hint("Set FORGE_HOME to a folder for labs, results and keys.")
    })
}

/// A new correlation id: one per click, request or command line.
pub fn correlation() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// An id that came from outside, if it is one we would log and pass on.
pub fn acceptable_correlation(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn env<'a>(vars: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<OsString> + 'a {
        move |name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| OsString::from(v))
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn data_home_follows_the_most_specific_variable() {
        let all = [("FORGE_HOME", "/f"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(data_home(env(&all)).unwrap(), PathBuf::from("/f"));
        assert_eq!(data_home(env(&all[1..])).unwrap(), PathBuf::from("/x/frostgate-forge"));
        assert_eq!(data_home(env(&all[2..])).unwrap(), PathBuf::from("/h/.local/share/frostgate-forge"));
        assert_eq!(
            data_home(env(&[("XDG_DATA_HOME", "rel"), ("HOME", "/h")])).unwrap(),
            PathBuf::from("/h/.local/share/frostgate-forge")
        );
        assert_eq!(data_home(env(&[("FORGE_HOME", "")])).unwrap_err().code, Code::Io);
    }

    #[test]
    fn a_correlation_id_from_outside_is_short_and_plain() {
        assert!(acceptable_correlation(&correlation()));
        for bad in ["", "a b", "a\nb", "é", &"x".repeat(65)] {
            assert!(!acceptable_correlation(bad), "{bad:?}");
        }
    }
}
