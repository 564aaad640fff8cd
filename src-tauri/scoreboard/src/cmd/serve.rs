//! `serve`: opens the folder, listens, says where it is, and serves until it is asked to end.

use super::{Beside, Place, say};
use crate::board::{Board, remember_labs};
use crate::export::{self, Destination};
use crate::store::jobs;
use crate::{clock, intake};
use forge_core::error::{Code, Error, Result};
use forge_core::observe::log;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tracing_appender::rolling;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

const HOUSEKEEPING: Duration = Duration::from_secs(5);
const SWEEP_EVERY: u32 = 720;
const LOG_FILES: usize = 14;

pub fn run(
    place: &Place,
    listen: SocketAddr,
    labs: Option<PathBuf>,
    public: Option<String>,
    beside: &Beside,
    json: bool,
) -> Result<()> {
    let out = log::Redacting(log_to(beside)?);
    let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(out);
    let lines = lines.with_env_filter(log::filter("info")?).finish();
    lines.with(log::own_details()).try_init().map_err(Error::internal)?;
    more_files();
    let events =
        beside.events.clone().map(|url| Destination::new(url, beside.events_credentials.as_deref())).transpose()?;
    let (board, token) = Board::open(&place.data, place.target()?, labs.clone())?;
    remember_labs(&place.data, labs.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(Arc::new(board), token, listen, public, events, json))
}

async fn serve(
    board: Arc<Board>,
    token: String,
    listen: SocketAddr,
    public: Option<String>,
    events: Option<Destination>,
    json: bool,
) -> Result<()> {
    let listener = TcpListener::bind(listen).await.map_err(|e| {
        Error::new(Code::PortUnavailable, format!("{listen} cannot be listened on: {e}"))
            .hint("Choose another port, or 0 for any free one: --listen 127.0.0.1:0")
    })?;
    let address = listener.local_addr()?;
    let (url, elsewhere) = match public {
        Some(url) => (url, None),
        None => reached_at(address),
    };
    let serving = tokio::spawn(crate::http::serve(listener, board.clone()));
    say(json, &serde_json::json!({"url": url, "admin_token": token}), || {
        let elsewhere = elsewhere.map(|there| format!("From other machines: {there}\n")).unwrap_or_default();
        format!(
            "The board is at {url}\n{elsewhere}The admin's token is in {}",
            board.data.join("admin.token").display()
        )
    });
    let closing = board.closing.clone();
    tokio::spawn(async move {
        asked_to_end().await;
        closing.cancel();
    });
    if let Some(to) = events {
        tokio::spawn(export::run(board.clone(), to));
    }
    tokio::spawn(housekeeping(board));
    serving.await.map_err(Error::internal)?
}

/// An address that this machine's own programs can use, and one for others where all interfaces are listened on.
fn reached_at(address: SocketAddr) -> (String, Option<String>) {
    if !address.ip().is_unspecified() {
        return (format!("http://{address}"), None);
    }
    let port = address.port();
    let elsewhere = own_ip(address).map(|ip| format!("http://{}", SocketAddr::new(ip, port)));
    (format!("http://{}", SocketAddr::new(loopback(address), port)), elsewhere)
}

fn loopback(address: SocketAddr) -> IpAddr {
    if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() }
}

/// The one that the way out of this machine begins with: the kernel is asked for the way, nothing is sent on it.
fn own_ip(listened: SocketAddr) -> Option<IpAddr> {
    let far: IpAddr = if listened.is_ipv4() {
        Ipv4Addr::new(192, 0, 2, 1).into()
    } else {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()
    };
    let socket = UdpSocket::bind(SocketAddr::new(listened.ip(), 0)).ok()?;
    socket.connect(SocketAddr::new(far, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

/// The error stream, and a folder if there is one.
fn log_to(beside: &Beside) -> Result<BoxMakeWriter> {
    let Some(dir) = &beside.log_dir else { return Ok(BoxMakeWriter::new(std::io::stderr)) };
    let files = rolling::Builder::new()
        .rotation(rolling::Rotation::DAILY)
        .filename_prefix("scoreboard")
        .filename_suffix("log")
        .max_log_files(LOG_FILES)
        .build(dir)
        .map_err(|e| Error::new(Code::Io, format!("The log cannot be written to {}: {e}", dir.display())))?;
    Ok(BoxMakeWriter::new(std::io::stderr.and(files)))
}

/// Another process may rotate the key; uploads may be given up.
async fn housekeeping(board: Arc<Board>) {
    let mut round: u32 = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(HOUSEKEEPING) => {}
            () = board.closing.cancelled() => return,
        }
        round = round.wrapping_add(1);
        let held = board.clone();
        let sweep = round.is_multiple_of(SWEEP_EVERY);
        let done = tokio::task::spawn_blocking(move || {
            if held.ring.refresh()? {
                tracing::info!("the board's key was rotated by another process");
            }
            if sweep { held.evidence.sweep(false).map(drop) } else { Ok(()) }
        });
        if let Err(e) = expire(&board).await {
            tracing::warn!(error = %e, "jobs of silent workers could not be looked at; it is tried again");
        }
        if let Err(e) = done.await.map_err(Error::internal).flatten() {
            tracing::error!(error = %e, "housekeeping failed; it is tried again");
        }
    }
}

/// Looks first: a transaction that writes costs the disk.
async fn expire(board: &Board) -> Result<()> {
    let now = clock::now();
    if board.store.read(move |tx| jobs::silent(tx, now)).await?.is_empty() {
        return Ok(());
    }
    let fell_silent = board.store.write(move |tx| intake::jobs::expire(tx, now)).await?;
    intake::tell_silent(board, &fell_silent).await;
    Ok(())
}

async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut term) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = term.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// A class that listens needs more than the usual 1,024 files.
pub fn more_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum.map_or(Some(65_536), |m| Some(m.min(65_536)));
        if let Err(e) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(error = %e, "the limit on open files could not be raised");
        }
    }
}
