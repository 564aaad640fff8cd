//! From the classic builder's output to steps, and from its failures to causes.

use crate::error::{Code, Error};

/// What is being done, for whoever watches. `percent` is of this image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Short name of the image.
    pub image: String,
    /// A few words, e.g. `step 4 of 9` or `base: pull`.
    pub step: String,
    pub percent: u8,
    /// The latest line of output.
    pub detail: String,
}

/// Lines kept to explain a failure.
const TAIL: usize = 30;

/// Follows one build.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    number: u32,
    of: u32,
    instruction: String,
    tail: Vec<String>,
}

impl Tracker {
    /// Takes a piece of the builder's output; true when something worth showing has changed.
    pub(super) fn take(&mut self, text: &str) -> bool {
        let mut changed = false;
        for line in text.split(['\n', '\r']).map(|l| strip_colours(l).trim().to_owned()).filter(|l| !l.is_empty()) {
            if let Some((number, of, instruction)) = step(&line) {
                (self.number, self.of, self.instruction) = (number, of, instruction.to_owned());
                self.tail.clear();
            }
            if self.tail.len() == TAIL {
                self.tail.remove(0);
            }
            self.tail.push(line);
            changed = true;
        }
        changed
    }

    pub(super) fn progress(&self, image: &str) -> Progress {
        let done = self.number.saturating_sub(1) * 100;
        Progress {
            image: image.to_owned(),
            step: if self.of == 0 { "start".to_owned() } else { format!("step {} of {}", self.number, self.of) },
            percent: done.checked_div(self.of).and_then(|p| u8::try_from(p).ok()).unwrap_or(0).min(99),
            detail: self.tail.last().cloned().unwrap_or_default(),
        }
    }

    /// Where it happened, why, and what to do.
    pub(super) fn failure(&self, image: &str, error: &Error) -> Error {
        let place = if self.of == 0 {
            format!("Image '{image}' could not be built")
        } else {
            format!(
                "Image '{image}' could not be built: step {} of {} ({})",
                self.number,
                self.of,
                shorten(&self.instruction)
            )
        };
        explain(place, &self.tail, error)
    }
}

/// How apt and its methods say that they got no connection, in lower case.
const NETWORK: &[&str] = &[
    "temporary failure resolving",
    "could not resolve",
    "could not connect",
    "unable to connect",
    "connection timed out",
    "network is unreachable",
    "no route to host",
    "connection refused",
    "failed to fetch",
];

/// Names the cause of a failed build or base from its last lines of output.
pub(super) fn explain(place: String, tail: &[String], error: &Error) -> Error {
    let all = format!("{}\n{}", tail.join("\n"), error.message).to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| all.contains(w));
    // The line that says it best: apt's and the tools' error lines, else the last.
    let said = tail
        .iter()
        .rev()
        .find(|l| ["E:", "W: Failed", "error:", "dpkg: error"].iter().any(|p| l.starts_with(p)))
        .or(tail.last())
        .map(|l| format!(" {l}"))
        .unwrap_or_default();
    // Later complaints ("unable to locate package") only follow from the first one that names the network.
    let network = |l: &&String| NETWORK.iter().any(|w| l.to_lowercase().contains(w));
    let unreached = tail.iter().find(network).map(|l| format!(" {l}")).unwrap_or_default();
    let made = if error.code == Code::DiskFull || has(&["no space left on device", "not enough free space"]) {
        Error::new(Code::DiskFull, format!("{place}: the disk is full.{said}"))
            .hint("Free some space (`docker system df` shows what Docker takes), then prepare again.")
    } else if matches!(error.code, Code::DockerUnavailable | Code::Timeout | Code::Cancelled) {
        error.clone().context(place)
    } else if has(NETWORK) {
        Error::new(Code::ImageBuildFailed, format!("{place}: Debian's packages could not be reached.{unreached}"))
            .hint("Check the network connection (and the proxy, if you use one: http_proxy), then prepare again.")
    } else {
        Error::new(Code::ImageBuildFailed, format!("{place}: {}{said}", error.message))
    };
    made.hint("Preparing again goes on where this stopped: finished steps are kept.")
        .details(serde_json::json!({"output": tail}))
}

/// `Step 3/9 : RUN …`
fn step(line: &str) -> Option<(u32, u32, &str)> {
    let (counter, instruction) = line.strip_prefix("Step ")?.split_once(" : ")?;
    let (number, of) = counter.split_once('/')?;
    Some((number.parse().ok()?, of.parse().ok()?, instruction))
}

fn shorten(instruction: &str) -> String {
    let one_line = instruction.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", one_line.get(..end).unwrap_or_default()),
        None => one_line,
    }
}

/// The builder colours what went to stderr.
fn strip_colours(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn steps_become_percent() {
        let mut t = Tracker::default();
        assert_eq!(t.progress("host").percent, 0);
        assert!(t.take("Step 5/8 : RUN /forge/install frr\n"));
        t.take("\u{1b}[91mdebconf: delaying\n\u{1b}[0m");
        let p = t.progress("host");
        assert_eq!((p.step.as_str(), p.percent, p.detail.as_str()), ("step 5 of 8", 50, "debconf: delaying"));
        assert!(!t.take("\n"));
    }

    #[test]
    fn failures_name_the_step_the_cause_and_the_remedy() {
        let docker = Error::new(Code::DockerFailed, "The command returned a non-zero code: 100");
        let mut t = Tracker::default();
        t.take("Step 4/8 : RUN /forge/install tini\nErr:1 http://deb.debian.org bookworm InRelease\n");
        t.take("E: Failed to fetch http://deb.debian.org/x  Temporary failure resolving 'deb.debian.org'\n");
        let e = t.failure("host", &docker);
        assert_eq!(e.code, Code::ImageBuildFailed);
        assert!(
            e.message.contains("step 4 of 8 (RUN /forge/install tini)") && e.message.contains("could not be reached"),
            "{e}"
        );
        assert!(e.hints.iter().any(|h| h.contains("network")) && e.hints.iter().any(|h| h.contains("goes on")));

        t.take("Step 5/8 : RUN x\ntar: write error: No space left on device\n");
        assert_eq!(t.failure("host", &docker).code, Code::DiskFull);
    }

    #[test]
    fn the_tail_is_bounded() {
        let mut t = Tracker::default();
        for n in 0..1000 {
            t.take(&format!("line {n}\n"));
        }
        assert_eq!(t.tail.len(), TAIL);
        assert_eq!(t.tail.last().unwrap(), "line 999");
    }
}
