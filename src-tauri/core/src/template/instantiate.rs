//! A lab's folder and a seed become a [`Scenario`]: draw the parameters, plan the network, fill in the rest, read
//! and check everything. The same folder and seed always give the same scenario.

use super::carry;
use super::criteria;
use super::folder::Folder;
use super::model::{API_VERSION, EgressSpec, KIND, LabFile, LimitsSpec, Metadata, NetworkSpec, NodeSpec, RequiresSpec};
use super::network::{self, Member, Plan};
use super::nodes;
use super::normal::normal;
use super::params;
use super::problem::{Problem, did_you_mean, report};
use super::scenario::{Egress, GATEWAY, Limits, Scenario};
use super::scope::{RESERVED, Scope};
use super::shape::{KERNEL_FEATURES, is_label, is_semver};
use super::tree::{self, Kind, Tree};
use super::typed;
use crate::api::Role;
use crate::error::{Code, Error, Result};
use ipnet::IpNet;

pub const LAB_FILE: &str = "lab.yaml";

/// A parsed lab.yaml in normal form, not yet filled in.
#[derive(Clone, Debug)]
pub struct Template {
    tree: Tree,
}

/// A scenario together with what only the catalogue and the doctor want to know.
#[derive(Clone, Debug)]
pub struct Instance {
    pub scenario: Scenario,
    pub metadata: Metadata,
    pub requires: RequiresSpec,
    /// Everything `{{…}}` may name in this run, for solutions and guides.
    pub scope: Scope,
}

impl Template {
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let tree = Tree::parse(LAB_FILE, bytes)?;
        Ok(Self { tree: normal(LAB_FILE, tree)? })
    }

    /// Errors: `TemplateInvalid` with all problems found; `InvalidInput` for a seed that is none.
    pub fn instantiate(&self, folder: &Folder, digest: &str, seed: &str) -> Result<Instance> {
        if !is_seed(seed) {
            return Err(Error::new(Code::InvalidInput, format!("“{seed}” cannot be a seed."))
                .hint("A seed has 1 to 64 letters, digits, dots, hyphens and underscores."));
        }
        let (scope, values, plan) = self.drawn(seed).map_err(report)?;
        let filled = scope.fill(LAB_FILE, &self.tree).map_err(report)?;
        let lab: LabFile = typed::read(LAB_FILE, &filled)?;
        let Some(plan) = plan else {
            return Err(Error::internal("a lab without a network was read"));
        };

        let mut problems = metadata(&lab.metadata);
        problems.append(&mut limits(&lab.spec.limits));
        problems.append(&mut versions(&lab));
        problems.append(&mut requirements(&lab.spec.requires));
        problems.append(&mut attackers(&lab.spec.limits, &lab.spec.assets.nodes));
        problems.append(&mut gateways(&lab.spec.network, &lab.spec.assets.nodes, &plan));
        let nodes_cx =
            nodes::Context { file: LAB_FILE, folder, scope: &scope, plan: &plan, names: lab.spec.network.names };
        let nodes = nodes::nodes(&lab.spec.assets.nodes, &nodes_cx).unwrap_or_else(|mut p| {
            problems.append(&mut p);
            Vec::new()
        });
        if !problems.is_empty() {
            return Err(report(problems));
        }
        let cx = criteria::Context { file: LAB_FILE, seed, nodes: &nodes, links: &plan.links };
        let criteria = criteria::criteria(&lab.spec.success_criteria, &cx).map_err(report)?;
        let hints = criteria::hints(LAB_FILE, &lab.spec.hints, &criteria).map_err(report)?;
        if nodes.is_empty() || criteria.is_empty() {
            return Err(report(vec![Problem::new(
                LAB_FILE,
                filled.at,
                "a lab needs at least one node and one success criterion",
            )]));
        }
        let reexecution =
            carry::reexecution(LAB_FILE, lab.spec.reexecution.as_ref(), &nodes, &values).map_err(report)?;
        let guide = match folder.get("guide.md") {
            Some(bytes) => scope.fill_text("guide.md", tree::text("guide.md", bytes)?)?,
            None => String::new(),
        };
        let label = |prefix: &str| {
            lab.metadata.labels.iter().find_map(|l| l.strip_prefix(prefix)).unwrap_or_default().to_owned()
        };
        let scenario = Scenario {
            lab: lab.metadata.name.value.clone(),
            title: lab.metadata.title.value.clone(),
            track: label("class:"),
            tier: label("tier:"),
            version: lab.metadata.version.value.clone(),
            digest: digest.to_owned(),
            seed: seed.to_owned(),
            values,
            limits: Limits {
                cpu: lab.spec.limits.cpu.value,
                memory_mb: lab.spec.limits.memory_mb.value,
                timeout_minutes: lab.spec.limits.timeout_minutes.value,
                attacker_max_exploits: lab.spec.limits.attacker_max_exploits,
            },
            egress: egress(&lab.spec.network)?,
            nodes,
            links: plan.links,
            criteria,
            hints,
            guide,
            reexecution,
        };
        Ok(Instance { scenario, metadata: lab.metadata, requires: lab.spec.requires, scope })
    }

    /// Parameters, then the network that uses them, then the names both give.
    fn drawn(&self, seed: &str) -> Result<(Scope, crate::api::Values, Option<Plan>), Vec<Problem>> {
        let spec = self.tree.get("spec");
        let nothing = Tree { at: self.tree.at, kind: Kind::Null };
        let mut taken = Vec::new();
        written_subnets(spec.and_then(|s| s.get("network")).unwrap_or(&nothing), &mut taken);
        let parameters = spec.and_then(|s| s.get("parameters")).unwrap_or(&nothing);
        let values = params::draw(LAB_FILE, parameters, seed, &mut taken)?;
        let mut scope = Scope::new(&values);

        let Some(written) = spec.and_then(|s| s.get("network")) else { return Ok((scope, values, None)) };
        let network = scope.fill(LAB_FILE, written)?;
        let network: NetworkSpec = typed::read(LAB_FILE, &network).map_err(|p| vec![p])?;
        let nodes =
            spec.and_then(|s| s.get("assets")).and_then(|a| a.get("nodes")).map(Tree::items).unwrap_or_default();
        let members: Vec<Member> = nodes
            .iter()
            .filter_map(|n| {
                let router = n.get("role").and_then(Tree::as_text) == Some("router");
                Some(Member { name: n.get("name")?.as_text()?.to_owned(), router })
            })
            .collect();
        let plan = network::plan(LAB_FILE, &network, &members)?;
        self.name_places(&mut scope, nodes, &plan)?;
        Ok((scope, values, Some(plan)))
    }

    fn name_places(&self, scope: &mut Scope, nodes: &[Tree], plan: &Plan) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        for n in nodes {
            let Some(name) = n.get("name").and_then(|t| Some((t.at, t.as_text()?))) else { continue };
            let mut interfaces = serde_json::Map::new();
            for e in plan.links.iter().flat_map(|l| &l.endpoints).filter(|e| e.node == name.1) {
                interfaces.insert(e.interface.clone(), e.addresses.first().map(|a| a.addr().to_string()).into());
            }
            if nodes.iter().filter(|o| o.get("name").and_then(Tree::as_text) == Some(name.1)).count() > 1 {
                problems.push(Problem::new(LAB_FILE, name.0, format!("there are two nodes named “{}”", name.1)));
            } else if scope.contains(name.1) || RESERVED.contains(&name.1) {
                problems.push(
                    Problem::new(LAB_FILE, name.0, format!("“{}” is the name of something else in this lab", name.1))
                        .hint("Parameters, nodes and links share one set of names."),
                );
            }
            scope.insert(name.1, interfaces.into());
        }
        for l in &plan.links {
            if scope.contains(&l.id) {
                let network = self.tree.get("spec").and_then(|s| s.get("network"));
                let at = network.and_then(|n| find_id(n, &l.id)).map_or(self.tree.at, |t| t.at);
                problems.push(
                    Problem::new(LAB_FILE, at, format!("“{}” names both a link and something else in this lab", l.id))
                        .hint("Parameters, nodes and links share one set of names."),
                );
            }
            scope.insert(&l.id, serde_json::json!({"subnet": l.subnet.map(|s| s.to_string())}));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn find_id<'t>(network: &'t Tree, id: &str) -> Option<&'t Tree> {
    let lists = ["links", "segments"].into_iter().filter_map(|l| network.get(l));
    lists.flat_map(Tree::items).filter_map(|l| l.get("id")).find(|t| t.as_text() == Some(id))
}

pub fn is_seed(s: &str) -> bool {
    (1..=64).contains(&s.len()) && s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Subnets that stand in the lab as they are; drawn ones keep clear of them.
fn written_subnets(tree: &Tree, out: &mut Vec<IpNet>) {
    for (key, value) in tree.entries() {
        match (key.name.as_str(), value.as_text()) {
            ("subnet", Some(text)) => out.extend(text.parse::<IpNet>().ok().map(|n| n.trunc())),
            _ => written_subnets(value, out),
        }
    }
    for item in tree.items() {
        written_subnets(item, out);
    }
}

fn metadata(m: &Metadata) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut problem = |at, message: String, hint: &str| {
        let p = Problem::new(LAB_FILE, at, message);
        out.push(if hint.is_empty() { p } else { p.hint(hint) });
    };
    if !is_label(&m.name, 60) {
        problem(
            m.name.at,
            format!("“{}” cannot be a lab's name", m.name.value),
            "Use lower-case letters, digits and hyphens.",
        );
    }
    if m.title.trim().is_empty() {
        problem(m.title.at, "a lab needs a title".into(), "");
    }
    if !is_semver(&m.version) {
        problem(
            m.version.at,
            format!("“{}” is not a semantic version", m.version.value),
            "Write three numbers: 1.0.0.",
        );
    }
    if !(1..=600).contains(&m.minutes.value) {
        problem(m.minutes.at, format!("{} minutes are not between 1 and 600", m.minutes.value), "");
    }
    for l in &m.labels {
        let known = ["class:", "tier:", "topic:"].iter().find_map(|p| l.strip_prefix(p));
        if !known.is_some_and(|word| is_label(word, 40)) {
            problem(
                l.at,
                format!("“{}” is not a label", l.value),
                "Labels are class:<track>, tier:<level> and topic:<word>.",
            );
        }
    }
    for prefix in ["class:", "tier:"] {
        let count = m.labels.iter().filter(|l| l.starts_with(prefix)).count();
        if count != 1 {
            let at = m.labels.first().map_or(m.name.at, |l| l.at);
            problem(at, format!("a lab has exactly one label {prefix}…, this one has {count}"), "");
        }
    }
    out
}

fn limits(l: &LimitsSpec) -> Vec<Problem> {
    let mut out = Vec::new();
    let mut check = |ok: bool, at, message: String| {
        if !ok {
            out.push(Problem::new(LAB_FILE, at, message));
        }
    };
    check((0.1..=32.0).contains(&l.cpu.value), l.cpu.at, format!("{} CPUs are not between 0.1 and 32", l.cpu.value));
    check(
        (32..=65536).contains(&l.memory_mb.value),
        l.memory_mb.at,
        format!("{} MiB are not between 32 and 65536", l.memory_mb.value),
    );
    check(
        (5..=1440).contains(&l.timeout_minutes.value),
        l.timeout_minutes.at,
        format!("{} minutes are not between 5 and 1440", l.timeout_minutes.value),
    );
    out
}

/// The gate goes by the declared number, so the lab must keep to it.
fn attackers(limits: &LimitsSpec, nodes: &[NodeSpec]) -> Vec<Problem> {
    let declared = usize::try_from(limits.attacker_max_exploits).unwrap_or(usize::MAX);
    let attackers = nodes.iter().filter(|n| n.role == Role::Attacker).skip(declared);
    let problem = |n: &NodeSpec| {
        let message =
            format!("“{}” is an attacker more than limits.attacker_max_exploits allows ({declared})", n.name.value);
        Problem::new(LAB_FILE, n.name.at, message)
            .hint("Each attacker plays one technique; declare how many there are.")
    };
    attackers.map(problem).collect()
}

/// Whatever parameters filled in: a gateway comes by itself, and carries IPv4.
fn gateways(network: &NetworkSpec, nodes: &[NodeSpec], plan: &Plan) -> Vec<Problem> {
    let allowed = network.egress.value == EgressSpec::Allowlist;
    let strange = nodes.iter().filter(|n| n.role == Role::Gateway && !(allowed && n.name.value == GATEWAY));
    let mut out: Vec<Problem> = strange
        .map(|n| {
            Problem::new(
                LAB_FILE,
                n.name.at,
                format!("“{}” cannot be a gateway: that role is the egress gateway's", n.name.value),
            )
            .hint("With egress: allowlist it comes by itself; say `gateway: egress` in a segment.")
        })
        .collect();
    let ends = plan.links.iter().flat_map(|l| &l.endpoints).filter(|e| allowed && e.node == GATEWAY);
    for end in ends {
        let why = match end.addresses.as_slice() {
            [] => "has no address there",
            all if all.iter().any(|a| a.addr().is_ipv6()) => "carries IPv4 only",
            _ if end.interface == "eth0" => "has its outer leg on eth0",
            _ => continue,
        };
        out.push(
            Problem::new(
                LAB_FILE,
                network.egress.at,
                format!("the egress gateway {why} ({}:{})", end.node, end.interface),
            )
            .hint("Give its segment an IPv4 subnet, and its end another name than eth0."),
        );
    }
    out
}

fn versions(lab: &LabFile) -> Vec<Problem> {
    let mut out = Vec::new();
    for (found, want) in [(&lab.api_version, API_VERSION), (&lab.kind, KIND)] {
        if found.value != want {
            out.push(Problem::new(LAB_FILE, found.at, format!("expected “{want}”, found “{}”", found.value)));
        }
    }
    out
}

fn requirements(r: &RequiresSpec) -> Vec<Problem> {
    let kernel = r.kernel.iter().map(|k| (k, KERNEL_FEATURES, "kernel feature"));
    let arch = r.arch.iter().map(|a| (a, ["amd64", "arm64"].as_slice(), "architecture"));
    kernel
        .chain(arch)
        .filter(|(word, known, _)| !known.contains(&word.as_str()))
        .map(|(word, known, what)| {
            Problem::new(LAB_FILE, word.at, format!("“{}” is not a {what} we can look for", word.value))
                .maybe_hint(did_you_mean(word, known.iter().copied()))
        })
        .collect()
}

fn egress(network: &NetworkSpec) -> Result<Egress> {
    Ok(match (network.egress.value, &network.allowlist_profile) {
        (EgressSpec::Deny, None) => Egress::Deny,
        (EgressSpec::Allowlist, Some(profile)) => Egress::Allowlist { profile: profile.value.clone(), opened: None },
        (EgressSpec::Deny, Some(profile)) => {
            return Err(Problem::new(LAB_FILE, profile.at, "egress is deny, so a profile opens nothing")
                .hint("Remove allowlist_profile, or set egress: allowlist.")
                .into());
        }
        (EgressSpec::Allowlist, None) => {
            return Err(
                Problem::new(LAB_FILE, network.egress.at, "egress: allowlist needs an allowlist_profile").into()
            );
        }
    })
}
