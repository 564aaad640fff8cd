//! plotters as the charts use it: a surface with text that fits, marks and lines, finished as an accessible SVG.

use super::{Colour, Palette};
use crate::error::{Error, Result};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::sync::OnceLock;

/// The viewer's own copy of Inter, else its interface font; widths are measured with the embedded one.
const FAMILY: &str = "Inter, system-ui, 'Segoe UI', Roboto, sans-serif";
/// Inter Regular, Latin; see `assets/Inter-LICENSE.txt` (SIL Open Font License 1.1).
static FONT: &[u8] = include_bytes!("../../../assets/Inter-Latin.otf");
/// plotters sizes fonts by line height; CSS by em.
const EM: f64 = 1.24;
/// Other interface fonts run wider than Inter by up to this.
const WIDER: f64 = 1.08;

/// Sizes of text in pixels.
pub const BODY: u32 = 12;
pub const SMALL: u32 = 11;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Middle,
    Right,
}

/// Shapes that tell series apart without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    Disc,
    Square,
    Diamond,
    Triangle,
}

impl Mark {
    pub fn nth(n: usize) -> Self {
        match n % 4 {
            0 => Self::Disc,
            1 => Self::Square,
            2 => Self::Diamond,
            _ => Self::Triangle,
        }
    }
}

/// What stands beside an outcome's word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Icon {
    Tick,
    Cross,
    Bang,
    Dash,
}

pub struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
    pub palette: &'a Palette,
}

/// Draws a chart of this size; `title` and `describe` are what a screen reader says.
pub fn draw(
    size: (u32, u32),
    palette: &Palette,
    title: &str,
    describe: &str,
    paint: impl FnOnce(&Canvas<'_>) -> Result<()>,
) -> Result<String> {
    register()?;
    let mut svg = String::new();
    {
        let canvas = Canvas { area: SVGBackend::with_string(&mut svg, size).into_drawing_area(), palette };
        paint(&canvas)?;
        canvas.area.present().map_err(failed)?;
    }
    named(&svg, title, describe)
}

fn register() -> Result<()> {
    static DONE: OnceLock<bool> = OnceLock::new();
    match DONE.get_or_init(|| plotters::style::register_font(FAMILY, FontStyle::Normal, FONT).is_ok()) {
        true => Ok(()),
        false => Err(Error::internal("the charts' font cannot be read")),
    }
}

fn failed(e: impl std::fmt::Display) -> Error {
    Error::internal(format!("a chart could not be drawn: {e}"))
}

fn named(svg: &str, title: &str, describe: &str) -> Result<String> {
    let (head, body) = svg.split_once('>').ok_or_else(|| failed("no SVG came out"))?;
    let (title, describe) = (escaped(title), escaped(describe));
    Ok(format!(
        "{head} role=\"img\" aria-label=\"{title}. {describe}\">\n<title>{title}</title>\n<desc>{describe}</desc>{body}"
    ))
}

/// For XML text and attributes; what XML cannot hold is dropped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in printable(text).chars() {
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

/// Without control characters and the two code points that XML 1.0 forbids.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}'))
        .collect()
}

fn colour(rgb: Colour) -> RGBColor {
    let [_, r, g, b] = rgb.to_be_bytes();
    RGBColor(r, g, b)
}

impl Canvas<'_> {
    /// Text centred on `y`.
    pub fn text(&self, (x, y): (i32, i32), align: Align, size: u32, rgb: Colour, text: &str) -> Result<()> {
        let h = match align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        let ink = colour(rgb);
        let style = (FAMILY, f64::from(size) * EM).into_text_style(&self.area).color(&ink);
        self.area.draw_text(&printable(text), &style.pos(Pos::new(h, VPos::Center)), (x, y)).map_err(failed)
    }

    /// Pixels that a text takes at most.
    pub fn width(&self, size: u32, text: &str) -> Result<i32> {
        let style = (FAMILY, f64::from(size) * EM).into_text_style(&self.area);
        let (width, _) = self.area.estimate_text_size(text, &style).map_err(failed)?;
        Ok((f64::from(width) * WIDER).ceil() as i32)
    }

    /// The text, or as much of it as fits with an ellipsis.
    pub fn fitted(&self, size: u32, text: &str, width: i32) -> Result<String> {
        if self.width(size, text)? <= width {
            return Ok(text.to_owned());
        }
        let chars: Vec<char> = text.chars().collect();
        let (mut fits, mut too_long) = (0, chars.len());
        while fits + 1 < too_long {
            let middle = (fits + too_long) / 2;
            if self.width(size, &ellipsis(&chars, middle))? <= width { fits = middle } else { too_long = middle }
        }
        Ok(ellipsis(&chars, fits))
    }

    pub fn line(&self, points: &[(i32, i32)], width: u32, rgb: Colour) -> Result<()> {
        self.area.draw(&PathElement::new(points.to_vec(), colour(rgb).stroke_width(width))).map_err(failed)
    }

    pub fn fill(&self, points: &[(i32, i32)], rgb: Colour, opacity: f64) -> Result<()> {
        self.area.draw(&Polygon::new(points.to_vec(), colour(rgb).mix(opacity).filled())).map_err(failed)
    }

    pub fn bar(&self, from: (i32, i32), to: (i32, i32), rgb: Colour) -> Result<()> {
        self.area.draw(&Rectangle::new([from, to], colour(rgb).filled())).map_err(failed)
    }

    /// A mark with a ring of the surface around it, so that overlapping ones stay apart.
    pub fn mark(&self, mark: Mark, at: (i32, i32), radius: i32, rgb: Colour) -> Result<()> {
        self.shape(mark, at, radius + 2, self.palette.surface)?;
        self.shape(mark, at, radius, rgb)
    }

    fn shape(&self, mark: Mark, (x, y): (i32, i32), r: i32, rgb: Colour) -> Result<()> {
        match mark {
            Mark::Disc => self.area.draw(&Circle::new((x, y), r, colour(rgb).filled())).map_err(failed),
            Mark::Square => self.bar((x - r + 1, y - r + 1), (x + r - 1, y + r - 1), rgb),
            Mark::Diamond => self.fill(&[(x, y - r - 1), (x + r + 1, y), (x, y + r + 1), (x - r - 1, y)], rgb, 1.0),
            Mark::Triangle => self.fill(&[(x, y - r - 1), (x + r + 1, y + r), (x - r - 1, y + r)], rgb, 1.0),
        }
    }

    /// An icon of 10 by 10 pixels around a point.
    pub fn icon(&self, icon: Icon, (x, y): (i32, i32), rgb: Colour) -> Result<()> {
        match icon {
            Icon::Tick => self.line(&[(x - 5, y), (x - 1, y + 4), (x + 5, y - 4)], 2, rgb),
            Icon::Cross => {
                self.line(&[(x - 4, y - 4), (x + 4, y + 4)], 2, rgb)?;
                self.line(&[(x - 4, y + 4), (x + 4, y - 4)], 2, rgb)
            }
            Icon::Bang => {
                self.line(&[(x, y - 5), (x, y + 1)], 2, rgb)?;
                self.line(&[(x, y + 3), (x, y + 5)], 2, rgb)
            }
            Icon::Dash => self.line(&[(x - 4, y), (x + 4, y)], 2, rgb),
        }
    }
}

fn ellipsis(chars: &[char], keep: usize) -> String {
    let kept: String = chars.iter().take(keep).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis_that_does() {
        draw((100, 100), &Palette::LIGHT, "t", "d", |c| {
            assert_eq!(c.fitted(BODY, "short", 100)?, "short");
            for width in [20, 55, 90] {
                let text = c.fitted(BODY, "A much longer label than there is room for", width)?;
                assert!(text.ends_with('…') && c.width(BODY, &text)? <= width, "{text}");
            }
            assert!(c.width(BODY, "WWWW")? > c.width(BODY, "iiii")?);
            Ok(())
        })
        .unwrap();
    }

    #[test]
    fn hostile_words_stay_words() {
        let hostile = "<script>alert(\"1\")</script> & ' \u{0}\u{1b}[31m\u{ffff}";
        let svg = draw((100, 100), &Palette::DARK, hostile, hostile, |c| c.text((0, 0), Align::Left, BODY, 0, hostile))
            .unwrap();
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"), "{svg}");
        assert!(!svg.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{ffff}'));
        assert!(svg.starts_with("<svg ") && svg.contains("role=\"img\"") && svg.contains("<title>"));
    }
}
