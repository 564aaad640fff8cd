//! What will exist in Docker for a run, decided before anything does: names, labels, hardening, limits, files, links.

use super::{caps, egress};
use crate::api::Role;
use crate::engine::caps::role_seccomp;
use crate::engine::fabric::wiring::{Bridge, Port, Shape};
use crate::engine::fabric::{self, Condition};
use crate::engine::gateway::Exit;
use crate::engine::{ContainerSpec, Labels, label};
use crate::error::{Code, Error, Result};
use crate::spawn::{Footprint, SpentToken};
use crate::template::scenario::{Impairment, Node, NodeFile, Proto, Ready, Scenario};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Short image name (`host`, `router`, `server`, `tools`) → the reference to create containers from.
pub type Images = BTreeMap<String, String>;

/// Whose run it is. `instance` names the installation, `run` is its ten-character id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub instance: String,
    pub run: String,
}

impl Identity {
    pub(super) fn labels(&self, kind: &str) -> Labels {
        [(label::INSTANCE, &*self.instance), (label::RUN, &*self.run), (label::KIND, kind)]
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into()
    }

    /// What every container of the run carries.
    pub(super) fn filter(&self) -> [(&str, &str); 2] {
        [(label::INSTANCE, &self.instance), (label::RUN, &self.run)]
    }
}

/// A node before it exists.
#[derive(Clone, Debug)]
pub struct NodePlan {
    pub name: String,
    pub spec: ContainerSpec,
    /// Volume → uncompressed tar to unpack there before the start.
    pub files: Vec<(String, Bytes)>,
    /// `(user:group, path)` for owners that only the image can translate into numbers.
    pub owners: Vec<(String, String)>,
}

/// Everything a launch needs. Its only constructor takes a spent token: without one, nothing is created in Docker.
#[derive(Clone, Debug)]
pub struct Plan {
    pub identity: Identity,
    pub scenario: Arc<Scenario>,
    pub fabric: ContainerSpec,
    pub nodes: Vec<NodePlan>,
    pub bridges: Vec<Bridge>,
    /// How packets leave, in labs that ask for a way out.
    pub exit: Option<Exit>,
}

impl Plan {
    /// `Code::ImageMissing` for an image not in `images`, `Code::TemplateInvalid` for a file outside the writable directories.
    pub fn new(token: SpentToken, identity: Identity, scenario: Arc<Scenario>, images: &Images) -> Result<Self> {
        let claims = token.claims();
        if token.run() != identity.run || claims.lab != scenario.lab || claims.template_digest != scenario.digest {
            return Err(Error::new(Code::TokenInvalid, "The launch token belongs to another run or lab."));
        }
        Self::of(identity, scenario, images)
    }

    /// Without a token: for the trial wiring, which belongs to no run, and nothing else.
    pub(super) fn of(identity: Identity, scenario: Arc<Scenario>, images: &Images) -> Result<Self> {
        let image = |name: &str| {
            images.get(name).cloned().ok_or_else(|| {
                Error::new(Code::ImageMissing, format!("The image “{name}” is not prepared."))
                    .hint("Prepare the lab images: `forge images prepare`.")
            })
        };
        let fabric = fabric::spec(&identity.run, identity.labels("fabric"), &image("tools")?);
        let share = Share::of(&scenario);
        let exit = egress::exit(&scenario)?;
        let mut nodes: Vec<NodePlan> = scenario
            .nodes
            .iter()
            .map(|node| plan_node(node, &identity, image(&node.image)?, &share))
            .collect::<Result<_>>()?;
        if let Some(exit) = &exit {
            nodes.iter_mut().for_each(|node| egress::furnish(&mut node.spec, &scenario, &node.name, exit));
        }
        let bridges = bridges(&identity.run, &scenario);
        Ok(Self { identity, scenario, fabric, nodes, bridges, exit })
    }

    /// The same, for a trial: every container ends by itself `life` after its start and Docker removes it then, so that nothing
    /// stays even where nobody is left to clean up.
    pub(super) fn fleeting(mut self, life: Duration) -> Self {
        let seconds = life.as_secs().max(1).to_string();
        self.fabric.command = fabric::command(&seconds);
        for node in &mut self.nodes {
            let startup = std::mem::take(&mut node.spec.command);
            // The init again, below a clock: it prepares, waits for its wires and stays as in any lab.
            let timed = ["--now", "timeout", "-k", "1", &seconds, "/forge/init"].map(String::from);
            node.spec.command = timed.into_iter().chain(startup).collect();
        }
        for spec in self.nodes.iter_mut().map(|n| &mut n.spec).chain([&mut self.fabric]) {
            spec.fleeting = true;
            spec.labels.insert(label::TRIAL.into(), "1".into());
        }
        self
    }
}

/// One node's part of the lab's limits.
struct Share {
    nano_cpus: i64,
    memory_bytes: i64,
    file_bytes: i64,
}

/// Processes and threads of one node.
const NODE_PIDS: i64 = 256;
/// MiB that one node may have on the disk; no single file can become larger.
pub(super) const NODE_DISK_MB: u64 = 256;
/// MiB that a run may have on the disk, however many nodes it has.
const RUN_DISK_MB: u64 = 2048;

/// What a launch takes from the machine, so that the quota gate counts what is really given: the nodes, an egress gateway among
/// them, and the fabric that joins them.
pub fn footprint(scenario: &Scenario) -> Footprint {
    let nodes = scenario.nodes.len().max(1) as u64;
    let each = (Share::of(scenario).memory_bytes >> 20) as u64;
    Footprint {
        memory_mb: scenario.limits.memory_mb.max(each * nodes) + fabric::MEMORY_MB,
        pids: NODE_PIDS as u64 * nodes + fabric::PIDS,
        disk_mb: (NODE_DISK_MB * nodes).min(RUN_DISK_MB),
    }
}

impl Share {
    /// Memory in equal parts, at least 64 MiB. CPU: twice an equal part, at least half a CPU and at most the whole, because
    /// nodes are idle most of the time and an exact part would throttle them while they start.
    fn of(scenario: &Scenario) -> Self {
        let nodes = scenario.nodes.len().max(1);
        let cpu = (scenario.limits.cpu * 2.0 / nodes as f64).max(0.5).min(scenario.limits.cpu.max(0.1));
        let memory = (scenario.limits.memory_mb / nodes as u64).max(64);
        Self {
            nano_cpus: (cpu * 1e9) as i64,
            memory_bytes: (memory << 20) as i64,
            file_bytes: (NODE_DISK_MB << 20) as i64,
        }
    }
}

fn plan_node(node: &Node, identity: &Identity, image: String, share: &Share) -> Result<NodePlan> {
    let mut labels = identity.labels("node");
    labels.insert(label::NODE.into(), node.name.clone());
    let mut tmpfs = BTreeMap::new();
    if !node.writable.iter().any(|w| w == "/root") {
        tmpfs.insert("/root".into(), "rw,nosuid,nodev,size=16m,mode=700".into());
    }
    let spec = ContainerSpec {
        name: format!("forge-{}-{}", identity.run, node.name),
        image,
        hostname: node.name.clone(),
        labels,
        command: if node.startup.is_empty() { vec![] } else { vec![node.startup.clone()] },
        env: node.env.clone().into_iter().collect(),
        caps: caps::capabilities(node.role, &node.caps),
        seccomp: role_seccomp(node.role),
        volumes: node.writable.clone(),
        tmpfs,
        sysctls: sysctls(node.forwarding),
        hosts: node.hosts.iter().map(|(name, address)| (name.clone(), address.to_string())).collect(),
        nano_cpus: Some(share.nano_cpus),
        memory_bytes: Some(share.memory_bytes),
        file_bytes: Some(share.file_bytes),
        pids: NODE_PIDS,
        nofile: 4096,
        ..ContainerSpec::default()
    };
    Ok(NodePlan { name: node.name.clone(), spec, files: tars(node)?, owners: named_owners(node) })
}

/// The same on every host: a new namespace would inherit some IPv4 values from the host's. /proc/sys is read-only in a
/// node, so this is the place. Routes must come from the lab alone: no redirects, no router advertisements unless the
/// learner's own programs take them; answers may take another way back than questions came.
fn sysctls(forwarding: bool) -> BTreeMap<String, String> {
    let on = if forwarding { "1" } else { "0" };
    [
        ("net.ipv4.ip_forward", on),
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.default.rp_filter", "0"),
        ("net.ipv4.conf.all.accept_redirects", "0"),
        ("net.ipv4.conf.default.accept_redirects", "0"),
        ("net.ipv4.conf.all.send_redirects", "0"),
        ("net.ipv4.conf.default.send_redirects", "0"),
        ("net.ipv4.conf.all.accept_source_route", "0"),
        ("net.ipv4.conf.default.accept_source_route", "0"),
        // A traceroute through several hops asks for more than one answer a second.
        ("net.ipv4.icmp_ratelimit", "0"),
        // Docker switches IPv6 off where it has no network.
        ("net.ipv6.conf.all.disable_ipv6", "0"),
        ("net.ipv6.conf.default.disable_ipv6", "0"),
        ("net.ipv6.conf.all.accept_ra", "0"),
        ("net.ipv6.conf.default.accept_ra", "0"),
        ("net.ipv6.conf.all.forwarding", on),
        ("net.ipv6.conf.default.forwarding", on),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()))
    .into()
}

/// Files sorted into the volumes they lie in, each volume's as one tar.
fn tars(node: &Node) -> Result<Vec<(String, Bytes)>> {
    let mut by_volume: BTreeMap<&str, Vec<(&str, &NodeFile)>> = BTreeMap::new();
    for file in &node.files {
        let (volume, inner) = node
            .writable
            .iter()
            .filter_map(|w| {
                let inner = file.path.strip_prefix(w.trim_end_matches('/'))?.strip_prefix('/')?;
                Some((w.as_str(), inner))
            })
            .max_by_key(|(w, _)| w.len())
            .ok_or_else(|| {
                Error::new(
                    Code::TemplateInvalid,
                    format!("{} on {} lies in none of its writable directories.", file.path, node.name),
                )
            })?;
        by_volume.entry(volume).or_default().push((inner, file));
    }
    by_volume.into_iter().map(|(volume, files)| Ok((volume.to_string(), tar_of(&files)?))).collect()
}

fn tar_of(files: &[(&str, &NodeFile)]) -> Result<Bytes> {
    let mut builder = tar::Builder::new(Vec::new());
    let header = |mode: u32, size: usize, kind: tar::EntryType, (uid, gid): (u64, u64)| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size as u64);
        header.set_uid(uid);
        header.set_gid(gid);
        header.set_mtime(0);
        header
    };
    let mut made = BTreeSet::new();
    for (inner, file) in files {
        for (at, _) in inner.match_indices('/') {
            let Some(dir) = inner.get(..at).filter(|d| made.insert(d.to_string())) else { continue };
            let mut dir_header = header(0o755, 0, tar::EntryType::Directory, (0, 0));
            builder.append_data(&mut dir_header, format!("{dir}/"), &[][..])?;
        }
        let owner = file.owner.as_deref().and_then(numeric).unwrap_or((0, 0));
        let mut file_header = header(file.mode & 0o7777, file.content.len(), tar::EntryType::Regular, owner);
        builder.append_data(&mut file_header, inner, file.content.as_slice())?;
    }
    Ok(builder.into_inner()?.into())
}

/// `uid:gid`, or `uid` for both.
fn numeric(owner: &str) -> Option<(u64, u64)> {
    let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
    Some((user.parse().ok()?, group.parse().ok()?))
}

fn named_owners(node: &Node) -> Vec<(String, String)> {
    let named = |f: &NodeFile| {
        let owner = f.owner.as_deref().filter(|o| numeric(o).is_none())?;
        let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
        Some((format!("{user}:{group}"), f.path.clone()))
    };
    node.files.iter().filter_map(named).collect()
}

/// The run's links as the fabric builds them. Depends on the run's id and the scenario alone, so that whoever adopts a run
/// finds the same names and MAC addresses.
pub fn bridges(run: &str, scenario: &Scenario) -> Vec<Bridge> {
    let role = |name: &str| scenario.nodes.iter().find(|n| n.name == name).map(|n| n.role);
    scenario
        .links
        .iter()
        .enumerate()
        .map(|(index, link)| {
            let shape = link.impairment.as_ref().map(shape).unwrap_or_default();
            let switched = link.endpoints.iter().any(|e| role(&e.node) == Some(Role::Switch));
            let ports = link.endpoints.iter().enumerate().map(|(end, e)| Port {
                link: index,
                end,
                node: e.node.clone(),
                interface: e.interface.clone(),
                mac: e.mac.clone().unwrap_or_else(|| mac(run, &link.id, end)),
                mtu: link.mtu,
                addresses: e.addresses.clone(),
                shape: shape.clone(),
                checksum_off: switched,
            });
            Bridge { index, link: link.id.clone(), mtu: link.mtu, shape: shape.clone(), ports: ports.collect() }
        })
        .collect()
}

fn shape(i: &Impairment) -> Shape {
    Shape { rate_kbit: i.rate_kbit, delay_ms: i.delay_ms, jitter_ms: i.jitter_ms, loss_percent: i.loss_percent }
}

/// Locally administered, and the same after each restart: neighbours' caches and IPv6 addresses stay right.
fn mac(run: &str, link: &str, end: usize) -> String {
    let digest = Sha256::digest(format!("{run}\0{link}\0{end}"));
    let tail: Vec<String> = digest.iter().take(5).map(|b| format!("{b:02x}")).collect();
    format!("02:{}", tail.join(":"))
}

/// A node's ends of all links, in the scenario's order.
pub(super) fn ports_of<'a>(bridges: &'a [Bridge], node: &str) -> Vec<&'a Port> {
    bridges.iter().flat_map(|b| &b.ports).filter(|p| p.node == node).collect()
}

pub(super) fn gateway_of(scenario: &Scenario, node: &str) -> Option<IpAddr> {
    scenario.nodes.iter().find(|n| n.name == node)?.gateway
}

/// What the template says about readiness, besides the end of the startup.
pub(super) fn conditions_of(node: &Node) -> Vec<Condition> {
    let condition = |ready: &Ready| match ready {
        Ready::Listen { proto: Proto::Tcp, port } => Condition::Tcp(*port),
        Ready::Listen { proto: Proto::Udp, port } => Condition::Udp(*port),
        Ready::Path { path } => Condition::Path(path.clone()),
    };
    node.ready.iter().map(condition).collect()
}

/// Two nodes on one link, for the tests of this room: `b` is a trusted server with a file, and has a gateway.
#[cfg(test)]
pub(super) fn fixture() -> Scenario {
    let json = serde_json::json!({
        "lab": "t", "title": "T", "track": "t", "tier": "t", "version": "1", "digest": "d", "seed": "s", "values": {},
        "limits": {"cpu": 2.0, "memory_mb": 512, "timeout_minutes": 5, "attacker_max_exploits": 0},
        "egress": {"mode": "deny"},
        "nodes": [
            {"name": "a", "role": "client", "image": "host", "enter": true, "caps": ["NET_ADMIN"], "writable": [], "env": {},
             "files": [], "startup": "", "ready": [], "hosts": {"b": "10.0.0.2"}, "gateway": null, "forwarding": false, "ports": {}},
            {"name": "b", "role": "server", "image": "server", "enter": false, "caps": [], "writable": ["/etc/x", "/etc/x/deep"],
             "env": {"K": "v"},
             "files": [
                {"path": "/etc/x/deep/in/er", "mode": 416, "owner": "bind:bind", "content": "aGk="},
                {"path": "/etc/x/top", "mode": 384, "owner": "7:8", "content": "aGk="}
             ],
             "startup": "true", "ready": [{"kind": "listen", "proto": "udp", "port": 53}], "hosts": {},
             "gateway": "10.0.0.1", "forwarding": true, "ports": {}}
        ],
        "links": [{"id": "a-b", "segment": false, "subnet": null, "mtu": 1400,
            "impairment": {"rate_kbit": 64, "delay_ms": null, "jitter_ms": null, "loss_percent": null},
            "endpoints": [
                {"node": "a", "interface": "eth1", "addresses": ["10.0.0.1/24"], "mac": null},
                {"node": "b", "interface": "eth1", "addresses": ["10.0.0.2/24"], "mac": "02:00:00:00:00:42"}
            ]}],
        "criteria": [], "hints": [], "guide": ""
    });
    serde_json::from_value(json).unwrap_or_else(|e| unreachable!("{e}"))
}

#[cfg(test)]
mod tests;
