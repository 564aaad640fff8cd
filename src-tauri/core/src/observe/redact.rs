//! Takes secrets out of text that is about to be logged: by their shape (keys, tokens, credentials in URLs) and by the
//! name they go under (`password=…`, `"token": "…"`). The last line of defence, not a licence to log secrets.

use regex::{Captures, Regex};
use std::borrow::Cow;
use std::sync::LazyLock;

/// What stands where a secret stood.
pub const MASK: &str = "[redacted]";

/// Names whose values are secret, wherever they stand in a longer name (`admin_password`, `X-Auth-Token`).
const NAMES: &str = "passw(?:or)?d|passwd|passphrase|secret|token|join[_-]?code|authorization|cookie|api[_-]?key|private[_-]?key|seed_key|credential";

struct Rule {
    pattern: Option<Regex>,
    /// Which capture group survives in front of the mask (0 = none).
    keep: usize,
}

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let rule = |pattern: &str, keep| Rule { pattern: Regex::new(pattern).ok(), keep };
    vec![
        rule(r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)", 0),
        // PASETO tokens and PASERK secret keys, JSON web tokens.
        rule(r"\b(?:v[1-4]|k[1-4])\.(?:public|local|secret|local-wrap|secret-pw)\.[A-Za-z0-9_.\-]+", 0),
        rule(r"\beyJ[A-Za-z0-9_\-]{5,}\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]*", 0),
        rule(r#"(?i)(\bbearer\s+|authorization\\?["']?\s*[:=]\s*\\?["']?basic\s+)[A-Za-z0-9._~+/=\-]{6,}"#, 1),
        rule(r#"(?i)(\b(?:set-)?cookie\\?["']?\s*[:=]\s*\\?["']?)[^"'\\\r\n]+"#, 1),
        // A scoreboard's one-time codes, as they are given out.
        rule(r"\b[A-HJKMNP-Z2-9]{4}(?:-[A-HJKMNP-Z2-9]{4}){3}\b", 0),
        // A password with an @ in it that was not written as %40: up to the last one.
        rule(r#"(?i)(\b(?:postgres(?:ql)?|nats|tls)://[^\s/:@"]*:)[^\s"]*@"#, 1),
        rule(r#"([a-zA-Z][a-zA-Z0-9+.\-]*://[^\s/:@"]*:)[^\s/@"]+@"#, 1),
        // "name": "value", name = 'value', Name("value"): quoted, with escapes.
        rule(
            &format!(
                r#"(?i)([A-Za-z0-9_\-]*(?:{NAMES})[A-Za-z0-9_\-]*(?:\\?")?\s*(?:[:=]|=>)\s*(?:Some\()?\\?["'])(?:[^"'\\]|\\[^"'])+"#
            ),
            1,
        ),
        rule(&format!(r#"(?i)(\b[A-Za-z0-9_\-]*(?:{NAMES})[A-Za-z0-9_\-]*\s*[:=]\s*)[^\s"'\\,;&(){{}}\[\]]+"#), 1),
    ]
});

static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i)(?:{NAMES})")).ok());

/// Whether what goes under this name is to be masked unseen.
pub fn secret_name(name: &str) -> bool {
    // Ids and counts of tokens are what one greps for; they are not the token.
    let harmless = name.ends_with("_id") || name.ends_with("_count") || name.ends_with("_digest");
    !harmless && NAME.as_ref().is_none_or(|n| n.is_match(name))
}

/// The text without what looks like a secret. Borrowed when nothing did.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut out = Cow::Borrowed(text);
    for rule in RULES.iter() {
        // A rule that does not compile would let secrets through: log nothing rather than that (a test compiles them all).
        let Some(pattern) = &rule.pattern else { return Cow::Borrowed(MASK) };
        let done = pattern.replace_all(&out, |found: &Captures| {
            let kept = if rule.keep == 0 { "" } else { found.get(rule.keep).map_or("", |m| m.as_str()) };
            let tail = if found.get(0).is_some_and(|m| m.as_str().ends_with('@')) { "@" } else { "" };
            format!("{kept}{MASK}{tail}")
        });
        if let Cow::Owned(done) = done {
            out = Cow::Owned(done);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn every_rule_compiles() {
        assert!(RULES.iter().all(|r| r.pattern.is_some()));
        assert!(NAME.is_some());
    }

    #[test]
    fn secrets_go_and_their_surroundings_stay() {
        for (text, secret, stays) in [
            ("key -----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY----- end", "MC4CAQAw", " end"),
            ("cut -----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNz", "b3BlbnNz", "cut "),
            ("sat=v4.public.eyJqdGkiOiJ4In0_abc-DEF done", "eyJqdGki", " done"),
            ("jwt eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln end", "eyJzdWIi", " end"),
            ("Authorization: Bearer abcdef123456", "abcdef123456", "Authorization"),
            ("Authorization: Basic YW5uOmh1bnRlcjI= x", "YW5uOmh1bnRlcjI", " x"),
            ("{\"cookie\": \"a=1; sid=hunter2\", \"n\": 7}", "hunter2", "\"n\": 7"),
            ("GET http://ann:hunter2@host/x", "hunter2", "@host/x"),
            ("http://127.0.0.1:4000/?token=Zm9vYmFy&tab=1", "Zm9vYmFy", "&tab=1"),
            (r#"{"password":"hunter2","user":"ann"}"#, "hunter2", r#""user":"ann""#),
            (r#"body {\"admin_password\": \"hunter2\"} sent"#, "hunter2", "sent"),
            (r#"Key { private_key: "abc", id: 7 }"#, "abc", "id: 7"),
            (r#"Login { passwd: Some("hunter2") }"#, "hunter2", "Login"),
            (r#"{"error":"postgres://board:p@ss/w?o@host:5432/db"}"#, "ss/w?o", "@host:5432/db"),
            ("enrol with ABCD-EFGH-JKMN-2345 now", "JKMN-2345", " now"),
            (r#"{"join_code":"ABCD-EFGH","n":1}"#, "ABCD-EFGH", r#""n":1"#),
            ("sshpass: SSH_PASSWORD=hunter2 ssh h1", "hunter2", "ssh h1"),
        ] {
            let out = redact(text);
            assert!(!out.contains(secret), "{out}");
            assert!(out.contains(stays) && out.contains(MASK), "{out}");
        }
    }

    #[test]
    fn ordinary_lines_are_left_alone() {
        for text in [
            "node h1 started in 231 ms",
            "resolving http://127.0.0.1:8080/path?x=1",
            "a basic network of four routers",
            "the token was spent by run abcdefghij",
            "image sha256:0f3c9a…",
            "postgres://board@host/db answers",
            "run 0190B2C4-1111-7ABC-8DEF-0123456789AB",
            "a FAIL-OVER of CCNA-OSPF",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(_)), "{}", redact(text));
        }
        assert!(secret_name("admin_password") && secret_name("Authorization") && secret_name("apiKey"));
        assert!(!secret_name("token_id") && !secret_name("run") && !secret_name("key_id"));
    }
}
