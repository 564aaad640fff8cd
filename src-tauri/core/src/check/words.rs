//! Wording: what learners read, with text they control shown as a quotation that cannot disturb the sentence.

/// Longest quotation, in characters.
const QUOTE_MAX: usize = 160;

/// Text from inside the lab as one quoted line: control characters and invisible direction marks are dropped, runs of
/// white space become one space, and it is cut at 160 characters.
pub(super) fn quote(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    let spaced: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| *c == ' ' || !hidden(*c)).collect();
    let mut out = String::from("“");
    let mut count = 0;
    for (i, word) in spaced.split_whitespace().enumerate() {
        if i > 0 {
            out.push(' ');
            count += 1;
        }
        for c in word.chars() {
            if count >= QUOTE_MAX {
                out.push('…');
                out.push('”');
                return out;
            }
            // Quotation marks of ours stay ours.
            out.push(if matches!(c, '“' | '”') { '"' } else { c });
            count += 1;
        }
    }
    out.push('”');
    out
}

/// “a, b and c”; `nothing` when empty.
pub(super) fn list<S: AsRef<str>>(items: &[S], nothing: &str) -> String {
    match items {
        [] => nothing.to_owned(),
        [one] => one.as_ref().to_owned(),
        [init @ .., last] => {
            let init: Vec<&str> = init.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", init.join(", "), last.as_ref())
        }
    }
}

/// Fills `{{seen}}` and `{{expected}}` in one pass, so that what is filled in is never itself filled in.
pub(super) fn fill(template: &str, seen: &str, expected: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find("{{") {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let Some(end) = from.find("}}") else {
            out.push_str(from);
            return out;
        };
        let (hole, after) = from.split_at(end + 2);
        match hole.trim_start_matches('{').trim_end_matches('}').trim() {
            "seen" => out.push_str(seen),
            "expected" => out.push_str(expected),
            _ => out.push_str(hole),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotations_cannot_break_out() {
        assert_eq!(quote("a\nb\t c"), "“a b c”");
        assert_eq!(quote("\u{1b}[31mred”, passed"), "“[31mred\", passed”");
        assert_eq!(quote("x\u{202e}y"), "“xy”");
        assert_eq!(quote(&"z".repeat(500)).chars().count(), 163);
    }

    #[test]
    fn holes_are_filled_once() {
        assert_eq!(fill("{{seen}}. See {{ expected }}; {{x}}", "{{expected}}", "E"), "{{expected}}. See E; {{x}}");
        assert_eq!(fill("open {{seen", "s", "e"), "open {{seen");
    }

    #[test]
    fn lists_read_as_english() {
        assert_eq!(list(&["a", "b", "c"], "none"), "a, b and c");
        assert_eq!(list::<&str>(&[], "none"), "none");
    }
}
