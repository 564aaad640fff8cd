//! What is kept of the scoreboard's words: receipts that were verified, refusals, and when to try again.

use super::enrol;
use super::judge::{self, Doubt, Later};
use super::pace;
use super::parcel::Parcel;
use super::round::{Peer, Round, Step};
use crate::audit::{self, Fact};
use crate::board::{Accepted, Receipt, Signed};
use crate::error::Result;
use crate::keys::PublicKey;
use crate::store::results;
use crate::store::sync::{self as rows, Receipted, Refused, Waiting};
use std::borrow::Cow;

impl Round<'_> {
    /// Whether a receipt is to be believed; a key that the pinned one vouches for is pinned on the way.
    pub(super) async fn genuine(
        &self,
        peer: &mut Peer<'_>,
        parcel: &Parcel,
        accepted: &Accepted,
    ) -> Result<Result<(), Later>> {
        let signed = &accepted.receipt;
        let mut verdict = judge::receipt(signed, parcel, &peer.keys);
        if verdict == Err(Doubt::OtherKey) {
            match enrol::successors(&peer.server, &peer.keys).await {
                Ok(now) if now.len() > peer.keys.len() => {
                    let (root, pems) = (peer.board.root.clone(), now.iter().map(PublicKey::pem).collect::<Vec<_>>());
                    self.store.write(move |tx| rows::set_keys(tx, &root, &pems)).await?;
                    peer.keys = now;
                    verdict = judge::receipt(signed, parcel, &peer.keys);
                }
                Ok(_) => {}
                Err(e) => tracing::warn!("the scoreboard's keys could not be looked at: {e}"),
            }
        }
        let Err(doubt) = verdict else { return Ok(Ok(())) };
        let why = match doubt {
            Doubt::OtherKey => "it is signed with a key that the pinned one does not vouch for",
            Doubt::Lie(why) => why,
        };
        let message =
            format!("The scoreboard’s receipt is not genuine: {why}. The verdict is kept and will be sent again.");
        Ok(Err(Later::whole("bad_receipt", message)))
    }

    /// Keeps receipts that were verified, all or none; with each, whether nothing more is to be sent of its verdict.
    pub(super) async fn keep_all(&self, peer: &Peer<'_>, accepted: Vec<(Box<Accepted>, bool)>) -> Result<()> {
        let rows = accepted.iter().map(|(a, done)| Ok((self.row(peer, a)?, a.receipt.clone(), *done)));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        if rows.is_empty() {
            return Ok(());
        }
        self.store
            .write(move |tx| {
                for (row, signed, done) in &rows {
                    let kept = rows::receipt_of(tx, &row.result, &row.root)?;
                    if kept.as_ref().is_some_and(|kept| says_less(&signed.body, kept)) {
                        if *done {
                            rows::sent(tx, &row.result)?;
                        }
                    } else if rows::receipted(tx, &standing(row, signed, kept.as_ref()), *done)? {
                        audit::append(tx, fact(row, signed))?;
                    }
                }
                Ok(())
            })
            .await
    }

    pub(super) fn row(&self, peer: &Peer<'_>, accepted: &Accepted) -> Result<Receipted> {
        let (body, at) = (&accepted.receipt.body, (self.now)());
        Ok(Receipted {
            result: body.verdict.clone(),
            root: peer.board.root.clone(),
            tier: body.tier,
            receipt: serde_json::to_string(&accepted.receipt)?,
            url: format!("{}/v1/verdicts/{}", peer.board.url, body.verdict),
            notes: accepted.notes.iter().take(20).map(|n| n.chars().take(500).collect()).collect(),
            at,
            ask_at: at + pace::again(0, (self.random)()),
        })
    }

    pub(super) async fn refuse(&self, w: &Waiting, code: String, message: String, hint: String) -> Result<Step> {
        let row = Refused { result: w.result.clone(), code, message, hint, at: (self.now)() };
        let data = serde_json::json!({"verdict": row.result, "code": row.code, "message": row.message});
        self.store
            .write(move |tx| {
                rows::refused(tx, &row)?;
                audit::append(tx, Fact { at: row.at, run: None, kind: "sync.refused".into(), data }).map(drop)
            })
            .await?;
        Ok(Step::Refused)
    }

    /// A try before its time, because somebody asked for it, is none of those that a verdict has, and puts off nothing.
    pub(super) async fn postpone(&self, w: &Waiting, later: &Later) -> Result<Step> {
        let at = (self.now)();
        let (id, why) = (w.result.clone(), format!("{}: {}", later.code, later.message));
        let next_at = pace::due(w.next_at, at).then(|| at + pace::wait(w.attempts + 1, later.asked, (self.random)()));
        self.store
            .write(move |tx| match next_at {
                Some(next_at) => results::postponed(tx, &id, next_at, &why),
                None => results::still_waits(tx, &id, &why),
            })
            .await?;
        Ok(Step::Postponed)
    }
}

pub(super) fn fact(row: &Receipted, signed: &Signed<Receipt>) -> Fact {
    let body = &signed.body;
    let data = serde_json::json!({
        "verdict": body.verdict, "tier": body.tier, "seq": body.seq, "received_at": body.received_at, "key_id": signed.key_id,
    });
    Fact { at: row.at, run: Some(body.run.clone()), kind: "sync.accepted".into(), data }
}

/// The row, with the receipt that is kept where the new one says just the same: a scoreboard signs its words together with
/// whatever else it says at the time, so the same words come under more than one signature.
pub(super) fn standing<'a>(row: &'a Receipted, new: &Signed<Receipt>, kept: Option<&Receipted>) -> Cow<'a, Receipted> {
    let same = |s: Signed<Receipt>| s.body == new.body && s.key_id == new.key_id;
    match kept.filter(|kept| serde_json::from_str(&kept.receipt).is_ok_and(same)) {
        Some(kept) => Cow::Owned(Receipted { receipt: kept.receipt.clone(), ..row.clone() }),
        None => Cow::Borrowed(row),
    }
}

/// Facts are only ever added; a receipt that lacks some of those that were signed before is an older one, or of a scoreboard
/// that has forgotten, and takes the place of none.
pub(super) fn says_less(new: &Receipt, kept: &Receipted) -> bool {
    let kept = serde_json::from_str::<Signed<Receipt>>(&kept.receipt).map(|s| s.body.established).unwrap_or_default();
    kept.iter().any(|f| !new.established.contains(f))
}
