//! What a container did not get, and which calls are refused from inside.

use super::Node;
use forge_core::api::Role;
use forge_core::engine::caps;

#[tokio::test]
async fn a_container_gets_nothing_it_was_not_given() {
    let node = Node::start("host", |_| ()).await;
    let status = node.says("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/1/status").await;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    assert_eq!(node.says("ls /sys/class/net").await, "lo");
    assert_ne!(node.run("touch /etc/x").await.exit, 0, "the root file system must be read-only");
    assert_eq!(node.says("for d in /run /tmp /var/tmp /var/log; do touch $d/x || exit 1; done; echo ok").await, "ok");
    assert_eq!(
        node.says("grep -v ^# /etc/resolv.conf").await,
        "nameserver 127.0.0.1",
        "nothing of the host's resolver"
    );
    assert_eq!(node.says("ulimit -c").await, "0");
    assert_eq!(node.says("ls /dev | grep -cE 'kvm|vsock|fuse|tun|sd[a-z]|vd[a-z]' || true").await, "0");
    assert!(!node.says("cut -d' ' -f2 /proc/mounts").await.contains("docker.sock"));

    let inspect = std::process::Command::new("docker").args(["inspect", &node.id]).output().unwrap();
    let inspect: serde_json::Value = serde_json::from_slice(&inspect.stdout).unwrap();
    let host = &inspect[0]["HostConfig"];
    assert_eq!(host["NetworkMode"], "none");
    assert_eq!(host["Privileged"], false);
    assert_eq!(host["ReadonlyRootfs"], true);
    assert_eq!(host["CapDrop"], serde_json::json!(["ALL"]));
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert_eq!(host["PidMode"], "");
    assert_eq!(host["PidsLimit"], 128);
    assert_eq!(host["Memory"], host["MemorySwap"]);
    assert_eq!(inspect[0]["Mounts"], serde_json::json!([]));
}

#[tokio::test]
async fn limits_hold() {
    let node = Node::start("host", |s| (s.pids, s.nofile) = (32, 100)).await;
    assert_eq!(node.says("ulimit -n").await, "100");
    let forked = node.run("for i in $(seq 60); do sleep 5 & done; wait").await;
    assert!(String::from_utf8_lossy(&forked.stderr).contains("fork"), "more processes than allowed were made");
}

/// name, number on x86_64, number on aarch64, arguments. Arguments are such that an open call would answer something else than
/// EPERM to a caller that holds CAP_SYS_ADMIN (EBADF, EFAULT, EINVAL) or would succeed.
const CALLS: &[(&str, u32, u32, &str)] = &[
    ("mount", 165, 40, "$s, $tmp, $fs, 0, 0"),
    ("umount2", 166, 39, "$tmp, 2"),
    ("pivot_root", 155, 41, "$tmp, $tmp"),
    ("open_tree", 428, 428, "-100, $tmp, 1"),
    ("move_mount", 429, 429, "-1, $tmp, -1, $tmp, 0"),
    ("fsopen", 430, 430, "$fs, 0"),
    ("mount_setattr", 442, 442, "-1, $tmp, 0, 0, 0"),
    ("unshare(NEWNS)", 272, 97, "0x00020000"),
    ("unshare(NEWUSER)", 272, 97, "0x10000000"),
    ("setns(mnt)", 308, 268, "-1, 0x00020000"),
    ("setns(any)", 308, 268, "-1, 0"),
    ("clone(NEWNS)", 56, 220, "0x00020011, 0, 0, 0, 0"),
    ("clone(NEWUSER)", 56, 220, "0x10000011, 0, 0, 0, 0"),
    ("bpf", 321, 280, "99, 0, 0"),
    ("perf_event_open", 298, 241, "0, 0, -1, -1, 0"),
    ("keyctl", 250, 219, "0, -3, 0, 0, 0"),
    ("add_key", 248, 217, "$fs, $s, $s, 1, -3"),
    ("request_key", 249, 218, "$fs, $s, $s, -3"),
    ("open_by_handle_at", 304, 265, "-1, $s, 0"),
    ("name_to_handle_at", 303, 264, "-1, $s, 0, 0, 0"),
    ("init_module", 175, 105, "0, 0, 0"),
    ("finit_module", 313, 273, "-1, $s, 0"),
    ("delete_module", 176, 106, "$s, 0"),
    ("kexec_load", 246, 104, "0, 0, 0, 0"),
    ("ptrace", 101, 117, "0, 0, 0, 0"),
    ("process_vm_readv", 310, 270, "1, 0, 0, 0, 0, 0"),
    ("pidfd_getfd", 438, 438, "-1, 0, 0"),
    ("userfaultfd", 323, 282, "0"),
    ("io_uring_setup", 425, 425, "1, 0"),
    ("reboot", 169, 142, "0, 0, 0, 0"),
    ("swapon", 167, 224, "$tmp, 0"),
    ("sethostname", 170, 161, "$s, 1"),
    ("settimeofday", 164, 170, "0, 0"),
    ("socket(VSOCK)", 41, 198, "40, 1, 0"),
    ("socket(ALG)", 41, 198, "38, 5, 0"),
];

/// Tries calls from inside; `name errno` per line, 0 for success.
async fn attempt(node: &Node, calls: &[(&str, u32, u32, &str)]) -> Vec<(String, i32)> {
    let tries: String = calls
        .iter()
        .map(|(name, x86, arm, args)| format!("attempt('{name}', $arm ? {arm} : {x86}, {args});\n"))
        .collect();
    let script = format!(
        "use POSIX; my $arm = (POSIX::uname())[4] eq 'aarch64'; my ($s, $tmp, $fs) = ('x', '/tmp', 'tmpfs');\n\
         sub attempt {{ my ($name, $nr, @args) = @_; $! = 0; my $pid = $$; my $got = syscall($nr, @args); \
         POSIX::_exit(0) if $$ != $pid; print \"$name \", ($got < 0 ? $!+0 : 0), \"\\n\"; }}\n$|=1;\n{tries}"
    );
    let out = node.says(&format!("cat > /tmp/try.pl <<'EOF'\n{script}EOF\nperl /tmp/try.pl")).await;
    out.lines().filter_map(|l| l.rsplit_once(' ')).map(|(n, e)| (n.to_owned(), e.parse().unwrap())).collect()
}

const EPERM: i32 = 1;
const EBADF: i32 = 9;
const ENOSYS: i32 = 38;

async fn all_refused(node: &Node, calls: &[(&str, u32, u32, &str)]) {
    let answers = attempt(node, calls).await;
    assert_eq!(answers.len(), calls.len(), "{answers:?}");
    for (name, errno) in answers {
        assert_eq!(errno, EPERM, "{name} was not refused by the filter");
    }
    let clone3 = attempt(node, &[("clone3", 435, 435, "0, 0")]).await;
    assert_eq!(clone3, [("clone3".to_owned(), ENOSYS)]);
}

#[tokio::test]
async fn each_way_out_is_refused_to_a_router_whatever_its_capabilities() {
    let node = Node::of_role("router", Role::Router, |_| ()).await;
    let effective = node.says("grep CapEff /proc/self/status").await;
    let bits = u64::from_str_radix(effective.rsplit('\t').next().unwrap(), 16).unwrap();
    assert_ne!(bits & (1 << 21), 0, "the point is that it holds CAP_SYS_ADMIN: {effective}");
    assert_eq!(bits.count_ones() as usize, caps::role_caps(Role::Router).len(), "{effective}");
    all_refused(&node, CALLS).await;
}

#[tokio::test]
async fn each_way_out_is_refused_to_every_other_role() {
    use Role::*;
    for role in [Learner, Server, Switch, Attacker, Defender, Aux, Client, Gateway] {
        let node = Node::of_role("host", role, |_| ()).await;
        all_refused(&node, CALLS).await;
    }
}

/// The control of the tests above: where a call is open, the kernel itself answers.
#[tokio::test]
async fn the_fabric_may_change_network_namespaces_and_no_others() {
    let node = Node::fabric().await;
    let net = attempt(&node, &[("setns", 308, 268, "-1, 0x40000000"), ("unshare", 272, 97, "0x40000000")]).await;
    assert_eq!(net, [("setns".to_owned(), EBADF), ("unshare".to_owned(), 0)]);
    all_refused(&node, CALLS).await;
}

#[tokio::test]
async fn no_image_has_a_file_with_privileges_or_a_key() {
    for name in ["host", "router", "server", "tools", "gateway"] {
        let node = Node::start(name, |_| ()).await;
        assert_eq!(
            node.says("getcap -r / 2>/dev/null; find / -xdev -type f -perm /6000 2>/dev/null; true").await,
            "",
            "{name}"
        );
        let keys = node
            .says("ls /etc/ssh/ssh_host_* 2>/dev/null; find /etc/bind -name '*.key' -type f 2>/dev/null; true")
            .await;
        assert_eq!(keys, "", "{name}");
        assert_eq!(node.says("ls /var/lib/apt/lists 2>/dev/null | wc -l").await, "0", "{name}");
        assert_eq!(
            node.says("grep -rhoE '^[^#]*https?://[^/ ]+' /etc/apt/sources.list* | grep -vE '//(deb|security).debian.org' || true").await,
            "",
            "{name}"
        );
    }
}
