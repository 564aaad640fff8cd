//! One error for everything that crosses a room's door: a code a caller may branch on, a sentence that
//! says what happened and why, and hints that say what to do now.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// What a caller may branch on. A code exists only where somebody does; the words live in `message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(export, export_to = "api.ts")]
pub enum Code {
    /// A request's field is missing, of the wrong type or out of range.
    InvalidInput,
    /// A template, its parameters or one of its files cannot be accepted; the message names file:line:column.
    TemplateInvalid,
    /// A size, depth or count limit was passed; `details.limit` and `details.actual` where known.
    TooLarge,
    UnknownCommand,
    UnknownLab,
    UnknownRun,
    UnknownNode,
    /// Any other named thing that is not there: a job, a terminal, a forward, a result.
    NotFound,
    /// The request id has been used for another lab or seed.
    RequestReused,
    /// A gate said no; `details.reasons` holds its words.
    Denied,
    /// The run, node or job is not in a state that allows this.
    WrongState,
    TokenInvalid,
    TokenSpent,
    /// The billing gateway gave no answer that counts; `details.kind` says what was wrong with it.
    PaymentFailed,
    /// The scoreboard refused, gave no answer, or one that does not hold; `details.code` says which.
    ScoreboardFailed,
    DockerUnavailable,
    /// Docker answered, with an error that no other code describes.
    DockerFailed,
    ImageMissing,
    ImageBuildFailed,
    /// This machine lacks what the lab requires (kernel feature, memory, architecture).
    MachineLacks,
    NoMemory,
    DiskFull,
    /// A wait came to its end.
    Timeout,
    /// The caller asked for it. Outranks every other error of the same operation.
    Cancelled,
    PortUnavailable,
    VerdictInvalid,
    EvidenceInvalid,
    /// The lab's answers belong to one seed, so a submission cannot be executed again under another.
    SeedBound,
    KeyUnavailable,
    /// The private keys are locked, and so is everything that needs them; `unlock_keys` opens them.
    KeysLocked,
    StoreFailed,
    Io,
    /// A defect of ours.
    Internal,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS, thiserror::Error)]
#[error("{message}")]
#[ts(export, export_to = "api.ts")]
pub struct Error {
    pub code: Code,
    /// What happened and why, in one or two sentences.
    pub message: String,
    /// What to do now, most promising first.
    #[serde(default)]
    pub hints: Vec<String>,
    /// Facts for machines; never a secret.
    #[serde(default)]
    #[ts(type = "unknown")]
    pub details: serde_json::Value,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: plain(message.into()), hints: Vec::new(), details: serde_json::Value::Null }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub fn details(mut self, details: serde_json::Value) -> Self {
        self.details = details;
        self
    }

    /// Says what was being done when the error came up, keeping code and hints.
    #[must_use]
    pub fn context(mut self, doing: impl std::fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    pub fn cancelled() -> Self {
        Self::new(Code::Cancelled, "Cancelled as asked; nothing was left behind.")
    }

    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal, format!("Something that should not happen did: {what}"))
            .hint("Run `forge doctor` and report the message together with the log.")
    }
}

/// The words of a foreign error without what its language adds to them: `(os error 2)`. Every message goes through it.
pub fn plain(cause: impl std::fmt::Display) -> String {
    let text = cause.to_string();
    match text.split_once(" (os error ") {
        Some((before, rest)) => match rest.split_once(')') {
            Some((number, after)) if number.bytes().all(|b| b.is_ascii_digit()) => format!("{before}{after}"),
            _ => text,
        },
        None => text,
    }
}

/// `std::io` errors keep their cause; a full disk gets its own code, because callers show another remedy.
impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Self::new(Code::DiskFull, format!("The disk is full: {e}"))
                    .hint("Free some space, then try again; nothing was lost.")
            }
            _ => Self::new(Code::Io, e.to_string()),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Self::new(Code::InvalidInput, format!("Not the JSON that was expected: {e}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_foreign_error_is_told_without_its_number() {
        let missing = Error::from(std::fs::File::open("/nowhere/at/all").unwrap_err());
        assert_eq!((missing.code, missing.message.as_str()), (Code::Io, "No such file or directory"));
        for (told, plainly) in [
            ("Permission denied (os error 13): /x", "Permission denied: /x"),
            ("odd (os error x) text", "odd (os error x) text"),
            ("odd (os error 3", "odd (os error 3"),
            ("nothing of the kind", "nothing of the kind"),
        ] {
            assert_eq!(plain(told), plainly);
        }
    }
}
