//! Charts as self-contained SVG documents, the same ones in the window and in the report.
//!
//! Every chart has a title and a description for screen readers, draws both themes from a [`Palette`], says so when it
//! has nothing to show, and tells series and outcomes apart by shape and word as well as by colour.

mod canvas;
mod criteria;
mod history;
mod scale;
mod telemetry;
#[cfg(test)]
mod tests;

pub use criteria::criteria;
pub use history::{scores, times, track_name};
pub use scale::{duration, percent, points};
pub use telemetry::telemetry;

/// Width of all charts and the usual height, in pixels; the SVG scales to whatever holds it.
pub const WIDTH: u32 = 640;
pub const HEIGHT: u32 = 240;

/// 0xRRGGBB.
pub type Colour = u32;

/// The colours of one theme: text ≥ 4.5:1 and marks ≥ 3:1 on the theme's surface, which itself is not drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    pub text: Colour,
    pub muted: Colour,
    pub hairline: Colour,
    /// Behind bars: how far they could go.
    pub track: Colour,
    pub surface: Colour,
    /// What the eye should find: the newest, the live.
    pub accent: Colour,
    pub pass: Colour,
    pub warn: Colour,
    pub fail: Colour,
    /// Series without a meaning of their own; never an outcome's colour.
    pub series: [Colour; 4],
}

impl Palette {
    pub const LIGHT: Self = Self {
        text: 0x1b2430,
        muted: 0x56616f,
        hairline: 0xd9dee5,
        track: 0xe7ebf0,
        surface: 0xffffff,
        accent: 0xc2410c,
        pass: 0x18794e,
        warn: 0x9a6700,
        fail: 0xc62a2f,
        series: [0x2a6bb0, 0x0f7f86, 0x7357a4, 0x5d6875],
    };

    pub const DARK: Self = Self {
        text: 0xe4e9f0,
        muted: 0x9aa6b5,
        hairline: 0x2b3440,
        track: 0x242c37,
        surface: 0x14191f,
        accent: 0xff8a4c,
        pass: 0x4cc38a,
        warn: 0xe2b340,
        fail: 0xff6b6b,
        series: [0x6aa9e9, 0x4fc0c6, 0xb49be0, 0x9aa6b5],
    };

    pub const fn of(dark: bool) -> &'static Self {
        if dark { &Self::DARK } else { &Self::LIGHT }
    }
}
