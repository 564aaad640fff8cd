//! One bar per criterion: how many of its points were reached, and how it came out.

use super::canvas::{Align, BODY, Icon, draw};
use super::scale::{percent, points};
use super::{Palette, WIDTH};
use crate::api::{CriterionOutcome, OutcomeKind};
use crate::error::Result;

const ROW: i32 = 32;
const TOP: i32 = 12;
const LABEL: i32 = 264;
/// Room at the right for `2.5 / 10` and the outcome's word.
const RIGHT: i32 = 178;
const BAR: i32 = 10;

fn shown(outcome: OutcomeKind, palette: &Palette) -> (Icon, &'static str, u32) {
    match outcome {
        OutcomeKind::Pass => (Icon::Tick, "passed", palette.pass),
        OutcomeKind::Fail => (Icon::Cross, "failed", palette.fail),
        OutcomeKind::Error => (Icon::Bang, "error", palette.warn),
        OutcomeKind::NotChecked => (Icon::Dash, "not checked", palette.muted),
    }
}

/// The criteria of one result or check, in their order. As high as it needs to be.
pub fn criteria(criteria: &[CriterionOutcome], palette: &Palette) -> Result<String> {
    let height = (TOP * 2 + ROW * criteria.len().max(2) as i32) as u32;
    let passed = criteria.iter().filter(|c| c.outcome == OutcomeKind::Pass).count();
    let (score, max) = criteria.iter().fold((0, 0), |(s, m), c| (s + c.points, m + c.max));
    let describe = if criteria.is_empty() {
        "No criteria.".to_owned()
    } else {
        format!("{passed} of {} passed, {} of {} points.", criteria.len(), points(score), points(max))
    };
    draw((WIDTH, height), palette, "Points per criterion", &describe, |c| {
        let w = WIDTH as i32;
        if criteria.is_empty() {
            return c.text((w / 2, height as i32 / 2), Align::Middle, BODY, palette.muted, "This lab has no criteria.");
        }
        for (n, criterion) in criteria.iter().enumerate() {
            let y = TOP + ROW * n as i32 + ROW / 2;
            let label = c.fitted(BODY, &criterion.title, LABEL - 20)?;
            c.text((8, y), Align::Left, BODY, palette.text, &label)?;
            let (icon, word, rgb) = shown(criterion.outcome, palette);
            let (left, right) = (LABEL, w - RIGHT);
            c.bar((left, y - BAR / 2), (right, y + BAR / 2), palette.track)?;
            let reached = left + (right - left) * percent(criterion.points, criterion.max) as i32 / 100;
            if reached > left {
                c.bar((left, y - BAR / 2), (reached, y + BAR / 2), rgb)?;
            }
            let of = format!("{} / {}", points(criterion.points), points(criterion.max));
            c.text((right + 72, y), Align::Right, BODY, palette.text, &of)?;
            c.icon(icon, (right + 91, y), rgb)?;
            c.text((right + 102, y), Align::Left, BODY, rgb, word)?;
        }
        Ok(())
    })
}
