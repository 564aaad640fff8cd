//! Labs that may reach out: which profiles there are, what a run's gateway is told of this machine's network, and what it refused.

use super::{EgressOptions, Forge, now};
use crate::api::{ApproveEgress, Caller, EgressAllow, EgressProfile, EgressState, Level};
use crate::audit::{self, Fact};
use crate::check::evidence::Entry;
use crate::error::{Code, Error, Result};
use crate::lab::{Dropped, Live};
use crate::template::egress::{self, Profile, Profiles};
use crate::template::scenario::{Allow, Egress, Opened, Scenario};
use ipnet::Ipv4Net;
use serde_json::json;
use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Where systemd-resolved and everybody else say whom they ask. The first that names somebody else than this machine counts.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
const ROUTES: &str = "/proc/net/route";
/// As many as a resolver of the C library takes (resolv.conf(5)).
const MOST_RESOLVERS: usize = 3;
/// Wider routes are halves of a default route (tunnels make such), not networks this machine is on.
const WIDEST_NEAR: u8 = 8;
/// A view must not wait for a gateway that does not answer.
const GLANCE: Duration = Duration::from_secs(2);

impl EgressOptions {
    /// `FORGE_RESOLVER`: addresses, separated by commas. `env` looks a variable up.
    ///
    /// # Errors
    /// `InvalidInput` for what is no IPv4 address.
    pub fn from(env: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let text = env("FORGE_RESOLVER").unwrap_or_default().to_string_lossy().into_owned();
        let resolvers = text.split(',').map(str::trim).filter(|a| !a.is_empty()).map(|a| {
            a.parse().map_err(|_| {
                Error::new(Code::InvalidInput, format!("FORGE_RESOLVER names “{a}”, which is no IPv4 address."))
            })
        });
        Ok(Self { resolvers: resolvers.collect::<Result<_>>()?, near: None })
    }
}

impl Forge {
    fn profiles(&self) -> Result<Profiles> {
        Profiles::load(&self.options.home, &self.keys)
    }

    /// For the training gate; a lab that denies needs none.
    pub(super) fn approved_profiles(&self, scenario: &Scenario) -> Result<Vec<String>> {
        match scenario.egress {
            Egress::Deny => Ok(Vec::new()),
            Egress::Allowlist { .. } => Ok(self.profiles()?.usable()),
        }
    }

    pub(super) fn egress_list(&self) -> Result<Vec<EgressProfile>> {
        Ok(self.profiles()?.all().map(|(name, profile)| shown(name, profile)).collect())
    }

    pub(super) async fn egress_approve(&self, caller: &Caller, request: ApproveEgress) -> Result<EgressProfile> {
        let profile = egress::approve(&self.options.home, &self.keys, &request.text)?;
        let data = json!({"profile": profile.name, "digest": profile.digest, "correlation": caller.correlation});
        let fact = Fact { at: now(), run: None, kind: "egress.approved".into(), data };
        self.store.write(move |tx| audit::append(tx, fact).map(drop)).await?;
        let text = format!("Approved the egress profile {}.", profile.name);
        self.emit(caller, None, "log", Level::Info, text, serde_json::Value::Null).await;
        let name = profile.name.clone();
        Ok(shown(&name, &Ok(profile)))
    }

    /// Fills in what a run's gateway lets through, and returns the profiles that the training gate may allow. A profile nobody
    /// knows stays closed: the gate then says so.
    pub(super) fn open_egress(&self, scenario: &mut Scenario) -> Result<Vec<String>> {
        let Egress::Allowlist { profile, opened } = &mut scenario.egress else { return Ok(Vec::new()) };
        let profiles = self.profiles()?;
        match profiles.get(profile) {
            Ok(found) => {
                let resolvers = self.resolvers()?;
                let near = match &self.options.egress.near {
                    Some(near) => near.clone(),
                    None => near_by(&std::fs::read_to_string(ROUTES).unwrap_or_default()),
                };
                *opened = Some(Opened { digest: found.digest.clone(), allow: found.allow.clone(), resolvers, near });
            }
            Err(e) if e.code == Code::NotFound => {}
            Err(e) => return Err(e),
        }
        Ok(profiles.usable())
    }

    /// Whom gateways ask: as chosen, else as this machine does.
    pub(super) fn resolvers(&self) -> Result<Vec<Ipv4Addr>> {
        match self.options.egress.resolvers.as_slice() {
            [] => resolvers(),
            chosen => Ok(chosen.to_vec()),
        }
    }

    /// For the view of a run; a gateway that cannot be asked costs it the numbers, nothing else.
    pub(super) async fn egress_state(&self, run: &str, scenario: &Scenario, alive: bool) -> Option<EgressState> {
        let Egress::Allowlist { profile, opened } = &scenario.egress else { return None };
        let dropped = if alive { self.glance(run).await } else { None };
        Some(EgressState {
            profile: profile.clone(),
            allow: opened.as_ref().map(|o| o.allow.iter().map(allow).collect()).unwrap_or_default(),
            dropped: dropped.as_ref().map(|d| d.total),
            reasons: dropped.map(|d| d.reasons.into_iter().collect()).unwrap_or_default(),
        })
    }

    async fn glance(&self, run: &str) -> Option<Dropped> {
        let asked = async { self.live(run).await?.dropped().await };
        match tokio::time::timeout(GLANCE, asked).await {
            Ok(Ok(dropped)) => dropped,
            Ok(Err(e)) => {
                tracing::warn!(run, code = ?e.code, "the egress gateway could not be asked: {e}");
                None
            }
            Err(_) => {
                tracing::warn!(run, "the egress gateway did not answer in time");
                None
            }
        }
    }

    /// What was open, and what was refused, for the evidence; the rules as applied are in the gateway's own nft.json.
    pub(super) async fn egress_evidence(&self, live: &Live, scenario: &Scenario) -> Result<Option<Entry>> {
        let Egress::Allowlist { profile, opened } = &scenario.egress else { return Ok(None) };
        let dropped = live.dropped().await?;
        let value = json!({
            "profile": profile,
            "digest": opened.as_ref().map(|o| &o.digest),
            "allow": opened.as_ref().map(|o| &o.allow),
            "dropped": dropped,
        });
        Entry::json("egress.json", "egress", &value).map(Some)
    }
}

/// The lab as it leaves this machine: whom the laptop asks for names, and which networks it is on, are no part of it.
pub(super) fn without_laptop(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    if let Egress::Allowlist { opened: Some(opened), .. } = &mut scenario.egress {
        opened.resolvers.clear();
        opened.near.clear();
    }
    scenario
}

fn shown(name: &str, profile: &Result<Profile>) -> EgressProfile {
    match profile {
        Ok(p) => EgressProfile {
            name: p.name.clone(),
            title: p.title.clone(),
            built_in: p.built_in,
            digest: p.digest.clone(),
            allow: p.allow.iter().map(allow).collect(),
            problem: String::new(),
        },
        Err(e) => EgressProfile {
            name: name.to_owned(),
            title: String::new(),
            built_in: false,
            digest: String::new(),
            allow: Vec::new(),
            problem: e.message.clone(),
        },
    }
}

fn allow(a: &Allow) -> EgressAllow {
    EgressAllow { names: a.names.clone(), ports: a.ports.iter().map(|d| String::from(*d)).collect() }
}

fn resolvers() -> Result<Vec<Ipv4Addr>> {
    let found = RESOLVERS.iter().map(|path| named(&std::fs::read_to_string(path).unwrap_or_default()));
    found.into_iter().find(|r| !r.is_empty()).ok_or_else(|| {
        Error::new(Code::MachineLacks, "This lab reaches out, but nothing here says whom to ask for names (by IPv4).")
            .hint("Say it: FORGE_RESOLVER=<address of your network's resolver>, then start the lab again.")
    })
}

/// Name servers of a resolv.conf(5) that are not this machine itself.
fn named(text: &str) -> Vec<Ipv4Addr> {
    let servers =
        text.lines().filter_map(|l| l.trim().strip_prefix("nameserver")).filter_map(|a| a.trim().parse().ok());
    servers.filter(|a: &Ipv4Addr| !a.is_loopback() && !a.is_unspecified()).take(MOST_RESOLVERS).collect()
}

/// The networks of a /proc/net/route: all routes but the default ones.
fn near_by(text: &str) -> Vec<Ipv4Net> {
    let address = |hex: &str| Some(Ipv4Addr::from(u32::from_str_radix(hex, 16).ok()?.swap_bytes()));
    let net = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (to, mask) = (address(fields.get(1)?)?, address(fields.get(7)?)?);
        Ipv4Net::with_netmask(to, mask).ok().filter(|n| n.prefix_len() >= WIDEST_NEAR)
    };
    let all: Vec<Ipv4Net> = text.lines().skip(1).filter_map(net).collect();
    Ipv4Net::aggregate(&all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn resolvers_are_those_of_the_network_not_this_machine() {
        let text = "# comment\nnameserver 127.0.0.53\nnameserver 192.168.1.1\n nameserver  9.9.9.9\nnameserver fe80::1\nsearch lan\n";
        assert_eq!(named(text), ["192.168.1.1", "9.9.9.9"].map(|a| a.parse::<Ipv4Addr>().unwrap()));
        assert!(named("nameserver 127.0.0.1\n").is_empty());
        let chosen = |v: &str| EgressOptions::from(|_| Some(v.into()));
        assert_eq!(chosen("1.2.3.4, 5.6.7.8").unwrap().resolvers.len(), 2);
        assert!(chosen("").unwrap().resolvers.is_empty());
        assert_eq!(chosen("dns.example").unwrap_err().code, Code::InvalidInput);
    }

    #[test]
    fn the_networks_around_this_machine_are_known() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0105148D\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth0\t0005148D\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            tun0\t00000080\t0105148D\t0003\t0\t0\t0\t00000080\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        let near: Vec<String> = near_by(text).iter().map(ToString::to_string).collect();
        assert_eq!(near, ["141.20.5.0/24", "172.17.0.0/16"], "no default route, nor half of one");
        assert!(near_by("").is_empty() && near_by("x\ny z\n").is_empty());
    }
}
