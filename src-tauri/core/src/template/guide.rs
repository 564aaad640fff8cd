//! A guide's Markdown as HTML that is safe to put into the window: no markup of the author's own, no script, nothing
//! loaded from elsewhere.
//!
//! A fenced block ```` ```sh node=client ```` becomes `<pre data-node="client" data-language="sh">`, so that the window can
//! offer to copy it or to open that node's terminal. Links go to `https:` or to an anchor; others keep only their text.
//! Characters that are not seen (controls, direction marks, tags) are dropped: what is read is what is copied and typed.

use pulldown_cmark::{Alignment, CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use std::collections::BTreeSet;
use std::fmt::Write;

pub fn html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut safe = Safe::default();
    let events: Vec<Event> = Parser::new_ext(markdown, options).flat_map(|e| safe.event(e)).collect();
    let mut out = String::with_capacity(markdown.len() * 3 / 2);
    html::push_html(&mut out, events.into_iter());
    out
}

#[derive(Default)]
struct Safe<'a> {
    /// Whether each link that is open was let through.
    links: Vec<bool>,
    /// Inside a code block.
    code: bool,
    heading: Option<(HeadingLevel, Vec<Event<'a>>)>,
    anchors: BTreeSet<String>,
}

impl<'a> Safe<'a> {
    fn event(&mut self, event: Event<'a>) -> Vec<Event<'a>> {
        let event = match event {
            Event::Start(Tag::Heading { level, .. }) => {
                self.heading = Some((level, Vec::new()));
                return Vec::new();
            }
            Event::End(TagEnd::Heading(_)) => return self.end_heading(),
            event => event,
        };
        let events = self.inner(event);
        match &mut self.heading {
            Some((_, inside)) => {
                inside.extend(events);
                Vec::new()
            }
            None => events,
        }
    }

    fn inner(&mut self, event: Event<'a>) -> Vec<Event<'a>> {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                self.code = true;
                vec![Event::InlineHtml(code_block(&kind).into())]
            }
            Event::End(TagEnd::CodeBlock) => {
                self.code = false;
                vec![Event::InlineHtml("</code></pre>\n".into())]
            }
            Event::Code(t) => vec![Event::Code(seen(t, true))],
            // Markup of the author's own is shown as what it is instead of taken for markup.
            Event::Text(t) | Event::Html(t) | Event::InlineHtml(t) => vec![Event::Text(seen(t, self.code))],
            Event::Start(Tag::HtmlBlock) => vec![Event::Start(Tag::Paragraph)],
            Event::End(TagEnd::HtmlBlock) => vec![Event::End(TagEnd::Paragraph)],
            // Alignment would come as a style attribute, which the window's policy refuses.
            Event::Start(Tag::Table(columns)) => vec![Event::Start(Tag::Table(vec![Alignment::None; columns.len()]))],
            // The alternative text stays.
            Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => Vec::new(),
            Event::Start(Tag::Link { dest_url, .. }) => {
                let tag = link(&dest_url);
                self.links.push(tag.is_some());
                tag.map(|t| Event::InlineHtml(t.into())).into_iter().collect()
            }
            Event::End(TagEnd::Link) => match self.links.pop() {
                Some(true) => vec![Event::InlineHtml("</a>".into())],
                _ => Vec::new(),
            },
            event => vec![event],
        }
    }

    /// Headings get an id made from their text, so that `#anchors` lead somewhere.
    fn end_heading(&mut self) -> Vec<Event<'a>> {
        let Some((level, inside)) = self.heading.take() else { return Vec::new() };
        let text: String = inside
            .iter()
            .filter_map(|e| match e {
                Event::Text(t) | Event::Code(t) => Some(t.as_ref()),
                _ => None,
            })
            .collect();
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
        let slug = words.map(str::to_lowercase).collect::<Vec<_>>().join("-");
        let mut id = slug.clone();
        for n in 2.. {
            if self.anchors.insert(id.clone()) {
                break;
            }
            id = format!("{slug}-{n}");
        }
        let mut out = vec![Event::InlineHtml(format!("<{level} id=\"{}\">", escape(&id)).into())];
        out.extend(inside);
        out.push(Event::InlineHtml(format!("</{level}>\n").into()));
        out
    }
}

/// The text without what no reader sees. Joiners belong to words of some scripts; in code they would only hide.
fn seen(text: CowStr, code: bool) -> CowStr {
    let hidden = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || (code && matches!(c, '\u{200c}' | '\u{200d}'))
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    if text.contains(hidden) { text.chars().filter(|c| !hidden(*c)).collect::<String>().into() } else { text }
}

fn link(to: &str) -> Option<String> {
    if let Some(anchor) = to.strip_prefix('#') {
        return Some(format!("<a href=\"#{}\">", escape(anchor)));
    }
    let https = to.get(..8).is_some_and(|p| p.eq_ignore_ascii_case("https://"));
    https.then(|| format!("<a href=\"{}\" rel=\"noopener noreferrer nofollow\" target=\"_blank\">", escape(to)))
}

fn code_block(kind: &CodeBlockKind) -> String {
    let info: &CowStr = match kind {
        CodeBlockKind::Indented => return "<pre><code>".into(),
        CodeBlockKind::Fenced(info) => info,
    };
    let word = |w: &str| -> String {
        w.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+')).collect()
    };
    let mut pre = String::from("<pre");
    let mut class = String::new();
    for part in info.split_whitespace() {
        let written = match part.split_once('=') {
            Some(("node", node)) => write!(pre, " data-node=\"{}\"", word(node)),
            Some(_) => Ok(()),
            None if class.is_empty() => {
                class = format!(" class=\"language-{}\"", word(part));
                write!(pre, " data-language=\"{}\"", word(part))
            }
            None => Ok(()),
        };
        // Writing to a String cannot fail.
        debug_assert!(written.is_ok());
    }
    format!("{pre}><code{class}>")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::html;

    #[test]
    fn what_an_author_writes_becomes_html() {
        for (markdown, want) in [
            ("# A & B", "<h1 id=\"a-b\">A &amp; B</h1>\n"),
            ("## X\n\n## X", "<h2 id=\"x\">X</h2>\n<h2 id=\"x-2\">X</h2>\n"),
            (
                "```sh node=r1\nping <a>\n```",
                "<pre data-language=\"sh\" data-node=\"r1\"><code class=\"language-sh\">ping &lt;a&gt;\n</code></pre>\n",
            ),
            (
                "a|b\n-|-\n1|2",
                "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>\n<tr><td>1</td><td>2</td></tr>\n</tbody></table>\n",
            ),
            (
                "[x](https://a.example/?a=1&b=\"2)",
                "<p><a href=\"https://a.example/?a=1&amp;b=&quot;2\" rel=\"noopener noreferrer nofollow\" target=\"_blank\">x</a></p>\n",
            ),
            ("[x](#y)", "<p><a href=\"#y\">x</a></p>\n"),
        ] {
            assert_eq!(html(markdown), want);
        }
    }

    /// What the renderer may write: each element, and the attributes it may have.
    const KNOWN: [(&str, &[&str]); 25] = [
        ("h1", &["id"]),
        ("h2", &["id"]),
        ("h3", &["id"]),
        ("h4", &["id"]),
        ("h5", &["id"]),
        ("h6", &["id"]),
        ("p", &[]),
        ("br", &[]),
        ("hr", &[]),
        ("em", &[]),
        ("strong", &[]),
        ("del", &[]),
        ("blockquote", &[]),
        ("ul", &[]),
        ("ol", &["start"]),
        ("li", &[]),
        ("table", &[]),
        ("thead", &[]),
        ("tbody", &[]),
        ("tr", &[]),
        ("th", &[]),
        ("td", &[]),
        ("a", &["href", "rel", "target"]),
        ("code", &["class"]),
        ("pre", &["data-node", "data-language"]),
    ];

    /// Reads HTML the strict way our renderer writes it: every `<` opens a known element with known, quoted attributes.
    fn harmless(out: &str) -> Result<(), String> {
        let mut rest = out;
        while let Some((text, from)) = rest.split_once('<') {
            if text.contains('>') {
                return Err(format!("a bare > after {text:?}"));
            }
            let (tag, after) = from.split_once('>').ok_or("an element that does not end")?;
            rest = after;
            // The one element without an end tag that has attributes of its own.
            if matches!(
                tag,
                r#"input disabled="" type="checkbox"/"# | r#"input disabled="" type="checkbox" checked=""/"#
            ) {
                continue;
            }
            let tag = tag.trim_start_matches('/').trim_end_matches('/').trim();
            let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
            let known = KNOWN.iter().find(|(n, _)| *n == name).ok_or(format!("an element {name:?}"))?;
            while !attributes.trim().is_empty() {
                let (key, value) =
                    attributes.trim_start().split_once("=\"").ok_or(format!("attributes {attributes:?}"))?;
                let (value, more) = value.split_once('"').ok_or(format!("a value {value:?}"))?;
                attributes = more;
                if !known.1.contains(&key) {
                    return Err(format!("an attribute {key:?} on {name}"));
                }
                if key == "href" && !value.starts_with('#') && !value.to_ascii_lowercase().starts_with("https://") {
                    return Err(format!("a link to {value:?}"));
                }
            }
        }
        if let Some(c) = out.chars().find(|c| {
            (c.is_control() && !matches!(c, '\n' | '\t'))
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        }) {
            return Err(format!("a character that is not seen: {c:?}"));
        }
        Ok(())
    }

    #[test]
    fn the_reader_of_this_test_tells_harm_from_harmlessness() {
        for bad in [
            "<script>",
            "<p onclick=\"x\">",
            "<p onclick=x>",
            "<a href=\"javascript:x\">",
            "<a href=\"http://a\">",
            "<img src=\"x\"/>",
            "<p>\u{202e}</p>",
            "<p>\u{1b}</p>",
        ] {
            assert!(harmless(bad).is_err(), "{bad}");
        }
        assert_eq!(harmless("<p>a &lt;b&gt; <a href=\"#x\">c</a></p>\n<br />"), Ok(()));
    }

    #[derive(serde::Deserialize)]
    struct Payload {
        id: String,
        text: String,
    }

    /// The same texts are shown in a real browser by `tests/browser/hostile.test.mjs`, which takes what the renderer made of
    /// them from `guides.json`; `UPDATE_HOSTILE=1` writes that file anew.
    #[test]
    fn no_hostile_text_becomes_anything_but_text() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/hostile");
        let payloads: Vec<Payload> =
            serde_json::from_str(&std::fs::read_to_string(format!("{folder}/payloads.json")).unwrap()).unwrap();
        assert!(payloads.len() >= 50, "only {} payloads", payloads.len());
        let mut guides = std::collections::BTreeMap::new();
        for Payload { id, text } in &payloads {
            // The file is for reading too: of the endless ones the beginning is enough.
            let text: String = text.chars().take(300).collect();
            let frames = [
                text.clone(),
                format!("# {text}\n\nwords {text} words"),
                format!("```sh node={text}\n{text}\n```"),
                format!("`{text}` **{text}** [{text}]({text}) ![{text}]({text})"),
                format!("> {text}\n\n1. {text}\n\n|{text}|b|\n|-|-|\n|{text}|{text}|"),
                format!("<{text}>\n\n<div {text}>\n\n[x]: {text} \"{text}\"\n\n[x]"),
            ];
            for markdown in &frames {
                let out = html(markdown);
                harmless(&out).unwrap_or_else(|why| panic!("{id}: {why}\n{markdown}\n→ {out}"));
            }
            guides.insert(id.clone(), html(&frames.join("\n\n")));
        }
        let now = serde_json::to_string_pretty(&guides).unwrap() + "\n";
        let path = format!("{folder}/guides.json");
        if std::env::var_os("UPDATE_HOSTILE").is_some() {
            std::fs::write(&path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == now, "tests/hostile/guides.json is stale: run this test with UPDATE_HOSTILE=1 and commit it");
    }

    #[test]
    fn what_is_not_seen_is_neither_copied_nor_typed() {
        assert_eq!(html("a\u{202e}b\u{200d}c"), "<p>ab\u{200d}c</p>\n");
        assert_eq!(html("`a\u{200d}\u{1b}[201~b`"), "<p><code>a[201~b</code></p>\n");
        assert_eq!(html("```\nls\u{e0041}\u{200b}\tx\n```"), "<pre><code>ls\tx\n</code></pre>\n");
    }
}
