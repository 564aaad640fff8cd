//! The engine on a real Docker: what containers really get, and what programs in them really can do.
//! Needs a daemon and the lab images (`forge images prepare`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use bytes::Bytes;
use forge_core::engine::{ContainerSpec, ContainerState, Docker, Engine, ExecOutput, ExecSpec, SeccompProfile, label};
use forge_core::error::Code;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const LIMIT: Duration = Duration::from_secs(20);

/// A container that goes when the test ends, however it ends.
struct Node {
    docker: Docker,
    id: String,
    run: String,
}

impl Node {
    async fn start(image: &str, change: impl FnOnce(&mut ContainerSpec)) -> Self {
        let docker = Docker::from_env().unwrap();
        let run = uuid::Uuid::new_v4().simple().to_string()[..10].to_owned();
        let mut spec = ContainerSpec {
            name: format!("forge-test-{run}"),
            image: format!("frostgate/{image}:latest"),
            hostname: "n1".into(),
            labels: [(label::RUN.to_owned(), run.clone()), (label::KIND.to_owned(), "test".to_owned())].into(),
            command: vec!["--now".into(), "sleep".into(), "infinity".into()],
            pids: 128,
            memory_bytes: Some(128 << 20),
            ..Default::default()
        };
        change(&mut spec);
        let id = docker.create(&spec).await.unwrap();
        let node = Self { docker, id, run };
        node.docker.start(&node.id).await.unwrap();
        node
    }

    async fn run(&self, script: &str) -> ExecOutput {
        let spec = ExecSpec { argv: vec!["sh".into(), "-c".into(), script.into()], ..Default::default() };
        self.docker.exec(&self.id, &spec, None, LIMIT).await.unwrap()
    }

    async fn says(&self, script: &str) -> String {
        let out = self.run(script).await;
        assert_eq!(
            out.exit,
            0,
            "{script}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let done = std::process::Command::new("docker").args(["rm", "-fv", &self.id]).output();
        assert!(done.is_ok_and(|o| o.status.success()), "container {} was left behind", self.id);
    }
}

#[tokio::test]
async fn a_container_gets_nothing_it_was_not_given() {
    let node = Node::start("host", |_| ()).await;
    let status = node.says("grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/1/status").await;
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    assert_eq!(node.says("ls /sys/class/net").await, "lo");
    assert_ne!(node.run("touch /etc/x").await.exit, 0, "the root file system must be read-only");
    assert_eq!(node.says("for d in /run /tmp /var/tmp /var/log; do touch $d/x || exit 1; done; echo ok").await, "ok");
    assert_eq!(
        node.says("grep -v ^# /etc/resolv.conf").await,
        "nameserver 127.0.0.1",
        "nothing of the host's resolver"
    );
    assert_eq!(node.says("ulimit -c").await, "0");
    let mounts = node.says("cut -d' ' -f2 /proc/mounts").await;
    assert!(!mounts.contains("docker.sock"), "{mounts}");
}
