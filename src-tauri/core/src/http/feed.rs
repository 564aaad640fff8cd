//! A stream of server-sent events, read within bounds: what a line, an event and a silence may be. The reader of bytes is pure.

use super::{Silence, silence};
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of one event, its fields and what they say.
const EVENT_BYTES: usize = 256 << 10;

/// One event. A stream that goes on after it was cut off is asked for with the last `id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub id: Option<String>,
    /// Empty where the server gave none.
    pub kind: String,
    pub data: String,
}

/// An open stream; it ends with this value.
#[derive(Debug)]
pub struct Feed {
    response: reqwest::Response,
    reader: Reader,
    ready: VecDeque<Event>,
}

impl Feed {
    /// Waits for the first bytes: a stream that is held back on its way is none.
    pub(super) async fn open(response: reqwest::Response, limit: Duration) -> Result<Self, Silence> {
        let mut feed = Self { response, reader: Reader::default(), ready: VecDeque::new() };
        feed.read(limit).await?;
        Ok(feed)
    }

    /// The next event. Anything that the server sends, also what is no event, shows that it is there; after `silent` without
    /// a byte it is taken for gone.
    pub async fn next(&mut self, silent: Duration) -> Result<Event, Silence> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            self.read(silent).await?;
        }
    }

    async fn read(&mut self, limit: Duration) -> Result<(), Silence> {
        let chunk = tokio::time::timeout(limit, self.response.chunk()).await.map_err(|_| Silence::TimedOut)?;
        let bytes = chunk.map_err(|e| silence(&e))?.ok_or_else(|| Silence::Broken("it ended".into()))?;
        self.ready.extend(self.reader.take(&bytes)?);
        Ok(())
    }
}

/// Bytes to events, however the bytes are cut.
#[derive(Debug, Default)]
struct Reader {
    line: Vec<u8>,
    after_cr: bool,
    event: Event,
    /// Bytes of the event that is being read.
    size: usize,
}

impl Reader {
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Silence> {
        let mut events = Vec::new();
        for b in bytes {
            let line_feed_of_cr = *b == b'\n' && self.after_cr;
            self.after_cr = *b == b'\r';
            if line_feed_of_cr {
                continue;
            }
            if !matches!(b, b'\n' | b'\r') {
                self.size += 1;
                if self.size > EVENT_BYTES {
                    return Err(Silence::Broken(format!("an event is longer than {EVENT_BYTES} bytes")));
                }
                self.line.push(*b);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if !line.is_empty() {
                self.field(&String::from_utf8_lossy(&line));
                continue;
            }
            self.size = 0;
            let event = std::mem::take(&mut self.event);
            // Without data it is a comment's or a setting's end, and no event.
            if !event.data.is_empty() {
                events.push(event);
            }
        }
        Ok(events)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "event" => value.clone_into(&mut self.event.kind),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn event(id: Option<&str>, kind: &str, data: &str) -> Event {
        Event { id: id.map(Into::into), kind: kind.into(), data: data.into() }
    }

    #[test]
    fn the_same_events_however_the_bytes_are_cut() {
        let text = "retry: 2000\n\n:\n\nid: 7\nevent: message\ndata: {\"a\":1}\n\nevent: reset\r\ndata: {}\r\n\r\ndata: a\ndata:b\n\nunknown: x\nid: 9\ndata: ö\n\nid: 10\n\ndata: cut off";
        let want = [
            event(Some("7"), "message", "{\"a\":1}"),
            event(None, "reset", "{}"),
            event(None, "", "a\nb"),
            event(Some("9"), "", "ö"),
        ];
        for size in 1..text.len() {
            let mut reader = Reader::default();
            let got: Vec<Event> = text.as_bytes().chunks(size).flat_map(|c| reader.take(c).unwrap()).collect();
            assert_eq!(got, want, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_given_up() {
        let mut reader = Reader::default();
        let piece = [b"data: ".as_slice(), &vec![b'x'; 60_000], b"\n"].concat();
        let taken = (0..10).map(|_| reader.take(&piece)).find_map(Result::err);
        assert!(matches!(taken, Some(Silence::Broken(_))), "{taken:?}");
        let mut reader = Reader::default();
        for _ in 0..10_000 {
            assert!(reader.take(b":\n\ndata: x\n\n").is_ok(), "many short ones are not one long one");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stop_nothing() {
        let mut reader = Reader::default();
        assert_eq!(reader.take(b"\xff\xfe: \x80\ndata: \xff\n\n").unwrap(), [event(None, "", "\u{fffd}")]);
    }
}
