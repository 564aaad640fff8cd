//! The one way out of a lab that asks for it: from the scenario to the gateway's filter and resolver, its leg on a network made
//! for this run, and what it has dropped.

use super::keep::Witness;
use super::live::Live;
use super::plan::Identity;
use crate::api::Role;
use crate::engine::fabric::wiring::Bridge;
use crate::engine::gateway::{self, Exit, Opening, Reason};
use crate::engine::{ContainerSpec, Engine};
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Allow, Egress, GATEWAY, Proto, Scenario};
use futures_util::future::join_all;
use ipnet::IpNet;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// An engine that offers a subnet of the lab's is asked again, so many times.
const OFFERS: usize = 16;

/// What was dropped, in the lab's own words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    pub total: u64,
    /// Packets by reason.
    pub reasons: Vec<(String, u64)>,
    pub seen: Vec<DroppedFlow>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DroppedFlow {
    /// The node that has the sender's address; the address where none has.
    pub node: String,
    /// `tcp 1.2.3.4:80`.
    pub target: String,
    pub reason: String,
    /// What that reason means.
    pub words: &'static str,
    pub packets: u64,
}

/// One thing that was refused, to be told as it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    pub node: String,
    /// `tcp 1.2.3.4:80`, or a name with the record type asked for.
    pub target: String,
    pub reason: String,
    pub words: String,
    /// All that was refused in this run so far.
    pub total: u64,
    /// As many more were refused at the same time and are not told one by one.
    pub more: usize,
}

/// None for a lab without a way out. `Code::Denied` when nobody has opened its profile, `Code::TemplateInvalid` when its gateway
/// is not one.
pub(super) fn exit(scenario: &Scenario) -> Result<Option<Exit>> {
    let Egress::Allowlist { profile, opened } = &scenario.egress else { return Ok(None) };
    let Some(opened) = opened else {
        return Err(Error::new(
            Code::Denied,
            format!("The egress profile “{profile}” was not looked up for this run."),
        ));
    };
    let broken = |why: &str| Error::new(Code::TemplateInvalid, format!("The lab's egress gateway {why}."));
    if !scenario.nodes.iter().any(|n| n.name == GATEWAY && n.role == Role::Gateway) {
        return Err(broken("is missing"));
    }
    let mut inside = Vec::new();
    for end in scenario.links.iter().flat_map(|l| &l.endpoints).filter(|e| e.node == GATEWAY) {
        for address in &end.addresses {
            let IpNet::V4(net) = address else { return Err(broken("has an IPv6 address; it carries IPv4 only")) };
            inside.push((end.interface.clone(), *net));
        }
    }
    if inside.is_empty() {
        return Err(broken("has no address in the lab"));
    }
    let openings = opened.allow.iter().map(opening).collect();
    Ok(Some(Exit { inside, openings, resolvers: opened.resolvers.clone(), near: opened.near.clone() }))
}

fn opening(allow: &Allow) -> Opening {
    let ports = |proto| allow.ports.iter().filter(|d| d.proto == proto).map(|d| d.port).collect();
    Opening { names: allow.names.clone(), tcp: ports(Proto::Tcp), udp: ports(Proto::Udp) }
}

/// The gateway gets its resolver and no IPv6; nodes whose default route it is ask it for names.
pub(super) fn furnish(spec: &mut ContainerSpec, scenario: &Scenario, name: &str, exit: &Exit) {
    if name == GATEWAY {
        spec.command = vec![gateway::startup(exit)];
        for key in ["net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"] {
            spec.sysctls.insert(key.into(), "1".into());
        }
        for key in ["net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding"] {
            spec.sysctls.insert(key.into(), "0".into());
        }
        return;
    }
    let gateway = scenario.nodes.iter().find(|n| n.name == name).and_then(|n| n.gateway);
    spec.resolver = gateway.filter(|g| exit.addresses().any(|a| IpAddr::V4(a) == *g));
}

/// Makes the network that the gateway's leg is on. The engine keeps clear of its host's networks; a subnet that the lab uses
/// inside is held until it offers another, then given back.
pub(super) async fn leg(engine: &dyn Engine, identity: &Identity, bridges: &[Bridge]) -> Result<String> {
    let used: Vec<IpNet> = bridges.iter().flat_map(|b| &b.ports).flat_map(|p| &p.addresses).map(IpNet::trunc).collect();
    let clashes = |net: &IpNet| used.iter().any(|u| u.contains(&net.network()) || net.contains(&u.network()));
    let mut clashing = Vec::new();
    let mut found = Err(Error::new(
        Code::DockerFailed,
        "Docker has no subnet for the egress gateway that the lab does not use itself.",
    )
    .hint("Remove networks that are not needed (`docker network ls`), or give the lab other subnets."));
    for offer in 0..OFFERS {
        let name =
            format!("forge-{}-egress{}", identity.run, if offer == 0 { String::new() } else { offer.to_string() });
        match engine.create_network(&name, &identity.labels("egress")).await {
            Ok(network) if network.subnets.iter().any(clashes) => clashing.push(network.id),
            other => {
                found = other.map(|n| n.id).map_err(|e| e.context("the egress gateway's network"));
                break;
            }
        }
    }
    let removed = join_all(clashing.iter().map(|id| engine.remove_network(id))).await;
    let found = found?;
    removed.into_iter().collect::<Result<Vec<()>>>()?;
    Ok(found)
}

impl Live {
    /// The filter's rules for a node: the gateway's, nobody else's.
    pub(super) fn rules(&self, node: &str) -> Result<Option<Vec<serde_json::Value>>> {
        if node != GATEWAY {
            return Ok(None);
        }
        Ok(exit(&self.scenario)?.map(|e| gateway::ruleset(&e)))
    }

    /// What the gateway has dropped so far; None in a lab without one. Also sees to it that its filter is what it must be:
    /// `Code::Internal` when it was not, after it was put right.
    pub async fn dropped(&self) -> Result<Option<Dropped>> {
        let Some(rules) = self.rules(GATEWAY)? else { return Ok(None) };
        let rules = &rules;
        let listing = self
            .at(GATEWAY, |place| async move {
                let listing = self.fabric.filter(&place).await?.unwrap_or_default();
                match gateway::verify(rules, &listing) {
                    Ok(()) => Ok(listing),
                    Err(error) => {
                        self.fabric.fence(&place, rules).await?;
                        Err(error)
                    }
                }
            })
            .await?;
        Ok(Some(told(&gateway::drops(&listing)?, &self.scenario)))
    }
}

const POLL: Duration = Duration::from_secs(2);
/// Told one by one in a turn; and the same again not before so many turns.
const MOST_TOLD: usize = 5;
const AGAIN: u64 = 15;
/// What is remembered of what was told; more is forgotten, and told again.
const REMEMBERED: usize = 2000;
/// A turn's part of the resolver's log.
const LOG_LINES: u32 = 600;
const REBIND: &str = "rebind";
const REBIND_WORDS: &str = "an allowed name led to an address that is never open";

/// Tells what is refused, for as long as it is polled. What was refused before the first look was told by somebody else.
pub(super) async fn watch(live: Arc<Live>, witness: Arc<dyn Witness>) {
    if !matches!(live.scenario.egress, Egress::Allowlist { .. }) {
        return;
    }
    let mut told: Option<Told> = None;
    let mut trouble = String::new();
    loop {
        match turn(&live, &mut told).await {
            Ok(news) => {
                trouble.clear();
                news.iter().for_each(|n| witness.refused(live.run(), n));
            }
            // Docker's own absence is told by whoever watches the nodes.
            Err(e) if e.code == Code::Internal && e.message != trouble => {
                trouble.clone_from(&e.message);
                witness.run(live.run(), &format!("{} It was put right.", e.message));
            }
            Err(e) => tracing::debug!(run = live.run(), code = ?e.code, "the egress gateway could not be asked: {e}"),
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn turn(live: &Live, told: &mut Option<Told>) -> Result<Vec<Refused>> {
    let Some(dropped) = live.dropped().await? else { return Ok(Vec::new()) };
    let container = live.container(GATEWAY)?;
    let log = live.engine.logs(&container, LOG_LINES).await?;
    let after = told.as_ref().map_or(0, |t| t.serial);
    let (answers, serial) = gateway::refusals(&log, after);
    let questions = answers.into_iter().map(|r| {
        let (reason, words) =
            if r.rebind { (REBIND, REBIND_WORDS) } else { (Reason::Name.name(), Reason::Name.words()) };
        let node = owner(&live.scenario, r.source.into());
        (Flow { node, target: format!("{} ({})", r.name, r.kind), reason: reason.into() }, words.to_owned(), r.serial)
    });
    let packets = dropped.seen.iter().map(|s| {
        let flow = Flow { node: s.node.clone(), target: s.target.clone(), reason: s.reason.clone() };
        (flow, s.words.to_owned(), s.packets)
    });
    let all: Vec<_> = packets.chain(questions).collect();
    let first = told.is_none();
    let told = told.get_or_insert_default();
    told.serial = serial;
    let news = told.news(all, dropped.total);
    Ok(if first { Vec::new() } else { news })
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flow {
    node: String,
    target: String,
    reason: String,
}

/// What has been told, so that a flood is a few lines.
#[derive(Debug, Default)]
struct Told {
    turn: u64,
    serial: u64,
    /// Count when last looked at, turn when last told.
    flows: BTreeMap<Flow, (u64, u64)>,
}

impl Told {
    /// `(what, its words, a count that grows)` → what to say now.
    fn news(&mut self, all: Vec<(Flow, String, u64)>, total: u64) -> Vec<Refused> {
        self.turn += 1;
        if self.flows.len() > REMEMBERED {
            self.flows.clear();
        }
        let mut fresh = Vec::new();
        for (flow, words, count) in all {
            let due = match self.flows.get(&flow) {
                None => true,
                Some((before, when)) => count > *before && self.turn >= when + AGAIN,
            };
            if due {
                self.flows.insert(flow.clone(), (count, self.turn));
                fresh.push((flow, words));
            }
        }
        let more = fresh.len().saturating_sub(MOST_TOLD);
        fresh.truncate(MOST_TOLD);
        let last = fresh.len().saturating_sub(1);
        let tell = |(index, (flow, words)): (usize, (Flow, String))| Refused {
            node: flow.node,
            target: flow.target,
            reason: flow.reason,
            words,
            total,
            more: if index == last { more } else { 0 },
        };
        fresh.into_iter().enumerate().map(tell).collect()
    }
}

/// The node that has an address; the address itself where none has.
fn owner(scenario: &Scenario, address: IpAddr) -> String {
    let mut ends = scenario.links.iter().flat_map(|l| &l.endpoints);
    let end = ends.find(|e| e.addresses.iter().any(|a| a.addr() == address));
    end.map_or_else(|| address.to_string(), |e| e.node.clone())
}

fn told(drops: &gateway::Drops, scenario: &Scenario) -> Dropped {
    let seen = drops.seen.iter().map(|s| DroppedFlow {
        node: owner(scenario, s.source.into()),
        target: s.target(),
        reason: s.reason.name().into(),
        words: s.reason.words(),
        packets: s.packets,
    });
    Dropped {
        total: drops.total(),
        reasons: drops.reasons.iter().map(|(r, n)| (r.name().to_owned(), *n)).collect(),
        seen: seen.collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn flow(target: &str, count: u64) -> (Flow, String, u64) {
        (Flow { node: "pc".into(), target: target.into(), reason: "port".into() }, "words".into(), count)
    }

    #[test]
    fn a_flood_is_a_few_lines() {
        let mut told = Told::default();
        let many: Vec<_> = (0..40).map(|i| flow(&format!("tcp 9.9.9.9:{i}"), 1)).collect();
        let news = told.news(many.clone(), 40);
        assert_eq!((news.len(), news[4].more, news[0].more, news[0].total), (MOST_TOLD, 35, 0, 40));
        assert!(told.news(many, 40).is_empty(), "once each");
        assert!(told.news(vec![flow("tcp 9.9.9.9:1", 9)], 48).is_empty(), "and the same not at once");
        for _ in 0..AGAIN {
            told.news(vec![], 48);
        }
        assert_eq!(
            told.news(vec![flow("tcp 9.9.9.9:1", 1), flow("tcp 9.9.9.9:2", 5)], 50).len(),
            1,
            "only what goes on"
        );
    }
}
