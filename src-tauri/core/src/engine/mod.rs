//! The only door to Docker: plain data in, plain data out. What it refuses to hold: policy, SQL, templates, and
//! any memory of what it made. Whoever wants to know asks Docker by label.

pub mod caps;
mod docker;
pub mod fabric;
#[cfg(test)]
pub(crate) mod fake;
pub mod gateway;
pub mod images;
pub mod outside;
pub mod seccomp;

pub use docker::Docker;
pub use images::{Images, Shelf};

use crate::error::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::AsyncWrite;

pub type Labels = BTreeMap<String, String>;

/// Labels every object of ours carries, so that cleaning up needs no memory.
pub mod label {
    /// Which installation (data folder) made it.
    pub const INSTANCE: &str = "dev.frostgate.instance";
    pub const RUN: &str = "dev.frostgate.run";
    pub const NODE: &str = "dev.frostgate.node";
    /// `node`, `fabric`, `guard`, `probe`, `bench`, `build`.
    pub const KIND: &str = "dev.frostgate.kind";
    /// Made for a trial of the wiring, which is over within minutes: what is older and does not run is nobody's.
    pub const TRIAL: &str = "dev.frostgate.trial";
}

/// A container to create. Network none, cap-drop ALL, no-new-privileges, read-only root and no host mounts are not
/// fields: there is no way to ask for anything else, but for the one leg of an egress gateway and the guard's look at the host.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    pub hostname: String,
    pub labels: Labels,
    pub command: Vec<String>,
    pub env: Vec<(String, String)>,
    /// Without the `CAP_` prefix.
    pub caps: Vec<String>,
    pub seccomp: SeccompProfile,
    /// Anonymous volumes: survive a restart, die with the container.
    pub volumes: Vec<String>,
    /// path → mount options.
    pub tmpfs: BTreeMap<String, String>,
    pub sysctls: BTreeMap<String, String>,
    /// name → address, for /etc/hosts.
    pub hosts: Vec<(String, String)>,
    pub nano_cpus: Option<i64>,
    pub memory_bytes: Option<i64>,
    /// No file may grow beyond this.
    pub file_bytes: Option<i64>,
    pub pids: i64,
    pub nofile: i64,
    /// Host PID namespace; for the fabric and the guard alone.
    pub host_pid: bool,
    /// Host network namespace; for the guard alone.
    pub host_net: bool,
    /// Docker removes it as it ends.
    pub fleeting: bool,
    /// Id of the network made for this run; for its egress gateway alone (`eth0` there).
    pub leg: Option<String>,
    /// Whom /etc/resolv.conf names; nobody when absent.
    pub resolver: Option<IpAddr>,
}

/// A Docker network of ours: the outer side of a run's egress gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub id: String,
    pub labels: Labels,
    pub subnets: Vec<IpNet>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeccompProfile {
    #[default]
    Node,
    Router,
    Fabric,
    /// For a probe's controls alone: what a router may do, and AF_VSOCK besides.
    Control,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub name: String,
    pub labels: Labels,
    pub state: ContainerState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    Created,
    Running,
    Paused,
    Exited,
    Dead,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    pub exit: i64,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub struct ExecSpec {
    pub argv: Vec<String>,
    pub env: Vec<(String, String)>,
    pub user: Option<String>,
    pub workdir: Option<String>,
    /// Columns and rows; None = no terminal, stdout and stderr apart.
    pub tty: Option<(u16, u16)>,
    pub stdin: bool,
}

/// How a container's last life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    pub status: i64,
    /// When, in Unix milliseconds; 0 where Docker does not say.
    pub at: i64,
    /// It, or something in it, was ended for want of memory.
    pub starved: bool,
}

/// A live exec. Dropping it detaches; the process in the container goes on until its input ends.
pub struct ExecStream {
    pub id: String,
    pub input: std::pin::Pin<Box<dyn AsyncWrite + Send>>,
    /// `(stream, bytes)`: 1 = stdout (or the terminal), 2 = stderr.
    pub output: BoxStream<'static, Result<(u8, Bytes)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineEvent {
    /// Docker's word: start, die, pause, unpause, destroy, oom, …
    pub action: String,
    pub container: String,
    pub labels: Labels,
}

#[derive(Clone, Debug, Default)]
pub struct EngineInfo {
    pub version: String,
    pub api: String,
    pub os: String,
    pub arch: String,
    pub kernel: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub storage_driver: String,
    pub cgroup_version: String,
    pub security: Vec<String>,
    pub root_dir: String,
}

/// Docker as the rooms above see it. Every call ends: 30 s unless it says otherwise, with `Code::Timeout`.
/// An unreachable daemon is `Code::DockerUnavailable`, a missing object `Code::NotFound`.
#[async_trait]
pub trait Engine: Send + Sync {
    async fn info(&self) -> Result<EngineInfo>;
    async fn create(&self, spec: &ContainerSpec) -> Result<String>;
    /// Unpacks an uncompressed tar at `path` (a volume) of a created container.
    async fn put_tar(&self, id: &str, path: &str, tar: Bytes) -> Result<()>;
    async fn start(&self, id: &str) -> Result<()>;
    /// Pid of the container's init in the host's PID namespace; error when it does not run.
    async fn pid(&self, id: &str) -> Result<u32>;
    /// How a container ended; None while it runs, or when it never did.
    async fn end_of(&self, _id: &str) -> Result<Option<End>> {
        Ok(None)
    }
    async fn pause(&self, id: &str) -> Result<()>;
    async fn unpause(&self, id: &str) -> Result<()>;
    /// Kills and starts again (volumes stay).
    async fn restart(&self, id: &str) -> Result<()>;
    /// Kills if needed and removes, with its anonymous volumes. Removing what is gone is not an error.
    async fn remove(&self, id: &str) -> Result<()>;
    /// All containers, running or not, that carry these labels.
    async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<Container>>;
    /// Removes the containers with these labels that do not run and were created longer ago than `age`.
    async fn prune(&self, _labels: &[(&str, &str)], _age: Duration) -> Result<()> {
        Ok(())
    }
    async fn exec(&self, id: &str, spec: &ExecSpec, stdin: Option<Bytes>, limit: Duration) -> Result<ExecOutput>;
    async fn attach(&self, id: &str, spec: &ExecSpec) -> Result<ExecStream>;
    async fn resize(&self, exec: &str, cols: u16, rows: u16) -> Result<()>;
    /// None while it runs.
    async fn exec_exit(&self, exec: &str) -> Result<Option<i64>>;
    /// Live events for objects with these labels, from now on; ends with an error when the connection is lost.
    async fn events(&self, labels: &[(&str, &str)]) -> Result<BoxStream<'static, Result<EngineEvent>>>;
    /// Last lines a container printed.
    async fn logs(&self, id: &str, lines: u32) -> Result<String>;
    /// A bridge network with IPv4 masquerading and nothing else; the engine picks a subnet that is free on its host.
    async fn create_network(&self, name: &str, _labels: &Labels) -> Result<Network> {
        Err(Error::internal(format!("this engine makes no networks ({name})")))
    }
    /// Removing what is gone is not an error.
    async fn remove_network(&self, _id: &str) -> Result<()> {
        Ok(())
    }
    /// All networks that carry these labels.
    async fn networks(&self, _labels: &[(&str, &str)]) -> Result<Vec<Network>> {
        Ok(Vec::new())
    }
}
