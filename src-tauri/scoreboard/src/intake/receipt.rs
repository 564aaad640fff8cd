//! The signed answer. What it says follows from the stored row alone, so a duplicate is told the same.

use crate::board::Board;
use crate::store::verdicts::Verdict;
use forge_core::board::{Receipt, Signed};
use forge_core::error::Result;
use forge_core::keys::{Domain, KeyName};

pub fn of(board: &Board, v: &Verdict) -> Result<Signed<Receipt>> {
    Signed::seal(body(v), &board.ring.own(), KeyName::Board, Domain::Acceptance)
}

/// For many that are told together: one signature, of which each receipt shows its part.
pub fn all<'a>(board: &Board, verdicts: impl Iterator<Item = &'a Verdict>) -> Result<Vec<Signed<Receipt>>> {
    Signed::seal_all(verdicts.map(body).collect(), &board.ring.own(), KeyName::Board, Domain::Acceptance)
}

fn body(v: &Verdict) -> Receipt {
    Receipt {
        version: 1,
        verdict: v.id.clone(),
        seq: v.seq,
        key_id: v.key_id.clone(),
        learner: v.learner.clone(),
        class: v.class.clone(),
        run: v.run.clone(),
        lab: v.lab.clone(),
        score: v.score,
        max: v.max,
        tier: v.tier,
        established: v.facts.clone(),
        session: v.session.clone(),
        received_at: v.received_at,
    }
}
