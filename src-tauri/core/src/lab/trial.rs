//! A trial of what every lab needs, on throw-away nodes: that this engine lets a fabric wire two of them, that they reach each
//! other, and which optional features its kernel has. The doctor tells it; nothing of it stays, not even of one whose process was
//! killed and whose data folder is gone.

use super::plan::{Identity, Images, Plan};
use super::{Progress, launch, life};
use crate::api::{Role, Step};
use crate::check::vantage::Vantage;
use crate::engine::{Engine, label};
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Egress, Endpoint, From, Limits, Link, Node, Scenario};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// What the trial found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// From the first create to the answered ping.
    pub ms: u64,
    /// Names as templates use them under `requires.kernel`.
    pub kernel: Vec<String>,
}

/// All that an egress gateway's filter is made of.
pub const NFTABLES: &str = "nftables";
const LIMIT: Duration = Duration::from_secs(10);
/// What a trial has created and not started within this time, it never will.
const ABANDONED: Duration = Duration::from_secs(600);
/// Feature → what makes it in a scratch namespace; the exit status says whether the kernel can.
const FEATURES: [(&str, &str); 10] = [
    ("netem", "tc qdisc add dev lo root netem limit 1"),
    (
        "vlan",
        "ip link add f0 type dummy 2>/dev/null || ip link add f0 type veth peer name f1; ip link add link f0 name f2 type vlan id 2",
    ),
    ("bridge_vlan", "ip link add f3 type bridge vlan_filtering 1"),
    ("macvlan", "ip link add f4 type veth peer name f5; ip link add link f4 name f6 type macvlan"),
    ("bonding", "ip link add f7 type bond"),
    ("wireguard", "ip link add f8 type wireguard"),
    ("vrf", "ip link add f9 type vrf table 10"),
    ("vxlan", "ip link add fa type vxlan id 5 dstport 4789"),
    (
        NFTABLES,
        "nft \"add table inet f; add counter inet f c; add set inet f s { type ipv4_addr; flags timeout, dynamic; timeout 1m; }; \
         add chain inet f n { type nat hook postrouting priority 100; }; add rule inet f n masquerade; \
         add chain inet f o { type filter hook output priority 0; policy drop; }; \
         add rule inet f o ct state new @th,160,32 1 counter name c update @s { ip daddr counter } accept\"",
    ),
    ("gre", "ip link add fb type gre local 127.0.0.1 remote 127.0.0.2"),
];

struct Silent;

impl Progress for Silent {
    fn step(&self, _: Step) {}
}

/// Needs the images `host` and `tools`. Its containers end `life` after their start, whoever is left then. Any error but `Code::Cancelled` says that labs would fail on this engine too, and why.
pub async fn trial(
    engine: Arc<dyn Engine>,
    instance: &str,
    images: &Images,
    life: Duration,
    cancel: &CancellationToken,
) -> Result<Trial> {
    // Whoever's they are: a process killed between creating and starting leaves what has no end of its own.
    engine.prune(&[(label::TRIAL, "1")], ABANDONED).await?;
    let began = Instant::now();
    let drawn = uuid::Uuid::new_v4().simple().to_string();
    // Labelled like a run that no row knows: whatever a crash leaves of it, the next repair sweeps.
    let identity =
        Identity { instance: instance.to_owned(), run: format!("trial{}", drawn.get(..5).unwrap_or_default()) };
    let plan = Plan::of(identity.clone(), Arc::new(scenario()?), images)?.fleeting(life);
    let live = launch(engine.clone(), &plan, &Silent, cancel).await?;
    let looked = async {
        let left = From::Node("left".into());
        let ping = live.look(&left, "ping -n -c 1 -W 2 192.0.2.2", &[], LIMIT).await?;
        if ping.exit != 0 {
            return Err(Error::new(
                Code::MachineLacks,
                format!("Two wired nodes did not reach each other: {}", ping.stdout.trim()),
            )
            .hint("Look for a security module that confines containers, and at the log."));
        }
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let scripts: Vec<String> =
            FEATURES.iter().map(|(_, script)| format!("unshare -n sh -c '{script}' >/dev/null 2>&1")).collect();
        let made = live.look_many(&left, &scripts, LIMIT).await?;
        let kernel = FEATURES.iter().zip(&made).filter(|(_, o)| o.exit == 0).map(|((name, _), _)| (*name).to_owned());
        Ok(Trial { ms, kernel: kernel.collect() })
    }
    .await;
    let stopped = life::stop(engine.as_ref(), &identity).await;
    let found = looked?;
    stopped?;
    Ok(found)
}

/// Two hosts on one link, in the addresses kept for documentation (RFC 5737).
fn scenario() -> Result<Scenario> {
    let end = |node: &str, address: &str| -> Result<Endpoint> {
        let address: IpNet = address.parse().map_err(Error::internal)?;
        Ok(Endpoint { node: node.into(), interface: "eth1".into(), addresses: vec![address], mac: None })
    };
    let node = |name: &str| Node {
        name: name.into(),
        role: Role::Client,
        image: "host".into(),
        enter: false,
        caps: Vec::new(),
        writable: Vec::new(),
        env: BTreeMap::new(),
        files: Vec::new(),
        startup: String::new(),
        ready: Vec::new(),
        hosts: BTreeMap::new(),
        gateway: None,
        forwarding: false,
        ports: BTreeMap::new(),
    };
    Ok(Scenario {
        lab: "trial".into(),
        title: "Trial wiring".into(),
        track: "netplus".into(),
        tier: "foundation".into(),
        version: "1.0.0".into(),
        digest: String::new(),
        seed: "trial".into(),
        values: BTreeMap::new(),
        limits: Limits { cpu: 1.0, memory_mb: 256, timeout_minutes: 1, attacker_max_exploits: 0 },
        egress: Egress::Deny,
        nodes: vec![node("left"), node("right")],
        links: vec![Link {
            id: "trial".into(),
            segment: false,
            endpoints: vec![end("left", "192.0.2.1/30")?, end("right", "192.0.2.2/30")?],
            subnet: None,
            mtu: None,
            impairment: None,
        }],
        criteria: Vec::new(),
        hints: Vec::new(),
        guide: String::new(),
        reexecution: None,
    })
}
