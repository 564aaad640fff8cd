//! A small internet of our own: a container behind a veth on the host, in addresses that are nobody's (198.18.0.0/15), with
//! resolvers and web servers. The gateway reaches it as it reaches the real one: over its Docker network, translated and
//! forwarded by the host. Goes with its labels; the veth goes with the container.

use crate::bed::*;

pub struct World {
    /// Removes all of it in the end.
    _bed: Bed,
    /// `198.18.<x>`.
    pub net: String,
    dns: String,
    free: String,
}

fn docker(args: &[&str]) -> String {
    let out = std::process::Command::new("docker").args(args).output().unwrap();
    assert!(out.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

impl World {
    /// `.10` allowed.example, `.11` other.example, `.12` every *.mirror.example, all with port 80 and 8080; `.53` the resolver,
    /// `.54` another one; the host itself is `.1`.
    pub async fn new() -> Self {
        let bed = Bed::new();
        let tag = bed.identity.run.clone();
        let taken =
            docker(&["run", "--rm", "--network", "host", "--entrypoint", "ip", "frostgate/tools", "-4", "addr"]);
        let net = (1..250_u32)
            .map(|i| format!("198.18.{}", (u32::from_str_radix(&tag[..4], 16).unwrap() + i) % 250))
            .find(|net| !taken.contains(&format!("{net}.")))
            .unwrap();
        let label = format!("{}={}", label::INSTANCE, bed.identity.instance);
        let sysctl = "net.ipv4.ip_unprivileged_port_start=0";
        let common = ["run", "-d", "--label", &label, "--cap-drop", "ALL", "--sysctl", sysctl];
        let web = docker(
            &[&common[..], &["--network", "none", "--entrypoint", "sleep", "frostgate/tools", "infinity"]].concat(),
        );
        let pid = docker(&["inspect", "-f", "{{.State.Pid}}", &web]);
        let veth = format!("fw{}", &tag[..8]);
        let addresses: String = [10, 11, 12, 53, 54]
            .iter()
            .map(|i| format!("nsenter -t {pid} -n ip addr add {net}.{i}/24 dev eth0; "))
            .collect();
        let wire = format!(
            "set -e; ip link add {veth} type veth peer name eth0 netns {pid}; ip addr add {net}.1/24 dev {veth}; ip link set {veth} up; \
             {addresses} nsenter -t {pid} -n ip link set eth0 up; nsenter -t {pid} -n ip route add default via {net}.1"
        );
        docker(&[
            "run",
            "--rm",
            "--cap-add",
            "NET_ADMIN",
            "--cap-add",
            "SYS_ADMIN",
            "--cap-add",
            "SYS_PTRACE",
            "--security-opt",
            "seccomp=unconfined",
            "--network",
            "host",
            "--pid",
            "host",
            "--entrypoint",
            "sh",
            "frostgate/tools",
            "-c",
            &wire,
        ]);
        for port in [80, 8080] {
            let listen = format!("TCP-LISTEN:{port},fork,reuseaddr");
            let answer = "SYSTEM:echo HTTP/1.0 200 OK; echo; echo world; sleep 0.1";
            docker(&["exec", "-d", &web, "socat", &listen, answer]);
        }
        let share = format!("container:{web}");
        let conf = "cat > /tmp/c; exec dnsmasq --conf-file=/tmp/c --keep-in-foreground --user=root --no-resolv --no-hosts --log-queries --log-facility=-";
        let names = format!(
            "listen-address={net}.53\nlisten-address={net}.54\nbind-interfaces\naddress=/allowed.example/{net}.10\n\
             address=/other.example/{net}.11\naddress=/mirror.example/{net}.12\naddress=/evil.example/{net}.11\n\
             address=/rebind.example/172.17.0.1\naddress=/cgnat.example/100.64.0.9\naddress=/near.example/{net}.1\n\
             txt-record=allowed.example,smuggled\ntxt-record=secret.evil.example,smuggled\n"
        );
        let run = [
            "run",
            "-d",
            "--label",
            &label,
            "--cap-drop",
            "ALL",
            "--cap-add",
            "SETUID",
            "--cap-add",
            "SETGID",
            "--network",
            &share,
            "--tmpfs",
            "/tmp",
            "--entrypoint",
            "sh",
            "frostgate/gateway",
            "-c",
        ];
        let feed = format!("printf '{names}' | {{ {conf}; }}");
        let dns = docker(&[&run[..], &[&feed]].concat());
        let free = docker(&[
            "run",
            "-d",
            "--label",
            &label,
            "--network",
            "bridge",
            "--entrypoint",
            "sleep",
            "frostgate/host",
            "infinity",
        ]);
        let world = Self { _bed: bed, net, dns, free };
        eventually("the world answers", || async {
            let net = &world.net;
            world.free(&format!("curl -sf -m 2 http://{net}.10/ && dig +short +time=1 +tries=1 @{net}.53 allowed.example | grep -q {net}.10"))
        })
        .await;
        world
    }

    /// Whether it works where nothing stands in the way: the positive control. Its short limits are those of the tries; on a
    /// busy machine it may need more than one.
    pub fn free(&self, script: &str) -> bool {
        (0..5).any(|_| {
            let tried =
                std::process::Command::new("docker").args(["exec", &self.free, "sh", "-c", script]).output().unwrap();
            tried.status.success()
        })
    }

    /// Every question that reached the world's resolvers.
    pub fn asked(&self) -> String {
        let out = std::process::Command::new("docker").args(["logs", &self.dns]).output().unwrap();
        String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned()
    }

    pub fn opened(&self) -> Opened {
        let door = |s: &str| Door::try_from(s.to_owned()).unwrap();
        let allow = |names: &[&str], ports: &[&str]| Allow {
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            ports: ports.iter().map(|p| door(p)).collect(),
        };
        Opened {
            digest: "test".into(),
            allow: vec![
                allow(&["allowed.example", "rebind.example", "cgnat.example", "near.example"], &["tcp/80"]),
                allow(&["*.mirror.example"], &["tcp/8080"]),
            ],
            resolvers: vec![format!("{}.53", self.net).parse().unwrap()],
            near: vec![format!("{}.1/32", self.net).parse().unwrap()],
        }
    }

    /// pc and mallory on a segment with the gateway.
    pub fn lab(&self) -> Scenario {
        lab(Egress::Allowlist { profile: "test".into(), opened: Some(self.opened()) })
    }
}

pub fn lab(egress: Egress) -> Scenario {
    let mut scenario = ring(2);
    let mut pc = node("pc", Role::Client);
    let mut mallory = node("mallory", Role::Attacker);
    (mallory.image, mallory.enter) = ("tools".into(), false);
    let mut members = vec![endpoint("pc", "eth1", "10.77.0.2/24"), endpoint("mallory", "eth1", "10.77.0.3/24")];
    (pc.gateway, mallory.gateway) = (Some("10.77.0.1".parse().unwrap()), Some("10.77.0.1".parse().unwrap()));
    scenario.nodes = vec![pc, mallory];
    if egress != Egress::Deny {
        let mut gateway = node(GATEWAY, Role::Gateway);
        (gateway.image, gateway.enter, gateway.caps, gateway.writable) = ("gateway".into(), false, vec![], vec![]);
        gateway.forwarding = true;
        gateway.ready = vec![Ready::Listen { proto: Proto::Udp, port: 53 }];
        scenario.nodes.push(gateway);
        members.push(endpoint(GATEWAY, "eth1", "10.77.0.1/24"));
    }
    scenario.links = vec![link("lan", members)];
    scenario.egress = egress;
    scenario
}
