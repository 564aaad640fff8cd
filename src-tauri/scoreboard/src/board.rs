//! What every request works with: the open data folder.

use crate::evidence::{Evidence, private_folder};
use crate::intake::Together;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::ring::Ring;
use crate::store::{Store, Target};
use crate::{clock, codes};
use forge_core::error::{Code, Error, Result};
use forge_core::template::{Catalogue, Sources};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Bundles that are received at the same time, and graded at the same time: what bounds the memory.
const UPLOADS: usize = 16;
const GRADING: usize = 2;
/// People who may listen to live updates.
pub const LISTENERS: usize = 4_096;

pub struct Board {
    pub data: PathBuf,
    pub store: Store,
    /// Submissions that wait for the store.
    pub together: Together,
    pub ring: Ring,
    pub evidence: Evidence,
    pub live: Live,
    pub metrics: Metrics,
    pub labs: Catalogue,
    /// Digest of the admin's token.
    pub admin: String,
    pub uploads: Semaphore,
    pub grading: Arc<Semaphore>,
    pub listeners: Arc<Semaphore>,
    pub since: i64,
    /// Streams end when the server does.
    pub closing: CancellationToken,
}

impl Board {
    /// Opens the folder, making what is missing. Blocking. Returns the admin's token as well.
    pub fn open(data: &Path, target: Target, labs: Option<PathBuf>) -> Result<(Self, String)> {
        private_folder(data).map_err(|e| Error::from(e).context(format!("Making {}", data.display())))?;
        // First of all: a folder that lost its key, or is another board's, stays as it is.
        let ring = Ring::of(data, &target)?;
        let token = admin_token(data)?;
        let store = Store::open(target)?;
        let evidence = Evidence::open(data)?;
        let swept = evidence.sweep(true)?;
        if swept > 0 {
            tracing::info!(files = swept, "removed uploads that a former process had left");
        }
        let labs = Catalogue::load(&Sources { instead: labs, user: None });
        for broken in labs.broken() {
            tracing::warn!(lab = %broken.place, error = %broken.error, "a lab cannot be used; its verdicts will not be re-graded");
        }
        let since = clock::now();
        let board = Self {
            data: data.to_owned(),
            metrics: Metrics::new(store.target().kind()),
            store,
            together: Together::default(),
            ring,
            evidence,
            live: Live::starting_at(u64::try_from(since).unwrap_or(1)),
            labs,
            admin: codes::digest(&token),
            uploads: Semaphore::new(UPLOADS),
            grading: Arc::new(Semaphore::new(GRADING)),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
            since,
            closing: CancellationToken::new(),
        };
        Ok((board, token))
    }
}

/// Names the folder of labs that the data is served with, when they are not the built-in ones.
const LABS: &str = "labs.path";

/// So that whoever looks at the data later holds verdicts against the same labs. `None`: the built-in ones.
pub fn remember_labs(data: &Path, labs: Option<&Path>) -> Result<()> {
    let path = data.join(LABS);
    match labs {
        Some(labs) => Ok(std::fs::write(path, std::path::absolute(labs)?.to_string_lossy().as_bytes())?),
        None => match std::fs::remove_file(path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        },
    }
}

/// The folder of labs: the one that is given, else the one the data was last served with. `NotFound` when that is gone.
pub fn labs_of(data: &Path, given: Option<PathBuf>) -> Result<Option<PathBuf>> {
    let labs = match given {
        Some(labs) => labs,
        None => match std::fs::read_to_string(data.join(LABS)) {
            Ok(text) => PathBuf::from(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        },
    };
    if labs.is_dir() {
        return Ok(Some(labs));
    }
    Err(Error::new(Code::NotFound, format!("The labs in {} are not there.", labs.display()))
        .hint("Say where they are now: --labs DIR"))
}

/// Made on first use, readable by the owner only; the same for ever, until the file is removed.
fn admin_token(data: &Path) -> Result<String> {
    let path = data.join("admin.token");
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() == 64 => return Ok(text.trim().to_owned()),
        Ok(_) => tracing::warn!("admin.token held no token; a new one is made"),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::from(e).context(format!("Reading {}", path.display()))),
    }
    let token = codes::token();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&path)?;
    std::io::Write::write_all(&mut file, token.as_bytes())?;
    file.sync_all()?;
    Ok(token)
}
