//! That the programs of each role work with what the role gets.

use super::Node;
use forge_core::api::Role;

/// What lets a template's init go on.
async fn wire(fabric: &Node, node: &Node) {
    fabric.says(&format!("nsenter -t {} -n ip link set lo up alias forge-wired", node.pid().await)).await;
}

#[tokio::test]
async fn a_host_pings_and_traces_without_any_capability() {
    let node = Node::of_role("host", Role::Client, |s| {
        s.sysctls = [("net.ipv6.conf.all.disable_ipv6".to_owned(), "0".to_owned())].into();
    })
    .await;
    assert!(node.says("ping -c1 -W2 127.0.0.1").await.contains("1 received"));
    assert!(node.says("ping -c1 -W2 ::1").await.contains("1 received"));
    assert!(node.says("traceroute -n -m2 127.0.0.1").await.contains(" 127.0.0.1 "));
    assert_eq!(node.says("locale charmap").await, "UTF-8");
    assert_ne!(node.run("timeout 1 tcpdump -i lo -c1").await.exit, 0, "captures take NET_RAW");
}

#[tokio::test]
async fn an_attacker_captures_and_scans() {
    let node = Node::of_role("tools", Role::Attacker, |_| ()).await;
    let seen =
        node.says("(sleep 0.5; ping -i 0.5 -c15 127.0.0.1 >/dev/null 2>&1) & timeout 10 tcpdump -ni lo -c1 icmp").await;
    assert!(seen.contains("ICMP echo request"), "{seen}");
    node.says("nmap -sS -Pn -p1 127.0.0.1 && command -v sshpass socat jq").await;
}

#[tokio::test]
async fn init_waits_for_the_wiring_and_runs_the_startup_text() {
    let fabric = Node::fabric().await;
    let text = "echo hello-from-startup; (sleep 0.1 &) ; touch /run/here";
    let node = Node::of_role("host", Role::Client, |s| s.command = vec![text.into()]).await;
    node.becomes("grep -qx waiting /run/forge/startup").await;
    assert_ne!(node.run("test -e /run/here").await.exit, 0, "started before it was wired");
    wire(&fabric, &node).await;
    node.becomes("grep -qx done /run/forge/startup && test -e /run/here").await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(node.says("ps -eo stat= | grep -c Z || true").await, "0", "orphans are reaped");
    use forge_core::engine::Engine;
    assert!(node.docker.logs(&node.id, 10).await.unwrap().contains("hello-from-startup"));

    // A restarted node has a fresh namespace and waits by itself.
    node.docker.restart(&node.id).await.unwrap();
    node.becomes("grep -qx waiting /run/forge/startup").await;
    wire(&fabric, &node).await;
    node.becomes("grep -qx done /run/forge/startup").await;

    let failing = Node::of_role("host", Role::Client, |s| s.command = vec!["exit 7".into()]).await;
    wire(&fabric, &failing).await;
    failing.becomes("grep -qx 'failed 7' /run/forge/startup").await;
    // TERM reaches it and ends it at once.
    let begun = std::time::Instant::now();
    let stop = std::process::Command::new("docker").args(["stop", "-t", "10", &failing.id]).output().unwrap();
    assert!(stop.status.success() && begun.elapsed().as_secs() < 5, "TERM was ignored");
}

#[tokio::test]
async fn frr_runs_is_configured_and_restarted_in_a_router() {
    let fabric = Node::fabric().await;
    let node = Node::of_role("router", Role::Router, |s| s.volumes = vec!["/etc/frr".into()]).await;
    node.says("/usr/lib/frr/frrinit.sh start").await;
    for daemon in ["zebra", "ospfd", "staticd", "watchfrr"] {
        node.becomes(&format!("pgrep -x {daemon}")).await;
    }
    node.becomes("vtysh -c 'show ip ospf'").await;
    node.says("vtysh -c 'conf t' -c 'router ospf' -c 'network 10.0.0.0/8 area 0' -c end -c 'write memory'").await;
    node.says("grep -q 'network 10.0.0.0/8 area 0' /etc/frr/frr.conf").await;
    node.says("vtysh -c 'conf t' -c 'ip route 192.0.2.0/24 blackhole' -c end").await;
    node.becomes("ip route show 192.0.2.0/24 | grep -q 'proto static'").await;
    node.says("/usr/lib/frr/frrinit.sh restart").await;
    node.becomes("vtysh -c 'show ip ospf' | grep -q 'Number of areas'").await;
    node.becomes("vtysh -c 'show running-config' | grep -q 'network 10.0.0.0/8 area 0'").await;

    // The fabric's own vtysh, through the sockets of the node.
    let pid = node.pid().await;
    let seen = fabric.says(&format!("vtysh --vty_socket /proc/{pid}/root/run/frr -c 'show ip ospf json'")).await;
    assert!(seen.contains("\"areas\""), "{seen}");
    assert!(fabric.says(&format!("cat /proc/{pid}/root/etc/frr/frr.conf")).await.contains("router ospf"));
}

#[tokio::test]
async fn servers_serve_with_what_a_server_gets_and_asks_for() {
    let node = Node::of_role("server", Role::Server, |s| {
        s.volumes = vec!["/etc".into(), "/home".into(), "/root".into()];
        // As a template asks for it, for a key of user bind's and for other users' homes.
        s.caps.push("DAC_OVERRIDE".into());
    })
    .await;
    node.says("named -u bind && nginx && ssh-keygen -A >/dev/null && /usr/sbin/sshd").await;
    node.becomes("test \"$(dig +short +time=1 +tries=1 @127.0.0.1 localhost)\" = 127.0.0.1").await;
    node.says("rndc status").await;
    assert_eq!(node.says("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1/").await, "200");
    assert_eq!(node.says("ps -o user= -C named").await, "bind");

    node.says("useradd -m -s /bin/bash ada && echo ada:secret | chpasswd").await;
    node.says("ssh-keygen -q -t ed25519 -N '' -f /root/k && mkdir /home/ada/.ssh && cp /root/k.pub /home/ada/.ssh/authorized_keys && chown -R ada: /home/ada/.ssh && chmod 700 /home/ada/.ssh").await;
    let ssh =
        "ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -i /root/k";
    assert_eq!(node.says(&format!("{ssh} ada@127.0.0.1 id -un")).await, "ada");
    let terminal = node.says(&format!("{ssh} -tt ada@127.0.0.1 tty")).await;
    assert!(terminal.starts_with("/dev/pts/"), "a login with a terminal: {terminal}");
    node.says("pkill -x named && nginx -s stop && pkill -x sshd").await;
    node.becomes("! pgrep -x named && ! pgrep -x nginx").await;
}

#[tokio::test]
async fn the_fabric_wires_two_nodes_and_looks_into_them() {
    let (fabric, a, b) = (Node::fabric().await, Node::start("host", |_| ()).await, Node::start("host", |_| ()).await);
    let (pa, pb) = (a.pid().await, b.pid().await);
    fabric
        .says(&format!(
            "ip link add eth1 netns {pa} type veth peer name eth1 netns {pb} &&
             printf 'addr add 10.9.0.1/24 dev eth1\\nlink set eth1 up\\n' | nsenter -t {pa} -n ip -batch - &&
             printf 'addr add 10.9.0.2/24 dev eth1\\nlink set eth1 up\\n' | nsenter -t {pb} -n ip -batch -"
        ))
        .await;
    assert!(a.says("ping -c1 -W2 10.9.0.2").await.contains("1 received"));
    let route = fabric.says(&format!("nsenter -t {pa} -n ip -j route get 10.9.0.2")).await;
    assert!(route.contains("\"dev\":\"eth1\""), "{route}");
    // A namespace of its own, as a segment or an unseen host has.
    assert_eq!(fabric.says("unshare -n ip -br link").await.split_whitespace().next(), Some("lo"));
    assert!(fabric.says(&format!("(sleep 0.5; nsenter -t {pa} -n ping -i 0.5 -c15 10.9.0.2 >/dev/null 2>&1) & nsenter -t {pb} -n timeout 10 tcpdump -ni eth1 -c1 icmp")).await.contains("10.9.0.1 > 10.9.0.2"));
    a.says("umask 077; echo 42 > /tmp/mine").await;
    assert_eq!(fabric.says(&format!("cat /proc/{pa}/root/tmp/mine")).await, "42");
    fabric.says(&format!("cat /proc/{pa}/root/sys/fs/cgroup/memory/memory.usage_in_bytes /proc/{pa}/root/sys/fs/cgroup/memory.current 2>/dev/null | grep -q '[0-9]'")).await;
    fabric.says(&format!("nsenter -t {pa} -n nft add table inet t")).await;
    fabric.says(&format!("nsenter -t {pa} -n tc qdisc add dev eth1 root tbf rate 1mbit burst 32k latency 100ms")).await;
}
