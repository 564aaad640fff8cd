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
