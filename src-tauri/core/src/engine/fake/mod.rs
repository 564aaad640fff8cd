//! An engine made of memory, for the simulation: containers that start, end and lose their links as Docker's do, a fabric that
//! answers as `broker.pl` does, and a world that delays, refuses and ends processes as a seed says. Everything runs on one
//! thread in virtual time, so that a seed is a history.

#![allow(clippy::indexing_slicing)]
mod broker;
mod world;

pub use world::{Dice, Weather, World};

use self::broker::Broker;
use self::world::{Dummy, State};
use super::fabric::channel::unpack;
use super::outside::Street;
use super::*;
use crate::error::{Code, Error};
use crate::template::scenario::Scenario;
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

fn away() -> Error {
    Error::new(Code::DockerUnavailable, "Docker does not answer (simulated).")
}

/// One process's connection to the world.
pub struct Fake {
    pub world: Arc<World>,
    pub process: usize,
}

impl Fake {
    async fn call(&self, what: &str, id: &str) -> Result<()> {
        self.world.pass(self.process, what).await;
        let mut s = self.world.lock();
        // The guard is everybody's.
        let ours = |b: &Dummy| b.labels.get(label::INSTANCE) == Some(&self.world.instance) || b.guards();
        if s.boxes.get(id).is_some_and(|b| !ours(b)) {
            s.touched.push(format!("{what} {id}"));
        }
        if s.down_until.is_some_and(|t| Instant::now() < t) {
            return Err(away());
        }
        let refuse = s.weather.refuse;
        if s.dice.one_in(refuse) {
            let code = if what == "create" && s.dice.one_in(2) { Code::NoMemory } else { Code::DockerFailed };
            drop(s);
            self.world.note(format!("p{} is refused {what} {id}", self.process));
            return Err(Error::new(code, format!("Refused: {what} (simulated).")));
        }
        Ok(())
    }

    /// It was done, but the answer may be late, or nobody may be left to hear it.
    async fn answered(&self, what: &str) -> Result<()> {
        self.world.pass(self.process, what).await;
        let late = {
            let mut s = self.world.lock();
            let refuse = s.weather.refuse;
            refuse > 0 && s.dice.one_in(refuse * 2)
        };
        match late {
            true => Err(Error::new(Code::Timeout, format!("No answer to {what} in time (simulated)."))),
            false => Ok(()),
        }
    }

    fn known(&self, id: &str) -> Result<Dummy> {
        let missing = || Error::new(Code::NotFound, format!("No container {id}."));
        self.world.lock().boxes.get(id).cloned().ok_or_else(missing)
    }
}

#[async_trait]
impl Engine for Fake {
    async fn info(&self) -> Result<EngineInfo> {
        self.call("info", "").await?;
        Ok(EngineInfo { cpus: 64, memory_bytes: 64 << 30, version: "fake".into(), ..EngineInfo::default() })
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<String> {
        self.call("create", &spec.name).await?;
        let made = Dummy {
            name: spec.name.clone(),
            labels: spec.labels.clone(),
            state: ContainerState::Created,
            pid: 0,
            life: 0,
            laid: false,
            wired: None,
        };
        if self.world.lock().boxes.insert(spec.name.clone(), made).is_some() {
            return Err(Error::new(Code::WrongState, "The name is taken."));
        }
        self.answered("create").await?;
        Ok(spec.name.clone())
    }

    async fn put_tar(&self, id: &str, _: &str, _: Bytes) -> Result<()> {
        self.call("put", id).await
    }

    async fn start(&self, id: &str) -> Result<()> {
        self.call("start", id).await?;
        if !matches!(self.known(id)?.state, ContainerState::Running | ContainerState::Paused) {
            self.world.started(id);
        }
        self.answered("start").await
    }

    async fn pid(&self, id: &str) -> Result<u32> {
        self.call("pid", id).await?;
        match self.known(id)? {
            b if matches!(b.state, ContainerState::Running | ContainerState::Paused) => Ok(b.pid),
            _ => Err(Error::new(Code::WrongState, format!("Container {id} does not run."))),
        }
    }

    async fn pause(&self, id: &str) -> Result<()> {
        self.call("pause", id).await?;
        self.known(id)?;
        if let Some(b) = self.world.lock().boxes.get_mut(id).filter(|b| b.state == ContainerState::Running) {
            b.state = ContainerState::Paused;
        }
        self.answered("pause").await
    }

    async fn unpause(&self, id: &str) -> Result<()> {
        self.call("unpause", id).await?;
        if let Some(b) = self.world.lock().boxes.get_mut(id).filter(|b| b.state == ContainerState::Paused) {
            b.state = ContainerState::Running;
        }
        self.answered("unpause").await
    }

    async fn restart(&self, id: &str) -> Result<()> {
        self.call("restart", id).await?;
        self.known(id)?;
        self.world.ended(id);
        self.world.started(id);
        self.answered("restart").await
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.call("remove", id).await?;
        self.world.ended(id);
        self.world.lock().boxes.remove(id);
        self.answered("remove").await
    }

    async fn list(&self, labels: &[(&str, &str)]) -> Result<Vec<Container>> {
        self.call("list", "").await?;
        let s = self.world.lock();
        let fits = |b: &Dummy| labels.iter().all(|(k, v)| b.labels.get(*k).is_some_and(|l| l == v));
        let found = s.boxes.iter().filter(|(_, b)| fits(b));
        let shown = found.map(|(id, b)| Container {
            id: id.clone(),
            name: b.name.clone(),
            labels: b.labels.clone(),
            state: b.state,
        });
        Ok(shown.collect())
    }

    async fn exec(&self, id: &str, _: &ExecSpec, _: Option<Bytes>, _: Duration) -> Result<ExecOutput> {
        self.call("exec", id).await?;
        match self.known(id)?.state {
            ContainerState::Running => Ok(ExecOutput::default()),
            _ => Err(Error::new(Code::WrongState, format!("Container {id} does not run."))),
        }
    }

    async fn attach(&self, id: &str, _: &ExecSpec) -> Result<ExecStream> {
        self.call("attach", id).await?;
        let b = self.known(id)?;
        if b.state != ContainerState::Running {
            return Err(Error::new(Code::WrongState, format!("Container {id} does not run.")));
        }
        let (input, requests) = tokio::io::duplex(1 << 20);
        let (answers, output) = mpsc::unbounded_channel();
        let broker = Broker { world: self.world.clone(), process: self.process, fabric: id.into(), life: b.life };
        tokio::spawn(broker.serve(requests, answers));
        let output = tokio_stream::wrappers::UnboundedReceiverStream::new(output).map(|b| Ok((1, b))).boxed();
        Ok(ExecStream { id: "exec".into(), input: Box::pin(input), output })
    }

    async fn resize(&self, _: &str, _: u16, _: u16) -> Result<()> {
        Ok(())
    }

    async fn exec_exit(&self, _: &str) -> Result<Option<i64>> {
        Ok(Some(0))
    }

    async fn events(&self, labels: &[(&str, &str)]) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        self.call("events", "").await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let filter = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        self.world.lock().listeners.push((filter, sender));
        Ok(tokio_stream::wrappers::UnboundedReceiverStream::new(receiver).boxed())
    }

    async fn logs(&self, id: &str, _: u32) -> Result<String> {
        self.call("logs", id).await.map(|()| String::new())
    }
}

#[async_trait]
impl Shelf for Fake {
    async fn list(&self) -> Result<Vec<super::images::ImageState>> {
        Ok(Vec::new())
    }

    async fn resolve(&self, name: &str) -> Result<String> {
        self.call("image", "").await.map(|()| format!("sha256:{name}"))
    }

    async fn prepare(
        &self,
        _: &[String],
        _: &(dyn Fn(super::images::Progress) + Send + Sync),
        _: &tokio_util::sync::CancellationToken,
    ) -> Result<()> {
        Ok(())
    }
}

/// There is nothing outside: nothing simulated probes for a way there.
#[async_trait]
impl super::outside::Outside for Fake {
    async fn open_street(&self, _: &str, _: &Labels, _: &str) -> Result<Street> {
        Err(away())
    }
    async fn street(&self, _: &str) -> Result<Street> {
        Err(away())
    }
    async fn streets(&self, _: &[(&str, &str)]) -> Result<Vec<Street>> {
        self.call("streets", "").await.map(|()| Vec::new())
    }
    async fn close_street(&self, _: &str) -> Result<()> {
        Err(away())
    }
    async fn create_outside(&self, _: &ContainerSpec, _: &super::outside::Reach) -> Result<String> {
        Err(away())
    }
}
