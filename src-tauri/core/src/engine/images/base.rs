//! The base image: from the local store, else from a registry, else made here from Debian's packages by mmdebstrap.

use super::apt::Apt;
use super::progress::{Progress, explain};
use super::recipe::BASE;
use crate::engine::docker::{CALL, Docker, bounded, from_docker};
use crate::error::{Code, Error, Result};
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::{StreamExt, TryStreamExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// How long a registry may stay silent. Where none is in reach, this is what the attempt costs at most.
const SILENCE: Duration = Duration::from_secs(15);
/// How long mmdebstrap gets to clean up after itself.
const FAREWELL: Duration = Duration::from_secs(20);
/// It prints a line per stage; fetching the packages is one, and may take this long on a slow line.
const MUTE: Duration = Duration::from_secs(20 * 60);
const TAIL: usize = 30;
/// About how many lines mmdebstrap prints, for the percentage.
const MMDEBSTRAP_LINES: u8 = 13;

type Watch<'a> = &'a (dyn Fn(Progress) + Send + Sync);

pub(super) async fn ensure(
    docker: &Docker,
    apt: &Apt,
    image: &str,
    watch: Watch<'_>,
    cancel: &CancellationToken,
) -> Result<()> {
    let client = docker.client().await?;
    match bounded("Looking for the base image", CALL, client.inspect_image(BASE)).await {
        Ok(_) => return Ok(()),
        Err(e) if matches!(e.code, Code::NotFound | Code::ImageMissing) => {}
        Err(e) => return Err(e),
    }
    let say = |step: &str, percent: u8, detail: String| {
        watch(Progress { image: image.to_owned(), step: step.to_owned(), percent, detail });
    };
    say("base: pull", 0, format!("Asking the registry for {BASE}"));
    let pulled = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::cancelled()),
        pulled = pull(client, &say) => pulled,
    };
    match pulled {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.code, Code::DiskFull | Code::DockerUnavailable) => Err(e),
        Err(e) => {
            tracing::info!(error = %e, "no registry gave the base image; making it with mmdebstrap");
            say("base: mmdebstrap", 0, "No registry answers; making the base from Debian's packages".to_owned());
            bootstrap(client, apt, &say, cancel).await
        }
    }
}

async fn pull(client: &bollard::Docker, say: &(impl Fn(&str, u8, String) + Sync)) -> Result<()> {
    let (name, tag) = BASE.split_once(':').unwrap_or((BASE, "latest"));
    let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
    let mut stream = client.create_image(Some(options), None, None);
    loop {
        match tokio::time::timeout(SILENCE, stream.next()).await {
            Err(_) => return Err(Error::new(Code::Timeout, "The registry is silent.")),
            Ok(None) => return Ok(()),
            Ok(Some(Err(e))) => return Err(from_docker(e)),
            Ok(Some(Ok(info))) => {
                let share = info.progress_detail.and_then(|d| Some((d.current?, d.total.filter(|t| *t > 0)?)));
                let percent = share.and_then(|(now, of)| u8::try_from(now * 99 / of).ok()).unwrap_or(0);
                say("base: pull", percent, info.status.unwrap_or_default());
            }
        }
    }
}

/// Removed when it goes out of scope, whatever happened.
struct TempFile(PathBuf);

impl Drop for TempFile {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_file(&self.0)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), error = %e, "a temporary file was left behind");
        }
    }
}

async fn bootstrap(
    client: &bollard::Docker,
    apt: &Apt,
    say: &(impl Fn(&str, u8, String) + Sync),
    cancel: &CancellationToken,
) -> Result<()> {
    let file = TempFile(std::env::temp_dir().join(format!("forge-base-{}.tar", uuid::Uuid::new_v4().simple())));
    mmdebstrap(&file.0, apt, say, cancel).await?;
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::cancelled()),
        done = import(client, &file.0, say) => done,
    }
}

async fn mmdebstrap(
    target: &Path,
    apt: &Apt,
    say: &(impl Fn(&str, u8, String) + Sync),
    cancel: &CancellationToken,
) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command.args(["--variant=minbase", "--include=ca-certificates", "--aptopt=Apt::Install-Recommends \"false\""]);
    for unneeded in ["doc/*", "man/*", "info/*", "locale/*", "groff/*", "lintian/*"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{unneeded}"));
    }
    command.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright").arg("bookworm").arg(target);
    command.args(&apt.mirror).envs(&apt.proxies);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(
            Code::ImageBuildFailed,
            format!("The base image {BASE} is not here, no registry gave it, and mmdebstrap, which could make it, is not installed."),
        )
        .hint("Install it: `sudo apt-get install mmdebstrap`, then prepare again.")
        .hint(format!("Or bring the image: `docker pull {BASE}` with a network, or `docker load` from a file.")),
        _ => Error::from(e).context("Starting mmdebstrap"),
    })?;

    let (mut tail, mut seen): (Vec<String>, u8) = (Vec::new(), 0);
    let told = |line: String| {
        seen = seen.saturating_add(1);
        let percent = u32::from(seen) * 90 / u32::from(MMDEBSTRAP_LINES);
        say("base: mmdebstrap", u8::try_from(percent).unwrap_or(90).min(90), line.clone());
        if tail.len() == TAIL {
            tail.remove(0);
        }
        tail.push(line);
    };
    let status = followed(&mut child, MUTE, told, cancel).await?;
    if status.success() {
        return Ok(());
    }
    let error = Error::new(Code::ImageBuildFailed, format!("mmdebstrap ended with {status}."));
    Err(explain(format!("The base image {BASE} could not be made"), &tail, &error))
}

/// Hands on each line of its error stream until it ends. A program that says nothing for `mute` is ended: it waits for what
/// does not come.
async fn followed(
    child: &mut Child,
    mute: Duration,
    mut told: impl FnMut(String),
    cancel: &CancellationToken,
) -> Result<std::process::ExitStatus> {
    let stalled = || {
        Error::new(
            Code::Timeout,
            format!("The base image {BASE} could not be made: nothing has moved for {} s.", mute.as_secs()),
        )
        .hint("The mirror may not answer. Look at the network and the proxy, then prepare again.")
    };
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        loop {
            let line = tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    end(child).await?;
                    return Err(Error::cancelled());
                }
                line = tokio::time::timeout(mute, lines.next_line()) => line,
            };
            match line {
                Ok(line) => match line? {
                    Some(line) => told(line),
                    None => break,
                },
                Err(_) => {
                    end(child).await?;
                    return Err(stalled());
                }
            }
        }
    }
    match tokio::time::timeout(mute, child.wait()).await {
        Ok(status) => Ok(status?),
        Err(_) => {
            end(child).await?;
            Err(stalled())
        }
    }
}

/// Asks first: mmdebstrap removes its temporary root when it is told to stop.
async fn end(child: &mut Child) -> Result<()> {
    if let Some(pid) = child.id() {
        Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
    }
    if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}

async fn import(client: &bollard::Docker, tar: &Path, say: &(impl Fn(&str, u8, String) + Sync)) -> Result<()> {
    say("base: import", 95, format!("Handing {BASE} to Docker"));
    let (name, tag) = BASE.split_once(':').unwrap_or((BASE, "latest"));
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(name)
        .tag(tag)
        .changes(vec![
            "CMD [\"bash\"]".to_owned(),
            "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            "LABEL dev.frostgate.base=mmdebstrap".to_owned(),
        ])
        .build();
    let bytes = tokio_util::io::ReaderStream::with_capacity(tokio::fs::File::open(tar).await?, 1 << 20);
    let imported =
        client.create_image(Some(options), Some(bollard::body_try_stream(bytes)), None).try_collect::<Vec<_>>();
    bounded("Importing the base image", Duration::from_secs(300), imported).await.map(drop)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn child(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    #[tokio::test]
    async fn what_says_nothing_any_more_is_ended() {
        let (short, never) = (Duration::from_millis(300), CancellationToken::new());
        for script in ["echo one >&2; exec sleep 60", "echo one >&2; exec 2>&-; exec sleep 60"] {
            let (mut lines, mut silent) = (Vec::new(), child(script));
            let error = followed(&mut silent, short, |l| lines.push(l), &never).await.unwrap_err();
            assert_eq!((error.code, lines.as_slice()), (Code::Timeout, &["one".to_owned()][..]), "{script}");
            assert!(!error.hints.is_empty());
            assert!(silent.try_wait().unwrap().is_some(), "it is gone");
        }
        // One that is slow and goes on is let.
        let (mut lines, mut slow) = (Vec::new(), child("for i in 1 2 3 4; do echo $i >&2; sleep 0.15; done; exit 3"));
        let status = followed(&mut slow, short, |l| lines.push(l), &never).await.unwrap();
        assert_eq!((status.code(), lines.len()), (Some(3), 4));
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        let error = followed(&mut child("exec sleep 60"), short, drop, &cancelled).await.unwrap_err();
        assert_eq!(error.code, Code::Cancelled);
    }
}
