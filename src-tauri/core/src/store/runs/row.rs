//! A run as its row says.

use super::{decode, from_word, unsigned};
use crate::api::{CheckReport, Isolation, RunState, RunSummary};
use crate::error::Result;
use rusqlite::Row;
use serde::{Deserialize, Serialize};

/// What is known when a run is admitted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    pub run: String,
    pub request_id: String,
    /// Whom its use counts against.
    pub subject: String,
    pub tenant: String,
    pub lab: String,
    pub lab_title: String,
    pub track: String,
    pub version: String,
    pub digest: String,
    pub seed: String,
    /// The scenario as JSON; its type belongs to a room above.
    pub scenario: String,
    pub nodes: u32,
    pub cpu_milli: u64,
    pub memory_mb: u64,
    pub pids: u64,
    pub disk_mb: u64,
    pub created: i64,
    pub owner: Owner,
}

/// The process that is at work on a run. A process id alone may be used again by another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub pid: u32,
    /// Drawn at the process's start.
    pub process: String,
}

/// When the run became ready, by clocks that a changed wall clock does not move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    pub at: i64,
    /// Identifies the boot within which `monotonic_ms` counts; empty where there is none.
    pub boot: String,
    pub monotonic_ms: i64,
    /// The first moment the run was seen in a later boot: from then on it counts by this one's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub later: Option<Box<Started>>,
}

impl Started {
    /// The time `here` as this run counts it: the wall clock's at its beginning, then by the time since boot.
    pub fn steady(&self, here: &Started) -> i64 {
        let base = [Some(self), self.later.as_deref()].into_iter().flatten().find(|s| s.is_of(&here.boot));
        base.map_or(here.at, |s| s.at + (here.monotonic_ms - s.monotonic_ms).max(0))
    }

    /// Whether the run's time is known within this boot.
    pub fn counts_by(&self, boot: &str) -> bool {
        self.is_of(boot) || self.later.as_ref().is_some_and(|l| l.is_of(boot))
    }

    fn is_of(&self, boot: &str) -> bool {
        !boot.is_empty() && self.boot == boot
    }
}

/// A row without its scenario and steps, which have their own functions because they are large.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    pub run: String,
    pub request_id: String,
    pub subject: String,
    pub tenant: String,
    pub lab: String,
    pub lab_title: String,
    pub track: String,
    pub version: String,
    pub digest: String,
    pub seed: String,
    pub nodes: u32,
    pub cpu_milli: u64,
    pub memory_mb: u64,
    /// Processes and MiB on the disk that its nodes may have together.
    pub pids: u64,
    pub disk_mb: u64,
    /// See [`lend_disk`].
    pub disk_lent_mb: u64,
    pub state: RunState,
    pub reason: String,
    pub created: i64,
    pub started: Option<Started>,
    pub ready_ms: Option<u64>,
    /// None before it is ready and while it is paused.
    pub deadline: Option<i64>,
    /// Only while it is paused.
    pub remaining_ms: Option<i64>,
    pub ended: Option<i64>,
    pub last_check: Option<CheckReport>,
    pub isolation: Option<Isolation>,
    pub owner: Option<Owner>,
}

impl Run {
    /// As the shells see it at `now`.
    pub fn summary(&self, now: i64) -> RunSummary {
        let remaining = match self.state {
            RunState::Paused => self.remaining_ms,
            RunState::Ready => self.deadline.map(|d| (d - now).max(0)),
            _ => None,
        };
        RunSummary {
            run: self.run.clone(),
            lab: self.lab.clone(),
            lab_title: self.lab_title.clone(),
            track: self.track.clone(),
            seed: self.seed.clone(),
            request_id: self.request_id.clone(),
            state: self.state,
            reason: self.reason.clone(),
            created: self.created,
            deadline: self.deadline,
            remaining_ms: remaining,
            ready_ms: self.ready_ms,
            last_check: self.last_check.clone(),
            nodes: self.nodes,
        }
    }
}

/// It has, or may have, containers.
pub fn alive(state: RunState) -> bool {
    !matches!(state, RunState::Stopped | RunState::Failed)
}

/// Which transitions there are.
pub fn legal(from: RunState, to: RunState) -> bool {
    use RunState::{Failed, Paused, Ready, Starting, Stopped, Stopping};
    matches!(
        (from, to),
        (Starting, Ready | Stopping | Failed)
            | (Ready, Paused | Stopping | Failed)
            | (Paused, Ready | Stopping | Failed)
            | (Stopping, Stopped | Failed)
    )
}

fn json<T: serde::de::DeserializeOwned>(r: &Row, column: &str) -> Result<Option<T>> {
    r.get::<_, Option<String>>(column)?.map(|text| decode(column, &text)).transpose()
}

pub(super) fn read(r: &Row) -> Result<Run> {
    Ok(Run {
        run: r.get("run")?,
        request_id: r.get("request_id")?,
        subject: r.get("subject")?,
        tenant: r.get("tenant")?,
        lab: r.get("lab")?,
        lab_title: r.get("lab_title")?,
        track: r.get("track")?,
        version: r.get("version")?,
        digest: r.get("digest")?,
        seed: r.get("seed")?,
        nodes: r.get("nodes")?,
        cpu_milli: unsigned(r.get("cpu_milli")?)?,
        memory_mb: unsigned(r.get("memory_mb")?)?,
        pids: unsigned(r.get("pids")?)?,
        disk_mb: unsigned(r.get("disk_mb")?)?,
        disk_lent_mb: unsigned(r.get("disk_lent_mb")?)?,
        state: from_word("run state", r.get("state")?)?,
        reason: r.get("reason")?,
        created: r.get("created")?,
        started: json(r, "started")?,
        ready_ms: r.get::<_, Option<i64>>("ready_ms")?.map(unsigned).transpose()?,
        deadline: r.get("deadline")?,
        remaining_ms: r.get("remaining_ms")?,
        ended: r.get("ended")?,
        last_check: json(r, "last_check")?,
        isolation: json(r, "isolation")?,
        owner: json(r, "owner")?,
    })
}
