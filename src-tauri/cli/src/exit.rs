//! Exit codes that mean something. The same table stands in `forge --help` and in docs/cli.md; a test compares them.

use forge_core::error::{Code, Error};

pub const FAILED: u8 = 1;
pub const USAGE: u8 = 2;

pub const TABLE: &str = "\
Exit codes:
  0  done
  1  failed, or not everything passed where that was asked for
  2  wrong usage: an argument is missing, unknown or out of range
  3  denied by a gate, or for instructors only
  4  there is no such lab, run, node, result or file
  5  Docker does not answer
  6  the template, verdict or evidence is not valid
  7  cancelled, or a wait came to its end
  8  this machine lacks something: memory, disk, an image, a kernel feature
  9  not now: the run is not in a state that allows it, or the request id was used before
  10  the lab's answers belong to one seed: it cannot be executed again";

/// What a caller of the process may branch on, from what a caller of the engine may branch on. A scoreboard's own code, where it
/// stands for one of the rows above, is that row.
pub fn of_error(error: &Error) -> u8 {
    let board = error.details.get("code").and_then(serde_json::Value::as_str).unwrap_or_default();
    match (error.code, board) {
        (Code::ScoreboardFailed, "forbidden") => of(Code::Denied),
        (Code::ScoreboardFailed, "not_found") => of(Code::NotFound),
        (Code::ScoreboardFailed, "seed_bound") => of(Code::SeedBound),
        (code, _) => of(code),
    }
}

pub fn of(code: Code) -> u8 {
    match code {
        Code::InvalidInput | Code::UnknownCommand => USAGE,
        Code::Denied | Code::TokenInvalid | Code::TokenSpent | Code::PaymentFailed => 3,
        Code::UnknownLab | Code::UnknownRun | Code::UnknownNode | Code::NotFound => 4,
        Code::DockerUnavailable => 5,
        Code::TemplateInvalid | Code::VerdictInvalid | Code::EvidenceInvalid | Code::TooLarge => 6,
        Code::Cancelled | Code::Timeout => 7,
        Code::ImageMissing | Code::ImageBuildFailed | Code::MachineLacks | Code::NoMemory | Code::DiskFull => 8,
        Code::WrongState | Code::RequestReused => 9,
        Code::SeedBound => 10,
        Code::DockerFailed
        | Code::PortUnavailable
        | Code::KeyUnavailable
        | Code::KeysLocked
        | Code::ScoreboardFailed
        | Code::StoreFailed
        | Code::Io
        | Code::Internal => FAILED,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_scoreboards_refusal_ends_as_the_same_refusal_here() {
        let said = |code| of_error(&Error::new(Code::ScoreboardFailed, "x").details(serde_json::json!({"code": code})));
        assert_eq!((said("forbidden"), said("not_found"), said("seed_bound"), said("busy")), (3, 4, 10, FAILED));
        assert_eq!(of_error(&Error::new(Code::Denied, "x").details(serde_json::json!({"code": "seed_bound"}))), 3);
    }

    #[test]
    fn the_guide_shows_the_table_that_help_shows() {
        let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap();
        for row in super::TABLE.lines().skip(1) {
            let (code, words) = row.trim().split_once("  ").unwrap();
            assert!(guide.contains(&format!("| {code} | {words} |")), "docs/cli.md lacks exit code {code}: {words}");
        }
    }
}
