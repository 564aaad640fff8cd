//! What the quota gate is asked, what it would allow, and who is kept out.

use super::{Entitlement, Machine, Request};
use crate::audit::{self, Fact};
use crate::error::{Code, Error, Result};
use crate::policy::Policy;
use crate::store::blocks::{self, Block};
use crate::store::usage::{self, Usage};
use crate::store::{Conn, Tx};
use serde::Deserialize;
use serde_json::{Value, json};

/// The limits in force, as `policies/quota.rego` has them; None where there is none.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ceilings {
    /// Of the subject, under its plan or in practice.
    pub limits: Limits,
    /// Of all subjects together.
    pub machine: Limits,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub per_day: Option<f64>,
    pub per_minute: Option<f64>,
    pub at_once: Option<f64>,
    pub cpu: Option<f64>,
    pub memory_mb: Option<f64>,
    pub pids: Option<f64>,
    /// MiB of the disk that stay free whatever labs do.
    pub disk_floor_mb: Option<f64>,
    /// MiB of memory that must be free before anything starts.
    pub memory_floor_mb: Option<f64>,
}

/// What is allowed for this entitlement on this machine, from the policy itself.
///
/// # Errors
/// `Denied` for a plan that the policy does not know.
pub fn ceilings(policy: &Policy, entitlement: &Entitlement, machine: &Machine) -> Result<Ceilings> {
    let (mode, plan) = match entitlement {
        Entitlement::Practice => ("practice", Value::Null),
        Entitlement::Plan(plan) | Entitlement::Granted(plan) => ("plan", json!(plan)),
    };
    let found = policy.quota_limits(&json!({
        "mode": mode,
        "plan": plan,
        "machine": seen(machine),
        // The policy says nothing before it knows what is asked and used; the limits don't depend on it.
        "request": {"cpu": 1, "memory_mb": 1, "pids": 1, "disk_mb": 1},
        "usage": shown(&Usage::default()),
        "machine_usage": shown(&Usage::default()),
    }))?;
    serde_json::from_value(found).map_err(|_| {
        Error::new(Code::Denied, format!("No limits are known for the plan “{}”.", entitlement.plan()))
            .hint("Name one of the plans in policies/quota.rego, or none.")
    })
}

pub(super) fn question(conn: &Conn, request: &Request, mode: &str, plan: &Value) -> Result<Value> {
    let block = blocks::of(conn, &request.subject)?;
    let own = usage::of(conn, &request.subject, request.now)?;
    let all = usage::of_machine(conn, request.now)?;
    let mut question = json!({
        "mode": mode,
        "plan": plan,
        "blocked": block.is_some(),
        "request": {
            "cpu": request.scenario.limits.cpu,
            "memory_mb": request.footprint.memory_mb,
            "pids": request.footprint.pids,
            "disk_mb": request.footprint.disk_mb,
        },
        "machine": seen(&request.machine),
        "usage": shown(&own),
        "machine_usage": shown(&all),
    });
    if let (Some(block), Some(members)) = (block, question.as_object_mut()) {
        members.insert("block_reason".into(), json!(block.reason));
    }
    Ok(question)
}

/// A system that does not say how much of its disk or memory is free is no reason to refuse; the watch on the running labs sees
/// Docker's disk.
const UNTOLD_MB: u64 = 1 << 40;

fn seen(machine: &Machine) -> Value {
    json!({
        "cpus": machine.cpus,
        "memory_mb": machine.memory_mb,
        "disk_free_mb": machine.disk_free_mb.unwrap_or(UNTOLD_MB),
        "disk_floor_mb": machine.disk_floor_mb,
        "memory_free_mb": machine.memory_free_mb.unwrap_or(UNTOLD_MB),
        "memory_floor_mb": machine.memory_floor_mb,
    })
}

fn shown(usage: &Usage) -> Value {
    json!({
        "today": usage.today,
        "last_minute": usage.last_minute,
        "concurrent": usage.concurrent,
        "cpu": cpus(usage.cpu_milli),
        "memory_mb": usage.memory_mb,
        "pids": usage.pids,
        "disk_mb": usage.disk_mb,
    })
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52 thousandths of a CPU")]
fn cpus(milli: u64) -> f64 {
    milli as f64 / 1000.0
}

/// Keeps a subject from starting labs, from the next admission on, and says so in the audit log.
///
/// # Errors
/// `InvalidInput` for a subject or a reason that cannot be one.
pub fn block(tx: &Tx, subject: &str, reason: &str, correlation: &str, now: i64) -> Result<Block> {
    check_subject(subject)?;
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 200 || reason.chars().any(char::is_control) {
        return Err(Error::new(Code::InvalidInput, "A block needs a reason: one line of at most 200 characters.")
            .hint("The subject reads it when a start is refused."));
    }
    let block = Block { subject: subject.to_owned(), reason: reason.to_owned(), at: now };
    blocks::set(tx, &block)?;
    let data = json!({"subject": subject, "reason": reason, "correlation": correlation});
    audit::append(tx, Fact { at: now, run: None, kind: "subject.blocked".into(), data })?;
    Ok(block)
}

/// Lets a subject start labs again. `NotFound` when it was not blocked.
pub fn unblock(tx: &Tx, subject: &str, correlation: &str, now: i64) -> Result<()> {
    check_subject(subject)?;
    if !blocks::lift(tx, subject)? {
        return Err(Error::new(Code::NotFound, format!("“{subject}” is not blocked.")));
    }
    let data = json!({"subject": subject, "correlation": correlation});
    audit::append(tx, Fact { at: now, run: None, kind: "subject.unblocked".into(), data }).map(drop)
}

/// As the spawn gate names subjects.
pub fn check_subject(subject: &str) -> Result<()> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._@:-".contains(&b);
    if subject.is_empty() || subject.len() > 64 || !subject.bytes().all(plain) {
        return Err(Error::new(
            Code::InvalidInput,
            "A subject has 1 to 64 characters of letters, digits, “.”, “_”, “@”, “:”, “-”.",
        ));
    }
    Ok(())
}
