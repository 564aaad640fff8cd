//! The signed answer. It follows from the stored row alone, so a duplicate gets the same one.

use crate::board::Board;
use crate::store::verdicts::Verdict;
use forge_core::board::{Receipt, Signed};
use forge_core::error::Result;
use forge_core::keys::{Domain, KeyName};

pub fn of(board: &Board, v: &Verdict) -> Result<Signed<Receipt>> {
    let receipt = Receipt {
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
    };
    Signed::seal(receipt, &board.ring.own(), KeyName::Board, Domain::Acceptance)
}
