//! Whether one subject holds most of the machine while others are refused.

use super::{Entitlement, Request, quota};
use crate::error::Result;
use crate::policy::Policy;
use crate::store::{Conn, usage};
use serde::{Deserialize, Serialize};

/// From this part of the memory that labs may have, a holder is worth an alert.
const MOST_PERCENT: u64 = 50;

/// Told to whoever watches the machine; the one who was refused is told of the refusal, not of the holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfair {
    pub holder: String,
    pub refused: String,
    /// Of the memory that this machine has for labs.
    pub percent: u64,
}

/// Looked at in the transaction that refused `request` for want of room.
pub(super) fn look(conn: &Conn, policy: &Policy, request: &Request) -> Result<Option<Unfair>> {
    let ceiling = quota::ceilings(policy, &Entitlement::Practice, &request.machine)?.machine.memory_mb;
    Ok(judge(&usage::holders(conn)?, &request.subject, ceiling.unwrap_or_default()))
}

fn judge(holders: &[(String, u64)], refused: &str, ceiling_mb: f64) -> Option<Unfair> {
    let (holder, held) = holders.first()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a ceiling is a positive count of MiB")]
    let ceiling = ceiling_mb as u64;
    let percent = held.saturating_mul(100).checked_div(ceiling)?;
    (holder != refused && percent >= MOST_PERCENT).then(|| Unfair {
        holder: holder.clone(),
        refused: refused.to_owned(),
        percent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_ones_half_is_unfair() {
        let held = [("ada".to_owned(), 3100), ("bob".to_owned(), 100)];
        let found = judge(&held, "bob", 6144.0);
        assert_eq!(found, Some(Unfair { holder: "ada".into(), refused: "bob".into(), percent: 50 }));
        // Her own labs in her own way are a full machine, not an unfair one.
        assert_eq!(judge(&held, "ada", 6144.0), None);
        assert_eq!(judge(&[("ada".to_owned(), 3000)], "bob", 6144.0), None);
        assert_eq!(judge(&[], "bob", 6144.0), None);
        assert_eq!(judge(&held, "bob", 0.0), None);
    }
}
