//! The packet filter, as nft reads it in JSON (libnftables-json(5)) and lists it again: in that order and that spelling, so that
//! what the kernel holds can be compared with what was meant.

use super::{Exit, LEG, OPEN_SECONDS, Reason, TABLE, questions, set};
use serde_json::{Value, json};

/// Combinations of sender, destination, protocol, port and reason that are remembered, and for how long.
const SEEN_SIZE: u32 = 512;
const SEEN_SECONDS: u32 = 600;
const OPEN_SIZE: u32 = 4096;
/// Questions of the resolver that did not leave; each ends as a refused answer, and is counted among those for learners.
const QUESTION: &str = "question";

/// All of it: what to add to an empty table, in the order of a listing.
pub fn ruleset(exit: &Exit) -> Vec<Value> {
    let mut all = vec![json!({"table": {"family": "inet", "name": TABLE}})];
    all.extend(Reason::ALL.map(|reason| object("counter", json!({"name": reason.name()}))));
    all.push(object("counter", json!({"name": QUESTION})));
    all.extend(sets(exit));
    all.extend(["question", "leave", "refuse"].map(|name| object("chain", json!({"name": name}))));
    all.extend(["input", "forward", "output"].map(|hook| {
        object("chain", json!({"name": hook, "type": "filter", "hook": hook, "prio": 0, "policy": "drop"}))
    }));
    all.push(object(
        "chain",
        json!({"name": "translate", "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}),
    ));
    all.extend(question(exit));
    all.extend(leave(exit));
    all.extend(refuse());
    all.extend(input(exit));
    all.extend(forward(exit));
    all.extend(output(exit));
    all.push(rule("translate", vec![out(LEG), json!({"masquerade": null})]));
    all
}

fn sets(exit: &Exit) -> Vec<Value> {
    let never: Vec<Value> = exit
        .never()
        .iter()
        .map(|net| match net.prefix_len() {
            32 => json!(net.addr()),
            len => json!({"prefix": {"addr": net.addr(), "len": len}}),
        })
        .collect();
    let seen = |name: &str, kinds: &[&str]| {
        let fields =
            json!({"name": name, "type": kinds, "flags": ["timeout"], "timeout": SEEN_SECONDS, "size": SEEN_SIZE});
        object("set", fields)
    };
    let mut all =
        vec![object("set", json!({"name": "never", "type": "ipv4_addr", "flags": ["interval"], "elem": never}))];
    all.extend((0..exit.openings.len()).map(|index| {
        let fields = json!({"name": set(index), "type": "ipv4_addr", "flags": ["timeout"], "timeout": OPEN_SECONDS, "size": OPEN_SIZE});
        object("set", fields)
    }));
    all.push(seen("seen", &["ipv4_addr", "ipv4_addr", "inet_proto", "inet_service", "mark"]));
    all.push(seen("seen_other", &["ipv4_addr", "ipv4_addr", "inet_proto", "mark"]));
    all
}

/// What the resolver may ask its upstream. Before connection tracking: a second question on the same socket is one, too.
fn question(exit: &Exit) -> Vec<Value> {
    let names = exit.openings.iter().flat_map(|o| &o.names);
    let mut all: Vec<Value> = names
        .flat_map(|name| {
            questions::allowed(name).into_iter().map(move |mut expr| {
                expr.push(json!({"accept": null}));
                json!({"rule": {"family": "inet", "table": TABLE, "chain": "question", "comment": name, "expr": expr}})
            })
        })
        .collect();
    all.push(rule("question", vec![json!({"counter": QUESTION}), json!({"drop": null})]));
    all
}

/// A new connection from the lab, by IPv4, from an honest sender.
fn leave(exit: &Exit) -> Vec<Value> {
    let mut all = vec![refused("leave", vec![to_set("never")], Reason::Private)];
    for (index, opening) in exit.openings.iter().enumerate() {
        for (protocol, ports) in [("tcp", &opening.tcp), ("udp", &opening.udp)] {
            if !ports.is_empty() {
                let ports = equal(json!({"payload": {"protocol": protocol, "field": "dport"}}), one_of(ports));
                all.push(rule("leave", vec![out(LEG), to_set(&set(index)), ports, json!({"accept": null})]));
            }
        }
    }
    let dns = vec![transport(), equal(json!({"payload": {"protocol": "th", "field": "dport"}}), one_of(&[53, 853]))];
    all.push(refused("leave", dns, Reason::Resolver));
    all.extend((0..exit.openings.len()).map(|index| refused("leave", vec![to_set(&set(index))], Reason::Port)));
    all.push(refused("leave", vec![], Reason::Destination));
    all
}

/// Remembers who wanted what, then drops. A full memory ends the rule it stands in, never the drop.
fn refuse() -> Vec<Value> {
    let address = |field: &str| json!({"payload": {"protocol": "ip", "field": field}});
    let meta = |key: &str| json!({"meta": {"key": key}});
    let remember = |set: &str, fields: Vec<Value>| json!({"set": {"op": "update", "elem": {"concat": fields}, "set": format!("@{set}"), "stmt": [{"counter": null}]}});
    let port = json!({"payload": {"protocol": "th", "field": "dport"}});
    let ported = vec![address("saddr"), address("daddr"), meta("l4proto"), port, meta("mark")];
    let other = vec![address("saddr"), address("daddr"), meta("l4proto"), meta("mark")];
    vec![
        rule("refuse", vec![transport(), remember("seen", ported)]),
        rule("refuse", vec![differs(meta("l4proto"), one_of(&[6, 17])), remember("seen_other", other)]),
        rule("refuse", vec![json!({"drop": null})]),
    ]
}

fn input(exit: &Exit) -> Vec<Value> {
    let mut all = vec![
        refused("input", vec![ipv6()], Reason::Ipv6),
        rule("input", vec![tracked(), json!({"accept": null})]),
        refused("input", vec![enters(LEG)], Reason::Inbound),
    ];
    for (interface, net) in &exit.inside {
        let asks = vec![
            enters(interface),
            equal(json!({"payload": {"protocol": "ip", "field": "saddr"}}), prefix(net)),
            equal(json!({"payload": {"protocol": "ip", "field": "daddr"}}), json!(net.addr())),
            equal(json!({"payload": {"protocol": "udp", "field": "dport"}}), json!(53)),
            json!({"accept": null}),
        ];
        all.push(rule("input", asks));
    }
    all.push(refused("input", vec![], Reason::Gateway));
    all
}

fn forward(exit: &Exit) -> Vec<Value> {
    let mut all = vec![
        refused("forward", vec![ipv6()], Reason::Ipv6),
        rule("forward", vec![tracked(), json!({"accept": null})]),
        refused("forward", vec![enters(LEG)], Reason::Inbound),
    ];
    for (interface, net) in &exit.inside {
        let from = equal(json!({"payload": {"protocol": "ip", "field": "saddr"}}), prefix(net));
        all.push(rule("forward", vec![enters(interface), from, json!({"goto": {"target": "leave"}})]));
    }
    all.push(refused("forward", vec![], Reason::Source));
    all
}

fn output(exit: &Exit) -> Vec<Value> {
    let mut all = vec![refused("output", vec![ipv6()], Reason::Ipv6)];
    if !exit.resolvers.is_empty() {
        let asks = vec![
            out(LEG),
            equal(json!({"payload": {"protocol": "ip", "field": "daddr"}}), addresses(&exit.resolvers)),
            equal(json!({"payload": {"protocol": "udp", "field": "dport"}}), json!(53)),
            json!({"goto": {"target": "question"}}),
        ];
        all.push(rule("output", asks));
    }
    // Answers to the lab that say no (RCODE 3 and 5 in the fourth byte of the DNS header): counted on their way.
    all.extend([3, 5].map(|rcode| {
        let source = equal(json!({"payload": {"protocol": "udp", "field": "sport"}}), json!(53));
        let byte = json!({"payload": {"base": "th", "offset": 88, "len": 8}});
        let code = equal(json!({"&": [byte, 15]}), json!(rcode));
        rule("output", vec![source, code, json!({"counter": Reason::Name.name()})])
    }));
    all.push(rule("output", vec![tracked(), json!({"accept": null})]));
    all.push(refused("output", vec![], Reason::Gateway));
    all
}

fn object(kind: &str, mut fields: Value) -> Value {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("family".into(), json!("inet"));
        fields.insert("table".into(), json!(TABLE));
    }
    json!({kind: fields})
}

fn rule(chain: &str, expr: Vec<Value>) -> Value {
    json!({"rule": {"family": "inet", "table": TABLE, "chain": chain, "expr": expr}})
}

fn refused(chain: &str, mut expr: Vec<Value>, reason: Reason) -> Value {
    expr.push(json!({"counter": reason.name()}));
    expr.push(json!({"mangle": {"key": {"meta": {"key": "mark"}}, "value": reason as u8}}));
    expr.push(json!({"goto": {"target": "refuse"}}));
    rule(chain, expr)
}

fn equal(left: Value, right: Value) -> Value {
    json!({"match": {"op": "==", "left": left, "right": right}})
}

fn differs(left: Value, right: Value) -> Value {
    json!({"match": {"op": "!=", "left": left, "right": right}})
}

fn enters(interface: &str) -> Value {
    equal(json!({"meta": {"key": "iifname"}}), json!(interface))
}

fn out(interface: &str) -> Value {
    equal(json!({"meta": {"key": "oifname"}}), json!(interface))
}

fn ipv6() -> Value {
    equal(json!({"meta": {"key": "nfproto"}}), json!("ipv6"))
}

fn tracked() -> Value {
    equal(json!({"ct": {"key": "state"}}), json!({"set": ["established", "related"]}))
}

/// TCP or UDP.
fn transport() -> Value {
    equal(json!({"meta": {"key": "l4proto"}}), one_of(&[6, 17]))
}

fn to_set(name: &str) -> Value {
    equal(json!({"payload": {"protocol": "ip", "field": "daddr"}}), json!(format!("@{name}")))
}

fn prefix(net: &ipnet::Ipv4Net) -> Value {
    match net.prefix_len() {
        32 => json!(net.addr()),
        len => json!({"prefix": {"addr": net.network(), "len": len}}),
    }
}

/// Sorted, each once; a single one stands for itself.
fn one_of(numbers: &[u16]) -> Value {
    let sorted: std::collections::BTreeSet<u16> = numbers.iter().copied().collect();
    match (sorted.len(), sorted.first()) {
        (1, Some(only)) => json!(only),
        _ => json!({"set": sorted}),
    }
}

fn addresses(all: &[std::net::Ipv4Addr]) -> Value {
    let sorted: std::collections::BTreeSet<_> = all.iter().copied().collect();
    match (sorted.len(), sorted.first()) {
        (1, Some(only)) => json!(only),
        _ => json!({"set": sorted}),
    }
}
