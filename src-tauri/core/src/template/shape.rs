//! What the words of the language may look like.

/// A DNS label (RFC 1123 §2.1) of at most `max` characters, lower case.
pub fn is_label(s: &str, max: usize) -> bool {
    (1..=max).contains(&s.len())
        && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !s.starts_with('-')
        && !s.ends_with('-')
}

/// Six hexadecimal bytes, not multicast, not zero.
pub fn is_mac(s: &str) -> bool {
    let bytes: Option<Vec<u8>> =
        s.split(':').map(|b| if b.len() == 2 { u8::from_str_radix(b, 16).ok() } else { None }).collect();
    bytes.is_some_and(|b| b.len() == 6 && b.first().is_some_and(|f| f & 1 == 0) && b.iter().any(|b| *b != 0))
}

/// `1.2.3`, optionally with `-pre.release` and `+build` (semver.org 2.0.0).
pub fn is_semver(s: &str) -> bool {
    let (s, build) = s.split_once('+').map_or((s, None), |(s, b)| (s, Some(b)));
    let (core, pre) = s.split_once('-').map_or((s, None), |(c, p)| (c, Some(p)));
    let number = |n: &str| n.len() <= 9 && n.parse::<u32>().is_ok_and(|v| v.to_string() == n);
    let words = |w: &str, strict: bool| {
        w.split('.').all(|i| {
            !i.is_empty()
                && i.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
                && !(strict && i.len() > 1 && i.starts_with('0') && i.chars().all(|c| c.is_ascii_digit()))
        })
    };
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|p| words(p, true))
        && build.is_none_or(|b| words(b, false))
}

/// Absolute, without `.`, `..`, empty parts or control characters; the part after the first `/`.
pub fn clean_path(s: &str) -> Option<&str> {
    let rest = s.strip_prefix('/')?;
    let plain = |p: &str| !p.is_empty() && p != "." && p != ".." && !p.chars().any(char::is_control);
    (s.len() <= 255 && rest.split('/').all(plain)).then_some(rest)
}

pub const CAPABILITIES: &[&str] = &[
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

pub const KERNEL_FEATURES: &[&str] =
    &["veth", "bridge", "netem", "8021q", "wireguard", "vrf", "macvlan", "tun", "nftables"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_from_non_words() {
        for (f, good, bad) in [
            (
                is_semver as fn(&str) -> bool,
                vec!["1.0.0", "0.12.3-rc.1+b.7"],
                vec!["1.0", "01.0.0", "1.0.0-", "1.0.0-01", "v1.0.0", ""],
            ),
            (
                is_mac,
                vec!["02:00:00:00:00:01"],
                vec!["01:00:00:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00", "2:0:0:0:0:1"],
            ),
            (|s| clean_path(s).is_some(), vec!["/etc/bind", "/a"], vec!["/", "etc", "/a/../b", "/a//b", "/a/", "/a\n"]),
            (|s| is_label(s, 15), vec!["r1", "dns-zone"], vec!["", "-a", "a-", "A", "a_b", "0123456789abcdef"]),
        ] {
            for s in good {
                assert!(f(s), "{s}");
            }
            for s in bad {
                assert!(!f(s), "{s}");
            }
        }
    }
}
