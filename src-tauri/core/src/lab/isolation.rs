//! The cheap proof of isolation, judged from what the network namespaces really hold: a node has loopback and its wired
//! interfaces, the fabric has loopback, bridges and ports, every other end of a veth pair lies in one of them, and no default
//! route leads anywhere but to an address of the lab. Then there is nothing to leave through.

use super::plan::ports_of;
use crate::engine::fabric::Surveyed;
use crate::engine::fabric::wiring::{Bridge, bridge_name};
use crate::error::{Code, Error, Result};
use crate::template::scenario::Scenario;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub namespaces: usize,
    pub interfaces: usize,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} network namespaces, {} interfaces, none of them leads out of the lab",
            self.namespaces, self.interfaces
        )
    }
}

/// Tunnel devices that the kernel puts into every new namespace once their module is loaded: down, and tied to nothing.
const FALLBACK: [&str; 9] =
    ["tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"];

/// `Code::Internal` with every deviation named; a lab that is not isolated must not become ready.
pub fn judge(found: &[Surveyed], scenario: &Scenario, bridges: &[Bridge]) -> Result<Proof> {
    let lab_addresses: BTreeSet<IpAddr> =
        bridges.iter().flat_map(|b| &b.ports).flat_map(|p| &p.addresses).map(|a| a.addr()).collect();
    let by_node: BTreeMap<&str, &Surveyed> = found.iter().map(|s| (s.node.as_str(), s)).collect();
    let mut wrong = Vec::new();
    let mut interfaces = 0;
    for node in &scenario.nodes {
        let Some(seen) = by_node.get(node.name.as_str()) else {
            wrong.push(format!("{} was not looked at", node.name));
            continue;
        };
        let wired: BTreeSet<String> = ports_of(bridges, &node.name).iter().map(|p| p.interface.clone()).collect();
        interfaces += wired.len();
        devices(&mut wrong, &node.name, seen, &wired);
        for route in &seen.default_routes {
            let gateway = route.split_once('/').and_then(|(_, g)| address(g));
            let allowed =
                node.gateway.is_some_and(|g| Some(g) == gateway) || gateway.is_some_and(|g| lab_addresses.contains(&g));
            if !allowed {
                wrong.push(format!("{} has a default route by {route}", node.name));
            }
        }
    }
    let expected = bridges.iter().flat_map(|b| b.ports.iter().map(|p| p.name()).chain([bridge_name(b.index)]));
    let expected: BTreeSet<String> = expected.collect();
    match by_node.get("") {
        Some(fabric) => {
            devices(&mut wrong, "the fabric", fabric, &expected);
            if !fabric.default_routes.is_empty() {
                wrong.push("the fabric has a default route".into());
            }
        }
        None => wrong.push("the fabric was not looked at".into()),
    }
    let distinct: BTreeSet<&str> = found.iter().map(|s| s.inode.as_str()).collect();
    if distinct.len() != scenario.nodes.len() + 1 {
        wrong.push(format!("{} namespaces for {} nodes and the fabric", distinct.len(), scenario.nodes.len()));
    }
    if wrong.is_empty() {
        return Ok(Proof { namespaces: distinct.len(), interfaces });
    }
    Err(Error::new(Code::Internal, format!("The lab is not isolated: {}.", wrong.join("; ")))
        .hint("Nothing was left running. Report this together with the log."))
}

fn devices(wrong: &mut Vec<String>, who: &str, seen: &Surveyed, expected: &BTreeSet<String>) {
    let real: BTreeSet<String> =
        seen.devices.iter().filter(|d| *d != "lo" && !FALLBACK.contains(&d.as_str())).cloned().collect();
    let list = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>().join(", ");
    let (extra, missing) = (list(&real, expected), list(expected, &real));
    if !extra.is_empty() {
        wrong.push(format!("{who} has {extra}"));
    }
    if !missing.is_empty() {
        wrong.push(format!("{who} lacks {missing}"));
    }
}

/// Dotted IPv4, or IPv6 as 32 hex digits.
fn address(text: &str) -> Option<IpAddr> {
    if text.len() == 32 {
        return Some(IpAddr::from(u128::from_str_radix(text, 16).ok()?.to_be_bytes()));
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::super::plan::{self, fixture};
    use super::*;

    fn seen(node: &str, inode: &str, devices: &str, routes: &str) -> Surveyed {
        let list = |text: &str| text.split_whitespace().map(String::from).collect();
        Surveyed { node: node.into(), inode: inode.into(), devices: list(devices), default_routes: list(routes) }
    }

    /// Two nodes on one link, as a sound lab shows itself.
    fn sound() -> Vec<Surveyed> {
        vec![
            seen("a", "1", "lo eth1 tunl0 sit0", ""),
            seen("b", "2", "lo eth1", "eth1/10.0.0.1"),
            seen("", "3", "lo b0 p0.0 p0.1", ""),
        ]
    }

    fn judged(found: &[Surveyed]) -> Result<Proof> {
        let scenario = fixture();
        judge(found, &scenario, &plan::bridges("run", &scenario))
    }

    #[test]
    fn a_sound_lab_is_proven() {
        assert_eq!(judged(&sound()).unwrap(), Proof { namespaces: 3, interfaces: 2 });
    }

    #[test]
    fn every_way_out_is_named() {
        type Case = (&'static str, fn(&mut Vec<Surveyed>), &'static str);
        let cases: [Case; 9] = [
            ("a Docker interface", |s| s[0].devices.push("eth0".into()), "a has eth0"),
            ("a missing interface", |s| s[0].devices.retain(|d| d != "eth1"), "a lacks eth1"),
            ("a route out of the lab", |s| s[1].default_routes.push("eth1/172.17.0.1".into()), "172.17.0.1"),
            (
                "an IPv6 route out",
                |s| s[1].default_routes.push(format!("eth1/{:032x}", 0xfe80_u128 << 112 | 1)),
                "fe80",
            ),
            ("a route without a gateway", |s| s[0].default_routes.push("eth1".into()), "default route by eth1"),
            ("a device in the fabric", |s| s[2].devices.push("eth0".into()), "the fabric has eth0"),
            (
                "a route in the fabric",
                |s| s[2].default_routes.push("b0/10.0.0.1".into()),
                "the fabric has a default route",
            ),
            ("a shared namespace", |s| s[0].inode = "2".into(), "2 namespaces"),
            ("a node not looked at", |s| drop(s.remove(0)), "a was not looked at"),
        ];
        for (what, change, word) in cases {
            let mut found = sound();
            change(&mut found);
            let error = judged(&found).expect_err(what);
            assert!(error.message.contains(word), "{what}: {}", error.message);
        }
        assert!(judged(&[]).unwrap_err().message.contains("the fabric was not looked at"));
    }

    #[test]
    fn ipv6_gateways_of_the_lab_are_recognised() {
        assert_eq!(address("fd000000000000000000000000000001"), Some("fd00::1".parse().unwrap()));
        assert_eq!(address("10.0.0.1"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(address("nonsense"), None);
    }
}
