//! Egress profiles: which there are, and approving one.

use crate::Cx;
use crate::out::{Cell, Ink, cell};
use forge_core::api::{EgressProfile, Empty};
use forge_core::error::Result;
use std::path::Path;

/// Larger files are no profiles; the engine says the same of smaller ones.
const MOST_BYTES: u64 = 64 << 10;

pub async fn list(cx: &Cx) -> Result<()> {
    let profiles = cx.engine.list_egress(&cx.caller, Empty {}).await?;
    cx.out.answer(&profiles, |out, profiles| {
        let rows: Vec<Vec<Cell>> = profiles
            .iter()
            .map(|p| {
                let state = match (p.problem.is_empty(), p.built_in) {
                    (false, _) => (p.problem.clone(), Ink::Bad),
                    (true, true) => ("built in".to_owned(), Ink::Good),
                    (true, false) => ("approved here".to_owned(), Ink::Good),
                };
                vec![
                    (p.name.clone(), Ink::Bold),
                    cell(opens(p)),
                    cell(p.digest.chars().take(12).collect::<String>()),
                    state,
                ]
            })
            .collect();
        out.table(&["PROFILE", "OPENS", "DIGEST", "STATE"], &rows)
    })
}

fn opens(profile: &EgressProfile) -> String {
    let entries: Vec<String> =
        profile.allow.iter().map(|a| format!("{} ({})", a.names.join(", "), a.ports.join(", "))).collect();
    if entries.is_empty() { "nothing".to_owned() } else { entries.join("; ") }
}

/// # Errors
/// `NotFound`, `TooLarge`, `Io` for the file; `TemplateInvalid` for what is in it; `Denied` in a classroom.
pub async fn approve(cx: &Cx, file: &Path) -> Result<()> {
    let text = super::text_file(file, MOST_BYTES)?;
    // Through the contract's door, where the role is checked.
    let request = serde_json::json!({ "text": text });
    let answer = forge_core::shell::call(cx.engine.as_ref(), &cx.caller, "approve_egress", request).await?;
    let profile: EgressProfile = serde_json::from_value(answer)?;
    cx.out.answer(&profile, |out, p| out.line(format!("Labs may use “{}” now. It opens: {}.", p.name, opens(p))))
}
