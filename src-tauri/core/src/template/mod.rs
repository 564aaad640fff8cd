//! Labs: from a folder with lab.yaml to a concrete [`scenario::Scenario`].
//!
//! [`tree`] YAML with places · [`scope`] `{{…}}` · [`typed`] types with places · [`model`], [`probes`] the language ·
//! [`guide`] Markdown to safe HTML · [`schema`] JSON Schema · [`params`] drawing from the seed · [`network`], [`nodes`], [`criteria`] from written to concrete ·
//! [`instantiate`] the order of it · [`catalogue`] all labs · [`lock`], [`pins`] which files a version stands for ·
//! [`egress`] where a lab may reach · [`carry`] a submission under another seed.
pub mod carry;
pub mod catalogue;
mod criteria;
pub mod egress;
mod filter;
pub mod folder;
pub mod guide;
pub mod instantiate;
pub mod lock;
mod model;
mod network;
mod nodes;
mod normal;
pub mod params;
pub mod pins;
mod probes;
pub mod problem;
pub mod scenario;
pub mod schema;
pub mod scope;
mod shape;
mod ssh_key;
mod stream;
mod tree;
mod typed;
mod words;
mod wrong;

pub use catalogue::{Broken, Catalogue, Lab, Requires, Sources, Wrong};
