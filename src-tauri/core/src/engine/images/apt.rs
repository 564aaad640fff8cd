//! How this machine reaches Debian's packages, so that a build reaches them the same way. Nothing of it stays in an image.

use std::collections::HashMap;
use tokio::process::Command;

const SUITE: &str = "bookworm";
const ANSWER: std::time::Duration = std::time::Duration::from_secs(5);
const DEFAULT_HOST: &str = "deb.debian.org";

/// What the build and mmdebstrap are told; empty on most machines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Apt {
    /// Instead of <http://deb.debian.org/debian>.
    pub(super) mirror: Option<String>,
    /// `http_proxy` and its kin: Docker predefines these arguments and keeps them out of images and caches.
    pub(super) proxies: HashMap<String, String>,
}

impl Apt {
    pub(super) async fn of_this_machine() -> Self {
        let mut proxies: HashMap<String, String> = ["http_proxy", "https_proxy", "no_proxy"]
            .into_iter()
            .filter_map(|name| {
                let value = std::env::var(name).or_else(|_| std::env::var(name.to_uppercase())).ok()?;
                Some((name.to_owned(), value)).filter(|(_, v)| !v.is_empty())
            })
            .collect();
        for (name, key) in [("http_proxy", "Acquire::http::Proxy"), ("https_proxy", "Acquire::https::Proxy")] {
            // No apt here, no proxy of apt's; and one that does not answer a question about its own files has none to offer.
            let asked = Command::new("apt-config").args(["dump", key]).kill_on_drop(true).output();
            if let Ok(Ok(out)) = tokio::time::timeout(ANSWER, asked).await
                && let Some(proxy) = configured(&String::from_utf8_lossy(&out.stdout), key)
            {
                proxies.entry(name.to_owned()).or_insert(proxy);
            }
        }
        Self { mirror: mirror(&sources().await), proxies }
    }

    pub(super) fn build_args(&self) -> HashMap<String, String> {
        let mirror = self.mirror.iter().map(|m| ("APT_MIRROR".to_owned(), m.clone()));
        self.proxies.clone().into_iter().chain(mirror).collect()
    }
}

async fn sources() -> String {
    let mut paths = vec![std::path::PathBuf::from("/etc/apt/sources.list")];
    if let Ok(mut dir) = tokio::fs::read_dir("/etc/apt/sources.list.d").await {
        while let Ok(Some(entry)) = dir.next_entry().await {
            paths.push(entry.path());
        }
    }
    let mut all = String::new();
    for path in paths {
        // A machine without apt has none of these; that is its normal state.
        if let Ok(text) = tokio::fs::read_to_string(&path).await {
            all.push_str(&text);
            all.push_str("\n\n");
        }
    }
    all
}

/// `Acquire::http::Proxy "http://proxy:3128";`
fn configured(dump: &str, key: &str) -> Option<String> {
    dump.lines().find_map(|line| {
        let value = line.trim().strip_prefix(key)?.trim().strip_prefix('"')?.strip_suffix("\";")?;
        Some(value.to_owned()).filter(|v| !v.is_empty() && v != "DIRECT")
    })
}

/// The mirror from which this machine takes the release of our base, if it is another than Debian's own. Reads one-line and
/// deb822 entries (sources.list(5)).
fn mirror(sources: &str) -> Option<String> {
    let one_line = sources.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        (words.next()? == SUITE).then(|| uri.to_owned())
    });
    let stanzas = sources.split("\n\n").filter_map(|stanza| {
        let field = |name: &str| stanza.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        let suite = field("Suites")?.split_whitespace().any(|s| s == SUITE);
        suite.then(|| field("URIs")?.split_whitespace().next().map(str::to_owned)).flatten()
    });
    // Another vendor's repository for the same suite is no mirror of Debian: those end in /debian.
    let uri = one_line.chain(stanzas).map(|u| u.trim_end_matches('/').to_owned()).find(|u| u.ends_with("/debian"))?;
    let default = uri.split("://").nth(1).and_then(|r| r.split('/').next()) == Some(DEFAULT_HOST);
    (!default).then_some(uri)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn only_another_mirror_of_the_same_release_counts() {
        assert_eq!(mirror("deb http://deb.debian.org/debian bookworm main"), None);
        assert_eq!(
            mirror("deb [arch=amd64] http://mirror.test/debian/ bookworm main"),
            Some("http://mirror.test/debian".into())
        );
        assert_eq!(mirror("deb http://mirror.test/debian trixie main"), None);
        assert_eq!(mirror("deb http://packages.test/node bookworm main"), None);
        let stanza =
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n";
        assert_eq!(mirror(stanza), Some("http://mirror.test/debian".into()));
        assert_eq!(mirror(&stanza.replace("mirror.test", "deb.debian.org")), None);
    }

    #[test]
    fn a_proxy_is_read_as_apt_prints_it() {
        let dump = "Acquire::http::Proxy \"http://proxy:3128\";\nAcquire::http::Proxy::host \"DIRECT\";\n";
        assert_eq!(configured(dump, "Acquire::http::Proxy"), Some("http://proxy:3128".into()));
        assert_eq!(configured("Acquire::http::Proxy \"\";", "Acquire::http::Proxy"), None);
        assert_eq!(configured("", "Acquire::http::Proxy"), None);
    }
}
