//! All labs this installation knows: those built in, and those in the user's folder. A broken lab is listed as broken
//! and hides no other.

use super::folder::Folder;
use super::instantiate::{Instance, LAB_FILE, Template};
use super::pins::{self, Embedded, Pin, Pins};
use super::problem::did_you_mean;
use super::scenario::Scenario;
use super::scope::Scope;
use crate::api::{LabOrigin, Objective};
use crate::error::{Code, Error, Result};
use include_dir::{Dir, DirEntry, include_dir};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

static BUILT_IN: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../templates");

/// Beside the tracks in a templates folder, and no tracks themselves.
const NOT_TRACKS: &[&str] = &["images", "playbooks", "egress"];

/// The seed whose scenario is shown before a run exists: topology, criteria, nodes.
const SPECIMEN: &str = "specimen";

/// How many labs that cannot be used are named to somebody who asked for one that is not there.
const BROKEN_TOLD: usize = 3;

/// Where labs come from, the first that has a lab's name wins.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Instead of the built-in ones: a folder with `<track>/<lab>/lab.yaml`.
    pub instead: Option<PathBuf>,
    /// In addition: the user's own, laid out the same way. It need not exist.
    pub user: Option<PathBuf>,
}

#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    labs: BTreeMap<String, Arc<Lab>>,
    broken: Vec<Broken>,
}

/// A folder that was meant to be a lab.
#[derive(Clone, Debug)]
pub struct Broken {
    /// `<track>/<lab>`, with the source's path for labs that are not built in.
    pub place: String,
    pub error: Error,
}

#[derive(Clone, Debug)]
pub struct Lab {
    pub id: String,
    pub origin: LabOrigin,
    /// What its version stands for, or why it may not be started.
    pub pin: Pin,
    /// `<track>/<folder>`.
    pub path: String,
    pub track: String,
    pub tier: String,
    pub title: String,
    pub summary: String,
    pub topics: Vec<String>,
    pub objectives: Vec<Objective>,
    pub minutes: u32,
    pub version: String,
    /// See [`Folder::digest`].
    pub digest: String,
    /// The images its nodes run on, by short name.
    pub images: Vec<String>,
    pub requires: Requires,
    /// With a seed that no run has: for showing what the lab is made of.
    pub specimen: Scenario,
    pub folder: Folder,
    template: Template,
}

/// What a machine must have, as a plain list; the doctor compares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requires {
    pub kernel: Vec<String>,
    /// MiB that must be free: as declared, else the lab's own limit.
    pub memory_mb: u64,
    /// Empty = any.
    pub arch: Vec<String>,
}

/// A wrong way to do the lab, which must fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub name: String,
    /// What somebody who does this believes.
    pub why: String,
    /// Criteria that must not pass.
    pub fails: Vec<String>,
    /// node → shell text, values filled in.
    pub scripts: BTreeMap<String, String>,
}

impl Broken {
    /// By its place, by `<track>/<folder>`, by the folder's name, or by the id that such a lab has by custom.
    fn is_called(&self, name: &str) -> bool {
        let mut ends = self.place.rsplit('/');
        let (folder, track) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
        self.place == name
            || folder == name
            || [format!("{track}/{folder}"), format!("{track}-{folder}")].iter().any(|n| n == name)
    }
}

impl Catalogue {
    /// Without looking at pins, for tools that only read labs: a lab's pin is its own digest.
    pub fn load(sources: &Sources) -> Self {
        let mut catalogue = Self::default();
        match &sources.instead {
            Some(dir) => catalogue.add_dir(dir, LabOrigin::Folder),
            None => catalogue.add_built_in(),
        }
        if let Some(dir) = sources.user.as_deref().filter(|d| d.is_dir()) {
            catalogue.add_dir(dir, LabOrigin::Yours);
        }
        catalogue
    }

    /// For starting labs: each with the pin that its version has, and built-in versions that are new here remembered.
    pub fn pinned(sources: &Sources, pins: &mut Pins) -> Self {
        let mut catalogue = Self::load(sources);
        for lab in catalogue.labs.values_mut() {
            let pin = pins.of(lab);
            Arc::make_mut(lab).pin = pin;
        }
        if let Err(e) = pins.remember(catalogue.labs.values().map(Arc::as_ref)) {
            // The labs are what the embedded lock says; only the memory of them is missing.
            tracing::warn!(code = ?e.code, "the versions of the built-in labs could not be written down: {e}");
        }
        catalogue
    }

    /// What the build put beside the labs.
    pub fn embedded() -> Embedded<'static> {
        Embedded {
            lock: BUILT_IN.get_file(pins::LOCK_FILE).map(include_dir::File::contents),
            key: BUILT_IN.get_file(pins::KEY_FILE).and_then(include_dir::File::contents_utf8),
        }
    }

    /// By id, sorted.
    pub fn list(&self) -> impl Iterator<Item = &Arc<Lab>> {
        self.labs.values()
    }

    pub fn broken(&self) -> &[Broken] {
        &self.broken
    }

    /// By id, by `<track>/<folder>`, or by the folder's name alone where only one lab has it.
    pub fn get(&self, name: &str) -> Result<Arc<Lab>> {
        if let Some(lab) = self.labs.get(name).or_else(|| self.labs.values().find(|l| l.path == name)) {
            return Ok(lab.clone());
        }
        // A short name is the built-in lab's, if one has it.
        for own in [false, true] {
            let named =
                |l: &&Arc<Lab>| (own || l.origin != LabOrigin::Yours) && l.path.rsplit('/').next() == Some(name);
            let mut short = self.labs.values().filter(named);
            if let (Some(lab), None) = (short.next(), short.next()) {
                return Ok(lab.clone());
            }
        }
        if let Some(broken) = self.broken.iter().find(|b| b.is_called(name)) {
            return Err(broken.error.clone().context(format!("“{}” cannot be used", broken.place)));
        }
        let error = Error::new(Code::UnknownLab, format!("There is no lab named “{name}”."));
        let known = did_you_mean(name, self.labs.keys().map(String::as_str));
        let broken = self.broken.iter().take(BROKEN_TOLD).map(|b| format!("Cannot be used: {}: {}", b.place, b.error));
        let hints: Vec<String> = known.into_iter().chain(broken).collect();
        if hints.is_empty() {
            return Err(error.hint("No labs are installed."));
        }
        Err(hints.into_iter().fold(error, Error::hint))
    }

    fn add_built_in(&mut self) {
        let tracks = BUILT_IN.dirs().filter(|d| !NOT_TRACKS.iter().any(|n| d.path() == Path::new(n)));
        for dir in tracks.flat_map(Dir::dirs) {
            let path = dir.path().to_string_lossy().replace('\\', "/");
            let mut files = Vec::new();
            embedded(dir, dir.path(), &mut files);
            self.add(path.clone(), path, LabOrigin::BuiltIn, Folder::from_files(files));
        }
    }

    fn add_dir(&mut self, root: &Path, origin: LabOrigin) {
        let tracks = match folders(root) {
            Ok(tracks) => tracks,
            Err(error) => {
                let error = error.context(format!("Reading labs from {}", root.display()));
                self.broken.push(Broken { place: root.display().to_string(), error });
                return;
            }
        };
        for (track, dir) in tracks.into_iter().filter(|(name, _)| !NOT_TRACKS.contains(&name.as_str())) {
            for place in linked(&dir) {
                let error = Error::new(Code::TemplateInvalid, "This is a link, and links are not followed.")
                    .hint("Move or copy the lab's folder to this place.");
                self.broken.push(Broken { place: place.display().to_string(), error });
            }
            for (lab, dir) in folders(&dir).unwrap_or_default() {
                if std::fs::symlink_metadata(dir.join(LAB_FILE)).is_ok() {
                    self.add(dir.display().to_string(), format!("{track}/{lab}"), origin, Folder::read(&dir));
                }
            }
        }
    }

    /// The first that has a name keeps it: neither a built-in lab's id nor its place can be taken over.
    fn add(&mut self, place: String, path: String, origin: LabOrigin, folder: Result<Folder>) {
        match folder.and_then(|f| Lab::load(&path, f)).map(|lab| Lab { origin, ..lab }) {
            Ok(lab) => match self.labs.get(&lab.id).or_else(|| self.labs.values().find(|l| l.path == lab.path)) {
                None => {
                    self.labs.insert(lab.id.clone(), Arc::new(lab));
                }
                Some(other) => {
                    let error = Error::new(
                        Code::TemplateInvalid,
                        format!(
                            "There is already a lab “{}” at {}; yours cannot take its place.",
                            other.id, other.path
                        ),
                    )
                    .hint("Give this one another metadata.name and another folder.");
                    self.broken.push(Broken { place, error });
                }
            },
            Err(error) => self.broken.push(Broken { place, error }),
        }
    }
}

impl Lab {
    /// Reads and checks a lab's folder. `path` is `<track>/<folder>`.
    pub fn load(path: &str, folder: Folder) -> Result<Self> {
        let yaml = folder.get(LAB_FILE).ok_or_else(|| {
            Error::new(Code::TemplateInvalid, format!("{path} has no {LAB_FILE}."))
                .hint("A lab is a folder with lab.yaml and guide.md.")
        })?;
        let template = Template::parse(yaml)?;
        let digest = folder.digest();
        let Instance { scenario, metadata, requires, scope } = template.instantiate(&folder, &digest, SPECIMEN)?;
        let images: BTreeSet<String> = scenario.nodes.iter().map(|n| n.image.clone()).collect();
        let words = |w: Vec<super::typed::At<String>>| w.into_iter().map(|a| a.value).collect();
        let lab = Self {
            id: scenario.lab.clone(),
            origin: LabOrigin::Folder,
            pin: Ok(digest.clone()),
            path: path.to_owned(),
            track: scenario.track.clone(),
            tier: scenario.tier.clone(),
            title: scenario.title.clone(),
            summary: metadata.summary.trim().to_owned(),
            topics: metadata.labels.iter().filter_map(|l| l.strip_prefix("topic:")).map(str::to_owned).collect(),
            objectives: metadata
                .objectives
                .into_iter()
                .map(|o| Objective { exam: o.exam, id: o.id, text: o.text })
                .collect(),
            minutes: metadata.minutes.value,
            version: scenario.version.clone(),
            digest,
            images: images.into_iter().collect(),
            requires: Requires {
                kernel: words(requires.kernel),
                memory_mb: requires.memory_mb.unwrap_or(scenario.limits.memory_mb),
                arch: words(requires.arch),
            },
            specimen: scenario,
            folder,
            template,
        };
        // A solution that does not fit its lab is a broken lab, found now and not in front of a class.
        lab.scripts("solution", &scope)?;
        lab.wrongs(&scope)?;
        Ok(lab)
    }

    /// The same seed gives the same scenario, always.
    pub fn instantiate(&self, seed: &str) -> Result<Scenario> {
        Ok(self.template.instantiate(&self.folder, &self.digest, seed)?.scenario)
    }

    /// node → shell text to run in it, values filled in.
    pub fn solution(&self, seed: &str) -> Result<BTreeMap<String, String>> {
        self.scripts("solution", &self.scope(seed)?)
    }

    pub fn wrong(&self, seed: &str) -> Result<Vec<Wrong>> {
        self.wrongs(&self.scope(seed)?)
    }

    fn scope(&self, seed: &str) -> Result<Scope> {
        Ok(self.template.instantiate(&self.folder, &self.digest, seed)?.scope)
    }

    fn scripts(&self, dir: &str, scope: &Scope) -> Result<BTreeMap<String, String>> {
        let mut out = BTreeMap::new();
        for (name, bytes) in self.folder.below(dir) {
            let Some(node) = name.strip_suffix(".sh").filter(|n| !n.contains('/')) else { continue };
            if !self.specimen.nodes.iter().any(|n| n.name == node) {
                let known = self.specimen.nodes.iter().map(|n| n.name.as_str());
                let error = Error::new(Code::TemplateInvalid, format!("{dir}/{name}: there is no node “{node}”."));
                return Err(match did_you_mean(node, known) {
                    Some(hint) => error.hint(hint),
                    None => error,
                });
            }
            let file = format!("{dir}/{name}");
            out.insert(node.to_owned(), scope.fill_text(&file, super::tree::text(&file, bytes)?)?);
        }
        Ok(out)
    }

    fn wrongs(&self, scope: &Scope) -> Result<Vec<Wrong>> {
        let names: BTreeSet<&str> =
            self.folder.below("wrong").filter_map(|(p, _)| Some(p.split_once('/')?.0)).collect();
        names.into_iter().map(|name| super::wrong::read(self, name, |dir| self.scripts(dir, scope))).collect()
    }
}

fn embedded(dir: &Dir, root: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in dir.entries() {
        match entry {
            DirEntry::Dir(d) => embedded(d, root, out),
            DirEntry::File(f) => {
                if let Ok(path) = f.path().strip_prefix(root) {
                    out.push((path.to_string_lossy().replace('\\', "/"), f.contents().to_vec()));
                }
            }
        }
    }
}

/// Links right below that lead to a lab: somebody who made one waits for the lab to be listed.
fn linked(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    let links = entries.filter(|e| e.file_type().is_ok_and(|t| t.is_symlink())).map(|e| e.path());
    let mut links: Vec<PathBuf> = links.filter(|p| p.join(LAB_FILE).exists()).collect();
    links.sort();
    links
}

/// Folders right below, by name; links are not followed.
fn folders(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if let (true, Some(name)) = (entry.file_type()?.is_dir(), entry.file_name().to_str()) {
            out.push((name.to_owned(), entry.path()));
        }
    }
    out.sort();
    Ok(out)
}
