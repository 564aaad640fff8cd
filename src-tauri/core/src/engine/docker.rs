//! Docker through bollard: the one implementation of [`Engine`] that is not a fake. Holds a connection and nothing else.

mod address;
mod create;
mod errors;
mod network;
mod outside;
mod stream;

use super::{
    Container, ContainerSpec, ContainerState, End, Engine, EngineEvent, EngineInfo, ExecOutput, ExecSpec, ExecStream,
    Labels, Network,
};
use crate::error::{Code, Error, Result};
use address::Address;
use async_trait::async_trait;
use bollard::models::{ContainerStateStatusEnum, ContainerSummaryStateEnum as DockerState, ExecConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, EventsOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    LogsOptionsBuilder, PruneContainersOptionsBuilder, RemoveContainerOptionsBuilder, ResizeExecOptionsBuilder,
    RestartContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
pub(crate) use errors::{CALL, bounded, from_docker};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::OnceCell;

/// What an [`Engine::exec`] may print, both streams together, before it is refused.
const EXEC_OUTPUT: usize = 16 << 20;
/// How long the daemon may take to answer at all.
const CONNECT: Duration = Duration::from_secs(5);
const UPLOAD: Duration = Duration::from_secs(120);

/// Cheap to make: the daemon is asked at the first call, so that an app opens without one.
pub struct Docker {
    address: Address,
    client: OnceCell<bollard::Docker>,
}

impl Docker {
    /// The daemon that `DOCKER_HOST` names, else the machine's own.
    pub fn from_env() -> Result<Self> {
        match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.trim().is_empty() => Self::at(&host),
            _ => Ok(Self { address: Address::usual(), client: OnceCell::new() }),
        }
    }

    /// A daemon by its address, as `DOCKER_HOST` spells it.
    pub fn at(host: &str) -> Result<Self> {
        Ok(Self { address: Address::parse(host)?, client: OnceCell::new() })
    }

    /// Connected, and at a version of the API that both sides speak.
    pub(crate) async fn client(&self) -> Result<&bollard::Docker> {
        self.client
            .get_or_try_init(|| async {
                let connecting =
                    async { bollard::Docker::connect_with_host(&self.address.url())?.negotiate_version().await };
                bounded("Connecting to Docker", CONNECT, connecting).await.map_err(|e| match e.code {
                    Code::Timeout => errors::unavailable(e.message),
                    _ => e,
                })
            })
            .await
    }

    fn api(client: &bollard::Docker) -> String {
        let version = client.client_version();
        format!("{}.{}", version.major_version, version.minor_version)
    }

    async fn create_exec(&self, id: &str, spec: &ExecSpec, stdin: bool) -> Result<String> {
        let mut env: Vec<String> = spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if spec.tty.is_some() && !spec.env.iter().any(|(key, _)| key == "TERM") {
            env.push("TERM=xterm-256color".to_owned());
        }
        let config = ExecConfig {
            attach_stdin: Some(stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(spec.tty.is_some()),
            env: Some(env),
            cmd: Some(spec.argv.clone()),
            privileged: Some(false),
            user: spec.user.clone(),
            working_dir: spec.workdir.clone(),
            ..Default::default()
        };
        let client = self.client().await?;
        Ok(bounded("Preparing a program in a node", CALL, client.create_exec(id, config)).await?.id)
    }

    async fn open_exec(&self, exec: &str, tty: Option<(u16, u16)>) -> Result<stream::Raw> {
        let client = self.client().await?;
        let body = match tty {
            // Engines before API 1.42 ignore ConsoleSize; `attach` resizes for them.
            Some((cols, rows)) => serde_json::json!({"Detach": false, "Tty": true, "ConsoleSize": [rows, cols]}),
            None => serde_json::json!({"Detach": false, "Tty": false}),
        };
        stream::start_exec(&self.address, &Self::api(client), exec, &body.to_string(), CALL)
            .await
            .map_err(|e| e.context("Starting a program in a node"))
    }

    /// The size a terminal starts with, for engines before API 1.42. Their exec may not be up yet when its stream is.
    async fn first_size(&self, exec: &str, cols: u16, rows: u16) -> Result<()> {
        let version = self.client().await?.client_version();
        if (version.major_version, version.minor_version) >= (1, 42) {
            return Ok(());
        }
        let mut last = Ok(());
        for _ in 0..20 {
            last = self.resize(exec, cols, rows).await;
            if last.is_ok() || self.exec_exit(exec).await?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        last
    }

    /// An exec whose output has ended is over a moment later; Docker says the status only then.
    async fn wait_exit(&self, exec: &str) -> Result<i64> {
        for pause in [0, 2, 5, 10, 20, 50, 100, 200, 500, 1000] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            if let Some(status) = self.exec_exit(exec).await? {
                return Ok(status);
            }
        }
        Err(Error::new(Code::Timeout, "A program in a node closed its output but did not end."))
    }
}

fn label_filter(labels: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    if labels.is_empty() {
        return HashMap::new();
    }
    HashMap::from([("label".to_owned(), labels.iter().map(|(key, value)| format!("{key}={value}")).collect())])
}

fn state(docker: Option<DockerState>) -> ContainerState {
    match docker {
        Some(DockerState::RUNNING | DockerState::RESTARTING) => ContainerState::Running,
        Some(DockerState::PAUSED) => ContainerState::Paused,
        Some(DockerState::CREATED) => ContainerState::Created,
        Some(DockerState::EXITED) => ContainerState::Exited,
        _ => ContainerState::Dead,
    }
}

#[async_trait]
impl Engine for Docker {
    async fn info(&self) -> Result<EngineInfo> {
        let client = self.client().await?;
        let info = bounded("Asking Docker about itself", CALL, client.info()).await?;
        Ok(EngineInfo {
            version: info.server_version.unwrap_or_default(),
            api: Self::api(client),
            os: info.operating_system.unwrap_or_default(),
            arch: info.architecture.unwrap_or_default(),
            kernel: info.kernel_version.unwrap_or_default(),
            cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
            memory_bytes: info.mem_total.and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            storage_driver: info.driver.unwrap_or_default(),
            cgroup_version: info.cgroup_version.map(|v| v.to_string()).unwrap_or_default(),
            security: info.security_options.unwrap_or_default(),
            root_dir: info.docker_root_dir.unwrap_or_default(),
        })
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<String> {
        let client = self.client().await?;
        let options = CreateContainerOptionsBuilder::new().name(&spec.name).build();
        let made = bounded("Creating a container", CALL, client.create_container(Some(options), create::body(spec)));
        Ok(made.await.map_err(|e| e.details(serde_json::json!({"container": spec.name})))?.id)
    }

    async fn put_tar(&self, id: &str, path: &str, tar: Bytes) -> Result<()> {
        let client = self.client().await?;
        let options = UploadToContainerOptionsBuilder::new().path(path).no_overwrite_dir_non_dir("true").build();
        let upload = client.upload_to_container(id, Some(options), bollard::body_full(tar));
        bounded("Placing files in a container", UPLOAD, upload).await
    }

    async fn start(&self, id: &str) -> Result<()> {
        let client = self.client().await?;
        bounded("Starting a container", CALL, client.start_container(id, None)).await
    }

    async fn pid(&self, id: &str) -> Result<u32> {
        let client = self.client().await?;
        let inspect = bounded("Inspecting a container", CALL, client.inspect_container(id, None)).await?;
        inspect
            .state
            .and_then(|s| s.pid)
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0)
            .ok_or_else(|| Error::new(Code::WrongState, format!("Container {id} does not run.")))
    }

    async fn end_of(&self, id: &str) -> Result<Option<End>> {
        let client = self.client().await?;
        let state = bounded("Inspecting a container", CALL, client.inspect_container(id, None)).await?.state;
        let ended = state
            .filter(|s| matches!(s.status, Some(ContainerStateStatusEnum::EXITED | ContainerStateStatusEnum::DEAD)));
        Ok(ended.map(|s| End {
            status: s.exit_code.unwrap_or_default(),
            at: s.finished_at.and_then(|at| at.parse::<jiff::Timestamp>().ok()).map_or(0, |at| at.as_millisecond()),
            starved: s.oom_killed.unwrap_or(false),
        }))
    }

    async fn pause(&self, id: &str) -> Result<()> {
        let client = self.client().await?;
        bounded("Pausing a container", CALL, client.pause_container(id)).await
    }

    async fn unpause(&self, id: &str) -> Result<()> {
        let client = self.client().await?;
        bounded("Resuming a container", CALL, client.unpause_container(id)).await
    }

    async fn restart(&self, id: &str) -> Result<()> {
        let client = self.client().await?;
        let at_once = RestartContainerOptionsBuilder::new().t(0).build();
        bounded("Restarting a container", CALL, client.restart_container(id, Some(at_once))).await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        let client = self.client().await?;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match bounded("Removing a container", CALL, client.remove_container(id, Some(options))).await {
            Err(e) if e.code == Code::NotFound => Ok(()),
            // Another removal of the same container is under way and will do it.
            Err(e) if e.code == Code::WrongState && e.message.contains("already in progress") => Ok(()),
            other => other,
        }
    }

    async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<Container>> {
        let client = self.client().await?;
        let options = ListContainersOptionsBuilder::new().all(true).filters(&label_filter(labels)).build();
        let found = bounded("Listing containers", CALL, client.list_containers(Some(options))).await?;
        Ok(found
            .into_iter()
            .map(|c| Container {
                id: c.id.unwrap_or_default(),
                name: c
                    .names
                    .and_then(|n| n.into_iter().next())
                    .map(|n| n.trim_start_matches('/').to_owned())
                    .unwrap_or_default(),
                labels: c.labels.unwrap_or_default().into_iter().collect(),
                state: state(c.state),
            })
            .collect())
    }

    async fn prune(&self, labels: &[(&str, &str)], age: Duration) -> Result<()> {
        let client = self.client().await?;
        let mut filters = label_filter(labels);
        filters.insert("until".to_owned(), vec![format!("{}s", age.as_secs())]);
        let options = PruneContainersOptionsBuilder::new().filters(&filters).build();
        bounded("Removing old containers", CALL, client.prune_containers(Some(options))).await.map(drop)
    }

    /// Output beyond 16 MiB is `Code::TooLarge`. After a time-out or that, the program loses its output, but Docker has no
    /// way to end it: bound it by its own means (`timeout 5 …`) where that matters.
    async fn exec(&self, id: &str, spec: &ExecSpec, stdin: Option<Bytes>, limit: Duration) -> Result<ExecOutput> {
        let work = async {
            let exec = self.create_exec(id, spec, stdin.is_some()).await?;
            let (mut input, mut output) = self.open_exec(&exec, spec.tty).await?.open(spec.tty.is_some());
            let feed = async {
                if let Some(bytes) = stdin {
                    // A program may end without reading its input: that shows in its status, not here.
                    if let Err(e) = input.write_all(&bytes).await {
                        tracing::debug!(error = %e, "a program did not read its input to the end");
                    }
                    if let Err(e) = input.shutdown().await {
                        tracing::debug!(error = %e, "the input of a program was closed already");
                    }
                }
                Ok::<_, Error>(input)
            };
            let collect = async {
                let mut out = ExecOutput::default();
                while let Some((stream, bytes)) = output.try_next().await? {
                    if out.stdout.len() + out.stderr.len() + bytes.len() > EXEC_OUTPUT {
                        return Err(Error::new(Code::TooLarge, "A program in a node printed more than it may.")
                            .details(serde_json::json!({"limit": EXEC_OUTPUT})));
                    }
                    if stream == 2 {
                        out.stderr.extend_from_slice(&bytes)
                    } else {
                        out.stdout.extend_from_slice(&bytes)
                    }
                }
                Ok(out)
            };
            // The output's end or failure settles it; unread input must not hold it up.
            let mut out = tokio::select! {
                biased;
                out = collect => out?,
                never = async { let _held = feed.await; std::future::pending::<Result<ExecOutput>>().await } => never?,
            };
            out.exit = self.wait_exit(&exec).await?;
            Ok(out)
        };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result,
            Err(_) => Err(Error::new(
                Code::Timeout,
                format!(
                    "'{}' did not end within {} s.",
                    spec.argv.first().map_or("", String::as_str),
                    limit.as_secs_f32()
                ),
            )),
        }
    }

    async fn attach(&self, id: &str, spec: &ExecSpec) -> Result<ExecStream> {
        let exec = self.create_exec(id, spec, spec.stdin).await?;
        let raw = self.open_exec(&exec, spec.tty).await?;
        if let Some((cols, rows)) = spec.tty {
            self.first_size(&exec, cols, rows).await?;
        }
        let (input, output) = raw.open(spec.tty.is_some());
        Ok(ExecStream { id: exec, input, output })
    }

    async fn resize(&self, exec: &str, cols: u16, rows: u16) -> Result<()> {
        let client = self.client().await?;
        let options = ResizeExecOptionsBuilder::new().h(i32::from(rows)).w(i32::from(cols)).build();
        bounded("Resizing a terminal", CALL, client.resize_exec(exec, options)).await
    }

    async fn exec_exit(&self, exec: &str) -> Result<Option<i64>> {
        let client = self.client().await?;
        let inspect = bounded("Asking for a program's status", CALL, client.inspect_exec(exec)).await?;
        Ok(if inspect.running.unwrap_or(false) { None } else { inspect.exit_code })
    }

    async fn events(&self, labels: &[(&str, &str)]) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        let client = self.client().await?;
        // The stream connects when first polled; naming the daemon's present time closes the gap until then.
        let now = bounded("Asking Docker for its time", CALL, client.info()).await?.system_time.unwrap_or_default();
        let now: jiff::Timestamp = now
            .parse()
            .map_err(|e| Error::new(Code::DockerFailed, format!("Docker's clock '{now}' is not a time: {e}")))?;
        let since = format!("{}.{:09}", now.as_second(), now.subsec_nanosecond());
        let mut filters = label_filter(labels);
        filters.insert("type".to_owned(), vec!["container".to_owned()]);
        let options = EventsOptionsBuilder::new().since(&since).filters(&filters).build();
        let live = client.events(Some(options)).filter_map(|event| async {
            match event {
                Ok(event) => {
                    let actor = event.actor.unwrap_or_default();
                    Some(Ok(EngineEvent {
                        action: event.action?,
                        container: actor.id?,
                        labels: actor.attributes.unwrap_or_default().into_iter().collect::<Labels>(),
                    }))
                }
                Err(e) => Some(Err(from_docker(e))),
            }
        });
        let lost = futures_util::stream::once(async { Err(errors::unavailable("its stream of events ended")) });
        Ok(live.chain(lost).boxed())
    }

    async fn create_network(&self, name: &str, labels: &Labels) -> Result<Network> {
        let client = self.client().await?;
        let request = network::request(name, labels);
        let id = bounded("Making a network", CALL, client.create_network(request)).await?.id;
        let made = bounded("Looking at a network", CALL, client.inspect_network(&id, None)).await?;
        Ok(Network { subnets: network::subnets(made.ipam)?, labels: labels.clone(), id })
    }

    async fn remove_network(&self, id: &str) -> Result<()> {
        let client = self.client().await?;
        match bounded("Removing a network", CALL, client.remove_network(id)).await {
            Err(e) if e.code == Code::NotFound => Ok(()),
            other => other,
        }
    }

    async fn networks(&self, labels: &[(&str, &str)]) -> Result<Vec<Network>> {
        let client = self.client().await?;
        let options = ListNetworksOptionsBuilder::new().filters(&label_filter(labels)).build();
        let found = bounded("Listing networks", CALL, client.list_networks(Some(options))).await?;
        found.into_iter().map(network::found).collect()
    }

    async fn logs(&self, id: &str, lines: u32) -> Result<String> {
        let client = self.client().await?;
        let lines = lines.min(10_000).to_string();
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&lines).build();
        let collected = client.logs(id, Some(options)).try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece.into_bytes());
            Ok(all)
        });
        let bytes = bounded("Reading a container's log", CALL, collected).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
