//! What the library shows: labs, what they need and how they went; runs, whole.

use super::{Forge, lock};
use crate::api::*;
use crate::engine::EngineInfo;
use crate::error::Result;
use crate::store::{results, runs};
use crate::template::scenario::{Criterion, Node, Scenario};
use crate::template::{Lab, guide};
use std::collections::HashMap;

/// How many earlier results a lab's page shows.
const HISTORY: usize = 20;
/// Starts that the expected time is the median of.
const STARTS: u32 = 7;
/// Seconds a start takes before there is experience: a base and so much per node.
const START_BASE: f64 = 0.6;
const START_PER_NODE: f64 = 0.12;

/// What labs are held against: read once per listing.
struct Machine {
    engine: Result<EngineInfo>,
    ready_images: Vec<String>,
    kernel: Vec<String>,
}

impl Forge {
    pub(super) async fn labs(&self) -> Result<Vec<LabSummary>> {
        let machine = self.machine().await;
        let mut out = Vec::new();
        for lab in self.catalogue().list() {
            out.push(self.lab_summary(lab, &machine).await?);
        }
        Ok(out)
    }

    pub(super) async fn lab_detail(&self, id: &str) -> Result<LabDetail> {
        let lab = self.catalogue().get(id)?;
        let machine = self.machine().await;
        let summary = self.lab_summary(&lab, &machine).await?;
        let name = lab.id.clone();
        let (mut history, times) =
            self.store.read(move |c| Ok((results::of_lab(c, &name)?, runs::ready_times(c, &name, STARTS)?))).await?;
        history.truncate(HISTORY);
        let mut times: Vec<f64> = times.iter().map(|ms| *ms as f64 / 1000.0).collect();
        times.sort_by(f64::total_cmp);
        let expected_seconds = times
            .get(times.len() / 2)
            .copied()
            .unwrap_or(START_BASE + START_PER_NODE * lab.specimen.nodes.len() as f64);
        Ok(LabDetail {
            lab: summary,
            topology: topology(&lab.specimen),
            criteria: lab.specimen.criteria.iter().map(criterion).collect(),
            requirements: requirements(&lab, &machine),
            history,
            expected_seconds,
        })
    }

    async fn lab_summary(&self, lab: &Lab, machine: &Machine) -> Result<LabSummary> {
        let id = lab.id.clone();
        let (best, last_run, active) = self
            .store
            .read(move |c| Ok((results::best(c, &id)?, runs::last_of_lab(c, &id)?, runs::active_of_lab(c, &id)?)))
            .await?;
        let refused = lab.pin.as_ref().err().map(|e| e.message.clone());
        let blockers: Vec<String> = refused
            .into_iter()
            .chain(requirements(lab, machine).into_iter().filter(|r| !r.met).map(|r| r.detail))
            .collect();
        Ok(LabSummary {
            id: lab.id.clone(),
            origin: lab.origin,
            track: lab.track.clone(),
            tier: lab.tier.clone(),
            title: lab.title.clone(),
            summary: lab.summary.clone(),
            topics: lab.topics.clone(),
            objectives: lab.objectives.clone(),
            minutes: lab.minutes,
            version: lab.version.clone(),
            digest: lab.digest.clone(),
            nodes: u32::try_from(lab.specimen.nodes.len()).unwrap_or(u32::MAX),
            ready: blockers.is_empty(),
            blockers,
            best: best.map(|b| BestScore { score: b.score, max: b.max }),
            last_run,
            active_run: active.map(|r| r.run),
        })
    }

    async fn machine(&self) -> Machine {
        let engine = self.engine.info().await;
        let ready_images = match &engine {
            Ok(_) => match self.images.list().await {
                Ok(list) => list.into_iter().filter(|i| i.ready).map(|i| i.name).collect(),
                Err(e) => {
                    tracing::warn!("the images could not be listed: {e}");
                    Vec::new()
                }
            },
            Err(_) => Vec::new(),
        };
        Machine { engine, ready_images, kernel: self.kernel.get().cloned().unwrap_or_default() }
    }

    pub(super) async fn image_list(&self) -> Result<Vec<ImageInfo>> {
        let states = self.images.list().await?;
        Ok(states
            .into_iter()
            .map(|i| ImageInfo {
                labs: self.catalogue().list().filter(|l| l.images.contains(&i.name)).map(|l| l.id.clone()).collect(),
                name: i.name,
                purpose: i.purpose,
                ready: i.ready,
                reason: i.reason,
                digest: i.digest,
                bytes: i.bytes,
            })
            .collect())
    }

    pub(super) async fn runs(&self, all: bool) -> Result<Vec<RunSummary>> {
        self.repair_if_alone().await;
        let rows = self.store.read(move |c| runs::list(c, all)).await?;
        Ok(rows.iter().map(super::clock::summary).collect())
    }

    pub(super) async fn detail(&self, run: &str) -> Result<RunDetail> {
        let row = self.run_row(run).await?;
        let scenario = self.scenario(run).await?;
        let id = run.to_owned();
        let (steps, revealed, submitted) = self
            .store
            .read(move |c| Ok((runs::steps(c, &id)?, runs::revealed_hints(c, &id)?, results::of_run(c, &id)?)))
            .await?;
        let containers = if runs::alive(row.state) { self.containers(run).await } else { HashMap::new() };
        let mut shown = topology(&scenario);
        for node in &mut shown.nodes {
            if let Some((container, state)) = containers.get(&node.name) {
                node.container.clone_from(container);
                node.state = *state;
            }
        }
        Ok(RunDetail {
            nodes: shown.nodes,
            links: shown.links,
            steps,
            criteria: scenario.criteria.iter().map(criterion).collect(),
            hints: scenario
                .hints
                .iter()
                .map(|h| HintInfo {
                    id: h.id.clone(),
                    criterion: h.criterion.clone(),
                    cost: h.cost,
                    text: revealed.contains(&h.id).then(|| h.text.clone()),
                })
                .collect(),
            guide_html: guide::html(&scenario.guide),
            guide: scenario.guide.clone(),
            forwards: self.forwards_of(run),
            terminals: self.terminals.list(run),
            isolation: row.isolation.clone().unwrap_or_else(|| Isolation::unknown("not proven yet")),
            egress: self.egress_state(run, &scenario, matches!(row.state, RunState::Ready | RunState::Paused)).await,
            results: submitted.into_iter().map(|r| r.id).collect(),
            run: super::clock::summary(&row),
        })
    }

    /// node → (container, state). Docker being away is a state of the nodes, not a failure of the view.
    async fn containers(&self, run: &str) -> HashMap<String, (String, NodeState)> {
        use crate::engine::{ContainerState, label};
        let listed = self.engine.list(&[(label::INSTANCE, &self.instance), (label::RUN, run)]).await;
        match listed {
            Ok(found) => found
                .into_iter()
                .filter_map(|c| {
                    let state = match c.state {
                        ContainerState::Created => NodeState::Created,
                        ContainerState::Running => NodeState::Running,
                        ContainerState::Paused => NodeState::Paused,
                        ContainerState::Exited | ContainerState::Dead => NodeState::Exited,
                    };
                    Some((c.labels.get(label::NODE)?.clone(), (c.id, state)))
                })
                .collect(),
            Err(e) => {
                tracing::warn!(run, "the nodes' states are unknown: {e}");
                HashMap::new()
            }
        }
    }

    pub(super) async fn about_us(&self) -> Result<About> {
        Ok(About {
            version: env!("CARGO_PKG_VERSION").into(),
            home: self.options.home.display().to_string(),
            key_id: self.keys.id(crate::keys::KeyName::Learner)?,
            keys: self.keys.kept(),
            docker: self.engine.info().await.ok().map(|i| i.version),
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            shell: self.options.shell.clone(),
        })
    }

    /// Keeps continuous checking on for the next half minute; the first call starts it.
    pub(super) async fn watch(&self, run: &str) -> Result<Empty> {
        self.ready_row(run).await?;
        let until = tokio::time::Instant::now() + super::grade::WATCH;
        let running = lock(&self.watches).insert(run.to_owned(), until).is_some();
        if !running {
            let (forge, run) = (self.arc()?, run.to_owned());
            tokio::spawn(async move { forge.check_while_watched(&run).await });
        }
        Ok(Empty {})
    }
}

fn requirements(lab: &Lab, machine: &Machine) -> Vec<Requirement> {
    let row = |title: &str, met: bool, detail: String| Requirement { title: title.into(), met, detail };
    let info = match &machine.engine {
        Ok(info) => info,
        Err(e) => return vec![row("Docker", false, e.message.clone())],
    };
    let mut rows = vec![row("Docker", true, info.version.clone())];
    let missing: Vec<&str> =
        lab.images.iter().filter(|i| !machine.ready_images.contains(i)).map(String::as_str).collect();
    rows.push(if missing.is_empty() {
        row("Images", true, "prepared".into())
    } else {
        row("Images", false, format!("images to prepare: {}", missing.join(", ")))
    });
    let have = info.memory_bytes >> 20;
    rows.push(row(
        "Memory",
        have >= lab.requires.memory_mb,
        format!("needs {} MiB, this machine has {have}", lab.requires.memory_mb),
    ));
    if !lab.requires.arch.is_empty() {
        rows.push(row(
            "Architecture",
            lab.requires.arch.contains(&info.arch),
            format!("needs {}, this is {}", lab.requires.arch.join(" or "), info.arch),
        ));
    }
    for feature in &lab.requires.kernel {
        let met = machine.kernel.contains(feature);
        let word = if met { "is there" } else { "is missing in this kernel" };
        rows.push(row("Kernel", met, format!("{feature} {word}")));
    }
    rows
}

fn topology(scenario: &Scenario) -> Topology {
    Topology {
        nodes: scenario.nodes.iter().map(|n| node(scenario, n)).collect(),
        links: scenario
            .links
            .iter()
            .map(|l| LinkInfo {
                id: l.id.clone(),
                segment: l.segment,
                endpoints: l
                    .endpoints
                    .iter()
                    .map(|e| LinkEnd { node: e.node.clone(), interface: e.interface.clone() })
                    .collect(),
                subnet: l.subnet.map(|s| s.to_string()),
            })
            .collect(),
    }
}

fn node(scenario: &Scenario, n: &Node) -> NodeInfo {
    let interfaces =
        scenario.links.iter().flat_map(|l| l.endpoints.iter().filter(|e| e.node == n.name).map(move |e| (l, e)));
    NodeInfo {
        name: n.name.clone(),
        role: n.role,
        container: String::new(),
        state: NodeState::Absent,
        enter: n.enter,
        interfaces: interfaces
            .map(|(l, e)| InterfaceInfo {
                name: e.interface.clone(),
                link: l.id.clone(),
                addresses: e.addresses.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        ports: n.ports.iter().map(|(port, label)| PortHint { port: *port, label: label.clone() }).collect(),
    }
}

fn criterion(c: &Criterion) -> CriterionInfo {
    CriterionInfo { id: c.id.clone(), title: c.title.clone(), weight: c.weight, disturbs: c.disturbs() }
}
