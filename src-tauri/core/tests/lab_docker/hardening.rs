//! What Docker really gave each container of a launched lab: one node of every role, and the fabric.

use crate::bed::*;
use forge_core::engine::{SeccompProfile, seccomp};
use forge_core::lab::capabilities;
use serde_json::{Value, json};

const ROLES: [(&str, Role, &str); 8] = [
    ("learner", Role::Learner, "host"),
    ("router", Role::Router, "router"),
    ("server", Role::Server, "server"),
    ("switch", Role::Switch, "host"),
    ("attacker", Role::Attacker, "tools"),
    ("defender", Role::Defender, "host"),
    ("aux", Role::Aux, "host"),
    ("client", Role::Client, "host"),
];

/// A segment with a node of each role on it.
fn everybody() -> Scenario {
    let mut scenario = ring(2);
    scenario.nodes = ROLES
        .iter()
        .map(|(name, role, image)| Node { image: (*image).into(), caps: vec!["NET_RAW".into()], ..node(name, *role) })
        .collect();
    let members =
        ROLES.iter().enumerate().map(|(i, (name, ..))| endpoint(name, "eth1", &format!("10.0.0.{}/24", i + 1)));
    scenario.links = vec![link("lan", members.collect())];
    scenario.limits.memory_mb = 1024;
    scenario
}

fn inspect(id: &str) -> Value {
    let out = std::process::Command::new("docker").args(["inspect", id]).output().unwrap();
    let all: Value = serde_json::from_slice(&out.stdout).unwrap();
    all[0].clone()
}

fn sorted(value: &Value) -> Vec<String> {
    let mut all: Vec<String> = value
        .as_array()
        .into_iter()
        .flatten()
        .map(|v| v.as_str().unwrap().trim_start_matches("CAP_").to_owned())
        .collect();
    all.sort();
    all
}

/// Docker writes "nothing" as null, as an empty list and as an empty string.
fn nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// What is the same for a node and for the fabric.
fn common(name: &str, seen: &Value, caps: &[String], profile: SeccompProfile) {
    let host = &seen["HostConfig"];
    assert_eq!(host["CapDrop"], json!(["ALL"]), "{name}");
    assert_eq!(sorted(&host["CapAdd"]), caps, "{name}");
    assert_eq!(host["Privileged"], false, "{name}");
    assert_eq!(host["ReadonlyRootfs"], true, "{name}");
    assert_eq!(host["NetworkMode"], "none", "{name}");
    assert_eq!(seen["NetworkSettings"]["Networks"].as_object().unwrap().keys().collect::<Vec<_>>(), ["none"], "{name}");
    assert!(nothing(&host["PortBindings"]), "{name}: {}", host["PortBindings"]);
    for namespace in ["UTSMode", "UsernsMode"] {
        assert!(nothing(&host[namespace]), "{name}: {namespace} is {}", host[namespace]);
    }
    assert_eq!((&host["IpcMode"], &host["CgroupnsMode"]), (&json!("private"), &json!("private")), "{name}");
    for way in ["Binds", "Mounts", "Devices", "DeviceRequests", "DeviceCgroupRules", "VolumesFrom", "GroupAdd", "Links"]
    {
        assert!(nothing(&host[way]), "{name}: {way} is {}", host[way]);
    }
    let mounts = seen["Mounts"].as_array().unwrap();
    assert!(mounts.iter().all(|m| m["Type"] == "volume" && m["Driver"] == "local"), "{name}: {mounts:?}");
    let security: Vec<&str> = host["SecurityOpt"].as_array().unwrap().iter().map(|s| s.as_str().unwrap()).collect();
    assert!(security.contains(&"no-new-privileges:true"), "{name}: {security:?}");
    let filter =
        security.iter().find_map(|s| s.strip_prefix("seccomp=")).unwrap_or_else(|| panic!("{name} has no filter"));
    let (filter, ours): (Value, Value) =
        (serde_json::from_str(filter).unwrap(), serde_json::from_str(&seccomp::json(profile)).unwrap());
    assert_eq!(filter, ours, "{name}: the filter is not ours");
    assert!(!security.iter().any(|s| s.contains("unconfined")), "{name}: {security:?}");
    assert_eq!(host["MemorySwap"], host["Memory"], "{name}: memory may be swapped on top");
    assert_eq!(host["RestartPolicy"]["Name"], "no", "{name}");
    assert!(!host["OomKillDisable"].as_bool().unwrap_or(false), "{name}");
    let limits = host["Ulimits"].as_array().unwrap();
    let nofile = limits.iter().find(|l| l["Name"] == "nofile").unwrap();
    assert_eq!((&nofile["Soft"], &nofile["Hard"]), (&json!(4096), &json!(4096)), "{name}");
    assert!(limits.contains(&json!({"Name": "core", "Soft": 0, "Hard": 0})), "{name}: {limits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_container_of_a_lab_got_what_its_role_gets_and_nothing_else() {
    let bed = Bed::new();
    let live = bed.launch(everybody()).await;
    for (name, role, _) in ROLES {
        let id = live.container(name).unwrap();
        let seen = inspect(&id);
        let profile = if role == Role::Router { SeccompProfile::Router } else { SeccompProfile::Node };
        let caps = capabilities(role, &["NET_RAW".into()]);
        common(name, &seen, &caps, profile);
        let host = &seen["HostConfig"];
        assert!(nothing(&host["PidMode"]), "{name}: {}", host["PidMode"]);
        assert_eq!((&host["PidsLimit"], &host["Memory"]), (&json!(256), &json!(128 << 20)), "{name}");
        assert_eq!(host["NanoCpus"], json!(500_000_000), "{name}");
        let places: Vec<&str> =
            seen["Mounts"].as_array().unwrap().iter().map(|m| m["Destination"].as_str().unwrap()).collect();
        assert_eq!(places, ["/srv"], "{name}: only what its template declares is writable beyond a restart");

        // And what the kernel says of it.
        let said = bed
            .inside(
                &live,
                name,
                "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; ulimit -n; ulimit -c; ls /sys/class/net; \
                 touch /x /etc/x /usr/x 2>/dev/null && echo writable; \
                 cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; \
                 cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; \
                 ls /var/run/docker.sock /run/containerd /dev/kvm /dev/net/tun /dev/fuse /dev/vsock /dev/sda /dev/vda 2>/dev/null",
            )
            .await
            .1;
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let bits = said.lines().find_map(|l| l.strip_prefix(&format!("{set}:\t"))).unwrap();
            assert_eq!(u64::from_str_radix(bits, 16).unwrap().count_ones() as usize, caps.len(), "{name}: {said}");
        }
        assert!(said.contains("NoNewPrivs:\t1") && said.contains("Seccomp:\t2"), "{name}: {said}");
        let rest: Vec<&str> = said.lines().skip_while(|l| !l.starts_with("Seccomp")).skip(1).collect();
        assert_eq!(rest, ["4096", "0", "eth1", "lo", "256", &(128 << 20).to_string()], "{name}");
    }
    let fabric = bed.engine.list(&[(label::RUN, &bed.identity.run), (label::KIND, "fabric")]).await.unwrap();
    let seen = inspect(&fabric[0].id);
    let mut caps: Vec<String> = "NET_ADMIN NET_RAW SYS_ADMIN SYS_PTRACE DAC_OVERRIDE CHOWN SETUID SETGID"
        .split(' ')
        .map(String::from)
        .collect();
    caps.sort();
    common("fabric", &seen, &caps, SeccompProfile::Fabric);
    assert_eq!(
        seen["HostConfig"]["PidMode"], "host",
        "it enters the nodes' namespaces, and is the only one to see them"
    );
    assert_eq!((&seen["HostConfig"]["PidsLimit"], &seen["HostConfig"]["Memory"]), (&json!(1024), &json!(128 << 20)));
    assert!(nothing(&seen["Mounts"]), "{}", seen["Mounts"]);
    assert_eq!(bed.left().await, ROLES.len() + 1, "nothing else belongs to the lab");
}
