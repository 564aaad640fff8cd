//! From Docker's errors to ours: which code, in which words, with which remedy.

use crate::error::{Code, Error, Result, plain};
use std::future::Future;
use std::time::Duration;

/// How long an ordinary call to the daemon may take.
pub(crate) const CALL: Duration = Duration::from_secs(30);

/// Awaits a call to the daemon for at most `limit`; `doing` starts the message of whatever goes wrong.
pub(crate) async fn bounded<T>(
    doing: &str,
    limit: Duration,
    call: impl Future<Output = Result<T, bollard::errors::Error>>,
) -> Result<T> {
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(from_docker(e).context(doing)),
        Err(_) => Err(timeout(limit).context(doing)),
    }
}

pub(crate) fn timeout(limit: Duration) -> Error {
    Error::new(Code::Timeout, format!("Docker did not answer within {} s.", limit.as_secs_f32()))
        .hint("The engine may be busy or stuck: look at `docker info`, and restart it if that hangs too.")
}

pub(crate) fn unavailable(cause: impl std::fmt::Display) -> Error {
    let cause = plain(cause);
    let error = Error::new(Code::DockerUnavailable, format!("Docker cannot be reached: {cause}."));
    if cause.to_lowercase().contains("permission denied") {
        error.hint("Let your user talk to Docker: `sudo usermod -aG docker $USER`, then log in again.")
    } else {
        error
            .hint(
                "Start Docker Desktop, or the engine: `sudo systemctl start docker` (without systemd: `sudo dockerd`).",
            )
            .hint("If your engine listens elsewhere, set DOCKER_HOST.")
    }
}

pub(crate) fn from_docker(error: bollard::errors::Error) -> Error {
    use bollard::errors::Error as E;
    match error {
        E::DockerResponseServerError { status_code, message } => from_answer(status_code, &message),
        E::DockerStreamError { error } => from_answer(500, &error),
        E::DockerContainerWaitError { error, .. } => from_answer(500, &error),
        E::RequestTimeoutError => timeout(CALL),
        E::SocketNotFoundError(path) => unavailable(format!("nothing listens at {path}")),
        E::HyperLegacyError { err } => unavailable(root(&err)),
        E::HyperResponseError { err } => unavailable(root(&err)),
        E::IOError { err } => unavailable(err),
        other => Error::new(Code::DockerFailed, format!("Docker's answer could not be used: {}", root(&other)))
            .hint("Try again. If it stays, update Docker, or look at what answers at DOCKER_HOST."),
    }
}

/// From an HTTP status of the daemon and its message. The messages are the only way to tell a full disk or missing
/// memory from other failures: the API has no codes for them.
pub(crate) fn from_answer(status: u16, message: &str) -> Error {
    let text = message.trim();
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if has(&["no space left on device", "disk quota exceeded"]) {
        Error::new(Code::DiskFull, format!("The disk of the Docker engine is full: {text}"))
            .hint("Free space: `docker system df` shows what takes it, `docker builder prune` drops build caches.")
            .hint("Then try again; what was done so far is kept.")
    } else if has(&["cannot allocate memory", "out of memory", "not enough memory"]) {
        Error::new(Code::NoMemory, format!("The machine has no memory left for this: {text}"))
            .hint("Stop another lab or a large program, then try again.")
    } else if has(&["no such image"]) {
        Error::new(Code::ImageMissing, text).hint("Prepare the images: `forge images prepare`.")
    } else if status == 404 {
        Error::new(Code::NotFound, text)
    } else if status == 409 || has(&["is not running", "is not paused", "is already paused", "is paused"]) {
        Error::new(Code::WrongState, text)
    } else if has(&["is the docker daemon running", "connection refused"]) && status >= 500 {
        unavailable(text)
    } else {
        Error::new(Code::DockerFailed, format!("Docker refused: {text}")).details(serde_json::json!({"status": status}))
    }
}

/// The innermost reason, as a person would say it: an HTTP library's errors say "client error (Connect)" of themselves and keep
/// what happened in their sources.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = plain(cause);
    match text.as_str() {
        "connection closed before message completed" | "operation was canceled" | "channel closed" => {
            "it hung up in the middle of an answer".into()
        }
        said if said.starts_with("invalid HTTP") => "what answers there does not speak Docker's language".into(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn tells_the_failures_apart_that_callers_branch_on() {
        let cases = [
            (500, "write /var/lib/docker/x: no space left on device", Code::DiskFull),
            (500, "OCI runtime create failed: fork/exec: cannot allocate memory: unknown", Code::NoMemory),
            (404, "No such image: frostgate/host:latest", Code::ImageMissing),
            (404, "No such container: abc", Code::NotFound),
            (409, "Container abc is not running", Code::WrongState),
            (409, "Conflict. The container name is already in use", Code::WrongState),
            (500, "Container abc is not paused", Code::WrongState),
            (500, "something else", Code::DockerFailed),
        ];
        for (status, message, code) in cases {
            assert_eq!(from_answer(status, message).code, code, "{message}");
        }
    }

    #[test]
    fn every_remedy_is_said() {
        for message in ["no space left on device", "cannot allocate memory", "no such image: x"] {
            assert!(!from_answer(500, message).hints.is_empty(), "{message}");
        }
        assert!(unavailable("Permission denied (os error 13)").hints[0].contains("usermod"));
        assert!(unavailable("nothing listens").hints[0].contains("Start"));
    }

    /// Real errors of a real client, against what stands in for an engine that is not there, hangs up or is none.
    #[tokio::test]
    async fn no_library_is_heard_in_what_is_told() {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (answer, stream) in
                [&b""[..], b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{x}"]
                    .iter()
                    .zip(listener.incoming())
            {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                stream.write_all(answer).unwrap();
            }
        });
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for (at, says) in [
            (free, "Connection refused"),
            (there, "hung up"),
            (there, "does not speak Docker's language"),
            (there, "could not be used"),
        ] {
            let docker =
                bollard::Docker::connect_with_http(&format!("http://{at}"), 5, bollard::API_DEFAULT_VERSION).unwrap();
            let error = from_docker(docker.version().await.unwrap_err());
            assert!(error.message.contains(says), "{says}: {error:?}");
            assert!(!error.hints.is_empty(), "{error:?}");
            for word in ["os error", "hyper", "client error", "Connect)", "(SendRequest)", "serde", "Error {", "::"] {
                assert!(!error.message.contains(word), "{word}: {}", error.message);
            }
        }
    }

    #[tokio::test]
    async fn a_silent_daemon_is_a_timeout() {
        let silence = std::future::pending::<Result<(), bollard::errors::Error>>();
        let error = bounded("Listing", Duration::from_millis(1), silence).await.unwrap_err();
        assert_eq!(error.code, Code::Timeout);
        assert!(error.message.starts_with("Listing: "), "{}", error.message);
    }
}
