//! One second of a lab after the other, from a single process in the fabric that reads counters and forks nothing.
//! Link rates are counted on the fabric's side of each port, where no learner can touch them.

use super::live::Live;
use crate::api::{LinkLoad, NodeLoad, Telemetry};
use crate::engine::ExecStream;
use crate::engine::fabric::Place;
use crate::engine::fabric::wiring::Bridge;
use crate::error::{Code, Error, Result};
use futures_util::stream::{BoxStream, StreamExt};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

/// A sampler that says nothing for so long has ended, though Docker has not told.
const SILENCE: Duration = Duration::from_secs(15);

/// Counters at one moment, as `sampler.pl` prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sample {
    /// Milliseconds on the machine's own clock.
    ms: u64,
    ports: BTreeMap<String, PortCount>,
    nodes: BTreeMap<String, NodeCount>,
}

/// From the fabric's side: what it received, the node sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PortCount {
    rx_bytes: u64,
    rx_packets: u64,
    tx_bytes: u64,
    tx_packets: u64,
    carrier: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct NodeCount {
    cpu_ns: u64,
    memory: u64,
    pids: u32,
}

/// Samples of a run at 1 Hz until the receiver is dropped or the fabric is gone (then an error, and the end).
/// `now` gives Unix milliseconds for `Telemetry::at`.
pub async fn telemetry(live: Arc<Live>, now: fn() -> i64) -> Result<BoxStream<'static, Result<Telemetry>>> {
    let stream = live.fabric.sampler().await?;
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        if let Err(error) = pump(&live, stream, now, &sender).await {
            // Nobody may be listening any more, and then nobody needs the error.
            let _ = sender.send(Err(error)).await;
        }
    });
    Ok(tokio_stream::wrappers::ReceiverStream::new(receiver).boxed())
}

async fn pump(
    live: &Live,
    stream: ExecStream,
    now: fn() -> i64,
    sender: &mpsc::Sender<Result<Telemetry>>,
) -> Result<()> {
    let ExecStream { mut input, mut output, .. } = stream;
    let mut parser = Parser::default();
    let mut before: Option<Sample> = None;
    let mut told: Vec<Place> = Vec::new();
    loop {
        let places = live.known_places();
        if places != told {
            input.write_all(table(&places).as_bytes()).await?;
            input.flush().await?;
            told = places;
        }
        let chunk = tokio::select! {
            () = sender.closed() => return Ok(()),
            chunk = tokio::time::timeout(SILENCE, output.next()) => chunk.unwrap_or(None),
        };
        match chunk {
            Some(Ok((1, bytes))) => parser.feed(&bytes),
            Some(Ok((_, bytes))) => tracing::warn!(text = %String::from_utf8_lossy(&bytes).trim_end(), "sampler"),
            Some(Err(error)) => return Err(error),
            None => return Err(Error::new(Code::WrongState, "The lab's fabric has ended.")),
        }
        while let Some(sample) = parser.next() {
            // A node without counters has ended or been restarted: its pid has to be asked for again, once a second.
            for missing in told.iter().filter(|p| !sample.nodes.contains_key(&p.node)) {
                live.stale_at(missing);
            }
            for node in live.scenario.nodes.iter().filter(|n| !sample.nodes.contains_key(&n.name)) {
                // It may still be down; then the next sample asks again.
                let _ = live.place(&node.name).await;
            }
            let load = rates(live.run(), now(), before.as_ref(), &sample, &live.bridges);
            if sender.send(Ok(load)).await.is_err() {
                return Ok(());
            }
            before = Some(sample);
        }
    }
}

fn table(places: &[Place]) -> String {
    let mut out = places.iter().fold(String::new(), |mut out, p| {
        let _ = writeln!(out, "{} {} {}", p.node, p.pid, p.container);
        out
    });
    out.push('\n');
    out
}

/// Lines in any chunks → samples.
#[derive(Default)]
struct Parser {
    rest: Vec<u8>,
    open: Sample,
    done: std::collections::VecDeque<Sample>,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.line(String::from_utf8_lossy(&line).trim_end());
        }
    }

    fn line(&mut self, line: &str) {
        let mut fields = line.split(' ');
        let kind = fields.next();
        if kind == Some("E") {
            self.done.push_back(std::mem::take(&mut self.open));
            return;
        }
        let name = fields.next().unwrap_or_default().to_string();
        let mut number = || fields.next().and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        match kind {
            Some("T") => self.open.ms = name.parse().unwrap_or(0),
            Some("P") => {
                let (rx_bytes, rx_packets, tx_bytes, tx_packets) = (number(), number(), number(), number());
                let count = PortCount { rx_bytes, rx_packets, tx_bytes, tx_packets, carrier: number() == 1 };
                self.open.ports.insert(name, count);
            }
            Some("N") => {
                let (cpu_ns, memory) = (number(), number());
                let pids = u32::try_from(number()).unwrap_or(u32::MAX);
                self.open.nodes.insert(name, NodeCount { cpu_ns, memory, pids });
            }
            _ => {}
        }
    }

    fn next(&mut self) -> Option<Sample> {
        self.done.pop_front()
    }
}

/// Rates between two samples; all 0 in the first one and where a counter started anew.
fn rates(run: &str, at: i64, before: Option<&Sample>, after: &Sample, bridges: &[Bridge]) -> Telemetry {
    let seconds = before.map_or(0.0, |b| after.ms.saturating_sub(b.ms) as f64 / 1000.0);
    let per_second = |before: u64, after: u64| match after.checked_sub(before) {
        Some(grown) if seconds > 0.0 => grown as f64 / seconds,
        _ => 0.0,
    };
    let nodes = after.nodes.iter().map(|(node, count)| {
        let cpu_before = before.and_then(|b| b.nodes.get(node)).map_or(count.cpu_ns, |c| c.cpu_ns);
        NodeLoad {
            node: node.clone(),
            cpu_percent: per_second(cpu_before, count.cpu_ns) / 1e7,
            memory_bytes: count.memory,
            pids: count.pids,
        }
    });
    let links = bridges.iter().flat_map(|b| b.ports.iter().map(move |p| (b, p))).map(|(bridge, port)| {
        let count = after.ports.get(&port.name()).copied().unwrap_or_default();
        let last = before.and_then(|b| b.ports.get(&port.name())).copied().unwrap_or(count);
        LinkLoad {
            link: bridge.link.clone(),
            node: port.node.clone(),
            interface: port.interface.clone(),
            // The node receives what the fabric's port sends.
            rx_bps: per_second(last.tx_bytes, count.tx_bytes) * 8.0,
            tx_bps: per_second(last.rx_bytes, count.rx_bytes) * 8.0,
            rx_pps: per_second(last.tx_packets, count.tx_packets),
            tx_pps: per_second(last.rx_packets, count.rx_packets),
            up: count.carrier,
        }
    });
    Telemetry { run: run.into(), at, nodes: nodes.collect(), links: links.collect() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use crate::engine::fabric::wiring::{Port, Shape};

    const FIRST: &str = "T 1000\nP p0.0 100 1 2000 10 1\nN r1 5000000000 1048576 4\nE\n";
    const SECOND: &str = "T 3000\nP p0.0 350 3 2000 10 0\nN r1 5500000000 2097152 5\nE\n";

    fn bridge() -> Bridge {
        let port = Port {
            link: 0,
            end: 0,
            node: "r1".into(),
            interface: "eth1".into(),
            mac: String::new(),
            mtu: None,
            addresses: vec![],
            shape: Shape::default(),
            checksum_off: false,
        };
        Bridge { index: 0, link: "r1-r2".into(), mtu: None, shape: Shape::default(), ports: vec![port] }
    }

    fn samples(text: &str, chunk: usize) -> Vec<Sample> {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        for part in text.as_bytes().chunks(chunk) {
            parser.feed(part);
            out.extend(std::iter::from_fn(|| parser.next()));
        }
        out
    }

    #[test]
    fn rates_are_per_second_and_from_the_nodes_side() {
        for chunk in [1, 7, 1000] {
            let all = samples(&format!("{FIRST}{SECOND}"), chunk);
            assert_eq!(all.len(), 2, "chunks of {chunk}");
            let load = rates("run", 9, Some(&all[0]), &all[1], &[bridge()]);
            let link = &load.links[0];
            assert_eq!((link.tx_bps, link.tx_pps, link.rx_bps, link.up), (1000.0, 1.0, 0.0, false));
            let node = &load.nodes[0];
            assert_eq!((node.cpu_percent, node.memory_bytes, node.pids), (25.0, 2_097_152, 5));
        }
    }

    #[test]
    fn the_first_sample_and_a_counter_that_started_anew_are_no_rate() {
        let all = samples(&format!("{SECOND}{FIRST}"), 64);
        let first = rates("run", 0, None, &all[0], &[bridge()]);
        assert_eq!((first.links[0].tx_bps, first.nodes[0].cpu_percent), (0.0, 0.0));
        let mut later = all[1].clone();
        later.ms = 5000;
        let restarted = rates("run", 0, Some(&all[0]), &later, &[bridge()]);
        assert_eq!((restarted.links[0].tx_bps, restarted.nodes[0].cpu_percent), (0.0, 0.0));
        assert_eq!(restarted.nodes[0].memory_bytes, 1_048_576);
    }

    #[test]
    fn a_port_that_is_away_shows_as_down() {
        let all = samples("T 1\nE\n", 64);
        let load = rates("run", 0, None, &all[0], &[bridge()]);
        assert!(!load.links[0].up && load.nodes.is_empty());
    }
}
