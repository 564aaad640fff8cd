//! What a verdict is built on, collected once at submission: observations, the lab as it ran, configuration and kernel
//! state of each node, and what the caller adds (transcripts, events, audit). Every cut is noted.

use super::grade::Finding;
use super::vantage::Vantage;
use crate::error::{Code, Error, Result};
use crate::scrub::{Scrub, Scrubber};
use crate::template::scenario::{Carried, From, Node, Reexecution, Running, Scenario};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// Path of the observations in the evidence.
pub const OBSERVATIONS: &str = "observations.json";
/// Path of the lab as it ran.
pub const SCENARIO: &str = "scenario.json";
/// Path of what was left out or cut, and why.
pub const NOTES: &str = "notes.json";

/// Bytes of one submitted file; a longer one is left out, never cut, so that half a configuration is never tried.
pub const SUBMITTED_MAX: usize = 256 * 1024;

/// Where a file that a re-execution carries stands in the evidence.
pub fn submitted(file: &Carried) -> String {
    format!("nodes/{}/submitted/{}", file.node, file.path.trim_start_matches('/'))
}

/// One file of the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative, `/` between parts, see [`fits`].
    pub path: String,
    /// `observations`, `scenario`, `notes`, `config`, `state`, `terminal`, `events`, `audit`, …
    pub kind: String,
    pub bytes: Vec<u8>,
}

impl Entry {
    pub fn new(path: impl Into<String>, kind: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { path: path.into(), kind: kind.into(), bytes }
    }

    /// Canonical JSON (RFC 8785).
    pub fn json<T: Serialize>(path: &str, kind: &str, value: &T) -> Result<Self> {
        let bytes = serde_json_canonicalizer::to_vec(value).map_err(Error::internal)?;
        Ok(Self::new(path, kind, bytes))
    }
}

/// JSON keeps its structure: only strings in it change, and never the names of members.
impl Scrub for Entry {
    fn scrub(self, scrubber: &Scrubber) -> Self {
        let json = self.path.ends_with(".json").then(|| serde_json::from_slice::<serde_json::Value>(&self.bytes).ok());
        let bytes = match json.flatten() {
            Some(value) => serde_json_canonicalizer::to_vec(&value.scrub(scrubber)).unwrap_or_default(),
            None => self.bytes.scrub(scrubber),
        };
        Self { path: self.path, kind: self.kind, bytes }
    }
}

/// The content of [`OBSERVATIONS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observations {
    pub version: u32,
    pub findings: Vec<Finding>,
}

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one entry.
    pub entry: usize,
    /// Bytes of one node's writable directories.
    pub tree: usize,
    /// Bytes of everything.
    pub total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entry: 512 * 1024, tree: 4 * 1024 * 1024, total: 48 * 1024 * 1024 }
    }
}

/// Whether a path can stand in the evidence: relative, printable ASCII, no empty, `.` or `..` part, at most 100 bytes (one
/// ustar name) and 16 parts.
pub fn fits(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    path.len() <= 100
        && parts.len() <= 16
        && parts.iter().all(|p| !p.is_empty() && *p != "." && *p != "..")
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// Kernel state: file name, script.
const STATE: [(&str, &str); 6] = [
    ("addresses.json", "ip -j addr show"),
    ("routes.json", "ip -j route show table all"),
    ("routes6.json", "ip -j -6 route show"),
    ("neighbours.json", "ip -j neigh show"),
    ("nft.json", "nft -j list ruleset"),
    ("listening.txt", "ss -H -l -n -t -u"),
];

/// Collects. Never fails because of one node: what could not be had is noted. `TooLarge` only when what the verdict cannot
/// do without (scenario and observations) passes the total.
pub async fn collect(
    vantage: &dyn Vantage,
    scenario: &Scenario,
    findings: &[Finding],
    given: Vec<Entry>,
    limits: Limits,
) -> Result<Vec<Entry>> {
    let mut parcel = Parcel { entries: Vec::new(), paths: BTreeSet::new(), notes: Vec::new(), used: 0, limits };
    parcel.essential(Entry::json(SCENARIO, "scenario", scenario)?)?;
    let observations = Observations { version: 1, findings: findings.to_vec() };
    parcel.essential(Entry::json(OBSERVATIONS, "observations", &observations)?)?;
    if let Some(Reexecution::Carry { files, .. }) = &scenario.reexecution {
        // First: whatever else fills the evidence, what could be tried again is in it.
        for (file, found) in files.iter().zip(join_all(files.iter().map(|f| carried(vantage, f))).await) {
            match found {
                Ok(bytes) => parcel.add(Entry::new(submitted(file), "submitted", bytes)),
                Err(why) => parcel.notes.push(format!("{}: left out, {why}", submitted(file))),
            }
        }
    }
    let per_node = join_all(scenario.nodes.iter().map(|n| node(vantage, n, limits))).await;
    for (entries, notes) in per_node {
        parcel.notes.extend(notes);
        entries.into_iter().for_each(|e| parcel.add(e));
    }
    given.into_iter().for_each(|e| parcel.add(e));
    parcel.finish()
}

struct Parcel {
    entries: Vec<Entry>,
    paths: BTreeSet<String>,
    notes: Vec<String>,
    used: usize,
    limits: Limits,
}

impl Parcel {
    fn essential(&mut self, entry: Entry) -> Result<()> {
        self.used += entry.bytes.len();
        if self.used > self.limits.total {
            return Err(Error::new(Code::TooLarge, format!("{} is too large for the evidence.", entry.path))
                .details(serde_json::json!({"limit": self.limits.total, "actual": self.used})));
        }
        self.paths.insert(entry.path.clone());
        self.entries.push(entry);
        Ok(())
    }

    fn add(&mut self, mut entry: Entry) {
        let shown: String = entry.path.escape_debug().take(120).collect();
        if !fits(&entry.path) || entry.path == NOTES {
            self.notes.push(format!("{shown}: left out, its path cannot stand in the evidence"));
            return;
        }
        if self.paths.contains(&entry.path) {
            self.notes.push(format!("{shown}: left out, there is one of that name already"));
            return;
        }
        let room = self.limits.entry.min(self.limits.total.saturating_sub(self.used));
        if entry.bytes.len() > room {
            self.notes.push(format!("{shown}: cut from {} to {room} bytes", entry.bytes.len()));
            entry.bytes.truncate(room);
        }
        self.used += entry.bytes.len();
        self.paths.insert(entry.path.clone());
        self.entries.push(entry);
    }

    fn finish(mut self) -> Result<Vec<Entry>> {
        const NOTES_MAX: usize = 1000;
        let left = self.notes.len().saturating_sub(NOTES_MAX);
        self.notes.truncate(NOTES_MAX);
        if left > 0 {
            self.notes.push(format!("and {left} more"));
        }
        self.entries.push(Entry::json(NOTES, "notes", &self.notes)?);
        self.entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self.entries)
    }
}

async fn carried(vantage: &dyn Vantage, file: &Carried) -> Result<Vec<u8>, String> {
    let bytes = match file.running {
        None => vantage
            .read_file(&file.node, &file.path, SUBMITTED_MAX)
            .await
            .map_err(|e| e.message)?
            .ok_or("the node has no such file")?,
        Some(Running::Frr) => {
            // With the fabric's vtysh, never the node's.
            let script = "test -n \"$NODE_PID\" || exit 126\n\
                exec vtysh --vty_socket \"/proc/$NODE_PID/root/run/frr\" -c 'show running-config no-header'";
            let from = From::Node(file.node.clone());
            let output = vantage.look(&from, script, &[], Duration::from_secs(10)).await.map_err(|e| e.message)?;
            if output.exit != 0 || output.truncated {
                return Err(format!("FRR's running configuration could not be read (exit {})", output.exit));
            }
            output.stdout.into_bytes()
        }
    };
    match bytes.len() {
        0 => Err("it is empty".into()),
        n if n > SUBMITTED_MAX => Err(format!("it is longer than {SUBMITTED_MAX} bytes")),
        _ => Ok(bytes),
    }
}

async fn node(vantage: &dyn Vantage, node: &Node, limits: Limits) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut notes) = (Vec::new(), Vec::new());
    let scripts: Vec<String> = STATE.iter().map(|(_, s)| (*s).to_owned()).collect();
    match vantage.look_many(&From::Node(node.name.clone()), &scripts, Duration::from_secs(10)).await {
        Ok(outputs) => {
            for ((file, script), o) in STATE.iter().zip(outputs) {
                if o.exit != 0 || o.truncated {
                    notes.push(format!(
                        "{}: `{script}` ended with {}{}",
                        node.name,
                        o.exit,
                        if o.truncated { " and was cut" } else { "" }
                    ));
                }
                entries.push(Entry::new(format!("nodes/{}/state/{file}", node.name), "state", o.stdout.into_bytes()));
            }
        }
        Err(e) => notes.push(format!("{}: its kernel state could not be read: {e}", node.name)),
    }
    for dir in &node.writable {
        match vantage.read_tree(&node.name, dir, limits.tree).await {
            Ok(files) => entries.extend(files.into_iter().map(|(path, bytes)| {
                Entry::new(format!("nodes/{}/files/{}", node.name, path.trim_start_matches('/')), "config", bytes)
            })),
            Err(e) => notes.push(format!("{}: {dir} could not be read: {e}", node.name)),
        }
    }
    (entries, notes)
}
