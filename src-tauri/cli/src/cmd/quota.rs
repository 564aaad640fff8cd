//! Plans, limits, use, and who is kept out.

use super::start::word;
use crate::Cx;
use crate::out::{Ink, cell};
use forge_core::api::{BlockReport, Empty, LabRequest, Pinned, QuotaReport};
use forge_core::error::Result;

pub async fn quota(cx: &Cx) -> Result<()> {
    let report = cx.engine.get_quota(&cx.caller, Empty {}).await?;
    cx.out.answer(&report, |out, r: &QuotaReport| {
        out.line(format!("{} ({}), plan {}: {}", r.subject, r.tenant, out.ink(Ink::Bold, &r.plan), r.plan_from))?;
        if let Some(block) = &r.blocked {
            out.line(out.ink(Ink::Bad, &format!("Blocked: {}", block.reason)))?;
        }
        let free = r.disk.free_mb.map_or("unknown".to_owned(), |mb| format!("{mb} MiB"));
        out.line(format!("Disk: {free} free, {} MiB stay free", r.disk.floor_mb))?;
        let rows: Vec<_> = r
            .rows
            .iter()
            .map(|row| {
                let limit = row.limit.map_or("no limit".to_owned(), |l| format!("{l} {}", row.unit));
                let whose = if row.machine { "this machine" } else { "you" };
                vec![cell(&row.title), cell(whose), cell(row.used.to_string()), cell(limit.trim_end())]
            })
            .collect();
        out.table(&["LIMIT", "FOR", "USED", "OF"], &rows)?;
        for holder in &r.holders {
            out.line(format!("{} holds {} MiB ({} %)", holder.subject, holder.memory_mb, holder.percent))?;
        }
        for block in &r.blocks {
            out.line(format!("{} is blocked: {}", block.subject, block.reason))?;
        }
        Ok(())
    })
}

pub async fn plan(cx: &Cx) -> Result<()> {
    let report = cx.engine.get_quota(&cx.caller, Empty {}).await?;
    let document = serde_json::json!({
        "subject": report.subject, "tenant": report.tenant, "mode": report.mode, "plan": report.plan,
        "from": report.plan_from, "billing": report.billing,
    });
    cx.out.answer(&document, |out, _| {
        out.line(format!("Plan {}: {}", report.plan, report.plan_from))?;
        out.line(format!("Billing {}", report.billing.detail))?;
        let rows: Vec<_> = report
            .billing
            .charges
            .iter()
            .map(|c| {
                let price = format!("{}.{:02} {}", c.amount / 100, c.amount % 100, c.currency);
                vec![cell(&c.order), cell(&c.lab), cell(price), cell(word(&c.state)), cell(&c.error)]
            })
            .collect();
        if rows.is_empty() { Ok(()) } else { out.table(&["ORDER", "LAB", "PRICE", "STATE", "LAST ERROR"], &rows) }
    })
}

/// Through the contract's door, where the role is checked.
pub async fn block(cx: &Cx, subject: String, reason: String) -> Result<()> {
    let request = serde_json::json!({"subject": subject, "reason": reason});
    let done = forge_core::shell::call(cx.engine.as_ref(), &cx.caller, "block_subject", request).await?;
    let report: BlockReport = serde_json::from_value(done)?;
    cx.out.answer(&report, |out, r| {
        let stopped = if r.stopped.is_empty() { String::new() } else { format!("; stopped {}", r.stopped.join(", ")) };
        out.line(format!("{} is blocked{stopped}.", r.block.subject))
    })
}

pub async fn unblock(cx: &Cx, subject: String) -> Result<()> {
    let request = serde_json::json!({ "subject": subject });
    let done = forge_core::shell::call(cx.engine.as_ref(), &cx.caller, "unblock_subject", request).await?;
    cx.out.answer(&done, |out, _| out.line(format!("{subject} may start labs again.")))
}

pub async fn pin(cx: &Cx, lab: String) -> Result<()> {
    let pinned = cx.engine.pin_lab(&cx.caller, LabRequest { lab }).await?;
    cx.out.answer(&pinned, |out, p: &Pinned| {
        let how = if p.new { "is pinned" } else { "was pinned before" };
        out.line(format!("{} {} {how}, signed with your key {}.", p.lab, p.version, p.key_id))
    })
}
