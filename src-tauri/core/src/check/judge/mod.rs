//! Judging: pure, from the probe and the recorded answer alone, the same on the laptop and wherever it is re-graded.
//!
//! Output is parsed strictly and by our programs' formats; what does not look like them is an *error*, which is neither
//! for nor against the learner. Text that the learner may have chosen appears in `seen` only as a quotation.

mod kernel;
mod reach;
mod service;
mod text;

use super::ask::question;
use super::observation::{Answer, Observation};
use crate::api::OutcomeKind;
use crate::template::scenario::Probe;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// `Pass`, `Fail` or `Error`.
    pub outcome: OutcomeKind,
    /// What should have been seen, in a learner's words.
    pub expected: String,
    /// What was seen; for an error, why nothing could be.
    pub seen: String,
}

/// What a probe's own judge says: held or not, and what was seen; `Err` says why it cannot be judged.
type Verdict = Result<(bool, String), String>;

/// Decides. An observation that answers another question than this probe asks is an error.
pub fn judge(probe: &Probe, observation: &Observation) -> Judged {
    let expected = text::expected(probe);
    let verdict = if question(probe).ask == observation.asked {
        decide(probe, &observation.answered)
    } else {
        Err("the recorded answer belongs to another question".into())
    };
    let (outcome, seen) = match verdict {
        Ok((true, seen)) => (OutcomeKind::Pass, seen),
        Ok((false, seen)) => (OutcomeKind::Fail, seen),
        Err(why) => (OutcomeKind::Error, format!("could not be checked: {why}")),
    };
    Judged { outcome, expected, seen }
}

/// Whether the answer says that the service is only starting, so that asking again soon may tell something else. BIND
/// says SERVFAIL for a zone that it has been told of and is still loading.
pub(super) fn starting(probe: &Probe, answer: &Answer) -> bool {
    match (probe, answer) {
        (Probe::Dns { .. }, Answer::Output { stdout, .. }) => stdout.contains(", status: SERVFAIL,"),
        _ => false,
    }
}

fn decide(probe: &Probe, answer: &Answer) -> Verdict {
    match probe {
        Probe::File { matches, lacks, exists, path, .. } => {
            service::file(answer, path, matches.as_deref(), lacks.as_deref(), *exists)
        }
        Probe::Log { path, line, present, .. } => service::log(answer, path, line, *present),
        _ => {
            let printed = Printed::of(answer)?;
            match probe {
                Probe::Interface { interface, address, up, .. } => {
                    kernel::interface(&printed, interface, *address, *up)
                }
                Probe::Route { to, via_protocol, via, dev, present, .. } => {
                    kernel::route(&printed, *to, via_protocol.as_deref(), *via, dev.as_deref(), *present)
                }
                Probe::Listening { proto, port, listening, .. } => {
                    kernel::listening(&printed, *proto, *port, *listening)
                }
                Probe::Process { name, running, .. } => kernel::process(&printed, name, *running),
                Probe::OspfNeighbours { full, exact, .. } => kernel::ospf(&printed, full, *exact),
                Probe::Ping { reaches, .. } => reach::ping(&printed, *reaches),
                Probe::Path { hops, .. } => reach::path(&printed, hops),
                Probe::Tcp { accepted, .. } => reach::tcp(&printed, *accepted),
                Probe::Packets { seen, .. } => reach::packets(&printed, *seen),
                Probe::Dns { rtype, answer, rcode, authoritative, .. } => {
                    service::dns(&printed, rtype, answer.as_deref(), rcode.as_deref(), *authoritative)
                }
                Probe::ZoneTransfer { allowed, .. } => service::zone_transfer(&printed, *allowed),
                Probe::Http { status, body, .. } => service::http(&printed, *status, body.as_deref()),
                Probe::Ssh { accepted, output, .. } => service::ssh(&printed, *accepted, output.as_deref()),
                Probe::SshMethods { methods, .. } => service::ssh_methods(&printed, methods),
                Probe::Command { exit, output, .. } => service::command(&printed, *exit, output.as_deref()),
                Probe::File { .. } | Probe::Log { .. } => Err("this probe reads a file".into()),
            }
        }
    }
}

/// A program's output, as far as it was recorded.
struct Printed<'a> {
    exit: i32,
    out: &'a str,
    err: &'a str,
    cut: bool,
}

impl<'a> Printed<'a> {
    fn of(answer: &'a Answer) -> Result<Self, String> {
        match answer {
            Answer::Output { exit, stdout, stderr, cut } => {
                Ok(Self { exit: *exit, out: stdout, err: stderr, cut: *cut })
            }
            Answer::NotAsked { reason } => Err(text::quoted(reason)),
            Answer::Missing | Answer::Text { .. } => Err("a file was recorded where a program's output belongs".into()),
        }
    }

    /// Everything printed, which must be whole and come from a program that said it succeeded.
    fn whole(&self) -> Result<&'a str, String> {
        if self.exit != 0 {
            return Err(self.broke());
        }
        if self.cut {
            return Err("the answer was too long to be judged".into());
        }
        Ok(self.out)
    }

    fn broke(&self) -> String {
        match self.exit {
            126 => "the node is not running, or the program may not be started".into(),
            127 => "a program the check needs is missing".into(),
            exit => {
                let said = self.err.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("nothing");
                format!("the program ended with {exit} and said {}", text::quoted(said))
            }
        }
    }
}

/// An expression from the template, with limits on what it may compile to.
fn expression(pattern: &str) -> Result<regex::Regex, String> {
    regex::RegexBuilder::new(pattern)
        .size_limit(1 << 20)
        .build()
        .map_err(|_| format!("the lab's expression {} is not valid", text::quoted(pattern)))
}
