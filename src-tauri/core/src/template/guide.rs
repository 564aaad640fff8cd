//! A guide's Markdown as HTML that is safe to put into the window: no markup of the author's own, no script, nothing
//! loaded from elsewhere.
//!
//! A fenced block ```` ```sh node=client ```` becomes `<pre data-node="client" data-language="sh">`, so that the window can
//! offer to copy it or to open that node's terminal. Links go to `https:` or to an anchor; others keep only their text.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
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
            // Shown as what it is instead of taken for markup.
            Event::Html(t) | Event::InlineHtml(t) => vec![Event::Text(t)],
            Event::Start(Tag::HtmlBlock) => vec![Event::Start(Tag::Paragraph)],
            Event::End(TagEnd::HtmlBlock) => vec![Event::End(TagEnd::Paragraph)],
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
            Event::Start(Tag::CodeBlock(kind)) => vec![Event::InlineHtml(code_block(&kind).into())],
            Event::End(TagEnd::CodeBlock) => vec![Event::InlineHtml("</code></pre>\n".into())],
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

    #[test]
    fn nothing_gets_through_that_could_act() {
        for markdown in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<div onclick=\"x\">\n\ntext\n\n</div>",
            "![pixel](https://a.example/p.png)",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html,hi)",
            "[x](http://a.example)",
            "[x](file:///etc/passwd)",
            "<https://a.example/\"onmouseover=alert(1)>",
            "```sh\" onclick=\"x\n1\n```",
            "```sh node=\"><script>\n1\n```",
            "[x]: javascript:alert(1)\n\n[x]",
            "# <script>a</script>",
        ] {
            let out = html(markdown);
            // Every tag in the output is one that the renderer itself writes, without an event handler.
            for tag in out.split('<').skip(1) {
                let tag = tag.split('>').next().unwrap_or_default();
                let name = tag.trim_start_matches('/').split_whitespace().next().unwrap_or_default();
                assert!(["p", "a", "h1", "pre", "code"].contains(&name), "{markdown} → {out}");
                assert!(
                    !tag.contains(" on") && !tag.to_lowercase().contains("javascript:") && !tag.contains("src="),
                    "{markdown} → {out}"
                );
                assert!(
                    !tag.contains("href") || tag.contains("href=\"https://") || tag.contains("href=\"#"),
                    "{markdown} → {out}"
                );
            }
        }
    }
}
