//! Reaching into a lab: scripts, unseen hosts, files, forwards, counters.

use crate::bed::*;

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_bounded() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let n1 = From::Node("n1".into());
    let began = Instant::now();
    let late = live.look(&n1, "sleep 30 & sleep 30", &[], Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(late.code, Code::Timeout);
    assert!(began.elapsed() < Duration::from_millis(1300), "{:?}", began.elapsed());
    let flood = live.look(&n1, "yes | head -c 5000000; exit 4", &[], LIMIT).await.unwrap();
    assert_eq!((flood.exit, flood.truncated, flood.stdout.len()), (4, true, 1 << 20));
    let echo = live.look(&n1, "cat", &vec![b'x'; 300_000], LIMIT).await.unwrap();
    assert_eq!(echo.stdout.len(), 300_000);
    // What a script leaves running in the background ends with it and does not hold the answer up.
    let began = Instant::now();
    let left = live.look(&n1, "sleep 40 & echo $!", &[], LIMIT).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2));
    let alive = format!("kill -0 {}", left.stdout.trim());
    assert_ne!(live.look(&n1, &alive, &[], LIMIT).await.unwrap().exit, 0);
    let scripts: Vec<String> = (0..100).map(|i| format!("sleep 0.05; echo {i}")).collect();
    let began = Instant::now();
    let all = live.look_many(&n1, &scripts, LIMIT).await.unwrap();
    assert!(all.iter().enumerate().all(|(i, o)| o.stdout.trim() == i.to_string()));
    assert!(began.elapsed() < Duration::from_secs(4), "a hundred naps side by side took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unseen_host_joins_and_leaves() {
    let bed = Bed::new();
    let live = bed.launch(four()).await;
    let from = From::Unseen { segment: "lan".into(), address: "192.168.7.99/24".parse().unwrap(), gateway: None };
    let seen = live.look(
        &from,
        "ip -br addr show eth0; ping -n -c1 -W1 192.168.7.3; curl -s http://192.168.7.4:8080/; echo \"<$NODE_PID>\"",
        &[],
        LIMIT,
    );
    let seen = seen.await.unwrap();
    assert!(seen.stdout.contains("192.168.7.99/24") && seen.stdout.contains("1 received"), "{seen:?}");
    assert!(seen.stdout.contains("forty-two<>"), "{seen:?}");
    eventually("it has left", || async { !pings(&live, "n1", "192.168.7.99").await }).await;
    let routed = From::Unseen {
        segment: "l1".into(),
        address: "10.0.1.9/24".parse().unwrap(),
        gateway: Some("10.0.1.1".parse().unwrap()),
    };
    let route = live.look(&routed, "ip route get 9.9.9.9", &[], LIMIT).await.unwrap();
    assert!(route.stdout.contains("via 10.0.1.1"), "{route:?}");

    let capture = live.capture("lan", "icmp and host 192.168.7.2", Duration::from_millis(900));
    let ping = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        pings(&live, "n1", "192.168.7.2").await
    };
    let (captured, reached) = tokio::join!(capture, ping);
    let captured = captured.unwrap();
    assert!(reached && captured.exit == 0 && captured.stdout.contains("ICMP echo request"), "{captured:?}");
    let bad = live.capture("lan", "no such filter", Duration::from_millis(300)).await.unwrap();
    assert_ne!(bad.exit, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_files_cannot_be_tricked() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let tricks = "cd /srv && mkdir t && echo inner > t/a && ln -s /etc/shadow shadow && ln -s ../../../../../../etc/hostname up && \
        ln -s /proc/1/root/etc/hostname magic && ln -s /proc/self/cwd self && mkfifo pipe && ln -s t dir && \
        ln -s /etc t/escape && head -c 2000 /dev/zero > big && ln -s loop loop && ln -s a t/link";
    let (exit, said) = bed.inside(&live, "n1", tricks).await;
    assert_eq!(exit, 0, "{said}");
    let read = |path: &'static str| live.read_file("n1", path, 1000);
    let shadow = read("/srv/shadow").await.unwrap().unwrap();
    let (_, own) = bed.inside(&live, "n1", "sha256sum < /etc/hostname").await;
    assert!(!own.is_empty());
    let fabric_shadow = live.look(&From::Node("n1".into()), "cat /etc/shadow", &[], LIMIT).await.unwrap().stdout;
    assert_ne!(String::from_utf8_lossy(&shadow), fabric_shadow, "a link resolves in the node, not in the fabric");
    assert_eq!(read("/srv/up").await.unwrap().unwrap(), b"n1\n", "dot-dot ends at the node's root");
    for (path, code) in [
        ("/srv/magic", Code::Io),
        ("/srv/pipe", Code::InvalidInput),
        ("/srv/t", Code::InvalidInput),
        ("/dev/null", Code::InvalidInput),
        ("/srv/big", Code::TooLarge),
        ("/srv/loop", Code::Io),
        ("relative", Code::InvalidInput),
    ] {
        let refused = read(path).await.expect_err(path);
        assert_eq!(refused.code, code, "{path}: {refused:?}");
    }
    assert_eq!(read("/srv/none").await.unwrap(), None);
    assert_eq!(read("/srv/self/etc/hostname").await.ok().flatten(), None, "the fabric is not in the node's /proc");
    let tree = live.read_tree("n1", "/srv/dir/", 1000).await.unwrap();
    assert_eq!(tree, [("/srv/dir/a".to_string(), b"inner\n".to_vec())], "links below a tree are left out");
    assert_eq!(live.read_tree("n1", "/srv", 1000).await.unwrap_err().code, Code::TooLarge);
    assert!(live.read_tree("n1", "/nowhere", 1000).await.unwrap().is_empty());
    assert_eq!(read("/etc/hostname").await.unwrap().unwrap(), b"n1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_carries_http_and_closes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bed = Bed::new();
    let live = bed.launch(four()).await;
    let forward = Forwarder::open(live.clone(), "n4", 8080).await.unwrap();
    assert!(forward.local().ip().is_loopback());
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(forward.local()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.ends_with("forty-two"), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(forward.connections(), 3);
    let silent = Forwarder::open(live.clone(), "n1", 9).await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(silent.local()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty(), "nothing listens there");
    let local = forward.local();
    drop(forward);
    eventually("the forward is closed", || async { tokio::net::TcpStream::connect(local).await.is_err() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_counts_what_flows() {
    use futures_util::StreamExt;
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let mut samples = lab::telemetry(live.clone(), || 7).await.unwrap();
    let first = samples.next().await.unwrap().unwrap();
    assert_eq!((first.run.as_str(), first.at, first.nodes.len(), first.links.len()), (live.run(), 7, 2, 4));
    assert!(first.nodes.iter().all(|n| n.memory_bytes > 100_000 && n.pids >= 1), "{first:?}");
    // One a second: two at once, and the later would say that nothing flows.
    let began = std::time::Instant::now();
    for _ in 0..3 {
        samples.next().await.unwrap().unwrap();
    }
    assert!(began.elapsed() > Duration::from_secs(2), "three samples after {:?}", began.elapsed());
    let n1 = From::Node("n1".into());
    live.look(&n1, "ping -q -n -c 200 -i 0.002 -s 1000 10.0.1.2", &[], LIMIT).await.unwrap();
    let mut most = 0.0;
    for _ in 0..2 {
        let sample = samples.next().await.unwrap().unwrap();
        let link = sample.links.iter().find(|l| l.link == "l1" && l.node == "n1").unwrap();
        assert!(link.up);
        most = f64::max(most, link.tx_bps);
    }
    assert!(most > 200_000.0, "200 kB went out, {most} bit/s were seen");
    // A restarted node is found again.
    lab::restart_node(&live, "n2", LIMIT).await.unwrap();
    for _ in 0..12 {
        if samples.next().await.unwrap().unwrap().nodes.len() == 2 {
            return;
        }
    }
    panic!("n2 is missing from the telemetry");
}
