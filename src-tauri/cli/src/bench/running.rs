//! Benchmarks on a lab that runs: a full gentle check, and a terminal's echo and throughput.

use super::{ms, quantile};
use crate::out::{Out, cell};
use bytes::Bytes;
use forge_core::api::{Caller, CheckRun, Commands, IdRequest, OpenTerminal, TerminalFrame};
use forge_core::error::{Code, Error, Result};
use forge_core::forge::Forge;
use forge_core::shell::Shellable;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::path::Path;
use std::time::{Duration, Instant};

const KEYS: u32 = 200;
const MEGABYTES: u64 = 50;
const LIMIT: Duration = Duration::from_secs(60);

pub async fn probes(run: String, rounds: u32, caller: &Caller, out: &Out, home: &Path) -> Result<()> {
    let forge = crate::engine::open(home.to_owned(), "cli", None).await?;
    let measured = async {
        let mut samples = Vec::new();
        let mut criteria = 0;
        for _ in 0..rounds.max(1) {
            let began = Instant::now();
            let request = CheckRun { run: run.clone(), criteria: Vec::new(), gentle: true };
            criteria = forge.check_run(caller, request).await?.criteria.len();
            samples.push(ms(began));
        }
        Ok::<_, Error>((criteria, samples))
    }
    .await;
    forge.shutdown().await;
    let (criteria, mut samples) = measured?;
    let (p50, worst) = (quantile(&mut samples, 0.5), quantile(&mut samples, 1.0));
    let document = serde_json::json!({"criteria": criteria, "rounds": rounds, "p50_ms": p50, "max_ms": worst});
    out.answer(&document, |out, _| {
        let told = |v: Option<f64>| cell(format!("{:.0} ms", v.unwrap_or_default()));
        out.table(
            &["CRITERIA", "ROUNDS", "P50", "WORST"],
            &[vec![cell(criteria.to_string()), cell(rounds.to_string()), told(p50), told(worst)]],
        )
    })
}

pub async fn terminal(run: String, node: String, caller: &Caller, out: &Out, home: &Path) -> Result<()> {
    let forge = crate::engine::open(home.to_owned(), "cli", None).await?;
    let info = forge.open_terminal(caller, OpenTerminal { run, node, cols: 80, rows: 24 }).await;
    let measured = match info {
        Ok(info) => {
            let measured = tokio::time::timeout(LIMIT, talk(&forge, &info.id)).await;
            forge.close_terminal(caller, IdRequest { id: info.id }).await?;
            measured.unwrap_or_else(|_| Err(Error::new(Code::Timeout, "The terminal did not answer in time.")))
        }
        Err(e) => Err(e),
    };
    forge.shutdown().await;
    let (mut echo, throughput) = measured?;
    let (p50, p99) = (quantile(&mut echo, 0.5), quantile(&mut echo, 0.99));
    let document = serde_json::json!({"keys": KEYS, "echo_p50_ms": p50, "echo_p99_ms": p99, "megabytes": MEGABYTES, "mb_per_s": throughput});
    out.answer(&document, |out, _| {
        let told = |v: Option<f64>| cell(format!("{:.2} ms", v.unwrap_or_default()));
        out.table(
            &["ECHO P50", "ECHO P99", "OUTPUT"],
            &[vec![told(p50), told(p99), cell(format!("{throughput:.1} MB/s"))]],
        )
    })
}

/// Echo times in milliseconds with `cat` at the other end, then output in MB/s.
async fn talk(forge: &Forge, id: &str) -> Result<(Vec<f64>, f64)> {
    let mut frames = forge.terminal(id, 0).await?;
    let write = |text: &'static [u8]| forge.terminal_write(id, Bytes::from_static(text));
    write(b"stty -echo; printf 'rea''dy\\n'; stty echo; cat > /dev/null\r").await?;
    until(&mut frames, b"ready").await?;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut echo = Vec::new();
    for _ in 0..KEYS {
        let began = Instant::now();
        write(b"~").await?;
        until(&mut frames, b"~").await?;
        echo.push(ms(began));
    }
    write(b"\x03").await?;
    write(b"\rstty -echo\rprintf 'beg''in'; head -c 50000000 /dev/zero | tr '\\0' x; printf 'en''d\\n'\r").await?;
    until(&mut frames, b"begin").await?;
    let began = Instant::now();
    until(&mut frames, b"end").await?;
    Ok((echo, MEGABYTES as f64 / began.elapsed().as_secs_f64()))
}

/// Reads until these bytes came by.
async fn until(frames: &mut BoxStream<'static, TerminalFrame>, mark: &[u8]) -> Result<()> {
    let mut tail: Vec<u8> = Vec::new();
    loop {
        match frames.next().await {
            Some(TerminalFrame::Output { bytes, .. }) => {
                tail.extend_from_slice(&bytes);
                if tail.windows(mark.len()).any(|w| w == mark) {
                    return Ok(());
                }
                // Only what could be the beginning of the mark is kept.
                tail.drain(..tail.len().saturating_sub(mark.len() - 1));
            }
            Some(TerminalFrame::Gap { .. }) => {}
            Some(TerminalFrame::Closed { reason }) => {
                return Err(Error::new(Code::WrongState, format!("The terminal closed: {reason}")));
            }
            None => return Err(Error::new(Code::WrongState, "The terminal was lost.")),
        }
    }
}
