//! Keeps a run as its template wired it: when a node comes back by itself or by somebody's `docker restart`, its links,
//! addresses and impairments return without a click, and whoever watches is told.

use super::egress::{self, Refused};
use super::life;
use super::live::Live;
use crate::api::NodeState;
use crate::engine::{ContainerState, EngineEvent, label};
use crate::error::{Error, Result};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Told what happened to a run without us asking for it.
pub trait Witness: Send + Sync + 'static {
    /// A node changed its state; `text` is one plain line.
    fn node(&self, run: &str, node: &str, state: NodeState, text: &str);
    /// Something about the run as a whole that a learner should know: Docker went away, came back, the fabric ended.
    fn run(&self, run: &str, text: &str);
    /// The gateway of a lab with a way out refused something.
    fn refused(&self, _run: &str, _news: &Refused) {}
}

/// Runs until it is dropped.
pub struct Keeper {
    _stop: DropGuard,
}

/// How long a node that came back may take to be ready before the delay is reported.
const READY: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

impl Keeper {
    pub fn start(live: Arc<Live>, witness: Arc<dyn Witness>) -> Self {
        let cancel = CancellationToken::new();
        let stop = cancel.clone().drop_guard();
        tokio::spawn(async move {
            let both = async { tokio::join!(keep(live.clone(), witness.clone()), egress::watch(live, witness)) };
            cancel.run_until_cancelled(both).await;
        });
        Self { _stop: stop }
    }
}

async fn keep(live: Arc<Live>, witness: Arc<dyn Witness>) {
    let mut pause = FIRST_PAUSE;
    let mut lost = false;
    loop {
        match watch(&live, &witness, &mut pause, &mut lost).await {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(run = live.run(), %error, "lost Docker's events");
                if !lost {
                    witness.run(live.run(), &format!("Docker cannot be reached: {}", error.message));
                }
                lost = true;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One connection's worth of events. Before the first, what was missed is caught up on.
async fn watch(live: &Arc<Live>, witness: &Arc<dyn Witness>, pause: &mut Duration, lost: &mut bool) -> Result<()> {
    let mut events = live.engine.events(&live.identity.filter()).await?;
    let mut work = JoinSet::new();
    if *lost {
        witness.run(live.run(), "Docker is back.");
    }
    // Also at first: a node may have been restarted before anybody watched.
    reconcile(live, witness, &mut work).await?;
    (*pause, *lost) = (FIRST_PAUSE, false);
    while let Some(event) = events.next().await {
        handle(live, witness, event?, &mut work);
        while work.try_join_next().is_some() {}
    }
    Ok(())
}

/// Compares what should run with what does.
async fn reconcile(live: &Arc<Live>, witness: &Arc<dyn Witness>, work: &mut JoinSet<()>) -> Result<()> {
    for container in live.engine.list(&live.identity.filter()).await? {
        let kind = container.labels.get(label::KIND).map(String::as_str);
        let Some(node) = container.labels.get(label::NODE) else {
            if kind == Some("fabric") && container.state != ContainerState::Running {
                witness.run(live.run(), "The lab was stopped together with Docker; it can be brought back as it was.");
            }
            continue;
        };
        live.stale(node);
        match container.state {
            ContainerState::Running => mend(live, witness, node, false, work),
            ContainerState::Paused => witness.node(live.run(), node, NodeState::Paused, &format!("{node} is paused")),
            _ => witness.node(live.run(), node, NodeState::Exited, &format!("{node} has ended")),
        }
    }
    Ok(())
}

fn handle(live: &Arc<Live>, witness: &Arc<dyn Witness>, event: EngineEvent, work: &mut JoinSet<()>) {
    let run = live.run();
    let Some(node) = event.labels.get(label::NODE).cloned() else {
        if event.action == "die" && event.container == live.fabric.container() {
            witness.run(run, "The lab's fabric has ended: its links are gone until the run is brought back.");
        }
        return;
    };
    match event.action.as_str() {
        "start" => {
            live.stale(&node);
            mend(live, witness, &node, true, work);
        }
        "die" => {
            live.stale(&node);
            let status = event.labels.get("exitCode").map(|c| format!(" with status {c}")).unwrap_or_default();
            witness.node(run, &node, NodeState::Exited, &format!("{node} has ended{status}"));
        }
        "oom" => witness.run(run, &format!("{node} ran out of the memory its lab gives it.")),
        "pause" => witness.node(run, &node, NodeState::Paused, &format!("{node} is paused")),
        "unpause" => witness.node(run, &node, NodeState::Running, &format!("{node} goes on")),
        "destroy" => witness.node(run, &node, NodeState::Absent, &format!("{node} was removed")),
        _ => {}
    }
}

/// Rewires a node beside the others. One that was `seen` to come back is told of at once; of the others only those that
/// had lost their links.
fn mend(live: &Arc<Live>, witness: &Arc<dyn Witness>, node: &str, seen: bool, work: &mut JoinSet<()>) {
    if seen {
        witness.node(live.run(), node, NodeState::Rewiring, &format!("{node} came back; its links are being restored"));
    }
    let (live, witness, node) = (live.clone(), witness.clone(), node.to_string());
    work.spawn(async move {
        let mended = async {
            let needed = live.rewire(&node).await?;
            life::wait_ready(&live, &node, READY).await?;
            Ok::<bool, Error>(needed || seen)
        };
        match mended.await {
            Ok(false) => {}
            Ok(true) => {
                witness.node(live.run(), &node, NodeState::Running, &format!("{node} is back, wired and ready"))
            }
            Err(error) => {
                tracing::warn!(run = live.run(), node, %error, "a node that came back is not as it was");
                witness.run(live.run(), &format!("{node} came back but is not ready: {}", error.message));
            }
        }
    });
}
