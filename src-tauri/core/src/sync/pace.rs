//! How long to wait before the next attempt.

/// Never longer, so that a server that comes back is found within the hour.
pub const LONGEST: i64 = 3_600_000;
const SHORTEST: i64 = 2_000;

/// Milliseconds after the `failures`-th failure in a row, from 1: doubling from two seconds to an hour, of which between half
/// and all is taken by `random`, so that a class that lost its server does not come back at the same moment. `asked` is
/// what the server asked for, in seconds.
pub fn wait(failures: u32, asked: Option<u64>, random: u64) -> i64 {
    let full = SHORTEST.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST);
    let half = full / 2;
    let jitter = i64::try_from(random % (half.unsigned_abs() + 1)).unwrap_or(0);
    let asked = asked.map_or(0, |s| i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1000));
    (half + jitter).max(asked).min(LONGEST)
}

/// A time further off than the longest wait was written under a clock that has been set back since.
pub fn due(next_at: i64, now: i64) -> bool {
    next_at <= now || next_at > now + LONGEST
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// How long after a tier was last news it is still asked about.
pub const ASKED_FOR: i64 = 30 * DAY;
/// Between two questions about one verdict lies at least this.
pub const AGAIN_SHORTEST: i64 = 10 * MINUTE;
const AGAIN_LONGEST: i64 = DAY;

/// Milliseconds until a verdict is asked about again whose tier has been known for `age`: a quarter of that, from ten minutes
/// to a day, and up to a quarter more by `random`. Whoever raises a tier does so soon, or it may take weeks.
pub fn again(age: i64, random: u64) -> i64 {
    let full = (age / 4).clamp(AGAIN_SHORTEST, AGAIN_LONGEST);
    full + i64::try_from(random % (full.unsigned_abs() / 4 + 1)).unwrap_or(0)
}

/// As [`due`], for what [`again`] gave.
pub fn again_due(ask_at: i64, now: i64) -> bool {
    ask_at <= now || ask_at > now + AGAIN_LONGEST + AGAIN_LONGEST / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_asked_about_a_bounded_number_of_times() {
        for random in [0, 7, u64::MAX] {
            let (mut age, mut asked) = (0, 0);
            while age < ASKED_FOR {
                let wait = again(age, random);
                assert!((AGAIN_SHORTEST..=AGAIN_LONGEST * 5 / 4).contains(&wait), "{age}: {wait}");
                assert!(!again_due(wait, wait - 1) && again_due(wait, wait));
                age += wait;
                asked += 1;
            }
            assert!((30..=70).contains(&asked), "asked {asked} times in a month");
        }
        assert!(again_due(3 * AGAIN_LONGEST, 0), "a clock that was set back holds nothing up");
        assert_eq!(again(-5, 0), AGAIN_SHORTEST);
    }

    #[test]
    fn it_grows_stays_bounded_and_is_spread() {
        for failures in 1..40 {
            let (least, most) = (wait(failures, None, 0), wait(failures, None, u64::MAX / 3));
            assert!(least >= 1000 && most <= LONGEST, "{failures}: {least} {most}");
            assert!(wait(failures + 1, None, 0) >= least);
        }
        assert_eq!(wait(1, None, 0), 1000);
        assert_eq!(wait(40, None, 0), LONGEST / 2);
        let spread: std::collections::BTreeSet<i64> = (0..1000).map(|r| wait(10, None, r * 7919)).collect();
        assert!(spread.len() > 500, "thirty laptops would come at once");
    }

    #[test]
    fn the_servers_wish_is_kept_within_reason() {
        assert_eq!(wait(1, Some(60), 0), 60_000);
        assert_eq!(wait(1, Some(u64::MAX), 0), LONGEST);
        assert!(wait(9, Some(0), 0) > 60_000);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_hold_anything_for_years() {
        assert!(due(100, 100) && !due(101, 100));
        assert!(!due(LONGEST + 100, 100) && due(LONGEST + 101, 100));
    }
}
