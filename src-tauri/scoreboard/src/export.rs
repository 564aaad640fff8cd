//! Accepted verdicts and what is established later, in the order of acceptance, and what happens in class sessions, told to NATS
//! JetStream. The database is the
//! queue: what was acknowledged is written down there, so that a crash or a week without NATS loses nothing, and intake never
//! waits. The one room that names async-nats.

use crate::board::Board;
use crate::clock;
use crate::store::Tx;
use crate::store::export::{self as queue, Told};
use crate::store::session_events::{self as sessions, Happened};
use async_nats::ConnectOptions;
use async_nats::connection::State;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context, stream};
use forge_core::error::{Code, Error, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const STREAM: &str = "FORGE_BOARD";
pub const VERDICT: &str = "forge.board.verdict";
pub const RAISED: &str = "forge.board.raised";
/// Followed by what happened.
pub const SESSION: &str = "forge.board.session";
/// Events that are on their way at the same time: what bounds the memory.
const BATCH: i64 = 256;
/// How long an acknowledgement, or a connection, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Other processes store as well, and nobody tells us.
const LOOK: Duration = Duration::from_secs(2);
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Within this time NATS drops what it was told already; a reader that remembers ids needs no such limit.
const DUPLICATES: Duration = Duration::from_secs(3_600);
const KEPT: Duration = Duration::from_secs(120 * 86_400);
const KEPT_BYTES: i64 = 512 << 20;
const CREDENTIALS_MAX: u64 = 16 << 10;

/// Where to, and as whom.
pub struct Destination {
    url: String,
    credentials: Credentials,
}

enum Credentials {
    None,
    Password(String, String),
    Seed(String),
    Creds(String),
}

impl Destination {
    /// `file` holds `user:password`, the seed of an NKEY, or what `nsc` writes as a .creds file.
    pub fn new(url: String, file: Option<&Path>) -> Result<Self> {
        if !["nats://", "tls://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Error::new(Code::InvalidInput, "The address for events is no nats:// URL.")
                .hint("Write --events nats://host:4222, or tls://host:4222."));
        }
        let credentials = file.map_or(Ok(Credentials::None), credentials)?;
        Ok(Self { url, credentials })
    }

    async fn connect(&self) -> Result<Context> {
        let options = ConnectOptions::new().name("forge-scoreboard").connection_timeout(PATIENCE).max_reconnects(1);
        let options = match &self.credentials {
            Credentials::None => options,
            Credentials::Password(user, password) => options.user_and_password(user.clone(), password.clone()),
            Credentials::Seed(seed) => options.nkey(seed.clone()),
            Credentials::Creds(text) => options.credentials(text).map_err(|e| failed("reading the credentials", &e))?,
        };
        let client = options.connect(&self.url).await.map_err(|e| failed("connecting", &e))?;
        let context = jetstream::new(client);
        let wanted = stream::Config {
            name: STREAM.into(),
            subjects: vec!["forge.board.>".into()],
            max_age: KEPT,
            max_bytes: KEPT_BYTES,
            duplicate_window: DUPLICATES,
            ..stream::Config::default()
        };
        context.get_or_create_stream(wanted).await.map_err(|e| failed("making the stream", &e))?;
        Ok(context)
    }
}

fn credentials(file: &Path) -> Result<Credentials> {
    let unusable = |why: String| {
        Error::new(Code::InvalidInput, format!("{} cannot be used: {why}", file.display()))
            .hint("It holds user:password, the seed of an NKEY (SU…), or a .creds file of NATS.")
    };
    let size = std::fs::metadata(file).map_err(|e| unusable(e.to_string()))?.len();
    if size > CREDENTIALS_MAX {
        return Err(unusable("it is too long".into()));
    }
    let text = std::fs::read_to_string(file).map_err(|e| unusable(e.to_string()))?;
    let word = text.trim();
    if text.contains("BEGIN NATS USER JWT") {
        return Ok(Credentials::Creds(text));
    }
    if word.len() == 58 && word.starts_with("SU") {
        return Ok(Credentials::Seed(word.to_owned()));
    }
    match word.split_once(':') {
        Some((user, password)) if !user.is_empty() && !word.contains(char::is_whitespace) => {
            Ok(Credentials::Password(user.to_owned(), password.to_owned()))
        }
        _ => Err(unusable("it holds none of these".into())),
    }
}

fn failed(what: &str, e: &dyn std::fmt::Display) -> Error {
    Error::new(Code::Io, format!("NATS: {what} failed: {e}"))
}

/// Tells until the board closes. Never gives up, and never holds anything up.
pub async fn run(board: Arc<Board>, to: Destination) {
    board.metrics.export.configured.set(1);
    let mut wait = RETRY.0;
    loop {
        let before = board.metrics.export.published.get();
        let outcome = tokio::select! {
            outcome = tell(&board, &to) => outcome,
            () = board.closing.cancelled() => return,
        };
        board.metrics.export.connected.set(0);
        board.metrics.export.failures.inc();
        if board.metrics.export.published.get() > before {
            wait = RETRY.0;
        }
        let Err(e) = outcome;
        tracing::warn!(error = %e, again_in_ms = wait.as_millis(), "events cannot be told to NATS; they wait in the database");
        tokio::select! {
            () = tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))) => {}
            () = board.closing.cancelled() => return,
        }
        wait = (wait * 2).min(RETRY.1);
    }
}

async fn tell(board: &Board, to: &Destination) -> Result<std::convert::Infallible> {
    // Before NATS is asked: rises are to be written down even while it is away.
    board.store.write(queue::begin).await?;
    waiting(board).await?;
    let connecting = tokio::time::timeout(PATIENCE, to.connect()).await;
    let context = connecting.map_err(|_| failed("connecting", &"it takes too long"))??;
    board.metrics.export.connected.set(1);
    tracing::info!(stream = STREAM, "events are told to NATS");
    let (_, _, mut news) = board.live.listen(None);
    loop {
        let (events, happened) = waiting(board).await?;
        if events.is_empty() && happened.is_empty() {
            if context.client().connection_state() != State::Connected {
                return Err(failed("staying connected", &"the connection was lost"));
            }
            // An error only says that there was more news than was kept.
            let _ = tokio::time::timeout(LOOK, news.recv()).await;
            continue;
        }
        let count = (events.len() + happened.len()) as u64;
        let telling = tokio::time::timeout(PATIENCE, publish(&context, &events, &happened)).await;
        telling.map_err(|_| failed("publishing", &"no acknowledgement came in time"))??;
        let told = move |tx: &mut dyn Tx| {
            queue::acknowledged(tx, &events)?;
            sessions::acknowledged(tx, &happened)
        };
        board.store.write(told).await?;
        board.metrics.export.published.inc_by(count);
    }
}

async fn waiting(board: &Board) -> Result<(Vec<Told>, Vec<Happened>)> {
    let now = clock::now();
    // Nobody does anything when a session's time is over.
    if board.store.read(move |tx| sessions::closes(tx, now)).await? {
        board.store.write(move |tx| sessions::close(tx, now)).await?;
    }
    let (verdicts, happened) = board.store.read(|tx| Ok((queue::next(tx, BATCH)?, sessions::next(tx, BATCH)?))).await?;
    board.metrics.export.pending.set(verdicts.waiting + happened.waiting);
    Ok((verdicts.events, happened.events))
}

/// All of them acknowledged, or an error: then they are told again, and NATS knows them by their ids.
async fn publish(context: &Context, events: &[Told], happened: &[Happened]) -> Result<()> {
    let verdicts = events.iter().map(|event| {
        let subject = if event.raised { RAISED } else { VERDICT };
        (subject.to_owned(), format!("{}-{}", event.id, event.revision), event.body.clone())
    });
    let sessions = happened.iter().map(|e| (format!("{SESSION}.{}", e.kind), e.id.clone(), e.body.clone()));
    let mut acknowledgements = Vec::with_capacity(events.len() + happened.len());
    for (subject, id, body) in verdicts.chain(sessions) {
        let message = PublishMessage::build().message_id(id).payload(body.into());
        acknowledgements.push(context.send_publish(subject, message).await.map_err(|e| failed("publishing", &e))?);
    }
    for acknowledgement in acknowledgements {
        acknowledgement.await.map_err(|e| failed("publishing", &e))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_one_of_three_things() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c");
        let read = |text: &str| {
            std::fs::write(&file, text).unwrap();
            credentials(&file)
        };
        assert!(matches!(read("board:p:w\n"), Ok(Credentials::Password(u, p)) if u == "board" && p == "p:w"));
        assert!(matches!(read(&format!("SU{}", "A".repeat(56))), Ok(Credentials::Seed(_))));
        assert!(matches!(read("-----BEGIN NATS USER JWT-----\nx"), Ok(Credentials::Creds(_))));
        for broken in ["", ":x", "no colon", "a b:c", &"x".repeat(20_000)] {
            assert!(read(broken).is_err(), "{broken:.20}");
        }
        assert!(Destination::new("http://x".into(), None).is_err());
        assert!(Destination::new("nats://x:4222".into(), Some(&dir.path().join("none"))).is_err());
    }
}
