//! What is refused, where it is said to be, and what is said of it.
use super::{GOOD, load};
use forge_core::error::{Code, Error};
use forge_core::template::Lab;
use forge_core::template::folder::Folder;

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
        ("title: A lab", "title: !foo ⟦A lab", "the tag !foo is not part"),
        ("  minutes: 20", "  minutes: !!custom ⟦20", "custom is not part"),
        ("  minutes: 20", "  minutes: 20\n  !key ⟦objectives: []", "the tag !key is not part"),
        ("{cut: a-b}", "!include ⟦{cut: a-b}", "the tag !include is not part"),
        // Unknown, missing and wrongly typed fields.
        ("  title: A lab", "  ⟦titel: A lab", "no field “titel”"),
        ("  version: 1.0.0", "  version: ⟦1.0", "expected text, found the number 1"),
        ("  minutes: 20", "  minutes: ⟦soon", "expected a whole number"),
        ("  minutes: 20", "  minutes: ⟦-3", "expected a whole number"),
        ("port: \"{{port}}\"", "port: ⟦70000", "expected a whole number from 0 to 65535, found the number 70000"),
        (
            "  limits: {cpu: 1, memory_mb: 256, timeout_minutes: 60}",
            "  limits: ⟦[1, 256, 60]",
            "expected a mapping, found a list",
        ),
        (
            "  limits: {cpu: 1, memory_mb: 256, timeout_minutes: 60}",
            "  limits: ⟦much",
            "expected a mapping, found the text",
        ),
        ("{name: c, role: client}", "{name: c, role: client}\n      - ⟦{role: client}", "“name” is missing"),
        ("role: client}", "role: ⟦klient}", "“klient” is not known"),
        ("from: c, to", "⟦form: c, to", "no field “form”"),
        ("probe: ping", "probe: ⟦pnig", "“pnig” is not known"),
        ("probe: ping, from: c", "probe: ping, from: ⟦[c]", "expected a word or a mapping, found a list"),
        ("within: 5s", "within: ⟦5 seconds", "expected a duration"),
        ("egress: deny", "egress: ⟦none", "“none” is not known"),
        ("listen: tcp/22", "listen: ⟦22/tcp", "expected `tcp/<port>`"),
        ("listen: tcp/22", "listen: ⟦tcp/0", "expected `tcp/<port>`"),
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
            "probe: dns, from: c, server: 10.0.0.1, name: x, rtype: ⟦AAA, answer: []",
            "“AAA” is not a DNS record type",
        ),
        (
            "probe: ping, from: c, to: \"{{b.eth1}}\"",
            "probe: dns, from: c, server: 10.0.0.1, name: x, rtype: ⟦AXFR, answer: []",
            "“AXFR” is not a DNS record type",
        ),
        (
            "probe: ping, from: c, to: \"{{b.eth1}}\"",
            "probe: dns, from: c, server: 10.0.0.1, name: x, rtype: A, rcode: ⟦NXDOMIAN",
            "“NXDOMIAN” is not a DNS response code",
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
        ("title: A lab", "title: !foo ⟦A lab", "Remove it. To make a value text, put it in quotes."),
        (
            "probe: ping, from: c, to: \"{{b.eth1}}\"",
            "probe: dns, from: c, server: 10.0.0.1, name: x, rtype: ⟦CNAM, answer: []",
            "Did you mean “CNAME”?",
        ),
    ] {
        let (error, ..) = refused(from, to);
        assert_eq!(error.hints.first().map(String::as_str), Some(hint), "{to}");
    }
}

#[test]
fn what_the_stricter_rules_leave_alone_still_loads() {
    let probe = "probe: ping, from: c, to: \"{{b.eth1}}\"";
    for (from, to) in [
        ("title: A lab", "title: !!str A lab"),
        (probe, "probe: dns, from: c, server: 10.0.0.1, name: x, rtype: aaaa, rcode: nxdomain"),
        (probe, "probe: dns, from: c, server: 10.0.0.1, name: x, rtype: A, answer: []"),
    ] {
        assert!(GOOD.contains(from));
        load(&GOOD.replacen(from, to, 1)).unwrap_or_else(|e| panic!("{to}: {e}"));
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

/// Its other texts are read as strictly as lab.yaml.
#[test]
fn a_guide_or_a_script_that_is_no_text_is_refused_at_its_place() {
    for file in ["guide.md", "solution/c.sh", "wrong/w/c.sh"] {
        let mut files = vec![
            ("lab.yaml".to_owned(), GOOD.as_bytes().to_vec()),
            (file.to_owned(), b"# fine\nth\xe9 rest\n".to_vec()),
        ];
        if file.starts_with("wrong") {
            files.push(("wrong/w/wrong.yaml".to_owned(), b"why: W\nfails: [one]\n".to_vec()));
        }
        let error = Lab::load("x/y", Folder::from_files(files).unwrap()).expect_err(file);
        assert_eq!(error.code, Code::TemplateInvalid, "{error:?}");
        assert!(error.message.starts_with(&format!("{file}:2:3: this is not UTF-8")), "{}", error.message);
        assert!(error.hints[0].contains("UTF-8"), "{error:?}");
    }
}
