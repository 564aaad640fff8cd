//! Many envelopes in one request, and what is said to each. A shortcut and no more: whatever is not a whole and proper answer to
//! all of them decides nothing, and they go one by one.

use super::judge::{self, Later, Outcome};
use super::parcel::Parcel;
use super::send::Way;
use crate::board::{ENVELOPES_BYTES, ENVELOPES_MAX};
use crate::http::Question;
use std::time::Duration;

/// An answer's line is a receipt of about a kilobyte, and notes.
const ANSWER_BYTES: usize = ENVELOPES_MAX * (8 << 10);
const PATH: &str = "v1/envelopes";

#[derive(Debug, PartialEq)]
pub enum Said {
    /// To each in its order.
    Each(Vec<Outcome>),
    /// Not in this way: the server has no such route, or something between does not let it through.
    OneByOne,
    Later(Later),
}

/// How many of these go in one request, from the first on.
pub fn fit<'a>(envelopes: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut bytes = 0;
    envelopes
        .take(ENVELOPES_MAX)
        .take_while(|e| {
            bytes += e.len() + 1;
            bytes <= ENVELOPES_BYTES
        })
        .count()
}

/// The body: one a line.
pub fn body<'a>(envelopes: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    envelopes.flat_map(|e| e.iter().copied().chain(*b"\n")).collect()
}

/// `parcels` are no more than [`fit`]; with each, how often it failed before.
pub async fn ask(way: &Way<'_>, parcels: &[(&Parcel, u32)]) -> Said {
    // A line break in an envelope would make two of it: it is not canonical then, and its own answer says so.
    if parcels.iter().any(|(p, _)| p.envelope.contains(&b'\n')) {
        return Said::OneByOne;
    }
    let body = body(parcels.iter().map(|(p, _)| p.envelope.as_slice()));
    let limit = way.patience + Duration::from_secs(body.len() as u64 / (64 << 10));
    let headers = [("content-type", "application/x-ndjson")];
    let question = Question { method: "POST", path: PATH, headers: &headers, body, limit, most: ANSWER_BYTES };
    let answer = match way.server.ask(question).await {
        Ok(answer) => answer,
        Err(silence) => return Said::Later(Later::silent(&silence)),
    };
    if answer.status == 200 {
        return each(&answer.body, parcels);
    }
    match judge::refusal(&answer, 0) {
        // 501 is no trouble that passes: what stands there does not do this at all.
        Outcome::Later(later) if matches!(answer.status, 408 | 429 | 500 | 502..) => Said::Later(later),
        _ => Said::OneByOne,
    }
}

fn each(body: &[u8], parcels: &[(&Parcel, u32)]) -> Said {
    let text = body.strip_suffix(b"\n").unwrap_or(body);
    let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    if lines.len() != parcels.len() {
        return Said::OneByOne;
    }
    let outcomes = lines.iter().zip(parcels).map(|(line, (_, attempts))| judge::line(line, *attempts));
    outcomes.collect::<Option<Vec<_>>>().map_or(Said::OneByOne, Said::Each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_go_in_a_request_than_a_scoreboard_takes() {
        let of = |count: usize, size: usize| {
            let all = vec![vec![b'x'; size]; count];
            fit(all.iter().map(Vec::as_slice))
        };
        assert_eq!((of(3, 10), of(300, 10), of(0, 1)), (3, ENVELOPES_MAX, 0));
        let large = 256 << 10;
        let n = of(20, large);
        assert!(n * (large + 1) <= ENVELOPES_BYTES && (n + 1) * (large + 1) > ENVELOPES_BYTES, "{n}");
        assert_eq!(of(2, ENVELOPES_BYTES), 0, "one that is too large by itself goes alone");
        let (a, b) = (b"a".as_slice(), b"bc".as_slice());
        assert_eq!(body([a, b].into_iter()), b"a\nbc\n");
    }
}
