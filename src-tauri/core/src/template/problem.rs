//! What is wrong with a template, and where: file, line and column (1-based, in characters), what was expected,
//! and what the author probably meant.

use crate::error::{Code, Error};
use serde_json::json;

/// A place in a file. Line 0 means that the whole file is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pos {
    pub line: u32,
    pub column: u32,
}

impl Pos {
    pub const START: Self = Self { line: 1, column: 1 };
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Relative to the lab's folder, with `/`.
    pub file: String,
    pub at: Pos,
    pub message: String,
    pub hint: Option<String>,
}

impl Problem {
    pub fn new(file: &str, at: Pos, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), at, message: message.into(), hint: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    fn place(&self) -> String {
        if self.at.line == 0 { self.file.clone() } else { format!("{}:{}:{}", self.file, self.at.line, self.at.column) }
    }
}

impl From<Problem> for Error {
    fn from(p: Problem) -> Self {
        report(vec![p])
    }
}

/// Folds problems into one error: the first in reading order is the message, all of them are in
/// `details.problems`, each with `file`, `line`, `column`, `message` and `hint`.
pub fn report(mut problems: Vec<Problem>) -> Error {
    problems.sort_by(|a, b| (&a.file, a.at).cmp(&(&b.file, b.at)));
    problems.dedup();
    let Some(first) = problems.first() else {
        return Error::internal("a template was refused without a reason");
    };
    let more = match problems.len() {
        1 => String::new(),
        n => format!(" ({} more in this lab)", n - 1),
    };
    let mut error = Error::new(Code::TemplateInvalid, format!("{}: {}{more}", first.place(), first.message));
    if let Some(hint) = &first.hint {
        error = error.hint(hint.clone());
    }
    for p in problems.iter().skip(1).take(9) {
        error = error.hint(format!("Also {}: {}", p.place(), p.message));
    }
    let rows: Vec<_> = problems
        .iter()
        .map(
            |p| json!({"file": p.file, "line": p.at.line, "column": p.at.column, "message": p.message, "hint": p.hint}),
        )
        .collect();
    error.details(json!({ "problems": rows }))
}

/// “Did you mean …?” for a word that is close to one of the known ones; else the known ones themselves.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known.iter().map(|k| (distance(word, k), *k)).min();
    match near {
        Some((d, k)) if d <= 1 + word.chars().count() / 4 => Some(format!("Did you mean “{k}”?")),
        Some(_) => Some(format!("Known here: {}.", known.join(", "))),
        None => None,
    }
}

/// Levenshtein distance, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.to_lowercase().chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (j, cb) in b.iter().enumerate() {
            let replace = row.get(j).copied().unwrap_or(0) + usize::from(ca != *cb);
            let delete = row.get(j + 1).copied().unwrap_or(0) + 1;
            let insert = next.last().copied().unwrap_or(0) + 1;
            next.push(replace.min(delete).min(insert));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
