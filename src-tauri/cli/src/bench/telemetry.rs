//! `forge bench telemetry`: what watching a lab costs, daemon included: the machine's busy time while nobody looks, while
//! our telemetry runs, and while `docker stats` does. Only on a quiet machine do the differences mean anything.

use super::own::Own;
use super::ring;
use crate::out::{Out, cell};
use forge_core::api::Caller;
use forge_core::error::{Code, Error, Result};
use forge_core::shell::Shellable;
use futures_util::StreamExt;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Turns of the three, one after the other.
const ROUNDS: u32 = 2;

#[derive(Default)]
struct Busy {
    idle: Vec<f64>,
    forge: Vec<f64>,
    stats: Vec<f64>,
}

pub async fn run(nodes: u32, seconds: u64, caller: &Caller, out: &Out) -> Result<()> {
    let own = Own::open(vec![(ring::lab_id(nodes), ring::lab(nodes))]).await?;
    let measured = tokio::select! {
        busy = measure(&own, nodes, Duration::from_secs(seconds), caller) => busy,
        () = crate::signal::asked_to_end() => Err(Error::cancelled()),
    };
    own.close(caller).await?;
    let Busy { idle, forge, stats } = measured?;
    let middle = |samples: Vec<f64>| super::median(samples).unwrap_or_default();
    let (idle, forge, stats) = (middle(idle), middle(forge), middle(stats));
    let document = serde_json::json!({
        "nodes": nodes, "seconds": seconds, "idle_core_percent": idle,
        "forge_core_percent": forge - idle, "docker_stats_core_percent": stats - idle,
    });
    out.answer(&document, |out, _| {
        let told = |v: f64| cell(format!("{v:.1} %"));
        let row = vec![cell(nodes.to_string()), told(idle), told(forge - idle), told(stats - idle)];
        out.table(&["NODES", "MACHINE IDLE", "FORGE AT 1 HZ", "DOCKER STATS"], &[row])
    })
}

async fn measure(own: &Own, nodes: u32, span: Duration, caller: &Caller) -> Result<Busy> {
    let run = own.start(caller, &ring::lab_id(nodes)).await?.run.run;
    // What starting a lab leaves to do in the background.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut busy = Busy::default();
    for _ in 0..ROUNDS {
        busy.idle.push(core_percent(span, tokio::time::sleep(span)).await?);
        let mut samples = own.forge.telemetry(&run).await?;
        let mut seen = 0;
        let watch = async {
            let end = tokio::time::sleep(span);
            tokio::pin!(end);
            loop {
                tokio::select! {
                    () = &mut end => break,
                    sample = samples.next() => match sample {
                        Some(_) => seen += 1,
                        None => break,
                    },
                }
            }
        };
        busy.forge.push(core_percent(span, watch).await?);
        drop(samples);
        if seen + 2 < span.as_secs() {
            return Err(Error::new(Code::WrongState, format!("Only {seen} samples came in {} s.", span.as_secs())));
        }
        let mut stats = Command::new("docker");
        stats.args(["stats", "--format", "{{.ID}} {{.CPUPerc}}"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut stats = stats.stdin(Stdio::null()).kill_on_drop(true).spawn()?;
        busy.stats.push(core_percent(span, tokio::time::sleep(span)).await?);
        stats.kill().await?;
    }
    Ok(busy)
}

/// How much of one core was busy, by the kernel's own count (proc(5), /proc/stat: user, nice, system, irq and softirq, in
/// hundredths of a second), while `what` went on.
async fn core_percent(span: Duration, what: impl Future<Output = ()>) -> Result<f64> {
    let (before, began) = (ticks()?, Instant::now());
    what.await;
    let ticks = ticks()?.saturating_sub(before);
    Ok(ticks as f64 / began.elapsed().max(span).as_secs_f64())
}

fn ticks() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let first: Vec<u64> =
        stat.lines().next().unwrap_or_default().split_whitespace().skip(1).flat_map(str::parse).collect();
    match first.as_slice() {
        [user, nice, system, _, _, irq, softirq, ..] => Ok(user + nice + system + irq + softirq),
        _ => Err(Error::new(Code::Io, "/proc/stat is not as expected.")),
    }
}
