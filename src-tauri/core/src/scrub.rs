//! Personal data and secrets out, before anything is hashed, signed or sent. The only maker of [`Scrubbed`].
//!
//! Replacement is deterministic and says what stood there (`[email]`, `[private key]`). What belongs to the lab stays:
//! seeded values, private and documentation addresses, reserved names; it is no person's, and judges need it.

use regex::{Captures, Regex, RegexBuilder};
use std::net::IpAddr;
use std::sync::OnceLock;

/// Something that went through a [`Scrubber`]. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scrubbed<T>(T);

impl<T> Scrubbed<T> {
    pub fn get(&self) -> &T {
        &self.0
    }

    pub fn into_inner(self) -> T {
        self.0
    }
}

/// What can be scrubbed: each part by a [`Scrubber`], the structure kept.
pub trait Scrub: Sized {
    fn scrub(self, scrubber: &Scrubber) -> Self;
}

/// What is known of the laptop and of the lab. I/O-free: the caller looks these up.
#[derive(Clone, Debug, Default)]
pub struct Scrubber {
    /// (text, replacement), longest first.
    names: Vec<(String, &'static str)>,
    /// Values of the lab that must survive as they are.
    keep: Vec<String>,
}

impl Scrubber {
    /// `home`: the user's home folder, `user`: the account name, `host`: the laptop's name. Names shorter than three
    /// characters and those that say nothing (`root`, `user`, `localhost`, …) are left alone: replacing them would hurt
    /// the evidence and protect nobody.
    pub fn new(home: &str, user: &str, host: &str) -> Self {
        let telling = |s: &str| {
            const COMMON: [&str; 10] =
                ["root", "user", "admin", "localhost", "debian", "ubuntu", "learner", "host", "laptop", "student"];
            s.len() >= 3 && !COMMON.contains(&s.to_ascii_lowercase().as_str())
        };
        let mut names = Vec::new();
        let home = home.trim_end_matches('/');
        if home.len() > 1 && home != "/root" {
            names.push((home.to_owned(), "[home]"));
        }
        if telling(user) {
            names.push((user.to_owned(), "[user]"));
        }
        if telling(host) {
            names.push((host.to_owned(), "[host]"));
        }
        names.sort_by_key(|(n, _)| std::cmp::Reverse(n.len()));
        Self { names, keep: Vec::new() }
    }

    /// Values of the lab (from its seed): a secret or address equal to one of them stays.
    #[must_use]
    pub fn keep(mut self, values: impl IntoIterator<Item = String>) -> Self {
        self.keep.extend(values.into_iter().filter(|v| !v.is_empty()));
        self.keep.sort();
        self.keep.dedup();
        self
    }

    pub fn apply<T: Scrub>(&self, value: T) -> Scrubbed<T> {
        Scrubbed(value.scrub(self))
    }

    /// Addresses of machines and mailboxes that the lab itself names (its template, its seed) are nobody's, wherever they
    /// come up: all that stand in this text are kept.
    #[must_use]
    pub fn belongs_to_the_lab(self, text: &str) -> Self {
        let named = rules().into_iter().flatten().filter(|r| matches!(r.marker, "[email]" | "[address]"));
        let found: Vec<String> = named.flat_map(|r| r.pattern.find_iter(text)).map(|m| m.as_str().to_owned()).collect();
        self.keep(found)
    }

    fn keeps(&self, found: &str) -> bool {
        self.keep.binary_search_by(|k| k.as_str().cmp(found)).is_ok()
    }

    fn text(&self, text: &str) -> String {
        let mut out = text.to_owned();
        let Some(rules) = rules() else { return "[withheld: the redaction rules did not load]".into() };
        for rule in rules {
            out = rule
                .pattern
                .replace_all(&out, |c: &Captures<'_>| {
                    let whole = c.get(0).map_or("", |m| m.as_str());
                    let secret = c.name("secret").map_or(whole, |m| m.as_str());
                    if self.keeps(secret) || (rule.spare)(secret) {
                        return whole.to_owned();
                    }
                    let before = c.name("before").map_or("", |m| m.as_str());
                    format!("{before}{}", rule.marker)
                })
                .into_owned();
        }
        // Names last: inside an address or a token they would break the shape that the rules know.
        for (name, marker) in &self.names {
            out = replace_word(&out, name, marker);
        }
        out
    }
}

/// A name as a word of its own: not within a longer word that happens to contain it.
fn replace_word(text: &str, name: &str, marker: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before: Option<char> = None;
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    while let Some(at) = rest.find(name) {
        let (head, from) = rest.split_at(at);
        let (found, after) = from.split_at(name.len());
        let left = head.chars().next_back().or(before);
        out.push_str(head);
        if left.is_some_and(inside) || after.chars().next().is_some_and(inside) {
            out.push_str(found);
        } else {
            out.push_str(marker);
        }
        before = found.chars().next_back();
        rest = after;
    }
    out.push_str(rest);
    out
}

struct Rule {
    pattern: Regex,
    marker: &'static str,
    /// Finds that are no secret after all.
    spare: fn(&str) -> bool,
}

fn rules() -> Option<&'static [Rule]> {
    static RULES: OnceLock<Option<Vec<Rule>>> = OnceLock::new();
    type Row = (&'static str, &'static str, fn(&str) -> bool);
    fn never(_: &str) -> bool {
        false
    }
    RULES
        .get_or_init(|| {
            let table: [Row; 8] = [
                // RFC 7468 and OpenSSH; an unfinished block (cut evidence) up to the end.
                (
                    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\z)",
                    "[private key]",
                    never,
                ),
                // Tokens with a fixed prefix: GitHub, GitLab, Slack, AWS, Google, OpenAI-like, age; JWT and PASETO by shape.
                (
                    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|sk-[A-Za-z0-9_-]{20,}|AGE-SECRET-KEY-1[0-9A-Z]{50,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}|v[1-4]\.(?:public|local)\.[A-Za-z0-9_-]{32,})",
                    "[token]",
                    never,
                ),
                (r"(?i)(?P<before>\b(?:authorization|proxy-authorization)\s*:\s*(?:bearer|basic|token)\s+)(?P<secret>[A-Za-z0-9._~+/=-]{6,})", "[token]", never),
                // user:password@host in URLs.
                (r"(?P<before>\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,64}:)(?P<secret>[^\s/@]{1,128})@", "[password]@", never),
                // Configuration forms: password = x, secret: x, passwd "x" and FRR's `password x`.
                (
                    r#"(?im)(?P<before>\b(?:[a-z0-9]+[_-])?(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?token|auth[_-]?token|psk)["']?\s*[=:]\s*["']?)(?P<secret>[^\s"',;}]{4,})"#,
                    "[password]",
                    word_of_configuration,
                ),
                // Hashes in shadow(5).
                (r"(?P<before>:)(?P<secret>\$(?:y|[1256]|2[aby]|7|gy)\$[^\s:]{8,})", "[password hash]", never),
                (r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}\b", "[email]", reserved_mail),
                (r"(?i)\b(?:\d{1,3}\.){3}\d{1,3}(?:\.in-addr\.arpa)?\b", "[address]", not_personal_address),
            ];
            table
                .into_iter()
                .map(|(pattern, marker, spare)| {
                    let pattern = RegexBuilder::new(pattern).size_limit(8 << 20).build().ok()?;
                    Some(Rule { pattern, marker, spare })
                })
                .collect()
        })
        .as_deref()
}

/// Words that stand where a password would, and are settings (sshd_config, nsswitch, PAM).
fn word_of_configuration(found: &str) -> bool {
    ["yes", "true", "false", "none", "null", "no", "prohibit-password", "files", "required", "optional", "sufficient"]
        .contains(&found.to_ascii_lowercase().as_str())
        || found.starts_with('[')
}

/// Names set aside for examples and private use (RFC 2606, 6761, 6762, 8375, ICANN's .internal) are nobody's mailbox, and
/// labs live under them. `user@host.of.an.algorithm` of OpenSSH is no mailbox either.
fn reserved_mail(found: &str) -> bool {
    let domain = found.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    let reserved = [
        "test",
        "example",
        "invalid",
        "localhost",
        "local",
        "internal",
        "lan",
        "lab",
        "home.arpa",
        "example.com",
        "example.net",
        "example.org",
    ];
    reserved.iter().any(|r| domain == *r || domain.ends_with(&format!(".{r}")))
        || ["openssh.com", "libssh.org", "lysator.liu.se"].contains(&domain.as_str())
}

/// Private, documentation, loopback, link-local, multicast and other special ranges (RFC 6890) identify nobody.
fn not_personal_address(found: &str) -> bool {
    // Below in-addr.arpa the octets stand in the opposite order (RFC 1035 3.5).
    let parsed = match found.to_ascii_lowercase().strip_suffix(".in-addr.arpa") {
        Some(reversed) => reversed.split('.').rev().collect::<Vec<_>>().join(".").parse(),
        None => found.parse::<IpAddr>(),
    };
    let Ok(IpAddr::V4(a)) = parsed else { return true };
    let [one, two, three, _] = a.octets();
    a.is_private()
        || a.is_loopback()
        || a.is_link_local()
        || a.is_documentation()
        || a.is_multicast()
        || a.is_unspecified()
        || one == 0
        || one >= 240
        || one == 255
        || (one == 100 && (64..128).contains(&two))
        || (one == 198 && (18..20).contains(&two))
        || (one == 192 && two == 0 && three == 0)
}

impl Scrub for String {
    fn scrub(self, scrubber: &Scrubber) -> Self {
        scrubber.text(&self)
    }
}

/// Text is scrubbed; bytes that are not UTF-8 run by run between the foreign bytes.
impl Scrub for Vec<u8> {
    fn scrub(self, scrubber: &Scrubber) -> Self {
        match String::from_utf8(self) {
            Ok(text) => scrubber.text(&text).into_bytes(),
            Err(e) => {
                let mut out = Vec::new();
                for chunk in e.as_bytes().utf8_chunks() {
                    out.extend_from_slice(scrubber.text(chunk.valid()).as_bytes());
                    out.extend_from_slice(chunk.invalid());
                }
                out
            }
        }
    }
}

impl<T: Scrub> Scrub for Vec<T> {
    fn scrub(self, scrubber: &Scrubber) -> Self {
        self.into_iter().map(|t| t.scrub(scrubber)).collect()
    }
}

impl Scrub for serde_json::Value {
    fn scrub(self, scrubber: &Scrubber) -> Self {
        use serde_json::Value;
        match self {
            Value::String(s) => Value::String(scrubber.text(&s)),
            Value::Array(a) => Value::Array(a.into_iter().map(|v| v.scrub(scrubber)).collect()),
            Value::Object(o) => Value::Object(o.into_iter().map(|(k, v)| (k, v.scrub(scrubber))).collect()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn scrub(text: &str) -> String {
        Scrubber::new("/home/mara", "mara", "marabook")
            .keep(["s3eded-Pass".to_owned(), "203.0.114.9".to_owned()])
            .apply(text.to_owned())
            .into_inner()
    }

    #[test]
    fn secrets_go() {
        for (before, after) in [
            (
                "x\n-----BEGIN OPENSSH PRIVATE KEY-----\nabc\ndef\n-----END OPENSSH PRIVATE KEY-----\ny",
                "x\n[private key]\ny",
            ),
            ("-----BEGIN RSA PRIVATE KEY-----\nabc", "[private key]"),
            ("token ghp_0123456789abcdefghijABCDEFGHIJ012345 end", "token [token] end"),
            ("Authorization: Bearer abcdef.ghi", "Authorization: Bearer [token]"),
            ("url=http://joe:hunter2@10.0.0.1/x", "url=http://joe:[password]@10.0.0.1/x"),
            ("db_password = \"hunter22\"", "db_password = \"[password]\""),
            ("root:$y$j9T$abcdefgh$ijklmnop:19000:", "root:[password hash]:19000:"),
            ("mail mara.k@gmail.com now", "mail [email] now"),
            ("from 8.8.4.4 to 10.0.0.1", "from [address] to 10.0.0.1"),
            ("98.111.79.10.in-addr.arpa. PTR", "98.111.79.10.in-addr.arpa. PTR"),
            ("4.4.8.8.in-addr.arpa. PTR", "[address]. PTR"),
            ("/home/mara/x and mara@marabook:~$", "[home]/x and [user]@[host]:~$"),
        ] {
            assert_eq!(scrub(before), after);
        }
    }

    #[test]
    fn what_belongs_to_the_lab_stays() {
        for text in [
            "hostmaster@corp.example",
            "PasswordAuthentication no",
            "permitrootlogin: prohibit-password",
            "password = s3eded-Pass",
            "203.0.114.9",
            "192.0.2.7 100.64.0.1 255.255.255.0 224.0.0.5",
            "ssh-ed25519-cert-v01@openssh.com",
            "tamara marabel marabookish",
            "version 1.2.3.4000",
            "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----",
            "ssh-ed25519 AAAAC3Nz root@srv",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn scrubbing_twice_changes_nothing_more() {
        let text = "password: hunter22\nmara@x.com 9.9.9.9 http://a:b1@h/ Authorization: Basic Zm9vOmJhcg==";
        assert_eq!(scrub(&scrub(text)), scrub(text));
    }

    #[test]
    fn what_the_lab_names_is_kept_everywhere() {
        let lab = r#"{"to":"8.8.8.8","mail":"boss@corp.com","key":"-----BEGIN PRIVATE KEY-----x"}"#;
        let scrubber = Scrubber::default().belongs_to_the_lab(lab);
        let text = "8.8.8.8 9.9.9.9 boss@corp.com me@corp.com -----BEGIN PRIVATE KEY-----x".to_owned();
        assert_eq!(scrubber.apply(text).into_inner(), "8.8.8.8 [address] boss@corp.com [email] [private key]");
    }

    #[test]
    fn structure_survives() {
        let value = serde_json::json!({"password": ["a@b.com", 3], "mara": "mara"});
        let out = Scrubber::new("/home/mara", "mara", "x").apply(value).into_inner();
        assert_eq!(out, serde_json::json!({"password": ["[email]", 3], "mara": "[user]"}));
        let bytes = [b"mara \xff ".as_slice(), b"8.8.8.8"].concat();
        let out = Scrubber::new("/home/mara", "mara", "x").apply(bytes).into_inner();
        assert_eq!(out, b"[user] \xff [address]");
    }

    #[test]
    fn telling_names_only() {
        assert_eq!(
            Scrubber::new("/root", "root", "localhost").apply("root /root localhost".to_owned()).into_inner(),
            "root /root localhost"
        );
    }
}
