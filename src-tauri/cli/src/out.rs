//! Words for people, JSON for programs. Colour only on a terminal and without `NO_COLOR`; JSON and answers on stdout,
//! progress and errors for people on stderr.

use crate::exit;
use forge_core::error::{Code, Error, Result};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Plain,
    Bold,
    Dim,
    Good,
    Warn,
    Bad,
    Ember,
}

#[derive(Clone, Debug)]
pub struct Out {
    pub json: bool,
    colour: bool,
    colour_err: bool,
}

/// A cell of a table: what it says, and in which ink.
pub type Cell = (String, Ink);

pub fn cell(text: impl Into<String>) -> Cell {
    (text.into(), Ink::Plain)
}

impl Out {
    pub fn for_process(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self {
            json,
            colour: wanted && std::io::stdout().is_terminal(),
            colour_err: wanted && std::io::stderr().is_terminal(),
        }
    }

    #[cfg(test)]
    pub fn plain() -> Self {
        Self { json: false, colour: false, colour_err: false }
    }

    pub fn ink(&self, ink: Ink, text: &str) -> String {
        paint(self.colour, ink, text)
    }

    /// One JSON document and a newline.
    ///
    /// # Errors
    /// `Io` when stdout is closed.
    pub fn document(&self, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string(value)?;
        text.push('\n');
        written(&text)
    }

    /// # Errors
    /// `Io` when stdout is closed.
    pub fn line(&self, text: impl AsRef<str>) -> Result<()> {
        written(&format!("{}\n", text.as_ref()))
    }

    /// A line of progress, for people only.
    pub fn progress(&self, ink: Ink, text: impl AsRef<str>) {
        if !self.json {
            // Progress that nobody can read any more is not worth failing for.
            let _ = writeln!(std::io::stderr().lock(), "{}", paint(self.colour_err, ink, text.as_ref()));
        }
    }

    /// The value in JSON, or `words` for people.
    ///
    /// # Errors
    /// `Io` when stdout is closed; whatever `words` fails with.
    pub fn answer<T: Serialize>(&self, value: &T, words: impl FnOnce(&Self, &T) -> Result<()>) -> Result<()> {
        if self.json { self.document(value) } else { words(self, value) }
    }

    /// # Errors
    /// `Io` when stdout is closed.
    pub fn table(&self, heads: &[&str], rows: &[Vec<Cell>]) -> Result<()> {
        written(&self.table_text(heads, rows))
    }

    /// Columns as wide as their widest cell, two spaces apart; the last one is not padded.
    fn table_text(&self, heads: &[&str], rows: &[Vec<Cell>]) -> String {
        let wide = |text: &str| text.chars().count();
        let mut widths: Vec<usize> = heads.iter().map(|h| wide(h)).collect();
        for row in rows {
            for (width, (text, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(wide(text));
            }
        }
        let mut text = String::new();
        let heads: Vec<Cell> = heads.iter().map(|h| ((*h).to_owned(), Ink::Dim)).collect();
        for row in std::iter::once(&heads).chain(rows) {
            for (i, ((cell, ink), width)) in row.iter().zip(&widths).enumerate() {
                text.push_str(&self.ink(*ink, cell));
                if i + 1 < row.len() {
                    text.push_str(&" ".repeat(width.saturating_sub(wide(cell)) + 2));
                }
            }
            text.push('\n');
        }
        text
    }

    /// Tells an error where it belongs and turns it into an exit code.
    pub fn error(&self, error: &Error) -> ExitCode {
        if self.json {
            if let Err(e) = self.document(&serde_json::json!({ "error": error })) {
                tracing::warn!("the error could not be told: {e}");
            }
        } else {
            let mut text = format!("{} {}", paint(self.colour_err, Ink::Bad, "error:"), tame(&error.message));
            let reasons = error.details.get("reasons").and_then(|r| r.as_array());
            for reason in
                reasons.into_iter().flatten().filter_map(|r| r.as_str()).filter(|r| !error.message.contains(r))
            {
                text.push_str(&format!("\n  - {}", tame(reason)));
            }
            for hint in &error.hints {
                text.push_str(&format!("\n  {} {}", paint(self.colour_err, Ink::Ember, "→"), tame(hint)));
            }
            let decision = error.details.get("decisions").and_then(|d| d.get(0)).and_then(serde_json::Value::as_i64);
            if let Some(id) = decision {
                let arrow = paint(self.colour_err, Ink::Ember, "→");
                text.push_str(&format!("\n  {arrow} `forge policy why {id}` shows what the gate was asked."));
            }
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
        ExitCode::from(exit::of_error(error))
    }
}

/// A reader that has read enough (`forge labs | head -1`) is no failure: the process ends as if it had been told to.
fn written(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Code::Cancelled, "Nobody reads the answer any more."))
        }
        written => Ok(written?),
    }
}

/// What others wrote (a scoreboard's words, a lab's, a name) is shown, and moves no cursor.
fn tame(text: &str) -> std::borrow::Cow<'_, str> {
    let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(moves) { text.replace(moves, "").into() } else { text.into() }
}

fn paint(colour: bool, ink: Ink, text: &str) -> String {
    let text = tame(text);
    let code = match ink {
        Ink::Plain => return text.into_owned(),
        Ink::Bold => "1",
        Ink::Dim => "2",
        Ink::Good => "32",
        Ink::Warn => "33",
        Ink::Bad => "31",
        Ink::Ember => "38;5;208",
    };
    if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into_owned() }
}

/// Milli-points as points: `2500` is `2.5`.
pub fn points(milli: u64) -> String {
    let (whole, rest) = (milli / 1000, milli % 1000);
    if rest == 0 { whole.to_string() } else { format!("{whole}.{}", format!("{rest:03}").trim_end_matches('0')) }
}

/// Milliseconds in the unit a person would say.
pub fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60),
        _ => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// Bytes in powers of 1000, as Docker tells image sizes.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{} kB", n / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", n / 1_000_000),
        _ => format!("{}.{} GB", n / 1_000_000_000, n / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_by_characters_and_colour_does_not_move_them() {
        let rows = vec![vec![("ä".into(), Ink::Good), cell("1")], vec![cell("long one"), cell("22")]];
        let want = "NAME      N\nä         1\nlong one  22\n";
        assert_eq!(Out::plain().table_text(&["NAME", "N"], &rows), want);
        let coloured = Out { colour: true, ..Out::plain() }.table_text(&["NAME", "N"], &rows);
        assert_ne!(coloured, want);
        let mut stripped = String::new();
        let mut escape = false;
        for c in coloured.chars() {
            match c {
                '\x1b' => escape = true,
                'm' if escape => escape = false,
                _ if !escape => stripped.push(c),
                _ => {}
            }
        }
        assert_eq!(stripped, want);
    }

    #[test]
    fn words_of_others_move_no_cursor() {
        let evil = "a\x1b[2J\u{9b}1A\rb\nc\td";
        assert_eq!(paint(false, Ink::Warn, evil), "a[2J1Ab\nc\td");
        assert_eq!(paint(true, Ink::Bad, "x\x1b]0;t\x07"), "\x1b[31mx]0;t\x1b[0m");
        assert_eq!(Out::plain().table_text(&["N"], &[vec![cell(evil)]]), "N\na[2J1Ab\nc\td\n");
    }

    #[test]
    fn numbers_are_told_with_units() {
        assert_eq!([points(5000), points(2500), points(1)], ["5", "2.5", "0.001"]);
        assert_eq!(
            [span(999), span(1_234), span(61_000), span(3_660_000)],
            ["999 ms", "1.2 s", "1 min 01 s", "1 h 01 min"]
        );
        assert_eq!([bytes(12), bytes(230_400_000), bytes(1_250_000_000)], ["12 B", "230 MB", "1.2 GB"]);
    }
}
