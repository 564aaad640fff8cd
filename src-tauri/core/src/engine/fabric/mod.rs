//! The fabric: one container per run, network none, host PID namespace, from our tool image. It owns every bridge and
//! port of the run, looks at nodes from outside, and is the only thing that ever enters their network namespaces.
//! Nothing a learner can influence runs in it.
//!
//! What it refuses to hold: the scenario, the store, and any truth that a restart of ours would lose. All state lies
//! in the kernel (bridges, ports, namespaces) and in the container (which link is cut).

pub mod channel;
mod files;
mod filter;
mod hosts;
mod links;
mod memory;
pub mod wiring;

use crate::engine::{ContainerSpec, Engine, ExecSpec, ExecStream, Labels, SeccompProfile};
use crate::error::{Code, Error, Result};
use channel::{Answer, Channel, Request, Status};
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use wiring::Port;

pub use hosts::UnseenHost;

/// What a run's fabric may take of the machine beside its nodes.
pub const MEMORY_MB: u64 = 128;
pub const PIDS: u64 = 1024;
const SAMPLER: &str = include_str!("sampler.pl");
const RELAY: &str = include_str!("relay.pl");
/// What one look may print on each stream.
pub const OUTPUT_CAP: usize = 1 << 20;
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

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_string()
}
