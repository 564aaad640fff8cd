//! Where the daemon listens, as `DOCKER_HOST` says it or as the platforms have it.

use crate::error::{Code, Error, Result};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
    Pipe(String),
}

impl Address {
    /// Accepts what `DOCKER_HOST` may hold: `unix://…`, `tcp://host:port`, `npipe://…`.
    pub(super) fn parse(host: &str) -> Result<Self> {
        let host = host.trim();
        if let Some(path) = host.strip_prefix("unix://").filter(|p| !p.is_empty()) {
            return Ok(Self::Unix(path.into()));
        }
        if let Some(rest) = host.strip_prefix("tcp://").or_else(|| host.strip_prefix("http://")) {
            let authority = rest.trim_end_matches('/');
            if !authority.is_empty() && !authority.contains('/') {
                let port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
                return Ok(Self::Tcp(if port { authority.to_owned() } else { format!("{authority}:2375") }));
            }
        }
        if let Some(path) = host.strip_prefix("npipe://").filter(|p| !p.is_empty()) {
            return Ok(Self::Pipe(path.replace('/', "\\")));
        }
        Err(Error::new(
            Code::DockerUnavailable,
            format!("DOCKER_HOST is '{host}', which is not an address this program can use."),
        )
        .hint("Use unix:///path/to/docker.sock or tcp://host:2375, or unset DOCKER_HOST for the local engine.")
        .hint("For ssh:// and TLS, forward the remote socket to a local one (`ssh -L`) and name that."))
    }

    /// The usual places, first match wins: the system's engine, a rootless one, Docker Desktop's.
    pub(super) fn usual() -> Self {
        if cfg!(windows) {
            return Self::Pipe(r"\\.\pipe\docker_engine".to_owned());
        }
        let system = PathBuf::from("/var/run/docker.sock");
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let rootless = std::env::var_os("XDG_RUNTIME_DIR").map(|d| Path::new(&d).join("docker.sock"));
        let desktop =
            home.iter().flat_map(|h| [h.join(".docker/run/docker.sock"), h.join(".docker/desktop/docker.sock")]);
        let found = std::iter::once(system.clone()).chain(rootless).chain(desktop).find(|p| p.exists());
        Self::Unix(found.unwrap_or(system))
    }

    /// In the notation of `DOCKER_HOST`.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Unix(path) => format!("unix://{}", path.display()),
            Self::Tcp(authority) => format!("tcp://{authority}"),
            Self::Pipe(path) => format!("npipe://{}", path.replace('\\', "/")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn reads_what_docker_host_may_hold() {
        assert_eq!(Address::parse("unix:///run/x.sock").unwrap(), Address::Unix("/run/x.sock".into()));
        assert_eq!(Address::parse("tcp://10.0.0.1:2376/").unwrap(), Address::Tcp("10.0.0.1:2376".into()));
        assert_eq!(Address::parse("tcp://box").unwrap(), Address::Tcp("box:2375".into()));
        assert_eq!(Address::parse("npipe:////./pipe/d").unwrap(), Address::Pipe(r"\\.\pipe\d".into()));
        for bad in ["", "ssh://me@box", "unix://", "tcp://a/b", "banana"] {
            assert_eq!(Address::parse(bad).unwrap_err().code, Code::DockerUnavailable, "{bad}");
        }
    }
}
