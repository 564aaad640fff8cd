//! The fabric: one container per run, network none, host PID namespace, from our tool image. It owns every bridge and
//! port of the run, looks at nodes from outside, and is the only thing that ever enters their network namespaces.
//! Nothing a learner can influence runs in it.
//!
//! What it refuses to hold: the scenario, the store, and any truth that a restart of ours would lose. All state lies
//! in the kernel (bridges, ports, namespaces) and in the container (which link is cut).

pub mod channel;
mod files;
mod hosts;
mod memory;
pub mod wiring;

use crate::engine::{ContainerSpec, Engine, ExecSpec, ExecStream, Labels, SeccompProfile, gateway};
use crate::error::{Code, Error, Result};
use channel::{Answer, Channel, Request, Status};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use wiring::{Bridge, Port};

pub use hosts::UnseenHost;

/// What a run's fabric may take of the machine beside its nodes.
pub const MEMORY_MB: u64 = 128;
pub const PIDS: u64 = 1024;
const SAMPLER: &str = include_str!("sampler.pl");
const RELAY: &str = include_str!("relay.pl");
/// What one look may print on each stream.
pub const OUTPUT_CAP: usize = 1 << 20;
/// How long setting up or reading a packet filter may take.
const FILTER: Duration = Duration::from_secs(10);
/// Handles passed to a script start here: `/proc/self/fd/500` (see `broker.pl`).
const FIRST_HANDLE: usize = 500;

/// A running node as the fabric addresses it. The container id guards against a reused pid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub node: String,
    pub container: String,
    /// Of the node's init, in the host's PID namespace.
    pub pid: u32,
}

impl Place {
    fn target(&self) -> String {
        format!("{}:{}", self.pid, self.container)
    }
}

/// What must hold before a node counts as ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Its startup text has ended well.
    Started,
    Tcp(u16),
    Udp(u16),
    Path(String),
}

/// How a node is wired.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wiring<'a> {
    pub ports: &'a [&'a Port],
    pub gateway: Option<IpAddr>,
    /// After a restart: what is left of the old ports goes first.
    pub again: bool,
    /// `(user:group, path)` as the node's image knows them, set before its startup runs.
    pub owners: &'a [(String, String)],
}

/// What a namespace really holds; see [`Fabric::survey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// Empty for the fabric itself.
    pub node: String,
    pub inode: String,
    pub devices: Vec<String>,
    /// `device/gateway`; IPv6 gateways as 32 hex digits.
    pub default_routes: Vec<String>,
}

/// A script's outcome: it ran, whatever its exit was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    pub exit: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub truncated: bool,
}

pub struct Fabric {
    engine: Arc<dyn Engine>,
    container: String,
    channel: Mutex<Option<Arc<Channel>>>,
    netem: OnceCell<bool>,
}

/// What a fabric runs: a sleep of this length (`infinity`, or seconds) under the name by which the guard knows that labs live.
pub fn command(life: &str) -> Vec<String> {
    ["--now", "perl", "-e", "exec { 'sleep' } 'forge-fabric', $ARGV[0]", life].map(String::from).into()
}

/// The container to create for a run's fabric.
pub fn spec(run: &str, labels: Labels, image: &str) -> ContainerSpec {
    let scratch = |size: &str| format!("rw,nosuid,nodev,noexec,size={size},mode=1777");
    ContainerSpec {
        name: format!("forge-{run}-fabric"),
        image: image.into(),
        hostname: "fabric".into(),
        labels,
        command: command("infinity"),
        env: vec![("TINI_SUBREAPER".into(), "1".into())],
        // NET_RAW to capture and ping, DAC_OVERRIDE to read a node's files and talk to its daemons' sockets whoever owns them.
        // CHOWN to hand a template's files to the users it names, SETUID and SETGID so that tcpdump can give root up.
        caps: "NET_ADMIN NET_RAW SYS_ADMIN SYS_PTRACE DAC_OVERRIDE CHOWN SETUID SETGID"
            .split(' ')
            .map(String::from)
            .collect(),
        seccomp: SeccompProfile::Fabric,
        tmpfs: [("/tmp".into(), scratch("64m")), ("/run".into(), scratch("4m"))].into(),
        pids: PIDS as i64,
        nofile: 4096,
        memory_bytes: Some((MEMORY_MB << 20) as i64),
        host_pid: true,
        ..ContainerSpec::default()
    }
}

impl Fabric {
    /// Creates and starts the container of [`spec`] and opens the first channel. What a failure leaves carries the labels.
    pub async fn start(engine: Arc<dyn Engine>, run: &str, labels: Labels, image: &str) -> Result<Self> {
        let container = engine.create(&spec(run, labels, image)).await?;
        engine.start(&container).await?;
        let fabric = Self::adopt(engine, container);
        fabric.channel().await?;
        Ok(fabric)
    }

    /// A fabric that exists already. Nothing is asked of Docker until the first operation.
    pub fn adopt(engine: Arc<dyn Engine>, container: String) -> Self {
        Self { engine, container, channel: Mutex::new(None), netem: OnceCell::new() }
    }

    pub fn engine(&self) -> &dyn Engine {
        self.engine.as_ref()
    }

    pub fn container(&self) -> &str {
        &self.container
    }

    async fn channel(&self) -> Result<Arc<Channel>> {
        let mut slot = self.channel.lock().await;
        if let Some(channel) = slot.as_ref().filter(|c| c.alive()) {
            return Ok(channel.clone());
        }
        let channel = Channel::open(self.engine.as_ref(), &self.container).await.map_err(|error| match error.code {
            Code::NotFound | Code::WrongState | Code::DockerFailed => {
                Error::new(Code::WrongState, format!("The lab's fabric container does not run: {}", error.message))
                    .hint("Stop the run and start it anew; results already submitted are kept.")
            }
            _ => error.context("reaching the lab's fabric"),
        })?;
        let channel = Arc::new(channel);
        *slot = Some(channel.clone());
        Ok(channel)
    }

    /// Sends once; a second time over a new channel when the first one broke and the operation may be repeated.
    async fn call(&self, request: &Request, repeat: bool) -> Result<Answer> {
        let answer = match self.channel().await?.call(request).await {
            // Opening a new one says better what is wrong, if it still is.
            Err(error) if channel::is_lost(&error) => {
                let channel = self.channel().await?;
                if repeat { channel.call(request).await? } else { return Err(error) }
            }
            other => other?,
        };
        match answer.status {
            Status::Done => Ok(answer),
            Status::Timeout => {
                let limit = request.limit.as_millis();
                Err(Error::new(Code::Timeout, format!("It had not ended after {limit} ms, the time it was given.")))
            }
            Status::Gone => Err(node_gone()),
            Status::Failed => Err(Error::internal(text(&answer.stderr)).context("in the lab's fabric")),
        }
    }

    /// Like [`Self::call`] for an operation of our own whose non-zero exit is an error.
    async fn demand(&self, what: &str, request: Request) -> Result<Answer> {
        let answer = self.call(&request, true).await.map_err(|e| e.context(what))?;
        if answer.exit == 0 {
            return Ok(answer);
        }
        Err(Error::new(Code::DockerFailed, format!("{what}: {}", text(&answer.stderr))))
    }

    /// Runs argv with the fabric's programs, in a node's network namespace or in the fabric's own. The environment has
    /// `NODE_PID` (empty without a place) and `WORK`, a private directory that is also the working directory.
    /// `handles` are open namespaces, `/proc/self/fd/500` and on.
    pub async fn run(
        &self,
        place: Option<&Place>,
        handles: &[&Place],
        argv: &[&str],
        stdin: &[u8],
        limit: Duration,
    ) -> Result<Ran> {
        let request = Request {
            op: "exec",
            limit,
            cap: OUTPUT_CAP,
            target: place.map(Place::target).unwrap_or_default(),
            handles: handles.iter().map(|p| p.target()).collect(),
            stdin: stdin.to_vec(),
            args: argv.iter().map(|a| a.as_bytes().to_vec()).collect(),
        };
        let answer = self.call(&request, false).await?;
        Ok(Ran { exit: answer.exit, stdout: answer.stdout, stderr: answer.stderr, truncated: answer.truncated })
    }

    pub async fn script(&self, place: Option<&Place>, script: &str, stdin: &[u8], limit: Duration) -> Result<Ran> {
        self.run(place, &[], &["/bin/sh", "-c", script], stdin, limit).await
    }

    /// Whether this kernel has sch_netem; asked once.
    pub async fn has_netem(&self) -> Result<bool> {
        self.netem
            .get_or_try_init(|| async {
                let probe = "tc qdisc replace dev lo root netem limit 1 && tc qdisc del dev lo root";
                Ok(self.script(None, probe, &[], Duration::from_secs(5)).await?.exit == 0)
            })
            .await
            .copied()
    }

    /// Sets up all bridges of a run in one round trip (two with loss that only nft can make).
    /// `Code::MachineLacks` when an impairment cannot be made on this kernel.
    pub async fn lay(&self, bridges: &[Bridge]) -> Result<()> {
        if bridges.is_empty() {
            return Ok(());
        }
        let netem = self.netem_for(bridges.iter().map(|b| &b.shape)).await?;
        let losses: Vec<(String, f64)> = bridges
            .iter()
            .filter(|b| b.shape.needs_nft(netem))
            .flat_map(|b| b.ports.iter().map(|p| (p.name(), b.shape.loss_percent.unwrap_or(0.0))))
            .collect();
        let request = Request {
            op: "exec",
            limit: Duration::from_secs(20),
            cap: OUTPUT_CAP,
            stdin: wiring::bridges(bridges).into(),
            args: ["ip", "-batch", "-"].map(Into::into).into(),
            ..Request::default()
        };
        let answer = self.call(&request, false).await?;
        if answer.exit != 0 {
            return Err(Error::new(Code::MachineLacks, format!("A link cannot be set up: {}", text(&answer.stderr)))
                .hint("The kernel needs the modules veth and bridge; `forge doctor` tests both."));
        }
        if !losses.is_empty() {
            let rules = wiring::loss_rules(&losses);
            let ran = self.run(None, &[], &["nft", "-f", "-"], rules.as_bytes(), Duration::from_secs(10)).await?;
            if ran.exit != 0 {
                return Err(lacks_netem("packet loss (neither sch_netem nor nft in the bridge family)"));
            }
        }
        Ok(())
    }

    async fn netem_for(&self, shapes: impl Iterator<Item = &wiring::Shape>) -> Result<bool> {
        let shapes: Vec<_> = shapes.filter(|s| **s != wiring::Shape::default()).collect();
        if shapes.is_empty() {
            return Ok(false);
        }
        let netem = self.has_netem().await?;
        if !netem && shapes.iter().any(|s| s.needs_netem()) {
            return Err(lacks_netem("delay (the kernel module sch_netem)"));
        }
        Ok(netem)
    }

    /// Wires a node: ports, interfaces, addresses, default route, and the mark its init waits for. Once per
    /// start of the node, whoever asks and however often: false when somebody had done it already.
    pub async fn wire(&self, place: &Place, wiring: &Wiring<'_>) -> Result<bool> {
        let Wiring { ports, gateway, again, owners } = *wiring;
        let netem = self.netem_for(ports.iter().map(|p| &p.shape)).await?;
        let shape = ports.iter().fold(String::new(), |all, p| all + &p.shape.tc(&p.name(), netem));
        let offload: Vec<_> = ports.iter().filter(|p| p.checksum_off).map(|p| p.interface.as_str()).collect();
        let args = [
            place.node.clone(),
            if again { wiring::leftovers(ports) } else { String::new() },
            wiring::outside(ports, &format!("/proc/self/fd/{FIRST_HANDLE}")),
            shape,
            wiring::inside(ports, gateway),
            offload.join(","),
            owners.iter().map(|(owner, path)| format!("{owner} {path}")).collect::<Vec<_>>().join("\n"),
        ];
        let request = Request {
            op: "wire",
            limit: Duration::from_secs(20),
            cap: OUTPUT_CAP,
            target: place.target(),
            args: args.into_iter().map(String::into_bytes).collect(),
            ..Request::default()
        };
        let answer = self.demand(&format!("wiring {}", place.node), request).await?;
        Ok(answer.stdout == b"wired")
    }

    /// Puts the egress gateway's packet filter in place, from outside, and asks the kernel whether it is. Nothing changes where
    /// it is already: its sets and counts stay. True when it had to be (re)made.
    pub async fn fence(&self, place: &Place, rules: &[serde_json::Value]) -> Result<bool> {
        let held = self.filter(place).await?;
        if held.is_some_and(|listing| gateway::verify(rules, &listing).is_ok()) {
            return Ok(false);
        }
        // One transaction: there is no moment without rules.
        let table = serde_json::json!({"family": "inet", "name": gateway::TABLE});
        let fresh = [serde_json::json!({"add": {"table": table}}), serde_json::json!({"delete": {"table": table}})];
        let adds = rules.iter().map(|object| serde_json::json!({"add": object}));
        let batch = serde_json::json!({"nftables": fresh.into_iter().chain(adds).collect::<Vec<_>>()}).to_string();
        let ran = self.run(Some(place), &[], &["nft", "-j", "-f", "-"], batch.as_bytes(), FILTER).await?;
        if ran.exit != 0 {
            let said = text(if ran.stderr.is_empty() { &ran.stdout } else { &ran.stderr });
            return Err(Error::new(
                Code::MachineLacks,
                format!("The egress gateway's packet filter cannot be set up on this kernel: {said}"),
            )
            .hint("It needs nftables with named counters, timed sets and NAT; `forge doctor` tests that."));
        }
        let listing = self.filter(place).await?.unwrap_or_default();
        gateway::verify(rules, &listing)?;
        Ok(true)
    }

    /// The packet filter as the kernel lists it; None when there is none.
    pub async fn filter(&self, place: &Place) -> Result<Option<Vec<u8>>> {
        let argv = ["nft", "-j", "list", "table", "inet", gateway::TABLE];
        let ran = self.run(Some(place), &[], &argv, &[], FILTER).await?;
        Ok(if ran.exit == 0 && !ran.truncated { Some(ran.stdout) } else { None })
    }

    /// Takes a link's ports down (carrier is lost in the nodes, who cannot undo it) or up again. Survives node restarts.
    pub async fn cut(&self, bridge: &Bridge, down: bool) -> Result<()> {
        let (index, state) = (bridge.index, if down { "down" } else { "up" });
        let mark = if down { "touch" } else { "rm -f" };
        let mut script = format!("{mark} /tmp/forge-cut-{index}\n");
        for port in &bridge.ports {
            // A port may be missing while its node restarts; wiring will heed the mark.
            let _ = writeln!(script, "[ ! -e /sys/class/net/{0} ] || ip link set {0} {state} || exit 1", port.name());
        }
        let ran = self.script(None, &script, &[], Duration::from_secs(10)).await?;
        match ran.exit {
            0 => Ok(()),
            _ => Err(Error::new(Code::DockerFailed, format!("link {}: {}", bridge.link, text(&ran.stderr)))),
        }
    }

    /// Waits until all conditions hold. `Code::Timeout` names those that do not; `Code::WrongState` with
    /// `details.node` when a node has ended or its startup failed.
    pub async fn wait(&self, conditions: &[(&Place, Condition)], limit: Duration) -> Result<()> {
        let mut lines = String::new();
        for (place, condition) in conditions {
            let (kind, argument) = match condition {
                Condition::Started => ("started", String::new()),
                Condition::Tcp(port) => ("tcp", port.to_string()),
                Condition::Udp(port) => ("udp", port.to_string()),
                Condition::Path(path) => ("path", path.replace('\n', "")),
            };
            let _ = writeln!(lines, "{} {} {} {kind} {argument}", place.node, place.pid, place.container);
        }
        let request = Request {
            op: "await",
            limit: limit + Duration::from_secs(2),
            cap: OUTPUT_CAP,
            stdin: lines.into(),
            args: vec![limit.as_millis().to_string().into()],
            ..Request::default()
        };
        let answer = self.call(&request, true).await?;
        if answer.exit == 0 {
            return Ok(());
        }
        let said = text(&answer.stderr);
        let (node, what) = said.split_once('\t').unwrap_or(("", &said));
        if answer.exit == 8 {
            let missing =
                said.lines().map(|l| l.trim_end().replacen('\t', " waits for ", 1)).collect::<Vec<_>>().join("; ");
            let seconds = limit.as_secs();
            return Err(Error::new(Code::Timeout, format!("After {seconds} s: {missing}."))
                .details(serde_json::json!({ "waiting": missing })));
        }
        Err(Error::new(Code::WrongState, format!("Node {node} is not ready: {what}."))
            .details(serde_json::json!({ "node": node })))
    }

    /// Devices and default routes of every place, and of the fabric itself (last, with an empty name).
    pub async fn survey(&self, places: &[&Place]) -> Result<Vec<Surveyed>> {
        let mut lines = String::new();
        for place in places {
            let _ = writeln!(lines, "{} {} {}", place.node, place.pid, place.container);
        }
        let request = Request {
            op: "survey",
            limit: Duration::from_secs(10),
            cap: OUTPUT_CAP,
            stdin: lines.into(),
            ..Request::default()
        };
        let answer = self.demand("looking at the lab's network namespaces", request).await?;
        let list = |field: &str| field.split(',').filter(|s| !s.is_empty()).map(String::from).collect();
        String::from_utf8_lossy(&answer.stdout)
            .lines()
            .map(|line| {
                let mut fields = line.split('\t');
                let mut next = || fields.next().ok_or_else(|| Error::internal("a survey line was cut short"));
                let (node, inode) = (next()?.to_string(), next()?.to_string());
                Ok(Surveyed { node, inode, devices: list(next()?), default_routes: list(next()?) })
            })
            .collect()
    }

    /// Waits until the guard in this container says that its rule is in the host's packet filter (`lab/guard.rs`).
    /// `Code::MachineLacks` when the kernel does not take it, `Code::WrongState` while it does not hold.
    pub async fn guarded(&self, container: &str, limit: Duration) -> Result<()> {
        let request = Request {
            op: "guard",
            limit: limit + Duration::from_secs(2),
            cap: OUTPUT_CAP,
            args: [limit.as_millis().to_string().into_bytes(), container.into()].into(),
            ..Request::default()
        };
        let answer = self.call(&request, true).await?;
        let said = text(&answer.stderr);
        match answer.exit {
            0 => Ok(()),
            9 => Err(Error::new(
                Code::MachineLacks,
                format!("This kernel cannot keep its own answers out of a lab's reach: {said}"),
            )
            .hint("It needs nftables whose tables have an owner (Linux 5.12 or newer). Labs do not start without.")),
            _ => Err(Error::new(Code::WrongState, format!("The guard does not hold: {said}."))),
        }
    }

    /// A process that prints counters once a second; see `sampler.pl` for its lines and its input.
    pub async fn sampler(&self) -> Result<ExecStream> {
        self.attach(vec!["perl".into(), "-e".into(), SAMPLER.into()]).await
    }

    /// A byte stream to a TCP port of a node, on whichever of its addresses something listens; see `relay.pl`.
    pub async fn relay(&self, place: &Place, port: u16) -> Result<ExecStream> {
        let argv = ["perl", "-e", RELAY, "--", &place.pid.to_string(), &place.container, &port.to_string()];
        self.attach(argv.map(String::from).into()).await
    }

    async fn attach(&self, argv: Vec<String>) -> Result<ExecStream> {
        self.engine.attach(&self.container, &ExecSpec { argv, stdin: true, ..ExecSpec::default() }).await
    }
}

fn node_gone() -> Error {
    Error::new(Code::WrongState, "The node does not run, or has just been restarted.")
        .hint("Try again once the node is back; the event log says when.")
}

fn lacks_netem(what: &str) -> Error {
    Error::new(
        Code::MachineLacks,
        format!("This lab impairs a link in a way this machine's kernel cannot: it lacks {what}."),
    )
    .hint("Docker Desktop and the kernels of most distributions have it; `forge doctor` shows what is missing here.")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_string()
}
