//! A ring of N hosts, written three ways: as a lab, as bare containers, as a compose file.

use forge_core::engine::ContainerSpec;
use forge_core::engine::{SeccompProfile, label};
use std::fmt::Write as _;

/// Memory each host may use, in MiB; the same in all three.
pub const MEMORY_MB: u64 = 64;

pub fn lab_id(nodes: u32) -> String {
    format!("netplus-bench-ring-{nodes}")
}

/// How much evidence each host's criterion asks for.
pub const PROBES_PER_NODE: u32 = 4;

/// The lab's file. Each host's criterion asks for [`PROBES_PER_NODE`] pieces of evidence, which the ring has from the start.
pub fn lab(nodes: u32) -> String {
    let mut yaml = format!(
        "apiVersion: frostgate.forge/v1\nkind: ScenarioTemplate\nmetadata:\n  name: {}\n  title: Ring of {nodes}\n  version: 1.0.0\n  \
         labels: [class:netplus, tier:foundation, topic:bench]\n  minutes: 5\n  summary: A ring of hosts for measuring.\nspec:\n  \
         limits: {{cpu: 2, memory_mb: {}, timeout_minutes: 30}}\n  network:\n    egress: deny\n    links:\n",
        lab_id(nodes),
        MEMORY_MB * u64::from(nodes)
    );
    for n in 0..nodes {
        let next = (n + 1) % nodes;
        // Writing to a String cannot fail.
        let _ = writeln!(yaml, "      - {{id: l{n}, between: [h{n}:eth1, h{next}:eth2], subnet: 10.77.{n}.0/24}}");
    }
    yaml.push_str("  assets:\n    nodes:\n");
    for n in 0..nodes {
        let _ = writeln!(yaml, "      - {{name: h{n}, role: client}}");
    }
    yaml.push_str("  successCriteria:\n");
    for n in 0..nodes {
        let (next, before) = ((n + 1) % nodes, (n + nodes - 1) % nodes);
        let _ = write!(
            yaml,
            "    - id: h{n}\n      title: Host {n} has its links\n      weight: 1\n      failed: \"Expected {{{{expected}}}}, saw {{{{seen}}}}.\"\n      evidence:\n        \
             - {{probe: ping, from: h{n}, to: \"{{{{h{next}.eth2}}}}\"}}\n        \
             - {{probe: ping, from: h{n}, to: \"{{{{h{before}.eth1}}}}\"}}\n        \
             - {{probe: interface, node: h{n}, interface: eth1, up: true}}\n        \
             - {{probe: interface, node: h{n}, interface: eth2, up: true}}\n"
        );
    }
    yaml
}

/// One of the bare containers: what the engine would create for such a host, and nothing around it.
pub fn bare(session: &str, n: u32, image: &str) -> ContainerSpec {
    ContainerSpec {
        name: format!("forge-bench-{session}-h{n}"),
        image: image.to_owned(),
        hostname: format!("h{n}"),
        labels: [(label::KIND, "bench"), (label::INSTANCE, session)].map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        caps: forge_core::lab::capabilities(forge_core::api::Role::Client, &[]),
        seccomp: SeccompProfile::Node,
        tmpfs: [("/root".to_owned(), "rw,nosuid,nodev,size=16m,mode=700".to_owned())].into(),
        nano_cpus: Some(500_000_000),
        memory_bytes: Some((MEMORY_MB << 20) as i64),
        pids: 256,
        nofile: 4096,
        ..ContainerSpec::default()
    }
}

/// The same hosts for docker-compose: one network per link, no other.
pub fn compose(nodes: u32, session: &str, image: &str) -> String {
    let mut yaml = String::from("version: \"2.4\"\nservices:\n");
    for n in 0..nodes {
        let before = (n + nodes - 1) % nodes;
        let _ = writeln!(
            yaml,
            "  h{n}:\n    image: {image}\n    entrypoint: [sleep, infinity]\n    init: true\n    cap_drop: [ALL]\n    read_only: true\n    \
             mem_limit: {MEMORY_MB}m\n    cpus: 0.5\n    labels: {{{}: {session}}}\n    networks: [l{n}, l{before}]",
            label::INSTANCE
        );
    }
    yaml.push_str("networks:\n");
    for n in 0..nodes {
        let _ = writeln!(yaml, "  l{n}: {{internal: true, ipam: {{config: [{{subnet: 10.78.{n}.0/24}}]}}}}");
    }
    yaml
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_ring_closes_and_every_host_has_two_links() {
        let (lab, compose) = (lab(3), compose(3, "s", "i"));
        assert!(lab.contains("between: [h2:eth1, h0:eth2]"), "{lab}");
        assert_eq!(lab.matches("role: client").count(), 3);
        assert!(compose.contains("networks: [l0, l2]") && compose.matches("subnet").count() == 3, "{compose}");
    }

    #[test]
    fn the_lab_is_one_that_the_engine_takes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("netplus/ring");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("lab.yaml"), lab(25)).unwrap();
        let sources = forge_core::template::catalogue::Sources { instead: Some(dir.path().to_owned()), user: None };
        let catalogue = forge_core::template::catalogue::Catalogue::load(&sources);
        assert!(catalogue.broken().is_empty(), "{:?}", catalogue.broken());
        let scenario = catalogue.get(&lab_id(25)).unwrap().instantiate("s").unwrap();
        assert_eq!((scenario.nodes.len(), scenario.links.len()), (25, 25));
    }
}
