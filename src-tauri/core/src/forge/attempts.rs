//! How far the learner of this installation is with each lab of a session: what to go on with, what was submitted. Asks nobody, so
//! that it is known while the scoreboard is away.

use super::Forge;
use crate::api::*;
use crate::board::Session;
use crate::error::Result;
use crate::store::session::{self as kept, Taken};

impl Forge {
    pub(super) async fn attempts(&self, request: SessionRequest) -> Result<Vec<LabAttempts>> {
        let id = request.session;
        let (known, taken) = self.store.read(move |c| Ok((kept::get(c, &id)?, kept::taken(c, &id)?))).await?;
        // One that cannot be read any more is said by whoever lists it.
        let labs =
            known.and_then(|k| serde_json::from_str::<Session>(&k.told).ok()).map(|s| s.labs).unwrap_or_default();
        Ok(labs.iter().map(|lab| of(lab, &taken)).collect())
    }
}

fn of(lab: &str, taken: &[Taken]) -> LabAttempts {
    let mine: Vec<&Taken> = taken.iter().filter(|t| t.lab == lab).collect();
    let alive = mine.iter().filter(|t| t.alive.is_some()).max_by_key(|t| t.verdict.is_none());
    let verdicts: Vec<_> = mine.iter().filter_map(|t| t.verdict.as_ref()).collect();
    // The first of equals: it counts.
    let best = verdicts.iter().rev().max_by_key(|(_, score, _)| *score);
    LabAttempts {
        lab: lab.to_owned(),
        run: alive.and_then(|t| t.alive.clone()),
        submitted: alive.is_some_and(|t| t.verdict.is_some()),
        answered: u32::try_from(verdicts.len()).unwrap_or(u32::MAX),
        best: best.map(|(id, ..)| id.clone()),
        score: best.map_or(0, |(_, score, _)| *score),
        max: best.map_or(0, |(_, _, max)| *max),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn taken(lab: &str, alive: Option<&str>, verdict: Option<(&str, u64)>) -> Taken {
        let verdict = verdict.map(|(id, score)| (id.to_owned(), score, 9));
        Taken { lab: lab.into(), alive: alive.map(str::to_owned), verdict }
    }

    #[test]
    fn what_can_still_be_submitted_is_gone_on_with() {
        let both = [taken("l", Some("open"), None), taken("l", Some("done"), Some(("v", 5)))];
        let now = of("l", &both);
        assert_eq!((now.run.as_deref(), now.submitted, now.answered, now.score), (Some("open"), false, 1, 5));
        let only = of("l", &both[1..]);
        assert_eq!((only.run.as_deref(), only.submitted), (Some("done"), true), "open to look at, and no more");
        assert_eq!(of("m", &both).run, None, "another lab's run is no run of this one");
    }

    #[test]
    fn the_best_verdict_is_shown_and_the_first_of_equals() {
        let three = [("a", 5), ("b", 7), ("c", 7)].map(|v| taken("l", None, Some(v)));
        let now = of("l", &three);
        assert_eq!((now.best.as_deref(), now.score, now.max, now.answered), (Some("b"), 7, 9, 3));
        assert_eq!((of("l", &[]).best, of("l", &[taken("l", None, None)]).answered), (None, 0));
    }
}
