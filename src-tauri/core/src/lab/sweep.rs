//! What a crash left: compares the labels in Docker with the runs that should live. Never looks at an object without our
//! instance's label.

use super::life;
use super::plan::Identity;
use crate::engine::{ContainerState, Engine, label};
use crate::error::{Error, Result};
use futures_util::future::{join_all, try_join};
use std::collections::{BTreeMap, BTreeSet};

/// What exists of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub run: String,
    /// None when the fabric is gone: the run can only be stopped.
    pub fabric: Option<ContainerState>,
    pub nodes: BTreeMap<String, ContainerState>,
}

#[derive(Clone, Debug, Default)]
pub struct Swept {
    /// Runs that should live, as they were found.
    pub adopt: Vec<Found>,
    /// Runs that should not, removed.
    pub removed: Vec<String>,
    /// Runs whose removal failed, and why.
    pub failed: Vec<(String, Error)>,
}

/// All runs of this instance that have anything in Docker.
pub async fn survey(engine: &dyn Engine, instance: &str) -> Result<Vec<Found>> {
    let mut runs: BTreeMap<String, Found> = BTreeMap::new();
    let ours = [(label::INSTANCE, instance)];
    let (containers, networks) = try_join(engine.list(&ours), engine.networks(&ours)).await?;
    for container in containers {
        let get = |key: &str| container.labels.get(key).cloned();
        // Benches, probes and builds have no run, and their own makers.
        let Some(run) = get(label::RUN) else { continue };
        let found = runs.entry(run.clone()).or_insert_with(|| Found { run, ..Found::default() });
        match (get(label::NODE), get(label::KIND).as_deref()) {
            (Some(node), _) => drop(found.nodes.insert(node, container.state)),
            (None, Some("fabric")) => found.fabric = Some(container.state),
            // A probe's; it is swept by its kind when nobody is probing.
            (None, _) => {}
        }
    }
    for network in networks {
        // All that a crash between making the network and its container leaves.
        if let Some(run) = network.labels.get(label::RUN) {
            runs.entry(run.clone()).or_insert_with(|| Found { run: run.clone(), ..Found::default() });
        }
    }
    Ok(runs.into_values().collect())
}

/// Removes every run not in `living`; says what exists of the others.
pub async fn sweep(engine: &dyn Engine, instance: &str, living: &BTreeSet<String>) -> Result<Swept> {
    let (adopt, leftovers): (Vec<_>, Vec<_>) =
        survey(engine, instance).await?.into_iter().partition(|found| living.contains(&found.run));
    let stopped = join_all(leftovers.into_iter().map(|found| async move {
        let identity = Identity { instance: instance.into(), run: found.run.clone() };
        (found.run, life::stop(engine, &identity).await)
    }))
    .await;
    let mut swept = Swept { adopt, ..Swept::default() };
    for (run, outcome) in stopped {
        match outcome {
            Ok(_) => swept.removed.push(run),
            Err(error) => swept.failed.push((run, error)),
        }
    }
    Ok(swept)
}
