//! The raw connection of an exec: `POST /exec/{id}/start` upgraded to a byte stream (Docker Engine API, "Attach").
//!
//! Spoken here rather than by bollard, whose decoder looks for frame headers in a terminal's bytes too: a program that
//! prints a byte below 3 first would lose output, or make it wait for up to 4 GiB. Nothing here holds more than one
//! chunk, and a reader that does not ask holds the program up: that is the back-pressure.

use super::address::Address;
use super::errors::{from_answer, timeout, unavailable};
use crate::error::{Code, Error, Result};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use std::pin::Pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

type Reader = Pin<Box<dyn AsyncRead + Send>>;
type Writer = Pin<Box<dyn AsyncWrite + Send>>;

/// Bytes asked of the socket at a time, and thus the largest piece handed on.
const CHUNK: usize = 64 << 10;
/// A response head longer than this is not Docker's.
const HEAD: usize = 16 << 10;

pub(super) struct Raw {
    pub input: Writer,
    reader: Reader,
    /// Came with the response's head.
    early: BytesMut,
}

async fn dial(address: &Address) -> Result<(Reader, Writer)> {
    match address {
        #[cfg(unix)]
        Address::Unix(path) => {
            let (r, w) = tokio::net::UnixStream::connect(path).await.map_err(unavailable)?.into_split();
            Ok((Box::pin(r), Box::pin(w)))
        }
        Address::Tcp(authority) => {
            let socket = tokio::net::TcpStream::connect(authority).await.map_err(unavailable)?;
            // A keystroke must not wait for the next one.
            socket.set_nodelay(true).map_err(unavailable)?;
            let (r, w) = socket.into_split();
            Ok((Box::pin(r), Box::pin(w)))
        }
        #[cfg(windows)]
        Address::Pipe(path) => {
            let pipe = tokio::net::windows::named_pipe::ClientOptions::new().open(path).map_err(unavailable)?;
            let (r, w) = tokio::io::split(pipe);
            Ok((Box::pin(r), Box::pin(w)))
        }
        #[allow(unreachable_patterns)]
        other => Err(unavailable(format!("{} is not an address of this platform", other.url()))),
    }
}

/// Starts an exec and hands over its byte stream. `body` is the JSON of the request.
pub(super) async fn start_exec(address: &Address, api: &str, exec: &str, body: &str, limit: Duration) -> Result<Raw> {
    let opening = async {
        let (mut reader, mut input) = dial(address).await?;
        let request = format!(
            "POST /v{api}/exec/{exec}/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n\
             Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        input.write_all(request.as_bytes()).await.map_err(unavailable)?;
        input.flush().await.map_err(unavailable)?;
        let mut early = BytesMut::with_capacity(4 << 10);
        loop {
            if let Some(head) = Head::read(&early)? {
                early.advance(head.length);
                if head.status == 101 || head.status == 200 {
                    return Ok(Raw { input, reader, early });
                }
                return Err(refusal(head, early, &mut reader).await);
            }
            if reader.read_buf(&mut early).await.map_err(unavailable)? == 0 {
                return Err(unavailable("the engine closed the connection"));
            }
        }
    };
    tokio::time::timeout(limit, opening).await.unwrap_or_else(|_| Err(timeout(limit)))
}

async fn refusal(head: Head, early: BytesMut, reader: &mut Reader) -> Error {
    let wanted = head.body.unwrap_or(0).min(HEAD);
    let mut body = early.to_vec();
    let missing = wanted.saturating_sub(body.len()) as u64;
    if let Err(e) = reader.take(missing).read_to_end(&mut body).await {
        return unavailable(e);
    }
    let text = String::from_utf8_lossy(&body);
    let said = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|v| v.get("message").and_then(|m| m.as_str()).map(str::to_owned));
    from_answer(head.status, &said.unwrap_or_else(|| text.into_owned()))
}

struct Head {
    status: u16,
    /// Of the head itself, in bytes.
    length: usize,
    body: Option<usize>,
}

impl Head {
    /// None until the blank line has come.
    fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let nonsense = || Error::new(Code::DockerFailed, "What answered at Docker's address does not speak HTTP.");
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if bytes.len() > HEAD { Err(nonsense()) } else { Ok(None) };
        };
        let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default()).map_err(|_| nonsense())?;
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .filter(|l| l.starts_with("HTTP/1."))
            .and_then(|l| l.split(' ').nth(1))
            .and_then(|s| s.parse().ok())
            .ok_or_else(nonsense)?;
        let body = lines
            .filter_map(|l| l.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok());
        Ok(Some(Self { status, length: end + 4, body }))
    }
}

impl Raw {
    /// Splits into input and output. With a terminal all bytes are stream 1; else Docker's frames tell them apart.
    pub(super) fn open(self, tty: bool) -> (Writer, BoxStream<'static, Result<(u8, Bytes)>>) {
        let frames = (!tty).then(Frames::default);
        let state = (self.reader, self.early, frames);
        let output = stream::try_unfold(state, |(mut reader, mut buffer, mut frames)| async move {
            loop {
                let piece = match &mut frames {
                    None if buffer.is_empty() => None,
                    None => Some((1, buffer.split().freeze())),
                    Some(frames) => frames.next(&mut buffer)?,
                };
                if let Some(piece) = piece {
                    return Ok(Some((piece, (reader, buffer, frames))));
                }
                buffer.reserve(CHUNK);
                let read = (&mut reader).take(CHUNK as u64).read_buf(&mut buffer).await;
                if read.map_err(|e| unavailable(format!("the stream broke: {e}")))? == 0 {
                    // What was announced and has not come makes half an output, which must not pass for all of it.
                    let whole = frames.as_ref().is_none_or(|f| f.left == 0 && buffer.is_empty());
                    return if whole { Ok(None) } else { Err(unavailable("the stream of a program broke off")) };
                }
            }
        });
        (self.input, output.boxed())
    }
}

/// Docker's multiplexing: `[stream, 0, 0, 0, length as big-endian u32]`, then that many bytes. Payload is handed on as it
/// comes, never collected to the end of its frame.
#[derive(Default)]
struct Frames {
    stream: u8,
    left: usize,
}

impl Frames {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<(u8, Bytes)>> {
        while self.left == 0 {
            let Some(&[stream, a, b, c, l0, l1, l2, l3]) = buffer.first_chunk::<8>() else { return Ok(None) };
            if stream > 2 || (a, b, c) != (0, 0, 0) {
                return Err(Error::new(Code::DockerFailed, "The stream of a program lost its framing."));
            }
            buffer.advance(8);
            self.stream = stream.max(1);
            self.left = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        }
        if buffer.is_empty() {
            return Ok(None);
        }
        let piece = buffer.split_to(self.left.min(buffer.len()));
        self.left -= piece.len();
        Ok(Some((self.stream, piece.freeze())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use futures_util::TryStreamExt;

    fn raw(bytes: Vec<u8>) -> Raw {
        Raw {
            input: Box::pin(tokio::io::sink()),
            reader: Box::pin(std::io::Cursor::new(bytes)),
            early: BytesMut::new(),
        }
    }

    async fn read(bytes: Vec<u8>, tty: bool) -> Result<Vec<(u8, Bytes)>> {
        raw(bytes).open(tty).1.try_collect().await
    }

    #[tokio::test]
    async fn a_terminal_may_print_any_byte() {
        let bytes = vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 2];
        assert_eq!(read(bytes.clone(), true).await.unwrap(), vec![(1, Bytes::from(bytes))]);
    }

    #[tokio::test]
    async fn frames_are_told_apart_and_passed_on_in_pieces() {
        let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 2, b'a', b'b', 2, 0, 0, 0, 0, 0, 0, 1, b'e', 1, 0, 0, 0, 0, 0, 0, 0];
        let big = vec![b'x'; 3 * CHUNK];
        bytes.extend([&[1, 0, 0, 0][..], &(big.len() as u32).to_be_bytes(), &big].concat());
        let got = read(bytes, false).await.unwrap();
        assert_eq!(got[0], (1, Bytes::from_static(b"ab")));
        assert_eq!(got[1], (2, Bytes::from_static(b"e")));
        assert!(got[2..].iter().all(|(s, b)| *s == 1 && b.len() <= CHUNK + 8), "no piece may collect a whole frame");
        assert_eq!(got[2..].iter().map(|(_, b)| b.len()).sum::<usize>(), big.len());
    }

    #[tokio::test]
    async fn half_a_frame_is_not_the_end() {
        let whole = [1, 0, 0, 0, 0, 0, 0, 2, b'a', b'b'];
        assert_eq!(read(whole.to_vec(), false).await.unwrap(), vec![(1, Bytes::from_static(b"ab"))]);
        for cut in [1, 7, 8, 9] {
            let error = read(whole[..cut].to_vec(), false).await.unwrap_err();
            assert_eq!(error.code, Code::DockerUnavailable, "cut after {cut}");
        }
    }

    #[tokio::test]
    async fn lost_framing_is_an_error() {
        assert_eq!(read(b"hello world".to_vec(), false).await.unwrap_err().code, Code::DockerFailed);
    }

    #[test]
    fn heads_are_read_whole_or_not_at_all() {
        let head = Head::read(b"HTTP/1.1 404 Not Found\r\ncontent-Length: 12\r\n\r\nrest").unwrap().unwrap();
        assert_eq!((head.status, head.body, head.length), (404, Some(12), 46));
        assert!(Head::read(b"HTTP/1.1 101 UPGRADED\r\n").unwrap().is_none());
        assert!(Head::read(b"SSH-2.0-x\r\n\r\n").is_err());
        assert!(Head::read(&vec![b'a'; HEAD + 1]).is_err());
    }
}
