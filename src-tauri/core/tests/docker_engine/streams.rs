//! Programs run in a node: output, input, terminals, and what happens when nobody reads.

use super::{Engine, LIMIT, Node};
use bytes::Bytes;
use forge_core::engine::{ExecSpec, ExecStream};
use forge_core::error::Code;
use futures_util::StreamExt;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

fn sh(script: &str) -> ExecSpec {
    ExecSpec { argv: vec!["sh".into(), "-c".into(), script.into()], ..Default::default() }
}

/// Reads until the text has come.
async fn until(stream: &mut ExecStream, text: &str) -> String {
    let mut all = String::new();
    while !all.contains(text) {
        let piece = tokio::time::timeout(LIMIT, stream.output.next())
            .await
            .unwrap_or_else(|_| panic!("no '{text}' in {all:?}"));
        let (_, bytes) = piece.unwrap_or_else(|| panic!("ended without '{text}': {all:?}")).unwrap();
        all.push_str(&String::from_utf8_lossy(&bytes));
    }
    all
}

#[tokio::test]
async fn status_and_both_streams_come_back_apart() {
    let node = Node::start("host", |_| ()).await;
    let out = node.run("echo out; echo err >&2; exit 3").await;
    assert_eq!((out.exit, out.stdout.as_slice(), out.stderr.as_slice()), (3, &b"out\n"[..], &b"err\n"[..]));
    let input = Bytes::from(vec![b'z'; 3 << 20]);
    let echo = node.docker.exec(&node.id, &sh("cat"), Some(input.clone()), LIMIT).await.unwrap();
    assert_eq!(echo.stdout, input, "input and output larger than any buffer");
    let deaf = node.docker.exec(&node.id, &sh("exec <&-; echo ok"), Some(input), LIMIT).await.unwrap();
    assert_eq!(deaf.stdout, b"ok\n", "a program may leave its input unread");
    let env = ExecSpec {
        env: vec![("A".into(), "b c".into())],
        workdir: Some("/tmp".into()),
        user: Some("nobody".into()),
        ..sh("echo $A; pwd; id -un")
    };
    assert_eq!(node.docker.exec(&node.id, &env, None, LIMIT).await.unwrap().stdout, b"b c\n/tmp\nnobody\n");
}

#[tokio::test]
async fn what_does_not_end_or_prints_without_end_is_bounded() {
    let node = Node::start("host", |_| ()).await;
    let begun = Instant::now();
    let late = node.docker.exec(&node.id, &sh("sleep 30"), None, Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(late.code, Code::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(3));
    let flood = node.docker.exec(&node.id, &sh("yes"), None, LIMIT).await.unwrap_err();
    assert_eq!(flood.code, Code::TooLarge);
}

#[tokio::test]
async fn a_terminal_has_its_size_resizes_and_carries_every_byte() {
    let node = Node::start("host", |_| ()).await;
    let spec = ExecSpec { tty: Some((101, 37)), stdin: true, ..sh("exec bash --norc") };
    let mut stream = node.docker.attach(&node.id, &spec).await.unwrap();
    stream.input.write_all(b"stty size; echo $TERM\n").await.unwrap();
    until(&mut stream, "37 101\r\nxterm-256color").await;
    node.docker.resize(&stream.id, 80, 24).await.unwrap();
    stream.input.write_all(b"stty size\n").await.unwrap();
    until(&mut stream, "24 80").await;
    // Bytes that look like the head of a frame of 4 GiB.
    stream
        .input
        .write_all(b"printf '\\001\\000\\000\\000\\377\\377\\377\\377'; echo '\xc3\xa4-after'\n")
        .await
        .unwrap();
    until(&mut stream, "\u{e4}-after\r\n").await;
    assert_eq!(node.docker.exec_exit(&stream.id).await.unwrap(), None);
    stream.input.write_all(b"exit 5\n").await.unwrap();
    while stream.output.next().await.is_some() {}
    for _ in 0..100 {
        if node.docker.exec_exit(&stream.id).await.unwrap() == Some(5) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the shell's status never came");
}

/// A reader that stops reading stops the program, instead of filling the memory of whoever is in between.
#[tokio::test]
async fn an_unread_terminal_holds_its_program_up() {
    let node = Node::start("host", |_| ()).await;
    let spec = ExecSpec { tty: Some((80, 24)), stdin: true, ..sh("exec yes") };
    let mut stream = node.docker.attach(&node.id, &spec).await.unwrap();
    until(&mut stream, "y\r\ny").await;
    let written = "grep wchar /proc/$(pgrep -x yes)/io";
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let before = node.says(written).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(node.says(written).await, before, "it goes on printing though nobody reads");
    // Reading again sets it free.
    let mut bytes = 0;
    while bytes < 8 << 20 {
        bytes += tokio::time::timeout(LIMIT, stream.output.next()).await.unwrap().unwrap().unwrap().1.len();
    }
    drop(stream);
}
