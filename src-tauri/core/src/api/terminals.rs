//! Terminals and forwarded ports: the ways a learner reaches a node.

use super::contract;

contract! {
    pub struct OpenTerminal { pub run: String, pub node: String, pub cols: u16, pub rows: u16 }

    pub struct TerminalInfo {
        pub id: String,
        pub run: String,
        pub node: String,
        pub cols: u16,
        pub rows: u16,
        pub open: bool,
        /// First and next byte offset of the output that can still be replayed.
        pub from: u64,
        pub next: u64,
    }

    pub struct ResizeTerminal { pub id: String, pub cols: u16, pub rows: u16 }
    pub struct IdRequest { pub id: String }

    pub struct ForwardPort { pub run: String, pub node: String, pub port: u16 }

    /// A node's TCP port reachable on 127.0.0.1, inbound only.
    pub struct Forward {
        pub id: String,
        pub run: String,
        pub node: String,
        pub port: u16,
        pub local: String,
        pub url: Option<String>,
        pub connections: u64,
    }
}
