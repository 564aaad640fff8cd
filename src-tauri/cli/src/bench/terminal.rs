//! `forge bench terminal`: keystroke echo and output of a terminal, beside a bare exec attached to the same node. Both are
//! open at once and take turns, so that what else the machine does falls on both alike.

use super::own::Own;
use super::{ms, quantile, ring};
use crate::out::{Out, cell};
use bytes::Bytes;
use forge_core::api::{Caller, Commands, IdRequest, OpenTerminal, TerminalFrame};
use forge_core::engine::{Engine, ExecSpec};
use forge_core::error::{Code, Error, Result};
use forge_core::forge::Forge;
use forge_core::shell::Shellable;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, AsyncWriteExt};

const KEYS: u32 = 300;
const MEGABYTES: u64 = 50;
const ROUNDS: u32 = 3;
const LIMIT: Duration = Duration::from_secs(180);
const NODES: u32 = 3;

/// A shell in a node, by one way or the other.
struct Line {
    input: Input,
    output: BoxStream<'static, Result<Bytes>>,
}

enum Input {
    Forge { forge: Arc<Forge>, id: String },
    Raw(Pin<Box<dyn AsyncWrite + Send>>),
}

#[derive(Default, serde::Serialize)]
struct Row {
    way: &'static str,
    echo_p50_ms: Option<f64>,
    echo_p99_ms: Option<f64>,
    mb_per_s: Option<f64>,
}

pub async fn run(caller: &Caller, out: &Out) -> Result<()> {
    let own = Own::open(vec![(ring::lab_id(NODES), ring::lab(NODES))]).await?;
    let measured = tokio::select! {
        rows = tokio::time::timeout(LIMIT, measure(&own, caller)) =>
            rows.unwrap_or_else(|_| Err(Error::new(Code::Timeout, "The terminals did not answer in time."))),
        () = crate::signal::asked_to_end() => Err(Error::cancelled()),
    };
    own.close(caller).await?;
    let rows = measured?;
    out.answer(&serde_json::json!({"keys": KEYS, "megabytes": MEGABYTES, "rows": rows}), |out, _| {
        let told = |v: Option<f64>| cell(format!("{:.2} ms", v.unwrap_or_default()));
        let table: Vec<_> = rows
            .iter()
            .map(|r| {
                let output = cell(format!("{:.1} MB/s", r.mb_per_s.unwrap_or_default()));
                vec![cell(r.way), told(r.echo_p50_ms), told(r.echo_p99_ms), output]
            })
            .collect();
        out.table(&["WAY", "ECHO P50", "ECHO P99", "OUTPUT"], &table)
    })
}

async fn measure(own: &Own, caller: &Caller) -> Result<Vec<Row>> {
    let run = own.start(caller, &ring::lab_id(NODES)).await?;
    let node = run.nodes.first().ok_or_else(|| Error::internal("the ring has no node"))?;
    let open = OpenTerminal { run: run.run.run.clone(), node: node.name.clone(), cols: 80, rows: 24 };
    let terminal = own.forge.open_terminal(caller, open).await?;
    let ways = ["raw exec attach", "forge"];
    let mut lines = [raw(own, &node.container).await?, forge(own, &terminal.id).await?];
    for line in &mut lines {
        line.write(b"stty -echo; printf 'rea''dy\\n'; stty echo; cat > /dev/null\r").await?;
        line.until(b"ready").await?;
    }
    // Until cat is there and the echo is the terminal's own.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (mut echo, mut rates) = ([vec![], vec![]], [vec![], vec![]]);
    for _ in 0..KEYS {
        for (line, echo) in lines.iter_mut().zip(&mut echo) {
            let began = Instant::now();
            line.write(b"~").await?;
            line.until(b"~").await?;
            echo.push(ms(began));
        }
    }
    for line in &mut lines {
        line.write(b"\x03").await?;
        line.write(b"\rstty -echo; head -c 50000000 /dev/zero | tr '\\0' x > /tmp/x; printf 'writ''ten'\r").await?;
        line.until(b"written").await?;
    }
    for _ in 0..ROUNDS {
        for (line, rates) in lines.iter_mut().zip(&mut rates) {
            line.write(b"printf 'beg''in'; cat /tmp/x; printf 'en''d\\n'\r").await?;
            line.until(b"begin").await?;
            let began = Instant::now();
            line.until(b"end").await?;
            rates.push(MEGABYTES as f64 / began.elapsed().as_secs_f64());
        }
    }
    own.forge.close_terminal(caller, IdRequest { id: terminal.id }).await?;
    let rows = ways.into_iter().zip(echo).zip(rates).map(|((way, mut echo), rates)| Row {
        way,
        echo_p50_ms: quantile(&mut echo, 0.5),
        echo_p99_ms: quantile(&mut echo, 0.99),
        mb_per_s: super::median(rates),
    });
    Ok(rows.collect())
}

async fn raw(own: &Own, container: &str) -> Result<Line> {
    let spec = ExecSpec {
        argv: ["bash", "-l"].map(String::from).to_vec(),
        env: vec![("TERM".into(), "xterm-256color".into())],
        tty: Some((80, 24)),
        stdin: true,
        ..ExecSpec::default()
    };
    let stream = own.docker.attach(container, &spec).await?;
    Ok(Line { input: Input::Raw(stream.input), output: stream.output.map(|o| o.map(|(_, bytes)| bytes)).boxed() })
}

async fn forge(own: &Own, id: &str) -> Result<Line> {
    let frames = own.forge.terminal(id, 0).await?;
    let output = frames.map(|frame| match frame {
        TerminalFrame::Output { bytes, .. } => Ok(bytes),
        TerminalFrame::Gap { .. } => Ok(Bytes::new()),
        TerminalFrame::Closed { reason } => Err(Error::new(Code::WrongState, format!("The terminal closed: {reason}"))),
    });
    Ok(Line { input: Input::Forge { forge: own.forge.clone(), id: id.to_owned() }, output: output.boxed() })
}

impl Line {
    async fn write(&mut self, text: &'static [u8]) -> Result<()> {
        match &mut self.input {
            Input::Forge { forge, id } => forge.terminal_write(id, Bytes::from_static(text)).await,
            Input::Raw(input) => {
                input.write_all(text).await?;
                Ok(input.flush().await?)
            }
        }
    }

    /// Reads until these bytes came by.
    async fn until(&mut self, mark: &[u8]) -> Result<()> {
        let mut tail: Vec<u8> = Vec::new();
        while let Some(bytes) = self.output.next().await {
            tail.extend_from_slice(&bytes?);
            if tail.windows(mark.len()).any(|w| w == mark) {
                return Ok(());
            }
            // Only what could be the beginning of the mark is kept.
            tail.drain(..tail.len().saturating_sub(mark.len() - 1));
        }
        Err(Error::new(Code::WrongState, "The terminal was lost."))
    }
}
