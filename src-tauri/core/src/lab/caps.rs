//! A node's capabilities: its role's (measured, see `engine::caps`) and what its template asks for beyond them.

use crate::api::Role;
use crate::engine::SeccompProfile;
use crate::engine::caps::{role_caps, role_seccomp};
use crate::spawn::NodeRights;
use crate::template::scenario::Scenario;
use std::collections::BTreeSet;

/// Without the `CAP_` prefix, sorted, each once.
pub fn capabilities(role: Role, asked: &[String]) -> Vec<String> {
    let all: BTreeSet<&str> = role_caps(role).iter().copied().chain(asked.iter().map(String::as_str)).collect();
    all.into_iter().map(str::to_owned).collect()
}

/// What the capabilities gate is asked: exactly what the launch would give.
pub fn rights(scenario: &Scenario) -> Vec<NodeRights> {
    scenario
        .nodes
        .iter()
        .map(|node| NodeRights {
            name: node.name.clone(),
            role: node.role,
            caps: capabilities(node.role, &node.caps),
            seccomp: if role_seccomp(node.role) == SeccompProfile::Router { "router" } else { "node" }.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn only_routers_get_sys_admin_and_none_the_engines_defaults() {
        use Role::*;
        for role in [Learner, Router, Server, Switch, Attacker, Defender, Aux, Client] {
            let caps = capabilities(role, &[]);
            assert_eq!(caps.contains(&"SYS_ADMIN".to_string()), role == Router, "{role:?}");
            assert!(!caps.iter().any(|c| c == "MKNOD" || c == "SYS_PTRACE" || c == "SYS_MODULE"), "{role:?}");
        }
    }

    #[test]
    fn what_is_asked_for_comes_once() {
        let caps = capabilities(Role::Client, &["SYS_TIME".into(), "SYS_TIME".into()]);
        assert_eq!(caps.iter().filter(|c| *c == "SYS_TIME").count(), 1);
        assert!(caps.is_sorted());
    }
}
