//! What flows: events, telemetry, terminal bytes, forwarded ports. Streams are opened with a resume position and end with
//! what they are about.

use super::acting::Deed;
use super::{Forge, lock};
use crate::api::{
    Caller, Empty, Event, Forward, ForwardPort, Level, OpenTerminal, RunDetail, Telemetry, TerminalFrame, TerminalInfo,
};
use crate::audit::Fact;
use crate::engine::{ExecSpec, ExecStream};
use crate::error::{Code, Error, Result};
use crate::lab::{self, Forwarder};
use crate::shell::{Exec, Shellable};
use crate::spawn::acting::{self, Class};
use crate::terminal::Open;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// A forward with the name it is shown and closed by.
pub(super) struct OpenForward {
    pub id: String,
    pub run: String,
    forwarder: Forwarder,
}

impl OpenForward {
    fn info(&self) -> Forward {
        let (local, port) = (self.forwarder.local().to_string(), self.forwarder.port);
        let web = matches!(port, 80 | 8000 | 8080 | 443 | 8443);
        let scheme = if matches!(port, 443 | 8443) { "https" } else { "http" };
        Forward {
            id: self.id.clone(),
            run: self.run.clone(),
            node: self.forwarder.node.clone(),
            port,
            url: web.then(|| format!("{scheme}://{local}/")),
            local,
            connections: self.forwarder.connections(),
        }
    }
}

/// Ports forwarded at once per run: enough for any lab, few enough to show.
const FORWARDS_PER_RUN: usize = 16;

/// A program run from the command line may take this long to tell its exit code after its output ended.
const EXIT: Duration = Duration::from_secs(5);

#[async_trait]
impl Shellable for Forge {
    fn events(&self, run: Option<String>, since: i64) -> BoxStream<'static, Event> {
        self.events.stream(run.as_deref(), since)
    }

    async fn telemetry(&self, run: &str) -> Result<BoxStream<'static, Telemetry>> {
        self.sampled(run).await
    }

    async fn terminal(&self, id: &str, from: u64) -> Result<BoxStream<'static, TerminalFrame>> {
        self.terminals.stream(id, from)
    }

    async fn terminal_write(&self, id: &str, bytes: Bytes) -> Result<()> {
        self.terminals.write(id, bytes).await
    }

    async fn wait_ready(&self, run: &str, limit: Duration) -> Result<RunDetail> {
        self.ready_within(run, limit).await
    }

    async fn exec(
        &self,
        caller: &Caller,
        run: &str,
        node: &str,
        argv: Vec<String>,
        input: Option<Bytes>,
    ) -> Result<Exec> {
        self.exec_in(caller, run, node, argv, input).await
    }

    async fn shutdown(&self) {
        self.close().await;
    }
}

impl Forge {
    async fn exec_in(
        &self,
        caller: &Caller,
        run: &str,
        node: &str,
        argv: Vec<String>,
        input: Option<Bytes>,
    ) -> Result<Exec> {
        if argv.is_empty() {
            return Err(
                Error::new(Code::InvalidInput, "There is no command to run.").hint("forge exec RUN NODE -- COMMAND …")
            );
        }
        let container = self.enterable(run, node).await?;
        let fact = Fact {
            at: super::now(),
            run: Some(run.to_owned()),
            kind: "exec".into(),
            data: serde_json::json!({"node": node, "program": argv.first(), "correlation": caller.correlation}),
        };
        let command = acting::command_of(&argv, input.as_deref());
        let deed = Deed::new("exec", acting::class_of(&argv)).on(node).running(command);
        let acts = self.by(caller, deed).await?;
        self.may_act(caller, run, acts, Some(fact)).await?;
        let spec = ExecSpec { argv, stdin: input.is_some(), ..ExecSpec::default() };
        let starting = self.starting_programs(run, false).await?;
        let stream = self.engine.attach(&container, &spec).await?;
        drop(starting);
        let (engine, id) = (self.engine.clone(), stream.id.clone());
        let ExecStream { input: mut stdin, output, .. } = stream;
        if let Some(bytes) = input {
            tokio::spawn(async move {
                // A program that does not read its input is free to close it.
                if stdin.write_all(&bytes).await.is_ok() {
                    let _ = stdin.shutdown().await;
                }
            });
        }
        let exit = async move {
            let until = tokio::time::Instant::now() + EXIT;
            loop {
                if let Some(code) = engine.exec_exit(&id).await? {
                    return Ok(code);
                }
                if tokio::time::Instant::now() >= until {
                    return Err(Error::new(Code::Timeout, "Docker did not tell how the program ended."));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        Ok(Exec { output, exit: exit.boxed() })
    }

    /// One sample a second while somebody reads; the last two minutes first.
    ///
    /// # Errors
    /// `WrongState` unless the run is ready.
    async fn sampled(&self, run: &str) -> Result<BoxStream<'static, Telemetry>> {
        self.ready_row(run).await?;
        let stream = self.telemetry.subscribe(run);
        if self.telemetry.claim_sampler(run) {
            let started = async {
                let live = self.live(run).await?;
                lab::telemetry(live, super::now).await
            };
            let mut samples = match started.await {
                Ok(samples) => samples,
                Err(e) => {
                    self.telemetry.release_sampler(run);
                    return Err(e);
                }
            };
            let (forge, run) = (self.arc()?, run.to_owned());
            tokio::spawn(async move {
                while let Some(sample) = samples.next().await {
                    match sample {
                        // Nobody looks any more: the sampler rests, and has given its claim back already.
                        Ok(sample) => {
                            if !forge.telemetry.publish_or_rest(sample) {
                                return;
                            }
                        }
                        Err(e) => {
                            tracing::debug!(run, "telemetry ended: {e}");
                            break;
                        }
                    }
                }
                forge.telemetry.release_sampler(&run);
            });
        }
        Ok(stream)
    }

    /// The container of a node that the learner may enter, of a run that is ready.
    async fn enterable(&self, run: &str, node: &str) -> Result<String> {
        self.ready_row(run).await?;
        let scenario = self.scenario(run).await?;
        let found = self.node_of(&scenario, run, node)?;
        if !found.enter {
            return Err(Error::new(Code::Denied, format!("{node} is not yours to enter in this lab."))
                .hint("It plays a part that the checks rely on."));
        }
        self.live(run).await?.container(node)
    }

    pub(super) async fn terminal_open(&self, caller: &Caller, request: OpenTerminal) -> Result<TerminalInfo> {
        let open = Open {
            container: self.enterable(&request.run, &request.node).await?,
            record: Some(self.run_folder(&request.run).join("terminals")),
            run: request.run.clone(),
            node: request.node.clone(),
            cols: request.cols,
            rows: request.rows,
        };
        // What is typed in it is the learner's own; opening it is one action.
        let acts = self.by(caller, Deed::new("terminal", Class::Execute).on(&request.node)).await?;
        self.may_act(caller, &request.run, acts, None).await?;
        let starting = self.starting_programs(&request.run, false).await?;
        let info = self.terminals.open(&open).await?;
        drop(starting);
        let data = serde_json::json!({"terminal": info.id, "node": info.node});
        let text = format!("Terminal on {}.", info.node);
        self.emit(caller, Some(&request.run), "terminal.opened", Level::Info, text, data).await;
        Ok(info)
    }

    pub(super) async fn forward(&self, caller: &Caller, request: ForwardPort) -> Result<Forward> {
        if request.port == 0 {
            return Err(Error::new(Code::InvalidInput, "A port is a number from 1 to 65535."));
        }
        self.ready_row(&request.run).await?;
        let scenario = self.scenario(&request.run).await?;
        let node = self.node_of(&scenario, &request.run, &request.node)?;
        let open = self.forwards_of(&request.run);
        // A second click gets the forward there is.
        if let Some(same) = open.iter().find(|f| f.node == request.node && f.port == request.port) {
            return Ok(same.clone());
        }
        if open.len() >= FORWARDS_PER_RUN {
            return Err(Error::new(
                Code::TooLarge,
                format!("{FORWARDS_PER_RUN} ports of this run are forwarded already."),
            )
            .hint("Close one first."));
        }
        if !node.enter && !node.ports.contains_key(&request.port) {
            return Err(Error::new(
                Code::Denied,
                format!("Ports of {} are not yours to reach in this lab.", node.name),
            ));
        }
        let deed = Deed::new("forward", Class::Network).on(&request.node).running(format!("port {}", request.port));
        let acts = self.by(caller, deed).await?;
        self.may_act(caller, &request.run, acts, None).await?;
        let live = self.live(&request.run).await?;
        let forwarder = Forwarder::open(live, &request.node, request.port).await?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let opened = OpenForward { id: id.clone(), run: request.run.clone(), forwarder };
        let info = opened.info();
        lock(&self.forwards).insert(id, opened);
        let text = format!("Port {} of {} answers on {}.", info.port, info.node, info.local);
        self.emit(caller, Some(&request.run), "forward.opened", Level::Info, text, serde_json::to_value(&info)?).await;
        Ok(info)
    }

    pub(super) fn forwards_of(&self, run: &str) -> Vec<Forward> {
        let mut open: Vec<Forward> =
            lock(&self.forwards).values().map(OpenForward::info).filter(|f| f.run == run).collect();
        open.sort_by(|a, b| (&a.node, a.port).cmp(&(&b.node, b.port)));
        open
    }

    pub(super) async fn forward_close(&self, caller: &Caller, id: &str) -> Result<Empty> {
        let gone = lock(&self.forwards).remove(id);
        let Some(forwarder) = gone else {
            return Err(Error::new(Code::NotFound, format!("There is no forward “{id}” in this process.")));
        };
        let info = forwarder.info();
        drop(forwarder);
        let text = format!("{} is closed.", info.local);
        self.emit(caller, Some(&info.run), "forward.closed", Level::Info, text, serde_json::json!({"id": id})).await;
        Ok(Empty {})
    }

    pub(super) fn node_of<'a>(
        &self,
        scenario: &'a crate::template::scenario::Scenario,
        run: &str,
        node: &str,
    ) -> Result<&'a crate::template::scenario::Node> {
        scenario.nodes.iter().find(|n| n.name == node).ok_or_else(|| {
            let names: Vec<&str> = scenario.nodes.iter().filter(|n| n.enter).map(|n| n.name.as_str()).collect();
            Error::new(Code::UnknownNode, format!("Run {run} has no node “{node}”."))
                .hint(format!("You can enter {}.", names.join(", ")))
        })
    }
}
