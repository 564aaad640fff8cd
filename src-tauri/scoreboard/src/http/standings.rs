//! Leaderboards and figures.

use super::App;
use super::ask::{Path, Query};
use super::error::{Answer, no};
use super::views::{Leaderboard, Place, Stats};
use crate::metrics::tier_word;
use crate::store::verdicts::TIERS;
use crate::store::{people, session, standing};
use axum::Json;
use axum::extract::State;
use forge_core::api::TrustTier;
use forge_core::board::RefusalCode;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    class: Option<String>,
    tier: Option<String>,
    limit: Option<i64>,
    #[serde(default)]
    offset: i64,
}

pub async fn leaderboard(
    State(app): State<App>,
    Path(track): Path<String>,
    Query(cut): Query<Cut>,
) -> Answer<Json<Leaderboard>> {
    let tier = match &cut.tier {
        None => TrustTier::SelfAttested,
        Some(word) => TIERS.into_iter().find(|t| tier_word(*t) == word).ok_or_else(|| {
            no(RefusalCode::Malformed, "A tier is self-attested, instructor-seeded, re-graded or re-executed.")
        })?,
    };
    let (limit, offset) = (cut.limit.unwrap_or(50).clamp(1, 200), cut.offset.clamp(0, 10_000));
    let (wanted, class) = (track.clone(), cut.class.clone().filter(|c| !c.is_empty()));
    let shown = class.clone();
    let rows = app.store.read(move |tx| standing::top(tx, &wanted, class.as_deref(), tier, limit, offset)).await?;
    let place = |(i, s): (usize, standing::Standing)| Place {
        rank: offset + i64::try_from(i).unwrap_or(0) + 1,
        learner: s.learner,
        name: s.name,
        class: s.class,
        points: s.points,
        max: s.max,
        labs: s.labs,
        at: s.at,
    };
    Ok(Json(Leaderboard { track, tier, class: shown, rows: rows.into_iter().enumerate().map(place).collect() }))
}

pub async fn tracks(State(app): State<App>) -> Answer<Json<Vec<String>>> {
    Ok(Json(app.store.read(standing::tracks).await?))
}

pub async fn stats(State(app): State<App>) -> Answer<Json<Stats>> {
    let (tallies, (learners, classes), sessions) =
        app.store.read(|tx| Ok((standing::tallies(tx)?, people::counts(tx)?, session::count(tx)?))).await?;
    let (mut by_tier, mut by_track) = (BTreeMap::new(), BTreeMap::new());
    let mut verdicts = 0;
    for (track, tier, n) in tallies {
        verdicts += n;
        *by_tier.entry(tier_word(tier).to_owned()).or_insert(0) += n;
        *by_track.entry(track).or_insert(0) += n;
    }
    Ok(Json(Stats { verdicts, learners, classes, sessions, by_tier, by_track, since: app.since }))
}
