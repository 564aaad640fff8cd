//! The cheap proof of isolation, judged from what the network namespaces really hold: a node has loopback and its wired
//! interfaces, the fabric has loopback, bridges and ports, every other end of a veth pair lies in one of them, and no default
//! route leads anywhere but to an address of the lab. Then there is nothing to leave through. A lab with an allowlist has one
//! exception and no second: its gateway's leg.

use super::guard;
use super::live::Live;
use super::plan::ports_of;
use crate::api::{IsolationRow, Role};
use crate::engine::fabric::wiring::{Bridge, bridge_name};
use crate::engine::fabric::{Place, Surveyed};
use crate::engine::gateway::LEG;
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Egress, GATEWAY, Node, Scenario};
use futures_util::future::join_all;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub namespaces: usize,
    pub interfaces: usize,
    pub rows: Vec<IsolationRow>,
    /// The profile of the one way out, where there is one.
    pub exit: Option<String>,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} network namespaces, {} interfaces, ", self.namespaces, self.interfaces)?;
        match &self.exit {
            None => write!(f, "none of them leads out of the lab"),
            Some(profile) => write!(f, "none of them leads out but the gateway's leg, by the profile {profile}"),
        }
    }
}

/// Tunnel devices that the kernel puts into every new namespace once their module is loaded: down, and tied to nothing.
const FALLBACK: [&str; 9] =
    ["tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"];
const GROUP: &str = "By construction";
const LOOK: Duration = Duration::from_secs(10);
const AGAIN: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(500)];

/// `Code::Internal` with every deviation named; a lab that is not isolated must not become ready.
pub fn judge(found: &[Surveyed], scenario: &Scenario, bridges: &[Bridge]) -> Result<Proof> {
    let rows = rows(found, scenario, bridges, None);
    let wrong: Vec<&str> = rows.iter().filter(|r| !r.holds()).map(|r| r.detail.as_str()).collect();
    if !wrong.is_empty() {
        return Err(Error::new(Code::Internal, format!("The lab is not isolated: {}.", wrong.join("; ")))
            .hint("Nothing was left running. Report this together with the log."));
    }
    let interfaces = scenario.nodes.iter().map(|n| ports_of(bridges, &n.name).len()).sum();
    let exit = match &scenario.egress {
        Egress::Deny => None,
        Egress::Allowlist { profile, .. } => Some(profile.clone()),
    };
    Ok(Proof { namespaces: scenario.nodes.len() + 1, interfaces, rows, exit })
}

/// The one node that may have an interface on a Docker network.
fn outward(scenario: &Scenario, node: &Node) -> bool {
    scenario.egress != Egress::Deny && node.name == GATEWAY && node.role == Role::Gateway
}

/// The same look at a lab that somebody works in: what a learner adds within a node is no way out. What does not hold is
/// looked at again, because a check's unseen host may just be leaving; a way out stays.
pub async fn look(live: &Live) -> Result<Vec<IsolationRow>> {
    let mut rows = look_once(live).await?;
    for pause in AGAIN {
        if rows.iter().all(IsolationRow::holds) {
            break;
        }
        tokio::time::sleep(pause).await;
        rows = look_once(live).await?;
    }
    Ok(rows)
}

async fn look_once(live: &Live) -> Result<Vec<IsolationRow>> {
    let places = join_all(live.scenario.nodes.iter().map(|n| live.place(&n.name))).await;
    // A node that does not run is told as not looked at.
    let places: Vec<Place> = places.into_iter().filter_map(Result::ok).collect();
    let found = live.fabric.survey(&places.iter().collect::<Vec<_>>()).await?;
    let mut own = Own::new();
    for place in &places {
        let Some(seen) = found.iter().find(|s| s.node == place.node) else { continue };
        if real(seen).is_subset(&wired(&live.bridges, &place.node)) {
            continue;
        }
        let ran = live.fabric.script(Some(place), "exec ip -j -d link show", &[], LOOK).await?;
        own.insert(place.node.clone(), ends_here(&ran.stdout)?);
    }
    let mut rows = rows(&found, &live.scenario, &live.bridges, Some(&own));
    rows.push(guard::look(live.engine.as_ref(), &live.fabric).await?);
    Ok(rows)
}

/// Node → devices that end in its own network namespace.
type Own = BTreeMap<String, BTreeSet<String>>;

/// Virtual devices whose other end, or whose carrier, is not in another namespace.
fn ends_here(json: &[u8]) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Device {
        ifname: String,
        #[serde(default)]
        linkinfo: Option<Info>,
        #[serde(default)]
        link_netnsid: Option<i64>,
    }
    #[derive(Deserialize)]
    struct Info {
        #[serde(default)]
        info_kind: Option<String>,
    }
    let devices: Vec<Device> =
        serde_json::from_slice(json).map_err(|e| Error::internal(format!("a node's devices cannot be read: {e}")))?;
    let virtual_one = |d: &Device| d.linkinfo.as_ref().is_some_and(|i| i.info_kind.is_some());
    Ok(devices.into_iter().filter(|d| virtual_one(d) && d.link_netnsid.is_none()).map(|d| d.ifname).collect())
}

fn wired(bridges: &[Bridge], node: &str) -> BTreeSet<String> {
    ports_of(bridges, node).iter().map(|p| p.interface.clone()).collect()
}

fn real(seen: &Surveyed) -> BTreeSet<String> {
    seen.devices.iter().filter(|d| *d != "lo" && !FALLBACK.contains(&d.as_str())).cloned().collect()
}

/// One thing that was looked at: what leads out, and what should have been seen and was not. The second is the control: a
/// look that does not find what must be there finds nothing.
#[derive(Default)]
struct Finding {
    out: Vec<String>,
    blind: Vec<String>,
}

impl Finding {
    fn devices(&mut self, who: &str, seen: &Surveyed, expected: &BTreeSet<String>, own: Option<&BTreeSet<String>>) {
        let real = real(seen);
        let extra = real.difference(expected).filter(|d| !own.is_some_and(|o| o.contains(*d)));
        let extra = extra.cloned().collect::<Vec<_>>().join(", ");
        let missing = expected.difference(&real).cloned().collect::<Vec<_>>().join(", ");
        if !extra.is_empty() {
            self.out.push(format!("{who} has {extra}"));
        }
        if !missing.is_empty() {
            self.blind.push(format!("{who} lacks {missing}"));
        }
    }

    fn row(self, id: &str, technique: &str, holds: String) -> IsolationRow {
        let (control, escaped) = (self.blind.is_empty(), !self.out.is_empty());
        let wrong: Vec<String> = self.out.into_iter().chain(self.blind).collect();
        IsolationRow {
            id: id.into(),
            group: GROUP.into(),
            technique: technique.into(),
            control,
            escaped,
            detail: if wrong.is_empty() { holds } else { wrong.join("; ") },
        }
    }
}

/// `own`: what nodes were seen to have besides their wired interfaces, once a learner works there; None holds the lab to
/// exactly what its template says.
fn rows(found: &[Surveyed], scenario: &Scenario, bridges: &[Bridge], own: Option<&Own>) -> Vec<IsolationRow> {
    let lab_addresses: BTreeSet<IpAddr> =
        bridges.iter().flat_map(|b| &b.ports).flat_map(|p| &p.addresses).map(|a| a.addr()).collect();
    let by_node: BTreeMap<&str, &Surveyed> = found.iter().map(|s| (s.node.as_str(), s)).collect();
    let [mut node_devices, mut node_routes, mut fabric_devices, mut fabric_routes, mut namespaces] =
        std::array::from_fn(|_| Finding::default());
    for node in &scenario.nodes {
        let Some(seen) = by_node.get(node.name.as_str()) else {
            node_devices.blind.push(format!("{} was not looked at", node.name));
            continue;
        };
        let mut expected = wired(bridges, &node.name);
        let outward = outward(scenario, node);
        if outward {
            expected.insert(LEG.into());
        }
        let ends_here = own.and_then(|o| o.get(&node.name));
        node_devices.devices(&node.name, seen, &expected, ends_here);
        for route in &seen.default_routes {
            let (device, gateway) = route.split_once('/').map_or((route.as_str(), None), |(d, g)| (d, address(g)));
            let stays = match own {
                _ if outward && device == LEG => true,
                // Where the device leads decides, whatever route a learner adds.
                Some(_) => expected.contains(device) || ends_here.is_some_and(|o| o.contains(device)),
                None => gateway.is_some_and(|g| node.gateway == Some(g) || lab_addresses.contains(&g)),
            };
            if !stays {
                node_routes.out.push(format!("{} has a default route by {route}", node.name));
            }
        }
    }
    let expected = bridges.iter().flat_map(|b| b.ports.iter().map(|p| p.name()).chain([bridge_name(b.index)]));
    let expected: BTreeSet<String> = expected.collect();
    match by_node.get("") {
        Some(fabric) => {
            fabric_devices.devices("the fabric", fabric, &expected, None);
            if !fabric.default_routes.is_empty() {
                fabric_routes.out.push("the fabric has a default route".into());
            }
        }
        None => fabric_devices.blind.push("the fabric was not looked at".into()),
    }
    let distinct: BTreeSet<&str> = found.iter().map(|s| s.inode.as_str()).collect();
    let wanted = scenario.nodes.len() + 1;
    if distinct.len() < found.len() {
        namespaces.out.push(format!("{} namespaces for {} nodes and the fabric", distinct.len(), wanted - 1));
    } else if distinct.len() != wanted {
        namespaces.blind.push(format!("{} namespaces for {} nodes and the fabric", distinct.len(), wanted - 1));
    }
    let nodes = scenario.nodes.len();
    let ports: usize = scenario.nodes.iter().map(|n| ports_of(bridges, &n.name).len()).sum();
    vec![
        node_devices.row(
            "node-interfaces",
            "An interface of a node that is no link of the lab",
            format!("{nodes} nodes hold their {ports} wired interfaces and nothing that leads elsewhere"),
        ),
        node_routes.row(
            "node-routes",
            "A node's default route that leads out of the lab",
            format!("{nodes} nodes looked at; every default route stays in the lab"),
        ),
        fabric_devices.row(
            "fabric-interfaces",
            "An end of a link outside the lab's own namespaces",
            format!("the fabric holds its {} bridges and ports and nothing else", expected.len()),
        ),
        fabric_routes.row("fabric-routes", "A way on from the lab's bridges", "the fabric has no default route".into()),
        namespaces.row(
            "own-namespaces",
            "A network namespace shared with the host or another node",
            format!("{wanted} namespaces, each its own"),
        ),
    ]
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
        let proof = judged(&sound()).unwrap();
        assert_eq!((proof.namespaces, proof.interfaces, proof.rows.len()), (3, 2, 5));
        assert!(proof.rows.iter().all(IsolationRow::holds), "{proof:?}");
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
    fn the_gateways_leg_is_the_one_exception_and_only_where_the_lab_asks() {
        let mut scenario = fixture();
        scenario.nodes[0].name = GATEWAY.into();
        scenario.nodes[0].role = Role::Gateway;
        scenario.links[0].endpoints[0].node = GATEWAY.into();
        let mut found = sound();
        found[0] = seen(GATEWAY, "1", "lo eth1 eth0", "eth0/172.17.0.1");
        let verdict = |scenario: &Scenario, found: &[Surveyed]| judge(found, scenario, &plan::bridges("run", scenario));
        assert!(verdict(&scenario, &found).unwrap_err().message.contains("egress has eth0"), "denied, so no leg");
        scenario.egress = Egress::Allowlist { profile: "updates".into(), opened: None };
        let proof = verdict(&scenario, &found).unwrap();
        assert!(proof.to_string().contains("by the profile updates"), "{proof}");
        found[1].devices.push("eth0".into());
        assert!(verdict(&scenario, &found).unwrap_err().message.contains("b has eth0"), "no other node");
        found[1].devices.pop();
        found[0].default_routes = vec!["eth1/172.17.0.1".into()];
        assert!(verdict(&scenario, &found).is_err(), "and by no other device");
        found[0].devices.retain(|d| d != "eth0");
        assert!(verdict(&scenario, &found).unwrap_err().message.contains("egress lacks eth0"));
    }

    #[test]
    fn ipv6_gateways_of_the_lab_are_recognised() {
        assert_eq!(address("fd000000000000000000000000000001"), Some("fd00::1".parse().unwrap()));
        assert_eq!(address("10.0.0.1"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(address("nonsense"), None);
    }

    fn worked_in(change: fn(&mut Vec<Surveyed>), own: &Own) -> Vec<IsolationRow> {
        let (scenario, mut found) = (fixture(), sound());
        change(&mut found);
        rows(&found, &scenario, &plan::bridges("run", &scenario), Some(own))
    }

    #[test]
    fn what_a_learner_adds_within_a_node_is_no_way_out_and_what_leads_elsewhere_is() {
        let json = br#"[{"ifname":"lo"},{"ifname":"eth1","linkinfo":{"info_kind":"veth"},"link_netnsid":0},
            {"ifname":"dummy0","linkinfo":{"info_kind":"dummy"}},{"ifname":"eth1.10","link":"eth1","linkinfo":{"info_kind":"vlan"}},
            {"ifname":"eth0","linkinfo":{"info_kind":"veth"},"link_netnsid":1},{"ifname":"wlan0","parentdev":"0000:01"}]"#;
        let here = ends_here(json).unwrap();
        assert_eq!(here.iter().map(String::as_str).collect::<Vec<_>>(), ["dummy0", "eth1.10"]);
        assert_eq!(ends_here(b"[").unwrap_err().code, Code::Internal);
        let own = Own::from([("a".to_owned(), here)]);
        let learnt = worked_in(
            |s| {
                s[0].devices.extend(["dummy0".into(), "eth1.10".into()]);
                s[0].default_routes.push("eth1.10/10.9.9.9".into());
            },
            &own,
        );
        assert!(learnt.iter().all(IsolationRow::holds), "{learnt:?}");
        for (change, id) in [
            ((|s| s[0].devices.push("eth0".into())) as fn(&mut Vec<Surveyed>), "node-interfaces"),
            (|s| s[0].default_routes.push("eth0/10.0.0.1".into()), "node-routes"),
            (|s| s[2].devices.push("leak".into()), "fabric-interfaces"),
        ] {
            let rows = worked_in(change, &own);
            let out: Vec<&str> = rows.iter().filter(|r| r.escaped).map(|r| r.id.as_str()).collect();
            assert_eq!(out, [id]);
        }
    }

    /// A look that does not find what must be there proves nothing.
    #[test]
    fn a_blind_look_is_a_broken_control_and_no_escape() {
        for (change, id) in [
            ((|s| drop(s.remove(0))) as fn(&mut Vec<Surveyed>), "node-interfaces"),
            (|s| s[1].devices.retain(|d| d == "lo"), "node-interfaces"),
            (|s| s[2].devices.retain(|d| d != "p0.1"), "fabric-interfaces"),
        ] {
            let rows = worked_in(change, &Own::new());
            assert!(rows.iter().all(|r| !r.escaped), "{rows:?}");
            assert!(rows.iter().any(|r| r.id == id && !r.control), "{id}: {rows:?}");
        }
    }
}
