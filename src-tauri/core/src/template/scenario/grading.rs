//! What is asked of a lab's network: criteria, the evidence each stands on, and the probes that find it.

use super::Proto;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Criterion {
    pub id: String,
    pub title: String,
    pub weight: u32,
    /// All must pass.
    pub evidence: Vec<Evidence>,
    /// Said on a failure; `{{seen}}` and `{{expected}}` stay open until then.
    pub failed: String,
}

impl Criterion {
    pub fn disturbs(&self) -> bool {
        self.evidence.iter().any(|e| e.after.is_some())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Done before probing and undone afterwards, whatever happens.
    pub after: Option<Disturbance>,
    /// How long to keep probing until it passes; 0 = once.
    pub within_ms: u64,
    pub probe: Probe,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disturbance {
    /// Takes the link down on the fabric's side.
    Cut(String),
    Restart {
        node: String,
    },
    /// A trusted (not enterable) router announces a prefix it did not have before, by a loopback address.
    Announce {
        node: String,
        prefix: IpNet,
    },
}

/// Where a probe looks from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum From {
    /// The network namespace of a node, with the fabric's own programs.
    Node(String),
    /// A host that did not exist before, joined to this link's segment with this address.
    Unseen {
        segment: String,
        address: IpNet,
        #[serde(default)]
        gateway: Option<IpAddr>,
    },
}

/// One declarative question about the lab. Judged purely from what was observed (see `check::judge`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum Probe {
    /// An interface is up / carries an address.
    Interface {
        node: String,
        interface: String,
        #[serde(default)]
        address: Option<IpNet>,
        #[serde(default = "yes")]
        up: bool,
    },
    /// The kernel's route to an address: protocol (`ospf`, `static`, `kernel`, …), next hop, device; or that there is none.
    Route {
        node: String,
        to: IpNet,
        #[serde(default)]
        via_protocol: Option<String>,
        #[serde(default)]
        via: Option<IpAddr>,
        #[serde(default)]
        dev: Option<String>,
        #[serde(default = "yes")]
        present: bool,
    },
    /// A socket listens (or does not).
    Listening {
        node: String,
        proto: Proto,
        port: u16,
        #[serde(default = "yes")]
        listening: bool,
    },
    /// A process of this name (as in /proc/<pid>/comm) runs in the node.
    Process {
        node: String,
        name: String,
        #[serde(default = "yes")]
        running: bool,
    },
    /// A file matches / does not match a regular expression (line by line); read from outside the node.
    File {
        node: String,
        path: String,
        #[serde(default)]
        matches: Option<String>,
        #[serde(default)]
        lacks: Option<String>,
        #[serde(default = "yes")]
        exists: bool,
    },
    Ping {
        from: From,
        to: IpAddr,
        #[serde(default = "yes")]
        reaches: bool,
    },
    /// The hops on the way, as addresses, in order.
    Path { from: From, to: IpAddr, hops: Vec<IpAddr> },
    /// A TCP connection is accepted (or not).
    Tcp {
        from: From,
        to: IpAddr,
        port: u16,
        #[serde(default = "yes")]
        accepted: bool,
    },
    /// A DNS question put to one server. Exactly `answer` (any order) when given; else `rcode`.
    Dns {
        from: From,
        server: IpAddr,
        name: String,
        rtype: String,
        #[serde(default)]
        answer: Option<Vec<String>>,
        #[serde(default)]
        rcode: Option<String>,
        #[serde(default)]
        authoritative: Option<bool>,
    },
    /// A zone transfer is refused (or allowed).
    ZoneTransfer {
        from: From,
        server: IpAddr,
        zone: String,
        #[serde(default)]
        allowed: bool,
    },
    Http {
        from: From,
        url: String,
        #[serde(default)]
        status: Option<u16>,
        #[serde(default)]
        body: Option<String>,
    },
    /// An SSH login is accepted (or refused). `key` names a private key (OpenSSH text); `password` is tried otherwise.
    /// Runs `command` once in, whose output must match `output` when given.
    Ssh {
        from: From,
        to: IpAddr,
        #[serde(default = "ssh_port")]
        port: u16,
        user: String,
        #[serde(default)]
        key: Option<String>,
        #[serde(default)]
        password: Option<String>,
        accepted: bool,
        #[serde(default)]
        command: Option<String>,
        #[serde(default)]
        output: Option<String>,
    },
    /// What the SSH server offers before login: authentication methods for a user (`publickey`, `password`, …).
    SshMethods {
        from: From,
        to: IpAddr,
        #[serde(default = "ssh_port")]
        port: u16,
        user: String,
        methods: Vec<String>,
    },
    /// OSPF neighbours in state Full, by router id; `full` must equal the set exactly when `exact`.
    OspfNeighbours {
        node: String,
        full: Vec<String>,
        #[serde(default)]
        exact: bool,
    },
    /// Packets matching a pcap filter are seen / not seen on a link for this long.
    Packets { on: String, filter: String, for_ms: u64, seen: bool },
    /// A line matching the expression appears (or not) in a file of a node.
    Log {
        node: String,
        path: String,
        line: String,
        #[serde(default = "yes")]
        present: bool,
    },
    /// Everything else: argv run in a node that the learner cannot enter, or with the fabric's programs in its network namespace.
    Command {
        on: String,
        #[serde(default)]
        inside: bool,
        argv: Vec<String>,
        #[serde(default)]
        exit: Option<i32>,
        #[serde(default)]
        output: Option<String>,
    },
}

fn yes() -> bool {
    true
}

fn ssh_port() -> u16 {
    22
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    pub id: String,
    pub criterion: String,
    /// Milli-points.
    pub cost: u32,
    pub text: String,
}
