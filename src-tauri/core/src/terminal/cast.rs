//! A terminal's transcript in asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/): a header line, then
//! `[seconds, "o", text]` per output and `[seconds, "r", "COLSxROWS"]` per resize. What is typed is not recorded unless
//! the terminal echoes it, so a password is not.

use crate::error::{Error, Result};
use bytes::Bytes;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Chunks that may wait for the disk before the terminal waits with them.
const QUEUE: usize = 64;

enum Entry {
    Output(Duration, Bytes),
    Resize(Duration, u16, u16),
    Sync(oneshot::Sender<()>),
}

/// The sending side; the file is written by a thread of its own and ends when this is dropped.
#[derive(Clone)]
pub struct Recorder {
    entries: mpsc::Sender<Entry>,
    began: Instant,
}

/// What the header says.
pub struct Header<'a> {
    pub cols: u16,
    pub rows: u16,
    /// Unix seconds.
    pub at: i64,
    pub title: &'a str,
}

impl Recorder {
    /// Makes `path` (and its folder) and writes the header. At most `cap` bytes are written; the transcript says when
    /// it was cut.
    pub fn create(path: &Path, header: &Header<'_>, cap: u64) -> Result<Self> {
        let doing = || format!("The transcript {}", path.display());
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| Error::from(e).context(doing()))?;
        }
        let file = File::create(path).map_err(|e| Error::from(e).context(doing()))?;
        let mut cast = Cast { out: BufWriter::new(file), written: 0, cap, done: false, partial: Vec::new() };
        cast.line(&json!({
            "version": 2, "width": header.cols, "height": header.rows, "timestamp": header.at,
            "title": header.title, "env": {"TERM": "xterm-256color"},
        }))
        .and_then(|()| cast.out.flush())
        .map_err(|e| Error::from(e).context(doing()))?;
        let (entries, queue) = mpsc::channel(QUEUE);
        let path = path.to_owned();
        // A thread rather than a blocking task: a runtime that shuts down would wait for the task, and the task for us.
        std::thread::Builder::new().name("transcript".into()).spawn(move || {
            if let Err(e) = cast.run(queue) {
                tracing::warn!(path = %path.display(), error = %e, "the terminal's transcript cannot be written any more");
            }
        })?;
        Ok(Self { entries, began: Instant::now() })
    }

    /// Waits when the disk is behind. After a disk error there is nothing to wait for; the error is in the log.
    pub async fn output(&self, bytes: &Bytes) {
        let _stopped = self.entries.send(Entry::Output(self.began.elapsed(), bytes.clone())).await;
    }

    pub async fn resize(&self, cols: u16, rows: u16) {
        let _stopped = self.entries.send(Entry::Resize(self.began.elapsed(), cols, rows)).await;
    }

    /// Returns once everything recorded so far can be read from the file.
    pub async fn sync(&self) {
        let (done, wait) = oneshot::channel();
        if self.entries.send(Entry::Sync(done)).await.is_ok() {
            let _stopped = wait.await;
        }
    }
}

struct Cast<W: Write> {
    out: W,
    written: u64,
    cap: u64,
    done: bool,
    /// The beginning of a UTF-8 character whose rest is in the next chunk.
    partial: Vec<u8>,
}

impl<W: Write> Cast<W> {
    fn run(&mut self, mut queue: mpsc::Receiver<Entry>) -> std::io::Result<()> {
        while let Some(entry) = queue.blocking_recv() {
            match entry {
                Entry::Output(at, bytes) => self.output(at, &bytes)?,
                Entry::Resize(at, cols, rows) => self.event(at, "r", &format!("{cols}x{rows}"))?,
                Entry::Sync(done) => {
                    self.out.flush()?;
                    let _gone = done.send(());
                }
            }
            if queue.is_empty() {
                self.out.flush()?;
            }
        }
        self.out.flush()
    }

    fn output(&mut self, at: Duration, bytes: &[u8]) -> std::io::Result<()> {
        if self.done {
            return Ok(());
        }
        let mut all = std::mem::take(&mut self.partial);
        all.extend_from_slice(bytes);
        let keep = all.len() - unfinished(&all);
        self.partial = all.split_off(keep);
        if all.is_empty() {
            return Ok(());
        }
        self.event(at, "o", &String::from_utf8_lossy(&all))
    }

    fn event(&mut self, at: Duration, kind: &str, text: &str) -> std::io::Result<()> {
        if self.done {
            return Ok(());
        }
        // Microseconds: what the format's own recorder writes.
        let seconds = (at.as_secs_f64() * 1e6).round() / 1e6;
        let line = json!([seconds, kind, text]);
        if self.written + line.to_string().len() as u64 > self.cap {
            self.done = true;
            return self.line(&json!([seconds, "m", format!("The transcript was cut here, at {} bytes.", self.cap)]));
        }
        self.line(&line)
    }

    fn line(&mut self, value: &serde_json::Value) -> std::io::Result<()> {
        let line = format!("{value}\n");
        self.written += line.len() as u64;
        self.out.write_all(line.as_bytes())
    }
}

/// How many bytes at the end begin a UTF-8 character that is not complete (0 to 3).
fn unfinished(bytes: &[u8]) -> usize {
    for (back, byte) in bytes.iter().rev().take(3).enumerate() {
        let length = match byte {
            0x00..0x80 => return 0,
            0x80..0xc0 => continue,
            0xc0..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        return if back + 1 < length { back + 1 } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use serde_json::Value;

    fn lines(path: &Path) -> Vec<Value> {
        std::fs::read_to_string(path).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    fn recorder(path: &Path, cap: u64) -> Recorder {
        Recorder::create(path, &Header { cols: 80, rows: 24, at: 1_700_000_000, title: "h1" }, cap).unwrap()
    }

    #[tokio::test]
    async fn split_characters_are_joined_and_broken_ones_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/er/t.cast");
        let r = recorder(&path, 10_000);
        let text = "é漢🙂".as_bytes();
        for byte in text {
            r.output(&Bytes::copy_from_slice(&[*byte])).await;
        }
        r.output(&Bytes::from_static(b"\xff\x1b[0m")).await;
        r.resize(100, 30).await;
        r.sync().await;
        let lines = lines(&path);
        assert_eq!(lines[0]["version"], 2);
        assert_eq!((&lines[0]["width"], &lines[0]["height"]), (&json!(80), &json!(24)));
        let said: Vec<&str> = lines[1..].iter().map(|l| l[2].as_str().unwrap()).collect();
        assert_eq!(said, ["é", "漢", "🙂", "\u{fffd}\u{1b}[0m", "100x30"]);
        assert_eq!(lines[5][1], "r");
        assert!(lines[1][0].is_f64() || lines[1][0].is_u64());
    }

    #[tokio::test]
    async fn it_is_cut_at_the_cap_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.cast");
        let r = recorder(&path, 2_000);
        for _ in 0..1000 {
            r.output(&Bytes::from_static(b"0123456789")).await;
        }
        r.sync().await;
        assert!(std::fs::metadata(&path).unwrap().len() < 2_200);
        let lines = lines(&path);
        let last = lines.last().unwrap();
        assert_eq!(last[1], "m");
        assert!(last[2].as_str().unwrap().contains("2000 bytes"));
        assert_eq!(lines.iter().filter(|l| l[1] == "m").count(), 1);
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "").unwrap();
        let header = Header { cols: 1, rows: 1, at: 0, title: "" };
        assert!(Recorder::create(&dir.path().join("f/t.cast"), &header, 100).is_err());
    }
}
