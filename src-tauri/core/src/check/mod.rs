//! Probes and evidence: asking a running lab declarative questions from outside, and judging the answers.
//!
//! [`ask`] turns a probe into a question (pure), [`run`](mod@run) puts questions through a [`vantage::Vantage`], [`judge`](mod@judge)
//! decides from the recorded answer alone (pure, so that a stranger can re-grade), [`evidence`] collects what a
//! verdict is built on. Never here: signing, HTTP, SQL.
pub mod ask;
pub mod evidence;
pub mod grade;
pub mod judge;
mod lanes;
pub mod observation;
mod quote;
pub mod run;
mod settle;
#[cfg(test)]
pub(crate) mod tests;
pub mod vantage;
mod words;

pub use grade::{Finding, Grade};
pub use judge::{Judged, judge};
pub use observation::{Answer, Ask, Observation};
pub use run::{Options, Report, run};
