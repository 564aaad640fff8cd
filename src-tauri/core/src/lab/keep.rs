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
    /// The kernel has ended `kills` programs for want of memory in this life of a node. Told again to whoever begins to watch: the
    /// count says what is news.
    fn starved(&self, run: &str, node: &str, life: i64, kills: u64);
    /// The gateway of a lab with a way out refused something.
    fn refused(&self, _run: &str, _news: &Refused) {}
}

/// Runs until it is dropped.
pub struct Keeper {
    _stop: DropGuard,
}

/// How long a node that came back may take to be ready before the delay is reported.
const READY: Duration = Duration::from_secs(60);
/// The status of what was ended by force.
const KILLED: i64 = 137;
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
    // What happened before anybody listened is in the kernel's count.
    work.spawn(count_starved(live.clone(), witness.clone(), None));
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
            _ => {
                witness.node(live.run(), node, NodeState::Exited, &format!("{node} has ended"));
                work.spawn(tell_starved_end(live.clone(), witness.clone(), node.clone(), container.id.clone()));
            }
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
            work.spawn(tell_starved_end(live.clone(), witness.clone(), node, event.container));
        }
        "oom" => {
            work.spawn(count_starved(live.clone(), witness.clone(), Some(node)));
        }
        "pause" => witness.node(run, &node, NodeState::Paused, &format!("{node} is paused")),
        "unpause" => witness.node(run, &node, NodeState::Running, &format!("{node} goes on")),
        "destroy" => witness.node(run, &node, NodeState::Absent, &format!("{node} was removed")),
        _ => {}
    }
}

/// A node that has ended for want of memory has no count any more; Docker knows.
async fn tell_starved_end(live: Arc<Live>, witness: Arc<dyn Witness>, node: String, container: String) {
    match live.engine.end_of(&container).await {
        Ok(Some(end)) if end.starved && end.status == KILLED => witness.starved(live.run(), &node, end.at, 1),
        Ok(_) => {}
        Err(error) => tracing::debug!(run = live.run(), node, %error, "how a node ended cannot be told"),
    }
}

/// Tells which nodes the kernel took memory from; of all that run, or of the one that Docker has just named.
async fn count_starved(live: Arc<Live>, witness: Arc<dyn Witness>, only: Option<String>) {
    let wanted = |name: &&str| only.as_deref().is_none_or(|node| node == *name);
    let names: Vec<&str> = live.scenario.nodes.iter().map(|n| n.name.as_str()).filter(wanted).collect();
    let mut places = Vec::with_capacity(names.len());
    for name in names {
        // One that does not run has its end told instead.
        places.extend(live.place(name).await.ok());
    }
    let counts = live.fabric.starved(&places).await.unwrap_or_else(|error| {
        tracing::debug!(run = live.run(), %error, "whom the kernel took memory from cannot be counted");
        Default::default()
    });
    for place in &places {
        match (counts.get(&place.node), &only) {
            (Some(kills), _) => witness.starved(live.run(), &place.node, i64::from(place.pid), *kills),
            // Docker has said so, whatever the count.
            (None, Some(node)) => witness.run(live.run(), &format!("{node} ran out of the memory its lab gives it.")),
            (None, None) => {}
        }
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
