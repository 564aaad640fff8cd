//! Every system call that our filters deny, tried from inside by every role: what the kernel of this machine can do comes from
//! its headers, what is allowed from the profile itself, and the difference must be refused.

use super::{Node, SeccompProfile, image};
use forge_core::api::Role;
use forge_core::engine::{caps, seccomp};
use std::collections::{BTreeMap, BTreeSet};

const EPERM: i32 = 1;
const ENOSYS: i32 = 38;
const EAFNOSUPPORT: i32 = 97;

const ROLES: [(Role, &str); 9] = [
    (Role::Learner, "host"),
    (Role::Router, "router"),
    (Role::Server, "server"),
    (Role::Switch, "host"),
    (Role::Attacker, "tools"),
    (Role::Defender, "host"),
    (Role::Aux, "host"),
    (Role::Client, "host"),
    // Its own image has nothing to try a call with; what counts is its filter.
    (Role::Gateway, "host"),
];

/// Name → number, of this machine's architecture.
fn kernel() -> BTreeMap<String, u32> {
    let places = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/aarch64-linux-gnu/asm/unistd.h"];
    let own = places[usize::from(cfg!(target_arch = "aarch64"))];
    let mut text = std::fs::read_to_string(own).expect("linux-libc-dev, which comes with build-essential");
    if cfg!(target_arch = "aarch64") {
        text += &std::fs::read_to_string("/usr/include/asm-generic/unistd.h").unwrap();
    }
    let number = |line: &str| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(char::is_whitespace)?;
        Some((name.trim_start_matches("3264_").to_owned(), number.trim().parse().ok()?))
    };
    let known: BTreeMap<String, u32> = text.lines().filter_map(number).collect();
    assert!(known.len() > 250, "only {} calls were read from {own}", known.len());
    known
}

fn rules(profile: SeccompProfile) -> Vec<serde_json::Value> {
    let profile: serde_json::Value = serde_json::from_str(&seccomp::json(profile)).unwrap();
    assert_eq!((&profile["defaultAction"], &profile["defaultErrnoRet"]), (&"SCMP_ACT_ERRNO".into(), &1.into()));
    profile["syscalls"].as_array().unwrap().clone()
}

/// Named in the profile, with or without a condition. Conditions are tried one by one below.
fn named(profile: SeccompProfile) -> BTreeSet<String> {
    let all = rules(profile);
    all.iter().flat_map(|r| r["names"].as_array().unwrap()).map(|n| n.as_str().unwrap().to_owned()).collect()
}

fn denied(profile: SeccompProfile) -> BTreeMap<String, u32> {
    let named = named(profile);
    kernel().into_iter().filter(|(name, _)| !named.contains(name)).collect()
}

/// Tries `label number arguments…` lines, each in a process of its own; label → errno, 0 for success.
async fn tried(node: &Node, lines: &[String]) -> BTreeMap<String, i32> {
    let script = r#"$| = 1;
while (<STDIN>) {
    my ($label, $nr, @args) = split;
    my $pid = fork;
    if (!$pid) {
        alarm 2;
        $! = 0;
        my ($me, $got) = ($$, syscall $nr, map { $_ =~ /^0x/ ? hex : 0 + $_ } (@args, (0) x 6)[0 .. 5]);
        exit 0 if $$ != $me;
        print "$label ", ($got < 0 ? $! + 0 : 0), "\n";
        exit 0;
    }
    waitpid $pid, 0;
}"#;
    let lines = lines.join("\n");
    let said =
        node.says(&format!("cat > /tmp/all.pl <<'EOF'\n{script}\nEOF\nperl /tmp/all.pl <<'EOF'\n{lines}\nEOF")).await;
    said.lines().filter_map(|l| l.rsplit_once(' ')).filter_map(|(l, e)| Some((l.to_owned(), e.parse().ok()?))).collect()
}

fn plain(calls: &BTreeMap<String, u32>) -> Vec<String> {
    calls.iter().map(|(name, number)| format!("{name} {number}")).collect()
}

#[tokio::test]
async fn every_denied_call_is_refused_in_every_role() {
    for (role, image) in ROLES {
        let profile = caps::role_seccomp(role);
        let denied = denied(profile);
        for must in ["mount", "setns", "unshare", "bpf", "ptrace", "keyctl", "init_module", "kexec_load", "pivot_root"]
        {
            assert!(denied.contains_key(must), "{must} is not even meant to be denied to {role:?}");
        }
        let node = Node::of_role(image, role, |_| ()).await;
        let answers = tried(&node, &plain(&denied)).await;
        assert_eq!(answers.len(), denied.len(), "{role:?}: not all were tried");
        let open: Vec<_> = answers.iter().filter(|(_, errno)| **errno != EPERM).collect();
        assert!(open.is_empty(), "{role:?} may call {open:?}");
        println!("{role:?}: {} calls tried, all refused", answers.len());
        conditions_hold(&node, role).await;
    }
}

/// Calls that are allowed for some arguments: everything else about them is refused.
async fn conditions_hold(node: &Node, role: Role) {
    let kernel = kernel();
    let number = |name: &str| kernel[name];
    let rules = rules(caps::role_seccomp(role));
    let values = |name: &str, index: u64| -> BTreeSet<u64> {
        let own = rules.iter().filter(|r| r["names"] == serde_json::json!([name]) && r["action"] == "SCMP_ACT_ALLOW");
        let args = own.flat_map(|r| r["args"].as_array().unwrap().clone());
        args.filter(|a| a["index"] == index && a["op"] == "SCMP_CMP_EQ").map(|a| a["value"].as_u64().unwrap()).collect()
    };
    let mut lines = Vec::new();
    let (families, netlink) = (values("socket", 0), values("socket", 2));
    assert!(families.contains(&2) && !families.contains(&40) && netlink.contains(&0), "{families:?} {netlink:?}");
    let (socket, personality) = (number("socket"), number("personality"));
    lines.extend((0..=46).filter(|f| !families.contains(f)).map(|f| format!("socket:family:{f} {socket} {f} 3")));
    lines.extend((0..=22).filter(|p| !netlink.contains(p)).map(|p| format!("socket:netlink:{p} {socket} 16 3 {p}")));
    let allowed = values("personality", 0);
    let bits = (0..32).map(|bit| 1_u64 << bit).filter(|v| !allowed.contains(v));
    lines.extend(bits.map(|v| format!("personality:{v:#x} {personality} {v}")));
    // SIGCHLD, so that what is not refused at least ends well.
    let namespaces = ["20000", "2000000", "4000000", "8000000", "10000000", "20000000", "40000000"];
    lines.extend(
        namespaces
            .map(|flag| format!("clone:{flag} {} {}", number("clone"), u64::from_str_radix(flag, 16).unwrap() | 17)),
    );
    lines.push(format!("clone3 {}", number("clone3")));
    let answers = tried(node, &lines).await;
    assert_eq!(answers.len(), lines.len(), "{role:?}: {answers:?}");
    for (what, errno) in answers {
        let expected = match what.as_str() {
            // sshd goes on when the kernel seems to know no audit, and ends the session when it may not speak to it.
            "socket:netlink:9" => EAFNOSUPPORT,
            "clone3" => ENOSYS,
            _ => EPERM,
        };
        assert_eq!(errno, expected, "{what} as {role:?}");
    }
}

/// The control of the tests above: with the same capabilities and without the filter, the kernel itself answers, and mostly
/// something else. So it is the filter that refuses.
#[tokio::test]
async fn without_the_filter_the_same_calls_are_open() {
    let denied = denied(SeccompProfile::Router);
    let strongest = caps::strongest();
    let caps: Vec<String> = strongest.iter().flat_map(|c| ["--cap-add".to_owned(), (*c).to_owned()]).collect();
    let run = uuid::Uuid::new_v4().simple().to_string()[..10].to_owned();
    let rest =
        "--network none --cap-drop ALL --security-opt seccomp=unconfined --read-only --tmpfs /tmp --entrypoint sleep";
    let made = std::process::Command::new("docker")
        .args(["run", "-d", "--label", "dev.frostgate.kind=test"])
        .args(rest.split(' '))
        .args(caps)
        .args([&image("host").await, "infinity"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let id = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let node = Node { docker: super::docker(), id, run };
    let answers = tried(&node, &plain(&denied)).await;
    let open = answers.values().filter(|errno| **errno != EPERM).count();
    println!("{open} of {} calls answer something else without the filter", answers.len());
    assert!(open * 3 > denied.len() * 2, "{answers:?}");
    for call in ["mount", "unshare", "setns", "ptrace", "keyctl", "bpf", "io_uring_setup", "open_tree"] {
        assert!(answers.get(call).is_some_and(|errno| *errno != EPERM), "{call}: {answers:?}");
    }
}
