//! The template language from outside: what loads, what is refused and where, and that a seed decides everything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use forge_core::api::Role;
use forge_core::error::{Code, Error};
use forge_core::template::folder::Folder;
use forge_core::template::scenario::{Egress, GATEWAY, Probe, Proto, Ready, Scenario};
use forge_core::template::{Catalogue, Lab, Sources, schema};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
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

/// Replaces `from` (once) by `to`, in which `⟦` marks where the problem is to be reported.
fn refused(from: &str, to: &str) -> (Error, u64, u64) {
    assert_eq!(GOOD.matches(from).count(), 1, "“{from}” must be in the good lab exactly once");
    let marked = GOOD.replacen(from, to, 1);
    let at = marked.find('⟦').expect("a mark");
    let line = marked[..at].matches('\n').count() as u64 + 1;
    let column = marked[..at].rsplit('\n').next().unwrap().chars().count() as u64 + 1;
    let error = load(&marked.replacen('⟦', "", 1)).expect_err(to);
    (error, line, column)
}

#[test]
fn every_mistake_is_found_at_its_place() {
    let cases: &[(&str, &str, &str)] = &[
        // Not YAML, or not what a lab may contain of it.
        ("kind: ScenarioTemplate", "kind: [\nmetadata: x⟦: y", "YAML"),
        ("  minutes: 20", "  minutes: 20\n  ⟦minutes: 30", "“minutes” appears twice"),
        ("role: client}", "role: client, ⟦<<: {a: 1}}", "merge keys"),
        // Unknown, missing and wrongly typed fields.
        ("  title: A lab", "  ⟦titel: A lab", "no field “titel”"),
        ("  version: 1.0.0", "  version: ⟦1.0", "expected text, found the number 1"),
        ("  minutes: 20", "  minutes: ⟦soon", "expected a whole number"),
        ("  minutes: 20", "  minutes: ⟦-3", "expected a whole number"),
        ("{name: c, role: client}", "{name: c, role: client}\n      - ⟦{role: client}", "“name” is missing"),
        ("role: client}", "role: ⟦klient}", "“klient” is not known"),
        ("from: c, to", "⟦form: c, to", "no field “form”"),
        ("probe: ping", "probe: ⟦pnig", "“pnig” is not known"),
        ("probe: ping, from: c", "probe: ping, from: ⟦[c]", "expected a word or a mapping, found a list"),
        ("within: 5s", "within: ⟦5 seconds", "expected a duration"),
        ("egress: deny", "egress: ⟦none", "“none” is not known"),
        ("listen: tcp/22", "listen: ⟦22/tcp", "expected `tcp/<port>`"),
        ("subnet: 192.168.1.0/24", "subnet: ⟦192.168.1.0/33", "invalid IP"),
        ("apiVersion: frostgate.forge/v1", "apiVersion: ⟦frostgate.forge/v2", "expected “frostgate.forge/v1”"),
        // References.
        ("\"{{b.eth1}}\"", "⟦\"{{b.eth9}}\"", "“b” has no “eth9”"),
        ("\"{{core.0}}\"", "⟦\"{{cor.0}}\"", "there is no parameter, node or link “cor”"),
        ("\"{{core.0}}\"", "⟦\"{{core.2}}\"", "“core” has the items 0 to 1"),
        ("\"{{core.0}}\"", "⟦\"{{core}}\"", "expected"),
        ("\"Look at {{word}}\"", "⟦\"Look at {{core}}\"", "is a list"),
        ("    word: name", "    word: {pick: {of: [⟦\"{{later}}\"]}}\n    later: name", "names nothing"),
        // Parameters.
        (
            "core: {subnets: {from: 10.0.0.0/8, prefix: 24",
            "core: ⟦{subnets: {from: 10.0.0.0/8, prefix: 4",
            "does not fit",
        ),
        ("    word: name", "    ⟦Word: name", "cannot be a parameter's name"),
        ("    word: name", "    ⟦seen: name", "cannot be a parameter's name"),
        ("    word: name", "    word: ⟦nam", "“nam” is not known"),
        ("{port: {min: 2000, max: 3000}}", "⟦{port: {min: 3000, max: 2000}}", "no range"),
        // The network.
        ("[a:eth1, b:eth1]", "⟦[a:eth1]", "exactly two ends"),
        ("b:eth1]", "⟦bb:eth1]", "there is no node “bb”"),
        ("b:eth1]", "⟦b]", "expected `node:interface`"),
        ("a:eth2,", "⟦a:eth1,", "“a:eth1” is used twice"),
        ("c:eth1]", "⟦c:an-interface-too-long]", "cannot be an interface's name"),
        ("gateway: a", "gateway: ⟦b", "“b” is not a member"),
        ("{id: lan,", "{id: ⟦a-b,", "two links with the id “a-b”"),
        ("{id: lan,", "{id: ⟦c,", "names both a link and something else"),
        ("{unseen: lan}", "{unseen: {segment: ⟦lam}}", "there is no segment “lam”"),
        ("subnet: 192.168.1.0/24", "subnet: ⟦192.168.1.0/32", "no address left"),
        ("a:eth2, c:eth1]", "a:eth2, {node: c, interface: eth1, address: ⟦10.9.9.9}]", "outside the link's subnet"),
        ("a:eth2, c:eth1]", "a:eth2, {node: c, interface: eth1, mac: ⟦01:00:00:00:00:01}]", "not a unicast MAC"),
        ("gateway: a}", "gateway: a, mtu: ⟦70000}", "MTU"),
        ("egress: deny", "egress: ⟦allowlist", "needs an allowlist_profile"),
        ("egress: deny", "allowlist_profile: none\n    egress: ⟦allowlist", "nothing leads to the gateway"),
        ("{name: c, role: client}", "{name: ⟦c, role: gateway}", "cannot be a gateway"),
        ("egress: deny", "egress: deny\n    allowlist_profile: ⟦web", "opens nothing"),
        (
            "segments:\n      - {id: lan, members: [a:eth2, c:eth1], subnet: 192.",
            "subnets: [10.0.0.0/8]\n    segments:\n      - {id: lan, members: [a:eth2, c:eth1], subnet: ⟦192.",
            "lies in none of network.subnets",
        ),
        ("subnet: 192.168.1.0/24", "subnet: ⟦\"{{core.0}}\"", "overlaps"),
        // What probes are given to match with.
        (
            "{probe: ping, from: c, to: \"{{b.eth1}}\"",
            "{probe: log, node: b, path: /var/log/x, line: ⟦\"(a\"",
            "is not a regular expression",
        ),
        (
            "{probe: ping, from: c, to: \"{{b.eth1}}\"",
            "{probe: packets, on: lan, for: 1s, seen: true, filter: ⟦\"osfp\"",
            "is not a packet filter",
        ),
        // Nodes.
        (
            "{name: c, role: client}",
            "{name: c, role: client}\n      - {name: ⟦x, role: attacker}",
            "an attacker more than",
        ),
        ("{name: c,", "{name: ⟦C_1, role: client}\n      - {name: c,", "cannot be a node's name"),
        ("{name: c,", "{name: ⟦c, role: client}\n      - {name: c,", "two nodes named “c”"),
        ("role: client}", "role: client, image: ⟦hots}", "there is no image “hots”"),
        ("role: client}", "role: client, caps: [⟦CAP_NET_RAW]}", "not a capability"),
        ("role: client}", "role: client, writable: [⟦/tmp/x]}", "cannot be declared writable"),
        ("role: client}", "role: client, writable: [⟦etc]}", "not a plain absolute path"),
        ("path: /etc/bind/key", "path: ⟦/etc/key", "lies below no writable directory"),
        ("path: /etc/bind/key", "path: ⟦/etc/bind/../key", "not a plain absolute path"),
        ("\"0600\"", "⟦\"0999\"", "not an octal mode"),
        (
            "files: [{path: /etc/bind/key, content: \"{{key.public}}\"",
            "files: [{from: ⟦../up",
            "not a folder below files/",
        ),
        ("files: [{path: /etc/bind/key, content: \"{{key.public}}\"", "files: [{from: ⟦files/none", "no files below"),
        // Criteria.
        ("title: Second", "title: Second\n      weight: ⟦0", "a weight of 0"),
        ("- id: two", "- id: ⟦one", "two criteria with the id “one”"),
        ("from: c, to", "from: ⟦d, to", "there is no node “d”"),
        ("{unseen: lan}", "{unseen: ⟦a-b}", "there is no segment “a-b”"),
        ("{cut: a-b}", "{cut: ⟦a-c}", "there is no link or segment “a-c”"),
        ("{cut: a-b}", "{announce: {node: ⟦a, prefix: 10.9.0.0/24}}", "cannot announce"),
        ("within: 5s", "within: ⟦10m", "at most 120s"),
        (
            "probe: ping, from: c, to: \"{{b.eth1}}\"",
            "probe: dns, from: ⟦c, server: 10.0.0.1, name: x, rtype: A",
            "`answer` or `rcode`",
        ),
        (
            "probe: ping, from: c, to: \"{{b.eth1}}\"",
            "probe: command, on: ⟦c, inside: true, argv: [\"true\"], exit: 0",
            "prove nothing",
        ),
        ("{for: one,", "{for: ⟦three,", "there is no criterion “three”"),
        ("cost: 500", "cost: ⟦2001", "it is worth 2000"),
        // Labels and limits.
        ("version: 1.0.0", "version: ⟦1.0.0.0", "not a semantic version"),
        ("name: test-lab", "name: ⟦Test Lab", "cannot be a lab's name"),
        ("topic:tests]", "⟦topc:tests]", "“topc:tests” is not a label"),
        ("[class:netplus, tier", "[⟦tier", "exactly one label class:"),
        ("cpu: 1,", "cpu: ⟦1000,", "not between 0.1 and 32"),
        ("memory_mb: 256", "memory_mb: ⟦1", "not between 32"),
        ("timeout_minutes: 60", "timeout_minutes: ⟦2", "not between 5"),
        ("  hints: [", "  requires: {kernel: [⟦vether]}\n  hints: [", "not a kernel feature"),
    ];
    let mut wrong = Vec::new();
    for (from, to, says) in cases {
        let (error, line, column) = refused(from, to);
        let first = &error.details["problems"][0];
        let place = (first["line"].as_u64(), first["column"].as_u64());
        let said = &error.message;
        let ok = error.code == Code::TemplateInvalid
            && place == (Some(line), Some(column))
            && said.starts_with(&format!("lab.yaml:{line}:{column}: "))
            && said.contains(says);
        if !ok {
            wrong.push(format!("{to:?}\n   wanted {line}:{column} “{says}”\n   got    {:?} {said}", error.code));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn hints_name_what_was_meant() {
    for (from, to, hint) in [
        ("  title: A lab", "  ⟦titel: A lab", "Did you mean “title”?"),
        ("role: client}", "role: ⟦klient}", "Did you mean “client”?"),
        ("{cut: a-b}", "{cut: ⟦a-c}", "Did you mean “a-b”?"),
        ("\"{{core.0}}\"", "⟦\"{{cor.0}}\"", "Did you mean “core”?"),
        ("  version: 1.0.0", "  version: ⟦1.0", "Put it in quotes to make it text."),
        ("path: /etc/bind/key", "path: ⟦/etc/key", "Add its directory to the node's `writable`."),
    ] {
        let (error, ..) = refused(from, to);
        assert_eq!(error.hints.first().map(String::as_str), Some(hint), "{to}");
    }
}

#[test]
fn all_problems_of_a_kind_come_at_once() {
    let yaml =
        GOOD.replace("cpu: 1", "cpu: 0").replace("timeout_minutes: 60", "timeout_minutes: 0").replace("1.0.0", "one");
    let error = load(&yaml).unwrap_err();
    assert_eq!(error.details["problems"].as_array().unwrap().len(), 3);
    assert!(error.message.contains("(2 more in this lab)"), "{}", error.message);
}

#[test]
fn what_is_too_much_is_refused_before_it_costs_anything() {
    let bomb = {
        let mut y = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let refs = vec![format!("*a{}", n - 1); 10].join(", ");
            y.push_str(&format!("a{n}: &a{n} [{refs}]\n"));
        }
        y
    };
    for (what, yaml) in [
        ("oversized", format!("{GOOD}# {}", "x".repeat(256 * 1024))),
        ("bomb", bomb),
        ("deep flow", "[".repeat(5000)),
        ("deep block", (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect()),
        ("many nodes", format!("[{}]", "1,".repeat(60_000))),
        ("many documents", "---\na: 1\n".repeat(10)),
    ] {
        let began = std::time::Instant::now();
        let error = load(&yaml).expect_err(what);
        assert!(matches!(error.code, Code::TooLarge | Code::TemplateInvalid), "{what}: {error:?}");
        assert!(error.message.contains("lab.yaml"), "{what}: {}", error.message);
        assert!(began.elapsed().as_secs() < 5, "{what} took {:?}", began.elapsed());
        if matches!(what, "oversized" | "bomb" | "many nodes") {
            assert_eq!(error.code, Code::TooLarge, "{what}: {error:?}");
        }
    }
    let mut latin1 = GOOD.as_bytes().to_vec();
    let at = GOOD.find("A lab").unwrap();
    latin1[at] = 0xe4;
    let folder = Folder::from_files([("lab.yaml".to_owned(), latin1)]).unwrap();
    let error = Lab::load("x/y", folder).unwrap_err();
    assert!(error.message.starts_with("lab.yaml:5:10: this is not UTF-8"), "{}", error.message);
    let error = load("").unwrap_err();
    assert_eq!(error.code, Code::TemplateInvalid);
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

fn built_in() -> Catalogue {
    let catalogue = Catalogue::load(&Sources::default());
    assert!(catalogue.broken().is_empty(), "{:#?}", catalogue.broken());
    catalogue
}

/// What a seed decides, pinned: a change here means that a lab needs a new version. The guide and the digest of the
/// folder are left out, so that a corrected sentence moves nothing.
#[test]
fn the_built_in_labs_stay_as_they_are() {
    let want = [
        ("ccna-ospf-single-area", "1.1.0", "8067374e92f86132"),
        ("cissp-ssh-hardening", "1.0.1", "ea1cb3cdb2f5bac5"),
        ("netplus-dns-zone-reverse", "1.0.2", "aa25445a3ddffa44"),
    ];
    let have: Vec<_> = built_in()
        .list()
        .map(|lab| {
            let s = Scenario { digest: String::new(), guide: String::new(), ..lab.instantiate("golden").unwrap() };
            let digest: String =
                Sha256::digest(serde_json::to_vec(&s).unwrap()).iter().take(8).map(|b| format!("{b:02x}")).collect();
            (lab.id.clone(), lab.version.clone(), digest)
        })
        .collect();
    let have: Vec<_> = have.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(have, want);
}

#[test]
fn the_built_in_labs_are_complete() {
    let catalogue = built_in();
    for lab in catalogue.list() {
        assert_eq!(lab.id, lab.path.replace('/', "-"), "the id says where the lab lies");
        assert_eq!(lab.track, lab.path.split('/').next().unwrap());
        assert!(!lab.solution("a").unwrap().is_empty(), "{} has no solution", lab.id);
        let wrong = lab.wrong("a").unwrap();
        assert!(wrong.len() >= 2, "{} has {} wrong solutions", lab.id, wrong.len());
        assert!(lab.specimen.guide.len() > 1500 && !lab.summary.is_empty() && !lab.objectives.is_empty(), "{}", lab.id);
        assert!(
            lab.specimen.criteria.iter().all(|c| !c.failed.is_empty()),
            "{}: a criterion has nothing to say",
            lab.id
        );
        // Nothing that only a check may know stands in the guide.
        let guide = lab.instantiate("leak").unwrap();
        for secret in ["secret", "ghost", "rootpw", "weak"] {
            if let Some(value) = guide.values.get(secret).and_then(|v| v.as_str()) {
                assert!(!guide.guide.contains(value), "{}: the guide gives {secret} away", lab.id);
            }
        }
        assert_eq!(catalogue.get(&lab.path).unwrap().id, lab.id);
        assert_eq!(catalogue.get(lab.path.split('/').nth(1).unwrap()).unwrap().id, lab.id);
    }
    let error = catalogue.get("ccna-ospf-single-aera").unwrap_err();
    assert_eq!((error.code, error.hints[0].as_str()), (Code::UnknownLab, "Did you mean “ccna-ospf-single-area”?"));
}

#[test]
fn a_broken_lab_hides_no_other() {
    let home = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("mine/good/lab.yaml", GOOD);
    put("mine/broken/lab.yaml", &GOOD.replace("deny", "deyn"));
    put("mine/twice/lab.yaml", GOOD);
    put("mine/no-lab/readme.md", "nothing");
    put("images/x/lab.yaml", "not looked at");
    let catalogue = Catalogue::load(&Sources { instead: None, user: Some(home.path().to_owned()) });
    assert_eq!(catalogue.list().count(), 4);
    let broken: Vec<_> =
        catalogue.broken().iter().map(|b| (b.place.rsplit('/').next().unwrap(), b.error.code)).collect();
    assert_eq!(broken, [("broken", Code::TemplateInvalid), ("twice", Code::TemplateInvalid)]);
    assert!(catalogue.get("broken").unwrap_err().message.contains("lab.yaml:17:13"));
}

#[cfg(unix)]
#[test]
fn links_and_paths_out_of_the_folder_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let lab = home.path().join("mine/lab");
    std::fs::create_dir_all(lab.join("files")).unwrap();
    std::fs::write(lab.join("lab.yaml"), GOOD).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", lab.join("files/passwd")).unwrap();
    let error = Folder::read(&lab).unwrap_err();
    assert_eq!(error.code, Code::TemplateInvalid);
    assert!(error.message.contains("files/passwd"), "{}", error.message);
    for path in ["../x", "a/../../x", "/etc/passwd", "a//b"] {
        let error = Folder::from_files([(path.to_owned(), vec![])]).unwrap_err();
        assert_eq!(error.code, Code::TemplateInvalid, "{path}");
    }
}

#[test]
fn the_digest_tells_any_change() {
    let digest = |files: &[(&str, &str)]| {
        Folder::from_files(files.iter().map(|(p, b)| ((*p).to_owned(), b.as_bytes().to_vec()))).unwrap().digest()
    };
    let base = digest(&[("a", "12"), ("b", "3")]);
    assert_eq!(base, digest(&[("b", "3"), ("a", "12")]));
    for other in [[("a", "1"), ("b", "23")], [("a", "12"), ("c", "3")], [("a", "12"), ("b", "4")]] {
        assert_ne!(base, digest(&other));
    }
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
