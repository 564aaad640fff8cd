//! What a learner reads: the guide of a run, and its hints.

use crate::Cx;
use crate::out::{Ink, cell, points};
use forge_core::api::{RevealHint, RunRequest};
use forge_core::error::Result;

pub async fn guide(cx: &Cx, run: String) -> Result<()> {
    let detail = cx.engine.get_run(&cx.caller, RunRequest { run }).await?;
    let document = serde_json::json!({"run": detail.run.run, "lab": detail.run.lab, "guide": detail.guide});
    cx.out.answer(&document, |out, _| out.line(detail.guide.trim_end()))
}

pub async fn hints(cx: &Cx, run: String) -> Result<()> {
    let detail = cx.engine.get_run(&cx.caller, RunRequest { run }).await?;
    cx.out.answer(&detail.hints, |out, hints| {
        if hints.is_empty() {
            return out.line("This lab has no hints.");
        }
        let rows: Vec<_> = hints
            .iter()
            .map(|h| {
                let text = match &h.text {
                    Some(text) => cell(text),
                    None => (format!("forge hint {} {}", detail.run.run, h.id), Ink::Dim),
                };
                vec![cell(&h.id), cell(&h.criterion), cell(points(u64::from(h.cost))), text]
            })
            .collect();
        out.table(&["HINT", "CRITERION", "COSTS", "TEXT"], &rows)
    })
}

pub async fn hint(cx: &Cx, run: String, hint: String) -> Result<()> {
    let hint = cx.engine.reveal_hint(&cx.caller, RevealHint { run, hint }).await?;
    cx.out.answer(&hint, |out, h| out.line(h.text.as_deref().unwrap_or_default()))
}
