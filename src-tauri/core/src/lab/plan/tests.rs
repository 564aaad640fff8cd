#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::engine::SeccompProfile;
use std::io::Read;

fn images() -> Images {
    ["host", "server", "tools"].map(|i| (i.to_string(), format!("{i}@sha256:0"))).into()
}

fn plan(scenario: Scenario) -> Result<Plan> {
    let identity = Identity { instance: "inst".into(), run: "abcdefghij".into() };
    Plan::of(identity, Arc::new(scenario), &images())
}

#[test]
fn names_labels_and_rights() {
    let plan = plan(fixture()).unwrap();
    let (a, b) = (&plan.nodes[0].spec, &plan.nodes[1].spec);
    assert_eq!((a.name.as_str(), plan.fabric.name.as_str()), ("forge-abcdefghij-a", "forge-abcdefghij-fabric"));
    for (spec, kind, node) in [(a, "node", Some("a")), (b, "node", Some("b")), (&plan.fabric, "fabric", None)] {
        assert_eq!(spec.labels[label::INSTANCE], "inst");
        assert_eq!(spec.labels[label::RUN], "abcdefghij");
        assert_eq!(spec.labels[label::KIND], kind);
        assert_eq!(spec.labels.get(label::NODE).map(String::as_str), node);
    }
    assert_eq!(a.caps, ["NET_ADMIN"]);
    assert!(!a.host_pid && !b.host_pid && plan.fabric.host_pid);
    assert_eq!(plan.fabric.seccomp, SeccompProfile::Fabric);
    assert_eq!((a.sysctls["net.ipv4.ip_forward"].as_str(), b.sysctls["net.ipv4.ip_forward"].as_str()), ("0", "1"));
    assert_eq!(a.sysctls["net.ipv6.conf.default.accept_ra"], "0");
    assert_eq!(a.hosts, [("b".to_string(), "10.0.0.2".to_string())]);
    assert!(a.command.is_empty());
    assert_eq!(b.command, ["true"]);
    assert_eq!(a.memory_bytes, Some(256 << 20));
    assert_eq!(a.nano_cpus, Some(2_000_000_000));
    assert!(a.pids > 0 && a.nofile > 0);
}

#[test]
fn a_trials_containers_end_by_themselves() {
    let identity = Identity { instance: "inst".into(), run: "trial12345".into() };
    let plan = Plan::of(identity, Arc::new(fixture()), &images()).unwrap();
    assert!(plan.nodes.iter().map(|n| &n.spec).chain([&plan.fabric]).all(|s| !s.fleeting), "a lab's stay");
    let plan = plan.fleeting(Duration::from_secs(90));
    assert_eq!(plan.nodes[0].spec.command, ["--now", "timeout", "-k", "1", "90", "/forge/init"]);
    assert_eq!(plan.nodes[1].spec.command.last().unwrap(), "true");
    assert_eq!(plan.fabric.command.last().unwrap(), "90");
    for spec in plan.nodes.iter().map(|n| &n.spec).chain([&plan.fabric]) {
        assert!(spec.fleeting && spec.labels.contains_key(label::TRIAL));
    }
}

#[test]
fn limits_are_shared_out_with_a_floor() {
    let mut scenario = fixture();
    let node = scenario.nodes[0].clone();
    scenario.nodes = (0..16).map(|i| Node { name: format!("n{i}"), ..node.clone() }).collect();
    scenario.links.clear();
    let plan = plan(scenario).unwrap();
    assert_eq!(plan.nodes[3].spec.memory_bytes, Some(64 << 20));
    assert_eq!(plan.nodes[3].spec.nano_cpus, Some(500_000_000));
}

#[test]
fn the_egress_gateway_is_in_the_footprint() {
    let labs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/egress");
    let sources = crate::template::Sources { instead: Some(labs.into()), user: None };
    let lab = crate::template::Catalogue::load(&sources).get("netplus-reach-out").unwrap();
    let mut scenario = lab.instantiate("s").unwrap();
    let with = footprint(&scenario);
    // One node of the author's, and the gateway, which comes by itself.
    assert_eq!((with.memory_mb, with.pids, with.disk_mb), (256 + fabric::MEMORY_MB, 512 + fabric::PIDS, 512));
    scenario.nodes.retain(|n| n.role != Role::Gateway);
    assert_eq!((footprint(&scenario).pids, footprint(&scenario).disk_mb), (256 + fabric::PIDS, 256));
}

/// What is promised to a run is what its containers get.
#[test]
fn the_footprint_is_what_the_plan_gives() {
    let mut scenario = fixture();
    let node = scenario.nodes[0].clone();
    for n in [1, 2, 5, 16] {
        scenario.nodes = (0..n).map(|i| Node { name: format!("n{i}"), ..node.clone() }).collect();
        scenario.links.clear();
        let (print, plan) = (footprint(&scenario), plan(scenario.clone()).unwrap());
        let all = || plan.nodes.iter().map(|n| &n.spec).chain([&plan.fabric]);
        let given: i64 = all().map(|spec| spec.memory_bytes.unwrap()).sum();
        assert!(print.memory_mb >= (given >> 20) as u64, "{n}: {print:?}");
        assert_eq!(print.pids, all().map(|spec| spec.pids as u64).sum::<u64>());
    }
}

#[test]
fn files_go_into_the_deepest_volume_as_one_tar_each() {
    let plan = plan(fixture()).unwrap();
    let node = &plan.nodes[1];
    type Listed = (String, u32, u64, u64);
    let listing: Vec<(String, Vec<Listed>)> = node
        .files
        .iter()
        .map(|(volume, tar)| {
            let mut archive = tar::Archive::new(&tar[..]);
            let entries = archive.entries().unwrap().map(|entry| {
                let mut entry = entry.unwrap();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                let header = entry.header();
                assert_eq!(text, if header.entry_type().is_dir() { "" } else { "hi" });
                let path = entry.path().unwrap().display().to_string();
                (path, header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap())
            });
            (volume.clone(), entries.collect())
        })
        .collect();
    assert_eq!(
        listing,
        [
            ("/etc/x".to_string(), vec![("top".to_string(), 0o600, 7, 8)]),
            ("/etc/x/deep".to_string(), vec![("in/".to_string(), 0o755, 0, 0), ("in/er".to_string(), 0o640, 0, 0)]),
        ]
    );
    assert_eq!(node.owners, [("bind:bind".to_string(), "/etc/x/deep/in/er".to_string())]);
}

#[test]
fn a_file_outside_the_writable_directories_and_a_missing_image_are_refused() {
    for path in ["/etc/passwd", "/etc/xylophone", "/etc/x"] {
        let mut scenario = fixture();
        scenario.nodes[1].files[0].path = path.into();
        assert_eq!(plan(scenario).unwrap_err().code, Code::TemplateInvalid, "{path}");
    }
    let mut scenario = fixture();
    scenario.nodes[0].image = "router".into();
    assert_eq!(plan(scenario).unwrap_err().code, Code::ImageMissing);
}

#[test]
fn links_are_the_same_whoever_derives_them() {
    let all = bridges("abcdefghij", &fixture());
    assert_eq!(all, bridges("abcdefghij", &fixture()));
    let (a, b) = (&all[0].ports[0], &all[0].ports[1]);
    assert_eq!(b.mac, "02:00:00:00:00:42");
    assert!(a.mac.starts_with("02:") && a.mac.len() == 17, "{}", a.mac);
    assert_ne!(a.mac, bridges("anotherrun", &fixture())[0].ports[0].mac);
    assert_eq!((a.name(), a.mtu, a.shape.rate_kbit), ("p0.0".to_string(), Some(1400), Some(64)));
    let mut switched = fixture();
    switched.nodes[0].role = Role::Switch;
    assert!(bridges("r", &switched)[0].ports.iter().all(|p| p.checksum_off));
    assert_eq!(conditions_of(&fixture().nodes[1]), [Condition::Udp(53)]);
}
