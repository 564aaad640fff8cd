//! `forge bench spawn`: the floor, forge from a cold start to ready, and docker-compose where it is installed; each with
//! its removal. Rounds take turns, so that what else the machine does falls on all of them alike; the median counts.

use super::own::Own;
use super::{floor, median, ms, ring};
use crate::out::{Cell, Ink, Out, cell};
use forge_core::api::{Caller, Commands, RunRequest};
use forge_core::engine::Images;
use forge_core::error::{Code, Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

const COMPOSE_LIMIT: Duration = Duration::from_secs(600);

#[derive(serde::Serialize)]
struct Row {
    nodes: u32,
    floor_ms: Option<f64>,
    forge_ready_ms: Option<f64>,
    compose_up_ms: Option<f64>,
    floor_down_ms: Option<f64>,
    forge_stop_ms: Option<f64>,
    compose_down_ms: Option<f64>,
}

struct Bench {
    own: Own,
    caller: Caller,
    image: String,
    compose: bool,
}

pub async fn run(sizes: &[u32], rounds: u32, caller: &Caller, out: &Out) -> Result<()> {
    let own = Own::open(sizes.iter().map(|n| (ring::lab_id(*n), ring::lab(*n))).collect()).await?;
    let image = Images::new(own.docker.clone()).resolve("host").await?;
    let bench = Bench { own, caller: caller.clone(), image, compose: compose_there().await };
    let measured = tokio::select! {
        rows = bench.rows(sizes, rounds, out) => rows,
        () = crate::signal::asked_to_end() => Err(Error::cancelled()),
    };
    // Also after a failure or an interruption in the middle of a round.
    bench.sweep().await?;
    bench.own.close(caller).await?;
    let rows = measured?;
    out.answer(&serde_json::json!({ "rows": rows }), |out, _| {
        let told = |v: Option<f64>| v.map_or_else(|| ("–".to_owned(), Ink::Dim), |v| cell(format!("{v:.0} ms")));
        let table: Vec<Vec<Cell>> = rows
            .iter()
            .map(|r| {
                vec![
                    cell(r.nodes.to_string()),
                    told(r.floor_ms),
                    told(r.forge_ready_ms),
                    told(r.compose_up_ms),
                    told(r.floor_down_ms),
                    told(r.forge_stop_ms),
                    told(r.compose_down_ms),
                ]
            })
            .collect();
        out.table(
            &["NODES", "FLOOR UP", "FORGE READY", "COMPOSE UP", "FLOOR DOWN", "FORGE STOP", "COMPOSE DOWN"],
            &table,
        )
    })
}

impl Bench {
    async fn rows(&self, sizes: &[u32], rounds: u32, out: &Out) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        for &nodes in sizes {
            let (mut floor_up, mut floor_down, mut ready, mut stop, mut up, mut down) =
                (vec![], vec![], vec![], vec![], vec![], vec![]);
            for round in 1..=rounds {
                out.progress(Ink::Dim, format!("ring of {nodes}, round {round} of {rounds}"));
                let (a, b) = floor::once(&self.own.docker, &self.own.session, nodes, &self.image).await?;
                floor_up.push(a);
                floor_down.push(b);
                let (a, b) = self.forge(nodes).await?;
                ready.push(a);
                stop.push(b);
                if self.compose {
                    let (a, b) = self.compose(nodes).await?;
                    up.push(a);
                    down.push(b);
                }
            }
            rows.push(Row {
                nodes,
                floor_ms: median(floor_up),
                forge_ready_ms: median(ready),
                compose_up_ms: median(up),
                floor_down_ms: median(floor_down),
                forge_stop_ms: median(stop),
                compose_down_ms: median(down),
            });
        }
        Ok(rows)
    }

    /// From the request to ready, gates, token, wiring and isolation proof included; then until nothing is left.
    async fn forge(&self, nodes: u32) -> Result<(f64, f64)> {
        let began = Instant::now();
        let run = self.own.start(&self.caller, &ring::lab_id(nodes)).await?.run.run;
        let ready = ms(began);
        let began = Instant::now();
        self.own.forge.stop_run(&self.caller, RunRequest { run }).await?;
        Ok((ready, ms(began)))
    }

    async fn compose(&self, nodes: u32) -> Result<(f64, f64)> {
        let file = self.own.folder().join(format!("compose-{nodes}.yml"));
        std::fs::write(&file, ring::compose(nodes, &self.own.session, &self.image))?;
        let began = Instant::now();
        let started = self.docker_compose(&file, &["up", "-d"]).await;
        let up = ms(began);
        let began = Instant::now();
        self.docker_compose(&file, &["down", "-t", "0"]).await?;
        let down = ms(began);
        started?;
        Ok((up, down))
    }

    async fn docker_compose(&self, file: &Path, arguments: &[&str]) -> Result<()> {
        let project = format!("forgebench{}", self.own.session);
        let mut command = Command::new("docker-compose");
        command.arg("-p").arg(project).arg("-f").arg(file).args(arguments).kill_on_drop(true);
        // 25 containers one after the other can take longer than its default of 60 s to answer.
        command.env("COMPOSE_HTTP_TIMEOUT", "300").env("COMPOSE_PARALLEL_LIMIT", "64");
        let output = tokio::time::timeout(COMPOSE_LIMIT, command.output())
            .await
            .map_err(|_| Error::new(Code::Timeout, "docker-compose did not end in time."))??;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        Err(Error::new(Code::DockerFailed, format!("docker-compose failed: {}", last.join(" · "))))
    }

    /// Whatever of this session is still there.
    async fn sweep(&self) -> Result<()> {
        use forge_core::engine::{Engine, label};
        for container in self.own.docker.list(&[(label::INSTANCE, &self.own.session)]).await? {
            self.own.docker.remove(&container.id).await?;
        }
        for entry in std::fs::read_dir(self.own.folder())?.flatten().map(|e| e.path()) {
            if entry.extension().is_some_and(|e| e == "yml") {
                self.docker_compose(&entry, &["down", "-t", "0"]).await?;
            }
        }
        Ok(())
    }
}

async fn compose_there() -> bool {
    let version = Command::new("docker-compose").arg("version").output().await;
    version.is_ok_and(|o| o.status.success())
}
