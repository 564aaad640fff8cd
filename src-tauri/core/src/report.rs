//! A result as one HTML page that needs nothing else: to keep, to print, to hand in beside the verdict.
//!
//! The page fetches nothing and runs nothing: its policy allows its one style sheet, by hash, and no more. Everything
//! that came out of a lab is written by the learner or by programs they control, so every string is escaped, length is
//! bounded, and characters that reorder text are made visible.

mod isolation;
pub mod session;

use crate::api::{CriterionOutcome, OutcomeKind, ResultDetail, Telemetry, TrustTier, VerifyReport};
use crate::error::Result;
use crate::observe::charts::{self, Palette, duration, percent, points};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const STYLE: &str = include_str!("../assets/report.css");
/// Characters of one expected/seen/advice that are shown.
const SHOWN: usize = 4_000;

/// What a report is made of.
pub struct Report<'a> {
    pub detail: &'a ResultDetail,
    /// The run's telemetry excerpt; the section is left out when empty.
    pub telemetry: &'a [Telemetry],
    /// Of FrostGate Forge.
    pub version: &'a str,
    /// When the report is made, Unix milliseconds.
    pub at: i64,
}

/// The page, a complete HTML document in UTF-8.
pub fn html(report: &Report<'_>) -> Result<String> {
    let detail = report.detail;
    let summary = &detail.summary;
    let style_hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    let title = escape(&summary.lab_title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{style_hash}'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: lab report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p class=\"brand\"><b>FrostGate <i>Forge</i></b><span>Lab report</span></p>\n<h1>{title}</h1>\n"
    );
    page.push_str(&facts(detail));
    page.push_str(&score(detail));
    page.push_str(&criteria(&detail.criteria)?);
    page.push_str(&trust(summary.tier));
    page.push_str(&verification(detail));
    page.push_str(&isolation::section(&detail.isolation));
    if !report.telemetry.is_empty() {
        let both = figure(|palette| charts::telemetry(report.telemetry, palette))?;
        page.push_str(&format!("<section>\n<h2>Load and traffic</h2>\n{both}</section>\n"));
    }
    page.push_str(&format!(
        "</main>\n<footer>Made {} by FrostGate Forge {}. This page shows the verdict; it is not the verdict. What counts are \
         the signed files it was made from.</footer>\n</body>\n</html>\n",
        time(report.at),
        escape(report.version)
    ));
    Ok(page)
}

/// The tier's name and what a reader may conclude from it. A laptop's key proves origin, not honesty.
pub fn tier_words(tier: TrustTier) -> (&'static str, &'static str) {
    match tier {
        TrustTier::SelfAttested => (
            "Self-attested",
            "Signed on the learner’s own machine. It proves which key made the verdict and that nothing was changed since, not that \
             the machine was honest.",
        ),
        TrustTier::InstructorSeeded => (
            "Instructor-seeded",
            "As above, and for a challenge that an instructor issued: it was made after the challenge, for this lab and this seed.",
        ),
        TrustTier::ReGraded => (
            "Re-graded",
            "Somebody other than the learner computed every outcome again from the evidence and got the same score.",
        ),
        TrustTier::ReExecuted => (
            "Re-executed",
            "The learner’s work was replayed in a fresh lab under a fresh seed, and reached the same score there.",
        ),
    }
}

fn facts(detail: &ResultDetail) -> String {
    let s = &detail.summary;
    let facts = [
        escape(charts::track_name(&s.track)),
        format!("version {}", escape(&s.version)),
        format!("submitted {}", time(s.at)),
        format!("took {}", duration(s.duration_ms)),
        format!("run {}", escape(&s.run)),
    ];
    format!("<p class=\"facts\">{}</p>\n", facts.map(|f| format!("<span>{f}</span>")).join(""))
}

fn score(detail: &ResultDetail) -> String {
    let s = &detail.summary;
    let percent = percent(s.score, s.max);
    let passed = detail.criteria.iter().filter(|c| c.outcome == OutcomeKind::Pass).count();
    let verified = if detail.verified.ok { word("pass", "✓ verifies") } else { word("fail", "✗ does not verify") };
    let (tier, _) = tier_words(s.tier);
    format!(
        "<section class=\"score\" aria-label=\"Score\">\n\
         <p class=\"big\">{} <small>of {} points, {percent} %</small></p>\n\
         <dl><dt>Criteria</dt><dd>{passed} of {} passed</dd><dt>Trust</dt><dd>{tier}</dd><dt>Verdict</dt><dd>{verified}</dd></dl>\n\
         <svg class=\"bar\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><rect class=\"full\" width=\"100\" \
         height=\"1\"/><rect class=\"got\" width=\"{percent}\" height=\"1\"/></svg>\n</section>\n",
        points(s.score),
        points(s.max),
        detail.criteria.len(),
    )
}

fn word(class: &str, words: &str) -> String {
    format!("<span class=\"word {class}\">{words}</span>")
}

fn outcome(kind: OutcomeKind) -> String {
    match kind {
        OutcomeKind::Pass => word("pass", "✓ passed"),
        OutcomeKind::Fail => word("fail", "✗ failed"),
        OutcomeKind::Error => word("warn", "! error"),
        OutcomeKind::NotChecked => word("muted", "– not checked"),
    }
}

fn criteria(criteria: &[CriterionOutcome]) -> Result<String> {
    let mut out = String::from("<section>\n<h2>Criteria</h2>\n");
    out.push_str(&figure(|palette| charts::criteria(criteria, palette))?);
    for c in criteria {
        let _infallible = write!(
            out,
            "<article class=\"criterion\">\n<header>{}<h3>{}</h3><span class=\"points\">{} of {}</span></header>\n<dl>",
            outcome(c.outcome),
            escape(&c.title),
            points(c.points),
            points(c.max)
        );
        for (name, text) in [("Expected", &c.expected), ("Seen", &c.seen), ("Advice", &c.advice)] {
            if !text.is_empty() {
                let text = if name == "Advice" { shown(text) } else { format!("<pre>{}</pre>", shown(text)) };
                let _infallible = write!(out, "<dt>{name}</dt><dd>{text}</dd>");
            }
        }
        out.push_str("</dl>\n</article>\n");
    }
    out.push_str("</section>\n");
    Ok(out)
}

fn trust(reached: TrustTier) -> String {
    let tiers = [TrustTier::SelfAttested, TrustTier::InstructorSeeded, TrustTier::ReGraded, TrustTier::ReExecuted];
    let rows = tiers.map(|tier| {
        let (name, meaning) = tier_words(tier);
        let (current, note) = if tier == reached { (" aria-current=\"true\"", "<br>this verdict") } else { ("", "") };
        format!("<li{current}><span><b>{name}</b>{note}</span><span>{meaning}</span></li>\n")
    });
    format!("<section>\n<h2>How far to trust it</h2>\n<ol class=\"tiers\">\n{}</ol>\n</section>\n", rows.concat())
}

fn verification(detail: &ResultDetail) -> String {
    let VerifyReport { key_id, verdict_id, checks, .. } = &detail.verified;
    let rows: String = checks
        .iter()
        .map(|check| {
            let state = if check.ok { word("pass", "✓ holds") } else { word("fail", "✗ fails") };
            format!(
                "<li>{state}<span>{}</span><span class=\"muted\">{}</span></li>\n",
                escape(&check.name),
                shown(&check.detail)
            )
        })
        .collect();
    format!(
        "<section>\n<h2>Verification</h2>\n<ol class=\"checks\">\n{rows}</ol>\n\
         <h2>Verify it yourself</h2>\n<p>In the folder of the verdict, with nothing of ours installed, this checks the signature:</p>\n\
         <pre class=\"command\">{}</pre>\n\
         <p>It prints “Signature Verified Successfully”. Then compare the key below with the one the learner gave you, and the SHA-256 \
         of <code>score.json</code> and <code>evidence.tar.zst</code> with those named in <code>verdict.pae</code>. \
         <code>forge verify DIR --regrade</code> does all of this and computes every outcome again from the evidence.</p>\n\
         <dl class=\"ids\"><dt>Verdict</dt><dd class=\"mono\">{}</dd><dt>Key</dt><dd class=\"mono\">{}</dd></dl>\n</section>\n",
        escape(&detail.openssl),
        escape(verdict_id),
        escape(key_id)
    )
}

/// The chart for both themes; the style sheet shows one.
fn figure(draw: impl Fn(&Palette) -> Result<String>) -> Result<String> {
    let (light, dark) = (draw(Palette::of(false))?, draw(Palette::of(true))?);
    Ok(format!("<figure class=\"light\">{light}</figure>\n<figure class=\"dark\">{dark}</figure>\n"))
}

fn time(at: i64) -> String {
    match jiff::Timestamp::from_millisecond(at) {
        Ok(at) => at.strftime("%-d %B %Y, %H:%M UTC").to_string(),
        Err(_) => "at an unknown time".to_owned(),
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        None => escape(text),
        Some((cut, _)) => {
            let all = text.chars().count();
            format!("{}… (cut; {all} characters in the evidence)", escape(text.get(..cut).unwrap_or_default()))
        }
    }
}

/// For HTML text and quoted attributes. Control characters go; what would reorder or hide text is shown as U+FFFD.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                out.push('\u{fffd}')
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests;
