//! What an instructor sees of a session: who is where, what is red for most, what to ask about; and the same as CSV.

use super::App;
use super::ask::Path;
use super::error::Answer;
use super::sessions::taught;
use super::views::{Red, SessionBoard, SessionResult, SessionRow};
use super::who::Who;
use crate::metrics::tier_word;
use crate::store::verdicts::{self, Verdict};
use crate::store::{jobs, session, session_log};
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use forge_core::api::OutcomeKind;
use forge_core::board::{CLOCK_SKEW, Fact, Session, apart};
use forge_core::template::Catalogue;
use forge_core::verdict::score::Score;
use std::collections::BTreeMap;

async fn gather(app: &App, who: &Who, id: &str) -> Answer<SessionBoard> {
    let session = Session { join_code: None, ..taught(app, who, id).await?.session };
    let wanted = id.to_owned();
    let (members, progress, each, results, asked) = app
        .store
        .read(move |tx| {
            Ok((
                session::members(tx, &wanted)?,
                session_log::all_progress(tx, &wanted)?,
                session_log::each_progress(tx, &wanted)?,
                verdicts::of_session(tx, &wanted)?,
                jobs::of_session(tx, &wanted)?,
            ))
        })
        .await?;
    let asked: BTreeMap<String, _> = asked.into_iter().map(|k| (k.job.verdict.clone(), k.job)).collect();
    let mut progress: BTreeMap<String, _> = progress.into_iter().map(|(l, p, at)| (l, (p, at))).collect();
    let mut others: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (learner, p) in each {
        others.entry(learner).or_default().push(p);
    }
    let names: BTreeMap<&str, &str> = members.iter().map(|(id, name, _)| (id.as_str(), name.as_str())).collect();
    let questions = questions(&session, &results, &names, &app.labs);
    let mut red: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut rows = Vec::new();
    for (learner, name, joined_at) in &members {
        let now = progress.remove(learner);
        let at_now = now.as_ref().map(|(p, _)| p.lab.as_str());
        let mut others = others.remove(learner).unwrap_or_default();
        others.retain(|p| Some(p.lab.as_str()) != at_now);
        for p in now.iter().map(|(p, _)| p).chain(&others) {
            // What was not asked yet is not red.
            for (criterion, _) in p.criteria.iter().filter(|(_, o)| matches!(o, OutcomeKind::Fail | OutcomeKind::Error))
            {
                *red.entry((p.lab.clone(), criterion.clone())).or_insert(0) += 1;
            }
        }
        let own = results.iter().filter(|v| v.learner == *learner).map(|v| SessionResult {
            lab: v.lab.clone(),
            verdict: v.id.clone(),
            score: v.score,
            max: v.max,
            tier: v.tier,
            in_time: v.facts.contains(&Fact::IssuedSeed),
            at: v.received_at,
            job: asked.get(&v.id).cloned(),
        });
        rows.push(SessionRow {
            learner: learner.clone(),
            name: name.clone(),
            at: now.as_ref().map_or(*joined_at, |(_, at)| *at),
            progress: now.map(|(p, _)| p),
            others,
            results: own.collect(),
        });
    }
    let mut red: Vec<Red> =
        red.into_iter().map(|((lab, criterion), learners)| Red { lab, criterion, learners }).collect();
    red.sort_by_key(|r| std::cmp::Reverse(r.learners));
    Ok(SessionBoard { session, rows, red, questions })
}

pub async fn board(State(app): State<App>, who: Who, Path(id): Path<String>) -> Answer<Json<SessionBoard>> {
    Ok(Json(gather(&app, &who, &id).await?))
}

/// A tenth of what the lab is meant to take.
const FAST: u64 = 10;

fn questions(session: &Session, results: &[Verdict], names: &BTreeMap<&str, &str>, labs: &Catalogue) -> Vec<String> {
    let name = |v: &Verdict| names.get(v.learner.as_str()).copied().unwrap_or("Somebody").to_owned();
    let lab = |id: &str| labs.get(id).map_or_else(|_| id.to_owned(), |l| l.title.clone());
    let mut out = Vec::new();
    for (i, a) in results.iter().enumerate() {
        for b in results.iter().skip(i + 1).take(2_000) {
            let same = a.answers.is_some() && a.answers == b.answers && a.lab == b.lab;
            if same && a.seed != b.seed && a.learner != b.learner {
                out.push(format!(
                    "{} and {} gave the same answers in {}, under different seeds. How?",
                    name(a),
                    name(b),
                    lab(&a.lab)
                ));
            }
            if a.learner == b.learner && a.started < b.finished && b.started < a.finished {
                let (one, other) = (lab(&a.lab), lab(&b.lab));
                let what = if one == other { format!("{one}, twice") } else { format!("{one} and {other}") };
                out.push(format!("{} worked on {what} at the same time. Was it one person?", name(a)));
            }
        }
        if !session.hints && hinted(a) {
            out.push(format!(
                "{} paid for hints in {}, in a session without hints. How did they come by them?",
                name(a),
                lab(&a.lab)
            ));
        }
        if a.started < session.created_at - CLOCK_SKEW {
            out.push(format!(
                "{}’s run of {} says that it began {} before this session was made. Is their laptop’s clock wrong?",
                name(a),
                lab(&a.lab),
                apart(session.created_at - a.started)
            ));
        }
        let minutes = labs.get(&a.lab).map_or(0, |l| u64::from(l.minutes));
        if a.score == a.max && a.duration_ms * FAST < minutes * 60_000 {
            out.push(format!(
                "{} solved {} in {}; it is meant to take {minutes} min. Had they done it before?",
                name(a),
                lab(&a.lab),
                lasted(a.duration_ms)
            ));
        }
        if out.len() >= 200 {
            break;
        }
    }
    out
}

fn lasted(ms: u64) -> String {
    match (ms / 60_000, ms / 1000 % 60) {
        (0, s) => format!("{s} s"),
        (min, 0) => format!("{min} min"),
        (min, s) => format!("{min} min {s} s"),
    }
}

/// Milli-points as points, with as many decimals as there are.
fn points(milli: u64) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What score.json took off for hints. Without the bundle nobody knows.
fn hinted(v: &Verdict) -> bool {
    let score = v.score_json.as_deref().and_then(|bytes| Score::from_bytes(bytes).ok());
    score.is_some_and(|s| s.criteria.iter().any(|c| c.hint_cost > 0))
}

/// RFC 4180; a cell that a spreadsheet would run gets an apostrophe before it.
fn cell(text: &str) -> String {
    let risky = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if risky { format!("'{text}") } else { text.to_owned() };
    format!("\"{}\"", text.replace('"', "\"\""))
}

pub async fn csv(State(app): State<App>, who: Who, Path(id): Path<String>) -> Answer<Response> {
    let board = gather(&app, &who, &id).await?;
    // Spreadsheets take a file without this mark for one of their own country's characters, and spoil every name that is not English.
    let mut out = String::from("\u{feff}learner,name,lab,state,points,of,tier,in_time,verdict,at\r\n");
    let at = |ms: i64| jiff::Timestamp::from_millisecond(ms).map(|t| t.to_string()).unwrap_or_default();
    for row in &board.rows {
        for lab in &board.session.labs {
            let best = row.results.iter().filter(|r| r.lab == *lab).max_by_key(|r| (r.in_time, r.score));
            let working = row.progress.iter().chain(&row.others).find(|p| p.lab == *lab);
            let state = match (best, working) {
                (Some(_), _) => "submitted".to_owned(),
                (None, Some(p)) => serde_json::json!(p.state).as_str().unwrap_or_default().to_owned(),
                (None, None) => "not started".to_owned(),
            };
            let (score, max) = best.map(|r| (r.score, r.max)).or(working.map(|p| (p.score, p.max))).unwrap_or((0, 0));
            let cells = [
                row.learner.clone(),
                row.name.clone(),
                lab.clone(),
                state,
                points(score),
                points(max),
                best.map(|r| tier_word(r.tier).to_owned()).unwrap_or_default(),
                best.map(|r| r.in_time.to_string()).unwrap_or_default(),
                best.map(|r| r.verdict.clone()).unwrap_or_default(),
                at(best.map_or(row.at, |r| r.at)),
            ];
            out.push_str(&cells.map(|c| cell(&c)).join(","));
            out.push_str("\r\n");
        }
    }
    let head = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"session.csv\""),
    ];
    Ok((head, out).into_response())
}

#[cfg(test)]
mod tests {
    use super::{cell, lasted, points};

    #[test]
    fn no_cell_runs_in_a_spreadsheet() {
        assert_eq!(cell("=cmd()"), "\"'=cmd()\"");
        assert_eq!(cell("a \"b\", c"), "\"a \"\"b\"\", c\"");
    }

    #[test]
    fn points_and_times_are_for_people() {
        let shown = [0, 9000, 9500, 250, 1_234_005].map(points);
        assert_eq!(shown, ["0", "9", "9.5", "0.25", "1234.005"]);
        assert_eq!([4200, 60_000, 162_000].map(lasted), ["4 s", "1 min", "2 min 42 s"]);
    }
}
