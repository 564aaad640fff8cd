//! Egress profiles: which names a lab's gateway opens, and on which ports. The built-in ones are part of the program; one of the
//! user's own counts once it was approved on this machine, and as long as it is, byte for byte, what was approved.
//!
//! `<home>/egress/<name>.yaml`, and beside it `<name>.sig`: the catalogue key's signature (hex) over the file, under
//! [`Domain::EgressProfile`].

use super::problem::{Problem, report};
use super::scenario::Allow;
use super::shape::is_label;
use super::tree::Tree;
use super::typed::{self, At};
use crate::error::{Code, Error, Result};
use crate::keys::{Domain, KeyName, Keys};
use include_dir::{Dir, include_dir};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

static BUILT_IN: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../templates/egress");
const FOLDER: &str = "egress";
const KIND: &str = "EgressProfile";
const MOST_BYTES: u64 = 64 << 10;
const MOST_FILES: usize = 200;
/// What the gateway's filter can hold (`engine::gateway`).
const MOST_NAMES: usize = 64;
const MOST_WILDCARDS: usize = 8;
const MOST_PORTS: usize = 16;
const LONGEST_NAME: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub title: String,
    pub allow: Vec<Allow>,
    /// SHA-256 over the file, hex.
    pub digest: String,
    pub built_in: bool,
}

/// All profiles of this machine: usable, or with the reason why not.
#[derive(Debug)]
pub struct Profiles {
    known: BTreeMap<String, Result<Profile>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    api_version: At<String>,
    kind: At<String>,
    name: At<String>,
    title: At<String>,
    allow: At<Vec<At<Allow>>>,
}

impl Profiles {
    /// # Errors
    /// `Io` when the folder cannot be read, `TooLarge` for too many files; `Internal` when a built-in one does not parse. What is
    /// wrong with one file of the user's is that profile's own error.
    pub fn load(home: &Path, keys: &Keys) -> Result<Self> {
        let mut known = BTreeMap::new();
        for file in BUILT_IN.files() {
            let shown = file.path().display().to_string();
            let profile = Profile { built_in: true, ..parse(&shown, file.contents()).map_err(Error::internal)? };
            known.insert(profile.name.clone(), Ok(profile));
        }
        for (name, path) in files(&home.join(FOLDER))? {
            let read = approved(&name, &path, keys);
            // A built-in name cannot be taken: `approve` refuses it, and a file put there by hand is not looked at.
            known.entry(name).or_insert(read);
        }
        Ok(Self { known })
    }

    pub fn all(&self) -> impl Iterator<Item = (&str, &Result<Profile>)> {
        self.known.iter().map(|(name, profile)| (name.as_str(), profile))
    }

    /// `NotFound` for a name that is none of ours, else what is wrong with it.
    pub fn get(&self, name: &str) -> Result<&Profile> {
        match self.known.get(name) {
            Some(Ok(profile)) => Ok(profile),
            Some(Err(error)) => Err(error.clone()),
            None => Err(Error::new(Code::NotFound, format!("There is no egress profile “{name}”."))
                .hint("`forge egress list` shows them; `forge egress approve FILE` adds one.")),
        }
    }

    /// For the training gate.
    pub fn usable(&self) -> Vec<String> {
        self.known.iter().filter(|(_, p)| p.is_ok()).map(|(name, _)| name.clone()).collect()
    }
}

/// Signs a profile and keeps it, in the place of an earlier one of its name.
///
/// # Errors
/// `TemplateInvalid` for what is none, `InvalidInput` for the name of a built-in one.
pub fn approve(home: &Path, keys: &Keys, text: &str) -> Result<Profile> {
    let profile = parse("the profile", text.as_bytes())?;
    if BUILT_IN.files().any(|f| f.path().file_stem().is_some_and(|s| s == profile.name.as_str())) {
        return Err(Error::new(Code::InvalidInput, format!("“{}” is the name of a built-in profile.", profile.name))
            .hint("Give yours another name."));
    }
    let folder = home.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    let signature = hex::encode(keys.sign(KeyName::Catalogue, Domain::EgressProfile, text.as_bytes())?);
    // The signature first: a crash between the two leaves a profile that does not verify, never one that nobody approved.
    for (end, content) in [("sig", signature.as_str()), ("yaml", text)] {
        let draft = folder.join(format!(".{}.{end}.new", profile.name));
        std::fs::write(&draft, content)?;
        std::fs::rename(&draft, folder.join(format!("{}.{end}", profile.name)))?;
    }
    Ok(profile)
}

fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::from(e).context(format!("Reading {}", folder.display()))),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "yaml")
            && let Some(name) = path.file_stem().and_then(|s| s.to_str()).filter(|s| !s.starts_with('.'))
        {
            found.push((name.to_owned(), path.clone()));
        }
        if found.len() > MOST_FILES {
            return Err(Error::new(
                Code::TooLarge,
                format!("{} holds more than {MOST_FILES} profiles.", folder.display()),
            ));
        }
    }
    found.sort();
    Ok(found)
}

fn approved(name: &str, path: &Path, keys: &Keys) -> Result<Profile> {
    let shown = path.display().to_string();
    let bytes = bounded(path)?;
    let refused = |why: &str| {
        Error::new(Code::Denied, format!("The egress profile “{name}” is not used: {why}."))
            .hint(format!("Look at it, then approve it: `forge egress approve {shown}`."))
    };
    let signature = match bounded(&path.with_extension("sig")) {
        Ok(text) => hex::decode(text.trim_ascii()).map_err(|_| refused("its signature is damaged"))?,
        Err(e) if e.code == Code::NotFound => return Err(refused("nobody has approved it")),
        Err(e) => return Err(e),
    };
    if !keys.ever(KeyName::Catalogue)?.iter().any(|k| k.verify(Domain::EgressProfile, &bytes, &signature)) {
        return Err(refused("it was changed after it was approved, or approved elsewhere"));
    }
    let profile = parse(&shown, &bytes)?;
    if profile.name != name {
        return Err(refused(&format!("it is the profile “{}” under another file name", profile.name)));
    }
    Ok(profile)
}

fn bounded(path: &Path) -> Result<Vec<u8>> {
    let doing = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(Code::NotFound, format!("{} is not there.", path.display())),
        _ => Error::from(e).context(format!("Reading {}", path.display())),
    };
    // Not what the file says its size is: a device says that it is empty.
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|f| f.take(MOST_BYTES + 1).read_to_end(&mut bytes)).map_err(doing)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::new(Code::TooLarge, format!("{} is larger than {} KiB.", path.display(), MOST_BYTES >> 10)));
    }
    Ok(bytes)
}

fn parse(file: &str, bytes: &[u8]) -> Result<Profile> {
    let tree = Tree::parse(file, bytes)?;
    let read: File = typed::read(file, &tree)?;
    let mut problems = Vec::new();
    let mut problem = |at, message: String, hint: &str| {
        let p = Problem::new(file, at, message);
        problems.push(if hint.is_empty() { p } else { p.hint(hint) });
    };
    for (found, want) in [(&read.api_version, super::model::API_VERSION), (&read.kind, KIND)] {
        if found.value != want {
            problem(found.at, format!("expected “{want}”, found “{}”", found.value), "");
        }
    }
    if !is_label(&read.name, 40) {
        problem(
            read.name.at,
            format!("“{}” cannot be a profile's name", read.name.value),
            "Use lower-case letters, digits and hyphens.",
        );
    }
    for allow in &read.allow.value {
        if allow.names.is_empty() || allow.ports.is_empty() || allow.ports.len() > MOST_PORTS {
            problem(allow.at, format!("an entry has names, and 1 to {MOST_PORTS} ports"), "");
        }
        for name in allow.names.iter().filter(|n| !is_name(n)) {
            let hint =
                "Write a full name in lower case, or `*.` and a name for one label in its place: `*.example.org`.";
            problem(allow.at, format!("“{name}” cannot be opened"), hint);
        }
        if allow.ports.iter().any(|d| matches!(d.port, 53 | 853)) {
            problem(
                allow.at,
                "DNS itself (ports 53 and 853) is never opened".into(),
                "The gateway answers for allowed names.",
            );
        }
    }
    let names: Vec<&String> = read.allow.value.iter().flat_map(|a| &a.names).collect();
    let wildcards = names.iter().filter(|n| n.starts_with('*')).count();
    if names.len() > MOST_NAMES || wildcards > MOST_WILDCARDS {
        problem(read.allow.at, format!("at most {MOST_NAMES} names, {MOST_WILDCARDS} of them with a wildcard"), "");
    }
    let distinct: std::collections::BTreeSet<_> = names.iter().collect();
    if distinct.len() != names.len() {
        problem(read.allow.at, "a name stands in it twice".into(), "Give it all its ports in one entry.");
    }
    if !problems.is_empty() {
        return Err(report(problems));
    }
    Ok(Profile {
        name: read.name.value,
        title: read.title.value,
        allow: read.allow.value.into_iter().map(|a| a.value).collect(),
        digest: hex::encode(Sha256::digest(bytes)),
        built_in: false,
    })
}

/// At least two labels, none of them a number at the end (that would be an address).
fn is_name(name: &str) -> bool {
    let rest = name.strip_prefix("*.").unwrap_or(name);
    let labels: Vec<&str> = rest.split('.').collect();
    name.len() <= LONGEST_NAME
        && labels.len() >= 2
        && labels.iter().all(|l| is_label(l, 63))
        && labels.last().is_some_and(|l| l.bytes().any(|b| b.is_ascii_alphabetic()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    const MINE: &str = "apiVersion: frostgate.forge/v1\nkind: EgressProfile\nname: mine\ntitle: Mine\nallow:\n  - {names: [a.example, '*.b.example'], ports: [tcp/443, udp/443]}\n";

    fn place() -> (tempfile::TempDir, Keys) {
        let home = tempfile::tempdir().unwrap();
        let keys = Keys::open(home.path(), &mut rand::rng()).unwrap();
        (home, keys)
    }

    #[test]
    fn the_built_in_ones_are_there_and_need_nobody() {
        let (home, keys) = place();
        let profiles = Profiles::load(home.path(), &keys).unwrap();
        assert_eq!(profiles.usable(), ["none", "package-updates"]);
        assert!(profiles.get("none").unwrap().allow.is_empty());
        let updates = profiles.get("package-updates").unwrap();
        assert!(updates.built_in && updates.digest.len() == 64);
        assert_eq!(profiles.get("mine").unwrap_err().code, Code::NotFound);
        assert!(
            approve(home.path(), &keys, &MINE.replace("name: mine", "name: none"))
                .unwrap_err()
                .message
                .contains("built-in")
        );
    }

    #[test]
    fn an_own_one_counts_while_it_is_what_was_approved() {
        let (home, keys) = place();
        approve(home.path(), &keys, MINE).unwrap();
        let usable = |keys: &Keys| Profiles::load(home.path(), keys).unwrap().get("mine").cloned();
        assert_eq!(usable(&keys).unwrap().allow[0].names, ["a.example", "*.b.example"]);
        let (yaml, sig) = (home.path().join("egress/mine.yaml"), home.path().join("egress/mine.sig"));
        let signature = std::fs::read(&sig).unwrap();

        std::fs::write(&yaml, MINE.replace("a.example", "evil.example")).unwrap();
        let refused = usable(&keys).unwrap_err();
        assert!(refused.message.contains("“mine”") && refused.message.contains("changed after"), "{refused:?}");
        assert_eq!(Profiles::load(home.path(), &keys).unwrap().usable(), ["none", "package-updates"]);

        std::fs::write(&yaml, MINE).unwrap();
        std::fs::write(&sig, b"zz").unwrap();
        assert!(usable(&keys).unwrap_err().message.contains("damaged"));
        std::fs::remove_file(&sig).unwrap();
        assert!(usable(&keys).unwrap_err().message.contains("nobody has approved"));
        std::fs::write(&sig, &signature).unwrap();
        usable(&keys).unwrap();
        let (_elsewhere, stranger) = place();
        assert!(usable(&stranger).unwrap_err().message.contains("elsewhere"), "another installation's key is not ours");
        for end in ["yaml", "sig"] {
            std::fs::copy(
                home.path().join(format!("egress/mine.{end}")),
                home.path().join(format!("egress/other.{end}")),
            )
            .unwrap();
        }
        let other = Profiles::load(home.path(), &keys).unwrap().get("other").cloned().unwrap_err();
        assert!(other.message.contains("another file name"), "{other:?}");
        // A changed key still vouches for what the old one approved.
        keys.rotate(KeyName::Catalogue, 1, &mut rand::rng()).unwrap();
        usable(&keys).unwrap();
    }

    #[test]
    fn what_cannot_be_opened_is_refused_with_its_place() {
        for (from, to, word) in [
            ("a.example", "localhost", "localhost"),
            ("a.example", "10.0.0.1", "10.0.0.1"),
            ("a.example", "A.example", "A.example"),
            ("a.example", "'*'", "*"),
            ("a.example", "a.*.example", "a.*"),
            ("a.example", "\"a.example/1.2.3.4\"", "/1.2.3.4"),
            ("a.example", "\"a.example\\nserver=1.1.1.1\"", "cannot be opened"),
            ("tcp/443", "tcp/53", "never opened"),
            ("tcp/443", "icmp/1", "tcp/<port>"),
            ("tcp/443", "tcp/0", "tcp/<port>"),
            ("'*.b.example'", "a.example", "twice"),
            ("kind: EgressProfile", "kind: Lab", "EgressProfile"),
            ("name: mine", "name: ../mine", "../mine"),
            ("title: Mine", "title: Mine\nmore: 1", "more"),
            (MINE, "- a\n", "expected a mapping, found a list"),
            ("  - {names", "  - [a]\n  - {names", "expected a mapping, found a list"),
            ("[a.example, '*.b.example']", "a.example", "expected a list, found the text “a.example”"),
            ("title: Mine", "title: !x Mine", "the tag !x is not part"),
        ] {
            let error = parse("mine.yaml", MINE.replacen(from, to, 1).as_bytes()).expect_err(to);
            assert!(error.message.contains(word) && error.message.contains("mine.yaml:"), "{to}: {error}");
        }
        let many: Vec<String> = (0..65).map(|i| format!("n{i}.example")).collect();
        assert!(
            parse("m", MINE.replace("a.example", &many.join(", ")).as_bytes())
                .unwrap_err()
                .message
                .contains("at most 64")
        );
    }
}
