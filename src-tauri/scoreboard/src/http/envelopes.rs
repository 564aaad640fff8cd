//! Many envelopes in one request, for a laptop that comes back after a week: one a line, and a line of answer for each.

use super::App;
use super::body;
use super::error::{Answer, no, told};
use crate::intake;
use axum::extract::{Request, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use forge_core::board::{ENVELOPES_BYTES, ENVELOPES_MAX, Each, RefusalCode};
use forge_core::error::Error;

pub async fn submit(State(app): State<App>, request: Request) -> Answer<Response> {
    let Ok(_turn) = app.uploads.try_acquire() else {
        return Err(no(RefusalCode::Busy, "Too many submissions of many verdicts arrive at the moment."));
    };
    let envelopes = lines(&body::bytes(request.into_body(), ENVELOPES_BYTES).await?)?;
    let mut answer = Vec::new();
    for outcome in intake::submit_all(&app, envelopes).await {
        let each = match outcome {
            Ok(outcome) => Each::Accepted(Box::new(outcome.accepted)),
            Err(refusal) => {
                app.metrics.refused(refusal.code);
                tracing::warn!(code = refusal.code.as_str(), "refused, one of many");
                Each::Error(told(refusal))
            }
        };
        serde_json::to_writer(&mut answer, &each).map_err(Error::from)?;
        answer.push(b'\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], answer).into_response())
}

/// An envelope is canonical JSON, which has no line breaks. The last one may end without.
fn lines(body: &Bytes) -> Answer<Vec<Bytes>> {
    let text = body.strip_suffix(b"\n").unwrap_or(body);
    let lines: Vec<Bytes> = text.split(|b| *b == b'\n').map(|line| body.slice_ref(line)).collect();
    if body.is_empty() {
        return Err(no(RefusalCode::Malformed, "There is no envelope in it; one a line is expected."));
    }
    if lines.len() > ENVELOPES_MAX {
        let message = format!("These are {} envelopes; at most {ENVELOPES_MAX} go in one request.", lines.len());
        return Err(no(RefusalCode::TooLarge, message));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_line_is_one_and_none_is_left_out() {
        let of = |text: &'static str| lines(&Bytes::from_static(text.as_bytes())).map(|l| l.len());
        for (text, count) in [("a", 1), ("a\n", 1), ("a\nb", 2), ("a\n\nb\n", 3), ("\n", 1), ("\n\n", 2)] {
            assert_eq!(of(text).unwrap(), count, "{text:?}");
        }
        assert_eq!(of("").unwrap_err().0.code, RefusalCode::Malformed);
        let many = |n: usize| lines(&Bytes::from("a\n".repeat(n)));
        assert_eq!(many(ENVELOPES_MAX).unwrap().len(), ENVELOPES_MAX);
        assert_eq!(many(ENVELOPES_MAX + 1).unwrap_err().0.code, RefusalCode::TooLarge);
    }
}
