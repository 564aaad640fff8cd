//! The recipes of our images, carried in the program: which exist, what they are for, and what identifies them.

use crate::error::{Error, Result};
use sha2::{Digest, Sha256};

/// Every Containerfile starts from this.
pub const BASE: &str = "debian:bookworm-slim";

macro_rules! recipes {
    ($($path:literal),* $(,)?) => {
        /// Path below `templates/images` → text. `include_str!` makes a change to any of them rebuild the program.
        const FILES: &[(&str, &str)] = &[$(($path, include_str!(concat!("../../../../../templates/images/", $path)))),*];
    };
}

recipes!(
    "common/forge/bashrc",
    "common/forge/init",
    "common/forge/install",
    "common/forge/tcpdump",
    "gateway/Containerfile",
    "host/Containerfile",
    "router/Containerfile",
    "router/forge/prepare.d/frr",
    "router/forge/setup-frr",
    "server/Containerfile",
    "server/forge/prepare.d/server",
    "server/forge/setup-server",
    "tools/Containerfile",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Short name, as templates use it.
    pub name: &'static str,
    pub purpose: &'static str,
}

pub const RECIPES: [Recipe; 5] = [
    Recipe { name: "host", purpose: "Clients and learners' hosts: shell, network tools, SSH client" },
    Recipe { name: "router", purpose: "Routers: FRRouting with vtysh" },
    Recipe { name: "server", purpose: "Servers: BIND, OpenSSH, nginx" },
    Recipe {
        name: "gateway",
        purpose: "The egress gateway: a resolver for allowed names, for labs that ask for a way out",
    },
    Recipe { name: "tools", purpose: "Wiring, checks and attackers: never open to learners on a lab's inside" },
];

pub fn find(name: &str) -> Option<Recipe> {
    RECIPES.into_iter().find(|r| r.name == name)
}

impl Recipe {
    fn files(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let own = format!("{}/", self.name);
        FILES.iter().copied().filter(move |(path, _)| path.starts_with("common/") || path.starts_with(&own))
    }

    /// SHA-256 over all files that the build can see, hex. The same recipe, the same digest, on every machine.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, text) in self.files() {
            for part in [path, text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part.as_bytes());
            }
        }
        hex::encode(hash.finalize())
    }

    pub fn repository(&self) -> String {
        format!("frostgate/{}", self.name)
    }

    /// `frostgate/<name>:<first 12 digits of the digest>`.
    pub fn reference(&self) -> String {
        let digest = self.digest();
        format!("{}:{}", self.repository(), digest.get(..12).unwrap_or(&digest))
    }

    pub fn containerfile(&self) -> String {
        format!("{}/Containerfile", self.name)
    }

    /// The build context. Times and owners are fixed, so that Docker's cache sees a change only where one is; scripts are
    /// executable.
    pub(super) fn context(&self) -> Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in self.files() {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(if text.starts_with("#!") { 0o755 } else { 0o644 });
            header.set_mtime(0);
            tar.append_data(&mut header, path, text.as_bytes()).map_err(Error::from)?;
        }
        tar.into_inner().map_err(Error::from)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn walk(dir: &Path, found: &mut BTreeSet<String>, root: &Path) {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                walk(&entry.path(), found, root);
            } else {
                found.insert(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_the_recipes_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates/images");
        let mut found = BTreeSet::new();
        walk(&root, &mut found, &root);
        assert_eq!(found, FILES.iter().map(|(p, _)| (*p).to_owned()).collect());
    }

    #[test]
    fn digests_tell_recipes_apart_and_depend_on_every_visible_file() {
        let digests: BTreeSet<_> = RECIPES.iter().map(Recipe::digest).collect();
        assert_eq!(digests.len(), RECIPES.len());
        let host = find("host").unwrap();
        assert_eq!(host.digest(), host.digest());
        assert!(host.files().all(|(p, _)| p.starts_with("common/") || p.starts_with("host/")));
        assert!(host.reference().ends_with(&host.digest()[..12]));
    }

    /// Docker's cache, and with it building quickly and storing once, rests on this.
    #[test]
    fn all_images_share_their_first_steps() {
        let head = |name: &str| -> String {
            let path = format!("{name}/Containerfile");
            let text = FILES.iter().find(|(p, _)| *p == path).unwrap().1;
            let (head, _) = text.split_once("CMD []").unwrap();
            head.lines().skip_while(|l| l.starts_with('#')).collect()
        };
        // The gateway alone holds nothing that a foothold on it could use.
        for recipe in RECIPES.into_iter().filter(|r| r.name != "gateway") {
            assert_eq!(head(recipe.name), head("host"), "{}", recipe.name);
            assert!(head(recipe.name).starts_with(&format!("FROM {BASE}")));
        }
    }

    #[test]
    fn scripts_are_executable_in_the_context() {
        let bytes = find("router").unwrap().context().unwrap();
        let mut modes = std::collections::BTreeMap::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap().map(Result::unwrap) {
            modes.insert(entry.path().unwrap().to_str().unwrap().to_owned(), entry.header().mode().unwrap());
        }
        assert_eq!(modes["common/forge/init"], 0o755);
        assert_eq!(modes["router/Containerfile"], 0o644);
        assert!(!modes.keys().any(|p| p.starts_with("server/")));
    }
}
