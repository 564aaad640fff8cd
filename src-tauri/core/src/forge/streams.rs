//! What flows: events, telemetry, terminal bytes, forwarded ports. Streams are opened with a resume position and end with
//! what they are about.

use super::{Forge, lock};
use crate::api::{Caller, Empty, Event, Forward, ForwardPort, Level, OpenTerminal, Telemetry, TerminalFrame, TerminalInfo};
use crate::error::{Code, Error, Result};
use crate::lab::forward::Forwarder;
use crate::terminal::Open;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

/// Ports forwarded at once per run: enough for any lab, few enough to show.
const FORWARDS_PER_RUN: usize = 16;

impl Forge {
    /// Persisted events after `since`, then live ones, without a gap. Ends with the engine only.
    pub fn events(&self, run: Option<String>, since: i64) -> BoxStream<'static, Event> {
        self.events.stream(run.as_deref(), since)
    }

    /// One sample a second while somebody reads; the last two minutes first.
    ///
    /// # Errors
    /// `WrongState` unless the run is ready.
    pub async fn telemetry(&self, run: &str) -> Result<BoxStream<'static, Telemetry>> {
        self.ready_row(run).await?;
        let stream = self.telemetry.subscribe(run);
        if self.telemetry.claim_sampler(run) {
            let live = self.live(run).await?;
            let (forge, run) = (self.arc()?, run.to_owned());
            tokio::spawn(async move {
                match live.telemetry().await {
                    Ok(mut samples) => {
                        while let Some(sample) = samples.next().await {
                            match sample {
                                Ok(sample) if forge.telemetry.readers(&run) > 0 => forge.telemetry.publish(sample),
                                // Nobody looks any more: the sampler rests.
                                Ok(_) => break,
                                Err(e) => {
                                    tracing::debug!(run, "telemetry ended: {e}");
                                    break;
                                }
                            }
                        }
                    }
                    Err(e) => tracing::warn!(run, "no telemetry: {e}"),
                }
                forge.telemetry.release_sampler(&run);
            });
        }
        Ok(stream)
    }

    /// A terminal's output from byte `from` on.
    pub fn terminal(&self, id: &str, from: u64) -> Result<BoxStream<'static, TerminalFrame>> {
        self.terminals.stream(id, from)
    }

    /// Keyboard input.
    pub async fn terminal_write(&self, id: &str, bytes: Bytes) -> Result<()> {
        self.terminals.write(id, bytes).await
    }

    pub(super) async fn terminal_open(&self, caller: &Caller, request: OpenTerminal) -> Result<TerminalInfo> {
        self.ready_row(&request.run).await?;
        let scenario = self.scenario(&request.run).await?;
        let node = self.node_of(&scenario, &request.run, &request.node)?;
        if !node.enter {
            return Err(Error::new(Code::Denied, format!("{} is not yours to enter in this lab.", node.name))
                .hint("It plays a part that the checks rely on."));
        }
        let live = self.live(&request.run).await?;
        let open = Open {
            container: live.container(&request.node)?,
            record: Some(self.run_folder(&request.run).join("terminals")),
            run: request.run.clone(),
            node: request.node.clone(),
            cols: request.cols,
            rows: request.rows,
        };
        let info = self.terminals.open(&open).await?;
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
            return Err(Error::new(Code::TooLarge, format!("{FORWARDS_PER_RUN} ports of this run are forwarded already."))
                .hint("Close one first."));
        }
        if !node.enter && !node.ports.contains_key(&request.port) {
            return Err(Error::new(Code::Denied, format!("Ports of {} are not yours to reach in this lab.", node.name)));
        }
        let live = self.live(&request.run).await?;
        let forwarder = Forwarder::open(live, &request.node, request.port).await?;
        let info = forwarder.info();
        lock(&self.forwards).insert(info.id.clone(), forwarder);
        let text = format!("Port {} of {} answers on {}.", info.port, info.node, info.local);
        self.emit(caller, Some(&request.run), "forward.opened", Level::Info, text, serde_json::to_value(&info)?).await;
        Ok(info)
    }

    pub(super) fn forwards_of(&self, run: &str) -> Vec<Forward> {
        let mut open: Vec<Forward> = lock(&self.forwards).values().map(Forwarder::info).filter(|f| f.run == run).collect();
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
