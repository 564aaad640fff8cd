//! From a plan to a lab that is ready. Each node goes its own way (create, files, start, wire) as fast as Docker lets it; the
//! steps that are reported begin with the first node and end with the last.
//!
//! Whatever ends a launch early (a failure, or the caller), everything made is removed by label before this returns, and
//! cancellation outranks every other error. Calls to Docker under way are never dropped, since the daemon would
//! go on with them behind our back; a cancelled launch waits for them, then removes.

use super::live::Live;
use super::plan::{NodePlan, Plan, conditions_of, gateway_of, ports_of};
use super::{egress, guard, isolation, life};
use crate::api::{Step, StepState};
use crate::engine::fabric::{Condition, Fabric, Place, Wiring};
use crate::engine::gateway::ruleset;
use crate::engine::{ContainerSpec, End, Engine};
use crate::error::{Code, Error, Result};
use crate::fault;
use crate::template::scenario::GATEWAY;
use futures_util::future::{join, join_all, join3};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Told about each step as it begins and ends: `create`, `start`, `wire`, `startup`, `ready`, `isolation`.
pub trait Progress: Send + Sync {
    fn step(&self, step: Step);
}

/// How long the startup texts of all nodes may take, and then their readiness.
const STARTUP: Duration = Duration::from_secs(60);
const READY: Duration = Duration::from_secs(60);

/// Makes the lab real. `Code::Cancelled` when `cancel` fired; any other error is the first one met. In both cases nothing
/// with the run's labels is left in Docker, or the error says so in a hint.
pub async fn launch(
    engine: Arc<dyn Engine>,
    plan: &Plan,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Arc<Live>> {
    let stages = Stages::new(progress, plan.nodes.len());
    let outcome = bring_up(&engine, plan, &stages, cancel).await;
    let outcome = match outcome {
        // The caller no longer wants what has just become ready.
        Ok(_) if cancel.is_cancelled() => Err(Error::cancelled()),
        other => other,
    };
    let error = match outcome {
        Ok(live) => return Ok(live),
        Err(error) => error,
    };
    let error = if cancel.is_cancelled() { Error::cancelled() } else { error };
    stages.fail(&error);
    match life::stop(engine.as_ref(), &plan.identity).await {
        Ok(_) => Err(error),
        Err(left) => Err(error.hint(format!(
            "Not everything could be removed ({}); it is swept at the next start, or by `forge stop {}`.",
            left.message, plan.identity.run
        ))),
    }
}

async fn bring_up(
    engine: &Arc<dyn Engine>,
    plan: &Plan,
    stages: &Stages<'_>,
    cancel: &CancellationToken,
) -> Result<Arc<Live>> {
    // Ends all branches when one fails; fires with the caller's own.
    let abort = cancel.child_token();
    let (fabric_ready, fabric) = watch::channel(None);
    stages.begin(CREATE);
    let weave = async {
        let woven = fabric_up(engine, &plan.fabric, plan, &abort).await;
        match woven {
            Ok(woven) => {
                let woven = Arc::new(woven);
                fabric_ready.send_replace(Some(woven.clone()));
                Ok(woven)
            }
            Err(error) => {
                abort.cancel();
                Err(error)
            }
        }
    };
    let nodes = join_all(plan.nodes.iter().map(|node| {
        let (abort, fabric) = (&abort, fabric.clone());
        async move {
            let made = node_up(engine, plan, node, fabric, stages, abort).await;
            if made.is_err() {
                abort.cancel();
            }
            made
        }
    }));
    let guard = async {
        let there = guard::ensure(engine.as_ref(), &plan.fabric.image).await;
        if there.is_err() {
            abort.cancel();
        }
        there
    };
    let (woven, guard, nodes) = join3(weave, guard, nodes).await;
    let mut failures = Vec::new();
    let guard = guard.unwrap_or_else(|error| {
        failures.push(error);
        String::new()
    });
    let mut places = Vec::with_capacity(nodes.len());
    for made in nodes {
        match made {
            Ok(place) => places.push(place),
            Err(error) => failures.push(error),
        }
    }
    let woven = match woven {
        Ok(woven) if failures.is_empty() => woven,
        Ok(_) => return Err(root_cause(failures)),
        Err(error) => {
            failures.insert(0, error);
            return Err(root_cause(failures));
        }
    };

    let all_started: Vec<(&Place, Condition)> = places.iter().map(|p| (p, Condition::Started)).collect();
    stages.begin(STARTUP_STEP);
    fault::point("launch.startup.before");
    let waited = or_cancelled(cancel, woven.wait(&all_started, STARTUP)).await;
    with_cause(&woven, &places, waited).await?;
    fault::point("launch.startup.after");
    stages.end(STARTUP_STEP, "");

    let conditions: Vec<(&Place, Condition)> = plan
        .scenario
        .nodes
        .iter()
        .filter_map(|node| Some((places.iter().find(|p| p.node == node.name)?, node)))
        .flat_map(|(place, node)| conditions_of(node).into_iter().map(move |c| (place, c)))
        .collect();
    stages.begin(READY_STEP);
    fault::point("launch.ready.before");
    if !conditions.is_empty() {
        let waited = or_cancelled(cancel, woven.wait(&conditions, READY)).await;
        with_cause(&woven, &places, waited).await?;
    }
    fault::point("launch.ready.after");
    stages.end(READY_STEP, "");

    stages.begin(ISOLATION);
    fault::point("launch.isolation.before");
    let every: Vec<&Place> = places.iter().collect();
    let looks = join(woven.survey(&every), guard::hold(engine.as_ref(), &woven, &guard, &plan.fabric.image));
    let (found, guarded) = or_cancelled(cancel, async { Ok(looks.await) }).await?;
    let mut proof = isolation::judge(&found?, &plan.scenario, &plan.bridges)?;
    proof.rows.push(guarded?);
    fault::point("launch.isolation.after");
    stages.end(ISOLATION, &proof.to_string());
    let (identity, scenario) = (plan.identity.clone(), plan.scenario.clone());
    Ok(Arc::new(Live::new(engine.clone(), identity, scenario, woven, &places).proven(proof.rows)))
}

/// The first error that is not just another branch giving up.
fn root_cause(failures: Vec<Error>) -> Error {
    let mut failures = failures.into_iter();
    let first = failures.next().unwrap_or_else(|| Error::internal("a launch failed without an error"));
    if first.code != Code::Cancelled {
        return first;
    }
    failures.find(|e| e.code != Code::Cancelled).unwrap_or(first)
}

async fn fabric_up(
    engine: &Arc<dyn Engine>,
    spec: &ContainerSpec,
    plan: &Plan,
    abort: &CancellationToken,
) -> Result<Fabric> {
    go_on(abort)?;
    fault::point("launch.fabric.create.before");
    let container = engine.create(spec).await.map_err(|e| e.context("the lab's fabric"))?;
    fault::point("launch.fabric.create.after");
    go_on(abort)?;
    fault::point("launch.fabric.start.before");
    engine.start(&container).await.map_err(|e| e.context("the lab's fabric"))?;
    fault::point("launch.fabric.start.after");
    go_on(abort)?;
    let fabric = Fabric::adopt(engine.clone(), container);
    fabric.lay(&plan.bridges).await?;
    fault::point("launch.fabric.lay.after");
    Ok(fabric)
}

async fn node_up(
    engine: &Arc<dyn Engine>,
    plan: &Plan,
    node: &NodePlan,
    mut fabric: watch::Receiver<Option<Arc<Fabric>>>,
    stages: &Stages<'_>,
    abort: &CancellationToken,
) -> Result<Place> {
    let doing = |e: Error| e.context(format!("node {}", node.name));
    go_on(abort)?;
    let outward = match &plan.exit {
        Some(exit) if node.name == GATEWAY => Some(exit),
        _ => None,
    };
    fault::point("launch.node.create.before");
    let container = match outward {
        Some(_) => {
            let leg = egress::leg(engine.as_ref(), &plan.identity, &plan.bridges).await.map_err(doing)?;
            go_on(abort)?;
            engine.create(&ContainerSpec { leg: Some(leg), ..node.spec.clone() }).await.map_err(doing)?
        }
        None => engine.create(&node.spec).await.map_err(doing)?,
    };
    fault::point("launch.node.create.after");
    for (volume, tar) in &node.files {
        go_on(abort)?;
        engine.put_tar(&container, volume, tar.clone()).await.map_err(doing)?;
    }
    stages.one(CREATE);
    go_on(abort)?;
    stages.begin(START);
    fault::point("launch.node.start.before");
    engine.start(&container).await.map_err(doing)?;
    fault::point("launch.node.start.after");
    let pid = match engine.pid(&container).await {
        Ok(pid) => pid,
        Err(error) => {
            return Err(as_it_ended(engine.as_ref(), &container, error).await.context(format!("node {}", node.name)));
        }
    };
    stages.one(START);
    let place = Place { node: node.name.clone(), container, pid };

    let woven = or_cancelled(abort, async {
        let ready = fabric.wait_for(Option::is_some).await;
        ready.ok().and_then(|f| f.clone()).ok_or_else(Error::cancelled)
    })
    .await?;
    stages.begin(WIRE);
    let ports = ports_of(&plan.bridges, &node.name);
    let gateway = gateway_of(&plan.scenario, &node.name);
    let wiring = Wiring { ports: &ports, gateway, again: false, owners: &node.owners };
    if let Some(exit) = outward {
        // Before its links: there is no moment in which the lab could use it unfiltered.
        woven.fence(&place, &ruleset(exit)).await?;
    }
    fault::point("launch.node.wire.before");
    if let Err(error) = woven.wire(&place, &wiring).await {
        return Err(as_it_ended(engine.as_ref(), &place.container, error).await);
    }
    fault::point("launch.node.wire.after");
    stages.one(WIRE);
    Ok(place)
}

fn go_on(abort: &CancellationToken) -> Result<()> {
    if abort.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
}

/// For waits that may be dropped: nothing is created by them.
async fn or_cancelled<T>(cancel: &CancellationToken, wait: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::cancelled()),
        done = wait => done,
    }
}

/// Adds what the node printed last when one is to blame, and whether it was for want of memory.
async fn with_cause(fabric: &Fabric, places: &[Place], waited: Result<()>) -> Result<()> {
    let Err(error) = waited else { return Ok(()) };
    let engine = fabric.engine();
    let blamed = error.details.get("node").and_then(|n| n.as_str()).unwrap_or_default().to_string();
    let Some(place) = places.iter().find(|p| p.node == blamed) else { return Err(error) };
    let error = if starved(fabric, place).await { no_memory(&error) } else { error };
    let log = settled(|| async { engine.logs(&place.container, 20).await.unwrap_or_default() }).await;
    Err(match log.trim() {
        "" => error,
        log => error.hint(format!("{blamed} printed: {log}")),
    })
}

/// Whether the kernel ended the node, or a program in it, because there was no memory: by its count while the node runs, by Docker's
/// word afterwards. Not being told is no.
async fn starved(fabric: &Fabric, place: &Place) -> bool {
    let counted = fabric.starved(std::slice::from_ref(place)).await;
    counted.is_ok_and(|c| c.contains_key(&place.node))
        || matches!(fabric.engine().end_of(&place.container).await, Ok(Some(End { starved: true, .. })))
}

/// A node that is not there any more ended for want of memory more often than not; then that is what is to be said.
async fn as_it_ended(engine: &dyn Engine, container: &str, error: Error) -> Error {
    if error.code != Code::WrongState {
        return error;
    }
    match engine.end_of(container).await {
        Ok(Some(End { starved: true, .. })) => no_memory(&error),
        _ => error,
    }
}

fn no_memory(error: &Error) -> Error {
    Error::new(Code::NoMemory, format!("{} It ran out of the memory that the lab gives it.", error.message))
        .hint("Start it again; if it happens again, its template must ask for more memory (limits, memory_mb).")
        .details(error.details.clone())
}

/// A log whose last lines may still be on their way: the engine copies what a container prints from a pipe, so a node can be
/// seen to have failed before its words have arrived. Read until two readings say the same, a second at most.
async fn settled<F: Future<Output = String>>(read: impl Fn() -> F) -> String {
    let mut seen = String::new();
    for _ in 0..20 {
        let now = read().await;
        if !now.is_empty() && now == seen {
            break;
        }
        seen = now;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen
}

const CREATE: usize = 0;
const START: usize = 1;
const WIRE: usize = 2;
const STARTUP_STEP: usize = 3;
const READY_STEP: usize = 4;
const ISOLATION: usize = 5;
const NAMES: [&str; 6] = ["create", "start", "wire", "startup", "ready", "isolation"];

/// Turns what the branches report into steps: running with the first, done with the last.
struct Stages<'a> {
    progress: &'a dyn Progress,
    nodes: usize,
    stages: [Stage; 6],
}

#[derive(Default)]
struct Stage {
    since: std::sync::OnceLock<Instant>,
    done: AtomicUsize,
    over: std::sync::atomic::AtomicBool,
}

impl<'a> Stages<'a> {
    fn new(progress: &'a dyn Progress, nodes: usize) -> Self {
        Self { progress, nodes, stages: Default::default() }
    }

    fn begin(&self, stage: usize) {
        let Some(s) = self.stages.get(stage) else { return };
        if s.since.set(Instant::now()).is_ok() {
            self.report(stage, StepState::Running, "");
        }
    }

    /// One node is through.
    fn one(&self, stage: usize) {
        let Some(s) = self.stages.get(stage) else { return };
        if s.done.fetch_add(1, Ordering::AcqRel) + 1 == self.nodes {
            self.end(stage, &format!("{} nodes", self.nodes));
        }
    }

    fn end(&self, stage: usize, detail: &str) {
        let Some(s) = self.stages.get(stage) else { return };
        if !s.over.swap(true, Ordering::AcqRel) {
            self.report(stage, StepState::Done, detail);
        }
    }

    /// Whatever was running has failed.
    fn fail(&self, error: &Error) {
        for (index, s) in self.stages.iter().enumerate() {
            if s.since.get().is_some() && !s.over.swap(true, Ordering::AcqRel) {
                self.report(index, StepState::Failed, &error.message);
            }
        }
    }

    fn report(&self, stage: usize, state: StepState, detail: &str) {
        let (Some(s), Some(name)) = (self.stages.get(stage), NAMES.get(stage)) else { return };
        let ms = s.since.get().map_or(0, |t| t.elapsed().as_millis() as u64);
        let percent = (state == StepState::Done).then_some(100);
        self.progress.step(Step { name: (*name).into(), state, ms, detail: detail.into(), percent });
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// What a log shows at each reading, and what is made of it.
    #[tokio::test(start_paused = true)]
    async fn the_last_words_may_come_late() {
        let cases: [(&[&str], &str); 4] = [
            (&["", "", "", "no such thing"], "no such thing"),
            (&["one", "one\ntwo"], "one\ntwo"),
            (&["all of it"], "all of it"),
            (&[""], ""),
        ];
        for (readings, want) in cases {
            let at = AtomicUsize::new(0);
            let read = || async {
                let nth = at.fetch_add(1, Ordering::Relaxed).min(readings.len() - 1);
                readings[nth].to_string()
            };
            assert_eq!(settled(read).await, want);
        }
    }
}
