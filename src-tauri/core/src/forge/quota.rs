//! Plan, limits and use, for showing; who is blocked; the pins of one's own labs.

use super::plan::Standing;
use super::{Forge, lock, now, sources};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::error::Result;
use crate::keys::KeyName;
use crate::spawn::billing::Billing;
use crate::spawn::{self, Ceilings, Entitlement};
use crate::store::charges::{self, Charge, ChargeState};
use crate::store::usage::{self, Usage};
use crate::store::{blocks, runs};
use crate::template::pins::Pins;
use crate::template::{Catalogue, Lab};
use std::sync::Arc;

/// Charges that are shown.
const CHARGES: u32 = 20;

impl Forge {
    pub(super) async fn quota(&self, caller: &Caller) -> Result<QuotaReport> {
        let standing = self.standing().await?;
        let machine = self.machine_now().await?;
        let (subject, at) = (standing.subject.clone(), now());
        let (own, all, rows, blocked, blocks, holders, charges) = self
            .store
            .read(move |c| {
                Ok((
                    usage::of(c, &subject, at)?,
                    usage::of_machine(c, at)?,
                    runs::list(c, false)?,
                    blocks::of(c, &subject)?,
                    blocks::list(c)?,
                    usage::holders(c)?,
                    charges::latest(c, &subject, CHARGES)?,
                ))
            })
            .await?;
        // Under a gateway the plan is known from what it granted last.
        let entitlement = match (&standing.billing, charges.first()) {
            (Billing::Gateway(_), Some(last)) => Entitlement::Granted(last.plan.clone()),
            _ => standing.entitlement.clone(),
        };
        let ceilings = spawn::ceilings(&self.policy, &entitlement, &machine)?;
        let used = lock(&self.disk_used).clone();
        let most = ceilings.machine.memory_mb.unwrap_or(1.0).max(1.0);
        let percent = |mb: u64| (mb as f64 * 100.0 / most).round() as u64;
        Ok(QuotaReport {
            mode: standing.mode(),
            plan: entitlement.plan().to_owned(),
            plan_from: standing.from.clone(),
            billing: billing(&standing, charges),
            blocked: blocked.map(block_info),
            rows: limits(&ceilings, &own, &all),
            runs: rows
                .iter()
                .filter(|r| caller.instructor || r.subject == standing.subject)
                .map(|r| RunUse {
                    run: r.run.clone(),
                    lab_title: r.lab_title.clone(),
                    subject: r.subject.clone(),
                    cpu_milli: r.cpu_milli,
                    memory_mb: r.memory_mb,
                    pids: r.pids,
                    disk_mb: r.disk_mb,
                    disk_used_mb: used.get(&r.run).copied(),
                })
                .collect(),
            disk: DiskInfo {
                free_mb: machine.disk_free_mb,
                floor_mb: ceilings.machine.disk_floor_mb.unwrap_or_default() as u64,
            },
            holders: holders
                .into_iter()
                .filter(|_| caller.instructor)
                .map(|(subject, memory_mb)| HolderInfo { subject, memory_mb, percent: percent(memory_mb) })
                .collect(),
            blocks: blocks.into_iter().filter(|_| caller.instructor).map(block_info).collect(),
            subject: standing.subject,
            tenant: standing.tenant,
        })
    }

    pub(super) async fn block(&self, caller: &Caller, request: BlockSubject) -> Result<BlockReport> {
        let by = caller.correlation.clone();
        let block = self.store.write(move |tx| spawn::block(tx, &request.subject, &request.reason, &by, now())).await?;
        let text = format!("{} is blocked: {}", block.subject, block.reason);
        let data = serde_json::json!({"subject": block.subject, "reason": block.reason});
        self.emit(caller, None, "subject.blocked", Level::Warn, text, data).await;
        let stopped = self.stop_blocked(caller).await?;
        Ok(BlockReport { block: block_info(block), stopped })
    }

    pub(super) async fn unblock(&self, caller: &Caller, request: SubjectRequest) -> Result<Empty> {
        let (by, subject) = (caller.correlation.clone(), request.subject.clone());
        self.store.write(move |tx| spawn::unblock(tx, &subject, &by, now())).await?;
        let text = format!("{} may start labs again.", request.subject);
        let data = serde_json::json!({"subject": request.subject});
        self.emit(caller, None, "subject.unblocked", Level::Info, text, data).await;
        Ok(Empty {})
    }

    /// Reads the labs anew, pins this one, and has all of them as they are now.
    pub(super) async fn pin(&self, caller: &Caller, name: &str) -> Result<Pinned> {
        let mut pins = Pins::open(&self.options.home, &self.keys, Catalogue::embedded());
        let sources = sources(&self.options);
        let lab = Catalogue::pinned(&sources, &mut pins).get(name)?;
        let new = pins.pin(&lab)?;
        *lock(&self.catalogue) = Arc::new(Catalogue::pinned(&sources, &mut pins));
        let pinned = Pinned {
            lab: lab.id.clone(),
            version: lab.version.clone(),
            digest: lab.digest.clone(),
            new,
            key_id: self.keys.id(KeyName::Catalogue)?,
        };
        if new {
            let data = serde_json::json!({"pinned": pinned, "correlation": caller.correlation});
            self.store
                .write(move |tx| audit::append(tx, Fact { at: now(), run: None, kind: "template.pinned".into(), data }))
                .await?;
        }
        Ok(pinned)
    }

    /// The digest that may be started; a refusal is audited with what changed.
    pub(super) async fn pinned(&self, caller: &Caller, lab: &Lab) -> Result<String> {
        let refusal = match &lab.pin {
            Ok(digest) => return Ok(digest.clone()),
            Err(e) => e.clone(),
        };
        let data = serde_json::json!({
            "lab": lab.id, "version": lab.version, "digest": lab.digest, "origin": lab.origin,
            "error": refusal.message, "correlation": caller.correlation,
        });
        self.store
            .write(move |tx| audit::append(tx, Fact { at: now(), run: None, kind: "template.refused".into(), data }))
            .await?;
        Err(refusal)
    }
}

fn limits(ceilings: &Ceilings, own: &Usage, all: &Usage) -> Vec<QuotaRow> {
    let row = |id: &str, title: &str, machine: bool, used: f64, limit: Option<f64>, unit: &str| QuotaRow {
        id: id.into(),
        title: title.into(),
        machine,
        used,
        limit,
        unit: unit.into(),
    };
    let (mine, whole) = (&ceilings.limits, &ceilings.machine);
    let mut rows = vec![
        row("runs", "Labs at once", false, own.concurrent.into(), mine.at_once, ""),
        row("cpu", "Processors promised", false, own.cpu_milli as f64 / 1000.0, mine.cpu, "CPUs"),
        row("memory", "Memory promised", false, own.memory_mb as f64, mine.memory_mb, "MiB"),
        row("minute", "Starts within a minute", false, own.last_minute.into(), mine.per_minute, ""),
        row("today", "Starts within a day", false, own.today.into(), mine.per_day, ""),
        row("runs", "Labs at once", true, all.concurrent.into(), whole.at_once, ""),
        row("cpu", "Processors promised", true, all.cpu_milli as f64 / 1000.0, whole.cpu, "CPUs"),
        row("memory", "Memory promised", true, all.memory_mb as f64, whole.memory_mb, "MiB"),
        row("pids", "Processes promised", true, all.pids as f64, whole.pids, ""),
    ];
    rows.retain(|r| r.limit.is_some() || r.id != "today");
    rows
}

fn billing(standing: &Standing, charges: Vec<Charge>) -> BillingInfo {
    let charges = charges.into_iter().map(charge_info).collect();
    match &standing.billing {
        Billing::Stub => BillingInfo {
            gateway: false,
            detail: "stub: nobody is asked and nothing is charged".into(),
            url: None,
            key_id: None,
            charges,
        },
        Billing::Gateway(gateway) => BillingInfo {
            gateway: true,
            detail: "gateway: each start is charged, against a receipt signed with the pinned key".into(),
            url: Some(gateway.address().to_owned()),
            key_id: Some(gateway.key_id()),
            charges,
        },
    }
}

fn charge_info(c: Charge) -> ChargeInfo {
    ChargeInfo {
        state: match (c.state, &c.run) {
            (ChargeState::Ordered, _) => ChargeWord::Ordered,
            (ChargeState::Paid, None) => ChargeWord::Paid,
            (ChargeState::Paid, Some(_)) => ChargeWord::Used,
            (ChargeState::Void, _) => ChargeWord::Void,
        },
        order: c.order,
        at: c.at,
        lab: c.lab,
        plan: c.plan,
        amount: c.amount,
        currency: c.currency,
        run: c.run,
        error: c.last_error,
    }
}

fn block_info(block: blocks::Block) -> BlockInfo {
    BlockInfo { subject: block.subject, reason: block.reason, at: block.at }
}
