//! What a role's containers may do beyond nothing: the smallest sets with which the role's programs were seen to work under
//! cap-drop ALL, no-new-privileges and our seccomp profiles. Ports below 1024 and ping need none (see `docker::create`).
//! A template may ask for more by name; the capabilities gate decides about that.

use super::SeccompProfile;
use crate::api::Role;
use std::collections::BTreeSet;

/// Each one measured: without it the named program fails.
/// - NET_ADMIN, NET_RAW, SYS_ADMIN: zebra and ospfd refuse to start ("Wanted caps"); NET_BIND_SERVICE: so does ospfd.
/// - SETUID, SETGID: they become user frr. CHOWN: watchfrr hands its socket to group frrvty.
/// - KILL: root stops and restarts the daemons of user frr.
///
/// SYS_ADMIN comes with [`SeccompProfile::Router`], which denies what makes it dangerous.
const ROUTER: &[&str] = &["CHOWN", "KILL", "NET_ADMIN", "NET_BIND_SERVICE", "NET_RAW", "SETGID", "SETUID", "SYS_ADMIN"];

/// - SETUID, SETGID: named, nginx and sshd give up root. SYS_CHROOT: sshd's unprivileged half.
/// - CHOWN: sshd hands a terminal to its user, nginx its directories. KILL: root stops what runs as bind or www-data.
/// - FOWNER: root sets the modes of other users' files. To read and write them as well (`useradd -m`, ~user/.ssh, BIND's rndc.key) a
///   template asks for DAC_OVERRIDE.
const SERVER: &[&str] = &["CHOWN", "FOWNER", "KILL", "SETGID", "SETUID", "SYS_CHROOT"];

/// - NET_ADMIN: bridges, veth pairs, addresses, tc, nft, and moving interfaces. SYS_ADMIN: setns and unshare.
/// - SYS_PTRACE: /proc/<pid>/ns and /proc/<pid>/root of processes with capabilities that the fabric lacks.
/// - NET_RAW: tcpdump. DAC_OVERRIDE: files and sockets of other owners in a node (frr's, a user's ~/.ssh).
/// - SETGID: tcpdump sets its groups, even to root's.
pub const FABRIC: &[&str] = &["DAC_OVERRIDE", "NET_ADMIN", "NET_RAW", "SETGID", "SYS_ADMIN", "SYS_PTRACE"];

/// For a node of this role, without the `CAP_` prefix, sorted.
pub fn role_caps(role: Role) -> &'static [&'static str] {
    match role {
        Role::Router => ROUTER,
        Role::Server => SERVER,
        // Scans and captures, which stay within the lab's own links; SETGID as for the learner.
        Role::Attacker | Role::Defender => &["NET_RAW", "SETGID"],
        // A switch bridges its interfaces.
        Role::Switch => &["NET_ADMIN", "NET_RAW", "SETGID"],
        // tcpdump sets its groups, even to root's; so a template need only add NET_RAW.
        Role::Learner => &["SETGID"],
        Role::Client | Role::Aux => &[],
        // dnsmasq becomes nobody and enters addresses into the filter's sets.
        Role::Gateway => &["NET_ADMIN", "SETGID", "SETUID"],
    }
}

/// What templates may ask for by name, in some role, track and tier (policies/capabilities.rego).
const ASKED_FOR: &[&str] = &[
    "AUDIT_WRITE",
    "DAC_OVERRIDE",
    "FSETID",
    "IPC_LOCK",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "SETPCAP",
    "SYS_NICE",
];

/// Everything that any node of any lab can have, at once: what a proof of isolation must hold against.
pub fn strongest() -> BTreeSet<&'static str> {
    use Role::*;
    let roles = [Learner, Router, Server, Switch, Attacker, Defender, Aux, Client, Gateway];
    roles.into_iter().flat_map(role_caps).chain(ASKED_FOR).copied().collect()
}

/// Which system call filter goes with the role.
pub fn role_seccomp(role: Role) -> SeccompProfile {
    match role {
        Role::Router => SeccompProfile::Router,
        _ => SeccompProfile::Node,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn sys_admin_never_comes_without_the_filter_that_makes_it_bearable() {
        use Role::*;
        for role in [Learner, Router, Server, Switch, Attacker, Defender, Aux, Client] {
            let caps = role_caps(role);
            assert!(caps.is_sorted(), "{role:?}");
            assert_eq!(caps.contains(&"SYS_ADMIN"), role_seccomp(role) == SeccompProfile::Router, "{role:?}");
            for never in
                ["SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "SYS_BOOT", "SYS_TIME", "MKNOD", "DAC_READ_SEARCH", "BPF"]
            {
                assert!(!caps.contains(&never), "{role:?} has {never}");
            }
            // Only where a template asks and its tier allows, so that the gate decides.
            assert!(!caps.contains(&"DAC_OVERRIDE"), "{role:?}");
        }
    }

    /// Read from the gate itself, so that a capability allowed there is one that isolation is proven against.
    #[test]
    fn the_strongest_node_has_all_that_the_gate_allows() {
        let gate = include_str!("../../../../policies/capabilities.rego");
        let (never, allowed) = gate.split_once("ordinary :=").unwrap();
        let named = |text: &str| -> BTreeSet<String> {
            let quoted = text.split('"').skip(1).step_by(2);
            quoted
                .filter(|w| w.len() > 2 && w.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
                .map(str::to_owned)
                .collect()
        };
        let strongest: BTreeSet<String> = strongest().into_iter().map(str::to_owned).collect();
        let (allowed, never) = (named(allowed.split_once("override_tiers").unwrap().0), named(never));
        assert!(allowed.len() > 10 && never.contains("SYS_MODULE"), "{allowed:?} {never:?}");
        assert_eq!(allowed.difference(&strongest).collect::<Vec<_>>(), Vec::<&String>::new());
        assert!(never.is_disjoint(&strongest), "{never:?}");
    }
}
