//! Judging state: interfaces, routes, sockets, processes, OSPF adjacencies.

use super::text::{names, quoted};
use super::{Printed, Verdict};
use crate::template::scenario::Proto;
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

#[derive(Deserialize)]
struct Interface {
    ifname: String,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(default)]
    local: Option<IpAddr>,
    #[serde(default)]
    prefixlen: u8,
}

pub(super) fn interface(p: &Printed<'_>, name: &str, address: Option<IpNet>, up: bool) -> Verdict {
    let all: Vec<Interface> = json(p.whole()?)?;
    let Some(found) = all.iter().find(|i| i.ifname == name) else {
        return Ok((false, format!("there is no interface {name}")));
    };
    let flag = |f: &str| found.flags.iter().any(|x| x == f);
    let state = match (flag("UP"), flag("LOWER_UP")) {
        (true, true) => "up",
        (true, false) => "up, but without a carrier",
        (false, _) => "down",
    };
    let held: Vec<String> =
        found.addr_info.iter().filter_map(|a| Some(format!("{}/{}", a.local?, a.prefixlen))).collect();
    let carries = address.is_none_or(|want| {
        found.addr_info.iter().any(|a| a.local == Some(want.addr()) && a.prefixlen == want.prefix_len())
    });
    let seen = format!("{name} is {state} and carries {}", names(&held, "no address"));
    Ok(((state == "up") == up && carries, seen))
}

#[derive(Deserialize)]
struct Route {
    dst: String,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    protocol: Option<String>,
    #[serde(default)]
    metric: u64,
    #[serde(flatten)]
    hop: Hop,
    #[serde(default)]
    nexthops: Vec<Hop>,
}

#[derive(Deserialize, Clone)]
struct Hop {
    #[serde(default)]
    gateway: Option<IpAddr>,
    #[serde(default)]
    via: Option<Via>,
    #[serde(default)]
    dev: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Deserialize, Clone)]
struct Via {
    host: IpAddr,
}

impl Hop {
    fn address(&self) -> Option<IpAddr> {
        self.gateway.or(self.via.as_ref().map(|v| v.host))
    }
    fn alive(&self) -> bool {
        !self.flags.iter().any(|f| f == "dead" || f == "linkdown")
    }
}

/// Kernel protocol numbers that iproute2 prints as such where FRR's names are not installed, by their field name.
fn protocol(name: &str) -> &str {
    match name {
        "11" => "zebra",
        "186" => "bgp",
        "187" => "isis",
        "188" => "ospf",
        "189" => "rip",
        "192" => "eigrp",
        "196" | "zstatic" => "static",
        "boot" => "static",
        other => other,
    }
}

/// The route the kernel uses: longest prefix, then lowest metric. A default route counts only when it is asked for.
pub(super) fn route(
    p: &Printed<'_>,
    to: IpNet,
    via_protocol: Option<&str>,
    via: Option<IpAddr>,
    dev: Option<&str>,
    present: bool,
) -> Verdict {
    let all: Vec<Route> = json(p.whole()?)?;
    let mut usable = Vec::new();
    for r in all {
        let prefix: IpNet = match r.dst.as_str() {
            "default" if to.addr().is_ipv4() => IpNet::V4(Default::default()),
            "default" => IpNet::V6(Default::default()),
            text => match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
                (Ok(net), _) => net,
                (_, Ok(addr)) => IpNet::from(addr),
                _ => return Err(format!("a route to {} was not understood", quoted(text))),
            },
        };
        let hops = if r.nexthops.is_empty() { vec![r.hop.clone()] } else { r.nexthops.clone() };
        let hops: Vec<Hop> = hops.into_iter().filter(Hop::alive).collect();
        let unusable = r.kind.as_deref().is_some_and(|k| !matches!(k, "unicast" | "local"));
        let only_default = prefix.prefix_len() == 0 && to.prefix_len() != 0;
        if prefix.contains(&to) && !unusable && !only_default && !hops.is_empty() {
            usable.push((prefix, r.metric, protocol(r.protocol.as_deref().unwrap_or("unknown")).to_owned(), hops));
        }
    }
    usable.sort_by_key(|(prefix, metric, ..)| (std::cmp::Reverse(prefix.prefix_len()), *metric));
    let Some((prefix, _, proto, hops)) = usable.first() else {
        return Ok((!present, format!("there is no route to {to}")));
    };
    let fits = via_protocol.is_none_or(|want| protocol(want) == proto)
        && via.is_none_or(|want| hops.iter().any(|h| h.address() == Some(want)))
        && dev.is_none_or(|want| hops.iter().any(|h| h.dev.as_deref() == Some(want)));
    let ways: Vec<String> = hops
        .iter()
        .map(|h| match (h.address(), &h.dev) {
            (Some(a), Some(d)) => format!("via {a} out of {d}"),
            (Some(a), None) => format!("via {a}"),
            (None, Some(d)) => format!("out of {d}"),
            (None, None) => "nowhere in particular".into(),
        })
        .collect();
    Ok((fits == present, format!("the route to {prefix} is from {proto}, {}", names(&ways, "without a next hop"))))
}

pub(super) fn listening(p: &Printed<'_>, proto: Proto, port: u16, want: bool) -> Verdict {
    let state = if proto == Proto::Tcp { "LISTEN" } else { "UNCONN" };
    let (mut on, mut others) = (BTreeSet::new(), BTreeSet::new());
    for line in p.whole()?.lines().filter(|l| !l.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [found, _, _, local, ..] = words.as_slice() else {
            return Err(format!("the socket line {} was not understood", quoted(line)));
        };
        if *found != state {
            continue;
        }
        let Some((address, number)) = local.rsplit_once(':').and_then(|(a, n)| Some((a, n.parse::<u16>().ok()?)))
        else {
            return Err(format!("the socket address {} was not understood", quoted(local)));
        };
        if number == port {
            on.insert(address.to_owned());
        } else {
            others.insert(number.to_string());
        }
    }
    let on: Vec<String> = on.into_iter().collect();
    let others: Vec<String> = others.into_iter().take(12).collect();
    let seen = if on.is_empty() {
        format!("nothing listens on {port}; open ports: {}", names(&others, "none"))
    } else {
        format!("port {port} is open on {}", names(&on, ""))
    };
    Ok((on.is_empty() != want, seen))
}

pub(super) fn process(p: &Printed<'_>, name: &str, want: bool) -> Verdict {
    // The kernel keeps 15 bytes of a name.
    let short: String = name.chars().take(15).collect();
    let running: Vec<&str> = p.whole()?.lines().collect();
    if running.is_empty() {
        return Err("no process was seen at all, not even the node's own".into());
    }
    let count = running.iter().filter(|r| **r == short).count();
    let seen = match count {
        0 => {
            let distinct: BTreeSet<&str> = running.iter().copied().take(400).collect();
            let some: Vec<String> = distinct.into_iter().take(10).map(quoted).collect();
            format!("no {name} is running; there are {}", names(&some, "no processes"))
        }
        1 => format!("{name} is running"),
        n => format!("{n} processes named {name} are running"),
    };
    Ok(((count > 0) == want, seen))
}

#[derive(Deserialize)]
struct Ospf {
    #[serde(default)]
    neighbors: BTreeMap<String, Vec<Neighbour>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Neighbour {
    #[serde(default)]
    converged: Option<String>,
    #[serde(default)]
    nbr_state: Option<String>,
    #[serde(default)]
    state: Option<String>,
}

impl Neighbour {
    fn state(&self) -> &str {
        self.nbr_state.as_deref().or(self.state.as_deref()).or(self.converged.as_deref()).unwrap_or("unknown")
    }
    fn full(&self) -> bool {
        let state = self.state();
        state == "Full" || state.starts_with("Full/")
    }
}

pub(super) fn ospf(p: &Printed<'_>, want: &[String], exact: bool) -> Verdict {
    if p.cut {
        return Err("the answer was too long to be judged".into());
    }
    let said = format!("{}\n{}", p.out, p.err);
    let text = p.out.trim();
    if p.exit != 0 && said.contains("failed to connect to any daemons") {
        return Ok((false, "the routing daemons are not running".into()));
    }
    if p.exit != 0 {
        return Err(p.broke());
    }
    let absent = ["ospfd is not running", "OSPF instance not found", "OSPF not enabled", "Unknown command"];
    if text.is_empty() || (!text.starts_with('{') && absent.iter().any(|a| said.contains(a))) {
        return Ok((false, "OSPF is not running on this router".into()));
    }
    let table: Ospf = json(text)?;
    let full: BTreeSet<&str> =
        table.neighbors.iter().filter(|(_, n)| n.iter().any(Neighbour::full)).map(|(id, _)| id.as_str()).collect();
    let wanted: BTreeSet<&str> = want.iter().map(String::as_str).collect();
    let holds = wanted.is_subset(&full) && (!exact || wanted == full);
    let told: Vec<String> = table
        .neighbors
        .iter()
        .take(16)
        .flat_map(|(id, n)| n.iter().take(2).map(move |n| format!("{} ({})", quoted(id), quoted(n.state()))))
        .collect();
    Ok((holds, format!("neighbours: {}", names(&told, "none"))))
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text)
        .map_err(|_| format!("the program's answer {} is not the JSON that was asked for", quoted(text)))
}
