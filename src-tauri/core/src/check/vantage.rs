//! What the checks need from a running lab, and nothing more: hands that reach into it from outside.

use crate::error::Result;
use crate::template::scenario::{Disturbance, From};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a program printed. Both streams are cut at 1 MiB (`truncated`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
    #[serde(default)]
    pub truncated: bool,
}

/// A running lab seen from the fabric. Implemented by `lab::` over the fabric, and by a fake in tests.
/// Every method ends within its `limit` plus one second, with `Code::Timeout` at the latest then; a program's
/// non-zero exit is an `Output`, never an error. An error means that the question could not be asked.
#[async_trait]
pub trait Vantage: Send + Sync {
    /// Runs a shell script with the *fabric's* programs (iproute2, dig, curl, ssh, sshpass, tcpdump, ping,
    /// traceroute, ss, vtysh, perl, …) in the network namespace of a node or of a fresh unseen host. Never a
    /// program of the node. `$NODE_PID` is the pid of the node's init in the fabric's view (empty for an unseen host), so
    /// that `/proc/$NODE_PID/root` and `vtysh --vty_socket /proc/$NODE_PID/root/run/frr` work; `$WORK` is a private
    /// scratch directory removed afterwards. `stdin` is handed to the script.
    async fn look(&self, from: &From, script: &str, stdin: &[u8], limit: Duration) -> Result<Output>;

    /// Several questions at the same place in one round trip, answers in order. Scripts run in parallel.
    async fn look_many(&self, from: &From, scripts: &[String], limit: Duration) -> Result<Vec<Output>>;

    /// Runs argv inside the node with the node's programs. Refused for nodes the learner can enter.
    async fn inside(&self, node: &str, argv: &[String], limit: Duration) -> Result<Output>;

    /// Reads a regular file out of a node from outside, resolving within its root (RESOLVE_IN_ROOT).
    /// `None` when it does not exist; an error when it is larger than `max` bytes.
    async fn read_file(&self, node: &str, path: &str, max: usize) -> Result<Option<Vec<u8>>>;

    /// All regular files below a directory of a node, same way: (path, bytes), sorted, at most `max` bytes in total.
    async fn read_tree(&self, node: &str, dir: &str, max: usize) -> Result<Vec<(String, Vec<u8>)>>;

    /// Captures on a link for a while: tcpdump's text lines for packets that match the pcap filter.
    async fn capture(&self, link: &str, filter: &str, wait: Duration) -> Result<Output>;

    /// Names of the nodes, for walking them in evidence collection.
    fn nodes(&self) -> Vec<String>;

    /// Does it; `undo` must be called whatever happens next.
    async fn disturb(&self, what: &Disturbance) -> Result<()>;
    async fn undo(&self, what: &Disturbance) -> Result<()>;
}
