#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use serde_json::{Value, json};

fn exit() -> Exit {
    Exit {
        inside: vec![("eth1".into(), "192.168.10.1/24".parse().unwrap())],
        openings: vec![
            Opening { names: vec!["deb.debian.org".into()], tcp: vec![443, 80], udp: vec![] },
            Opening { names: vec!["*.example.org".into()], tcp: vec![443], udp: vec![443] },
        ],
        resolvers: vec!["192.168.1.1".parse().unwrap()],
        near: vec!["192.168.1.7/24".parse().unwrap(), "141.20.5.0/24".parse().unwrap()],
    }
}

fn golden(name: &str, seen: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gateway").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, seen).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert!(kept == seen, "{name} is not what is kept; look at the difference, then UPDATE_GOLDEN=1:\n{seen}");
}

/// One object a line, so that a difference reads as one.
#[test]
fn the_filter_is_what_it_was() {
    let mut text = String::new();
    for object in ruleset(&exit()) {
        let _ = writeln!(text, "{object}");
    }
    golden("rules.jsonl", &text);
}

#[test]
fn the_resolver_is_what_it_was() {
    golden("resolver.conf", &startup(&exit()));
}

fn rules(chain: &str) -> Vec<Value> {
    ruleset(&exit()).into_iter().filter(|o| o["rule"]["chain"] == chain).map(|o| o["rule"]["expr"].clone()).collect()
}

#[test]
fn every_chain_drops_by_policy_and_every_path_ends() {
    let all = ruleset(&exit());
    for hook in ["input", "forward", "output"] {
        assert!(all.iter().any(|o| o["chain"]["hook"] == hook && o["chain"]["policy"] == "drop"), "{hook}");
    }
    assert_eq!(rules("question").pop().unwrap(), json!([{"counter": "question"}, {"drop": null}]));
    for chain in ["input", "forward", "output", "leave"] {
        let last = rules(chain).pop().unwrap();
        let last = last.as_array().unwrap();
        assert_eq!(last.len(), 3, "{chain} ends with a refusal of everything");
        assert_eq!(last[2], json!({"goto": {"target": "refuse"}}), "{chain}");
    }
    assert_eq!(rules("refuse").pop().unwrap(), json!([{"drop": null}]));
}

#[test]
fn private_addresses_are_refused_before_anything_is_accepted() {
    let first = &rules("leave")[0];
    assert_eq!(first[0]["match"]["right"], "@never");
    assert_eq!(first[1], json!({"counter": "private"}));
    let accepts =
        |chain: &str| rules(chain).iter().filter(|r| r.as_array().unwrap().contains(&json!({"accept": null}))).count();
    assert_eq!(accepts("leave"), 3, "two openings: tcp, tcp, udp");
    assert_eq!((accepts("input"), accepts("forward"), accepts("output")), (2, 1, 1));
}

#[test]
fn never_holds_all_that_is_not_the_internet_and_what_the_laptop_is_on() {
    let never = exit().never();
    let within = |a: &str| never.iter().any(|n| n.contains(&a.parse::<Ipv4Addr>().unwrap()));
    for inside in [
        "0.0.0.0",
        "10.9.9.9",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "172.17.0.1",
        "172.31.255.255",
        "192.168.65.2",
        "224.0.0.251",
        "239.1.1.1",
        "255.255.255.255",
        "141.20.5.77",
        "203.0.113.9",
    ] {
        assert!(within(inside), "{inside}");
    }
    for outside in ["1.1.1.1", "9.9.9.9", "100.128.0.1", "172.32.0.1", "198.18.0.10", "141.20.6.1"] {
        assert!(!within(outside), "{outside}");
    }
    assert!(never.windows(2).all(|w| w[0].broadcast() < w[1].network()), "sorted and apart: {never:?}");
    let everywhere = Exit { near: vec!["0.0.0.0/0".parse().unwrap()], ..exit() };
    assert_eq!(everywhere.never(), Exit { near: vec![], ..exit() }.never(), "a default route is no LAN");
}

/// The rule that stands for a question, applied to a packet as the kernel would.
fn lets_through(rule: &[Value], udp: &[u8]) -> bool {
    rule.iter().all(|m| {
        let payload = &m["match"]["left"]["payload"];
        if payload["field"] == "length" {
            return udp.len() as u64 <= m["match"]["right"].as_u64().unwrap();
        }
        let (at, len) =
            (payload["offset"].as_u64().unwrap() as usize / 8, payload["len"].as_u64().unwrap() as usize / 8);
        let want = match &m["match"]["right"] {
            Value::String(hex) => u128::from_str_radix(hex.trim_start_matches("0x"), 16).unwrap(),
            number => u128::from(number.as_u64().unwrap()),
        };
        udp.get(at..at + len).is_some_and(|b| b.iter().fold(0, |n, b| n << 8 | u128::from(*b)) == want)
    })
}

fn query(name: &str, kind: u8, extra: usize) -> Vec<u8> {
    let mut udp = vec![0; 8];
    udp.extend([0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(extra > 0)]);
    for label in name.split('.') {
        udp.push(label.len() as u8);
        udp.extend(label.as_bytes());
    }
    udp.extend([0, 0, kind, 0, 1]);
    udp.extend(vec![7; extra]);
    udp
}

#[test]
fn only_the_exact_question_leaves() {
    let allowed =
        |pattern: &str, packet: &[u8]| questions::allowed(pattern).iter().any(|rule| lets_through(rule, packet));
    for long in ["deb.debian.org", "a.very-long-name.of.some-archive.example-organisation.org"] {
        assert!(allowed(long, &query(long, 1, 0)) && allowed(long, &query(long, 28, 23)), "{long}");
        for (kind, extra) in [(16, 0), (10, 0), (65, 0), (255, 0), (1, 41)] {
            assert!(!allowed(long, &query(long, kind, extra)), "{long} {kind} {extra}");
        }
        assert!(!allowed(long, &query(&format!("secret.{long}"), 1, 0)));
        assert!(!allowed(long, &query(&long.to_uppercase(), 1, 0)), "capitals are a message");
        assert!(!allowed(long, &query(&format!("{long}x"), 1, 0)));
        let mut two = query(long, 1, 0);
        two[13] = 2;
        assert!(!allowed(long, &two), "two questions");
    }
    let wild = "*.example.org";
    assert!(allowed(wild, &query("mirror-1.example.org", 1, 0)));
    let longest = "m".repeat(WILD_LABEL.into());
    assert!(allowed(wild, &query(&format!("{longest}.example.org"), 28, 11)));
    for bad in
        [format!("{longest}x.example.org"), "a.b.example.org".into(), "example.org".into(), "a.example.com".into()]
    {
        assert!(!allowed(wild, &query(&bad, 1, 0)), "{bad}");
    }
}

/// As nft lists a table: handles, counts, and filled sets.
fn listed(meant: &[Value]) -> Vec<Value> {
    let mut all: Vec<Value> = meant.to_vec();
    for (handle, object) in all.iter_mut().enumerate() {
        let inner = object.as_object_mut().unwrap().values_mut().next().unwrap();
        inner["handle"] = json!(handle);
        if inner["name"] == "private" {
            (inner["packets"], inner["bytes"]) = (json!(3), json!(180));
        }
        if inner["name"] == "open0" {
            inner["elem"] = json!([{"elem": {"val": "198.18.0.10", "expires": 3590}}]);
        }
        if inner["name"] == "seen" {
            let key = json!({"concat": ["192.168.10.2", "172.17.0.1", 6, 22, 1]});
            inner["elem"] = json!([{"elem": {"val": key, "expires": 599, "counter": {"packets": 3, "bytes": 180}}}]);
        }
        if inner["name"] == "seen_other" {
            let key = json!({"concat": ["192.168.10.2", "9.9.9.9", "icmp", 4]});
            inner["elem"] = json!([{"elem": {"val": key, "expires": 599, "counter": {"packets": 1, "bytes": 84}}}]);
        }
    }
    all.insert(0, json!({"metainfo": {"version": "1.0.6"}}));
    all
}

fn text(objects: Vec<Value>) -> Vec<u8> {
    json!({"nftables": objects}).to_string().into_bytes()
}

#[test]
fn a_listing_of_the_same_rules_is_recognised_and_any_change_is_named() {
    let meant = ruleset(&exit());
    verify(&meant, &text(listed(&meant))).unwrap();
    type Tamper = (&'static str, fn(&mut Vec<Value>), &'static str);
    let cases: [Tamper; 6] = [
        ("a rule gone", |l| drop(l.pop()), "it lacks"),
        ("a rule more", |l| l.push(json!({"rule": {"chain": "forward", "expr": [{"accept": null}]}})), "it also holds"),
        (
            "another policy",
            |l| {
                l.iter_mut()
                    .filter(|o| o["chain"]["name"] == "forward")
                    .for_each(|o| o["chain"]["policy"] = json!("accept"))
            },
            "accept",
        ),
        (
            "a range not refused any more",
            |l| {
                l.iter_mut()
                    .filter(|o| o["set"]["name"] == "never")
                    .for_each(|o| drop(o["set"]["elem"].as_array_mut().unwrap().pop()))
            },
            "was meant",
        ),
        ("nothing at all", Vec::clear, "it lacks"),
        (
            "two rules exchanged",
            |l| {
                let n = l.len();
                l.swap(n - 2, n - 3)
            },
            "was meant",
        ),
    ];
    for (what, tamper, word) in cases {
        let mut listing = listed(&meant);
        tamper(&mut listing);
        let error = verify(&meant, &text(listing)).expect_err(what);
        assert!(error.message.contains(word), "{what}: {}", error.message);
    }
    assert!(verify(&meant, b"not JSON").is_err());
    assert!(verify(&meant, b"{}").is_err());
}

#[test]
fn what_was_dropped_is_read_from_the_listing() {
    let drops = drops(&text(listed(&ruleset(&exit())))).unwrap();
    assert_eq!(drops.total(), 3);
    assert_eq!(drops.reasons, [(Reason::Private, 3)].into());
    let said: Vec<String> =
        drops.seen.iter().map(|s| format!("{} {} {}", s.source, s.target(), s.reason.name())).collect();
    assert_eq!(said, ["192.168.10.2 icmp 9.9.9.9 destination", "192.168.10.2 tcp 172.17.0.1:22 private"]);
}
