//! A class session as one page: who reached what, and how it is known; what was hard; what to ask about.

use super::{STYLE, escape, shown, tier_words, time};
use crate::api::{LiveBoard, LiveCell, LiveState};
use crate::observe::charts::points;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write;

const TABLES: &str = include_str!("../../assets/session-report.css");

pub struct SessionReport<'a> {
    pub board: &'a LiveBoard,
    /// The scoreboard's address and the fingerprint of its key.
    pub url: &'a str,
    pub board_key: &'a str,
    /// Fingerprint of the key that signs the report.
    pub key_id: &'a str,
    /// Of FrostGate Forge.
    pub version: &'a str,
    /// When the report is made, Unix milliseconds.
    pub at: i64,
}

/// A complete HTML document in UTF-8; it fetches nothing and runs nothing.
pub fn html(r: &SessionReport<'_>) -> String {
    let s = &r.board.session;
    let style = format!("{STYLE}{TABLES}");
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    let title = escape(&s.title);
    let seeds = if s.shared_seed { "the same addresses for everybody" } else { "other addresses for each learner" };
    let hints = if s.hints { "hints allowed" } else { "no hints" };
    let frozen = if s.frozen { "<span>frozen</span>" } else { "" };
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{hash}'; \
         base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: session report</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n\
         <p class=\"brand\"><b>FrostGate <i>Forge</i></b><span>Session report</span></p>\n<h1>{title}</h1>\n\
         <p class=\"facts\"><span>{}</span><span>deadline {}</span><span>{seeds}</span><span>{hints}</span>{frozen}</p>\n",
        escape(&s.class),
        time(s.deadline)
    );
    page.push_str(&counts(r.board));
    page.push_str(&standings(r.board));
    page.push_str(&hard(r.board));
    page.push_str(&questions(&r.board.questions));
    page.push_str(&verification(r));
    let _infallible = write!(
        page,
        "</main>\n<footer>Made {} by FrostGate Forge {}. What counts are the verdicts, each of which can be verified on its own \
         page of the scoreboard; this page sums them up.</footer>\n</body>\n</html>\n",
        time(r.at),
        escape(r.version)
    );
    page
}

fn counts(board: &LiveBoard) -> String {
    let submitted = board.rows.iter().filter(|r| r.labs.iter().any(|c| c.verdict.is_some())).count();
    let verdicts = board.rows.iter().flat_map(|r| &r.labs).filter(|c| c.in_time).count();
    format!(
        "<section class=\"score\" aria-label=\"Numbers\">\n<p class=\"big\">{submitted} <small>of {} learners submitted</small></p>\n\
         <dl><dt>Labs</dt><dd>{}</dd><dt>Verdicts in time</dt><dd>{verdicts}</dd></dl>\n</section>\n",
        board.rows.len(),
        board.labs.len()
    )
}

fn standings(board: &LiveBoard) -> String {
    let heads: String = board.labs.iter().map(|l| format!("<th scope=\"col\">{}</th>", escape(&l.title))).collect();
    let mut out = format!(
        "<section>\n<h2>Standings</h2>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"Standings\">\n<table>\n<caption>Points of verdicts that arrived in time, best verdict of each \
         lab.</caption>\n<thead><tr><th scope=\"col\" class=\"n\">Place</th><th scope=\"col\">Learner</th>{heads}\
         <th scope=\"col\" class=\"n\">Points</th></tr></thead>\n<tbody>\n"
    );
    for (i, row) in board.rows.iter().enumerate() {
        // Equal points, equal place.
        let place = board.rows.iter().take(i).filter(|r| r.verified > row.verified).count() + 1;
        let place = if row.verified == 0 { "–".to_owned() } else { place.to_string() };
        let cells: String = row.labs.iter().map(cell).collect();
        let _infallible = writeln!(
            out,
            "<tr><td class=\"n\">{place}</td><th scope=\"row\">{}</th>{cells}<td class=\"n\">{}</td></tr>",
            escape(&row.name),
            points(row.verified)
        );
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    if board.rows.is_empty() {
        out.push_str("<p class=\"muted\">Nobody joined.</p>\n");
    }
    out.push_str("</section>\n");
    out
}

fn cell(c: &LiveCell) -> String {
    let score = format!("{} of {}", points(c.score), points(c.max));
    match (c.tier, c.state) {
        (Some(tier), _) => {
            let late = if c.in_time { "" } else { ", late: does not count" };
            format!("<td>{score}<small>{}{late}</small></td>", tier_words(tier).0)
        }
        (None, LiveState::NotStarted) => "<td class=\"muted\">not started</td>".into(),
        (None, _) => format!("<td class=\"muted\">{score}<small>said by the laptop, not submitted</small></td>"),
    }
}

fn hard(board: &LiveBoard) -> String {
    if board.red.is_empty() {
        return String::new();
    }
    let title = |id: &str| board.labs.iter().find(|l| l.id == id).map_or(id, |l| l.title.as_str()).to_owned();
    let rows: String = board
        .red
        .iter()
        .take(20)
        .map(|r| {
            format!(
                "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{} of {}</td></tr>\n",
                shown(&r.title),
                escape(&title(&r.lab)),
                r.learners,
                r.of
            )
        })
        .collect();
    format!(
        "<section>\n<h2>What was hard</h2>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"What was hard\">\n<table>\n<caption>Not passed, as the laptops said last.</caption>\n<thead><tr>\
         <th scope=\"col\">Criterion</th><th scope=\"col\">Lab</th><th scope=\"col\" class=\"n\">Learners</th></tr></thead>\n\
         <tbody>\n{rows}</tbody>\n</table>\n</div>\n</section>\n"
    )
}

fn questions(questions: &[String]) -> String {
    if questions.is_empty() {
        return String::new();
    }
    let rows: String = questions.iter().map(|q| format!("<li>{}</li>\n", shown(q))).collect();
    format!(
        "<section>\n<h2>To ask about</h2>\n<p class=\"muted\">Questions, not verdicts.</p>\n<ul class=\"list\">\n{rows}</ul>\n</section>\n"
    )
}

fn verification(r: &SessionReport<'_>) -> String {
    format!(
        "<section>\n<h2>Verify it yourself</h2>\n<p>In the folder of this report, with nothing of ours installed, this checks the \
         instructor’s signature:</p>\n<pre class=\"command\">openssl pkeyutl -verify -pubin -inkey report.pub.pem -rawin -in report.pae \
         -sigfile report.sig</pre>\n<p>Then compare the SHA-256 of <code>report.html</code> and <code>session.csv</code> with those \
         in <code>report.pae</code>, and the key below with the one the instructor gave you.</p>\n\
         <dl class=\"ids\"><dt>Key</dt><dd class=\"mono\">{}</dd><dt>Scoreboard</dt><dd class=\"mono\">{}</dd><dt>Its key</dt>\
         <dd class=\"mono\">{}</dd><dt>Session</dt><dd class=\"mono\">{}</dd></dl>\n</section>\n",
        escape(r.key_id),
        escape(r.url),
        escape(r.board_key),
        escape(&r.board.session.id)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::api::{BoardLab, LiveRow, RedCriterion, SessionInfo, TrustTier};

    fn board(name: &str) -> LiveBoard {
        let cell = |score, in_time, tier| LiveCell {
            lab: "l".into(),
            state: LiveState::Submitted,
            score,
            max: 10_000,
            outcomes: Default::default(),
            tier,
            in_time,
            verdict: tier.map(|_| "v".into()),
            job: None,
        };
        let row = |name: &str, c: LiveCell| LiveRow {
            learner: "x".into(),
            name: name.into(),
            points: c.score,
            verified: if c.in_time { c.score } else { 0 },
            max: c.max,
            hints: 0,
            at: 1,
            quiet: false,
            labs: vec![c],
        };
        let tier = Some(TrustTier::ReGraded);
        LiveBoard {
            session: SessionInfo {
                id: "s".into(),
                class: name.into(),
                title: name.into(),
                labs: vec!["l".into()],
                shared_seed: true,
                deadline: 1_795_396_380_000,
                remaining_ms: 0,
                grace_minutes: 15,
                hints: false,
                attempts: 3,
                frozen: true,
                join_code: Some("SECRET-CODE".into()),
            },
            labs: vec![BoardLab { id: "l".into(), title: name.into(), criteria: Default::default(), seed_bound: None }],
            rows: vec![
                row("Ada", cell(9000, true, tier)),
                row("Bea", cell(9000, true, tier)),
                row(name, cell(7000, true, tier)),
                row("Dan", cell(8000, false, tier)),
            ],
            red: vec![RedCriterion { lab: "l".into(), criterion: "c".into(), title: name.into(), learners: 3, of: 4 }],
            questions: vec![name.into()],
            messages: Vec::new(),
            at: 0,
            turn: 0,
        }
    }

    fn page(name: &str) -> String {
        html(&SessionReport { board: &board(name), url: name, board_key: "k", key_id: "k", version: "0", at: 0 })
    }

    #[test]
    fn no_text_becomes_markup() {
        for hostile in
            ["<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "</style></title><h1>1000 points"]
        {
            let hostile_page = page(hostile);
            let plain = page("plain");
            for tag in ["<script", "<img", "<h1", "</style", "</title", "onerror=\""] {
                assert_eq!(hostile_page.matches(tag).count(), plain.matches(tag).count(), "{hostile}: {tag}");
            }
        }
    }

    #[test]
    fn places_are_shared_and_what_came_late_does_not_count() {
        let page = page("Cleo");
        let rows: Vec<&str> = page.lines().filter(|l| l.starts_with("<tr><td")).collect();
        let starts = ["1", "1", "3", "–"].map(|place| format!("<tr><td class=\"n\">{place}</td>"));
        assert_eq!(rows.len(), 4);
        for (row, start) in rows.iter().zip(&starts) {
            assert!(row.starts_with(start.as_str()), "{row}");
        }
        assert!(
            rows.last().unwrap().contains("late: does not count")
                && rows.last().unwrap().ends_with("<td class=\"n\">0</td></tr>")
        );
        assert!(!page.contains("SECRET-CODE"), "a report is handed on; the code is not");
        assert!(!page.contains("http-equiv=\"refresh\"") && page.contains("default-src 'none'"));
    }
}
