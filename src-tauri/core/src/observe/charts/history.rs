//! What practice did: the score of each attempt, and the time each lab took.

use super::canvas::{Align, BODY, Canvas, Mark, SMALL, draw};
use super::scale::{duration, percent, ticks};
use super::{Colour, HEIGHT, Palette, WIDTH};
use crate::api::ResultSummary;
use crate::error::Result;
use std::collections::BTreeMap;

/// Newest attempts shown.
const ATTEMPTS: usize = 60;
/// Labs shown, most recent first.
const LABS: usize = 10;
/// Results of one lab shown as marks, the newest.
const PER_LAB: usize = 20;

fn oldest_first(results: &[ResultSummary]) -> Vec<&ResultSummary> {
    let mut sorted: Vec<_> = results.iter().collect();
    sorted.sort_by_key(|r| r.at);
    sorted
}

fn day(at: i64) -> String {
    jiff::Timestamp::from_millisecond(at).map(|t| t.strftime("%-d %b").to_string()).unwrap_or_default()
}

/// Percent of the points per attempt, in the order of time, a line per track. Days are UTC.
pub fn scores(results: &[ResultSummary], palette: &Palette) -> Result<String> {
    let all = oldest_first(results);
    let shown = all.get(all.len().saturating_sub(ATTEMPTS)..).unwrap_or_default();
    let describe = match (shown.first(), shown.last()) {
        (Some(first), Some(last)) => format!(
            "{} attempts from {} to {}; the newest reached {} percent in {}.",
            shown.len(),
            day(first.at),
            day(last.at),
            percent(last.score, last.max),
            last.lab_title
        ),
        _ => "No results yet.".to_owned(),
    };
    let mut tracks: BTreeMap<&str, Vec<(usize, &ResultSummary)>> = BTreeMap::new();
    for (n, result) in shown.iter().enumerate() {
        tracks.entry(&result.track).or_default().push((n, result));
    }
    draw((WIDTH, HEIGHT), palette, "Score per attempt", &describe, |c| {
        if shown.is_empty() {
            return nothing(c, "Your scores appear here once you have submitted a lab.");
        }
        let (left, right, top, bottom) = (48, WIDTH as i32 - 20, 44, HEIGHT as i32 - 32);
        for percent in [0, 25, 50, 75, 100] {
            let y = bottom - (bottom - top) * percent / 100;
            c.line(&[(left, y), (right, y)], 1, palette.hairline)?;
            c.text((left - 8, y), Align::Right, SMALL, palette.muted, &format!("{percent} %"))?;
        }
        let across = |n: usize| match shown.len() {
            1 => (left + right) / 2,
            many => left + 12 + (right - left - 24) * n as i32 / (many - 1) as i32,
        };
        let place =
            |n: usize, r: &ResultSummary| (across(n), bottom - (bottom - top) * percent(r.score, r.max) as i32 / 100);
        days(c, shown, bottom + 16, right, across)?;
        let mut x = left;
        for (n, (track, attempts)) in tracks.iter().enumerate() {
            let (rgb, mark) = series(palette, n);
            let line: Vec<_> = attempts.iter().map(|(n, r)| place(*n, r)).collect();
            c.line(&line, 2, rgb)?;
            for at in &line {
                c.mark(mark, *at, 4, rgb)?;
            }
            x = legend(c, x, mark, rgb, track_name(track))?;
        }
        Ok(())
    })
}

/// A date under the first attempt of each day, where it does not run into its neighbour.
fn days(c: &Canvas<'_>, shown: &[&ResultSummary], y: i32, right: i32, x: impl Fn(usize) -> i32) -> Result<()> {
    let (mut before, mut free_from) = (String::new(), 0);
    for (n, result) in shown.iter().enumerate() {
        let day = day(result.at);
        if day == before {
            continue;
        }
        let width = c.width(SMALL, &day)?;
        let from = (x(n) - width / 2).max(0).min(right + 12 - width);
        if from >= free_from {
            c.text((from, y), Align::Left, SMALL, c.palette.muted, &day)?;
            free_from = from + width + 12;
        }
        before = day;
    }
    Ok(())
}

/// The tracks that ship go by their exam's own name.
pub fn track_name(track: &str) -> &str {
    match track {
        "netplus" => "Network+",
        "ccna" => "CCNA",
        "cissp" => "CISSP",
        other => other,
    }
}

fn series(palette: &Palette, n: usize) -> (Colour, Mark) {
    (palette.series.get(n % palette.series.len()).copied().unwrap_or(palette.muted), Mark::nth(n))
}

fn legend(c: &Canvas<'_>, x: i32, mark: Mark, rgb: Colour, name: &str) -> Result<i32> {
    let room = WIDTH as i32 - x - 40;
    if room < 30 {
        return Ok(x);
    }
    let name = c.fitted(BODY, name, room.min(160))?;
    c.mark(mark, (x + 5, 16), 4, rgb)?;
    c.text((x + 16, 16), Align::Left, BODY, c.palette.text, &name)?;
    Ok(x + 16 + c.width(BODY, &name)? + 22)
}

fn nothing(c: &Canvas<'_>, words: &str) -> Result<()> {
    c.text((WIDTH as i32 / 2, HEIGHT as i32 / 2), Align::Middle, BODY, c.palette.muted, words)
}

/// Time from ready to submission: a mark per result of each lab (the newest ringed in ember), and the median in words.
pub fn times(results: &[ResultSummary], palette: &Palette) -> Result<String> {
    let mut labs: Vec<(&str, Vec<&ResultSummary>)> = Vec::new();
    for result in oldest_first(results).into_iter().rev() {
        match labs.iter_mut().find(|(lab, _)| *lab == result.lab) {
            Some((_, of_lab)) => of_lab.push(result),
            None => labs.push((&result.lab, vec![result])),
        }
    }
    let more = labs.len().saturating_sub(LABS);
    labs.truncate(LABS);
    const ROW: i32 = 34;
    let (top, foot) = (14, if more > 0 { 52 } else { 34 });
    let height = if labs.is_empty() { HEIGHT as i32 } else { top + foot + ROW * labs.len() as i32 };
    let longest = labs.iter().flat_map(|(_, of)| of.iter().take(PER_LAB)).map(|r| r.duration_ms).max().unwrap_or(0);
    let describe = if labs.is_empty() {
        "No results yet.".to_owned()
    } else {
        let each = labs.iter().map(|(_, of)| format!("{} {}", title(of), duration(median(of))));
        format!("Median per lab: {}.", each.collect::<Vec<_>>().join("; "))
    };
    draw((WIDTH, height as u32), palette, "Time per lab", &describe, |c| {
        if labs.is_empty() {
            return nothing(c, "The time you take appears here once you have submitted a lab.");
        }
        let (left, right, w) = (224, WIDTH as i32 - 112, WIDTH as i32);
        let bottom = top + ROW * labs.len() as i32;
        let steps = ticks(longest as f64 / 60_000.0, 4);
        let full = steps.last().copied().unwrap_or(1.0);
        let x = |minutes: f64| left + ((right - left) as f64 * minutes / full).round() as i32;
        for minutes in &steps {
            c.line(&[(x(*minutes), top), (x(*minutes), bottom)], 1, palette.hairline)?;
            let label = if *minutes == 0.0 { "0".to_owned() } else { duration((minutes * 60_000.0) as u64) };
            c.text((x(*minutes), bottom + 16), Align::Middle, SMALL, palette.muted, &label)?;
        }
        for (n, (_, of_lab)) in labs.iter().enumerate() {
            let y = top + ROW * n as i32 + ROW / 2;
            let name = c.fitted(BODY, title(of_lab), left - 32)?;
            c.text((8, y), Align::Left, BODY, palette.text, &name)?;
            let at = |r: &ResultSummary| (x(r.duration_ms as f64 / 60_000.0), y);
            let shown: Vec<_> = of_lab.iter().take(PER_LAB).map(|r| at(r)).collect();
            let (low, high) = (shown.iter().min(), shown.iter().max());
            if let (Some(low), Some(high)) = (low, high) {
                c.line(&[*low, *high], 2, palette.track)?;
            }
            for point in shown.iter().skip(1).rev() {
                c.mark(Mark::Disc, *point, 4, palette.series[0])?;
            }
            if let Some(newest) = shown.first() {
                c.mark(Mark::Diamond, *newest, 4, palette.accent)?;
            }
            c.text((w - 8, y), Align::Right, BODY, palette.text, &duration(median(of_lab)))?;
        }
        let mut foot_y = bottom + 16;
        c.text((w - 8, foot_y), Align::Right, SMALL, palette.muted, "median")?;
        c.mark(Mark::Diamond, (13, foot_y), 4, palette.accent)?;
        c.text((24, foot_y), Align::Left, SMALL, palette.muted, "newest")?;
        c.mark(Mark::Disc, (80, foot_y), 4, palette.series[0])?;
        c.text((91, foot_y), Align::Left, SMALL, palette.muted, "earlier")?;
        if more > 0 {
            foot_y += 20;
            let words = format!("and {more} {} not practised as recently", if more == 1 { "lab" } else { "labs" });
            c.text((8, foot_y), Align::Left, SMALL, palette.muted, &words)?;
        }
        Ok(())
    })
}

fn title<'a>(of_lab: &[&'a ResultSummary]) -> &'a str {
    of_lab.first().map_or("", |r| r.lab_title.as_str())
}

fn median(of_lab: &[&ResultSummary]) -> u64 {
    let mut times: Vec<_> = of_lab.iter().map(|r| r.duration_ms).collect();
    times.sort_unstable();
    let upper = times.get(times.len() / 2).copied().unwrap_or(0);
    if times.len() % 2 == 1 {
        upper
    } else {
        (upper + times.get((times.len() / 2).wrapping_sub(1)).copied().unwrap_or(upper)) / 2
    }
}
