//! Creating, pausing, restarting, removing; events; errors by their codes.

use super::{Engine, LIMIT, Node, docker};
use bytes::Bytes;
use forge_core::engine::{ContainerState, Docker, ExecSpec, label};
use forge_core::error::Code;
use futures_util::StreamExt;
use std::time::Duration;

#[tokio::test]
async fn a_life_is_told_by_list_and_events() {
    let docker = docker();
    let node = Node::start("host", |s| s.volumes = vec!["/srv".into()]).await;
    let labels = [(label::RUN, node.run.as_str())];
    let mut events = docker.events(&labels).await.unwrap();
    let state = async || docker.list(&labels).await.unwrap().first().map(|c| c.state);

    assert_eq!(state().await, Some(ContainerState::Running));
    node.says("echo kept > /srv/x; echo lost > /run/x").await;
    docker.pause(&node.id).await.unwrap();
    assert_eq!(state().await, Some(ContainerState::Paused));
    assert_eq!(docker.pause(&node.id).await.unwrap_err().code, Code::WrongState);
    docker.unpause(&node.id).await.unwrap();
    let before = node.pid().await;
    docker.restart(&node.id).await.unwrap();
    assert_ne!(node.pid().await, before);
    assert_eq!(node.says("cat /srv/x; test ! -e /run/x && echo gone").await, "kept\ngone");

    let mut seen = Vec::new();
    while !seen.contains(&"start".to_owned()) {
        let event = tokio::time::timeout(LIMIT, events.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(
            (event.container.as_str(), event.labels[label::RUN].as_str()),
            (node.id.as_str(), node.run.as_str())
        );
        seen.push(event.action);
    }
    for word in ["pause", "unpause", "die", "start"] {
        assert!(seen.iter().any(|a| a == word), "{word} missing in {seen:?}");
    }
}

#[tokio::test]
async fn removal_takes_the_volumes_along_and_is_idempotent() {
    let docker = docker();
    let node = Node::start("host", |s| s.volumes = vec!["/srv".into()]).await;
    let inspect =
        std::process::Command::new("docker").args(["inspect", "-f", "{{(index .Mounts 0).Name}}", &node.id]).output();
    let volume = String::from_utf8(inspect.unwrap().stdout).unwrap().trim().to_owned();
    assert_eq!(volume.len(), 64);
    docker.remove(&node.id).await.unwrap();
    docker.remove(&node.id).await.unwrap();
    assert!(docker.list(&[(label::RUN, &node.run)]).await.unwrap().is_empty());
    let left = std::process::Command::new("docker").args(["volume", "inspect", &volume]).output().unwrap();
    assert!(!left.status.success(), "the volume was left behind");
    assert_eq!(docker.start(&node.id).await.unwrap_err().code, Code::NotFound);
    std::mem::forget(node);
}

#[tokio::test]
async fn files_arrive_before_the_start_and_keep_owner_and_mode() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o604);
    header.set_uid(1234);
    header.set_gid(5678);
    tar.append_data(&mut header, "sub/x", &b"abc"[..]).unwrap();
    let node = Node::start("host", |s| s.volumes = vec!["/srv".into()]).await;
    node.docker.put_tar(&node.id, "/srv", Bytes::from(tar.into_inner().unwrap())).await.unwrap();
    assert_eq!(node.says("stat -c '%a %u %g' /srv/sub/x; cat /srv/sub/x").await, "604 1234 5678\nabc");
}

#[tokio::test]
async fn failures_come_with_their_code_and_a_hint() {
    let nowhere = Docker::at("unix:///nowhere/docker.sock").unwrap();
    let error = nowhere.info().await.unwrap_err();
    assert_eq!(error.code, Code::DockerUnavailable, "{error:?}");
    assert!(!error.hints.is_empty());

    // A socket that accepts and stays silent.
    let path = std::env::temp_dir().join(format!("forge-silent-{}.sock", uuid::Uuid::new_v4().simple()));
    let silent = tokio::net::UnixListener::bind(&path).unwrap();
    let begun = std::time::Instant::now();
    let error = Docker::at(&format!("unix://{}", path.display())).unwrap().info().await.unwrap_err();
    assert_eq!(error.code, Code::DockerUnavailable, "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(8));
    drop(silent);
    std::fs::remove_file(&path).unwrap();

    let docker = docker();
    let spec = forge_core::engine::ContainerSpec { image: "frostgate/never-built:x".into(), ..Default::default() };
    assert_eq!(docker.create(&spec).await.unwrap_err().code, Code::ImageMissing);
    let ls = ExecSpec { argv: vec!["ls".into()], ..Default::default() };
    assert_eq!(docker.exec("no-such-container", &ls, None, LIMIT).await.unwrap_err().code, Code::NotFound);
    let node = Node::start("host", |_| ()).await;
    docker.pause(&node.id).await.unwrap();
    assert_eq!(docker.exec(&node.id, &ls, None, LIMIT).await.unwrap_err().code, Code::WrongState);
    docker.unpause(&node.id).await.unwrap();
}
