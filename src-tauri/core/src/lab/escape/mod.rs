//! Deny-all, proven: a sacrificial node with the strongest capabilities that any node can get joins every link of a running
//! lab and tries forty ways out, aimed at the host's real addresses; the same attempts succeed on an ordinary Docker bridge at
//! the same time. Nobody is believed but the receivers: what counts is whether a nonce arrived.
//!
//! Receivers open nothing on the host but a passive ear; controls never leave this machine; nothing of it stays.

mod aims;
mod ears;
mod host;
mod judge;
mod table;
mod world;

use super::Progress;
use super::live::Live;
use crate::api::{IsolationRow, Step, StepState};
use crate::engine::outside::Outside;
use crate::error::{Code, Error, Result};
use aims::{Drawn, STAND_INS};
use futures_util::future::try_join3;
use judge::Seen;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use world::{Ground, Stage};

pub use world::clear;

/// What is still on its way when the last try has been made. The slowest are the kernel's own words about a next hop that
/// never answered: three seconds (ICMP “host unreachable”, `lab/guard.rs`).
const SETTLE: Duration = Duration::from_millis(3600);
/// Beyond every bound of the parts.
const WHOLE: Duration = Duration::from_secs(55);

/// Tries everything, judges, and removes what it made, whatever happened. One row for each technique. `Code::Cancelled` when
/// `cancel` fired; other errors say why nothing could be proven, which is not the same as a lab that leaks.
pub async fn prove(
    live: &Arc<Live>,
    outside: &dyn Outside,
    image: &str,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<Vec<IsolationRow>> {
    let drawn = Drawn::from_bits(uuid::Uuid::new_v4().as_u128());
    let ground = Ground { engine: live.engine(), outside, live, image, drawn: &drawn };
    let told = Told { progress };
    let outcome = match tokio::time::timeout(WHOLE, tried(&ground, &told, cancel)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(Code::Timeout, format!("The probe had not ended after {} s.", WHOLE.as_secs()))
            .hint("The machine is very busy; try again later.")),
    };
    let cleared = told.step("clear", cleared(&ground)).await;
    if cancel.is_cancelled() {
        return Err(Error::cancelled());
    }
    let seen = outcome?;
    cleared?;
    Ok(judge::judge(&seen))
}

async fn cleared(ground: &Ground<'_>) -> Result<()> {
    let left = ground.leave().await;
    clear(ground.engine.as_ref(), ground.outside, &ground.live.identity.instance, Some(ground.live.run())).await?;
    left
}

async fn tried(ground: &Ground<'_>, told: &Told<'_>, cancel: &CancellationToken) -> Result<Seen> {
    let go_on = || if cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) };
    // What a killed probe of this run left would be in the way.
    cleared(ground).await?;
    go_on()?;
    let (street, other) = told.step("networks", ground.streets()).await?;
    go_on()?;
    let stage = told.step("nodes", ground.people(&street, &other)).await?;
    go_on()?;
    // From here on nothing is created, so that waiting may simply end.
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::cancelled()),
        seen = told.step("try", listen_and_try(ground, &stage)) => seen,
    }
}

async fn listen_and_try(ground: &Ground<'_>, stage: &Stage) -> Result<Seen> {
    let drawn = ground.drawn;
    let control = aims::script(&stage.host, &ground.control_aims(stage), drawn)?;
    let lab = aims::script(&stage.host, &ground.lab_aims(stage), drawn)?;
    let syns: Vec<String> = control.syns.iter().chain(&lab.syns).cloned().collect();
    let ears = ground.ears(stage, &syns).await?;
    let prefix = format!("prefix {}", drawn.prefix);
    // Sockets of the host are in reach of a container in its network namespace, so there their control is.
    let (at_host, at_bridge): (Vec<String>, Vec<String>) =
        control.lines.into_iter().partition(|line| line.split(' ').nth(1) == Some("abstract"));
    let onlink: Vec<String> =
        [prefix.clone()].into_iter().chain(STAND_INS.iter().map(|a| format!("onlink {a}"))).collect();
    let everything_is_near = [prefix.clone(), "default".into()];
    let engine = ground.engine.as_ref();
    let head = [prefix];
    let said = try_join3(
        ears::tries(engine, &stage.control, &onlink, &at_bridge),
        ears::tries(engine, &stage.ear, &head, &at_host),
        ears::tries(engine, &stage.prisoner, &everything_is_near, &lab.lines),
    )
    .await;
    tokio::time::sleep(SETTLE).await;
    let mut seen = Seen::default();
    for ear in ears {
        ear.close(&mut seen).await;
    }
    let (bridge, host, prison) = said?;
    seen.said.extend(bridge.into_iter().chain(host).chain(prison));
    Ok(seen)
}

/// Tells each part of the work as it begins and ends.
struct Told<'a> {
    progress: &'a dyn Progress,
}

impl Told<'_> {
    async fn step<T>(&self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let began = Instant::now();
        let tell = |state, detail: &str| {
            let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let percent = (state == StepState::Done).then_some(100);
            self.progress.step(Step { name: name.to_owned(), state, ms, detail: detail.to_owned(), percent });
        };
        tell(StepState::Running, "");
        let done = work.await;
        match &done {
            Ok(_) => tell(StepState::Done, ""),
            Err(e) => tell(StepState::Failed, &e.message),
        }
        done
    }
}
