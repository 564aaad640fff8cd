//! What is done in a run on behalf of an actor: decided by the access and the action gate, counted, and written into the
//! audit log, all in one transaction, before it is done.
//!
//! Each role has the budget of the policy to itself, so that an attacker cannot use up what a learner may do. What people use comes
//! back while time passes: at a person's pace nobody meets the limit, a script that runs away does, and waits for seconds. What
//! is no person's does not come back.

use super::access::{Access, Capability};
use crate::audit::decisions::Occasion;
use crate::audit::{self, Fact};
use crate::error::Result;
use crate::policy::{Decision, Gate, Policy};
use crate::scrub::Scrubber;
use crate::store::points::{self, Used};
use crate::store::{Store, Tx};
use serde_json::{Value, json};

/// A person's points come back, one in so many milliseconds.
const POINT_MS: u64 = 100;
/// Of a command, so much is kept in the log; the gate has seen all of it.
const KEPT_CHARS: usize = 1000;

/// How far an action reaches, as the policy names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    ReadOnly,
    Write,
    Execute,
    Network,
    Privileged,
}

/// In which part somebody acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Learner,
    Instructor,
    Attacker,
    Defender,
    System,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Learner => "learner",
            Self::Instructor => "instructor",
            Self::Attacker => "attacker",
            Self::Defender => "defender",
            Self::System => "system",
        }
    }

    fn person(self) -> bool {
        matches!(self, Self::Learner | Self::Instructor)
    }
}

/// One thing that is about to be done.
#[derive(Clone, Debug)]
pub struct Act {
    /// What it is: `exec`, `terminal`, `forward`, `restart`, `answer`, `startup`, `isolation`.
    pub name: &'static str,
    /// None: the lab as a whole.
    pub node: Option<String>,
    pub class: Class,
    /// What is run, where it is a command.
    pub command: String,
    pub part: Part,
    /// In whose name.
    pub subject: String,
}

/// In which run, under which access, on which occasion.
#[derive(Clone, Debug)]
pub struct Scene {
    pub run: String,
    pub lab: String,
    pub track: String,
    pub access: Access,
    pub correlation: String,
    /// Takes out of a question what must not stay in the log.
    pub scrubber: Scrubber,
    pub now: i64,
    /// The same moment by the run's own clock, which nobody sets.
    pub steady: i64,
}

/// Lets all of it be done, or nothing. `also` is told in the same transaction when it may.
///
/// # Errors
/// `Denied` with the reasons of the gates that said no; whatever was decided is in the audit log.
pub async fn act(store: &Store, policy: &Policy, scene: Scene, acts: Vec<Act>, also: Option<Fact>) -> Result<()> {
    let policy = policy.clone();
    store
        .write(move |tx| {
            let mut recorded = vec![enter(tx, &policy, &scene, Capability::Run)?];
            recorded.extend(decide(tx, &policy, &scene, &acts)?);
            if let Some(denial) = refusal(&recorded) {
                return Ok(Err(denial));
            }
            if let Some(fact) = also {
                audit::append(tx, fact)?;
            }
            Ok(Ok(()))
        })
        .await?
}

/// Asks whether a run or what belongs to it may be opened. What may be, and how it was decided, is in the audit log.
///
/// # Errors
/// `Denied` with the reasons.
pub async fn open(store: &Store, policy: &Policy, scene: Scene, wanted: Capability) -> Result<()> {
    let policy = policy.clone();
    store.write(move |tx| Ok(refusal(&[enter(tx, &policy, &scene, wanted)?]).map_or(Ok(()), Err))).await?
}

/// As [`open`], for looking at a result: only a no is written down, so that what was reached can be read on a full disk.
///
/// # Errors
/// `Denied` with the reasons.
pub async fn look(store: &Store, policy: &Policy, scene: Scene) -> Result<()> {
    let (access, track, now) = (scene.access.clone(), scene.track.clone(), scene.now);
    let question = store.read(move |c| access.question(c, Capability::Read, &track, now)).await?;
    if policy.decide(Gate::Access, &question).allow {
        return Ok(());
    }
    open(store, policy, scene, Capability::Read).await
}

/// The decisions on several acts, in order, each knowing what those before it cost; counted when all may be done.
pub fn decide(tx: &Tx, policy: &Policy, scene: &Scene, acts: &[Act]) -> Result<Vec<(u64, Decision)>> {
    let mut recorded = Vec::new();
    let mut counted: Vec<(Part, u64)> = Vec::new();
    for act in acts {
        let before = match counted.iter().find(|(part, _)| *part == act.part) {
            Some((_, spent)) => *spent,
            None => spent(&points::of(tx, &scene.run, act.part.word())?, act.part, scene.steady),
        };
        let mut question = asked(act, before);
        let decision = policy.decide(Gate::Action, &question);
        if let Some(command) = question.pointer_mut("/action/command") {
            *command = clipped(&act.command).into();
        }
        recorded.push((super::record(tx, &scene.occasion(), question, &decision, &scene.scrubber)?, decision));
        counted.retain(|(part, _)| *part != act.part);
        counted.push((act.part, before.saturating_add(policy.action_cost(act.class_word())?)));
    }
    if recorded.iter().all(|(_, d)| d.allow) {
        for (part, points) in counted {
            points::set(tx, &scene.run, part.word(), Used { points, at: scene.steady })?;
        }
    }
    Ok(recorded)
}

/// `Denied` when one of them is a no.
pub fn refusal(recorded: &[(u64, Decision)]) -> Option<crate::error::Error> {
    if recorded.iter().all(|(_, d)| d.allow) {
        return None;
    }
    let denial = super::denied("This may not be done in the lab", recorded);
    let spent = recorded.iter().any(|(_, d)| d.reasons.iter().any(|r| r.contains("budget")));
    Some(if spent { denial.hint("A person's points come back, ten a second: wait a little.") } else { denial })
}

fn enter(tx: &Tx, policy: &Policy, scene: &Scene, wanted: Capability) -> Result<(u64, Decision)> {
    let question = scene.access.question(tx, wanted, &scene.track, scene.now)?;
    let decision = policy.decide(Gate::Access, &question);
    Ok((super::record(tx, &scene.occasion(), question, &decision, &scene.scrubber)?, decision))
}

fn asked(act: &Act, spent: u64) -> Value {
    json!({
        "actor": {"subject": act.subject, "role": act.part.word()},
        "action": {"name": act.name, "node": act.node, "class": act.class_word(), "command": act.command},
        "spent": spent,
    })
}

fn spent(used: &Used, part: Part, steady: i64) -> u64 {
    if !part.person() {
        return used.points;
    }
    let passed = u64::try_from(steady.saturating_sub(used.at)).unwrap_or(0);
    used.points.saturating_sub(passed / POINT_MS)
}

fn clipped(command: &str) -> String {
    match command.char_indices().nth(KEPT_CHARS) {
        Some((at, _)) => format!("{}…", command.get(..at).unwrap_or_default()),
        None => command.to_owned(),
    }
}

impl Act {
    fn class_word(&self) -> &'static str {
        match self.class {
            Class::ReadOnly => "read_only",
            Class::Write => "write",
            Class::Execute => "execute",
            Class::Network => "network",
            Class::Privileged => "privileged",
        }
    }
}

impl Scene {
    fn occasion(&self) -> Occasion {
        Occasion {
            at: self.now,
            run: Some(self.run.clone()).filter(|run| !run.is_empty()),
            lab: Some(self.lab.clone()),
            request_id: None,
            correlation: self.correlation.clone(),
        }
    }
}

/// How far a command reaches, by its program. It says what a command costs and protects nothing: what keeps a lab shut in is its
/// isolation.
pub fn class_of(argv: &[String]) -> Class {
    const LOOKS: [&str; 17] = [
        "cat", "ls", "head", "tail", "grep", "stat", "id", "ps", "ss", "hostname", "uname", "date", "true", "echo",
        "wc", "test", "pwd",
    ];
    const WRITES: [&str; 11] = ["tee", "cp", "mv", "rm", "mkdir", "rmdir", "touch", "chmod", "chown", "ln", "truncate"];
    const TALKS: [&str; 17] = [
        "ping",
        "traceroute",
        "curl",
        "wget",
        "dig",
        "nslookup",
        "host",
        "nc",
        "nmap",
        "ssh",
        "scp",
        "tcpdump",
        "iperf3",
        "hping3",
        "arping",
        "socat",
        "snmpget",
    ];
    let program = argv.first().map(String::as_str).unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    match name {
        _ if LOOKS.contains(&name) => Class::ReadOnly,
        _ if WRITES.contains(&name) => Class::Write,
        _ if TALKS.contains(&name) => Class::Network,
        _ => Class::Execute,
    }
}

/// What is run, as one text: a shell's input is its command.
pub fn command_of(argv: &[String], input: Option<&[u8]>) -> String {
    const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "busybox"];
    let said = argv.join(" ");
    let name = argv.first().and_then(|p| p.rsplit('/').next()).unwrap_or_default();
    match input {
        Some(bytes) if SHELLS.contains(&name) => format!("{said}\n{}", String::from_utf8_lossy(bytes)),
        _ => said,
    }
}

#[cfg(test)]
mod tests;
