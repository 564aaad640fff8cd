//! The lab as a check sees it, with a memory: what the check is about to change is written down before and struck out when
//! it has been taken back, so that a check that is killed half-way leaves no link cut and no prefix announced.

use super::Forge;
use crate::check::vantage::{Output, Vantage};
use crate::error::Result;
use crate::fault;
use crate::lab::Live;
use crate::store::intents;
use crate::template::scenario::{Disturbance, From};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Journal {
    pub forge: Arc<Forge>,
    pub live: Arc<Live>,
}

#[async_trait]
impl Vantage for Journal {
    async fn look(&self, from: &From, script: &str, stdin: &[u8], limit: Duration) -> Result<Output> {
        self.live.look(from, script, stdin, limit).await
    }

    async fn look_many(&self, from: &From, scripts: &[String], limit: Duration) -> Result<Vec<Output>> {
        self.live.look_many(from, scripts, limit).await
    }

    async fn inside(&self, node: &str, argv: &[String], limit: Duration) -> Result<Output> {
        self.live.inside(node, argv, limit).await
    }

    async fn read_file(&self, node: &str, path: &str, max: usize) -> Result<Option<Vec<u8>>> {
        self.live.read_file(node, path, max).await
    }

    async fn read_tree(&self, node: &str, dir: &str, max: usize) -> Result<Vec<(String, Vec<u8>)>> {
        self.live.read_tree(node, dir, max).await
    }

    async fn capture(&self, link: &str, filter: &str, wait: Duration) -> Result<Output> {
        self.live.capture(link, filter, wait).await
    }

    fn nodes(&self) -> Vec<String> {
        self.live.nodes()
    }

    async fn disturb(&self, what: &Disturbance) -> Result<()> {
        self.forge.intend(self.live.run(), "disturb", serde_json::json!({"what": what})).await?;
        fault::point("check.disturb.before");
        self.live.disturb(what).await?;
        fault::point("check.disturb.after");
        Ok(())
    }

    async fn undo(&self, what: &Disturbance) -> Result<()> {
        self.live.undo(what).await?;
        fault::point("check.undo.after");
        let run = self.live.run().to_owned();
        // One check at a time disturbs a run, so whatever is open is this one's.
        self.forge.store.write(move |tx| intents::clear(tx, &run, Some("disturb"))).await.map(drop)
    }
}
