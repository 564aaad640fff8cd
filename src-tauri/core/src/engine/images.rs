//! Our lab images: which are current, and how they come to be. A digest of the recipe, kept as a label and in the tag, decides
//! whether an image is current; nothing but Docker remembers anything.

mod apt;
mod base;
mod progress;
pub mod recipe;

use super::docker::{CALL, Docker, bounded, from_docker};
use crate::error::{Code, Error, Result};
use apt::Apt;
use async_trait::async_trait;
use bollard::query_parameters::{
    BuildImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures_util::StreamExt;
pub use progress::Progress;
use progress::Tracker;
use recipe::{RECIPES, Recipe};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Short name of the image, on the image.
const IMAGE: &str = "dev.frostgate.image";
/// Digest of the recipe it was built from.
const RECIPE: &str = "dev.frostgate.recipe";
/// How long a build may print nothing: unpacking a large package takes a while on a slow disk.
const SILENCE: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageState {
    pub name: String,
    pub purpose: String,
    pub ready: bool,
    /// Why it must be (re)built; empty when ready.
    pub reason: String,
    /// Docker's id of the image, `sha256:…`.
    pub digest: Option<String>,
    pub bytes: Option<u64>,
}

/// Where labs get their images from, as the façade sees it.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// All our images, in the order in which they are built.
    async fn list(&self) -> Result<Vec<ImageState>>;
    /// The image to create containers from, pinned by its id. `Code::ImageMissing` when it is not there or its recipe has
    /// changed since; `Code::InvalidInput` for a name that is none of ours.
    async fn resolve(&self, name: &str) -> Result<String>;
    /// Builds what is not current; all when `names` is empty.
    async fn prepare(
        &self,
        names: &[String],
        progress: &(dyn Fn(Progress) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<()>;
}

#[async_trait]
impl Shelf for Images {
    async fn list(&self) -> Result<Vec<ImageState>> {
        self.list().await
    }
    async fn resolve(&self, name: &str) -> Result<String> {
        self.resolve(name).await
    }
    async fn prepare(
        &self,
        names: &[String],
        progress: &(dyn Fn(Progress) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<()> {
        self.prepare(names, progress, cancel).await
    }
}

pub struct Images {
    docker: Arc<Docker>,
}

impl Images {
    pub fn new(docker: Arc<Docker>) -> Self {
        Self { docker }
    }

    /// All our images, in the order in which they are built.
    pub async fn list(&self) -> Result<Vec<ImageState>> {
        let mut all = Vec::with_capacity(RECIPES.len());
        for recipe in RECIPES {
            all.push(self.state(recipe).await?);
        }
        Ok(all)
    }

    /// The image to create containers from, pinned by its id. `Code::ImageMissing` when it is not there or its recipe has
    /// changed since; `Code::InvalidInput` for a name that is none of ours.
    pub async fn resolve(&self, name: &str) -> Result<String> {
        let state = self.state(known(name)?).await?;
        match state.digest {
            Some(id) if state.ready => Ok(id),
            _ => Err(Error::new(Code::ImageMissing, format!("Image '{name}' is not ready: {}", state.reason))
                .hint(format!("Prepare it: `forge images prepare {name}`."))
                .details(serde_json::json!({"image": name}))),
        }
    }

    /// Builds what is not current; all when `names` is empty. What is done stays done: after a failure or a cancellation the
    /// next call goes on from Docker's cached layers. An image gets its name only when its last step has succeeded.
    pub async fn prepare(
        &self,
        names: &[String],
        progress: &(dyn Fn(Progress) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<()> {
        let wanted = match names {
            [] => RECIPES.to_vec(),
            names => names.iter().map(|n| known(n)).collect::<Result<_>>()?,
        };
        let apt = Apt::of_this_machine().await;
        for recipe in wanted {
            if cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            if !self.state(recipe).await?.ready {
                base::ensure(&self.docker, &apt, recipe.name, progress, cancel).await?;
                tokio::select! {
                    biased;
                    // Dropping the request is how the builder is told to stop; it removes its container then.
                    () = cancel.cancelled() => return Err(Error::cancelled()),
                    built = self.build(recipe, &apt, progress) => built?,
                }
            }
            progress(Progress {
                image: recipe.name.to_owned(),
                step: "ready".to_owned(),
                percent: 100,
                detail: String::new(),
            });
        }
        Ok(())
    }

    async fn state(&self, recipe: Recipe) -> Result<ImageState> {
        let client = self.docker.client().await?;
        let inspect = |reference: String| async move {
            match bounded("Looking for an image", CALL, client.inspect_image(&reference)).await {
                Ok(found) => Ok(Some(found)),
                Err(e) if matches!(e.code, Code::NotFound | Code::ImageMissing) => Ok(None),
                Err(e) => Err(e),
            }
        };
        let current = inspect(recipe.reference()).await?.filter(|image| {
            let labels = image.config.as_ref().and_then(|c| c.labels.as_ref());
            labels.and_then(|l| l.get(RECIPE)) == Some(&recipe.digest())
        });
        let ready = current.is_some();
        let reason = if ready {
            String::new()
        } else if inspect(format!("{}:latest", recipe.repository())).await?.is_some() {
            "Its recipe has changed since it was built.".to_owned()
        } else {
            "It has not been built yet.".to_owned()
        };
        Ok(ImageState {
            name: recipe.name.to_owned(),
            purpose: recipe.purpose.to_owned(),
            ready,
            reason,
            bytes: current.as_ref().and_then(|i| i.size).and_then(|n| u64::try_from(n).ok()),
            digest: current.and_then(|i| i.id),
        })
    }

    async fn build(&self, recipe: Recipe, apt: &Apt, progress: &(dyn Fn(Progress) + Send + Sync)) -> Result<()> {
        let client = self.docker.client().await?;
        let labels = HashMap::from([(IMAGE.to_owned(), recipe.name.to_owned()), (RECIPE.to_owned(), recipe.digest())]);
        let options = BuildImageOptionsBuilder::new()
            .dockerfile(&recipe.containerfile())
            .t(&recipe.reference())
            .labels(&labels)
            .buildargs(&apt.build_args())
            // Debian's packages must be in reach of the build steps, and of nothing else ever after.
            .networkmode("host")
            .rm(true)
            .forcerm(true)
            .build();
        let context = bollard::body_full(recipe.context()?.into());
        let mut output = client.build_image(options, None, Some(context));
        let mut tracker = Tracker::default();
        progress(tracker.progress(recipe.name));
        loop {
            let piece = match tokio::time::timeout(SILENCE, output.next()).await {
                Ok(None) => break,
                Ok(Some(piece)) => piece.map_err(|e| tracker.failure(recipe.name, &from_docker(e)))?,
                Err(_) => {
                    let silent = Error::new(Code::Timeout, format!("Nothing happened for {} s.", SILENCE.as_secs()));
                    return Err(tracker.failure(recipe.name, &silent));
                }
            };
            if piece.stream.is_some_and(|text| tracker.take(&text)) {
                progress(tracker.progress(recipe.name));
            }
        }
        let latest = TagImageOptionsBuilder::new().repo(&recipe.repository()).tag("latest").build();
        bounded("Naming an image", CALL, client.tag_image(&recipe.reference(), Some(latest))).await?;
        self.drop_older(recipe).await
    }

    /// Earlier versions of an image that no container needs any more.
    async fn drop_older(&self, recipe: Recipe) -> Result<()> {
        let client = self.docker.client().await?;
        let filters = HashMap::from([("label".to_owned(), vec![format!("{IMAGE}={}", recipe.name)])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let found = bounded("Listing images", CALL, client.list_images(Some(options))).await?;
        for old in found.into_iter().filter(|i| i.labels.get(RECIPE) != Some(&recipe.digest())) {
            // By name where it has one: an image with several names cannot be removed by its id.
            let names: Vec<_> = old.repo_tags.into_iter().filter(|tag| !tag.starts_with("<none>")).collect();
            let names = if names.is_empty() { vec![old.id] } else { names };
            for name in names {
                let options = RemoveImageOptionsBuilder::new().force(false).noprune(false).build();
                let removal = client.remove_image(&name, Some(options), None);
                match bounded("Removing an older image", CALL, removal).await {
                    Ok(_) => {}
                    // In use by a lab that still runs, or gone already: the next build tries again.
                    Err(e) if matches!(e.code, Code::WrongState | Code::NotFound | Code::ImageMissing) => {
                        tracing::debug!(image = name, error = %e, "an older image stays for now");
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(())
    }
}

fn known(name: &str) -> Result<Recipe> {
    recipe::find(name).ok_or_else(|| {
        let names: Vec<_> = RECIPES.iter().map(|r| r.name).collect();
        Error::new(Code::InvalidInput, format!("There is no image '{name}'."))
            .hint(format!("Our images are: {}.", names.join(", ")))
    })
}
