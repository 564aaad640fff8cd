//! A running lab as this process sees it: handles only, all of them found again by labels.

use super::plan::{self, Identity, ports_of};
use crate::api::IsolationRow;
use crate::engine::fabric::wiring::{Bridge, bridge_name};
use crate::engine::fabric::{Fabric, Place, Wiring};
use crate::engine::{ContainerState, Engine, label};
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Node, Scenario};
use futures_util::future::join_all;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const WOVEN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
struct Handle {
    container: String,
    /// None while it does not run, or after we saw it go.
    pid: Option<u32>,
}

/// A run whose fabric exists. Cheap to share; several processes may hold one for the same run.
pub struct Live {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) identity: Identity,
    pub(super) scenario: Arc<Scenario>,
    pub(super) fabric: Arc<Fabric>,
    pub(super) bridges: Vec<Bridge>,
    handles: Mutex<BTreeMap<String, Handle>>,
    /// What its launch found; empty when it was taken up later.
    proof: Vec<IsolationRow>,
}

impl Live {
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        identity: Identity,
        scenario: Arc<Scenario>,
        fabric: Arc<Fabric>,
        places: &[Place],
    ) -> Self {
        let bridges = plan::bridges(&identity.run, &scenario);
        let handle = |p: &Place| (p.node.clone(), Handle { container: p.container.clone(), pid: Some(p.pid) });
        let handles = Mutex::new(places.iter().map(handle).collect());
        Self { engine, identity, scenario, fabric, bridges, handles, proof: Vec::new() }
    }

    pub(super) fn proven(mut self, rows: Vec<IsolationRow>) -> Self {
        self.proof = rows;
        self
    }

    /// The rows of the isolation proof that its launch ended with.
    pub fn proof(&self) -> &[IsolationRow] {
        &self.proof
    }

    /// Takes up a run from its labels in Docker: after a restart of ours, or in a second process.
    /// `Code::UnknownRun` when nothing carries them, `Code::WrongState` when nodes are left but no fabric.
    pub async fn adopt(engine: Arc<dyn Engine>, identity: Identity, scenario: Arc<Scenario>) -> Result<Arc<Self>> {
        let found = engine.list(&identity.filter()).await?;
        let kind = |kind: &str| {
            let kind = kind.to_string();
            found.iter().filter(move |c| c.labels.get(label::KIND) == Some(&kind))
        };
        let Some(fabric) = kind("fabric").next() else {
            let run = &identity.run;
            return Err(match found.is_empty() {
                true => Error::new(Code::UnknownRun, format!("Nothing of run {run} exists in Docker.")),
                false => Error::new(Code::WrongState, format!("Run {run} has lost its fabric container."))
                    .hint("Stop the run; its nodes cannot be wired any more."),
            });
        };
        let fabric = Arc::new(Fabric::adopt(engine.clone(), fabric.id.clone()));
        let nodes: Vec<_> = kind("node").collect();
        let pids = join_all(nodes.iter().map(|c| async {
            match c.state {
                // It may end between the listing and the question.
                ContainerState::Running | ContainerState::Paused => engine.pid(&c.id).await.ok(),
                _ => None,
            }
        }))
        .await;
        let live = Self::new(engine, identity, scenario, fabric, &[]);
        for (container, pid) in nodes.iter().zip(pids) {
            if let Some(name) = container.labels.get(label::NODE) {
                live.lock().insert(name.clone(), Handle { container: container.id.clone(), pid });
            }
        }
        Ok(Arc::new(live))
    }

    pub fn run(&self) -> &str {
        &self.identity.run
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// Docker's container id of a node. `Code::UnknownNode` when the run has none of that name.
    pub fn container(&self, node: &str) -> Result<String> {
        self.lock().get(node).map(|h| h.container.clone()).ok_or_else(|| self.unknown(node))
    }

    /// Node → container id.
    pub fn containers(&self) -> BTreeMap<String, String> {
        self.lock().iter().map(|(n, h)| (n.clone(), h.container.clone())).collect()
    }

    pub(super) fn node(&self, node: &str) -> Result<&Node> {
        self.scenario.nodes.iter().find(|n| n.name == node).ok_or_else(|| self.unknown(node))
    }

    pub(super) fn bridge(&self, link: &str) -> Result<&Bridge> {
        let missing = || Error::new(Code::NotFound, format!("Run {} has no link named “{link}”.", self.run()));
        self.bridges.iter().find(|b| b.link == link).ok_or_else(missing)
    }

    fn unknown(&self, node: &str) -> Error {
        let names: Vec<_> = self.scenario.nodes.iter().map(|n| n.name.as_str()).collect();
        Error::new(Code::UnknownNode, format!("Run {} has no node named “{node}”.", self.run()))
            .hint(format!("Its nodes are {}.", names.join(", ")))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The places known to run, without asking.
    pub(super) fn known_places(&self) -> Vec<Place> {
        let place = |(node, h): (&String, &Handle)| {
            Some(Place { node: node.clone(), container: h.container.clone(), pid: h.pid? })
        };
        self.lock().iter().filter_map(place).collect()
    }

    /// Forgets the pid: the node was seen to end or to start.
    pub(super) fn stale(&self, node: &str) {
        if let Some(handle) = self.lock().get_mut(node) {
            handle.pid = None;
        }
    }

    /// The same, unless somebody knows better by now.
    pub(super) fn stale_at(&self, place: &Place) {
        if let Some(handle) = self.lock().get_mut(&place.node).filter(|h| h.pid == Some(place.pid)) {
            handle.pid = None;
        }
    }

    /// Where a node is now; Docker is asked unless its pid is known. `Code::WrongState` when it does not run.
    pub(super) async fn place(&self, node: &str) -> Result<Place> {
        let handle = self.lock().get(node).cloned().ok_or_else(|| self.unknown(node))?;
        let container = handle.container;
        let pid = match handle.pid {
            Some(pid) => pid,
            None => {
                let pid = self.engine.pid(&container).await.map_err(|e| e.context(format!("node {node}")))?;
                if let Some(handle) = self.lock().get_mut(node) {
                    handle.pid = Some(pid);
                }
                pid
            }
        };
        Ok(Place { node: node.into(), container, pid })
    }

    /// Does something at a node; once more at its present pid when it turns out to have been restarted meanwhile.
    pub(super) async fn at<T, F, Fut>(&self, node: &str, action: F) -> Result<T>
    where
        F: Fn(Place) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let place = self.place(node).await?;
        let before = place.pid;
        match action(place).await {
            Err(error) if error.code == Code::WrongState => {
                self.stale(node);
                let place = self.place(node).await?;
                if place.pid == before { Err(error) } else { action(place).await }
            }
            other => other,
        }
    }

    /// Whether the fabric has its bridges. One that was restarted has lost them, and every node its links with them.
    pub async fn woven(&self) -> Result<bool> {
        let there = |b: &Bridge| format!("test -e /sys/class/net/{}", bridge_name(b.index));
        let script = self.bridges.iter().map(there).collect::<Vec<_>>().join(" && ");
        Ok(script.is_empty() || self.fabric.script(None, &script, &[], WOVEN).await?.exit == 0)
    }

    /// Gives a (re)started node its links, addresses, default route and impairments. False when it has
    /// them already: it is done once per start of a node, whoever asks.
    pub async fn rewire(&self, node: &str) -> Result<bool> {
        let ports = ports_of(&self.bridges, node);
        let gateway = plan::gateway_of(&self.scenario, node);
        let wiring = Wiring { ports: &ports, gateway, again: true, owners: &[] };
        let rules = self.rules(node)?;
        let rules = &rules;
        self.at(node, |place| async move {
            if let Some(rules) = rules {
                // First: what came back has no filter yet, and without links nothing reaches it.
                self.fabric.fence(&place, rules).await?;
            }
            self.fabric.wire(&place, &wiring).await
        })
        .await
    }
}
