//! From links and segments as written to links with addresses: who is where, and under which address.

use super::model::{Addressing, EndpointSpec, NetworkSpec};
use super::params::{host_range, nth_host, overlap};
use super::problem::{Problem, did_you_mean};
use super::scenario::{Endpoint, Impairment, Link};
use super::shape::{is_label, is_mac};
use super::typed::At;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// A node as far as wiring cares.
pub struct Member {
    pub name: String,
    pub router: bool,
}

#[derive(Debug)]
pub struct Plan {
    pub links: Vec<Link>,
    /// node → address of its default gateway, where a segment names one.
    pub gateways: BTreeMap<String, IpAddr>,
}

struct Written<'a> {
    id: &'a At<String>,
    segment: bool,
    ends: &'a [EndpointSpec],
    subnet: Option<&'a At<super::model::Net>>,
    addressing: Addressing,
    gateway: Option<&'a At<String>>,
    mtu: Option<&'a At<u32>>,
    impairment: Option<&'a super::model::ImpairmentSpec>,
}

struct End {
    node: At<String>,
    interface: String,
    address: Option<At<String>>,
    mac: Option<At<String>>,
}

/// Plans all links. Problems come back all at once.
pub fn plan(file: &str, network: &NetworkSpec, members: &[Member]) -> Result<Plan, Vec<Problem>> {
    let mut wiring = Wiring { file, members, problems: Vec::new(), used: BTreeSet::new(), gateways: BTreeMap::new() };
    let written = network
        .links
        .iter()
        .map(|l| Written {
            id: &l.id,
            segment: false,
            ends: &l.between.value,
            subnet: l.subnet.as_ref(),
            addressing: l.addressing,
            gateway: None,
            mtu: l.mtu.as_ref(),
            impairment: l.impairment.as_ref(),
        })
        .chain(network.segments.iter().map(|s| Written {
            id: &s.id,
            segment: true,
            ends: &s.members,
            subnet: s.subnet.as_ref(),
            addressing: s.addressing,
            gateway: s.gateway.as_ref(),
            mtu: s.mtu.as_ref(),
            impairment: s.impairment.as_ref(),
        }));
    for l in &network.links {
        if l.between.len() != 2 {
            wiring.problem(
                l.between.at,
                format!("a link has exactly two ends, this one has {}", l.between.len()),
                Some("Use a segment for any other number.".into()),
            );
        }
    }
    let mut links: Vec<Link> = Vec::new();
    for w in written {
        if !is_label(w.id, 15) {
            wiring.problem(
                w.id.at,
                format!("“{}” cannot be a link's id", w.id.value),
                Some("Use at most 15 lower-case letters, digits and hyphens.".into()),
            );
        } else if links.iter().any(|l| l.id == w.id.value) {
            wiring.problem(w.id.at, format!("there are two links with the id “{}”", w.id.value), None);
        }
        if let Some(subnet) = w.subnet {
            if let Some(other) = links.iter().find(|l| l.subnet.is_some_and(|s| overlap(&s, &subnet.0))) {
                wiring.problem(subnet.at, format!("{} overlaps the subnet of “{}”", subnet.0, other.id), None);
            }
            if !network.subnets.is_empty() && !network.subnets.iter().any(|b| b.0.trunc().contains(&subnet.0)) {
                wiring.problem(subnet.at, format!("{} lies in none of network.subnets", subnet.0), None);
            }
        }
        let link = wiring.link(&w);
        links.push(link);
    }
    if wiring.problems.is_empty() { Ok(Plan { links, gateways: wiring.gateways }) } else { Err(wiring.problems) }
}

struct Wiring<'a> {
    file: &'a str,
    members: &'a [Member],
    problems: Vec<Problem>,
    used: BTreeSet<(String, String)>,
    gateways: BTreeMap<String, IpAddr>,
}

impl Wiring<'_> {
    fn problem(&mut self, at: super::problem::Pos, message: String, hint: Option<String>) {
        self.problems.push(Problem::new(self.file, at, message).maybe_hint(hint));
    }

    fn link(&mut self, w: &Written) -> Link {
        let ends: Vec<End> = w.ends.iter().filter_map(|e| self.end(e)).collect();
        if let Some(mtu) = w.mtu
            && !(576..=9000).contains(&mtu.value)
        {
            self.problem(mtu.at, format!("an MTU of {} is not between 576 and 9000", mtu.value), None);
        }
        if let Some(loss) = w.impairment.and_then(|i| i.loss_percent.as_ref())
            && !(0.0..=100.0).contains(&loss.value)
        {
            self.problem(loss.at, format!("a loss of {} % is not between 0 and 100", loss.value), None);
        }
        let addresses = self.addresses(w, &ends);
        if let Some(gateway) = w.gateway {
            match ends.iter().position(|e| e.node.value == gateway.value) {
                None => self.problem(
                    gateway.at,
                    format!("the gateway “{}” is not a member of “{}”", gateway.value, w.id.value),
                    did_you_mean(gateway, ends.iter().map(|e| e.node.as_str())),
                ),
                Some(i) => {
                    if let Some(via) = addresses.get(i).and_then(|a| a.first()) {
                        for e in &ends {
                            let router = self.members.iter().any(|m| m.name == e.node.value && m.router);
                            if e.node.value != gateway.value && !router {
                                self.gateways.entry(e.node.value.clone()).or_insert(via.addr());
                            }
                        }
                    }
                }
            }
        }
        Link {
            id: w.id.value.clone(),
            segment: w.segment,
            endpoints: ends
                .into_iter()
                .zip(addresses)
                .map(|(e, addresses)| Endpoint {
                    node: e.node.value,
                    interface: e.interface,
                    addresses,
                    mac: e.mac.map(|m| m.value.to_lowercase()),
                })
                .collect(),
            subnet: w.subnet.map(|s| s.0.trunc()),
            mtu: w.mtu.map(|m| m.value),
            impairment: w.impairment.map(Impairment::from),
        }
    }

    fn end(&mut self, spec: &EndpointSpec) -> Option<End> {
        let (node, interface, address, mac) = match spec {
            EndpointSpec::Short(s) => {
                let Some((node, interface)) = s.split_once(':') else {
                    self.problem(s.at, format!("expected `node:interface`, found “{}”", s.value), None);
                    return None;
                };
                let at = s.at;
                (At { at, value: node.to_owned() }, At { at, value: interface.to_owned() }, None, None)
            }
            EndpointSpec::Long(l) => (l.node.clone(), l.interface.clone(), l.address.clone(), l.mac.clone()),
        };
        if !self.members.iter().any(|m| m.name == node.value) {
            let hint = did_you_mean(&node, self.members.iter().map(|m| m.name.as_str()));
            self.problem(node.at, format!("there is no node “{}”", node.value), hint);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if interface.is_empty()
            || interface.len() > 15
            || !interface.chars().all(plain)
            || interface.value == "lo"
            || interface.starts_with('.')
        {
            self.problem(
                interface.at,
                format!("“{}” cannot be an interface's name", interface.value),
                Some("Linux takes 1 to 15 letters, digits, hyphens, dots and underscores; lo is taken.".into()),
            );
        }
        if !self.used.insert((node.value.clone(), interface.value.clone())) {
            self.problem(interface.at, format!("“{}:{}” is used twice", node.value, interface.value), None);
        }
        if let Some(mac) = &mac
            && !is_mac(mac)
        {
            self.problem(
                mac.at,
                format!("“{}” is not a unicast MAC address such as 02:00:00:00:00:01", mac.value),
                None,
            );
        }
        Some(End { node, interface: interface.value, address, mac })
    }

    /// One list of addresses per end. Written ones first, so that automatic ones keep clear of them; the gateway is
    /// served first among the automatic ones.
    fn addresses(&mut self, w: &Written, ends: &[End]) -> Vec<Vec<IpNet>> {
        let mut out: Vec<Option<Vec<IpNet>>> = ends.iter().map(|e| self.written(w, e)).collect();
        let Some(subnet) = w.subnet.filter(|_| w.addressing == Addressing::Auto) else {
            return out.into_iter().map(Option::unwrap_or_default).collect();
        };
        let net = subnet.0.trunc();
        let mut taken: Vec<IpAddr> = out.iter().flatten().flatten().map(IpNet::addr).collect();
        let (first, last) = host_range(&net);
        let mut next = first;
        let gateway = w.gateway.and_then(|g| ends.iter().position(|e| e.node.value == g.value));
        let order = gateway.into_iter().chain((0..ends.len()).filter(|i| Some(*i) != gateway));
        for i in order {
            let Some(slot) = out.get_mut(i).filter(|s| s.is_none()) else { continue };
            while next <= last && nth_host(&net, next).is_some_and(|ip| taken.contains(&ip)) {
                next += 1;
            }
            let address = (next <= last).then(|| nth_host(&net, next)).flatten();
            match address.and_then(|ip| IpNet::new(ip, net.prefix_len()).ok()) {
                Some(address) => {
                    taken.push(address.addr());
                    *slot = Some(vec![address]);
                }
                None => {
                    self.problem(
                        subnet.at,
                        format!("{net} has no address left for all ends of “{}”", w.id.value),
                        None,
                    );
                    break;
                }
            }
        }
        out.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// The address written at an end; `Some(empty)` for `none`; None when it is to be found.
    fn written(&mut self, w: &Written, e: &End) -> Option<Vec<IpNet>> {
        let address = e.address.as_ref()?;
        if address.value == "none" {
            return Some(Vec::new());
        }
        let subnet = w.subnet.map(|s| s.0.trunc());
        let parsed = address.parse::<IpNet>().ok().or_else(|| {
            let ip: IpAddr = address.parse().ok()?;
            IpNet::new(ip, subnet?.prefix_len()).ok()
        });
        match parsed {
            None => self.problem(
                address.at,
                format!("expected an address, found “{}”", address.value),
                Some("Write 10.0.0.5 on a link with a subnet, 10.0.0.5/24, or none.".into()),
            ),
            Some(net) if subnet.is_some_and(|s| !s.contains(&net.addr())) => {
                let subnet = subnet.map(|s| s.to_string()).unwrap_or_default();
                self.problem(address.at, format!("{} lies outside the link's subnet {subnet}", net.addr()), None);
            }
            Some(net) => return Some(vec![net]),
        }
        Some(Vec::new())
    }
}

/// Names for /etc/hosts as one node sees them: an address on a link it shares with the other, else the other's first.
pub fn hosts(links: &[Link], node: &str) -> BTreeMap<String, IpAddr> {
    let mut out = BTreeMap::new();
    let shared = |l: &&Link| l.endpoints.iter().any(|e| e.node == node);
    for l in links.iter().filter(shared).chain(links.iter().filter(|l| !shared(l))) {
        for e in &l.endpoints {
            if let Some(a) = e.addresses.first() {
                out.entry(e.node.clone()).or_insert(a.addr());
            }
        }
    }
    out
}
