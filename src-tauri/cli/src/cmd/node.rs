//! In a node: a terminal (`enter`) and single programs (`exec`).

use crate::Cx;
use crate::exit;
use crate::signal;
use bytes::Bytes;
use forge_core::api::{IdRequest, OpenTerminal, ResizeTerminal, TerminalFrame};
use forge_core::error::{Code, Error, Result};
use futures_util::StreamExt;
use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;
use tokio::sync::mpsc;

/// The user's terminal in raw mode, and back whatever happens.
struct Raw;

impl Raw {
    fn on() -> Result<Self> {
        crossterm::terminal::enable_raw_mode()?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Err(e) = crossterm::terminal::disable_raw_mode() {
            tracing::warn!("the terminal could not be set back: {e}");
        }
    }
}

/// Columns and rows; a terminal that does not know its size (some serial lines and multiplexers) gets the classic one.
fn size() -> Result<(u16, u16)> {
    let (cols, rows) = crossterm::terminal::size()?;
    Ok(if cols == 0 || rows == 0 { (80, 24) } else { (cols.min(1000), rows.min(1000)) })
}

/// # Errors
/// `InvalidInput` when this is no terminal; what the engine could not open; `Io` when the terminal is lost.
pub async fn enter(cx: &Cx, run: String, node: String) -> Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Error::new(Code::InvalidInput, "`forge enter` needs a terminal at both ends.")
            .hint(format!("To run one program, use `forge exec {run} {node} -- CMD`.")));
    }
    let (cols, rows) = size()?;
    let info = cx.engine.open_terminal(&cx.caller, OpenTerminal { run, node, cols, rows }).await?;
    let id = info.id;
    let frames = cx.engine.terminal(&id, info.from).await;
    let reason = match frames {
        Ok(mut frames) => {
            let raw = Raw::on()?;
            let reason = talk(cx, &id, &mut frames).await;
            drop(raw);
            reason
        }
        Err(e) => Err(e),
    };
    // When the shell ended by itself there is nothing left to close.
    if let Err(e) = cx.engine.close_terminal(&cx.caller, IdRequest { id: id.clone() }).await
        && e.code != Code::NotFound
    {
        tracing::warn!("terminal {id} could not be closed: {e}");
    }
    let reason = reason?;
    cx.out.answer(&serde_json::json!({"terminal": id, "reason": reason}), |out, _| out.line(format!("\n{reason}")))
}

async fn talk(
    cx: &Cx,
    id: &str,
    frames: &mut (impl futures_util::Stream<Item = TerminalFrame> + Unpin),
) -> Result<String> {
    let mut keys = keyboard();
    let mut sizes = sizes()?;
    let asked = signal::asked_to_end();
    tokio::pin!(asked);
    let mut typing = true;
    loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(TerminalFrame::Output { bytes, .. }) => {
                    let mut stdout = std::io::stdout().lock();
                    stdout.write_all(&bytes)?;
                    stdout.flush()?;
                }
                Some(TerminalFrame::Gap { .. }) => {
                    std::io::stdout().lock().write_all("\r\n[some output was left out]\r\n".as_bytes())?;
                }
                Some(TerminalFrame::Closed { reason }) => return Ok(reason),
                None => return Ok("The terminal was lost.".into()),
            },
            typed = keys.recv(), if typing => match typed {
                Some(bytes) => cx.engine.terminal_write(id, bytes).await?,
                None => typing = false,
            },
            Some(()) = sizes.recv() => {
                let (cols, rows) = size()?;
                cx.engine.resize_terminal(&cx.caller, ResizeTerminal { id: id.to_owned(), cols, rows }).await?;
            }
            () = &mut asked => return Ok("Left as asked.".into()),
        }
    }
}

/// What is typed, from a thread of its own: a read of the keyboard cannot be cancelled. One block under way at a time.
fn keyboard() -> mpsc::Receiver<Bytes> {
    let (send, receive) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut block = [0; 4096];
        let mut stdin = std::io::stdin().lock();
        while let Ok(n @ 1..) = stdin.read(&mut block) {
            let typed = Bytes::copy_from_slice(block.get(..n).unwrap_or_default());
            if send.blocking_send(typed).is_err() {
                break;
            }
        }
    });
    receive
}

/// A tick whenever the window's size may have changed.
fn sizes() -> Result<mpsc::Receiver<()>> {
    let (send, receive) = mpsc::channel(1);
    #[cfg(unix)]
    {
        let mut changes = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change())?;
        tokio::spawn(async move {
            while changes.recv().await.is_some() {
                if send.send(()).await.is_err() {
                    break;
                }
            }
        });
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        let mut last = crossterm::terminal::size().ok();
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            let now = crossterm::terminal::size().ok();
            if now != last && send.send(()).await.is_err() {
                break;
            }
            last = now;
        }
    });
    Ok(receive)
}

/// # Errors
/// What the engine could not start; `Cancelled` on Ctrl-C (the program's input is closed with it).
pub async fn exec(cx: &Cx, run: &str, node: &str, argv: Vec<String>) -> Result<ExitCode> {
    let input = if std::io::stdin().is_terminal() { None } else { Some(piped().await?) };
    let mut running = cx.engine.exec(&cx.caller, run, node, argv, input).await?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let asked = signal::asked_to_end();
    tokio::pin!(asked);
    loop {
        let (stream, bytes) = tokio::select! {
            () = &mut asked => return Err(Error::new(Code::Cancelled, "Left as asked; the program in the node may still run.")),
            block = running.output.next() => match block {
                Some(block) => block?,
                None => break,
            },
        };
        match (cx.out.json, stream) {
            (true, 2) => stderr.extend_from_slice(&bytes),
            (true, _) => stdout.extend_from_slice(&bytes),
            (false, 2) => std::io::stderr().lock().write_all(&bytes)?,
            (false, _) => {
                let mut out = std::io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()?;
            }
        }
    }
    let code = running.exit.await?;
    if cx.out.json {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        cx.out.document(&serde_json::json!({"exit": code, "stdout": text(&stdout), "stderr": text(&stderr)}))?;
    }
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(exit::FAILED)))
}

/// What is piped in, up to 16 MiB.
async fn piped() -> Result<Bytes> {
    const LIMIT: u64 = 16 << 20;
    let read = tokio::task::spawn_blocking(|| {
        let mut all = Vec::new();
        std::io::stdin().lock().take(LIMIT + 1).read_to_end(&mut all).map(|_| all)
    });
    let all = read.await.map_err(Error::internal)??;
    if all.len() as u64 > LIMIT {
        return Err(Error::new(Code::TooLarge, "More than 16 MiB was piped in."));
    }
    Ok(all.into())
}
