//! `forge bench`: measures, does not test.

use crate::args::BenchCommand;
use crate::out::Out;
use forge_core::api::Caller;
use forge_core::error::{Error, Result};
use std::path::Path;
use std::process::ExitCode;

pub async fn run(_: BenchCommand, _: &Caller, _: &Out, _: &Path) -> Result<ExitCode> {
    Err(Error::internal("no engine is linked"))
}
