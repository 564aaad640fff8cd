//! One verdict over the wire. Small ones go whole; large ones as envelope first, then in parts from where the server stands.

use super::judge::{self, Later, Outcome};
use super::parcel::{self, Parcel};
use crate::board::{Accepted, EVIDENCE_MAX, Fact};
use crate::http::{ANSWER_BYTES, Answer, Question, Server, Silence};
use std::time::Duration;

const PART: usize = 1 << 20;

pub struct Way<'a> {
    pub server: &'a Server,
    /// Empty: none.
    pub token: &'a str,
    /// Bytes of evidence up to which everything goes in one request.
    pub whole_max: u64,
    /// How long an answer may take, besides the time that the bytes take.
    pub patience: Duration,
}

/// Whether `parcel` goes in one request.
pub fn whole(evidence: usize, token: &str, whole_max: u64) -> bool {
    // Parts need the token. Without it everything that a server takes at all goes whole.
    evidence as u64 <= whole_max || (token.is_empty() && evidence as u64 <= EVIDENCE_MAX)
}

/// `early` is given what the server says about the envelope alone, before the evidence follows.
pub async fn send(way: &Way<'_>, parcel: &Parcel, attempts: u32, early: &mut Option<Box<Accepted>>) -> Outcome {
    if whole(parcel.evidence.len(), way.token, way.whole_max) {
        let (kind, body) = parcel::form(parcel);
        let reply = ask(way, "POST", "v1/verdicts", &[("content-type", &kind)], body).await;
        // Something on the way takes less at once than the scoreboard does; parts may get through.
        let stopped = reply.as_ref().is_ok_and(|a| a.status == 413 && judge::said(a).is_none());
        if !stopped || way.token.is_empty() {
            return judge::outcome(reply, attempts);
        }
    }
    match envelope(way, parcel, attempts).await {
        // The answer to an earlier upload was lost, or another laptop with this key sent it.
        Outcome::Accepted(accepted) if accepted.receipt.body.established.contains(&Fact::Digests) => {
            return Outcome::Accepted(accepted);
        }
        Outcome::Accepted(accepted) => *early = Some(accepted),
        other => return other,
    }
    let bearer = format!("Bearer {}", way.token);
    let auth = ("authorization", bearer.as_str());
    let path = format!("v1/verdicts/{}/score.json", parcel.id);
    match ask(way, "PUT", &path, &[auth], parcel.score.clone()).await {
        Ok(answer) if answer.status == 204 => {}
        Ok(answer) => return judge::refusal(&answer, attempts),
        Err(silence) => return judge::outcome(Err(silence), attempts),
    }
    evidence(way, parcel, attempts, auth).await
}

/// The envelope alone.
pub async fn envelope(way: &Way<'_>, parcel: &Parcel, attempts: u32) -> Outcome {
    let json = [("content-type", "application/json")];
    let reply = ask(way, "POST", "v1/verdicts", &json, parcel.envelope.clone()).await;
    judge::outcome(reply, attempts)
}

async fn evidence(way: &Way<'_>, parcel: &Parcel, attempts: u32, auth: (&str, &str)) -> Outcome {
    let path = format!("v1/verdicts/{}/evidence.tar.zst", parcel.id);
    let lost =
        || Outcome::Later(Later::whole("unreadable", "The scoreboard does not say how much of the evidence it has."));
    let offset = |answer: &Answer| answer.header("upload-offset").and_then(|o| o.parse::<usize>().ok());
    let mut at = match ask(way, "HEAD", &path, &[auth], Vec::new()).await {
        Ok(answer) if answer.status == 204 => match offset(&answer) {
            Some(at) => at,
            None => return lost(),
        },
        Ok(answer) => return judge::refusal(&answer, attempts),
        Err(silence) => return judge::outcome(Err(silence), attempts),
    };
    let total = parcel.evidence.len();
    // A server that never comes to an end is left alone.
    for _ in 0..total / PART + 16 {
        if at >= total {
            // It has all of it: the last part is told again to get the receipt.
            at = total;
        }
        let part = parcel.evidence.get(at..total.min(at + PART)).unwrap_or_default();
        let (from, length) = (at.to_string(), total.to_string());
        let headers = [auth, ("upload-offset", from.as_str()), ("upload-length", length.as_str())];
        let answer = match ask(way, "PATCH", &path, &headers, part.to_vec()).await {
            Ok(answer) => answer,
            Err(silence) => return judge::outcome(Err(silence), attempts),
        };
        match answer.status {
            200 | 201 => return judge::outcome(Ok(answer), attempts),
            204 => match offset(&answer) {
                Some(now) if now > at => at = now,
                _ => return lost(),
            },
            _ => match judge::said(&answer).filter(|r| r.code == crate::board::RefusalCode::WrongOffset) {
                Some(refusal) => match refusal.details.get("offset").and_then(serde_json::Value::as_u64) {
                    Some(stands) => at = usize::try_from(stands).unwrap_or(total),
                    None => return lost(),
                },
                None => return judge::refusal(&answer, attempts),
            },
        }
    }
    Outcome::Later(Later::whole("unreadable", "The upload of the evidence did not come to its end."))
}

async fn ask(
    way: &Way<'_>,
    method: &'static str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer, Silence> {
    // Slow lines are given time by size: 64 KiB/s is enough.
    let limit = way.patience + Duration::from_secs(body.len() as u64 / (64 << 10));
    way.server.ask(Question { method, path, headers, body, limit, most: ANSWER_BYTES }).await
}
