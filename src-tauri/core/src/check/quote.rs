//! Quoting for the fabric's shell: every value from a template goes through here, none is ever pasted.

/// One word of POSIX shell (XCU 2.2.2): within single quotes nothing is special but the single quote itself. A NUL
/// cannot be an argument of any program; it is dropped rather than cutting the script short.
pub(super) fn sh_quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_./:@%+,-".contains(&b);
    // A word that starts with `-` stays what it is: quoting cannot make an option an operand, `--` must.
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len() + 2);
    out.push('\'');
    for c in word.chars() {
        match c {
            '\'' => out.push_str("'\\''"),
            '\0' => {}
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// A command line from its words.
pub(super) fn sh_line<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|w| sh_quote(w.as_ref())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// What a real shell makes of the quoted word.
    fn through_sh(words: &[String]) -> Vec<u8> {
        let script = format!("printf '%s\\0' {}", sh_line(words));
        std::process::Command::new("/bin/sh").args(["-c", &script]).output().unwrap().stdout
    }

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(sh_quote("10.0.0.1/24"), "10.0.0.1/24");
        assert_eq!(sh_quote(""), "''");
        assert_eq!(sh_quote("a'b"), "'a'\\''b'");
        assert_eq!(sh_quote("$(reboot)"), "'$(reboot)'");
        assert_eq!(sh_quote("~root"), "'~root'");
        assert_eq!(sh_quote("a=b"), "'a=b'");
    }

    #[test]
    fn a_shell_gives_back_hostile_words() {
        let words: Vec<String> =
            ["; rm -rf /", "`id`", "$(id)", "a\nb", "'\"\\", "*", "{{x}}", "-n", "é\u{202e}", "!!", "#x", "a\\'b"]
                .map(String::from)
                .to_vec();
        let want: Vec<u8> = words.iter().flat_map(|w| [w.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(through_sh(&words), want);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_word_survives_a_shell(word in "[^\0]{0,40}") {
            let mut want = word.clone().into_bytes();
            want.push(0);
            prop_assert_eq!(through_sh(&[word]), want);
        }
    }
}
