//! What happens to a lab afterwards: restarts, pauses, cuts, losses, sweeps.

use crate::bed::*;

#[derive(Default)]
struct Heard(Mutex<Vec<(String, NodeState)>>);

impl Witness for Heard {
    fn node(&self, _: &str, node: &str, state: NodeState, _: &str) {
        self.0.lock().unwrap().push((node.into(), state));
    }

    fn run(&self, run: &str, text: &str) {
        panic!("{run}: {text}");
    }

    fn starved(&self, run: &str, node: &str, _: i64, kills: u64) {
        panic!("{run}: {node} lost {kills} programs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_is_rewired_by_itself() {
    let bed = Bed::new();
    let live = bed.launch(four()).await;
    let heard = Arc::new(Heard::default());
    let keeper = Keeper::start(live.clone(), heard.clone());
    tokio::time::sleep(Duration::from_millis(300)).await;
    // What the learner configured on a neighbour must outlive the restart of the other end.
    assert_eq!(
        bed.inside(&live, "n1", "ip addr add 10.9.9.9/32 dev eth1 && ip route add 10.8.0.0/16 via 10.0.1.2").await.0,
        0
    );
    assert_eq!(bed.inside(&live, "n2", "echo kept > /srv/note; echo gone > /tmp/note").await.0, 0);
    let before = bed.inside(&live, "n2", "cat /sys/class/net/eth2/address").await.1;
    let container = live.container("n2").unwrap();
    let restarted = std::process::Command::new("docker").args(["restart", "-t", "0", &container]).output().unwrap();
    assert!(restarted.status.success());
    eventually("n2 is wired again", || pings(&live, "n1", "10.0.1.2")).await;
    eventually("n2 reported as running", || async {
        heard.0.lock().unwrap().contains(&("n2".into(), NodeState::Running))
    })
    .await;
    assert!(pings(&live, "n3", "192.168.7.2").await);
    assert_eq!(bed.inside(&live, "n2", "cat /sys/class/net/eth2/address").await.1, before, "the MAC address stays");
    assert_eq!(bed.inside(&live, "n2", "cat /srv/note; ls /tmp/note").await.1.lines().next(), Some("kept"));
    let (_, kept) = bed.inside(&live, "n1", "ip -o addr show eth1; ip route").await;
    assert!(kept.contains("10.9.9.9") && kept.contains("10.8.0.0/16"), "{kept}");
    let states: Vec<NodeState> = heard.0.lock().unwrap().iter().filter(|(n, _)| n == "n2").map(|(_, s)| *s).collect();
    assert_eq!(states, [NodeState::Exited, NodeState::Rewiring, NodeState::Running]);

    // By command, with two rewiring it at the same time.
    lab::restart_node(&live, "n4", LIMIT).await.unwrap();
    assert!(pings(&live, "n1", "192.168.7.4").await);
    drop(keeper);
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_cut_restart_announce() {
    let bed = Bed::new();
    let live = bed.launch(four()).await;
    lab::pause(&live).await.unwrap();
    let frozen = bed.engine.list(&[(label::RUN, &bed.identity.run), (label::KIND, "node")]).await.unwrap();
    assert!(frozen.iter().all(|c| c.state == forge_core::engine::ContainerState::Paused));
    lab::resume(&live).await.unwrap();
    assert!(pings(&live, "n1", "10.0.1.2").await);

    let cut = Disturbance::Cut("l1".into());
    live.disturb(&cut).await.unwrap();
    assert_eq!(bed.inside(&live, "n1", "cat /sys/class/net/eth1/carrier").await.1.trim(), "0");
    // The learner holds NET_ADMIN, and yet cannot bring it back.
    let _ = bed.inside(&live, "n1", "ip link set eth1 down; ip link set eth1 up").await;
    assert!(!pings(&live, "n1", "10.0.1.2").await);
    lab::restart_node(&live, "n2", LIMIT).await.unwrap();
    assert!(!pings(&live, "n1", "10.0.1.2").await, "a restart does not mend a cut");
    live.undo(&cut).await.unwrap();
    eventually("the link is back", || pings(&live, "n1", "10.0.1.2")).await;

    live.disturb(&Disturbance::Restart { node: "n3".into() }).await.unwrap();
    assert!(pings(&live, "n3", "192.168.7.1").await);
    let prefix: ipnet::IpNet = "172.16.9.0/24".parse().unwrap();
    let hidden = Disturbance::Announce { node: "n4".into(), prefix };
    live.disturb(&hidden).await.unwrap();
    assert!(live.inside("n4", &["ip".into(), "addr".into()], LIMIT).await.unwrap().stdout.contains("172.16.9.1/24"));
    live.undo(&hidden).await.unwrap();
    live.undo(&hidden).await.unwrap();
    assert!(!live.inside("n4", &["ip".into(), "addr".into()], LIMIT).await.unwrap().stdout.contains("172.16.9."));
    let untrusted = live.disturb(&Disturbance::Announce { node: "n1".into(), prefix }).await.unwrap_err();
    assert_eq!(untrusted.code, Code::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_channel_is_reopened_and_a_lost_fabric_is_said() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let n1 = From::Node("n1".into());
    let suicide = live.look(&n1, "kill -9 $PPID", &[], LIMIT);
    assert_eq!(suicide.await.unwrap_err().code, Code::DockerFailed);
    assert_eq!(live.look(&n1, "echo again", &[], LIMIT).await.unwrap().stdout, "again\n");

    // Everything ends at once, as when Docker itself is restarted: then it can be brought back as it was.
    assert_eq!(bed.inside(&live, "n2", "echo kept > /srv/note").await.0, 0);
    let all = bed.engine.list(&[(label::RUN, &bed.identity.run)]).await.unwrap();
    let ids: Vec<&str> = all.iter().map(|c| c.id.as_str()).collect();
    assert!(std::process::Command::new("docker").arg("kill").args(&ids).output().unwrap().status.success());
    let lost = live.look(&n1, "true", &[], LIMIT).await.unwrap_err();
    assert!(matches!(lost.code, Code::WrongState | Code::DockerFailed), "{lost:?}");
    let swept = lab::survey(bed.engine.as_ref(), &bed.identity.instance).await.unwrap();
    assert_eq!(swept[0].fabric, Some(forge_core::engine::ContainerState::Exited));
    lab::revive(&live, LIMIT, false).await.unwrap();
    assert!(pings(&live, "n1", "10.0.1.2").await);
    assert_eq!(bed.inside(&live, "n2", "cat /srv/note").await.1, "kept\n");
    lab::revive(&live, LIMIT, false).await.unwrap();

    let fabric = all.iter().find(|c| c.labels[label::KIND] == "fabric").unwrap();
    bed.engine.remove(&fabric.id).await.unwrap();
    let gone = live.look(&n1, "true", &[], LIMIT).await.unwrap_err();
    assert_eq!(gone.code, Code::WrongState, "{gone:?}");
    assert!(gone.message.contains("fabric"), "{gone:?}");
    let adopted = Live::adopt(bed.engine.clone(), bed.identity.clone(), live.scenario().clone()).await;
    assert_eq!(adopted.err().unwrap().code, Code::WrongState);
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_adopts_what_lives_and_removes_the_rest() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let other =
        Bed { engine: bed.engine.clone(), identity: Identity { run: "leftoverxx".into(), ..bed.identity.clone() } };
    other.launch(ring(2)).await;
    let strange = Bed::new();
    strange.launch(ring(2)).await;
    let living = BTreeSet::from([live.run().to_string()]);
    let swept = lab::sweep(bed.engine.as_ref(), &bed.identity.instance, &living).await.unwrap();
    assert_eq!(swept.removed, ["leftoverxx"]);
    assert!(swept.failed.is_empty());
    assert_eq!(swept.adopt.len(), 1);
    assert_eq!(swept.adopt[0].nodes.len(), 2);
    assert_eq!((bed.left().await, strange.left().await), (3, 3));
}
