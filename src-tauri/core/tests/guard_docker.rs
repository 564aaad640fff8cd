//! The guard on a real Docker: what it may, what its rule does, and that it comes and goes with labs. A binary of its own, since
//! every lab of the machine leans on the one guard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, dead_code)]

#[path = "lab_docker/bed.rs"]
#[allow(unused_imports)]
mod bed;

use bed::*;
use serde_json::Value;
use std::process::Command;

const GUARDS: &str = "label=dev.frostgate.kind=guard";

fn docker(args: &[&str]) -> (bool, String) {
    let done = Command::new("docker").args(args).output().unwrap();
    (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).trim().to_owned())
}

fn guards() -> Vec<String> {
    docker(&["ps", "-aq", "--no-trunc", "--filter", GUARDS]).1.lines().map(str::to_owned).collect()
}

async fn open(live: &Live) -> Vec<String> {
    lab::look(live).await.unwrap().into_iter().filter(|r| !r.holds()).map(|r| r.id).collect()
}

/// Four packets that wait for a next hop which is not there, and whose routes go meanwhile. Their sender is an address that
/// no machine has (RFC 2544), so that what the kernel answers has to leave the host's own stack.
const TRIGGER: &str = "ip addr add 198.18.77.77/32 dev lo; for i in 1 2 3 4; do ip route add 10.55.$i.0/24 via 10.0.1.$((100+i)) dev eth1 \
    src 198.18.77.77; done; for i in 1 2 3 4; do echo hello | nc -u -w 1 10.55.$i.9 9 & sleep 0.1; ip route del 10.55.$i.0/24; done; sleep 4";

#[tokio::test(flavor = "multi_thread")]
async fn the_host_answers_for_no_node_while_labs_run() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let [guard] = guards().try_into().expect("one guard");

    // It may add a rule to the host's packet filter, and nothing else.
    let told: Value = serde_json::from_str(&docker(&["inspect", &guard]).1).unwrap();
    let host = &told[0]["HostConfig"];
    assert_eq!(host["NetworkMode"], "host");
    assert_eq!((&host["CapDrop"], &host["CapAdd"]), (&serde_json::json!(["ALL"]), &serde_json::json!(["NET_ADMIN"])));
    assert_eq!((&host["ReadonlyRootfs"], &host["Privileged"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(told[0]["Mounts"], serde_json::json!([]));
    let security = host["SecurityOpt"].to_string();
    assert!(security.contains("no-new-privileges") && security.contains("seccomp="), "{security}");

    // Its rule is there, is nobody else's to take away, and counts what the kernel would have sent.
    let nft = |argv: &[&str]| docker(&[&["exec", &guard, "nft"], argv].concat());
    let tables = nft(&["list", "tables", "ip"]).1;
    let table = tables.split_whitespace().find(|w| w.starts_with("forge-guard-")).expect("a table").to_owned();
    assert!(!nft(&["delete", "table", "ip", &table]).0, "another process could delete it");
    let refused = || -> u64 {
        let json: Value = serde_json::from_str(&nft(&["-j", "list", "counter", "ip", &table, "dropped"]).1).unwrap();
        json["nftables"].as_array().unwrap().iter().find_map(|o| o["counter"]["packets"].as_u64()).unwrap()
    };
    let before = refused();
    bed.inside(&live, "n1", TRIGGER).await;
    // Not every kernel answers; where it does, each answer was refused here.
    println!("{} answers of the kernel refused", refused() - before);

    // Gone by somebody's hand: it is seen, and the next launch or the keeper brings it back.
    assert_eq!(open(&live).await, Vec::<String>::new());
    assert!(docker(&["rm", "-f", &guard]).0);
    assert_eq!(open(&live).await, ["kernel-answers"]);
    assert!(lab::guard_missing(bed.engine.as_ref()).await.unwrap());
    let next = Bed::new();
    next.launch(ring(2)).await;
    assert_eq!(open(&live).await, Vec::<String>::new());

    // It goes by itself, half a minute after the last lab.
    lab::stop(next.engine.as_ref(), &next.identity).await.unwrap();
    lab::stop(bed.engine.as_ref(), &bed.identity).await.unwrap();
    let others = docker(&["ps", "-q", "--filter", "label=dev.frostgate.kind=fabric"]).1;
    assert_eq!(others, "", "somebody else's labs run on this machine: stop them to see the guard leave");
    let end = Instant::now() + Duration::from_secs(45);
    while !guards().is_empty() {
        assert!(Instant::now() < end, "the guard stays without a lab");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
