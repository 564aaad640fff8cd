//! What was asked and what came back, as it is stored in the evidence and judged from.

use super::vantage::Output;
use crate::template::scenario::From;
use serde::{Deserialize, Serialize};

/// A question as it is put to a [`super::vantage::Vantage`]. Secrets that a script needs come by standard input and are
/// not part of the question (the scenario holds them).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// A shell script for the fabric's programs in a network namespace.
    Look {
        from: From,
        script: String,
    },
    /// argv run with the node's own programs (never in a node that the learner can enter).
    Inside {
        node: String,
        argv: Vec<String>,
    },
    /// A regular file; the last `keep` bytes are recorded.
    File {
        node: String,
        path: String,
        keep: usize,
    },
    Capture {
        link: String,
        filter: String,
        for_ms: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    Output {
        exit: i32,
        stdout: String,
        stderr: String,
        /// Something of it was cut off.
        cut: bool,
    },
    Missing,
    /// A file's text; bytes that are not UTF-8 became U+FFFD.
    Text {
        text: String,
        /// The beginning was cut off.
        cut: bool,
    },
    /// The question could not be put: why, in words. Never evidence for or against the learner.
    NotAsked {
        reason: String,
    },
}

/// One question with its answer; all that [`super::judge`] is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observation {
    pub asked: Ask,
    pub answered: Answer,
    /// Milliseconds from the beginning of the check to the answer.
    pub at_ms: u64,
}

/// Longest stream that is recorded, in bytes. What judges need is far shorter; a program that prints more is cut.
const STREAM_MAX: usize = 64 * 1024;

impl Answer {
    pub(super) fn output(o: Output) -> Self {
        let (stdout, cut_out) = head(o.stdout);
        let (stderr, cut_err) = head(o.stderr);
        Self::Output { exit: o.exit, stdout, stderr, cut: o.truncated || cut_out || cut_err }
    }

    pub(super) fn file(bytes: Option<Vec<u8>>, keep: usize) -> Self {
        let Some(bytes) = bytes else { return Self::Missing };
        let from = bytes.len().saturating_sub(keep);
        let tail = bytes.get(from..).unwrap_or_default();
        // A line cut in half must not match by accident: begin after the next line break.
        let tail = match (from > 0).then(|| tail.iter().position(|b| *b == b'\n')).flatten() {
            Some(at) => tail.get(at + 1..).unwrap_or_default(),
            None => tail,
        };
        Self::Text { text: String::from_utf8_lossy(tail).into_owned(), cut: from > 0 }
    }
}

fn head(mut s: String) -> (String, bool) {
    if s.len() <= STREAM_MAX {
        return (s, false);
    }
    let mut at = STREAM_MAX;
    while !s.is_char_boundary(at) {
        at -= 1;
    }
    s.truncate(at);
    (s, true)
}
