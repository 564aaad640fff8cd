//! The one way out of a lab that asks for it: what is open, and what was refused.

use super::contract;
use std::collections::BTreeMap;

contract! {
    pub struct EgressState {
        pub profile: String,
        /// The names it opens, with their ports.
        pub allow: Vec<EgressAllow>,
        /// Packets and questions refused so far; None while the gateway cannot be asked.
        pub dropped: Option<u64>,
        /// The same by reason.
        pub reasons: BTreeMap<String, u64>,
    }

    pub struct EgressAllow {
        /// Exact, or `*.` and the rest for one label in its place.
        pub names: Vec<String>,
        /// `tcp/443`.
        pub ports: Vec<String>,
    }

    /// A list of names that labs may reach.
    pub struct EgressProfile {
        pub name: String,
        pub title: String,
        pub built_in: bool,
        /// SHA-256 over its file, hex; empty when it cannot be used.
        pub digest: String,
        pub allow: Vec<EgressAllow>,
        /// Why it cannot be used; empty when it can.
        pub problem: String,
    }

    #[serde(deny_unknown_fields)]
    pub struct ApproveEgress {
        /// The profile's file.
        pub text: String,
    }
}
