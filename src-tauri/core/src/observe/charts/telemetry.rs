//! A stretch of a run's telemetry: processor time per node above, traffic on all links below.

use super::canvas::{Align, BODY, Canvas, Mark, SMALL, draw};
use super::scale::{duration, rate, ticks};
use super::{Colour, HEIGHT, Palette, WIDTH};
use crate::api::Telemetry;
use crate::error::Result;
use std::collections::BTreeMap;

/// Nodes with a line of their own, the busiest.
const NODES: usize = 4;
const LEFT: i32 = 84;
const RIGHT: i32 = WIDTH as i32 - 20;

/// The samples in order of time; two at least make a line.
pub fn telemetry(samples: &[Telemetry], palette: &Palette) -> Result<String> {
    let span = match (samples.first(), samples.last()) {
        (Some(first), Some(last)) if last.at > first.at => Some((first.at, last.at)),
        _ => None,
    };
    let traffic: Vec<f64> = samples.iter().map(bits).collect();
    let peak = traffic.iter().copied().fold(0.0, f64::max);
    let busiest = busiest(samples);
    let describe = match span {
        Some((from, to)) => format!(
            "{} of samples; busiest node {}; traffic up to {}.",
            duration((to - from) as u64),
            busiest.first().map_or("none", |n| n.as_str()),
            rate(peak)
        ),
        None => "No samples.".to_owned(),
    };
    draw((WIDTH, HEIGHT), palette, "Load and traffic", &describe, |c| {
        let Some((from, to)) = span else {
            let at = (WIDTH as i32 / 2, HEIGHT as i32 / 2);
            return c.text(at, Align::Middle, BODY, palette.muted, "Nothing was measured for long enough to be drawn.");
        };
        let x = |at: i64| LEFT + ((RIGHT - LEFT) as i64 * (at - from).clamp(0, to - from) / (to - from)) as i32;
        let cpu = |s: &Telemetry, node: &str| s.nodes.iter().find(|n| n.node == node).map(|n| finite(n.cpu_percent));
        let most = busiest.iter().flat_map(|n| samples.iter().filter_map(|s| cpu(s, n))).fold(0.0, f64::max);

        let upper = Plot::new(c, (34, 104), most.max(1.0), |v| format!("{v:.0} %"))?;
        let mut legend = LEFT;
        c.text((8, 14), Align::Left, SMALL, palette.muted, "Processor")?;
        for (n, node) in busiest.iter().enumerate() {
            let rgb = palette.series.get(n).copied().unwrap_or(palette.muted);
            let line: Vec<_> = samples.iter().filter_map(|s| Some((x(s.at), upper.y(cpu(s, node)?)))).collect();
            c.line(&line, 2, rgb)?;
            if let Some(end) = line.last() {
                c.mark(Mark::nth(n), *end, 3, rgb)?;
            }
            let name = c.fitted(SMALL, node, 110)?;
            c.mark(Mark::nth(n), (legend + 4, 14), 3, rgb)?;
            c.text((legend + 13, 14), Align::Left, SMALL, palette.text, &name)?;
            legend += 13 + c.width(SMALL, &name)? + 16;
        }

        let lower = Plot::new(c, (146, 208), peak.max(1000.0), rate)?;
        c.text((8, 128), Align::Left, SMALL, palette.muted, "Traffic, all links")?;
        let line: Vec<_> = samples.iter().zip(&traffic).map(|(s, bps)| (x(s.at), lower.y(*bps))).collect();
        area(c, &line, lower.bottom, palette.accent)?;
        for (at, align, words) in [
            (LEFT, Align::Left, "start".to_owned()),
            (RIGHT, Align::Right, format!("after {}", duration((to - from) as u64))),
        ] {
            c.text((at, 224), align, SMALL, palette.muted, &words)?;
        }
        Ok(())
    })
}

struct Plot {
    top: i32,
    bottom: i32,
    full: f64,
}

impl Plot {
    /// Draws the lines and labels of its scale.
    fn new(c: &Canvas<'_>, (top, bottom): (i32, i32), max: f64, words: impl Fn(f64) -> String) -> Result<Self> {
        let steps = ticks(max, 2);
        let plot = Self { top, bottom, full: steps.last().copied().unwrap_or(1.0) };
        for step in steps {
            let y = plot.y(step);
            c.line(&[(LEFT, y), (RIGHT, y)], 1, c.palette.hairline)?;
            c.text((LEFT - 8, y), Align::Right, SMALL, c.palette.muted, &words(step))?;
        }
        Ok(plot)
    }

    fn y(&self, value: f64) -> i32 {
        self.bottom - ((self.bottom - self.top) as f64 * (finite(value) / self.full).min(1.0)).round() as i32
    }
}

fn area(c: &Canvas<'_>, line: &[(i32, i32)], bottom: i32, rgb: Colour) -> Result<()> {
    if let (Some(first), Some(last)) = (line.first(), line.last()) {
        let mut shape = line.to_vec();
        shape.extend([(last.0, bottom), (first.0, bottom)]);
        c.fill(&shape, rgb, 0.16)?;
    }
    c.line(line, 2, rgb)
}

fn finite(value: f64) -> f64 {
    if value.is_finite() { value.max(0.0) } else { 0.0 }
}

/// What all endpoints sent: each bit is sent once, however many see it.
fn bits(sample: &Telemetry) -> f64 {
    sample.links.iter().map(|l| finite(l.tx_bps)).sum()
}

fn busiest(samples: &[Telemetry]) -> Vec<String> {
    let mut total: BTreeMap<&str, f64> = BTreeMap::new();
    for node in samples.iter().flat_map(|s| &s.nodes) {
        *total.entry(&node.node).or_default() += finite(node.cpu_percent);
    }
    let mut order: Vec<_> = total.into_iter().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
    order.into_iter().take(NODES).map(|(node, _)| node.to_owned()).collect()
}
