//! Ears and prisoners as processes: `ear.pl` and `try.pl` in containers, spoken to in lines.

use super::judge::{Outcome, Said, Seen};
use super::table::Ear;
use crate::engine::{Engine, ExecSpec, ExecStream};
use crate::error::{Code, Error, Result};
use bytes::BytesMut;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const EAR: &str = include_str!("ear.pl");
const TRY: &str = include_str!("try.pl");
/// How long an ear may take to open its sockets, and to say what is left when it is told to end.
const READY: Duration = Duration::from_secs(10);
/// One prisoner's whole list. `try.pl` bounds each try itself.
pub const TRIES: Duration = Duration::from_secs(30);
/// No line of an ear is longer.
const LINE: usize = 4096;

/// A listening ear.
pub struct Listener {
    who: Ear,
    stream: ExecStream,
    buffer: BytesMut,
}

fn perl(program: &str) -> ExecSpec {
    ExecSpec { argv: ["perl", "-e", program].map(String::from).into(), stdin: true, ..ExecSpec::default() }
}

impl Listener {
    /// Opens an ear and waits until it listens. `settings` are lines as `ear.pl` takes them.
    pub async fn open(engine: &dyn Engine, container: &str, who: Ear, settings: &[String]) -> Result<Self> {
        let stream = engine.attach(container, &perl(EAR)).await?;
        let mut listener = Self { who, stream, buffer: BytesMut::new() };
        let text = format!("{}\ngo\n", settings.join("\n"));
        listener.tell(&text).await?;
        let ready = async {
            loop {
                match listener.line().await? {
                    Some(line) if line == "ready" => return Ok(()),
                    Some(line) if line.starts_with("heard ") => {}
                    Some(line) => return Err(listener.deaf(&line)),
                    None => return Err(listener.deaf("it ended at once")),
                }
            }
        };
        match tokio::time::timeout(READY, ready).await {
            Ok(opened) => opened.map(|()| listener),
            Err(_) => Err(Error::new(
                Code::Timeout,
                format!("The isolation probe's receiver on {} did not open.", who.words()),
            )),
        }
    }

    fn deaf(&self, why: &str) -> Error {
        Error::new(
            Code::DockerFailed,
            format!("The isolation probe's receiver on {} cannot listen: {why}", self.who.words()),
        )
    }

    async fn tell(&mut self, text: &str) -> Result<()> {
        self.stream.input.write_all(text.as_bytes()).await?;
        Ok(self.stream.input.flush().await?)
    }

    async fn line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line = self.buffer.split_to(end + 1);
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            if self.buffer.len() > LINE {
                return Err(self.deaf("it speaks without an end"));
            }
            match self.stream.output.next().await {
                Some(chunk) => self.buffer.extend_from_slice(&chunk?.1),
                None => return Ok(None),
            }
        }
    }

    /// Ends it and writes down what it heard.
    pub async fn close(mut self, seen: &mut Seen) {
        let told = async {
            self.tell("end\n").await?;
            while let Some(line) = self.line().await? {
                if hear(self.who, &line, seen) {
                    return Ok(());
                }
            }
            Err(self.deaf("it ended before the end"))
        };
        match tokio::time::timeout(READY, told).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => seen.unsound.push(error.message),
            Err(_) => seen.unsound.push(format!("the receiver on {} did not say what it heard", self.who.words())),
        }
    }
}

/// One line of an ear; true for its last.
fn hear(who: Ear, line: &str, seen: &mut Seen) -> bool {
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["heard", key, _] => {
            seen.heard.insert(((*key).to_owned(), who));
        }
        ["end", "0"] => return true,
        ["end", lost] => {
            seen.unsound.push(format!("the receiver on {} lost {lost} frames: the machine is too busy", who.words()));
            return true;
        }
        _ => seen.unsound.push(format!("the receiver on {} said: {line}", who.words())),
    }
    false
}

/// Lets a prisoner try its list; what it says of each goes to `seen`.
pub async fn tries(
    engine: &dyn Engine,
    container: &str,
    head: &[String],
    lines: &[String],
) -> Result<Vec<(String, Said)>> {
    let input = format!("{}\n{}\ngo\n", head.join("\n"), lines.join("\n"));
    let out = engine.exec(container, &perl(TRY), Some(input.into()), TRIES).await?;
    if out.exit != 0 {
        let why = String::from_utf8_lossy(&out.stderr).trim().chars().take(300).collect::<String>();
        return Err(Error::internal(format!("the isolation probe's prisoner ended with {}: {why}", out.exit)));
    }
    Ok(String::from_utf8_lossy(&out.stdout).lines().filter_map(said).collect())
}

fn said(line: &str) -> Option<(String, Said)> {
    let mut words = line.splitn(4, ' ');
    let ("tried", key) = (words.next()?, words.next()?) else { return None };
    let outcome = match words.next()? {
        "sent" => Outcome::Sent,
        "partly" => Outcome::Partly,
        "answered" => Outcome::Answered,
        "refused" => Outcome::Refused,
        _ => return None,
    };
    Some((key.to_owned(), Said { outcome, words: words.next().unwrap_or_default().trim().to_owned() }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn lines_of_an_ear() {
        let mut seen = Seen::default();
        assert!(!hear(Ear::Host, "heard c01a frame", &mut seen));
        assert!(hear(Ear::Host, "end 0", &mut seen));
        assert_eq!(seen.heard.iter().collect::<Vec<_>>(), [&("c01a".to_owned(), Ear::Host)]);
        assert!(seen.unsound.is_empty());
        assert!(hear(Ear::Host, "end 7", &mut seen));
        assert!(!hear(Ear::Host, "failed tcp 80: Address already in use", &mut seen));
        assert_eq!(seen.unsound.len(), 2, "{seen:?}");
    }

    #[test]
    fn lines_of_a_prisoner() {
        let (key, told) = said("tried l01a refused No route to host").unwrap();
        assert_eq!((key.as_str(), told.outcome, told.words.as_str()), ("l01a", Outcome::Refused, "No route to host"));
        assert_eq!(said("tried c02a answered it took it").unwrap().1.outcome, Outcome::Answered);
        assert!(said("tried c02a perhaps").is_none() && said("warning: x").is_none() && said("").is_none());
    }
}
