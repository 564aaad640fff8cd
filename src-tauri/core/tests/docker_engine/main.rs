//! The engine on a real Docker: what containers really get, and what programs in them really can do. Needs a daemon; lab
//! images that are missing are built first.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod hardening;
mod images;
mod life;
mod roles;
mod streams;
mod syscalls;

use forge_core::api::Role;
use forge_core::engine::{ContainerSpec, Docker, Engine, ExecOutput, ExecSpec, Images, SeccompProfile, caps, label};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(20);

fn docker() -> Arc<Docker> {
    Arc::new(Docker::from_env().unwrap())
}

/// The image's id; built on first need, by whichever test comes first.
async fn image(name: &str) -> String {
    static BUILDING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _one = BUILDING.lock().await;
    let images = Images::new(docker());
    images.prepare(&[name.to_owned()], &|_| (), &CancellationToken::new()).await.unwrap();
    images.resolve(name).await.unwrap()
}

/// A container that goes when the test ends, however it ends.
struct Node {
    docker: Arc<Docker>,
    id: String,
    run: String,
}

impl Node {
    async fn start(name: &str, change: impl FnOnce(&mut ContainerSpec)) -> Self {
        let run = uuid::Uuid::new_v4().simple().to_string()[..10].to_owned();
        let mut spec = ContainerSpec {
            name: format!("forge-test-{run}"),
            image: image(name).await,
            hostname: "n1".into(),
            labels: [(label::RUN.to_owned(), run.clone()), (label::KIND.to_owned(), "test".to_owned())].into(),
            command: vec!["--now".into(), "sleep".into(), "infinity".into()],
            pids: 128,
            memory_bytes: Some(256 << 20),
            ..Default::default()
        };
        change(&mut spec);
        let docker = docker();
        let id = docker.create(&spec).await.unwrap();
        let node = Self { docker, id, run };
        node.docker.start(&node.id).await.unwrap();
        node.becomes("grep -qxE 'now|waiting' /run/forge/startup").await;
        node
    }

    /// With what its role gets and no more.
    async fn of_role(name: &str, role: Role, change: impl FnOnce(&mut ContainerSpec)) -> Self {
        Self::start(name, |spec| {
            spec.caps = caps::role_caps(role).iter().map(|c| (*c).to_owned()).collect();
            spec.seccomp = caps::role_seccomp(role);
            change(spec);
        })
        .await
    }

    async fn fabric() -> Self {
        Self::start("tools", |spec| {
            spec.caps = caps::FABRIC.iter().map(|c| (*c).to_owned()).collect();
            spec.seccomp = SeccompProfile::Fabric;
            spec.host_pid = true;
        })
        .await
    }

    async fn pid(&self) -> u32 {
        self.docker.pid(&self.id).await.unwrap()
    }

    async fn run(&self, script: &str) -> ExecOutput {
        let spec = ExecSpec { argv: vec!["sh".into(), "-c".into(), script.into()], ..Default::default() };
        self.docker.exec(&self.id, &spec, None, LIMIT).await.unwrap()
    }

    /// What a script that must succeed prints, both streams.
    async fn says(&self, script: &str) -> String {
        let out = self.run(&format!("exec 2>&1; {script}")).await;
        let text = String::from_utf8_lossy(&out.stdout).trim().to_owned();
        assert_eq!(out.exit, 0, "{script}\n{text}");
        text
    }

    /// Waits until the script succeeds.
    async fn becomes(&self, script: &str) {
        for _ in 0..100 {
            if self.run(script).await.exit == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let out = self.run(script).await;
        panic!(
            "never true: {script}\n{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let done = std::process::Command::new("docker").args(["rm", "-fv", &self.id]).output();
        if !done.is_ok_and(|o| o.status.success()) && !std::thread::panicking() {
            panic!("container {} was left behind", self.id);
        }
    }
}
