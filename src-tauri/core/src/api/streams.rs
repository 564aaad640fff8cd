//! What flows: events, telemetry, terminal bytes.

use super::contract;

contract! {
    /// One thing that happened. Persisted, ordered by `seq` without a gap per installation.
    pub struct Event {
        pub seq: i64,
        pub at: i64,
        /// One id from the click or request down to each Docker call.
        pub correlation: String,
        pub run: Option<String>,
        /// Dotted: `run.state`, `run.step`, `node.state`, `check.report`, `terminal.opened`, `forward.opened`,
        /// `forward.closed`, `job.step`, `job.done`, `timer.warning`, `hint.revealed`, `submit.done`, `egress.drop`, `log`.
        pub kind: String,
        pub level: Level,
        /// One plain line for the log and the timeline.
        pub text: String,
        #[ts(type = "unknown")]
        pub data: serde_json::Value,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum Level { Debug, Info, Warn, Error }

    #[serde(deny_unknown_fields)]
    pub struct ListEvents {
        #[serde(default)] pub run: Option<String>,
        /// Only events after this sequence number.
        #[serde(default)] pub since: i64,
        /// At most this many (1..=10000, default 1000), newest kept.
        #[serde(default)] pub limit: Option<u32>,
    }

    /// One second of a run, from outside its nodes. Not persisted.
    pub struct Telemetry {
        pub run: String,
        pub at: i64,
        pub nodes: Vec<NodeLoad>,
        pub links: Vec<LinkLoad>,
    }

    pub struct NodeLoad { pub node: String, pub cpu_percent: f64, pub memory_bytes: u64, pub pids: u32 }

    /// Rates seen at one endpoint, from the node's point of view.
    pub struct LinkLoad {
        pub link: String,
        pub node: String,
        pub interface: String,
        pub rx_bps: f64,
        pub tx_bps: f64,
        pub rx_pps: f64,
        pub tx_pps: f64,
        pub up: bool,
    }

    /// What a caller opens a channel on. Terminal channels carry bytes, the others JSON items.
    #[serde(tag = "stream", rename_all = "snake_case")]
    pub enum StreamRequest {
        /// Replays persisted events after `since`, then goes live without a gap.
        Events { #[serde(default)] run: Option<String>, since: i64 },
        Telemetry { run: String },
        /// Output bytes from offset `from`; see [`TerminalFrame`].
        Terminal { id: String, from: u64 },
    }
}

/// A frame of a terminal channel. On the wire: one type byte, then the payload.
/// `0` output: 8 bytes big-endian offset of the first byte, then bytes. `1` gap: 8 bytes big-endian offset at
/// which the output goes on (what lies before was dropped). `2` closed: UTF-8 reason.
/// From the UI: raw bytes are keyboard input.
#[derive(Clone, Debug, PartialEq)]
pub enum TerminalFrame {
    Output { offset: u64, bytes: bytes::Bytes },
    Gap { resumes_at: u64 },
    Closed { reason: String },
}

impl TerminalFrame {
    pub fn encode(&self) -> Vec<u8> {
        let (kind, head, body): (u8, Option<u64>, &[u8]) = match self {
            Self::Output { offset, bytes } => (0, Some(*offset), bytes),
            Self::Gap { resumes_at } => (1, Some(*resumes_at), &[]),
            Self::Closed { reason } => (2, None, reason.as_bytes()),
        };
        let mut out = Vec::with_capacity(9 + body.len());
        out.push(kind);
        if let Some(n) = head {
            out.extend_from_slice(&n.to_be_bytes());
        }
        out.extend_from_slice(body);
        out
    }
}
