//! The audit log: whether it is whole, and what stands in it.

use crate::Cx;
use crate::args::AuditCommand;
use crate::exit;
use crate::out::{Cell, Ink, cell, span};
use forge_core::api::{AuditDamage, Empty, ListAudit};
use forge_core::error::{Code, Result};
use std::process::ExitCode;

/// # Errors
/// What the engine answered, or `Io` when the answer could not be written.
pub async fn run(cx: &Cx, what: AuditCommand) -> Result<ExitCode> {
    match what {
        AuditCommand::Verify => verify(cx).await,
        AuditCommand::List { kind, run, before, limit } => {
            list(cx, ListAudit { kind, run, before, limit: Some(limit) }).await.map(|()| ExitCode::SUCCESS)
        }
    }
}

async fn verify(cx: &Cx) -> Result<ExitCode> {
    let report = cx.engine.verify_audit(&cx.caller, Empty {}).await?;
    cx.out.answer(&report, |out, r| {
        match &r.broken {
            None => out.line(format!(
                "{} The audit log is whole: {} entries, held against {} signed checkpoints ({} of them kept outside the database), in {}.",
                out.ink(Ink::Good, "✓"), r.entries, r.checkpoints, r.outside, span(r.ms)
            ))?,
            Some(b) => out.line(format!(
                "{} The audit log was tampered with: {}, first at entry {}.\n  {}",
                out.ink(Ink::Bad, "✗"), named(b.damage), b.entry, b.detail
            ))?,
        }
        r.ignored.iter().try_for_each(|what| out.line(format!("{} not used: {what}", out.ink(Ink::Dim, "–"))))
    })?;
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::from(exit::of(Code::EvidenceInvalid)) })
}

fn named(damage: AuditDamage) -> &'static str {
    match damage {
        AuditDamage::Edited => "an entry was edited",
        AuditDamage::Deleted => "an entry was deleted",
        AuditDamage::Reordered => "entries were reordered",
        AuditDamage::Truncated => "its end was cut off, or an older copy was put in its place",
        AuditDamage::Forked => "it was rewritten",
        AuditDamage::Head => "the record of its end, or a checkpoint, was changed",
    }
}

async fn list(cx: &Cx, request: ListAudit) -> Result<()> {
    let page = cx.engine.list_audit(&cx.caller, request).await?;
    cx.out.answer(&page, |out, page| {
        if page.entries.is_empty() {
            return out.line("Nothing in the audit log matches.");
        }
        let rows: Vec<Vec<Cell>> = page
            .entries
            .iter()
            .map(|e| {
                let told: String = e.data.to_string().chars().take(100).collect();
                vec![
                    (e.id.to_string(), Ink::Bold),
                    e.at.map_or_else(|| ("unreadable".into(), Ink::Bad), |at| cell(when(at))),
                    cell(&e.kind),
                    cell(e.run.as_deref().unwrap_or("–")),
                    cell(told),
                ]
            })
            .collect();
        out.table(&["ENTRY", "WHEN", "KIND", "RUN", "WHAT"], &rows)?;
        if let Some(next) = page.next {
            out.progress(Ink::Dim, format!("Older ones: --before {next}"));
        }
        Ok(())
    })
}

/// `2026-11-25 09:30:12Z`, from Unix milliseconds.
pub fn when(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |t| t.strftime("%F %TZ").to_string())
}
