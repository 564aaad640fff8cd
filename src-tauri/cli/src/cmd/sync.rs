//! The scoreboard: enrol, send, see where things stand and what would leave.

use super::session::plain;
use super::start::word;
use crate::Cx;
use crate::out::{Ink, Out, cell};
use forge_core::api::{BoardInfo, Empty, EnrolBoard, SyncNow, SyncPreview, SyncReport, SyncState, SyncStatus};
use forge_core::board::{CLOCK_SKEW, apart};
use forge_core::error::Result;
use std::path::Path;

/// Every public authority there is takes some 200 KiB.
const MOST_CERTIFICATES: u64 = 1 << 20;

pub async fn enrol(
    cx: &Cx,
    url: String,
    code: String,
    name: String,
    ca: Option<&Path>,
    clear_text: bool,
) -> Result<()> {
    let ca = ca.map(|file| super::text_file(file, MOST_CERTIFICATES)).transpose()?;
    let status = cx.engine.enrol_board(&cx.caller, EnrolBoard { url, code, name, ca, clear_text }).await?;
    cx.out.answer(&status, |out, s| {
        head(out, s)?;
        out.line(format!("{} to send. See what will leave with `forge sync --preview`.", s.pending))
    })
}

pub async fn unenrol(cx: &Cx) -> Result<()> {
    let status = cx.engine.unenrol_board(&cx.caller, Empty {}).await?;
    cx.out.answer(&status, |out, s| {
        out.line("No scoreboard is set up: nothing is sent. Receipts are kept.")?;
        before(out, s)
    })
}

pub async fn sync(cx: &Cx, retry_refused: bool) -> Result<()> {
    let report = cx.engine.sync_now(&cx.caller, SyncNow { retry_refused }).await?;
    let held = held(cx, &report).await?;
    cx.out.answer(&report, |out, r: &SyncReport| {
        out.line(format!("{} accepted, {} refused, {} waiting", r.accepted, r.refused, r.pending))?;
        for r in &r.raised {
            let id = r.result.get(..12).unwrap_or_default();
            out.line(format!("{id} stands higher now: {}", out.ink(Ink::Good, &word(&r.tier))))?;
        }
        if let Some(e) = &r.error {
            out.line(out.ink(Ink::Warn, &e.message))?;
            out.line("What waits is kept, and sent at the next `forge sync`.")?;
        }
        if r.refused > 0 {
            out.line("Why: `forge sync --status`")?;
        }
        held.iter().try_for_each(|(id, why)| out.line(out.ink(Ink::Warn, &format!("{id} waits: {why}"))))
    })
}

/// Told of at once; `forge sync --status` tells all.
const HELD: usize = 5;

/// What waits though the scoreboard took the others, and why.
async fn held(cx: &Cx, report: &SyncReport) -> Result<Vec<(String, String)>> {
    if report.pending == 0 || report.error.is_some() {
        return Ok(Vec::new());
    }
    let status = cx.engine.sync_status(&cx.caller, Empty {}).await?;
    let waiting = status.results.into_iter().filter(|r| r.state == SyncState::Pending && !r.why.is_empty());
    Ok(waiting.take(HELD).map(|r| (r.result.chars().take(12).collect(), r.why)).collect())
}

pub async fn status(cx: &Cx) -> Result<()> {
    let status = cx.engine.sync_status(&cx.caller, Empty {}).await?;
    cx.out.answer(&status, |out, s| {
        head(out, s)?;
        if !s.last_error.is_empty() {
            out.line(out.ink(Ink::Warn, &s.last_error))?;
        }
        let rows: Vec<_> = s
            .results
            .iter()
            .map(|r| {
                let ink = match r.state {
                    SyncState::Accepted => Ink::Good,
                    SyncState::Refused => Ink::Bad,
                    SyncState::Pending => Ink::Warn,
                    SyncState::Off => Ink::Dim,
                };
                let tier = r.tier.map(|t| word(&t)).unwrap_or_default();
                let why = r.code.as_ref().map_or_else(|| r.why.clone(), |c| format!("{c}: {}", r.why));
                vec![cell(r.result.get(..12).unwrap_or_default()), (word(&r.state), ink), cell(tier), cell(why)]
            })
            .collect();
        if rows.is_empty() { Ok(()) } else { out.table(&["VERDICT", "STATE", "TRUST", "WHY"], &rows) }
    })
}

fn head(out: &Out, s: &SyncStatus) -> Result<()> {
    let Some(b) = &s.board else {
        out.line("No scoreboard is set up: nothing is sent.")?;
        return before(out, s);
    };
    let who = if b.token {
        format!("as {} in {}", plain(&b.name), plain(&b.class))
    } else {
        "with a key enrolled before".into()
    };
    out.line(format!("{} {who}; its key is {}", out.ink(Ink::Bold, &b.url), b.board_key))?;
    clocks(b).map_or(Ok(()), |words| out.line(out.ink(Ink::Warn, &words)))
}

/// Where coming back needs no code.
fn before(out: &Out, s: &SyncStatus) -> Result<()> {
    s.before.iter().try_for_each(|b| {
        out.line(format!(
            "Enrolled before, as {} in {}; to come back: forge enrol {}",
            plain(&b.name),
            plain(&b.class),
            b.url
        ))
    })
}

/// Milliseconds by which a clock may be off before it is worth a word, and before what is done with it is not believed.
const NOTICED: i64 = 60_000;

/// What there is to say about this machine's clock, and what comes of it.
fn clocks(b: &BoardInfo) -> Option<String> {
    let (by, way) = (apart(b.ahead_ms), if b.ahead_ms > 0 { "ahead of" } else { "behind" });
    let comes = match b.ahead_ms {
        ahead if ahead > CLOCK_SKEW => " Set it right before your next lab: results from the future are not taken.",
        ahead if ahead < -CLOCK_SKEW => {
            " Set it right before your next lab: a session’s labs begun with it do not count."
        }
        _ => "",
    };
    (b.ahead_ms.abs() > NOTICED).then(|| format!("This machine’s clock is {by} {way} the scoreboard’s.{comes}"))
}

/// Says it before a lab is begun under a session, so that its time is not spent for nothing.
pub async fn warn_of_clock(cx: &Cx) -> Result<()> {
    let status = cx.engine.sync_status(&cx.caller, Empty {}).await?;
    if let Some(words) = status.board.as_ref().and_then(clocks) {
        cx.out.progress(Ink::Warn, words);
    }
    Ok(())
}

pub async fn preview(cx: &Cx) -> Result<()> {
    let preview = cx.engine.preview_sync(&cx.caller, Empty {}).await?;
    cx.out.answer(&preview, |out, p: &SyncPreview| {
        match &p.url {
            Some(url) => out.line(format!("To {url} would be sent:"))?,
            None => out.line("No scoreboard is set up. If one were, this would be sent:")?,
        }
        if p.verdicts.is_empty() {
            out.line("Nothing.")?;
        }
        for v in &p.verdicts {
            out.line(format!("\n{} {}", out.ink(Ink::Bold, &v.lab_title), v.result))?;
            if !v.problem.is_empty() {
                out.line(out.ink(Ink::Bad, &v.problem))?;
            }
            for r in &v.requests {
                out.line(format!("  {} {}{}", r.method, r.path, if r.token { " (with your token)" } else { "" }))?;
                for part in &r.parts {
                    out.line(format!("    {:9} {:>9} bytes  sha256 {}", part.name, part.bytes, part.sha256))?;
                }
            }
            if !v.statement.is_empty() {
                out.line(format!("  envelope holds: {}", v.statement))?;
            }
            for e in &v.entries {
                out.line(format!("  evidence holds: {:>9} bytes  {} ({})", e.bytes, e.path, e.kind))?;
            }
        }
        if p.more > 0 { out.line(format!("\nand {} more.", p.more)) } else { Ok(()) }
    })
}
