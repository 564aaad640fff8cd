//! The template language from outside: what loads, what is refused and where, and that a seed decides everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod labs;
mod mistakes;

use forge_core::api::Role;
use forge_core::error::{Code, Error};
use forge_core::template::folder::Folder;
use forge_core::template::scenario::{Egress, GATEWAY, Probe, Proto, Ready};
use forge_core::template::{Lab, schema};
use proptest::prelude::*;
use std::path::Path;

const GOOD: &str = r#"apiVersion: frostgate.forge/v1
kind: ScenarioTemplate
metadata:
  name: test-lab
  title: A lab for tests
  version: 1.0.0
  labels: [class:netplus, tier:foundation, topic:tests]
  minutes: 20
spec:
  parameters:
    core: {subnets: {from: 10.0.0.0/8, prefix: 24, count: 2}}
    word: name
    key: {ssh_keypair: {comment: me}}
    port: {port: {min: 2000, max: 3000}}
  limits: {cpu: 1, memory_mb: 256, timeout_minutes: 60}
  network:
    egress: deny
    links:
      - {id: a-b, between: [a:eth1, b:eth1], subnet: "{{core.0}}"}
    segments:
      - {id: lan, members: [a:eth2, c:eth1], subnet: 192.168.1.0/24, gateway: a}
  assets:
    nodes:
      - {name: a, role: router, writable: [/etc/frr]}
      - name: b
        role: server
        writable: [/etc/bind]
        files: [{path: /etc/bind/key, content: "{{key.public}}", mode: "0600"}]
        ready: [{listen: tcp/22}]
      - {name: c, role: client}
  successCriteria:
    - id: one
      title: First
      weight: 2
      evidence:
        - {probe: ping, from: c, to: "{{b.eth1}}", within: 5s}
      failed: "{{seen}} is not {{expected}}"
    - id: two
      title: Second
      evidence:
        - {after: {cut: a-b}, probe: tcp, from: {unseen: lan}, to: "{{a.eth2}}", port: "{{port}}", accepted: false}
  hints: [{for: one, cost: 500, text: "Look at {{word}}"}]
"#;

fn load(yaml: &str) -> Result<Lab, Error> {
    Lab::load("netplus/test", Folder::from_files([("lab.yaml".to_owned(), yaml.as_bytes().to_vec())]).unwrap())
}

#[test]
fn a_lab_becomes_a_scenario() {
    let s = load(GOOD).unwrap().instantiate("s").unwrap();
    let core = s.links[0].subnet.unwrap();
    assert_eq!(s.values["core"][0], core.to_string());
    assert_eq!(s.links[0].endpoints[1].addresses[0].addr(), core.hosts().nth(1).unwrap());
    assert!(!s.links[0].segment && s.links[1].segment);
    let node = |n: &str| s.nodes.iter().find(|x| x.name == n).unwrap();
    assert_eq!(
        (node("a").image.as_str(), node("b").image.as_str(), node("c").image.as_str()),
        ("router", "server", "host")
    );
    assert!(node("a").forwarding && !node("c").forwarding);
    // The gateway gets the first address and is the client's default route.
    assert_eq!(node("c").gateway, Some("192.168.1.1".parse().unwrap()));
    assert_eq!(node("a").gateway, None);
    // c knows b by its only address, and a by the one they share.
    assert_eq!(node("c").hosts["a"].to_string(), "192.168.1.1");
    assert_eq!(node("c").hosts["b"], s.links[0].endpoints[1].addresses[0].addr());
    assert_eq!(String::from_utf8_lossy(&node("b").files[0].content), s.values["key"]["public"].as_str().unwrap());
    assert_eq!(node("b").files[0].mode, 0o600);
    // `{{port}}` alone becomes a number; {{seen}} stays open.
    assert!(
        matches!(&s.criteria[1].evidence[0].probe, Probe::Tcp { port, accepted: false, .. } if u64::from(*port) == s.values["port"])
    );
    assert_eq!(s.criteria[0].failed, "{{seen}} is not {{expected}}");
    assert_eq!(s.criteria[0].evidence[0].within_ms, 5000);
    assert_eq!(s.hints[0].text, format!("Look at {}", s.values["word"].as_str().unwrap()));
    assert_eq!((s.hints[0].id.as_str(), s.track.as_str(), s.tier.as_str()), ("one-1", "netplus", "foundation"));
}

#[test]
fn the_flat_original_form_loads() {
    let flat = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/flat/{name}.yaml"));
        load(&std::fs::read_to_string(path).unwrap()).unwrap_or_else(|e| panic!("{name}: {e:?}"))
    };
    let s = flat("netplus").specimen;
    assert_eq!(
        (s.lab.as_str(), s.version.as_str(), s.nodes.len(), s.links.len()),
        ("netplus-address-a-host", "1.2.0", 1, 2)
    );
    assert_eq!((s.nodes[0].name.as_str(), s.links[1].id.as_str()), ("lab", "net1"));
    assert_eq!(s.links[1].endpoints[0].interface, "eth1");
    assert_eq!(s.links[1].endpoints[0].addresses[0].to_string(), "10.20.31.1/24");

    let lab = flat("ccna");
    let s = lab.instantiate("x").unwrap();
    assert_eq!((s.nodes[0].name.as_str(), s.nodes[0].image.as_str()), ("r1", "router"));
    assert!(
        matches!(&s.criteria[0].evidence[0].probe, Probe::Route { via: Some(via), .. } if s.values["via"][0] == via.to_string())
    );
    assert_eq!(lab.minutes, 15);

    let lab = flat("cissp");
    assert_eq!(
        lab.specimen.nodes.iter().filter(|n| n.role == Role::Gateway).count(),
        1,
        "the flat form gets its gateway, too"
    );
    assert_eq!(lab.specimen.egress, Egress::Allowlist { profile: "package-mirror".into(), opened: None });
    assert_eq!(
        (lab.requires.memory_mb, lab.requires.kernel.as_slice()),
        (200, ["veth".to_owned(), "bridge".to_owned()].as_slice())
    );
    assert!(matches!(
        lab.specimen.criteria[0].evidence[0].probe,
        Probe::Listening { proto: Proto::Tcp, listening: false, .. }
    ));
}

#[test]
fn the_schema_knows_every_block_and_the_probes() {
    let schema = schema::schema();
    let text = schema.to_string();
    for word in [
        "apiVersion",
        "successCriteria",
        "attacker_max_exploits",
        "zone_transfer",
        "ssh_keypair",
        "allowlist_profile",
        "container",
    ] {
        assert!(text.contains(&format!("\"{word}\"")), "{word}");
    }
    // Numbers may be drawn.
    assert!(text.contains(r#"^\\{\\{[^{}]+\\}\\}$"#));
}

#[test]
fn another_seed_is_refused_when_it_is_none() {
    let lab = load(GOOD).unwrap();
    for seed in ["", "a b", "ä", &"x".repeat(65)] {
        assert_eq!(lab.instantiate(seed).unwrap_err().code, Code::InvalidInput, "{seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_seed_decides_everything(a in "[a-z0-9]{1,12}", b in "[a-z0-9]{1,12}") {
        let lab = load(GOOD).unwrap();
        let (sa, sb) = (lab.instantiate(&a).unwrap(), lab.instantiate(&b).unwrap());
        prop_assert_eq!(&sa, &lab.instantiate(&a).unwrap());
        if a != b {
            prop_assert_ne!(&sa.values["key"], &sb.values["key"]);
        }
    }

    #[test]
    fn drawn_subnets_never_overlap(seed in "[a-z0-9]{1,12}", prefix in 14u8..17, count in 1usize..8) {
        let yaml = GOOD
            .replace("prefix: 24, count: 2", &format!("prefix: {prefix}, count: {count}"))
            .replace("    word: name", "    word: name\n    more: {prefix: {from: 10.0.0.0/8, prefix: 12}}\n    six: {subnets: {from: fd00::/8, prefix: 64, count: 3}}");
        let lab = load(&yaml).unwrap();
        let values = lab.instantiate(&seed).unwrap().values;
        let mut nets: Vec<ipnet::IpNet> = vec!["192.168.1.0/24".parse().unwrap(), values["more"].as_str().unwrap().parse().unwrap()];
        for list in ["core", "six"] {
            nets.extend(values[list].as_array().unwrap().iter().map(|v| v.as_str().unwrap().parse::<ipnet::IpNet>().unwrap()));
        }
        for (i, a) in nets.iter().enumerate() {
            prop_assert_eq!(*a, a.trunc());
            for b in &nets[i + 1..] {
                prop_assert!(!a.contains(b) && !b.contains(a), "{} and {}", a, b);
            }
        }
    }

    #[test]
    fn a_new_parameter_does_not_move_the_others(seed in "[a-z0-9]{1,12}") {
        let before = load(GOOD).unwrap().instantiate(&seed).unwrap().values;
        let more = GOOD.replace("    word: name", "    extra: {secret: {bytes: 9}}\n    word: name");
        let after = load(&more).unwrap().instantiate(&seed).unwrap().values;
        for (name, value) in before {
            prop_assert_eq!(&value, &after[&name]);
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let folder = Folder::from_files([("lab.yaml".to_owned(), bytes)]).unwrap();
        prop_assert!(Lab::load("x/y", folder).is_err());
    }

    /// Nearly good labs reach further than noise does.
    #[test]
    fn no_damage_to_a_lab_makes_the_parser_panic(at in 0usize..1500, cut in 0usize..60, put in "[ -~\n]{0,12}") {
        let at = at.min(GOOD.len());
        let end = (at + cut).min(GOOD.len());
        if let Err(e) = load(&format!("{}{put}{}", &GOOD[..at], &GOOD[end..])) {
            prop_assert!(e.message.contains("lab.yaml") && e.code != Code::Internal, "{:?}", e);
        }
    }
}

#[test]
fn a_lab_that_reaches_out_gets_its_gateway() {
    let open = GOOD
        .replace("egress: deny", "egress: allowlist\n    allowlist_profile: none")
        .replace("gateway: a}", "gateway: egress}");
    let lab = load(&open).unwrap().specimen;
    let gateway = lab.nodes.iter().find(|n| n.name == GATEWAY).unwrap();
    assert_eq!((gateway.role, gateway.image.as_str(), gateway.enter), (Role::Gateway, "gateway", false));
    assert!(gateway.forwarding && gateway.caps.is_empty() && gateway.startup.is_empty());
    assert_eq!(gateway.ready, [Ready::Listen { proto: Proto::Udp, port: 53 }]);
    let lan = lab.links.iter().find(|l| l.id == "lan").unwrap();
    let end = lan.endpoints.iter().find(|e| e.node == GATEWAY).unwrap();
    assert_eq!((end.interface.as_str(), end.addresses[0].to_string().as_str()), ("lab1", "192.168.1.1/24"));
    let of = |name: &str| lab.nodes.iter().find(|n| n.name == name).unwrap();
    assert_eq!(
        (of("c").gateway, of("a").gateway),
        (Some("192.168.1.1".parse().unwrap()), None),
        "routers keep their own way"
    );

    // An end of its own, behind a router.
    let behind = GOOD.replace("egress: deny", "egress: allowlist\n    allowlist_profile: none").replace(
        "    segments:",
        "      - {id: up, between: [a:eth9, egress:wan], subnet: 10.99.0.0/30}\n    segments:",
    );
    let lab = load(&behind).unwrap().specimen;
    assert_eq!(lab.links.iter().flat_map(|l| &l.endpoints).filter(|e| e.node == GATEWAY).count(), 1);

    for (from, to, word) in [
        ("name: c, role: client", "name: egress, role: client", "comes by itself"),
        ("192.168.1.0/24", "fd00:1::/64", "carries IPv4 only"),
        ("members: [a:eth2", "members: [egress:eth0, a:eth2", "outer leg"),
    ] {
        let error = load(&open.replace(from, to)).expect_err(to);
        assert!(error.message.contains(word), "{to}: {error}");
    }
}
