//! What runs where: roles, nodes, links, and the states they can be in.

use super::contract;

contract! {
    #[derive(Copy, Eq, Hash, PartialOrd, Ord)]
    #[serde(rename_all = "snake_case")]
    pub enum Role {
        Learner, Router, Server, Switch, Attacker, Defender, Aux, Client,
        /// The one way out of a lab with `egress: allowlist`; comes by itself.
        Gateway,
    }

    /// The life of a run. `Starting`, `Stopping`: work is under way and survives a crash by intent rows.
    #[derive(Copy, Eq, Hash)]
    #[serde(rename_all = "snake_case")]
    pub enum RunState { Starting, Ready, Paused, Stopping, Stopped, Failed }

    pub struct Step {
        /// Stable name: `admit`, `token`, `images`, `create`, `start`, `wire`, `startup`, `ready`, `isolation`, …
        pub name: String,
        pub state: StepState,
        /// Milliseconds since the step began; final once it is done.
        pub ms: u64,
        /// What it is doing or did, or why it failed; empty when there is nothing to add.
        pub detail: String,
        /// 0..=100 where progress can be known.
        pub percent: Option<u8>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum StepState { Running, Done, Failed, Skipped }

    pub struct NodeInfo {
        pub name: String,
        pub role: Role,
        /// Docker's container id; empty while it does not exist.
        pub container: String,
        pub state: NodeState,
        /// Whether the learner may open a terminal on it.
        pub enter: bool,
        pub interfaces: Vec<InterfaceInfo>,
        /// TCP ports the template suggests to forward, with what answers there.
        pub ports: Vec<PortHint>,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum NodeState { Absent, Created, Running, Paused, Rewiring, Exited }

    pub struct InterfaceInfo { pub name: String, pub link: String, pub addresses: Vec<String> }

    pub struct PortHint { pub port: u16, pub label: String }

    pub struct LinkInfo {
        pub id: String,
        /// Three or more endpoints, or declared a segment: a bridge of its own.
        pub segment: bool,
        pub endpoints: Vec<LinkEnd>,
        pub subnet: Option<String>,
    }

    pub struct LinkEnd { pub node: String, pub interface: String }
}
