//! What happens to a lab after it has become ready: pause, resume, restart of a node, revival after Docker itself went
//! down, and the end.

use super::live::Live;
use super::plan::{Identity, conditions_of};
use crate::engine::fabric::Condition;
use crate::engine::{Container, ContainerState, Engine, label};
use crate::error::{Code, Error, Result};
use crate::fault;
use futures_util::future::{join_all, try_join, try_join_all};
use std::time::Duration;
use tokio::time::Instant;

/// What a stop removed, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    pub containers: usize,
    pub ms: u64,
}

/// Removes everything that carries the run's labels, all at once. Needs nothing but the labels, so that it works on
/// what a crash left as well. Stopping what is gone is no error.
pub async fn stop(engine: &dyn Engine, identity: &Identity) -> Result<Stopped> {
    let began = Instant::now();
    let mut removed = 0;
    let mut last = None;
    // A second look: a container may have been under way when the first one was taken.
    for pause in [0, 20, 200, 1000] {
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let filter = identity.filter();
        let (found, networks) = try_join(engine.list(&filter), engine.networks(&filter)).await?;
        if found.is_empty() && networks.is_empty() {
            return Ok(Stopped { containers: removed, ms: began.elapsed().as_millis() as u64 });
        }
        let removals = found.iter().map(|c| async {
            let outcome = engine.remove(&c.id).await;
            fault::point("stop.remove.first");
            outcome
        });
        for outcome in join_all(removals).await {
            match outcome {
                Ok(()) => removed += 1,
                Err(error) => last = Some(error),
            }
        }
        for outcome in join_all(networks.iter().map(|n| engine.remove_network(&n.id))).await {
            last = outcome.err().or(last);
        }
    }
    let run = &identity.run;
    Err(last
        .unwrap_or_else(|| Error::new(Code::DockerFailed, "Docker still lists objects of it."))
        .context(format!("removing run {run}")))
}

/// Freezes all nodes. The fabric goes on.
pub async fn pause(live: &Live) -> Result<()> {
    let nodes = nodes(live).await?;
    let running = nodes.iter().filter(|c| c.state == ContainerState::Running);
    try_join_all(running.map(|c| live.engine.pause(&c.id))).await.map(drop)
}

pub async fn resume(live: &Live) -> Result<()> {
    let nodes = nodes(live).await?;
    let paused = nodes.iter().filter(|c| c.state == ContainerState::Paused);
    try_join_all(paused.map(|c| live.engine.unpause(&c.id))).await.map(drop)
}

async fn nodes(live: &Live) -> Result<Vec<Container>> {
    let all = live.engine.list(&live.identity.filter()).await?;
    Ok(all.into_iter().filter(|c| c.labels.get(label::KIND).is_some_and(|k| k == "node")).collect())
}

/// Restarts a node (its volumes stay), gives it its links back and waits until it is ready again, at most `limit`.
pub async fn restart_node(live: &Live, node: &str, limit: Duration) -> Result<()> {
    let container = live.container(node)?;
    live.engine.restart(&container).await.map_err(|e| e.context(format!("restarting {node}")))?;
    live.stale(node);
    live.rewire(node).await?;
    wait_ready(live, node, limit).await
}

/// Waits until a wired node's startup has ended and its conditions hold.
pub(super) async fn wait_ready(live: &Live, node: &str, limit: Duration) -> Result<()> {
    let conditions = conditions_of(live.node(node)?);
    let wait = |place| {
        let conditions = &conditions;
        async move {
            let began = Instant::now();
            live.fabric.wait(&[(&place, Condition::Started)], limit).await?;
            let rest: Vec<_> = conditions.iter().map(|c| (&place, c.clone())).collect();
            let left = limit.saturating_sub(began.elapsed());
            if rest.is_empty() { Ok(()) } else { live.fabric.wait(&rest, left).await }
        }
    };
    live.at(node, wait).await
}

/// Brings back a run whose containers all ended (Docker was restarted): starts them and wires them again. Their
/// volumes are as they were. Does nothing to what runs, unless `anew`: then an earlier revival ended half-way, nobody knows
/// where, and everything is started again.
pub async fn revive(live: &Live, limit: Duration, anew: bool) -> Result<()> {
    let all = live.engine.list(&live.identity.filter()).await?;
    let fabric = all.iter().find(|c| c.id == live.fabric.container());
    let Some(fabric) = fabric else {
        return Err(
            Error::new(Code::WrongState, "The run's fabric container is gone.").hint("Stop the run and start it anew.")
        );
    };
    if fabric.state != ContainerState::Running || anew {
        up(live, fabric).await?;
        live.fabric.lay(&live.bridges).await?;
    }
    let ended = all.iter().filter(|c| anew || matches!(c.state, ContainerState::Exited | ContainerState::Created));
    let nodes: Vec<(&str, &Container)> =
        ended.filter(|c| c.id != fabric.id).filter_map(|c| Some((c.labels.get(label::NODE)?.as_str(), c))).collect();
    try_join_all(nodes.iter().map(|(node, container)| async move {
        up(live, container).await?;
        live.stale(node);
        live.rewire(node).await?;
        wait_ready(live, node, limit).await
    }))
    .await
    .map(drop)
}

/// Starts it, once more if it runs.
async fn up(live: &Live, container: &Container) -> Result<()> {
    match container.state {
        ContainerState::Running | ContainerState::Paused => live.engine.restart(&container.id).await,
        _ => live.engine.start(&container.id).await,
    }
}
