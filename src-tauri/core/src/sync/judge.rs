//! What an answer means. Pure: the same answer, the same outcome.

use super::parcel::Parcel;
use crate::board::{Accepted, Receipt, Refusal, RefusalCode, Signed, apart};
use crate::http::{Answer, Silence};
use crate::keys::{Domain, PublicKey};
use serde::Deserialize;

/// A verdict that a server takes for future-dated becomes acceptable as time goes on; after so many attempts (two days of
/// hourly ones) it was not the clock.
const CLOCK_ATTEMPTS: u32 = 60;

#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Accepted(Box<Accepted>),
    /// Final: the same submission will never be accepted.
    Refused {
        code: String,
        message: String,
        hint: String,
    },
    Later(Later),
}

/// Nothing was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    pub code: String,
    pub message: String,
    /// Nothing else can be sent now either.
    pub whole: bool,
    /// Seconds that the server asked to be left alone.
    pub asked: Option<u64>,
}

impl Later {
    pub fn whole(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), whole: true, asked: None }
    }

    pub fn silent(silence: &Silence) -> Self {
        let (code, mut message) = super::silence(silence);
        if let Some(remedy) = super::remedy(silence) {
            message = format!("{message} {remedy}");
        }
        Self::whole(code, message)
    }
}

/// A refusal in the words of a server that may know codes which we do not.
#[derive(Deserialize)]
struct Wrapped {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
    #[serde(default)]
    hints: Vec<String>,
    #[serde(default)]
    details: serde_json::Value,
}

/// `attempts`: those that failed before this one.
pub fn outcome(reply: Result<Answer, Silence>, attempts: u32) -> Outcome {
    let answer = match reply {
        Ok(answer) => answer,
        Err(silence) => {
            return Outcome::Later(Later::silent(&silence));
        }
    };
    if matches!(answer.status, 200 | 201) {
        return match serde_json::from_slice::<Accepted>(&answer.body) {
            Ok(accepted) => Outcome::Accepted(Box::new(accepted)),
            Err(_) => Outcome::Later(Later::whole("unreadable", "The answer is not what a scoreboard says.")),
        };
    }
    refusal(&answer, attempts)
}

/// What anything but a success means.
pub fn refusal(answer: &Answer, attempts: u32) -> Outcome {
    let asked = answer.header("retry-after").and_then(|s| s.trim().parse().ok());
    let Ok(Wrapped { error }) = serde_json::from_slice::<Wrapped>(&answer.body) else {
        // A proxy, a captive portal, another program on that port: what it says decides nothing about a verdict. That one is too
        // large for it says nothing about the others.
        let whole = answer.status != 413;
        return Outcome::Later(Later { asked, whole, ..Later::whole("unreadable", super::foreign(answer)) });
    };
    no(error, answer.status, asked, attempts)
}

/// One of the lines that many envelopes are answered with. None: it is not what a scoreboard says.
pub fn line(line: &[u8], attempts: u32) -> Option<Outcome> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Line {
        Accepted(Box<Accepted>),
        Error(Said),
    }
    match serde_json::from_slice(line).ok()? {
        Line::Accepted(accepted) => Some(Outcome::Accepted(accepted)),
        // Its code says all that a status would; one that is unknown here is final unless it says that it is not.
        Line::Error(said) => Some(no(said, 0, None, attempts)),
    }
}

fn no(error: Said, status: u16, asked: Option<u64>, attempts: u32) -> Outcome {
    let message: String = error.message.chars().take(500).collect();
    let known = serde_json::from_value::<RefusalCode>(error.code.clone().into()).ok();
    let asks = error.details.get("retry") == Some(&serde_json::Value::Bool(true));
    let transient = known.is_some_and(RefusalCode::retry) || asks || status >= 500 || status == 429;
    let early = known == Some(RefusalCode::FutureDated) && attempts < CLOCK_ATTEMPTS;
    if transient || early {
        // A defect that one verdict strikes must not hold up the others, nor must one with a wrong time.
        let alone = early || matches!(known, Some(RefusalCode::Internal | RefusalCode::WrongOffset));
        let message = if early { too_early(&error.details, message) } else { message };
        return Outcome::Later(Later { code: short(&error.code), message, whole: !alone, asked });
    }
    let hint = error.hints.first().map(|h| h.chars().take(500).collect()).unwrap_or_default();
    Outcome::Refused { code: short(&error.code), message, hint }
}

/// A server that says by how much lets it be told.
fn too_early(details: &serde_json::Value, said: String) -> String {
    let at = |name: &str| details.get(name).and_then(serde_json::Value::as_i64);
    let by = match (at("finished"), at("now")) {
        (Some(finished), Some(now)) => apart(finished.saturating_sub(now)),
        _ => return said,
    };
    format!(
        "By the scoreboard’s clock this run ends {by} from now; it is taken after that. If this machine’s clock was wrong, set it \
         right and do the lab again: only a new run has the right time."
    )
}

fn short(code: &str) -> String {
    code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect()
}

/// A refusal for callers that are not sending verdicts.
pub fn said(answer: &Answer) -> Option<Refusal> {
    #[derive(Deserialize)]
    struct Known {
        error: Refusal,
    }
    serde_json::from_slice::<Known>(&answer.body).ok().map(|k| k.error)
}

/// Why a receipt is not one for this verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Signed with a key that is not pinned; the server may have changed it.
    OtherKey,
    Lie(&'static str),
}

/// Holds a receipt against the verdict that was sent and the keys that are pinned.
pub fn receipt(signed: &Signed<Receipt>, parcel: &Parcel, keys: &[PublicKey]) -> Result<(), Doubt> {
    let key = keys.iter().find(|k| k.id() == signed.key_id).ok_or(Doubt::OtherKey)?;
    signed.holds(key, Domain::Acceptance).map_err(|_| Doubt::Lie("its signature does not hold"))?;
    let (said, claims) = (&signed.body, &parcel.claims);
    let same = [
        (said.version == 1, "it is of a version that is unknown here"),
        (said.verdict == parcel.id, "it is for another verdict"),
        (said.key_id == parcel.key_id, "it names another key"),
        (said.run == claims.run && said.lab == claims.lab, "it names another run"),
        (said.score == claims.score && said.max == claims.max, "it states another score"),
    ];
    match same.iter().find(|(ok, _)| !ok) {
        Some((_, why)) => Err(Doubt::Lie(why)),
        None => Ok(()),
    }
}
