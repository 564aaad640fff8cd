//! Bounds that hold while labs run: the disk, and who is blocked. CPU, memory and processes the kernel bounds by itself.
//!
//! A run over its share of the disk, and every run while the machine's own disk is almost full, is paused with the reason:
//! frozen nodes write nothing. Resumed, it is lent some room to clean up in.

use super::{Forge, engine_caller, lock, now};
use crate::api::{Caller, Level, RunState};
use crate::audit::{self, Fact};
use crate::error::{Code, Error, Result};
use crate::lab::{self, Full};
use crate::spawn::{self, Entitlement};
use crate::store::{blocks, runs};
use std::collections::HashSet;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(3);
/// MiB that a run over its share may use beyond what it has, until it is below its share again.
const LENT_MB: u64 = 32;

/// What has been told once: run and node.
type Told = HashSet<(String, String)>;

impl Forge {
    /// Beside the keeper's ticks, because a look at many files takes its time.
    pub(super) async fn watch_bounds(&self) {
        let mut told = Told::new();
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(e) = self.hold_bounds(&mut told).await
                && e.code != Code::DockerUnavailable
            {
                tracing::warn!(code = ?e.code, "the bounds of the running labs could not be looked at: {e}");
            }
        }
    }

    async fn hold_bounds(&self, told: &mut Told) -> Result<()> {
        let caller = engine_caller("bounds");
        self.stop_blocked(&caller).await?;
        let rows = self.store.read(|c| runs::list(c, false)).await?;
        lock(&self.disk_used).retain(|run, _| rows.iter().any(|r| r.run == *run));
        told.retain(|(run, _)| rows.iter().any(|r| r.run == *run));
        let ready: Vec<&runs::Run> = rows.iter().filter(|r| r.state == RunState::Ready).collect();
        if ready.is_empty() {
            return Ok(());
        }
        let floor = self.disk_floor_mb().await?;
        let looks = ready.iter().map(|row| async move {
            let live = self.live(&row.run).await?;
            lab::measure(&live).await
        });
        let looked = futures_util::future::join_all(looks).await;
        let free = self.machine_now().await?.disk_free_mb.into_iter();
        let free = free.chain(looked.iter().flatten().map(|m| m.free_mb)).min();
        for (row, look) in ready.into_iter().zip(looked) {
            let measured = match look {
                Ok(measured) => measured,
                Err(e) => {
                    tracing::debug!(run = row.run, "what it has written could not be told: {e}");
                    continue;
                }
            };
            lock(&self.disk_used).insert(row.run.clone(), measured.used_mb());
            if let Some(free) = free.filter(|free| *free < floor) {
                let reason = format!(
                    "The disk of this machine has only {free} MiB free, less than the {floor} MiB that must stay free. \
                     Free some space, then resume."
                );
                self.freeze(&caller, row, &reason, None).await?;
                continue;
            }
            self.hold_share(&caller, row, &measured, told).await?;
        }
        Ok(())
    }

    async fn hold_share(&self, caller: &Caller, row: &runs::Run, seen: &lab::Measured, told: &mut Told) -> Result<()> {
        let found = lab::judge(seen, row.disk_mb, row.disk_lent_mb);
        let over = found.iter().find_map(|f| match f {
            Full::Over { text } => Some(text.clone()),
            Full::Near { .. } => None,
        });
        if let Some(text) = over {
            let reason = format!("Paused, because {text}. Resume it and delete what is not needed.");
            return self.freeze(caller, row, &reason, Some(seen.used_mb() + LENT_MB)).await;
        }
        if row.disk_lent_mb > 0 && lab::judge(seen, row.disk_mb, 0).iter().all(|f| matches!(f, Full::Near { .. })) {
            let run = row.run.clone();
            self.store.write(move |tx| runs::lend_disk(tx, &run, 0)).await?;
        }
        for near in found {
            if let Full::Near { node, text } = near
                && told.insert((row.run.clone(), node.clone()))
            {
                let data = serde_json::json!({"node": node, "used_mb": seen.nodes.get(&node)});
                self.emit(caller, Some(&row.run), "quota.disk", Level::Warn, format!("{text}."), data).await;
            }
        }
        Ok(())
    }

    /// Pauses a run that nobody asked to pause. It does not wait for a check that is under way: the disk does not wait either.
    async fn freeze(&self, caller: &Caller, row: &runs::Run, reason: &str, lend_mb: Option<u64>) -> Result<()> {
        let live = self.live(&row.run).await?;
        let _starting = self.starting_programs(&row.run, true).await?;
        lab::pause(&live).await?;
        let (run, said) = (row.run.clone(), reason.to_owned());
        let paused = self
            .store
            .write(move |tx| {
                let row = runs::pause_because(tx, &run, &said, now())?;
                if let Some(mb) = lend_mb {
                    runs::lend_disk(tx, &run, mb)?;
                }
                let data = serde_json::json!({"reason": said});
                audit::append(tx, Fact { at: now(), run: Some(run), kind: "quota.paused".into(), data })?;
                Ok(row)
            })
            .await;
        match paused {
            Ok(row) => {
                tracing::warn!(run = row.run, "{reason}");
                let data = serde_json::json!({"reason": reason});
                self.emit(caller, Some(&row.run), "quota.disk", Level::Error, reason, data).await;
                self.tell_state(caller, &row, reason).await;
                Ok(())
            }
            // It is being stopped, or somebody paused it at the same moment.
            Err(e) if e.code == Code::WrongState => {
                if self.run_row(&row.run).await?.state == RunState::Ready {
                    lab::resume(&live).await?;
                }
                Ok(())
            }
            Err(e) => {
                lab::resume(&live).await?;
                Err(e)
            }
        }
    }

    /// Whoever blocked them may have died before they were stopped.
    pub(super) async fn stop_blocked(&self, caller: &Caller) -> Result<Vec<String>> {
        let blocked = self.store.read(blocks::alive_runs).await?;
        let stops = blocked.into_iter().map(|(run, block)| async move {
            match self.stop_for(caller, &run, &block).await {
                Ok(()) => Ok(run),
                Err(e) => Err(e.context(format!("Stopping {run}"))),
            }
        });
        futures_util::future::join_all(stops).await.into_iter().collect()
    }

    /// Said before it is done, to whoever looks at the lab, and for good in the audit log.
    async fn stop_for(&self, caller: &Caller, run: &str, block: &blocks::Block) -> Result<()> {
        let whose = if spawn::names_a_tenant(&block.subject) { "organisation" } else { "subject" };
        let why = format!("its {whose} was blocked: {}", block.reason);
        let (id, data) = (run.to_owned(), serde_json::json!({"subject": block.subject, "reason": block.reason}));
        let (fact, told) = (data.clone(), format!("This lab is stopped, because {why}. Ask your instructor."));
        let first = self
            .store
            .write(move |tx| {
                // Two processes may have seen it at once; one of them says so.
                let state = runs::get(tx, &id)?.state;
                if state == RunState::Stopping || !runs::alive(state) {
                    return Ok(false);
                }
                audit::append(tx, Fact { at: now(), run: Some(id), kind: "run.blocked".into(), data: fact })?;
                Ok(true)
            })
            .await?;
        if first {
            self.emit(caller, Some(run), "run.blocked", Level::Warn, told, data).await;
        }
        self.stop(caller, run, &why).await.map(drop)
    }

    pub(super) async fn disk_floor_mb(&self) -> Result<u64> {
        let machine = self.machine_now().await?;
        let floor = spawn::ceilings(&self.policy, &Entitlement::Practice, &machine)?.machine.disk_floor_mb;
        Ok(floor.unwrap_or_default() as u64)
    }

    /// Nodes that write are let loose only where there is room.
    pub(super) async fn room_to_resume(&self) -> Result<()> {
        let floor = self.disk_floor_mb().await?;
        match self.machine_now().await?.disk_free_mb {
            Some(free) if free < floor => Err(Error::new(
                Code::DiskFull,
                format!("Only {free} MiB of the disk are free; {floor} MiB must stay free while labs run."),
            )
            .hint("Free some space, then resume; or stop the lab, which frees what it has written.")),
            _ => Ok(()),
        }
    }
}
