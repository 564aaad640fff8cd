//! Deny-all, proven and disproven: forty ways out of a sound lab, and of labs that were weakened on purpose.

use crate::bed::*;
use forge_core::api::IsolationRow;
use forge_core::engine::outside::Outside;

const TOOLS: &str = "frostgate/tools:latest";

/// Three nodes: two links and a segment. n2 forwards, as a router does.
fn three() -> Scenario {
    let mut scenario = ring(3);
    let members = (1..=3).map(|i| endpoint(&format!("n{i}"), "lan0", &format!("192.168.7.{i}/24")));
    scenario.links.push(link("lan", members.collect()));
    scenario.nodes[1].forwarding = true;
    scenario
}

async fn proven(bed: &Bed, live: &Arc<Live>) -> Vec<IsolationRow> {
    let steps = Steps::default();
    let began = Instant::now();
    let rows = lab::prove(live, bed.engine.as_ref(), TOOLS, &steps, &CancellationToken::new()).await.unwrap();
    println!("{} techniques in {:?}", rows.len(), began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(60), "it took {:?}", began.elapsed());
    let done: BTreeSet<String> =
        steps.seen.lock().unwrap().iter().filter(|s| s.state == StepState::Done).map(|s| s.name.clone()).collect();
    assert_eq!(done.into_iter().collect::<Vec<_>>(), ["clear", "networks", "nodes", "try"]);
    rows
}

fn ids(rows: &[IsolationRow], what: fn(&IsolationRow) -> bool) -> Vec<&str> {
    rows.iter().filter(|r| what(r)).map(|r| r.id.as_str()).collect()
}

/// A container with more rights than any of ours, to break what must not break by itself.
fn as_the_host(script: &str) {
    let rights = "run --rm --cap-drop ALL --cap-add NET_ADMIN --cap-add SYS_ADMIN --cap-add SYS_PTRACE --security-opt \
                  seccomp=unconfined --security-opt apparmor=unconfined --pid host --network host --entrypoint sh";
    let argv = rights.split_whitespace().chain([TOOLS, "-ec", script]);
    let done = std::process::Command::new("docker").args(argv).output().unwrap();
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
}

fn docker(args: &[&str]) {
    let done = std::process::Command::new("docker").args(args).output().unwrap();
    assert!(done.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

async fn leaves_nothing(bed: &Bed, nodes: usize) {
    let instance = bed.identity.instance.as_str();
    assert_eq!(bed.left().await, nodes + 1, "the lab's own and nothing else");
    assert!(bed.engine.streets(&[(label::INSTANCE, instance)]).await.unwrap().is_empty(), "networks were left");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_ways_out_of_a_sound_lab_all_controls_work_and_none_succeeds() {
    let bed = Bed::new();
    let live = bed.launch(three()).await;
    let rows = proven(&bed, &live).await;
    for row in &rows {
        println!("{:<16} {:<5} {:<5} {}", row.id, row.control, row.escaped, row.detail);
    }
    assert_eq!(rows.len(), 40);
    assert_eq!(ids(&rows, |r| !r.control), Vec::<&str>::new(), "{rows:#?}");
    assert_eq!(ids(&rows, |r| r.escaped), Vec::<&str>::new(), "{rows:#?}");
    leaves_nothing(&bed, 3).await;
    assert!(pings(&live, "n1", "192.168.7.3").await, "the lab is as it was");
    let quick = lab::look(&live).await.unwrap();
    assert!(quick.len() == 6 && quick.iter().all(IsolationRow::holds), "{quick:?}");
}

/// One end of a cable to the host, left on a link: everything that leaves an interface escapes.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_veth_left_on_a_link_is_found_by_every_technique_that_leaves_an_interface() {
    let bed = Bed::new();
    let live = bed.launch(three()).await;
    let fabric = bed.engine.list(&[(label::RUN, &bed.identity.run), (label::KIND, "fabric")]).await.unwrap();
    let pid = bed.engine.pid(&fabric[0].id).await.unwrap();
    let name = format!("fg{}", &bed.identity.run[..6]);
    as_the_host(&format!(
        "ip link add {name} type veth peer name leak netns {pid}; nsenter -t {pid} -n ip link set leak master b3 up; \
         ip addr add 169.254.0.1/16 dev {name}; ip link set {name} up"
    ));
    let rows = proven(&bed, &live).await;
    assert_eq!(ids(&rows, |r| !r.control), Vec::<&str>::new(), "{rows:#?}");
    let out = ids(&rows, |r| r.escaped);
    for id in [
        "gateway-tcp",
        "gateway-udp",
        "docker0",
        "other-gateway",
        "published-port",
        "icmp-tunnel",
        "broadcast",
        "other-protocols",
        "mdns-llmnr",
        "all-nodes",
        "slaac",
        "rogue-ra",
        "6in4",
        "mapped",
        "arp-spoof",
        "raw-frame",
        "weak-host",
        "vlan",
        "spoof",
        "stp-lldp",
        "macvlan",
    ] {
        assert!(out.contains(&id), "{id} was not found: {out:?}");
    }
    for id in ["docker-dns", "dns-txt", "search-domain", "vsock", "abstract-socket"] {
        assert!(!out.contains(&id), "{id} has nothing to do with it: {out:?}");
    }
    let quick = lab::look(&live).await.unwrap();
    assert_eq!(ids(&quick, |r| r.escaped), ["fabric-interfaces"], "{quick:?}");
    leaves_nothing(&bed, 3).await;
}

/// A second leg, as somebody's `docker network connect` gives it to a node.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_leg_in_a_docker_network_is_a_pivot() {
    let bed = Bed::new();
    let live = bed.launch(three()).await;
    let node = live.container("n2").unwrap();
    docker(&["network", "disconnect", "none", &node]);
    docker(&["network", "connect", "bridge", &node]);
    let rows = proven(&bed, &live).await;
    assert_eq!(ids(&rows, |r| !r.control), Vec::<&str>::new(), "{rows:#?}");
    assert_eq!(ids(&rows, |r| r.escaped), ["pivot"], "{rows:#?}");
    let quick = lab::look(&live).await.unwrap();
    assert_eq!(ids(&quick, |r| r.escaped), ["node-interfaces", "node-routes"], "{quick:?}");
    leaves_nothing(&bed, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_is_not_isolated_does_not_become_ready() {
    let bed = Bed::new();
    let mut scenario = ring(2);
    scenario.nodes[0].startup = "ip route add default via 10.0.1.77".into();
    let plan = bed.plan(scenario).await;
    let outcome = lab::launch(bed.engine.clone(), &plan, &Steps::default(), &CancellationToken::new()).await;
    let error = outcome.err().expect("it became ready");
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.contains("n1 has a default route by eth1/10.0.1.77"), "{error:?}");
    assert_eq!(bed.left().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quick_look_costs_little_and_leaves_a_learner_in_peace() {
    let bed = Bed::new();
    let live = bed.launch(three()).await;
    assert_eq!(live.proof().len(), 6);
    let (exit, said) = bed
        .inside(
            &live,
            "n1",
            "ip link add br7 type bridge && ip link add mine type veth peer name yours && ip link set br7 up && \
             ip addr add 10.7.7.1/24 dev br7 && ip route add default via 10.7.7.9",
        )
        .await;
    assert_eq!(exit, 0, "{said}");
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let rows = lab::look(&live).await.unwrap();
        fastest = fastest.min(began.elapsed());
        assert!(rows.iter().all(IsolationRow::holds), "{rows:?}");
    }
    println!("a quick look takes {fastest:?}");
    assert!(fastest < Duration::from_millis(100), "{fastest:?}");
    bed.engine.remove(&live.container("n3").unwrap()).await.unwrap();
    live.rewire("n3").await.expect_err("it is gone");
    let blind = lab::look(&live).await.unwrap();
    assert!(blind.iter().any(|r| !r.control) && blind.iter().all(|r| !r.escaped), "{blind:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_cancelled_at_any_moment_leaves_nothing() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    for (name, state) in [
        ("networks", StepState::Running),
        ("networks", StepState::Done),
        ("nodes", StepState::Running),
        ("nodes", StepState::Done),
        ("try", StepState::Running),
        ("try", StepState::Done),
    ] {
        let cancel = CancellationToken::new();
        let steps = Steps { cancel_at: Some((name.into(), state, cancel.clone())), ..Default::default() };
        let error = lab::prove(&live, bed.engine.as_ref(), TOOLS, &steps, &cancel).await.unwrap_err();
        assert_eq!(error, Error::cancelled(), "at {name} {state:?}");
        leaves_nothing(&bed, 2).await;
    }
    // A process that is killed half-way leaves what only the labels tell of.
    {
        let steps = Steps::default();
        let cancel = CancellationToken::new();
        let half = lab::prove(&live, bed.engine.as_ref(), TOOLS, &steps, &cancel);
        tokio::time::timeout(Duration::from_millis(900), half).await.expect_err("it was faster than that");
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(bed.left().await > 3, "nothing was left half-way: the test proves nothing");
    let found = lab::survey(bed.engine.as_ref(), &bed.identity.instance).await.unwrap();
    assert_eq!(found[0].fabric, Some(forge_core::engine::ContainerState::Running), "a probe is no fabric");
    assert_eq!(found[0].nodes.len(), 2);
    let gone = lab::clear_probe(bed.engine.as_ref(), bed.engine.as_ref(), &bed.identity.instance, None).await.unwrap();
    assert!(gone > 0);
    leaves_nothing(&bed, 2).await;
}
