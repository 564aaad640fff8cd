//! The probe's surroundings: the control world on two ordinary Docker bridges, another lab, and the sacrificial node on the
//! lab's own links. Everything carries the run's labels and the kind `probe`, so that it is found without memory.

use super::aims::{self, Aims, Drawn, Host, STAND_INS, World};
use super::ears::Listener;
use super::table::Ear;
use crate::engine::fabric::wiring::{Bridge, Port, Shape};
use crate::engine::fabric::{Fabric, Place, Wiring};
use crate::engine::outside::{Outside, Reach, Street};
use crate::engine::{ContainerSpec, Engine, ExecSpec, Labels, SeccompProfile, caps, label};
use crate::error::{Code, Error, Result};
use crate::lab::{Identity, Live};
use futures_util::future::{join_all, try_join, try_join_all};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

pub const KIND: &str = "probe";
const EXEC: Duration = Duration::from_secs(15);
/// Ends of the sacrificial node's links, beyond any that a scenario has.
const END: usize = 900;

/// What a probe works with.
pub struct Ground<'a> {
    pub engine: &'a Arc<dyn Engine>,
    pub outside: &'a dyn Outside,
    pub live: &'a Live,
    /// The tools image, by its id.
    pub image: &'a str,
    pub drawn: &'a Drawn,
}

/// Everything up and joined.
pub struct Stage {
    pub host: Host,
    /// Sacrificial node.
    pub prisoner: String,
    /// Its like on an ordinary bridge.
    pub control: String,
    pub ear: String,
    target: String,
    neighbour: String,
    other: String,
    pivot: Ipv4Addr,
    target_address: Ipv4Addr,
}

impl Ground<'_> {
    fn identity(&self) -> &Identity {
        self.live.identity()
    }

    fn labels(&self) -> Labels {
        let Identity { instance, run } = self.identity();
        [(label::INSTANCE, &**instance), (label::RUN, &**run), (label::KIND, KIND)]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into()
    }

    fn name(&self, part: &str) -> String {
        format!("forge-{}-probe-{part}", self.identity().run)
    }

    /// A container of the probe: a node's hardening and the tools image.
    fn spec(&self, part: &str, caps: Vec<String>, seccomp: SeccompProfile) -> ContainerSpec {
        ContainerSpec {
            name: self.name(part),
            image: self.image.to_owned(),
            hostname: part.to_owned(),
            labels: self.labels(),
            command: ["--now", "sleep", "infinity"].map(String::from).into(),
            caps,
            seccomp,
            // IPv6 is there, and an address usable at once.
            sysctls: ["all.disable_ipv6", "default.disable_ipv6", "all.accept_dad", "default.accept_dad"]
                .map(|key| (format!("net.ipv6.conf.{key}"), "0".to_owned()))
                .into(),
            memory_bytes: Some(192 << 20),
            pids: 256,
            nofile: 1024,
            ..ContainerSpec::default()
        }
    }

    async fn inside(&self, strongest: bool, part: &str) -> Result<Place> {
        let caps = if strongest { strongest_caps() } else { few(&["NET_ADMIN", "NET_RAW"]) };
        let container = self.engine.create(&self.spec(part, caps, SeccompProfile::Router)).await?;
        self.engine.start(&container).await?;
        let pid = self.engine.pid(&container).await?;
        Ok(Place { node: format!("probe-{part}"), container, pid })
    }

    async fn outside(&self, spec: ContainerSpec, reach: Reach) -> Result<String> {
        let container = self.outside.create_outside(&spec, &reach).await?;
        self.engine.start(&container).await?;
        Ok(container)
    }

    /// Both Docker networks.
    pub async fn streets(&self) -> Result<(Street, Street)> {
        let ula = |n: u8| {
            let p: Vec<u8> = self.drawn.prefix.bytes().collect();
            let at = |i: usize| p.get(i).copied().unwrap_or(7);
            format!("fd{:02x}:{:02x}{:02x}:{:02x}{:02x}:{n}::/64", at(0), at(1), at(2), at(3), at(4))
        };
        let (one, two) = (ula(1), ula(2));
        let (name_one, name_two, labels) = (self.name("street"), self.name("other-street"), self.labels());
        try_join(self.outside.open_street(&name_one, &labels, &one), self.outside.open_street(&name_two, &labels, &two))
            .await
    }

    /// All containers, started and joined.
    pub async fn people(&self, street: &Street, other: &Street) -> Result<Stage> {
        let gateway = gateway_of(street)?;
        let few_caps = || few(&["NET_ADMIN", "NET_RAW"]);
        let ear = self.outside(self.spec("ear", few(&["NET_RAW"]), SeccompProfile::Node), Reach::Host);
        let target = async {
            let mut spec = self.spec("target", few_caps(), SeccompProfile::Control);
            spec.volumes = vec!["/srv/control".into()];
            let reach = Reach::Streets {
                streets: vec![street.id.clone()],
                published: Some((gateway, self.drawn.published)),
                resolver: None,
                volumes_of: None,
            };
            let target = self.outside(spec, reach).await?;
            let holds = STAND_INS.map(|a| format!("ip addr add {a}/32 dev lo")).join(" && ");
            self.demand(&target, &["sh", "-c", &holds]).await?;
            let mut spec = self.spec("control", strongest_caps(), SeccompProfile::Control);
            spec.hosts = vec![("host.docker.internal".into(), aims::DESKTOP.to_string())];
            let reach = Reach::Streets {
                streets: vec![street.id.clone()],
                published: None,
                resolver: Some((aims::RESOLVER, "exfil.test".into())),
                volumes_of: Some(target.clone()),
            };
            Ok::<_, Error>((target, self.outside(spec, reach).await?))
        };
        let on = |streets: &[&Street]| Reach::Streets {
            streets: streets.iter().map(|s| s.id.clone()).collect(),
            published: None,
            resolver: None,
            volumes_of: None,
        };
        let neighbour = self.outside(self.spec("neighbour", few_caps(), SeccompProfile::Node), on(&[other]));
        let mut forwarding = self.spec("pivot", few_caps(), SeccompProfile::Node);
        forwarding.sysctls.insert("net.ipv4.ip_forward".into(), "1".into());
        let pivot = self.outside(forwarding, on(&[street, other]));
        let (ear, target, neighbour, pivot, prisoner, other_lab) =
            tokio::join!(ear, target, neighbour, pivot, self.prisoner(), self.other_lab());
        // All have ended by now: Docker is not left alone with a creation that nobody waits for.
        let (ear, (target, control), neighbour, pivot) = (ear?, target?, neighbour?, pivot?);
        let (prisoner, other_lab) = (prisoner?, other_lab?);
        let (street, other) = try_join(self.outside.street(&street.id), self.outside.street(&other.id)).await?;
        let at = |street: &Street, who: &str| {
            street
                .residents
                .get(who)
                .copied()
                .ok_or_else(|| Error::internal("a container has no address on its network"))
        };
        let host = self.host(&ear, &street, gateway_of(&other)?, at(&other, &neighbour)?).await?;
        Ok(Stage {
            host,
            prisoner,
            control,
            ear,
            pivot: at(&street, &pivot)?,
            target_address: at(&street, &target)?,
            target,
            neighbour,
            other: other_lab,
        })
    }

    /// The sacrificial node, with an end on every link of the lab. Its addresses are link-local, so that it can clash with
    /// nobody's, whatever a learner configured.
    async fn prisoner(&self) -> Result<String> {
        let place = self.inside(true, "prisoner").await?;
        let ports: Vec<Port> = self.live.bridges.iter().map(|b| self.port(b.index, END, "prisoner", b.index)).collect();
        let ports: Vec<&Port> = ports.iter().collect();
        self.live.fabric.wire(&place, &Wiring { ports: &ports, ..Wiring::default() }).await?;
        Ok(place.container)
    }

    /// The kernel takes a while to clear a namespace away, and the lab shall be as it was at once.
    pub async fn leave(&self) -> Result<()> {
        let script =
            format!("for p in /sys/class/net/p*.{END}; do [ ! -e $p ] || ip link del ${{p##*/}} || exit 1; done");
        let ran = self.live.fabric.script(None, &script, &[], EXEC).await?;
        if ran.exit == 0 {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
        Err(Error::new(Code::DockerFailed, format!("The sacrificial node did not leave the lab's links: {why}")))
    }

    fn port(&self, link: usize, end: usize, node: &str, number: usize) -> Port {
        let random = self.drawn.vsock.to_be_bytes();
        let low = u8::try_from(number % 250).unwrap_or(0) + 2;
        let address = Ipv4Addr::new(169, 254, random[2].clamp(1, 250), low);
        Port {
            link,
            end,
            node: node.to_owned(),
            interface: format!("eth{number}"),
            mac: format!("02:f0:{:02x}:{:02x}:{:02x}:{low:02x}", random[1], random[2], random[3]),
            mtu: None,
            addresses: vec![ipnet::Ipv4Net::from(address).into()],
            shape: Shape::default(),
            checksum_off: false,
        }
    }

    /// A node of another lab, wired by a fabric of its own, as every lab's are.
    async fn other_lab(&self) -> Result<String> {
        let run = format!("{}-other", self.identity().run);
        let fabric = Fabric::start(self.engine.clone(), &run, self.labels(), self.image);
        let (fabric, place) = try_join(fabric, self.inside(false, "other")).await?;
        let mut port = self.port(0, 0, "other", 0);
        port.addresses = vec![ipnet::Ipv4Net::from(aims::OTHER_LAB).into()];
        let bridge =
            Bridge { index: 0, link: "other".into(), mtu: None, shape: Shape::default(), ports: vec![port.clone()] };
        fabric.lay(&[bridge]).await?;
        fabric.wire(&place, &Wiring { ports: &[&port], ..Wiring::default() }).await?;
        Ok(place.container)
    }

    /// The host's own addresses, as an ear in its network namespace sees them.
    async fn host(&self, ear: &str, street: &Street, other_gateway: Ipv4Addr, neighbour: Ipv4Addr) -> Result<Host> {
        let addresses = self.demand(ear, &["ip", "-j", "addr", "show"]);
        let routes = self.demand(ear, &["ip", "-j", "-4", "route", "show", "default"]);
        let (addresses, routes) = try_join(addresses, routes).await?;
        let links = super::host::links(&addresses)?;
        let way = super::host::default_device(&routes)?;
        super::host::host(&links, way.as_deref(), &street.bridge(), gateway_of(street)?, other_gateway, neighbour)
    }

    async fn demand(&self, container: &str, argv: &[&str]) -> Result<Vec<u8>> {
        let spec = ExecSpec { argv: argv.iter().map(|a| (*a).to_owned()).collect(), ..ExecSpec::default() };
        let out = self.engine.exec(container, &spec, None, EXEC).await?;
        if out.exit == 0 {
            return Ok(out.stdout);
        }
        let why = String::from_utf8_lossy(&out.stderr).trim().to_owned();
        Err(Error::new(Code::DockerFailed, format!("Preparing the isolation probe: {why}")))
    }

    /// Ears everywhere, the lab's own links included. `syns` are the connections that count by their numbers.
    pub async fn ears(&self, stage: &Stage, syns: &[String]) -> Result<Vec<Listener>> {
        let drawn = self.drawn;
        let prefix = format!("prefix {}", drawn.prefix);
        let everywhere = [prefix.clone()];
        let mut at_host = vec![prefix.clone(), format!("abstract {}", aims::abstract_name(drawn))];
        at_host.extend(syns.iter().cloned());
        let vsock = super::table::TECHNIQUES.iter().position(|t| t.id == "vsock").unwrap_or(0);
        let mut at_target = vec![prefix, "router".into(), format!("dns {}", aims::RESOLVER)];
        at_target.extend([80, 443, 53, drawn.published].map(|port| format!("tcp 0.0.0.0 {port}")));
        at_target.push(format!("unix {}", aims::CONTROL_SOCKET));
        at_target.extend(['c', 'l'].map(|w| format!("vsock {} {}", self.vsock(w), super::table::key(w, vsock, 0))));
        let engine = self.engine.as_ref();
        let open: [(&str, Ear, &[String]); 5] = [
            (&stage.ear, Ear::Host, &at_host),
            (&stage.target, Ear::Target, &at_target),
            (&stage.neighbour, Ear::Neighbour, &everywhere),
            (&stage.other, Ear::OtherLab, &everywhere),
            (self.live.fabric.container(), Ear::Lab, &everywhere),
        ];
        try_join_all(open.map(|(container, who, settings)| Listener::open(engine, container, who, settings))).await
    }

    /// Ports of AF_VSOCK are the whole machine's, so each world has its own.
    pub fn vsock(&self, world: char) -> u32 {
        if world == 'l' { self.drawn.vsock + 1 } else { self.drawn.vsock }
    }

    pub fn control_aims(&self, stage: &Stage) -> Aims {
        Aims {
            world: World::Control,
            neighbour: aims::NEIGHBOUR,
            next_hop: stage.target_address,
            pivots: vec![stage.pivot.to_string()],
            vsock: self.vsock('c'),
        }
    }

    /// In the lab: whoever its template put on its links may be the one with a second leg.
    pub fn lab_aims(&self, stage: &Stage) -> Aims {
        let pivots = self.live.bridges.iter().flat_map(|bridge| {
            let there = bridge.ports.iter().flat_map(|p| &p.addresses).filter_map(|a| match a {
                ipnet::IpNet::V4(net) => Some(net.addr()),
                ipnet::IpNet::V6(_) => None,
            });
            there.map(|a| format!("{a}@eth{}", bridge.index))
        });
        let pivots = pivots.collect();
        Aims {
            world: World::Lab,
            neighbour: stage.host.neighbour,
            next_hop: stage.host.gateway,
            pivots,
            vsock: self.vsock('l'),
        }
    }
}

fn strongest_caps() -> Vec<String> {
    caps::strongest().into_iter().map(str::to_owned).collect()
}

fn few(caps: &[&str]) -> Vec<String> {
    caps.iter().map(|c| (*c).to_owned()).collect()
}

fn gateway_of(street: &Street) -> Result<Ipv4Addr> {
    street.gateway.ok_or_else(|| {
        Error::new(Code::MachineLacks, "Docker gave a network no IPv4 gateway, so a probe's controls cannot run.")
            .hint("Look at the daemon's default-address-pools.")
    })
}

/// Removes all that a probe of this run, or of any run of this instance, left. Safe to repeat.
pub async fn clear(engine: &dyn Engine, outside: &dyn Outside, instance: &str, run: Option<&str>) -> Result<usize> {
    let mut labels = vec![(label::INSTANCE, instance), (label::KIND, KIND)];
    labels.extend(run.map(|run| (label::RUN, run)));
    let mut removed = 0;
    let mut last = None;
    // More than one look: a creation may have been under way at the first, and a network goes only after its people.
    for pause in [0, 20, 200, 1000] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let (people, streets) = try_join(engine.list(&labels), outside.streets(&labels)).await?;
        if people.is_empty() && streets.is_empty() {
            return Ok(removed);
        }
        let gone = join_all(people.iter().map(|c| engine.remove(&c.id))).await;
        let closed = join_all(streets.iter().map(|s| outside.close_street(&s.id))).await;
        for outcome in gone.into_iter().chain(closed) {
            match outcome {
                Ok(()) => removed += 1,
                Err(error) => last = Some(error),
            }
        }
    }
    let (people, streets) = try_join(engine.list(&labels), outside.streets(&labels)).await?;
    if people.is_empty() && streets.is_empty() {
        return Ok(removed);
    }
    Err(last
        .unwrap_or_else(|| Error::new(Code::DockerFailed, "Docker still lists something of it."))
        .context("removing what an isolation probe made"))
}
