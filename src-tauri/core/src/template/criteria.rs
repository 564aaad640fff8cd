//! From criteria as written to criteria that can be checked: places resolved, every name looked up.

use super::filter;
use super::model::{CriterionSpec, DisturbanceSpec, EvidenceSpec, HintSpec};
use super::params::{host_range, nth_host};
use super::probes::{FromSpec, ProbeSpec, RECORD_TYPES, RESPONSE_CODES, UnseenSpec};
use super::problem::{Pos, Problem, did_you_mean};
use super::scenario::{Criterion, Disturbance, Evidence, From, Hint, Link, Node, Probe};
use super::shape::{clean_path, is_label};
use super::stream::Stream;
use super::typed::At;
use crate::api::Role;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

pub struct Context<'a> {
    pub file: &'a str,
    pub seed: &'a str,
    pub nodes: &'a [Node],
    pub links: &'a [Link],
}

const LONGEST_WAIT_MS: u64 = 120_000;
const LONGEST_CAPTURE_MS: u64 = 30_000;
/// Bytes a compiled expression may take, the same as where it is used.
const EXPRESSION_MAX: usize = 1 << 20;

pub fn criteria(specs: &[CriterionSpec], cx: &Context) -> Result<Vec<Criterion>, Vec<Problem>> {
    let mut work = Work { cx, problems: Vec::new(), place: String::new() };
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for spec in specs {
        if !is_label(&spec.id, 40) {
            work.problem(
                spec.id.at,
                format!("“{}” cannot be a criterion's id", spec.id.value),
                Some("Use lower-case letters, digits and hyphens.".into()),
            );
        } else if !seen.insert(spec.id.value.as_str()) {
            work.problem(spec.id.at, format!("there are two criteria with the id “{}”", spec.id.value), None);
        }
        if !(1..=100).contains(&spec.weight.value) {
            work.problem(spec.weight.at, format!("a weight of {} is not between 1 and 100", spec.weight.value), None);
        }
        if spec.evidence.is_empty() {
            work.problem(
                spec.evidence.at,
                format!("“{}” asks for no evidence, so nothing could settle it", spec.id.value),
                None,
            );
        }
        let evidence = spec
            .evidence
            .iter()
            .enumerate()
            .map(|(i, e)| {
                work.place = format!("unseen/{}/{i}", spec.id.value);
                work.evidence(e)
            })
            .collect();
        out.push(Criterion {
            id: spec.id.value.clone(),
            title: spec.title.value.clone(),
            weight: spec.weight.value,
            evidence,
            failed: spec.failed.trim().to_owned(),
        });
    }
    if work.problems.is_empty() { Ok(out) } else { Err(work.problems) }
}

/// Hints get the id `<criterion>-<n>`, counted per criterion; together they cost at most what it is worth.
pub fn hints(file: &str, specs: &[HintSpec], criteria: &[Criterion]) -> Result<Vec<Hint>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut spent: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut out = Vec::new();
    for spec in specs {
        let Some(criterion) = criteria.iter().find(|c| c.id == spec.criterion.value) else {
            problems.push(
                Problem::new(file, spec.criterion.at, format!("there is no criterion “{}”", spec.criterion.value))
                    .maybe_hint(did_you_mean(&spec.criterion, criteria.iter().map(|c| c.id.as_str()))),
            );
            continue;
        };
        let (count, cost) = spent.entry(&criterion.id).or_default();
        *count += 1;
        *cost = cost.saturating_add(spec.cost.value);
        let worth = criterion.weight.saturating_mul(1000);
        if *cost > worth {
            problems.push(Problem::new(
                file,
                spec.cost.at,
                format!("the hints for “{}” cost {cost} milli-points together; it is worth {worth}", criterion.id),
            ));
        }
        out.push(Hint {
            id: format!("{}-{count}", criterion.id),
            criterion: criterion.id.clone(),
            cost: spec.cost.value,
            text: spec.text.trim().to_owned(),
        });
    }
    if problems.is_empty() { Ok(out) } else { Err(problems) }
}

struct Work<'a> {
    cx: &'a Context<'a>,
    problems: Vec<Problem>,
    /// The name of the stream that unseen hosts' addresses come from.
    place: String,
}

impl Work<'_> {
    fn problem(&mut self, at: Pos, message: String, hint: Option<String>) {
        self.problems.push(Problem::new(self.cx.file, at, message).maybe_hint(hint));
    }

    fn evidence(&mut self, e: &EvidenceSpec) -> Evidence {
        let within_ms = e.within.as_ref().map_or(0, |w| w.value.ms());
        if let Some(w) = e.within.as_ref().filter(|_| within_ms > LONGEST_WAIT_MS) {
            self.problem(w.at, "a check may keep asking for at most 120s".into(), None);
        }
        Evidence { after: e.after.as_ref().map(|a| self.disturbance(a)), within_ms, probe: self.probe(&e.probe) }
    }

    fn disturbance(&mut self, d: &DisturbanceSpec) -> Disturbance {
        match d {
            DisturbanceSpec::Cut(link) => Disturbance::Cut(self.link(link)),
            DisturbanceSpec::Restart(node) => Disturbance::Restart { node: self.node(node) },
            DisturbanceSpec::Announce(a) => {
                let node = self.node(&a.node);
                if let Some(n) = self.cx.nodes.iter().find(|n| n.name == node)
                    && (n.enter || n.role != Role::Router)
                {
                    self.problem(
                        a.node.at,
                        format!("“{node}” cannot announce for a check"),
                        Some("It must be a router that the learner cannot enter (enter: false).".into()),
                    );
                }
                Disturbance::Announce { node, prefix: a.prefix.0.trunc() }
            }
        }
    }

    fn node(&mut self, name: &At<String>) -> String {
        if !self.cx.nodes.iter().any(|n| n.name == name.value) {
            let hint = did_you_mean(name, self.cx.nodes.iter().map(|n| n.name.as_str()));
            self.problem(name.at, format!("there is no node “{}”", name.value), hint);
        }
        name.value.clone()
    }

    fn link(&mut self, id: &At<String>) -> String {
        if !self.cx.links.iter().any(|l| l.id == id.value) {
            let hint = did_you_mean(id, self.cx.links.iter().map(|l| l.id.as_str()));
            self.problem(id.at, format!("there is no link or segment “{}”", id.value), hint);
        }
        id.value.clone()
    }

    fn one_of(&mut self, word: &At<String>, what: &str, known: &[&str]) {
        if !known.iter().any(|k| k.eq_ignore_ascii_case(word)) {
            let hint = did_you_mean(word, known.iter().copied());
            self.problem(word.at, format!("“{}” is not a DNS {what} that can be checked", word.value), hint);
        }
    }

    fn pattern(&mut self, pattern: Option<&At<String>>) -> Option<String> {
        let pattern = pattern?;
        if let Err(e) = regex::RegexBuilder::new(pattern).size_limit(EXPRESSION_MAX).build() {
            let why = e.to_string();
            let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            self.problem(pattern.at, format!("“{}” is not a regular expression: {why}", pattern.value), None);
        }
        Some(pattern.value.clone())
    }

    fn filter(&mut self, filter: &At<String>) -> String {
        if let Some(why) = filter::fault(filter) {
            self.problem(filter.at, format!("“{}” is not a packet filter: {why}", filter.value), None);
        }
        filter.value.clone()
    }

    fn path(&mut self, path: &At<String>) -> String {
        if clean_path(path).is_none() {
            self.problem(path.at, format!("“{}” is not a plain absolute path", path.value), None);
        }
        path.value.clone()
    }

    fn from(&mut self, spec: &FromSpec) -> From {
        let unseen = match spec {
            FromSpec::Short(node) => return From::Node(self.node(node)),
            FromSpec::Long(long) => &long.unseen,
        };
        let (segment, address, gateway) = match unseen {
            UnseenSpec::Short(s) => (s, None, None),
            UnseenSpec::Long(l) => (&l.segment, l.address.map(|a| a.0), l.gateway),
        };
        let found = self.cx.links.iter().find(|l| l.id == segment.value && l.segment);
        if found.is_none() {
            let hint = did_you_mean(segment, self.cx.links.iter().filter(|l| l.segment).map(|l| l.id.as_str()));
            self.problem(segment.at, format!("there is no segment “{}” that a host could join", segment.value), hint);
        }
        let drawn = address.or_else(|| found.and_then(|l| self.free_address(l)));
        let Some(address) = drawn else {
            if let Some(l) = found {
                self.problem(
                    segment.at,
                    format!("“{}” has no free address for an unseen host", l.id),
                    Some("Give the segment a subnet with room, or the host an address.".into()),
                );
            }
            let nowhere = IpNet::new_assert(std::net::Ipv4Addr::UNSPECIFIED.into(), 32);
            return From::Unseen { segment: segment.value.clone(), address: nowhere, gateway };
        };
        From::Unseen { segment: segment.value.clone(), address, gateway }
    }

    fn free_address(&self, link: &Link) -> Option<IpNet> {
        let net = link.subnet?;
        let (first, last) = host_range(&net);
        let mut stream = Stream::new(self.cx.seed, &self.place);
        let used = |ip| link.endpoints.iter().flat_map(|e| &e.addresses).any(|a| a.addr() == ip);
        (0..1000)
            .filter_map(|_| nth_host(&net, first + stream.below(last - first + 1)))
            .find(|ip| !used(*ip))
            .and_then(|ip| IpNet::new(ip, net.prefix_len()).ok())
    }

    fn probe(&mut self, p: &ProbeSpec) -> Probe {
        use ProbeSpec as S;
        match p {
            S::Interface(p) => Probe::Interface {
                node: self.node(&p.node),
                interface: p.interface.clone(),
                address: p.address.map(|a| a.0),
                up: p.up,
            },
            S::Route(p) => Probe::Route {
                node: self.node(&p.node),
                to: p.to.0.trunc(),
                via_protocol: p.via_protocol.clone(),
                via: p.via,
                dev: p.dev.clone(),
                present: p.present,
            },
            S::Listening(p) => Probe::Listening {
                node: self.node(&p.node),
                proto: p.proto.into(),
                port: p.port,
                listening: p.listening,
            },
            S::Process(p) => Probe::Process { node: self.node(&p.node), name: p.name.clone(), running: p.running },
            S::File(p) => {
                if p.matches.is_none() && p.lacks.is_none() && p.exists {
                    self.problem(p.path.at, "a file probe needs `matches`, `lacks` or `exists: false`".into(), None);
                }
                Probe::File {
                    node: self.node(&p.node),
                    path: self.path(&p.path),
                    matches: self.pattern(p.matches.as_ref()),
                    lacks: self.pattern(p.lacks.as_ref()),
                    exists: p.exists,
                }
            }
            S::Ping(p) => Probe::Ping { from: self.from(&p.from), to: p.to, reaches: p.reaches },
            S::Path(p) => Probe::Path { from: self.from(&p.from), to: p.to, hops: p.hops.clone() },
            S::Tcp(p) => Probe::Tcp { from: self.from(&p.from), to: p.to, port: p.port, accepted: p.accepted },
            S::Dns(p) => {
                let from = self.from(&p.from);
                if p.answer.is_none() && p.rcode.is_none() {
                    self.problem(place(&p.from), "a dns probe needs `answer` or `rcode`".into(), None);
                }
                self.one_of(&p.rtype, "record type", &RECORD_TYPES);
                if let Some(rcode) = &p.rcode {
                    self.one_of(rcode, "response code", &RESPONSE_CODES);
                }
                Probe::Dns {
                    from,
                    server: p.server,
                    name: p.name.clone(),
                    rtype: p.rtype.value.clone(),
                    answer: p.answer.clone(),
                    rcode: p.rcode.as_ref().map(|c| c.value.clone()),
                    authoritative: p.authoritative,
                }
            }
            S::ZoneTransfer(p) => Probe::ZoneTransfer {
                from: self.from(&p.from),
                server: p.server,
                zone: p.zone.clone(),
                allowed: p.allowed,
            },
            S::Http(p) => Probe::Http {
                from: self.from(&p.from),
                url: p.url.clone(),
                status: p.status,
                body: self.pattern(p.body.as_ref()),
            },
            S::Ssh(p) => {
                let from = self.from(&p.from);
                if p.key.is_some() == p.password.is_some() {
                    self.problem(place(&p.from), "an ssh probe tries either a `key` or a `password`".into(), None);
                }
                Probe::Ssh {
                    from,
                    to: p.to,
                    port: p.port,
                    user: p.user.clone(),
                    key: p.key.clone(),
                    password: p.password.clone(),
                    accepted: p.accepted,
                    command: p.command.clone(),
                    output: self.pattern(p.output.as_ref()),
                }
            }
            S::SshMethods(p) => Probe::SshMethods {
                from: self.from(&p.from),
                to: p.to,
                port: p.port,
                user: p.user.clone(),
                methods: p.methods.clone(),
            },
            S::OspfNeighbours(p) => {
                Probe::OspfNeighbours { node: self.node(&p.node), full: p.full.clone(), exact: p.exact }
            }
            S::Packets(p) => {
                if !(1..=LONGEST_CAPTURE_MS).contains(&p.wait.value.ms()) {
                    self.problem(p.wait.at, "a capture lasts between 1ms and 30s".into(), None);
                }
                Probe::Packets {
                    on: self.link(&p.on),
                    filter: self.filter(&p.filter),
                    for_ms: p.wait.value.ms(),
                    seen: p.seen,
                }
            }
            S::Log(p) => Probe::Log {
                node: self.node(&p.node),
                path: self.path(&p.path),
                line: self.pattern(Some(&p.line)).unwrap_or_default(),
                present: p.present,
            },
            S::Command(p) => {
                let on = self.node(&p.on);
                if p.argv.is_empty() {
                    self.problem(p.argv.at, "a command probe needs an `argv`".into(), None);
                }
                if p.exit.is_none() && p.output.is_none() {
                    self.problem(
                        p.on.at,
                        "a command probe needs `exit` or `output`, else nothing could fail".into(),
                        None,
                    );
                }
                if p.inside && self.cx.nodes.iter().any(|n| n.name == on && n.enter) {
                    self.problem(
                        p.on.at,
                        format!("“{on}” is a node the learner can enter: its own programs prove nothing"),
                        Some("Drop `inside` to use the trusted programs in its network namespace.".into()),
                    );
                }
                Probe::Command {
                    on,
                    inside: p.inside,
                    argv: p.argv.value.clone(),
                    exit: p.exit,
                    output: self.pattern(p.output.as_ref()),
                }
            }
        }
    }
}

fn place(from: &FromSpec) -> Pos {
    match from {
        FromSpec::Short(a) => a.at,
        FromSpec::Long(l) => match &l.unseen {
            UnseenSpec::Short(a) => a.at,
            UnseenSpec::Long(l) => l.segment.at,
        },
    }
}
