//! Numbers for axes and labels: round steps, and words a person would use.

/// Steps of 1, 2 or 5 times a power of ten from 0 to at least `max`, about `wanted` of them. Never empty.
pub fn ticks(max: f64, wanted: usize) -> Vec<f64> {
    let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
    let rough = max / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(10.0 * power);
    let count = (max / step - 1e-9).ceil().max(1.0) as u32;
    (0..=count).map(|n| f64::from(n) * step).collect()
}

/// `45 s`, `12 min`, `1 h 5 min`.
pub fn duration(ms: u64) -> String {
    match ms / 1000 {
        s if s < 60 => format!("{s} s"),
        s if s < 3600 => format!("{} min", (s + 30) / 60),
        s => match (s % 3600) / 60 {
            0 => format!("{} h", s / 3600),
            min => format!("{} h {min} min", s / 3600),
        },
    }
}

/// Bits per second with the unit that leaves one to three digits before the point.
pub fn rate(bps: f64) -> String {
    scaled(bps, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
}

fn scaled(value: f64, units: &[&str]) -> String {
    let mut value = if value.is_finite() { value.max(0.0) } else { 0.0 };
    let mut unit = units.first().copied().unwrap_or_default();
    for next in units.iter().skip(1) {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    let text = if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// Milli-points as points: `3`, `2.5`, `0.333`.
pub fn points(milli: u64) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Rounded down, so that only all is 100 %.
pub fn percent(score: u64, max: u64) -> u64 {
    if max == 0 { 0 } else { (u128::from(score) * 100 / u128::from(max)).min(100) as u64 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_maximum() {
        assert_eq!(ticks(100.0, 4), [0.0, 50.0, 100.0]);
        assert_eq!(ticks(37.0, 4), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(ticks(0.0, 4).first(), Some(&0.0));
        for max in [1e-9, 0.3, 1.0, 7.0, 999.0, 1.7e9, f64::NAN, f64::INFINITY] {
            let t = ticks(max, 5);
            assert!((2..=11).contains(&t.len()), "{max}: {t:?}");
            assert!(!max.is_finite() || t.last().unwrap() * 1.000_001 >= max, "{max}: {t:?}");
        }
    }

    #[test]
    fn words_for_numbers() {
        let durations = [900, 45_000, 719_000, 3_600_000, 3_900_000].map(duration);
        assert_eq!(durations, ["0 s", "45 s", "12 min", "1 h", "1 h 5 min"]);
        let rates = [0.0, 950.0, 1_240.0, 999_900.0, 2.5e9, f64::NAN].map(rate);
        assert_eq!(rates, ["0 bit/s", "950 bit/s", "1.2 kbit/s", "1 Mbit/s", "2.5 Gbit/s", "0 bit/s"]);
        assert_eq!([3000, 2500, 333, 0].map(points), ["3", "2.5", "0.333", "0"]);
        assert_eq!((percent(2999, 3000), percent(3000, 3000), percent(1, 0)), (99, 100, 0));
    }
}
