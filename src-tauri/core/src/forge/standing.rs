//! A session's board, from what the scoreboard says: who stands where in each lab, who is first, what is red for most. Pure.

use crate::api::*;
use crate::board::{Progress, ProgressState, SessionBoard, SessionResult, SessionRow};
use crate::template::Catalogue;
use crate::template::scenario::Reexecution;

/// A laptop tells at least once a minute while a lab runs.
const QUIET: i64 = 150_000;

/// `server_now` is by the scoreboard's clock.
pub(super) fn board(
    seen: SessionBoard,
    session: SessionInfo,
    messages: Vec<SessionMessage>,
    catalogue: &Catalogue,
    server_now: i64,
) -> LiveBoard {
    let labs: Vec<BoardLab> = session.labs.iter().map(|id| named(id, catalogue)).collect();
    let mut rows: Vec<LiveRow> = seen.rows.iter().map(|r| row(r, &session.labs, server_now)).collect();
    rows.sort_by(|a, b| (b.verified, b.points, &a.name).cmp(&(a.verified, a.points, &b.name)));
    let begun =
        |lab: &str| u32::try_from(seen.rows.iter().filter(|r| told(r, lab).is_some()).count()).unwrap_or(u32::MAX);
    let red = seen.red.iter().map(|r| RedCriterion {
        title: labs
            .iter()
            .find(|l| l.id == r.lab)
            .and_then(|l| l.criteria.get(&r.criterion))
            .unwrap_or(&r.criterion)
            .clone(),
        learners: u32::try_from(r.learners).unwrap_or(0),
        of: begun(&r.lab),
        lab: r.lab.clone(),
        criterion: r.criterion.clone(),
    });
    let red = red.collect();
    LiveBoard { session, labs, rows, red, questions: seen.questions, messages, at: server_now, turn: 0 }
}

/// The lab as this installation knows it, else by its id.
fn named(id: &str, catalogue: &Catalogue) -> BoardLab {
    match catalogue.get(id) {
        Ok(lab) => BoardLab {
            id: id.to_owned(),
            title: lab.title.clone(),
            criteria: lab.specimen.criteria.iter().map(|c| (c.id.clone(), c.title.clone())).collect(),
            seed_bound: match &lab.specimen.reexecution {
                Some(Reexecution::Carry { .. }) => None,
                Some(Reexecution::Bound { why }) => Some(why.clone()),
                None => Some("Its template does not say what of an answer belongs to the seed.".into()),
            },
        },
        Err(_) => BoardLab { id: id.to_owned(), title: id.to_owned(), criteria: Default::default(), seed_bound: None },
    }
}

fn row(seen: &SessionRow, labs: &[String], now: i64) -> LiveRow {
    let cells: Vec<LiveCell> = labs.iter().map(|lab| cell(seen, lab)).collect();
    let runs =
        seen.progress.as_ref().is_some_and(|p| matches!(p.state, ProgressState::Starting | ProgressState::Working));
    LiveRow {
        learner: seen.learner.clone(),
        name: seen.name.clone(),
        points: cells.iter().map(|c| c.score).sum(),
        verified: cells.iter().filter(|c| c.in_time).map(|c| c.score).sum(),
        max: cells.iter().map(|c| c.max).sum(),
        hints: seen.progress.iter().chain(&seen.others).fold(0, |sum, p| sum.saturating_add(p.hints)),
        at: seen.at,
        quiet: runs && now - seen.at > QUIET,
        labs: cells,
    }
}

/// What the laptop said last of this lab.
fn told<'a>(seen: &'a SessionRow, lab: &str) -> Option<&'a Progress> {
    seen.progress.iter().chain(&seen.others).find(|p| p.lab == lab)
}

/// What counts is the best verdict in time; without one a late verdict, or where the laptop says it is.
fn cell(seen: &SessionRow, lab: &str) -> LiveCell {
    let best: Option<&SessionResult> =
        seen.results.iter().filter(|r| r.lab == lab).max_by_key(|r| (r.in_time, r.score, std::cmp::Reverse(r.at)));
    let told = told(seen, lab);
    let state = match (told.map(|p| p.state), best) {
        (Some(ProgressState::Starting), _) => LiveState::Starting,
        (Some(ProgressState::Working), _) => LiveState::Working,
        (Some(ProgressState::Paused), _) => LiveState::Paused,
        (Some(ProgressState::Submitted), _) | (_, Some(_)) => LiveState::Submitted,
        (Some(ProgressState::Stopped), None) => LiveState::Stopped,
        (None, None) => LiveState::NotStarted,
    };
    let (score, max) = match (best, told) {
        (Some(r), _) => (r.score, r.max),
        (None, Some(p)) => (p.score.min(p.max), p.max),
        (None, None) => (0, 0),
    };
    LiveCell {
        lab: lab.to_owned(),
        state,
        score,
        max,
        outcomes: told.map(|p| p.criteria.clone()).unwrap_or_default(),
        tier: best.map(|r| r.tier),
        in_time: best.is_some_and(|r| r.in_time),
        verdict: best.map(|r| r.verdict.clone()),
        job: best.and_then(|r| r.job.clone()).map(super::worker::told),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn progress(state: ProgressState, score: u64) -> Progress {
        let criteria = [("a".to_owned(), OutcomeKind::Fail)].into();
        Progress { lab: "l".into(), run: "r".into(), state, criteria, score, max: 100, hints: 2, elapsed_ms: 0 }
    }

    fn result(score: u64, in_time: bool) -> SessionResult {
        SessionResult {
            lab: "l".into(),
            verdict: "v".into(),
            score,
            max: 100,
            tier: TrustTier::ReGraded,
            in_time,
            at: 1,
            job: None,
        }
    }

    fn seen(progress: Option<Progress>, results: Vec<SessionResult>) -> SessionRow {
        SessionRow { learner: "x".into(), name: "X".into(), progress, others: Vec::new(), at: 1000, results }
    }

    #[test]
    fn a_late_verdict_is_shown_and_does_not_count() {
        let labs = ["l".to_owned(), "m".to_owned()];
        let late = row(&seen(None, vec![result(90, false)]), &labs, 1000);
        assert_eq!((late.points, late.verified, late.labs[0].state), (90, 0, LiveState::Submitted));
        let both = row(&seen(None, vec![result(90, false), result(40, true)]), &labs, 1000);
        assert_eq!((both.points, both.verified), (40, 40), "the one in time counts, though it is worse");
        assert_eq!(both.labs[1].state, LiveState::NotStarted);
    }

    #[test]
    fn who_works_again_after_a_verdict_is_working_and_keeps_its_points() {
        let again = row(&seen(Some(progress(ProgressState::Working, 10)), vec![result(70, true)]), &["l".into()], 2000);
        assert_eq!((again.labs[0].state, again.points, again.hints), (LiveState::Working, 70, 2));
        let stopped = row(&seen(Some(progress(ProgressState::Stopped, 10)), vec![]), &["l".into()], 2000);
        assert_eq!((stopped.labs[0].state, stopped.points, stopped.verified), (LiveState::Stopped, 10, 0));
    }

    #[test]
    fn who_went_on_to_the_next_lab_has_begun_the_last_one() {
        let labs = ["l".to_owned(), "m".to_owned(), "n".to_owned()];
        let next = Progress { lab: "m".into(), ..progress(ProgressState::Working, 30) };
        let on = SessionRow { others: vec![progress(ProgressState::Stopped, 10)], ..seen(Some(next), vec![]) };
        let row = row(&on, &labs, 1000);
        let states: Vec<LiveState> = row.labs.iter().map(|c| c.state).collect();
        assert_eq!(states, [LiveState::Stopped, LiveState::Working, LiveState::NotStarted]);
        assert_eq!((row.points, row.hints, row.labs[0].outcomes.len()), (40, 4, 1));
    }

    #[test]
    fn only_a_lab_that_runs_can_fall_quiet() {
        for (state, quiet) in
            [(ProgressState::Working, true), (ProgressState::Paused, false), (ProgressState::Submitted, false)]
        {
            let late = row(&seen(Some(progress(state, 0)), vec![]), &["l".into()], 1000 + QUIET + 1);
            assert_eq!(late.quiet, quiet, "{state:?}");
        }
        assert!(!row(&seen(Some(progress(ProgressState::Working, 0)), vec![]), &["l".into()], 1000 + QUIET).quiet);
    }

    #[test]
    fn no_laptop_says_more_points_than_there_are() {
        let boast = row(&seen(Some(progress(ProgressState::Working, 5000)), vec![]), &["l".into()], 1000);
        assert_eq!(boast.points, 100);
    }
}
