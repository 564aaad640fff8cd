//! How far the learner of this installation is with each lab of a session: what to go on with, what was submitted. Asks nobody, so
//! that it is known while the scoreboard is away.

use super::Forge;
use crate::api::*;
use crate::board::Session;
use crate::error::Result;
use crate::store::session::{self as kept, Sealed, Taken};
use crate::store::sync as rows;
use std::cmp::Reverse;

impl Forge {
    pub(super) async fn attempts(&self, request: SessionRequest) -> Result<Vec<LabAttempts>> {
        let id = request.session;
        let read = move |c: &_| Ok((kept::get(c, &id)?, kept::taken(c, &id)?, rows::board(c)?));
        let (known, taken, board) = self.store.read(read).await?;
        // One that cannot be read any more is said by whoever lists it.
        let Some(session) = known.and_then(|k| serde_json::from_str::<Session>(&k.told).ok()) else {
            return Ok(Vec::new());
        };
        // By this machine's clock.
        let deadline = session.deadline + board.map_or(0, |b| b.ahead_ms);
        Ok(session.labs.iter().map(|lab| of(lab, &taken, deadline)).collect())
    }
}

fn of(lab: &str, taken: &[Taken], deadline: i64) -> LabAttempts {
    let mine: Vec<&Taken> = taken.iter().filter(|t| t.lab == lab).collect();
    let alive = mine.iter().filter(|t| t.alive.is_some()).max_by_key(|t| t.verdict.is_none());
    let verdicts: Vec<&Sealed> = mine.iter().filter_map(|t| t.verdict.as_ref()).collect();
    let late = |v: &Sealed| v.at > deadline;
    let best = verdicts.iter().max_by_key(|v| (!late(v), v.score, Reverse(v.at)));
    LabAttempts {
        lab: lab.to_owned(),
        run: alive.and_then(|t| t.alive.clone()),
        submitted: alive.is_some_and(|t| t.verdict.is_some()),
        answered: u32::try_from(verdicts.len()).unwrap_or(u32::MAX),
        best: best.map(|v| v.id.clone()),
        score: best.map_or(0, |v| v.score),
        max: best.map_or(0, |v| v.max),
        late: best.is_some_and(|v| late(v)),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn taken(lab: &str, alive: Option<&str>, verdict: Option<(&str, u64, i64)>) -> Taken {
        let verdict = verdict.map(|(id, score, at)| Sealed { id: id.to_owned(), score, max: 9, at });
        Taken { lab: lab.into(), alive: alive.map(str::to_owned), verdict }
    }

    #[test]
    fn what_can_still_be_submitted_is_gone_on_with() {
        let both = [taken("l", Some("open"), None), taken("l", Some("done"), Some(("v", 5, 1)))];
        let now = of("l", &both, 10);
        assert_eq!((now.run.as_deref(), now.submitted, now.answered, now.score), (Some("open"), false, 1, 5));
        let only = of("l", &both[1..], 10);
        assert_eq!((only.run.as_deref(), only.submitted), (Some("done"), true), "open to look at, and no more");
        assert_eq!(of("m", &both, 10).run, None, "another lab's run is no run of this one");
    }

    #[test]
    fn the_best_verdict_in_time_is_shown_and_the_first_of_equals() {
        let four = [("a", 5, 1), ("b", 7, 2), ("c", 7, 3), ("d", 9, 11)].map(|v| taken("l", None, Some(v)));
        let now = of("l", &four, 10);
        assert_eq!((now.best.as_deref(), now.score, now.max, now.answered), (Some("b"), 7, 9, 4));
        assert!(!now.late && of("l", &four[3..], 10).late, "after the deadline it does not count");
        assert_eq!((of("l", &[], 10).best, of("l", &[taken("l", None, None)], 10).answered), (None, 0));
    }
}
