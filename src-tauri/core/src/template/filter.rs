//! Packet filters as pcap-filter(7) writes them, looked over word by word: whether the kernel takes one is known only where it
//! is compiled, but a misspelt word or an open bracket is better found when the lab loads than when a learner is checked.

const WORDS: &str = "and or not host net mask port portrange src dst ether gateway broadcast multicast less greater proto protochain \
    ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp igrp pim ah esp vrrp carp stp vlan mpls pppoed pppoes llc inbound outbound \
    aarp decnet iso tr wlan fddi link lat loopback type subtype dir addr1 addr2 addr3 addr4 ra ta len \
    icmptype icmpcode icmp-echoreply icmp-unreach icmp-sourcequench icmp-redirect icmp-echo icmp-routeradvert \
    icmp-routersolicit icmp-timxceed icmp-paramprob icmp-tstamp icmp-tstampreply icmp-ireq icmp-ireqreply icmp-maskreq \
    icmp-maskreply icmp6type icmp6code icmp6-echo icmp6-echoreply icmp6-neighborsolicit icmp6-neighboradvert \
    icmp6-routersolicit icmp6-routeradvert icmp6-redirect icmp6-packettoobig icmp6-timeexceeded icmp6-parameterproblem \
    icmp6-destinationunreach tcpflags tcp-fin tcp-syn tcp-rst tcp-push tcp-ack tcp-urg tcp-ece tcp-cwr \
    domain http https ssh ntp snmp syslog telnet ftp smtp bootps bootpc tftp bgp";

/// What is wrong with a filter, if anything that can be seen from here.
pub fn fault(filter: &str) -> Option<String> {
    let mut open = Vec::new();
    for c in filter.chars() {
        match c {
            '(' => open.push(')'),
            '[' => open.push(']'),
            ')' | ']' if open.pop() != Some(c) => return Some(format!("“{c}” closes nothing")),
            _ => {}
        }
    }
    if let Some(c) = open.pop() {
        return Some(format!("“{c}” is missing"));
    }
    let words = || filter.split(|c: char| c.is_whitespace() || "()[]!&|=<>+*^%".contains(c)).filter(|w| !w.is_empty());
    if let Some(unknown) = words().find(|w| !known(w)) {
        return Some(format!("“{unknown}” is neither a word of packet filters nor an address or a number"));
    }
    let end = filter.trim_end();
    let open_ended = ["and", "or", "not", "src", "dst", "host", "net", "port", "proto"];
    if end.ends_with(['&', '|', '!', '=', '<', '>'])
        || words().last().is_some_and(|w| open_ended.contains(&w) && end.ends_with(w))
    {
        return Some("something is missing at its end".into());
    }
    None
}

fn known(word: &str) -> bool {
    let number = word.chars().any(|c| c.is_ascii_digit() || c == ':')
        && word.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/' | '-' | 'x'));
    number || WORDS.split_whitespace().any(|w| w == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_told_from_mistakes() {
        for good in [
            "",
            "ip proto 89 and src host 10.0.0.1",
            "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
            "vlan 10 && !(udp port 53 or portrange 8000-8010)",
            "ether host 02:00:00:00:00:01 and not net 10.0.0.0/8",
            "ip6 and dst host 2001:db8::1",
            "ip[6:2] & 0x1fff = 0",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in ["osfp", "tcp port", "(udp", "udp)", "tcp[13", "host 10.0.0.1 and", "port 53 ||", "host bad"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
