//! What goes into `ip -batch`, as pure text: no clock, no process, no kernel. Everything that a node cannot be trusted
//! with (bridges, ports, shaping) lies on the fabric's side; inside a node there are only plain interfaces.
//!
//! A link is a bridge in the fabric's own network namespace, with one veth per endpoint: `b<link>` and
//! `p<link>.<endpoint>`. Point-to-point links have one too: so a node's restart does not take its neighbour's
//! interface (and what a learner configured there) away, a link can be cut, shaped, counted and captured out of the
//! learner's reach, and each node can be wired alone, as soon as it runs. Measured with 25 bridges and 50 pairs
//! on two cores: 0.1 s.

use ipnet::IpNet;
use std::fmt::Write;
use std::net::IpAddr;

/// A link: a bridge that never speaks for itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// Position of the link in the scenario; names the bridge.
    pub index: usize,
    /// The template's id.
    pub link: String,
    pub mtu: Option<u32>,
    pub shape: Shape,
    pub ports: Vec<Port>,
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub link: usize,
    pub end: usize,
    pub node: String,
    pub interface: String,
    pub mac: String,
    pub mtu: Option<u32>,
    pub addresses: Vec<IpNet>,
    pub shape: Shape,
    /// User-space switches see packets before a checksum would be filled in.
    pub checksum_off: bool,
}

impl Port {
    /// The port's name on the fabric's side.
    pub fn name(&self) -> String {
        port_name(self.link, self.end)
    }
}

pub fn bridge_name(link: usize) -> String {
    format!("b{link}")
}

pub fn port_name(link: usize, end: usize) -> String {
    format!("p{link}.{end}")
}

/// Impairment of one direction, on the egress of each port (towards the node).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    pub rate_kbit: Option<u64>,
    pub delay_ms: Option<u32>,
    pub jitter_ms: Option<u32>,
    pub loss_percent: Option<f64>,
}

impl Shape {
    /// Delay needs sch_netem; loss has an nft variant, rate has tbf.
    pub fn needs_netem(&self) -> bool {
        self.delay_ms.is_some_and(|ms| ms > 0) || self.jitter_ms.is_some_and(|ms| ms > 0)
    }

    pub fn needs_nft(&self, netem: bool) -> bool {
        !netem && self.loss_percent.is_some_and(|p| p > 0.0)
    }

    /// `tc -batch` lines for a port.
    pub fn tc(&self, port: &str, netem: bool) -> String {
        let mut out = String::new();
        let loss = self.loss_percent.filter(|p| *p > 0.0);
        let by_netem = self.needs_netem() || (netem && loss.is_some());
        if by_netem {
            let _ = write!(out, "qdisc replace dev {port} root handle 1: netem limit 5000");
            if let Some(delay) = self.delay_ms.or(self.jitter_ms.map(|_| 0)) {
                let _ = write!(out, " delay {delay}ms");
                if let Some(jitter) = self.jitter_ms.filter(|j| *j > 0) {
                    let _ = write!(out, " {jitter}ms");
                }
            }
            if let Some(loss) = loss {
                let _ = write!(out, " loss {loss}%");
            }
            if let Some(rate) = self.rate_kbit {
                let _ = write!(out, " rate {rate}kbit");
            }
            out.push('\n');
        } else if let Some(rate) = self.rate_kbit {
            // Burst: 10 ms of the rate, at least one large frame plus headroom.
            let burst = (rate * 1000 / 8 / 100).max(3200);
            let _ =
                writeln!(out, "qdisc replace dev {port} root handle 1: tbf rate {rate}kbit burst {burst} latency 50ms");
        }
        out
    }
}

/// `ip -batch` lines that set up all bridges. Nothing answers on them: no address, no IPv6, no spanning tree of their own,
/// no multicast snooping, and link-local control frames (LLDP and friends) pass as on a cable.
pub fn bridges(all: &[Bridge]) -> String {
    let mut out = String::new();
    for bridge in all {
        let name = bridge_name(bridge.index);
        let mtu = bridge.mtu.map(|m| format!(" mtu {m}")).unwrap_or_default();
        let _ = writeln!(out, "link add {name}{mtu} type bridge stp_state 0 mcast_snooping 0 group_fwd_mask 0xfff8");
        let _ = writeln!(out, "link set {name} up");
    }
    out
}

/// `ip -batch` lines for the fabric's side of one node's ports. `@state<link>@` is filled in by the broker: `down` while
/// the link is cut, else `up`. `handle` is a path to the node's network namespace.
pub fn outside(ports: &[&Port], handle: &str) -> String {
    let mut out = String::new();
    for port in ports {
        let mtu = port.mtu.map(|m| format!(" mtu {m}")).unwrap_or_default();
        let (name, bridge) = (port.name(), bridge_name(port.link));
        let _ = writeln!(
            out,
            "link add {name}{mtu} type veth peer name {}{mtu} address {} netns {handle}",
            port.interface, port.mac
        );
        let _ = writeln!(out, "link set {name} master {bridge} @state{}@", port.link);
    }
    out
}

/// Lines that take a node's old ports away (each may fail: the kernel may have been quicker).
pub fn leftovers(ports: &[&Port]) -> String {
    ports.iter().fold(String::new(), |mut out, port| {
        let _ = writeln!(out, "link del {}", port.name());
        out
    })
}

/// `ip -batch` lines inside the node; the last one tells its init to go on.
pub fn inside(ports: &[&Port], gateway: Option<IpAddr>) -> String {
    let mut out = String::from("link set lo up\n");
    for port in ports {
        for address in &port.addresses {
            let dad = if address.addr().is_ipv6() { " nodad" } else { "" };
            let broadcast = match address {
                IpNet::V4(net) if net.prefix_len() < 31 => " brd +",
                _ => "",
            };
            let _ = writeln!(out, "addr add {address}{broadcast} dev {}{dad}", port.interface);
        }
        let _ = writeln!(out, "link set {} up", port.interface);
    }
    if let Some(gateway) = gateway {
        let family = if gateway.is_ipv6() { "-6 " } else { "" };
        let _ = writeln!(out, "{family}route replace default via {gateway}");
    }
    out.push_str("link set lo alias forge-wired\n");
    out
}

/// nft rules for loss where the kernel has no netem: dropped at random when leaving through a port.
pub fn loss_rules(ports: &[(String, f64)]) -> String {
    let mut out = String::from("table bridge forge {\n chain loss {\n  type filter hook forward priority 0;\n");
    for (port, percent) in ports {
        let of_ten_thousand = (percent * 100.0).round().clamp(0.0, 10_000.0) as u32;
        let _ = writeln!(out, "  oifname \"{port}\" numgen random mod 10000 < {of_ten_thousand} counter drop");
    }
    out.push_str(" }\n}\n");
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn port(link: usize, end: usize, interface: &str, addresses: &[&str]) -> Port {
        Port {
            link,
            end,
            node: "r1".into(),
            interface: interface.into(),
            mac: "02:00:00:00:00:01".into(),
            mtu: None,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            shape: Shape::default(),
            checksum_off: false,
        }
    }

    #[test]
    fn a_node_with_two_ports() {
        let mut wan = port(4, 1, "eth2", &["2001:db8::1/64", "10.0.0.0/31"]);
        wan.mtu = Some(1400);
        let lan = port(0, 0, "eth1", &["192.168.1.1/24"]);
        let ports = [&lan, &wan];
        assert_eq!(
            outside(&ports, "/proc/self/fd/500"),
            "link add p0.0 type veth peer name eth1 address 02:00:00:00:00:01 netns /proc/self/fd/500\n\
             link set p0.0 master b0 @state0@\n\
             link add p4.1 mtu 1400 type veth peer name eth2 mtu 1400 address 02:00:00:00:00:01 netns /proc/self/fd/500\n\
             link set p4.1 master b4 @state4@\n"
        );
        assert_eq!(
            inside(&ports, Some("192.168.1.254".parse().unwrap())),
            "link set lo up\naddr add 192.168.1.1/24 brd + dev eth1\nlink set eth1 up\n\
             addr add 2001:db8::1/64 dev eth2 nodad\naddr add 10.0.0.0/31 dev eth2\nlink set eth2 up\n\
             route replace default via 192.168.1.254\nlink set lo alias forge-wired\n"
        );
        assert_eq!(leftovers(&ports), "link del p0.0\nlink del p4.1\n");
    }

    #[test]
    fn the_alias_is_always_last_even_without_ports() {
        assert_eq!(inside(&[], None), "link set lo up\nlink set lo alias forge-wired\n");
        assert!(inside(&[], Some("fe80::1".parse().unwrap())).contains("-6 route replace default via fe80::1"));
    }

    #[test]
    fn shapes() {
        let cases = [
            (Shape::default(), true, ""),
            (
                Shape { rate_kbit: Some(1000), ..Shape::default() },
                false,
                "qdisc replace dev p root handle 1: tbf rate 1000kbit burst 3200 latency 50ms\n",
            ),
            (
                Shape { rate_kbit: Some(100_000), ..Shape::default() },
                true,
                "qdisc replace dev p root handle 1: tbf rate 100000kbit burst 125000 latency 50ms\n",
            ),
            (
                Shape { delay_ms: Some(20), jitter_ms: Some(3), loss_percent: Some(0.5), rate_kbit: Some(512) },
                true,
                "qdisc replace dev p root handle 1: netem limit 5000 delay 20ms 3ms loss 0.5% rate 512kbit\n",
            ),
            (
                Shape { loss_percent: Some(2.0), ..Shape::default() },
                true,
                "qdisc replace dev p root handle 1: netem limit 5000 loss 2%\n",
            ),
            (Shape { loss_percent: Some(2.0), ..Shape::default() }, false, ""),
        ];
        for (shape, netem, expected) in cases {
            assert_eq!(shape.tc("p", netem), expected, "{shape:?}");
        }
        assert!(Shape { delay_ms: Some(1), ..Shape::default() }.needs_netem());
        assert!(!Shape { loss_percent: Some(1.0), ..Shape::default() }.needs_netem());
        assert!(Shape { loss_percent: Some(1.0), ..Shape::default() }.needs_nft(false));
        assert!(
            loss_rules(&[("p1.0".into(), 2.5)]).contains("oifname \"p1.0\" numgen random mod 10000 < 250 counter drop")
        );
    }

    #[test]
    fn bridges_are_mute() {
        let bridge = Bridge { index: 3, link: "lan".into(), mtu: Some(9000), shape: Shape::default(), ports: vec![] };
        assert_eq!(
            bridges(&[bridge]),
            "link add b3 mtu 9000 type bridge stp_state 0 mcast_snooping 0 group_fwd_mask 0xfff8\nlink set b3 up\n"
        );
    }
}
