//! The floor: the same containers, created and started in parallel with `--network none`, and nothing else.

use super::{ms, ring};
use forge_core::engine::{Docker, Engine, label};
use forge_core::error::Result;
use futures_util::future::{join_all, try_join_all};
use std::time::Instant;

/// Milliseconds up and down. What was made is removed whatever happens.
pub async fn once(docker: &Docker, session: &str, nodes: u32, image: &str) -> Result<(f64, f64)> {
    let began = Instant::now();
    let up = async {
        let ids = try_join_all((0..nodes).map(|n| async move { docker.create(&ring::bare(session, n, image)).await }))
            .await?;
        try_join_all(ids.iter().map(|id| docker.start(id))).await?;
        Ok(ms(began))
    };
    let up: Result<f64> = up.await;
    let ours = docker.list(&[(label::INSTANCE, session)]).await?;
    let began = Instant::now();
    let removed = join_all(ours.iter().map(|c| docker.remove(&c.id))).await;
    let down = ms(began);
    removed.into_iter().collect::<Result<Vec<()>>>()?;
    Ok((up?, down))
}
