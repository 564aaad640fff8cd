//! A laptop's side of a scoreboard: enrolment, and sending what waits in the outbox until there is a receipt or a refusal for
//! it. Nothing is sent before somebody enrols, and nothing but results folders whose bytes are the signed, scrubbed ones.
//!
//! [`enrol`](mod@enrol), and [`back`] where it was enrolled before · [`parcel`] reads what is sent · [`send`] one verdict over the wire, [`many`] envelopes in one request ·
//! [`judge`] what an answer means, and [`pace`] when to try again: both pure · [`round`] the outbox · [`again`] what stands higher
//! by now · [`keep`] what is kept of it · [`preview`] · [`session`] and its [`doorbell`] · [`reexecution`] and [`jobs`],
//! the queue of those. What it refuses to do: believe a receipt that is
//! not signed by the pinned key, take a verdict out of the outbox for any other reason than a receipt or a refusal, read a clock.

mod again;
mod back;
pub mod doorbell;
pub mod enrol;
pub mod jobs;
pub mod judge;
mod keep;
mod many;
pub mod pace;
pub mod parcel;
pub mod preview;
pub mod reexecution;
pub mod round;
mod send;
pub mod session;
#[cfg(test)]
mod tests;

use crate::error::{Code, Error, Result};
use crate::http::{Answer, Distrust, Server, Silence, Trust};
use crate::store::sync::Board;

/// Bundles up to this size go in one request; larger ones in parts that can be resumed.
pub const WHOLE_MAX: u64 = 8 << 20;
/// A scoreboard that takes longer is asked again later.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

fn server(board: &Board) -> Result<Server> {
    Server::trusting(&board.url, &Trust { ca: board.ca.clone(), clear_text: board.clear_text })
}

fn silence(silence: &Silence) -> (&'static str, String) {
    match silence {
        Silence::Unreachable(why) => ("unreachable", format!("The scoreboard cannot be reached: {why}.")),
        Silence::Untrusted(why) => {
            ("untrusted", format!("Nothing was sent: the scoreboard’s certificate {}.", why.words()))
        }
        Silence::TimedOut => ("timeout", "The scoreboard gave no answer in time.".into()),
        Silence::Broken(why) => ("unreadable", format!("The scoreboard's answer broke off: {why}.")),
    }
}

/// An answer that no scoreboard gave.
fn foreign(answer: &Answer) -> String {
    match (answer.status, answer.header("location")) {
        (300..400, Some(to)) => {
            let to: String = to.chars().filter(|c| !c.is_control()).take(200).collect();
            format!("This address sends on to {to}, which is not followed.")
        }
        (413, _) => "Something before the scoreboard, a proxy perhaps, takes no request of this size (HTTP 413); tell your instructor.".into(),
        (429, _) => "Too many ask at once (HTTP 429).".into(),
        (502..=504, _) => format!("The scoreboard behind this address does not answer (HTTP {}).", answer.status),
        (status, _) => format!("HTTP {status} came back, and not in a scoreboard’s words."),
    }
}

/// What to do about a silence that does not pass by itself.
fn remedy(silence: &Silence) -> Option<&'static str> {
    let Silence::Untrusted(why) = silence else { return None };
    Some(match why {
        Distrust::Stranger | Distrust::Unsound(_) => {
            "Ask your instructor for the scoreboard’s certificate of now, then: forge enrol URL CODE --ca FILE"
        }
        Distrust::OtherName(_) => "Enrol with the address that your instructor gave you, spelled as they did.",
        Distrust::Over | Distrust::Early => {
            "Set this machine’s clock right. If it is right, tell your instructor: the scoreboard needs a new certificate."
        }
    })
}

fn trouble(code: &str, message: impl Into<String>) -> Error {
    Error::new(Code::ScoreboardFailed, message).details(serde_json::json!({"code": code}))
}

/// # Errors
/// Says that there is no scoreboard.
pub fn not_enrolled() -> Error {
    Error::new(Code::WrongState, "No scoreboard is set up, so nothing is sent.")
        .hint("Ask your instructor for an address and a code, then: forge enrol URL CODE")
}
