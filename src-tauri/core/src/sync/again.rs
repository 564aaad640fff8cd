//! Asking about verdicts that were accepted before: what the scoreboard has established meanwhile. The same envelope again gets
//! a receipt with the tier of now; one request for as many as fit, seldom (see [`pace`](super::pace)), and nothing depends on the answer.

use super::judge::{Later, Outcome};
use super::keep::{fact, says_less, standing};
use super::parcel::{self, Parcel};
use super::round::{Peer, Round, Told};
use super::{many, pace, send};
use crate::api::TrustTier;
use crate::audit;
use crate::board::{Accepted, ENVELOPES_MAX, Fact, Receipt, Signed};
use crate::error::{Error, Result};
use crate::store::Tx;
use crate::store::sync::{self as rows, Receipted};
use std::path::Path;

/// Asked about in a round where a scoreboard does not take many in one request.
const SINGLY: usize = 8;

impl Round<'_> {
    pub(super) async fn ask_again(&self, peer: &mut Peer<'_>, told: &mut Told) -> Result<()> {
        let (at, root) = ((self.now)(), peer.board.root.clone());
        let mut known = self.store.read(move |c| rows::may_rise(c, &root, at - pace::ASKED_FOR)).await?;
        // What was just said is not asked about.
        known.retain(|(r, _)| !told.accepted.contains(&r.result));
        if !self.all {
            if !known.iter().any(|(r, _)| pace::again_due(r.ask_at, at)) {
                return Ok(());
            }
            // Whose time comes soon goes along.
            known.retain(|(r, _)| pace::again_due(r.ask_at, at + pace::AGAIN_SHORTEST / 2));
        }
        known.truncate(ENVELOPES_MAX);
        let mut asked = self.envelopes(known).await?;
        asked.truncate(many::fit(asked.iter().map(|(p, _)| p.envelope.as_slice())));
        if asked.is_empty() {
            return Ok(());
        }
        let sent: Vec<(&Parcel, u32)> = asked.iter().map(|(p, _)| (p, 0)).collect();
        let said = match many::ask(&self.way(peer), &sent).await {
            many::Said::Each(outcomes) => outcomes,
            many::Said::OneByOne => self.singly(peer, &asked).await,
            many::Said::Later(later) => vec![Outcome::Later(later)],
        };
        let (mut away, mut answers) = (None, Vec::new());
        for ((parcel, kept), outcome) in asked.iter().zip(said) {
            let genuine = match outcome {
                Outcome::Accepted(accepted) => self.genuine(peer, parcel, &accepted).await?.map(|()| Some(accepted)),
                // It has a receipt: a refusal of what was accepted takes nothing back.
                Outcome::Refused { code, message, .. } => {
                    tracing::info!(verdict = parcel.id, code, "the scoreboard does not say where it stands: {message}");
                    Ok(None)
                }
                Outcome::Later(later) if !later.whole => Ok(None),
                Outcome::Later(later) => Err(later),
            };
            match genuine {
                Ok(accepted) => answers.push((kept, accepted)),
                Err(later) => {
                    away = Some(later);
                    break;
                }
            }
        }
        self.stand(peer, answers, told).await?;
        if let Some(Later { code, message, .. }) = away {
            self.put_off(&asked).await?;
            tracing::info!(code, "the scoreboard could not be asked about tiers: {message}");
            // Nothing waits for it: only who asked by hand is told.
            if self.all {
                told.stopped = Some((code, message));
            }
        }
        Ok(())
    }

    /// The envelopes that can be read; what cannot is not asked about for a day.
    async fn envelopes(&self, known: Vec<(Receipted, String)>) -> Result<Vec<(Parcel, Receipted)>> {
        let reading = move || {
            let each =
                known.into_iter().map(|(kept, dir)| (parcel::read_envelope(Path::new(&dir), &kept.result), kept));
            each.collect::<Vec<_>>()
        };
        let read = tokio::task::spawn_blocking(reading).await.map_err(Error::internal)?;
        let (mut found, mut not) = (Vec::new(), Vec::new());
        for (parcel, kept) in read {
            match parcel {
                Ok(parcel) => found.push((parcel, kept)),
                Err(e) => {
                    tracing::info!(verdict = kept.result, "its tier cannot be asked about: {e}");
                    not.push(kept.result);
                }
            }
        }
        if !not.is_empty() {
            let next = (self.now)() + pace::again(i64::MAX, (self.random)());
            self.store.write_relaxed(move |tx| not.iter().try_for_each(|id| rows::ask_at(tx, id, next))).await?;
        }
        Ok(found)
    }

    /// Few, where they cannot go together; ends with the first that is not answered.
    async fn singly(&self, peer: &Peer<'_>, asked: &[(Parcel, Receipted)]) -> Vec<Outcome> {
        let mut said = Vec::new();
        for (parcel, _) in asked.iter().take(SINGLY) {
            let outcome = send::envelope(&self.way(peer), parcel, 0).await;
            let ends = matches!(&outcome, Outcome::Later(_));
            said.push(outcome);
            if ends {
                break;
            }
        }
        said
    }

    /// Keeps what is news, and when to ask next.
    async fn stand(
        &self,
        peer: &Peer<'_>,
        answers: Vec<(&Receipted, Option<Box<Accepted>>)>,
        told: &mut Told,
    ) -> Result<()> {
        let at = (self.now)();
        let answers = answers.into_iter().map(|(kept, accepted)| {
            let next = at + pace::again(at - kept.at, (self.random)());
            let news = accepted.map(|a| Ok::<News, Error>((self.row(peer, &a)?, a.receipt))).transpose()?;
            Ok((kept.result.clone(), next, news))
        });
        let answers = answers.collect::<Result<Vec<(String, i64, Option<News>)>>>()?;
        if answers.is_empty() {
            return Ok(());
        }
        let rose = self
            .store
            .write(move |tx| {
                let mut rose = Vec::new();
                for (id, next, news) in answers {
                    rows::ask_at(tx, &id, next)?;
                    if let Some(tier) = news.map_or(Ok(None), |news| take(tx, news, at))? {
                        rose.push((id, tier));
                    }
                }
                Ok(rose)
            })
            .await?;
        told.raised.extend(rose);
        Ok(())
    }

    async fn put_off(&self, asked: &[(Parcel, Receipted)]) -> Result<()> {
        let ids: Vec<String> = asked.iter().map(|(p, _)| p.id.clone()).collect();
        let (at, random) = ((self.now)(), (self.random)());
        self.store
            .write_relaxed(move |tx| {
                let next = at + pace::again(0, random);
                ids.iter().try_for_each(|id| rows::ask_at(tx, id, next))
            })
            .await
    }
}

type News = (Receipted, Signed<Receipt>);

/// Takes a receipt in the place of the one that is kept now, if it says more; its tier, if that is higher.
fn take(tx: &Tx, (row, signed): News, at: i64) -> Result<Option<TrustTier>> {
    // As it is kept now: another process may have asked too.
    let Some(kept) = rows::receipt_of(tx, &row.result, &row.root)? else { return Ok(None) };
    if says_less(&signed.body, &kept) {
        if forgotten(&signed.body, &kept) {
            tracing::warn!(verdict = row.result, "the scoreboard has lost its evidence, which is sent anew");
            rows::lost(tx, &row.result, at)?;
        }
        return Ok(None);
    }
    // The notes that came with the evidence say more than those about an envelope.
    let row = standing(&row, &signed, Some(&kept));
    if row.receipt == kept.receipt || !rows::receipted(tx, &row, false)? {
        return Ok(None);
    }
    audit::append(tx, fact(&row, &signed))?;
    Ok((row.tier > kept.tier).then_some(row.tier))
}

/// Whether evidence that was acknowledged is not there any more, after a backup was restored.
fn forgotten(new: &Receipt, kept: &Receipted) -> bool {
    let had = serde_json::from_str::<Signed<Receipt>>(&kept.receipt)
        .is_ok_and(|s| s.body.established.contains(&Fact::Digests));
    had && !new.established.contains(&Fact::Digests)
}
