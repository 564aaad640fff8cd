//! What was proven about the lab's isolation: the state, and each way out that was tried.

use super::{escape, shown, time, word};
use crate::api::{FullProof, Isolation, IsolationRow, IsolationState};
use std::fmt::Write;

pub(super) fn section(isolation: &Isolation) -> String {
    let state = match isolation.state {
        IsolationState::Isolated => word("pass", "✓ isolated"),
        IsolationState::Leaking => word("fail", "✗ leaking"),
        IsolationState::Unknown => word("muted", "– not proven"),
    };
    let at = isolation.at.map(|at| format!(" <span class=\"muted\">Probed {}.</span>", time(at))).unwrap_or_default();
    let mut out = format!("<section>\n<h2>Isolation</h2>\n<p>{state} {}{at}</p>\n", shown(&isolation.detail));
    if !isolation.quick.is_empty() {
        out.push_str(&table("By construction: a look into the lab’s network namespaces", &isolation.quick));
    }
    if let Some(FullProof { at, rows, .. }) = &isolation.full {
        out.push_str(&table(&format!("{} ways out, tried {}", rows.len(), time(*at)), rows));
    }
    out.push_str("</section>\n");
    out
}

fn table(caption: &str, rows: &[IsolationRow]) -> String {
    let mut out = format!(
        "<table class=\"ways\">\n<caption>{}</caption>\n<thead><tr><th scope=\"col\">Way out</th><th scope=\"col\">Control</th>\
         <th scope=\"col\">From the lab</th></tr></thead>\n<tbody>\n",
        escape(caption)
    );
    for row in rows {
        let control = if row.control { word("pass", "✓ works") } else { word("warn", "✗ did not work") };
        let lab = match (row.escaped, row.control) {
            (true, _) => word("fail", "✗ escaped"),
            (false, true) => word("pass", "✓ blocked"),
            (false, false) => word("warn", "– not proven"),
        };
        let _infallible = writeln!(
            out,
            "<tr><th scope=\"row\">{}: {}<span class=\"muted\">{}</span></th><td>{control}</td><td>{lab}</td></tr>",
            escape(&row.group),
            escape(&row.technique),
            shown(&row.detail)
        );
    }
    out.push_str("</tbody>\n</table>\n");
    out
}
