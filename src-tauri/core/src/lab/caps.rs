//! Which capabilities a role gets. Everything else has to be asked for by the template and allowed by the gate.

use crate::api::Role;
use crate::engine::SeccompProfile;
use std::collections::BTreeSet;

/// To configure and look at its own network namespace, and nothing beyond it.
const NETWORK: [&str; 3] = ["NET_ADMIN", "NET_RAW", "NET_BIND_SERVICE"];
/// For daemons that start as root and give that up: own files, change identity, confine, end their children.
const DAEMONS: [&str; 6] = ["CHOWN", "FOWNER", "SETUID", "SETGID", "SYS_CHROOT", "KILL"];

/// The capabilities of a node, without the `CAP_` prefix, sorted: its role's and what its template asks for.
pub fn capabilities(role: Role, asked: &[String]) -> Vec<String> {
    let role_caps: Vec<&str> = match role {
        Role::Learner | Role::Client | Role::Aux | Role::Attacker => NETWORK.into(),
        Role::Server | Role::Defender => [&NETWORK[..], &DAEMONS].concat(),
        // FRR's daemons refuse to start without SYS_ADMIN in their permitted set; the router's system call filter takes away
        // what would make it dangerous.
        Role::Router => [&NETWORK[..], &DAEMONS, &["SYS_ADMIN"]].concat(),
        // Open vSwitch in user space opens its databases whoever owns them.
        Role::Switch => [&NETWORK[..], &DAEMONS, &["DAC_OVERRIDE"]].concat(),
    };
    let all: BTreeSet<String> = role_caps.into_iter().map(String::from).chain(asked.iter().cloned()).collect();
    all.into_iter().collect()
}

pub(super) fn seccomp(role: Role) -> SeccompProfile {
    if role == Role::Router { SeccompProfile::Router } else { SeccompProfile::Node }
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
            assert_eq!(caps.contains(&"DAC_OVERRIDE".to_string()), role == Switch, "{role:?}");
            assert!(!caps.iter().any(|c| c == "MKNOD" || c == "SYS_PTRACE" || c == "SYS_MODULE"), "{role:?}");
        }
    }

    #[test]
    fn what_is_asked_for_comes_once() {
        let caps = capabilities(Role::Client, &["SYS_TIME".into(), "NET_RAW".into()]);
        assert_eq!(caps, ["NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SYS_TIME"]);
    }
}
